"""Blocked answers as dnslib reads them: an oracle that shares no line with the core."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSRecord

from resolver import _core
from tests.rigs.plane import compiled, relayed, unlistened

if TYPE_CHECKING:
    from pathlib import Path

STOP4, STOP6 = "192.0.2.66", "2001:db8::66"
PORTAL = "https://stop.isp.example"
NAME = "bLocked.eXample"
REFERENCE = "0000000000000000"
TYPES = ["A", "AAAA", "HTTPS", "SVCB", "TXT", "MX", "NS", "SOA", "CNAME", "PTR", "SRV", "DS", "ANY", "TYPE65280"]


def plane(list_: _core.CompiledList | None, **settings: Any) -> _core.Plane:
    settings = {"allow_clients": ["127.0.0.0/8"], "portal_url": PORTAL, "cache_bytes": 1 << 20} | settings
    made = _core.Plane(settings)  # type: ignore[arg-type]
    made.set_upstreams([unlistened().address])
    made.set_list(list_)
    return made


def question(name: str, qtype: str = "A", *, edns: int | None = None, do: bool = False, **bits: int) -> DNSRecord:
    record = DNSRecord.question(name)
    record.q.qtype = int(qtype[4:]) if qtype.startswith("TYPE") else getattr(QTYPE, qtype)
    record.header.rd = bits.get("rd", 1)
    record.header.ad = bits.get("ad", 0)
    record.header.cd = bits.get("cd", 0)
    if edns is not None:
        record.add_ar(EDNS0(udp_len=edns, flags="do" if do else ""))
    return record


def decided(on: _core.Plane, asked: DNSRecord) -> DNSRecord:
    """What a plane answers, with what holds for every answer checked."""
    decision = on.decide(bytes(asked.pack()), ("127.0.0.1", 40000), ("127.0.0.1", 53))
    assert isinstance(decision, bytes)
    reply = DNSRecord.parse(decision)
    header = reply.header
    assert (header.id, header.qr, header.opcode, header.tc, header.ad, header.ra) == (asked.header.id, 1, 0, 0, 0, 1)
    assert (header.rd, header.cd) == (asked.header.rd, asked.header.cd)
    assert (reply.q.qname.label, reply.q.qtype, reply.q.qclass) == (asked.q.qname.label, asked.q.qtype, 1)
    opts = [rr for rr in reply.ar if rr.rtype == QTYPE.OPT]
    assert len(opts) == len([rr for rr in asked.ar if rr.rtype == QTYPE.OPT])
    assert len(reply.ar) == len(opts)
    for opt in opts:
        assert (opt.rclass, opt.edns_do) == (1232, asked.ar[0].edns_do)
    return reply


def extended_error(reply: DNSRecord) -> tuple[int, str] | None:
    """Code and text of the extended DNS error (RFC 8914)."""
    options = [option for rr in reply.ar if rr.rtype == QTYPE.OPT for option in rr.rdata]
    if not options:
        return None
    [option] = options
    assert option.code == 15
    return int.from_bytes(option.data[:2], "big"), option.data[2:].decode()


@pytest.mark.parametrize(
    ("action", "qtype", "rcode", "address"),
    [
        *(("stop-page", qtype, "NOERROR", {"A": STOP4, "AAAA": STOP6}.get(qtype)) for qtype in TYPES),
        *(("nodata", qtype, "NOERROR", None) for qtype in TYPES),
        *(("nxdomain", qtype, "NXDOMAIN", None) for qtype in TYPES),
        *(("refused", qtype, "REFUSED", None) for qtype in TYPES),
    ],
)
def test_each_action_answers_each_type_as_the_table_says(
    tmp_path: Path, action: str, qtype: str, rcode: str, address: str | None
) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"], action=action), stop_ipv4=STOP4, stop_ipv6=STOP6)
    for name in (NAME, f"wWw.{NAME}", f"a.b.c.{NAME}"):
        reply = decided(on, question(name, qtype))
        assert RCODE.get(reply.header.rcode) == rcode
        assert [(rr.rname, rr.rtype, str(rr.rdata)) for rr in reply.rr] == (
            [(reply.q.qname, reply.q.qtype, address)] if address else []
        )
        assert all(0 < rr.ttl <= 60 for rr in [*reply.rr, *reply.auth])
        if address or action == "refused":
            assert reply.auth == []
        else:
            # "no" can be kept only by the SOA beside it: of the entry's own name, for no more than a minute (RFC 2308).
            [soa] = reply.auth
            assert (soa.rtype, str(soa.rname).lower()) == (QTYPE.SOA, "blocked.example.")
            assert soa.rdata.times[4] == soa.ttl


@pytest.mark.parametrize("qtype", ["A", "AAAA"])
def test_a_family_without_a_stop_page_has_no_data(tmp_path: Path, qtype: str) -> None:
    reply = decided(plane(compiled(tmp_path, ["blocked.example"])), question(NAME, qtype))
    assert (reply.header.rcode, reply.rr, len(reply.auth)) == (0, [], 1)


def test_flags_and_edns_are_answered_in_every_combination(tmp_path: Path) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"]), stop_ipv4=STOP4)
    for rd, cd, ad, edns in itertools.product((0, 1), (0, 1), (0, 1), (None, 0, 512, 1232, 4096, 65535)):
        for do in (False, True) if edns is not None else (False,):
            reply = decided(on, question(NAME, rd=rd, cd=cd, ad=ad, edns=edns, do=do))
            assert [str(rr.rdata) for rr in reply.rr] == [STOP4]
            assert extended_error(reply) == (None if edns is None else (16, f"{REFERENCE} {PORTAL}"))


@pytest.mark.parametrize("action", ["stop-page", "nodata", "nxdomain", "refused"])
def test_the_extended_error_stands_beside_every_action(tmp_path: Path, action: str) -> None:
    reply = decided(plane(compiled(tmp_path, ["blocked.example"], action=action)), question(NAME, edns=1232))
    assert extended_error(reply) == (16, f"{REFERENCE} {PORTAL}")


def test_the_longest_name_is_answered_with_reference_and_portal(tmp_path: Path) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"]), stop_ipv4=STOP4)
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 45, NAME])
    assert len(bytes(question(longest).pack())) == 12 + 255 + 4
    for qtype in ("A", "AAAA", "HTTPS"):
        assert extended_error(decided(on, question(longest, qtype, edns=512))) == (16, f"{REFERENCE} {PORTAL}")


def test_a_list_that_only_counts_lets_everything_pass(tmp_path: Path) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"], action="monitor"))
    for qtype in ("A", "HTTPS", "TXT"):
        relayed(on, question(NAME, qtype))
    assert on.counters()["monitored"] == 3


def test_an_entry_that_has_lapsed_stops_nothing(tmp_path: Path) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"], expires="2021-01-01T00:00:00Z"))
    relayed(on, question(NAME))


@pytest.mark.parametrize(
    ("match", "stopped", "passing"),
    [
        ("exact", ["blocked.example"], ["www.blocked.example", "example", "xblocked.example"]),
        ("subtree", ["blocked.example", "www.blocked.example", "a.b.blocked.example"], ["example", "xblocked.example"]),
        ("below", ["www.blocked.example", "a.b.blocked.example"], ["blocked.example", "blocked.example.org"]),
    ],
)
def test_what_an_entry_matches(tmp_path: Path, match: str, stopped: list[str], passing: list[str]) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"], match=match), stop_ipv4=STOP4)
    for name in stopped:
        assert [str(rr.rdata) for rr in decided(on, question(name)).rr] == [STOP4]
    for name in passing:
        relayed(on, question(name))
