"""Registers by a declared mapping: the presets on samples in their publishers' own shape, and what refuses a file."""

from __future__ import annotations

import json
import re
import zipfile
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from blocklists.head import Basis
from blocklists.importers import formats, mapped, mapping
from blocklists.importers.intake import Intake, Kind
from blocklists.importers.source import SourceError
from blocklists.issuer import propose
from tests.rigs.registers import SAMPLES, zipped

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


@pytest.mark.parametrize("name", sorted(mapping.presets()))
def test_each_preset_reads_its_publisher_s_own_shape(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    preset = formats.preset(name).model_copy(update={"expect": mapping.Expect()})
    intake = taken(tmp_path, sample.data, preset)
    assert names(intake) == sample.names
    assert intake.counts["withdrawn"] == sample.withdrawn
    if sample.ground is not None:
        assert grounds(intake) == {found: sample.ground for found, _, _ in sample.names}
        assert len({found.basis for found in intake.candidates}) == 1  # one decision, one ground


def test_a_register_that_is_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="2 rows; the mapping expects 1,000 at least"):
        taken(tmp_path, SAMPLES["poland-gambling"].data, formats.preset("poland-gambling"))


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
    read = taken(tmp_path, "domain,ended\na.example,2026-01-01\nb.example,2027-01-01\n", by)
    assert names(read) == [("b.example", "subtree", None)]
    assert [(one.expires, one.withdrawn) for one in read.candidates] == [(None, "2027-01-01T00:00:00Z")]
    with pytest.raises(SourceError, match=r"line 2: withdrawn: .* is no time"):
        taken(tmp_path, "domain,ended\na.example,1.1.26\n", by)


@pytest.mark.parametrize(
    ("expires", "withdrawn", "end"),
    [
        (None, "2026-12-24T00:00:00Z", "2026-12-24"),
        (None, "9999-12-31T00:00:00Z", "2027-11-01"),
        ("2028-01-01T00:00:00Z", "2027-12-24T00:00:00Z", "2027-12-24"),
    ],
)
def test_at_the_desk_an_entry_ends_with_the_withdrawal_of_its_row_at_the_latest(
    expires: str | None, withdrawn: str, end: str
) -> None:
    terms = propose.Terms("order-17", "abuse", "2026-11-01T00:00:00Z", "2027-11-01T00:00:00Z")
    entry = propose._entry(Kind("subtree", expires=expires, withdrawn=withdrawn), terms, "a.example")
    assert entry.expires == f"{end}T00:00:00Z"


