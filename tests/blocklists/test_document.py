"""The document, the delta and the head: written in one form, read within bounds."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from blocklists import delta, document
from blocklists.delta import Before
from blocklists.document import DocumentError, StateError, Summary, TooLargeError
from blocklists.entry import Entry
from blocklists.errors import VerifyError
from blocklists.head import Delta, Head, HeadError, Relief, Suspension
from blocklists.sealed.lines import seal_all
from resolver._core import check_bonds
from tests.rigs.issuer_world import BASIS, ISSUER, make_entry
from tests.rigs.limits import no_descriptor_left

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

ENTRIES = document.in_order(
    make_entry(name, f"{number:016d}") for number, name in enumerate(["b.com", "a.com", "c.de"])
)


def written(folder: Path, entries: list[Entry] | None = None) -> tuple[Path, Summary]:
    path = folder / "full.zst"
    return path, document.write(path, ENTRIES if entries is None else entries)


def test_what_is_written_is_read_and_its_hash_is_over_the_lines(tmp_path: Path) -> None:
    path, summary = written(tmp_path)
    assert list(document.read(path, size=summary.size)) == ENTRIES
    assert summary == document.summarise(entry.line() for entry in ENTRIES)
    assert zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read() == b"".join(
        entry.line() for entry in ENTRIES
    )
    document.check(path, expected=summary, bases={"order-17"})


def test_an_empty_document_is_one(tmp_path: Path) -> None:
    path, summary = written(tmp_path, [])
    assert summary.entries == summary.size == 0
    document.check(path, expected=summary, bases=set())


def test_the_same_reference_twice_is_refused() -> None:
    with pytest.raises(DocumentError, match="stands twice"):
        document.in_order([make_entry("a.com"), make_entry("b.com")])


def check_lines(folder: Path, lines: list[bytes], bases: set[str] | None = None) -> None:
    path = folder / "lines.zst"
    summary = document.write_lines(path, lines)
    document.check(path, expected=summary, bases={"order-17"} if bases is None else bases)


LINES = [entry.line() for entry in ENTRIES]


@pytest.mark.parametrize(
    ("lines", "bases", "reason"),
    [
        ([LINES[1], LINES[0]], None, "line 2: a.com does not belong after the line before it"),
        ([LINES[0], LINES[0]], None, "line 2: reference .* stands on line 1 already"),
        ([LINES[0], LINES[0].replace(b"0000000000000001", b"0000000000000000")], None, "line 2: a.com does not belong"),
        ([LINES[0], LINES[1].replace(b"0000000000000000", b"0000000000000001")], None, "line 2: reference .* line 1"),
        (LINES, {"order-18"}, "line 1: basis order-17 is not in the head's table"),
        ([LINES[0], b"\n"], None, "line 2: not a canonical line"),
        ([LINES[0].replace(b"a.com", b"10.0.0.1")], None, "line 1: .*IP address"),
        ([LINES[0].replace(b"\n", b"\r\n")], None, "line 1: not a canonical line"),
        ([LINES[0].rstrip()], None, "line 1: ends without a line feed"),
        ([b"x" * 9000], None, "line 1: longer than"),
    ],
)
def test_a_document_that_breaks_a_rule_is_refused_by_line(
    tmp_path: Path, lines: list[bytes], bases: set[str] | None, reason: str
) -> None:
    with pytest.raises(DocumentError, match=reason):
        check_lines(tmp_path, lines, bases)


def test_another_state_size_or_count_than_announced_is_refused(tmp_path: Path) -> None:
    path, summary = written(tmp_path)
    for wrong, error in (
        (Summary(3, summary.size, "sha256:" + "0" * 64), StateError),
        (Summary(3, summary.size + 1, summary.state), StateError),
        (Summary(3, summary.size - 1, summary.state), TooLargeError),
        (Summary(4, summary.size, summary.state), DocumentError),
    ):
        with pytest.raises(error):
            document.check(path, expected=wrong, bases={"order-17"})


def test_a_bomb_is_stopped_at_the_announced_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zst"
    path.write_bytes(zstandard.ZstdCompressor(level=3).compress(b"\0" * (256 << 20)))
    blocks = document.read_blocks(path, size=10_000)
    with pytest.raises(TooLargeError, match="announced 10000 octets"):
        next(blocks)


def test_an_announced_size_beyond_every_list_is_refused_before_reading(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="no list has more"):
        list(document.read_blocks(tmp_path / "not there", size=document.MAX_SIZE + 1))


def test_a_window_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "wide.zst"
    path.write_bytes(compressor.compress(b"x" * 1000) + compressor.flush())
    with pytest.raises(DocumentError, match="damaged"):
        list(document.read_blocks(path, size=1000))


@pytest.mark.parametrize("cut", range(0, 100, 7))
def test_a_damaged_file_is_never_taken(tmp_path: Path, cut: int) -> None:
    path, summary = written(tmp_path)
    data = path.read_bytes()
    at = cut * len(data) // 100
    for damaged in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], data + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(DocumentError):
            document.check(path, expected=summary, bases={"order-17"})


# -- delta -------------------------------------------------------------------------------------------------------------

names = st.sets(st.sampled_from([f"{a}.{b}.example" for a in "abcdefgh" for b in "xyz"]), max_size=12)


def lines_of(chosen: set[str], expires: str = "2027-11-22T12:00:00Z") -> list[bytes]:
    entries = [make_entry(name, f"{sum(name.encode()):016d}"[-16:], expires=expires) for name in chosen]
    return [entry.line() for entry in sorted(entries, key=Entry.order)]


@given(names, names)
def test_a_step_leads_from_one_document_to_the_other(old: set[str], new: set[str]) -> None:
    before, after = lines_of(old), lines_of(new)
    steps = list(delta.difference(before, after))
    assert list(delta.merged(before, steps)) == after
    together = b"".join(before)
    for octets in (300, 3_000, 30_000):
        cuts = [together[at : at + octets] for at in range(0, len(together), octets)]
        assert b"".join(delta.merged_blocks(cuts, steps)) == b"".join(after)
    assert {line for sign, line in steps if sign == delta.ADDED} == set(after) - set(before)
    assert {line for sign, line in steps if sign == delta.REMOVED} == set(before) - set(after)


def test_an_entry_that_only_gets_another_end_goes_and_comes() -> None:
    before, after = lines_of({"a.x.example"}), lines_of({"a.x.example"}, expires="2028-01-01T00:00:00Z")
    assert list(delta.difference(before, after)) == [(b"-", before[0]), (b"+", after[0])]
    assert list(delta.merged(before, delta.difference(before, after))) == after


def test_a_step_that_takes_away_what_is_not_there_is_refused() -> None:
    with pytest.raises(delta.DeltaError, match="not there"):
        list(delta.merged([], [(b"-", LINES[0])]))


def test_fields_are_read_from_a_line_without_parsing_it_even_with_text_that_looks_like_a_key() -> None:
    rng = random.Random(1)
    for number in range(200):
        impact = rng.choice([None, '"name":"evil.example"', '","match":"exact","name":"x"', "\\", 'ü"match":"'])
        entry = make_entry(f"n{number}.example", f"{number:016d}", impact=impact)
        fields = entry.basis, entry.match, entry.name, entry.reference
        assert delta.fields(entry.line()) == tuple(field.encode() for field in fields)
        assert delta.order(entry.line())[0].decode() == entry.order()[0]


OTHER: dict[str, dict[str, Any]] = {
    "name": {"name": "b.com"}, "match": {"match": "exact"}, "basis": {"basis": "order-18"},
    "end": {"expires": "2030-01-01T00:00:00Z"},
}  # fmt: skip
KEYS = {"readable": (None, None), "sealed": (b"k" * 16, b"k" * 16), "rekeyed": (b"k" * 16, b"l" * 16)}


@pytest.mark.parametrize("what", OTHER)
@pytest.mark.parametrize("kind", KEYS)
def test_a_reference_comes_back_with_its_name_match_and_basis_or_not_at_all(
    tmp_path: Path, kind: str, what: str
) -> None:
    old = [make_entry("a.com", "5" * 16), make_entry("m.com", "6" * 16), make_entry("z.com", "7" * 16)]
    versions = old, [replace(old[0], **OTHER[what]), *old[1:], make_entry("y.com", "8" * 16)]
    lines = [[entry.line() for entry in document.in_order(entries)] for entries in versions]
    lines = [seal_all(some, key) if key else some for some, key in zip(lines, KEYS[kind], strict=True)]
    summaries = [document.write_lines(tmp_path / str(at), some) for at, some in enumerate(lines)]
    # under another names' key nobody sees that the name is another one
    refused = what in {"match", "basis"} or (what == "name" and kind != "rekeyed")

    def refusal() -> AbstractContextManager[object]:
        return pytest.raises(VerifyError, match="5555555555555555 stood for another") if refused else nullcontext()

    with refusal(), document.translated():
        check_bonds(
            (tmp_path / "0", summaries[0].size), (tmp_path / "1", summaries[1].size), sealed=kind != "readable",
            rekeyed=kind == "rekeyed",
        )  # fmt: skip
    if kind != "rekeyed":
        step = delta.write(tmp_path / "step", delta.difference(*lines))
        before = Before(tmp_path / "0", summaries[0].size, summaries[0].state)
        with refusal():
            delta.apply(
                before, tmp_path / "step", step.size, tmp_path / "new", summaries[1], marks=tmp_path / "new.marks",
                sealed=kind == "sealed",
            )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        [make_entry("a.com", f"{at:016d}", "exact" if at % 2 else "subtree").line() for at in range(17)],
        [make_entry("m.com").line(), make_entry("a.com", "1" * 16).line()],
        [make_entry("a.com").line().replace(b"gambling", b"GAM bling")],
        [make_entry("a.com", "ABCDEFGHJKMNPQRS").line().lower()],
        [b"no line of a list\n"],
    ],
    ids=["crowded", "order", "category", "reference", "none"],
)
def test_what_is_wrong_is_taken_neither_by_step_nor_whole_and_keeps_nothing_out(
    tmp_path: Path, wrong: list[bytes]
) -> None:
    right = [make_entry("z.com", "7" * 16).line()]
    # what was wrong comes right under its reference, at another name
    mended = [make_entry("b.net", reference).line() for reference in ("0" * 16, "ABCDEFGHJKMNPQRS") if len(wrong) == 1]
    texts = {"right": right, "wrong": [*wrong, *right], "next": sorted([*right, *mended], key=delta.order)}
    kept = {name: document.write_lines(tmp_path / name, lines) for name, lines in texts.items()}

    def follows(old: str, new: str) -> None:
        with document.translated():
            check_bonds((tmp_path / old, kept[old].size), (tmp_path / new, kept[new].size), sealed=False)

    follows("wrong", "next")
    if len(wrong) > 1:  # each line by itself is one: the provider's guards look at the document
        follows("right", "wrong")
        return
    with pytest.raises(DocumentError, match="line 1: "):
        follows("right", "wrong")
    step = document.write_lines(tmp_path / "step", [delta.ADDED + wrong[0]])
    before = Before(tmp_path / "right", kept["right"].size, kept["right"].state)
    with pytest.raises(delta.DeltaError, match=r"line 1: |not a canonical line"):
        delta.apply(before, tmp_path / "step", step.size, tmp_path / "new", kept["wrong"], marks=tmp_path / "marks")


@pytest.mark.parametrize("wrong", [b"no line feed", b"x" * 5000 + b"\n" + b"y" * 300_000 + b"\n"], ids=["end", "long"])
def test_an_old_document_without_lines_keeps_nothing_out_and_a_new_one_is_refused(tmp_path: Path, wrong: bytes) -> None:
    right = [make_entry(name, at * 16).line() for name, at in (("a.com", "5"), ("b.com", "6"), ("c.com", "7"))]
    other = make_entry("a.net", "5" * 16).line()
    texts = {"wrong": [right[0], wrong], "right": right, "other": [*right[1:], other]}
    kept = {name: (tmp_path / name, document.write_lines(tmp_path / name, text).size) for name, text in texts.items()}
    check_bonds(kept["wrong"], kept["right"], sealed=False)
    with pytest.raises(VerifyError, match="stood for another"), document.translated():
        check_bonds(kept["wrong"], kept["other"], sealed=False)  # what comes before is bound
    with pytest.raises(DocumentError, match="line 2: "), document.translated():
        check_bonds(kept["right"], kept["wrong"], sealed=False)


def test_trouble_of_this_machine_is_not_said_of_the_document(tmp_path: Path) -> None:
    path, summary = written(tmp_path)
    with pytest.raises(VerifyError, match="Too many open files") as refusal, no_descriptor_left():
        document.check_state(path, expected=summary)
    assert refusal.value.reason == "storage"
    document.check_state(path, expected=summary)


def test_a_reference_that_stood_twice_was_bound_to_nothing(tmp_path: Path) -> None:
    old = document.write(tmp_path / "old", [make_entry("a.com", "5" * 16), make_entry("b.com", "5" * 16)])
    new = document.write(tmp_path / "new", [make_entry("a.com", "5" * 16, expires="2028-11-22T12:00:00Z")])
    check_bonds((tmp_path / "old", old.size), (tmp_path / "new", new.size), sealed=False)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_line_of_the_other_form_is_refused_and_no_name_is_said(tmp_path: Path, *, sealed: bool) -> None:
    names = [make_entry(name, at * 16).line() for name, at in (("one.example", "5"), ("two.example", "6"))]
    digests = seal_all(names, b"k" * 16)
    own, foreign = (digests, names) if sealed else (names, digests)
    for line in (foreign[0], foreign[0].replace(b"one", b"ONE"), make_entry("three.example", "5" * 16).line()):
        if not sealed and b"three" in line:
            continue
        kept = document.write_lines(tmp_path / "old", own), document.write_lines(tmp_path / "new", [line])
        step = document.write_lines(tmp_path / "step", [delta.ADDED + line])
        with pytest.raises(DocumentError) as refusal, document.translated():
            check_bonds((tmp_path / "old", kept[0].size), (tmp_path / "new", kept[1].size), sealed=sealed)
        assert not sealed or ".example" not in str(refusal.value)
        with pytest.raises(DocumentError) as refusal:
            delta.apply(
                Before(tmp_path / "old", kept[0].size, kept[0].state), tmp_path / "step", step.size, tmp_path / "made",
                kept[1], marks=tmp_path / "marks", sealed=sealed,
            )  # fmt: skip
        assert not sealed or ".example" not in str(refusal.value)


def test_steps_are_read_as_they_are_met() -> None:
    old = [make_entry(f"n{at:05}.example", f"{at:016d}").line() for at in range(20_000)]
    taken: list[bytes] = []

    def changes() -> Iterator[tuple[bytes, bytes]]:
        for line in old:
            taken.append(line)
            yield delta.REMOVED, line

    merged = delta.merged_blocks([b"".join(old[at : at + 100]) for at in range(0, 20_000, 100)], changes())
    assert next(merged) == b""
    assert len(taken) < 200
    assert b"".join(merged) == b""
    assert list(delta.lines_of([b"a\r", b"b\nc\n"])) == [b"a\rb\n", b"c\n"]


def test_a_line_without_an_end_is_gathered_no_further_than_a_line_may_be() -> None:
    blocks = iter([b"a" * 4096, b"a", b"never asked for"])
    with pytest.raises(delta.DeltaError, match="longer than 4096 octets"):
        list(delta.lines_of(blocks))
    assert next(blocks) == b"never asked for"


# -- head and relief ---------------------------------------------------------------------------------------------------

HEAD = Head(
    "gambling", 3, 2, "sha256:" + "a" * 64, ISSUER, {"order-17": BASIS}, "gambling.full-3.zst", 400,
    Delta("gambling/delta-2-3.zst", 100, 2),
)  # fmt: skip


def test_a_head_goes_there_and_back() -> None:
    assert Head.from_bytes(HEAD.to_bytes()) == HEAD
    assert json.loads(HEAD.to_bytes())["delta"] == {"from": 2, "path": "gambling/delta-2-3.zst", "size": 100}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "format 2"),
        ({"list": "Gambling"}, "not a list's name"),
        ({"list": "relief"}, "not a list's name"),
        ({"list": "../x"}, "not a list's name"),
        ({"version": 0}, "version"),
        ({"version": True}, "version"),
        ({"state": "sha256:00"}, "state"),
        ({"entries": -1}, "entries"),
        ({"full": {"path": "gambling/../../etc/passwd", "size": 1}}, "full: path"),
        ({"full": {"path": "gambling.full-3.zst", "size": 1 << 40}}, "full: size"),
        ({"delta": {"path": "gambling/delta-1-3.zst", "size": 1, "from": 1}}, "delta"),
        ({"sealed": {"key": "x"}}, "sealed"),
        ({"more": 1}, "unknown key 'more'"),
        ({"issuer": {"name": "x"}}, "issuer: no appeals"),
        ({"issuer": {"name": "x\u0007", "contact": "y", "appeals": "z"}}, "issuer: name"),
        ({"bases": {"order 17": {}}}, "key of letters"),
        ({"bases": {"order-17": {}}}, "bases: order-17: no "),
        ({"bases": []}, "bases: not an object"),
    ],
)
def test_a_head_that_breaks_a_rule_is_refused_by_key(change: dict[str, object], reason: str) -> None:
    fields = json.loads(HEAD.to_bytes()) | change
    with pytest.raises(HeadError, match=reason):
        Head.from_bytes(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n")


def test_a_head_in_another_spelling_is_refused() -> None:
    with pytest.raises(HeadError, match="canonical"):
        Head.from_bytes(json.dumps(json.loads(HEAD.to_bytes())).encode())
    with pytest.raises(HeadError, match="not JSON"):
        Head.from_bytes(b"[" * 100_000)
    with pytest.raises(HeadError, match="larger"):
        Head.from_bytes(b" " * (2 << 20))


def test_a_relief_goes_there_and_back_and_has_no_key_that_could_add() -> None:
    relief = Relief("gambling", 2, {"0" * 16: Suspension("2026-11-22T12:00:00Z", "wrong folder")})
    assert Relief.from_bytes(relief.to_bytes()) == relief
    fields = json.loads(relief.to_bytes()) | {"added": ["example.com"]}
    with pytest.raises(HeadError, match="unknown key 'added'"):
        Relief.from_bytes(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n")
