"""Registers in their publishers' own shape, with invented names: what each preset must make of its sample."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Sample(NamedTuple):
    """A file, and what it holds in force."""

    data: bytes
    names: list[tuple[str, str, str | None]]
    """Name, match, since when."""
    withdrawn: int = 0
    """Rows that are no longer in force."""
    ground: tuple[str, str, str] | None = None
    """Authority, order and date that every row says; None: the rows say none."""


def zipped(files: Mapping[str, bytes]) -> bytes:
    """An archive of these files."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return archive.getvalue()


TAX_SERVICE = "\u0424\u041d\u0421"
COURT = "\u0441\u0443\u0434"
DECISION = (TAX_SERVICE, "7-\u0430", "2026-09-30")
DUMP = f"""<?xml version="1.0" encoding="windows-1251"?>
<reg:register xmlns:reg="http://rsoc.ru" xmlns:tns="http://rsoc.ru" updateTime="2026-11-01T12:00:00+03:00"
 updateTimeUrgently="2026-11-01T11:50:00+03:00" formatVersion="2.4">
<content id="1" includeTime="2026-10-01T10:00:00" entryType="1" blockType="domain" hash="AA">
<decision date="2026-09-30" number="7-\u0430" org="{TAX_SERVICE}"/>
<domain><![CDATA[kazino.example]]></domain><ip>192.0.2.1</ip><ipv6>2001:db8::1</ipv6></content>
<content id="2" includeTime="2026-10-01T10:00:00" entryType="1" blockType="domain-mask"
 hash="AB" ts="2026-10-02T10:00:00">
<decision date="2026-09-30" number="7-\u0430" org="{TAX_SERVICE}"/>
<domain><![CDATA[*.stavki.example]]></domain></content>
<content id="3" includeTime="2026-10-01T10:00:00" entryType="1" hash="AC">
<decision date="2026-09-29" number="8" org="{COURT}"/>
<url><![CDATA[http://page.example/x]]></url><domain><![CDATA[page.example]]></domain><ip>192.0.2.7</ip></content>
<content id="4" includeTime="2026-10-01T10:00:00" entryType="1" blockType="default" hash="AD">
<decision date="2026-09-29" number="8" org="{COURT}"/>
<url ts="2026-10-01T10:00:00"><![CDATA[https://p.example/y]]></url>
<domain><![CDATA[p.example]]></domain></content>
<content id="5" includeTime="2026-10-01T10:00:00" blockType="ip" hash="AE">
<decision date="2026-09-29" number="9" org="x"/>
<ip>192.0.2.9</ip><ipSubnet>192.0.2.0/28</ipSubnet></content>
</reg:register>
"""

# Preset -> its sample
SAMPLES: dict[str, Sample] = {
    "cert-polska": Sample(
        b"PozycjaRejestru\tAdresDomeny\tDataWpisu\tDataWykreslenia\n"
        b"665069\tzly-bank.example\t2026-08-12T12:22:21+00:00\t\n"
        b"607939\twykreslony.example\t2026-05-29T16:26:59+00:00\t2026-07-01T10:00:00+00:00\n",
        [("zly-bank.example", "subtree", "2026-08-12T12:22:21Z")], 1,
    ),
    "cert-polska-json": Sample(
        json.dumps([
            {"RegisterPositionId": 1, "DomainAddress": "zly-bank.example", "InsertDate": "2026-08-12T12:22:21",
             "DeleteDate": None},
            {"RegisterPositionId": 2, "DomainAddress": "wykreslony.example", "InsertDate": "2026-05-29T16:26:59",
             "DeleteDate": "2026-07-01T10:00:00"},
        ]).encode(),
        [("zly-bank.example", "subtree", "2026-08-12T12:22:21Z")], 1,
    ),
    "poland-gambling": Sample(
        b'<?xml version="1.0" encoding="utf-8"?>\n'
        b'<Rejestr xmlns="http://www.hazard.mf.gov.pl/2017/03/21/">\n'
        b'<PozycjaRejestru Lp="1"><AdresDomeny>kasyno.example</AdresDomeny><DataWpisu>2026-07-01T00:30:00</DataWpisu>'
        b"</PozycjaRejestru>\n"
        b'<PozycjaRejestru Lp="2"><AdresDomeny>dawne.example</AdresDomeny><DataWpisu>2020-01-01T00:00:00</DataWpisu>'
        b"<DataWykreslenia>2021-01-01T00:00:00</DataWykreslenia></PozycjaRejestru>\n</Rejestr>\n",
        [("kasyno.example", "subtree", "2026-06-30T22:30:00Z")], 1,  # Warsaw is two hours ahead in summer
    ),
    "italy-adm": Sample(
        b"casino-uno.example\nhttps://scommesse.example/home\n",
        [("casino-uno.example", "subtree", None), ("scommesse.example", "subtree", None)],
    ),
    "italy-cncpo": Sample(
        b"00123;20261101120000\nhttp://brutto.example/a;brutto.example;;\n\n;;http://192.0.2.9/;192.0.2.9\n",
        [("brutto.example", "exact", None)],
    ),
    "italy-piracy-shield": Sample(
        b"calcio.example\nstream.calcio.test",
        [("calcio.example", "subtree", None), ("stream.calcio.test", "subtree", None)],
    ),
    "italy-piracy-shield-json": Sample(
        b'{"status": "success", "data": ["calcio.example", "tv.example"], "note": null}',
        [("calcio.example", "subtree", None), ("tv.example", "subtree", None)],
    ),
    "switzerland-gespa": Sample(
        b"# Gespa block list, 25.08.2026\n# names\n\nkasino.example\n", [("kasino.example", "subtree", None)]
    ),
    "russia-register": Sample(
        zipped({"dump.xml": DUMP.encode("cp1251"), "dump.xml.sig": b"\x30\x82"}),
        [("kazino.example", "exact", "2026-10-01T07:00:00Z"), ("stavki.example", "below", "2026-10-01T07:00:00Z")],
        0, DECISION,
    ),
    "russia-z-i": Sample(
        ("Updated: 2026-11-01 12:00:00 +0000\n"
        f"192.0.2.1 | 192.0.2.2;kazino.example|www.kazino.example;;{TAX_SERVICE};7-\u0430;2026-09-30\n"
        f"192.0.2.4;*.stavki.example;;{TAX_SERVICE};7-\u0430;2026-09-30\n"
        f"192.0.2.3;page.example;http://page.example/x;{COURT};8;2026-09-29\n").encode("cp1251"),
        [("kazino.example", "exact", None), ("www.kazino.example", "exact", None), ("stavki.example", "below", None)],
        0, DECISION,
    ),
}  # fmt: skip