@pytest.mark.parametrize(
    ("part", "zone", "said"),
    [
        ("since: {field: day, zone: %s}", "Europe/Warsaw", "0001-01-01T00:00:00"),
        ("expires: {field: day, zone: %s}", "America/New_York", "9999-12-31T23:59:59"),
        ("withdrawn: {field: day, zone: %s, when: past}", "Europe/Warsaw", "0001-01-01T00:00:00"),
        ("ground: {date: {field: day, zone: %s}}", "America/New_York", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_that_no_list_can_say_costs_its_row_alone(tmp_path: Path, part: str, zone: str, said: str) -> None:
    by = declared(f"{{read: {{kind: csv}}, name: {{field: domain}}, {part % zone}}}")
    intake = taken(tmp_path, f"domain,day\na.example,2027-01-01\nb.example,{said}\n", by)
    assert [found.name for found in intake.candidates] == ["a.example"]
    assert [(item.line, item.reason) for item in intake.rejected] == [
        (3, f"{said!r} is a time before the year 1 or after 9999")
    ]


def test_a_column_that_sounds_like_a_withdrawal_must_be_mapped_or_ignored(tmp_path: Path) -> None:
    text = "domain,deleted_by\na.example,x\n"
    with pytest.raises(SourceError, match="sounds as if its rows were withdrawn"):
        taken(tmp_path, text, declared("{read: {kind: csv}, name: {field: domain}}"))
    assert len(taken(tmp_path, text, declared("{read: {kind: csv}, name: {field: domain}, ignore: [deleted_by]}"))) == 1


SEVERAL_LINES = (
    "name;note\n"
    'a.example;"one\n\nb.example;two"\n'
    'c.example;"said ""no"" and\n#d.example;"\n'
    'e.example;a "quoted" word\nf.example;"f" x\ng.example;g\n'
)


@pytest.mark.parametrize(
    "by",
    [
        None, "{read: {kind: csv}, name: {field: name}}", "{read: {kind: csv, comment: '#'}, name: {field: 1}}",
        "{read: {kind: csv, delimiter: ';', header: false, skip: 1}, name: {field: 1}}",
    ],
)  # fmt: skip
def test_a_quoted_cell_of_several_lines_is_one_cell_and_none_of_its_lines_a_row(tmp_path: Path, by: str | None) -> None:
    def read(text: str) -> Intake:
        if by is not None:
            return taken(tmp_path, text, declared(by))
        (tmp_path / "table").write_text(text)
        intake = Intake()
        formats.read(tmp_path / "table", intake)
        return intake

    intake = read(SEVERAL_LINES)
    assert [name for name, _, _ in names(intake)] == ["a.example", "c.example", "e.example", "g.example"]
    assert [(item.line, item.reason.partition(":")[0]) for item in intake.rejected] == [(8, "not a row")]
    assert [(item.line, item.text, item.notice) for item in intake.notices] == [
        (2, 'a.example;"one', "a quoted cell goes on up to line 4: these lines are one row"),
        (5, 'c.example;"said ""no"" and', "a quoted cell goes on up to line 6: these lines are one row"),
    ]
    assert {item.file for item in intake.notices} == {intake.file}
    wide = read('name;note\na.example;"one\nb.example;two";three\nc.example;x\n')
    assert [(item.line, item.notice.partition(":")[0]) for item in wide.notices] == [
        (2, "a quoted cell goes on up to line 3")
    ]
    for rest in ("b.example;y\n", 'b.example;y\nc.example;"z"\n', "b.example;y\n" * 8000, "b.example;\ufffd\n"):
        with pytest.raises(SourceError, match=r"lines 3 to \d+: a quoted cell that does not end"):
            read(f'name;note\ne.example;e\na.example;"x\n{rest}')
    assert [item.line for item in read('name;note\ne.example;e\na.example;"x').rejected] == [3]


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
    with zipfile.ZipFile(tmp_path / "book.xlsx") as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    sheet = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:C3"', parts["xl/worksheets/sheet1.xml"])
    stale = zipped({**parts, "xl/worksheets/sheet1.xml": sheet})
    assert stale != zipped(parts)
    assert names(taken(tmp_path, stale, by)) == names(found)  # whatever size the sheet says that it has
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
        ("read: {kind: csv, encoding: zlib}\nname: {field: a}", "read.encoding: 'zlib' is no encoding here"),
        ("read: [", "not YAML"),
    ],
)
def test_a_mapping_that_is_wrong_names_the_key(text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        declared(text)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_text_in_wide_units_is_told_by_its_mark_and_refused_without_it(
    tmp_path: Path, kind: str, encoding: str
) -> None:
    by = declared(f"{{read: {{kind: {kind}, encoding: {encoding.upper()}}}, name: {{field: name}}}}")
    text = "name;note\na.example;x\n" if kind == "csv" else '[{"name": "a.example"}]'
    for order in ("le", "be"):
        assert len(taken(tmp_path, f"\ufeff{text}".encode(f"{encoding}-{order}"), by)) == 1
        with pytest.raises(SourceError, match=f"not {encoding}"):
            taken(tmp_path, text.encode(f"{encoding}-{order}"), by)


def many_grounds(count: int) -> tuple[str, mapping.Mapping]:
    """Rows, each with an order of its own."""
    rows = "".join(f"a{number}.example;{number};2026-06-01\n" for number in range(count))
    by = declared("{read: {kind: csv}, name: {field: domain}, ground: {order: {field: o}, date: {field: d}}}")
    return "domain;o;d\n" + rows, by


def test_every_order_of_a_large_register_is_read_and_their_number_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(taken(tmp_path, *many_grounds(5000)).grounds) == 5000
    monkeypatch.setattr(mapped, "MAX_GROUNDS", 4999)
    with pytest.raises(SourceError, match="more than 4,999 grounds"):
        taken(tmp_path, *many_grounds(5000))


def test_what_the_writing_of_a_name_says_goes_before_what_the_mapping_says_of_bare_names(tmp_path: Path) -> None:
    by = declared(
        "{read: {kind: csv}, name: {field: d, match: exact, star: subtree}, "
        "match_by: {field: t, one: exact, all: below}}"
    )
    rows = "d;t\na.example;one\n*.b.example;one\n.c.example;one\nd.example;all\n*.e.example;all\n"
    assert [(name, match) for name, match, _ in names(taken(tmp_path, rows, by))] == [
        ("a.example", "exact"), ("b.example", "subtree"), ("c.example", "subtree"), ("d.example", "below"),
        ("e.example", "subtree"),
    ]  # fmt: skip


def test_the_black_list_with_headings_in_place_of_number_and_time_is_the_same(tmp_path: Path) -> None:
    rows = "url ;fqdn\nhttp://brutto.example/a;brutto.example\n"
    assert names(taken(tmp_path, rows, formats.preset("italy-cncpo"))) == SAMPLES["italy-cncpo"].names


EXAMPLE = """
read: {{kind: {kind}, encoding: cp1251, skip: 1, delimiter: ";", header: true, comment: "#"}}
rows: "PozycjaRejestru"
name: {{field: AdresDomeny, split: "|", url: {url}, match: exact, star: subtree}}
match_by: {{field: "@blockType", domain: exact, domain-mask: below, default: reject}}
since: {{field: DataWpisu, format: iso, zone: Europe/Warsaw}}
withdrawn: {{field: DataWykreslenia, when: present}}
ground: {{order: "@number", date: "@date", authority: "@org", law: "Gambling Act"}}
expect: {{rows_at_least: 10000, shrink_at_most: 5%}}
"""


@pytest.mark.parametrize("kind", ["csv", "xml", "json", "xlsx", "lines", "zone"])
@pytest.mark.parametrize("url", ["host", "reject"])
def test_a_mapping_with_every_key_is_read_for_every_kind(kind: str, url: str) -> None:
    by = declared(EXAMPLE.format(kind=kind, url=url))
    assert (by.read.kind, by.name and by.name.url, by.expect.shrink_at_most) == (kind, url, 0.05)


def test_a_register_by_a_mapping_with_every_key(tmp_path: Path) -> None:
    def row(name: str, kind: str, more: str = "") -> str:
        return (
            f'<PozycjaRejestru blockType="{kind}" number="7-\u0430" date="2026-09-30" org="\u0424\u041d\u0421">'
            f"<AdresDomeny>{name}</AdresDomeny><DataWpisu>2026-07-01T00:30:00</DataWpisu>{more}</PozycjaRejestru>\n"
        )

    gone = "<DataWykreslenia>2026-07-02</DataWykreslenia>"
    rows = [
        row("a.example|http://b.example/x", "domain"), row("c.example", "domain-mask"), row("*.d.example", "domain"),
        row("e.example", "ip"), row("f.example", "domain", gone),
        *(row(f"n{number}.example", "domain") for number in range(9995)),
    ]  # fmt: skip
    text = '<?xml version="1.0" encoding="windows-1251"?>\n<Rejestr>\n' + "".join(rows) + "</Rejestr>\n"
    by = declared(EXAMPLE.format(kind="xml", url="host"))
    found = taken(tmp_path, text.encode("cp1251"), by)
    since = "2026-06-30T22:30:00Z"
    assert names(found)[:4] == [
        ("a.example", "exact", since), ("b.example", "exact", since), ("c.example", "below", since),
        ("d.example", "subtree", since),
    ]  # fmt: skip
    assert (len(found), found.counts["withdrawn"], found.counts["rejected"]) == (4 + 9995, 1, 1)
    assert [*found.grounds.values()] == [
        Basis("Gambling Act", "\u0424\u041d\u0421", "7-\u0430", "2026-09-30", "PL", "Court")
    ]
    with pytest.raises(SourceError, match="9,999 rows; the mapping expects 10,000 at least"):
        taken(tmp_path, text.replace(rows[-1], "").encode("cp1251"), by)
