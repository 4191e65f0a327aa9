"""Registers by a declared mapping: the presets on samples in their publishers' own shape, and what refuses a file."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from blocklists.head import Basis
from blocklists.importers import formats, mapped, mapping
from blocklists.importers.intake import Intake
from blocklists.importers.source import SourceError

if TYPE_CHECKING:
    from pathlib import Path

GROUND = Basis("Act 12", "Board", "register", "2026-01-01", "PL", "Court")
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def declared(text: str) -> mapping.Mapping:
    return mapping.parse(text, "mapping.yaml")


def taken(folder: Path, data: str | bytes, by: mapping.Mapping, *, name: str = "register") -> Intake:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    intake = Intake(ground=GROUND)
    mapped.read(path, by, intake, now=NOW)
    return intake


def names(intake: Intake) -> list[tuple[str, str, str | None]]:
    return [(found.name, found.match, found.issued) for found in intake.candidates]


def grounds(intake: Intake) -> dict[str, tuple[str, str, str]]:
    return {
        found.name: (ground.authority, ground.order, ground.date)
        for found in intake.candidates
        if (ground := intake.grounds.get(found.basis or "")) is not None
    }


# Preset -> a sample in the publisher's own shape, the names (match, since), how many rows are withdrawn
SAMPLES: dict[str, tuple[str | bytes, list[tuple[str, str, str | None]], int]] = {
    "cert-polska": (
        ("PozycjaRejestru\tAdresDomeny\tDataWpisu\tDataWykreslenia\n"
        "665069\tzly-bank.example\t2026-08-12T12:22:21+00:00\t\n"
        "607939\twykreslony.example\t2026-05-29T16:26:59+00:00\t2026-07-01T10:00:00+00:00\n"),
        [("zly-bank.example", "subtree", "2026-08-12T12:22:21Z")], 1,
    ),
    "cert-polska-json": (
        json.dumps([
            {"RegisterPositionId": 1, "DomainAddress": "zly-bank.example", "InsertDate": "2026-08-12T12:22:21",
             "DeleteDate": None},
            {"RegisterPositionId": 2, "DomainAddress": "wykreslony.example", "InsertDate": "2026-05-29T16:26:59",
             "DeleteDate": "2026-07-01T10:00:00"},
        ]),
        [("zly-bank.example", "subtree", "2026-08-12T12:22:21Z")], 1,
    ),
    "poland-gambling": (
        ('<?xml version="1.0" encoding="utf-8"?>\n'
        '<Rejestr xmlns="http://www.hazard.mf.gov.pl/2017/03/21/">\n'
        '<PozycjaRejestru Lp="1"><AdresDomeny>kasyno.example</AdresDomeny><DataWpisu>2026-07-01T00:30:00</DataWpisu>'
        "</PozycjaRejestru>\n"
        '<PozycjaRejestru Lp="2"><AdresDomeny>dawne.example</AdresDomeny><DataWpisu>2020-01-01T00:00:00</DataWpisu>'
        "<DataWykreslenia>2021-01-01T00:00:00</DataWykreslenia></PozycjaRejestru>\n</Rejestr>\n"),
        [("kasyno.example", "subtree", "2026-06-30T22:30:00Z")], 1,  # Warsaw is two hours ahead in summer
    ),
    "italy-adm": (
        "casino-uno.example\nhttps://scommesse.example/home\n",
        [("casino-uno.example", "subtree", None), ("scommesse.example", "subtree", None)], 0,
    ),
    "italy-cncpo": (
        "url ;fqdn\nhttp://brutto.example/a;brutto.example\n", [("brutto.example", "exact", None)], 0,
    ),
    "italy-piracy-shield": ("calcio.example\nstream.calcio.test\n", [
        ("calcio.example", "subtree", None), ("stream.calcio.test", "subtree", None),
    ], 0),
    "italy-piracy-shield-json": ('{"status": "success", "data": ["calcio.example", "tv.example"], "note": null}', [
        ("calcio.example", "subtree", None), ("tv.example", "subtree", None),
    ], 0),
    "switzerland-gespa": ("# Gespa block list, 25.08.2026\n# names\n\nkasino.example\n", [
        ("kasino.example", "subtree", None),
    ], 0),
    "russia-register": (
        '<?xml version="1.0" encoding="windows-1251"?>\n'
        '<reg:register updateTime="2026-11-01T12:00:00+03:00" xmlns:reg="http://rsoc.ru">\n'
        '<content id="1" includeTime="2026-10-01T10:00:00" entryType="1" blockType="domain">'
        '<decision date="2026-09-30" number="7-\u0430" org="\u0424\u041d\u0421"/>'
        "<domain><![CDATA[kazino.example]]></domain><ip>192.0.2.1</ip></content>\n"
        '<content id="2" includeTime="2026-10-01T10:00:00" entryType="1" blockType="domain-mask">'
        '<decision date="2026-09-30" number="7-\u0430" org="\u0424\u041d\u0421"/>'
        "<domain><![CDATA[*.stavki.example]]></domain></content>\n"
        '<content id="3" includeTime="2026-10-01T10:00:00" entryType="1">'
        '<decision date="2026-09-29" number="8" org="\u0421\u0443\u0434"/>'
        "<url><![CDATA[http://page.example/x]]></url><domain><![CDATA[page.example]]></domain></content>\n"
        '<content id="4" blockType="ip"><decision date="2026-09-29" number="9" org="x"/><ip>192.0.2.9</ip></content>\n'
        "</reg:register>\n".replace("\r", ""),
        [("kazino.example", "exact", "2026-10-01T07:00:00Z"), ("stavki.example", "below", "2026-10-01T07:00:00Z")], 0,
    ),
    "russia-z-i": (
        ("Updated: 2026-11-01 12:00:00 +0000\n"
        "192.0.2.1 | 192.0.2.2;kazino.example|www.kazino.example;;\u0424\u041d\u0421;7-\u0430;2026-09-30\n"
        "192.0.2.3;page.example;http://page.example/x;\u0421\u0443\u0434;8;2026-09-29\n"),
        [("kazino.example", "exact", None), ("www.kazino.example", "exact", None)], 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(mapping.presets()))
def test_each_preset_reads_its_publisher_s_own_shape(tmp_path: Path, name: str) -> None:
    sample, expected, withdrawn = SAMPLES[name]
    preset = formats.preset(name).model_copy(update={"expect": mapping.Expect()})
    data = sample.encode("cp1251") if name.startswith("russia") and isinstance(sample, str) else sample
    intake = taken(tmp_path, data, preset)
    assert names(intake) == expected
    assert intake.counts["withdrawn"] == withdrawn
    if name.startswith("russia"):
        said = ("\u0424\u041d\u0421", "7-\u0430", "2026-09-30")
        assert grounds(intake) == {found: said for found, _, _ in expected}
        assert len({found.basis for found in intake.candidates}) == 1  # one decision, one ground


def test_a_register_that_is_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="2 rows; the mapping expects 1,000 at least"):
        taken(tmp_path, SAMPLES["poland-gambling"][0], formats.preset("poland-gambling"))


CSV = """
read: {kind: csv}
name: {field: domain, split: "|", url: host}
since: {field: added, format: "%d.%m.%Y", zone: Europe/Berlin}
expires: {field: ends, optional: true}
withdrawn: {field: status, equals: [lifted]}
ground: {order: {field: order}, date: {field: day}, authority: Board, law: Gambling Act}
"""
ROWS = (
    "domain;added;ends;status;order;day\n"
    "a.example|b.example;01.07.2026;;;17/2026;2026-06-01\n"
    "https://c.example/x;02.07.2026;2027-01-01;;17/2026;2026-06-01\n"
    "d.example;02.07.2026;;lifted;17/2026;2026-06-01\n"
    "e.example;2026-07-02;;;18/2026;2026-06-02\n"
    "f.example;03.07.2026;;;18/2026;2026-06-02\n"
    "g.example;03.07.2026;;;;2026-06-02\n"
)


def test_rows_carry_their_days_their_ground_and_their_withdrawal(tmp_path: Path) -> None:
    by = declared(CSV)
    intake = taken(tmp_path, ROWS, by)
    assert [(one.name, one.issued, one.expires) for one in intake.candidates] == [
        ("a.example", "2026-06-30T22:00:00Z", None), ("b.example", "2026-06-30T22:00:00Z", None),
        ("c.example", "2026-07-01T22:00:00Z", "2027-01-01T00:00:00Z"), ("f.example", "2026-07-02T22:00:00Z", None),
        ("g.example", "2026-07-02T22:00:00Z", None),
    ]  # fmt: skip
    assert grounds(intake)["g.example"] == ("Board", "register", "2026-06-02")  # what the row leaves unsaid
    assert grounds(intake)["a.example"] == grounds(intake)["c.example"] == ("Board", "17/2026", "2026-06-01")
    assert len(intake.grounds) == 3
    assert {ground.law for ground in intake.grounds.values()} == {"Gambling Act"}
    assert intake.counts["withdrawn"] == 1
    assert [(item.line, item.reason) for item in intake.rejected] == [
        (5, "'2026-07-02' is no time in the form %d.%m.%Y"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("name;added;ends;status;order;day\n", "no column 'domain'"),
        ("domain;added;ends;state;order;day\nx.example;;;;;\n", "no column 'status'"),
        (ROWS.replace("ends;", "date_of_deletion;", 1), "no column 'ends'|sounds as if its rows were withdrawn"),
        ("", "0 rows; the mapping expects 1"),
    ],
)
def test_a_changed_heading_or_a_missing_column_refuses_the_file(tmp_path: Path, data: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        taken(tmp_path, data, declared(CSV))


def test_a_withdrawal_that_cannot_be_read_refuses_the_file(tmp_path: Path) -> None:
    by = declared("{read: {kind: csv}, name: {field: domain}, withdrawn: {field: ended, when: past}}")
    assert names(taken(tmp_path, "domain,ended\na.example,2026-01-01\nb.example,2027-01-01\n", by)) == [
        ("b.example", "subtree", None)
    ]
    with pytest.raises(SourceError, match=r"line 2: withdrawn: .* is no time"):
        taken(tmp_path, "domain,ended\na.example,1.1.26\n", by)


def test_a_column_that_sounds_like_a_withdrawal_must_be_mapped_or_ignored(tmp_path: Path) -> None:
    text = "domain,deleted_by\na.example,x\n"
    with pytest.raises(SourceError, match="sounds as if its rows were withdrawn"):
        taken(tmp_path, text, declared("{read: {kind: csv}, name: {field: domain}}"))
    assert len(taken(tmp_path, text, declared("{read: {kind: csv}, name: {field: domain}, ignore: [deleted_by]}"))) == 1


XML = declared("{read: {kind: xml}, rows: row, name: {field: name}}")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('<!DOCTYPE r [<!ENTITY a "a">]><r><row><name>&a;.example</name></row></r>', "it has a DTD"),
        ("<r><row><name>a.example</name></row>", "not XML that is whole"),
        ("<a>" * 100 + "</a>" * 100, "deeper than 64"),
        ("<r><row><title>a.example</title></row></r>", "no row has name"),
        (f"<r><row><name>{'a' * (2 << 20)}</name></row></r>", "a row of more than"),
    ],
)
def test_xml_that_is_no_register_is_refused(tmp_path: Path, data: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        taken(tmp_path, data, XML)


@pytest.mark.parametrize(
    ("rows", "data", "expected"),
    [
        ("", '[{"n": "a.example"}, {"n": ["b.example", "c.example"]}]', ["a.example", "b.example", "c.example"]),
        ("/x/data", '{"v": [1, {"k": "]"}], "x": {"data": [{"n": "a.example"}], "z": 1}, "w": 2}', ["a.example"]),
        ("", '{"n": "a.example"}\n{"n": "b.example"}\n', ["a.example", "b.example"]),
        ("/data", '{"data": []}', None),
        ("", '[{"n": "a.example"}', None),
        ("", '[{"n": "a.example"}] x', None),
        ("/none", '{"data": []}', None),
        ("", "[" * 100_000, None),
    ],
)
def test_json_is_read_row_by_row_and_whole_or_not_at_all(
    tmp_path: Path, rows: str, data: str, expected: list[str] | None
) -> None:
    by = declared(json.dumps({"read": {"kind": "json"}, "rows": rows, "name": {"field": "n"}}))
    if expected is None:
        with pytest.raises(SourceError):
            taken(tmp_path, data, by)
    else:
        assert [name for name, _, _ in names(taken(tmp_path, data, by))] == expected


def test_a_workbook_is_read_with_its_days(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "Liste"
    book.active.append(["as of today"])
    book.active.append(["Nr", "Domain", "Datum"])
    book.active.append([1, "a.example", datetime(2026, 7, 1)])  # noqa: DTZ001
    book.active.append([2, "b.example", date(2026, 7, 2)])
    book.active.append([3, None, None])
    book.save(tmp_path / "book.xlsx")
    by = declared(
        "{read: {kind: xlsx, skip: 1}, rows: Liste, name: {field: Domain}, since: {field: Datum, optional: true}}"
    )
    found = taken(tmp_path, (tmp_path / "book.xlsx").read_bytes(), by)
    assert names(found) == [
        ("a.example", "subtree", "2026-07-01T00:00:00Z"), ("b.example", "subtree", "2026-07-02T00:00:00Z"),
    ]  # fmt: skip
    assert [item.reason for item in found.rejected] == ["no name in Domain"]
    with pytest.raises(SourceError, match="not a workbook"):
        taken(tmp_path, b"PK\x03\x04 rubbish", by)
    with pytest.raises(SourceError, match="no sheet 'Other'"):
        taken(tmp_path, (tmp_path / "book.xlsx").read_bytes(), by.model_copy(update={"rows": "Other"}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("read: {kind: pdf}\nname: {field: a}", "read.kind"),
        ("read: {kind: csv}\nnames: {field: a}", "names"),
        ("read: {kind: csv}\nname: {field: a}\nsince: {field: b, zone: Mars/North}", "Europe/Warsaw would be right"),
        ("read: [", "not YAML"),
    ],
)
def test_a_mapping_that_is_wrong_names_the_key(text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        declared(text)


def test_more_grounds_than_a_head_has_room_for_refuse_the_file(tmp_path: Path) -> None:
    rows: Any = "".join(f"a{number}.example;{number};2026-06-01\n" for number in range(2001))
    by = declared("{read: {kind: csv}, name: {field: domain}, ground: {order: {field: o}, date: {field: d}}}")
    with pytest.raises(SourceError, match="more than 2,000 grounds"):
        taken(tmp_path, "domain;o;d\n" + rows, by)
