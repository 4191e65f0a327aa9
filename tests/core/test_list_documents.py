"""Documents as the core sees them: what it refuses, what changed, what guards object to, what stays meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocklists import document
from blocklists.entry import Entry, EntryError, parse
from blocklists.text import REFUSED, is_text
from resolver import _core
from tests.rigs.list_documents import BASES, entry, numbered, write, write_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

A, B, C = entry("a.example", 1), entry("b.example", 2), entry("c.example", 3)
LINE = A.line()


def check(path: Path, state: str, *, size: int = 1 << 20, bases: Sequence[str] = BASES, old: Path | None = None) -> int:
    announced = (size, state, bases)
    return _core.examine(old, path, announced=announced, protected=[], suffixes=[], popular=[]).changes.entries


def refusal(path: Path, lines: list[bytes], **other: Any) -> tuple[str, int]:
    state = write_lines(path, lines)
    with pytest.raises(_core.ListError) as refused:
        check(path, state, **other)
    assert (refused.value.line > 0) == str(refused.value).startswith(f"line {refused.value.line}: ")
    return refused.value.kind, refused.value.line


BESIDE = [entry(f"{letter}.example", 100 + at) for at, letter in enumerate("012yz")]
"""Stand in both documents, before and after what is wrong with the new one."""


def test_a_document_of_the_issuer_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "full.zst"
    note = Entry("d.example", "exact", "order-17", "fraud", A.issued, A.expires, numbered(4), A.issued, 'ä "b" \\ 😀')
    summary = write(path, [C, A, B, note, entry("a.example", 5, "exact")])
    assert check(path, summary.state, size=summary.size) == 5
    assert summary.entries == 5


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([B.line(), A.line()], ("order", 2)),
        ([A.line(), A.line()], ("reference-twice", 2)),
        ([A.line(), entry("b.example", 1).line()], ("reference-twice", 2)),
        ([A.line(), entry("a.example", 2, "exact").line()], ("order", 2)),
        ([A.line(), entry("b.example", 2, basis="order-99").line()], ("no-basis", 2)),
        ([LINE.replace(b'"basis":"order-17",', b"")], ("no-basis", 1)),
        ([LINE.replace(b"order-17", b"")], ("no-basis", 1)),
        ([LINE.replace(b'"expires":"2099-01-01T00:00:00Z",', b"")], ("no-expiry", 1)),
        ([LINE.replace(b"2099-01-01", b"2026-11-22")], ("no-expiry", 1)),
        ([LINE.replace(b"2099-01", b"2099-13")], ("time", 1)),
        ([A.line(), LINE.replace(b"a.example", b"192.0.2.1")], ("ip-address", 2)),
        ([LINE.replace(b"a.example", b"A.example")], ("name", 1)),
        ([LINE.replace(b"a.example", b"a.example.")], ("name", 1)),
        ([LINE.replace(b"subtree", b"all")], ("match", 1)),
        ([LINE.replace(b'":"', b'": "', 1)], ("malformed", 1)),
        ([LINE.replace(b"}", b" }")], ("malformed", 1)),
        ([LINE[:-1] + b"\r\n"], ("malformed", 1)),
        ([b"\n"], ("malformed", 1)),
        ([LINE[:-1]], ("malformed", 1)),
        ([b"x" * 5000 + b"\n"], ("malformed", 1)),
        ([b"x" * 5000], ("malformed", 1)),
    ],
)
def test_what_is_wrong_is_named_with_its_line(lines: list[bytes], expected: tuple[str, int], tmp_path: Path) -> None:
    assert refusal(tmp_path / "full.zst", lines) == expected
    # as a step from a document that came before, whose lines are passed over
    write(tmp_path / "old.zst", BESIDE)
    before = [one.line() for one in BESIDE[:3]]
    among = [*before, *lines, *([one.line() for one in BESIDE[3:]] if lines[-1].endswith(b"\n") else [])]
    assert refusal(tmp_path / "full.zst", among, old=tmp_path / "old.zst") == (expected[0], expected[1] + 3)


def test_a_name_has_no_more_entries_than_a_query_should_meet(tmp_path: Path) -> None:
    crowd = sorted((entry("a.example", number) for number in range(17)), key=Entry.order)
    assert refusal(tmp_path / "full.zst", [one.line() for one in crowd]) == ("crowded", 17)


def test_another_state_more_octets_or_a_broken_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "full.zst"
    state = write_lines(path, [A.line(), B.line()])
    for wrong, size, kind in [
        ("sha256:" + "0" * 64, 1 << 20, "state-hash"),
        (state, len(A.line()), "too-large"),
        (state, 0, "too-large"),
    ]:
        with pytest.raises(_core.ListError) as refused:
            check(path, wrong, size=size)
        assert refused.value.kind == kind
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(_core.ListError):
            check(path, state)
    path.write_bytes(b"not compressed at all")
    with pytest.raises(_core.ListError, match="damaged"):
        check(path, state)
    with pytest.raises(_core.ListError, match="unreadable"):
        check(tmp_path / "nowhere", state)


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    path = tmp_path / "full.zst"
    with path.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as out:
        for _ in range(64):
            out.write(LINE * 5000)
    assert path.stat().st_size < 100_000
    with pytest.raises(_core.ListError) as refused:
        check(path, "sha256:" + "0" * 64, size=len(LINE))
    assert refused.value.kind == "too-large"


SPELLED = Entry(
    "a.example", "exact", "order-17", "fraud", A.issued, A.expires, numbered(4), A.issued, 'ä "b" \\'
).line()


@given(
    line=st.sampled_from([LINE, SPELLED]),
    edits=st.lists(
        st.tuples(
            st.integers(0, 260),
            st.integers(0, 3),
            st.one_of(
                st.text('{}",:\\u019azAZ-._ é', max_size=3),
                st.sampled_from(["-", "0x1", "\\u00e4", "\\ud83d", "9999-12-31T23:59:59Z", "2028-02-29", "\x7f", "\n"]),
            ),
        ),
        max_size=3,
    ),
)
@settings(
    deadline=None, max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_the_core_accepts_exactly_the_lines_that_the_issuer_s_half_writes(
    line: bytes, edits: list[tuple[int, int, str]], tmp_path: Path
) -> None:
    for at, gone, text in edits:
        line = line[:at] + text.encode() + line[at + gone :]
    try:
        entries = [parse(part + b"\n") for part in line.removesuffix(b"\n").split(b"\n")]
        fine = line.endswith(b"\n") and len(entries) == 1 and entries[0].basis in BASES
    except (EntryError, UnicodeDecodeError):
        fine = False
    path = tmp_path / "full.zst"
    state = write_lines(path, [line])
    if fine:
        assert check(path, state) == 1
    else:
        with pytest.raises(_core.ListError):
            check(path, state)


def later(one: Entry, expires: str) -> Entry:
    return Entry(one.name, one.match, one.basis, one.category, one.issued, expires, one.reference)


EXACT, BELOW = entry("a.example", 9, "exact"), entry("a.example", 8, "below")
OTHER_WORD = entry("a.example", 1, category="fraud")
EARLIER, LATER = "2027-01-01T00:00:00Z", "2100-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("old", "new", "changed", "left"),
    [
        ([A, B], [A, B], {}, [A, B]),
        ([A], [A, B], {"added": [B]}, [A]),
        ([A, B], [B], {"removed": [A]}, [B]),
        ([A], [], {"removed": [A]}, []),
        ([A], [later(A, LATER)], {"prolonged": [A]}, [A]),
        ([A], [later(A, EARLIER)], {"shortened": [A]}, [later(A, EARLIER)]),
        ([A], [OTHER_WORD], {"altered": [A]}, [OTHER_WORD]),
        # a narrower entry under a new reference takes the place of the wider one at once
        ([A], [EXACT], {"narrowed": [EXACT]}, [EXACT]),
        ([A], [BELOW], {"narrowed": [BELOW]}, [BELOW]),
        # but not for longer than the wider one held
        ([A], [later(EXACT, LATER)], {"widened": [EXACT]}, []),
        # a wider one waits as an addition does; what it replaces is gone from the new document
        ([EXACT], [A], {"widened": [A]}, []),
        ([EXACT], [BELOW], {"widened": [BELOW]}, []),
        # a second entry beside one that stays
        ([A], [A, EXACT], {"narrowed": [EXACT]}, [A, EXACT]),
        ([EXACT], [A, EXACT], {"added": [A]}, [EXACT]),
        # the same under another reference
        ([A], [entry("a.example", 9)], {"narrowed": [entry("a.example", 9)]}, [entry("a.example", 9)]),
        ([A, B, C], [A, entry("bb.example", 7), C], {"removed": [B], "added": [entry("bb.example", 7)]}, [A, C]),
    ],
)
def test_changes_are_told_apart_and_only_what_frees_applies_at_once(
    old: list[Entry], new: list[Entry], changed: dict[str, list[Entry]], left: list[Entry], tmp_path: Path
) -> None:
    write(tmp_path / "old", old)
    write(tmp_path / "new", new)
    found = _core.changes(tmp_path / "old", tmp_path / "new")
    kinds = ["added", "removed", "widened", "narrowed", "prolonged", "shortened", "altered"]
    counts = {kind: getattr(found, kind) for kind in kinds if getattr(found, kind)}
    assert counts == {kind: len(entries) for kind, entries in changed.items()}
    listed = sorted((change.kind, change.name, change.reference) for change in found.listed)
    assert listed == sorted((kind, one.name, one.reference) for kind, entries in changed.items() for one in entries)
    assert found.entries == len(new)
    assert found.unchanged == len([one for one in new if one in old])
    assert _core.restrain(tmp_path / "old", tmp_path / "new", tmp_path / "left") == len(left)
    size = sum(len(one.line()) for one in [*old, *new])
    assert list(document.read(tmp_path / "left", size=size)) == document.in_order(left)


def test_without_an_old_document_everything_is_added_and_nothing_is_left(tmp_path: Path) -> None:
    write(tmp_path / "new", [A, B])
    found = _core.changes(None, tmp_path / "new", limit=1)
    assert (found.added, len(found.listed), found.reused) == (2, 1, [])
    assert _core.restrain(None, tmp_path / "new", tmp_path / "left") == 0
    assert list(document.read(tmp_path / "left", size=0)) == []


def test_a_reference_that_moved_to_another_name_or_match_is_named(tmp_path: Path) -> None:
    write(tmp_path / "old", [A, B])
    write(tmp_path / "new", [B, entry("d.example", 1)])
    assert _core.changes(tmp_path / "old", tmp_path / "new").reused == [numbered(1)]
    write(tmp_path / "new", [entry("a.example", 1, "exact"), B])
    assert _core.changes(tmp_path / "old", tmp_path / "new").reused == [numbered(1)]
    write(tmp_path / "new", [entry("a.example", 9, "exact"), B])
    assert _core.changes(tmp_path / "old", tmp_path / "new").reused == []


def test_guards_look_at_what_is_added_or_widened_and_at_nothing_else(tmp_path: Path) -> None:
    stands = entry("google.com", 1)
    old = [stands, entry("isp.example", 2, "exact"), entry("co.uk", 3, "exact")]
    new = [
        stands,
        entry("isp.example", 4, "subtree"),
        entry("co.uk", 3, "exact"),
        entry("github.io", 5),
        entry("x.stop.isp.example", 6, "exact"),
        entry("com", 7, "below"),
        entry("harmless.example", 8),
        entry("drive.google.com", 9, "exact"),
    ]
    write(tmp_path / "old", old)
    summary = write(tmp_path / "new", new)
    found = _core.examine(
        tmp_path / "old",
        tmp_path / "new",
        protected=["stop.isp.example"],
        suffixes=["com", "uk", "co.uk", "github.io", "*.ck", "!www.ck"],
        popular=["google.com", "drive.google.com"],
        announced=(summary.size, summary.state, BASES),
    )
    assert {(finding.kind, finding.name, finding.against) for finding in found.findings} == {
        ("protected", "isp.example", "stop.isp.example"),
        ("protected", "x.stop.isp.example", "stop.isp.example"),
        ("public-suffix", "com", "com"),
        ("public-suffix", "github.io", "github.io"),
        ("popular", "com", "google.com"),
        ("popular", "drive.google.com", "drive.google.com"),
    }
    assert (found.protected, found.public_suffix, found.popular) == (2, 2, 2)
    assert (found.added, found.removed, found.changes.widened, found.changes.unchanged) == (6, 0, 1, 2)
    announced = (summary.size, summary.state, BASES)
    limited = _core.examine(
        None, tmp_path / "new", announced=announced, protected=["example"], suffixes=[], popular=[], limit=1
    )
    assert (limited.protected, len(limited.findings)) == (3, 1)


def test_what_is_withdrawn_is_in_force_in_neither_document(tmp_path: Path) -> None:
    """A slip that was taken off objects to nothing; what stood only withdrawn lets nothing through as narrowed."""
    withdrawn, slip = entry("google.com", 1), entry("stop.isp.example", 2)
    write(tmp_path / "old", [withdrawn])
    fresh = [withdrawn, slip, entry("google.com", 3, "exact"), entry("other.example", 4)]
    summary = write(tmp_path / "new", fresh)
    gone = [withdrawn.reference, slip.reference]
    found = _core.examine(
        tmp_path / "old", tmp_path / "new", announced=(summary.size, summary.state, BASES),
        protected=["stop.isp.example"], suffixes=[], popular=["google.com"], withdrawn=gone,
    )  # fmt: skip
    assert (found.added, found.removed, found.changes.narrowed) == (2, 0, 0)
    assert [(one.kind, one.name, one.match) for one in found.findings] == [("popular", "google.com", "exact")]
    assert _core.restrain(tmp_path / "old", tmp_path / "new", tmp_path / "left", withdrawn=gone) == 1
    write(tmp_path / "new", [slip])
    changed = _core.changes(tmp_path / "old", tmp_path / "new", withdrawn=gone)
    assert (changed.added, changed.removed, changed.entries) == (0, 0, 1)


def test_of_ascii_a_text_holds_what_can_be_printed() -> None:
    refused = {code for first, last in REFUSED for code in range(first, min(last + 1, 128))}
    assert refused == {code for code in range(128) if not chr(code).isprintable()}
    assert all(is_text(chr(code)) == (code not in refused) for code in range(128))


@pytest.mark.parametrize(("first", "last"), REFUSED)
def test_core_and_desk_allow_the_same_characters(first: int, last: int, tmp_path: Path) -> None:
    """One table: the edges of each of its ranges, and what lies beside them."""
    for point in (first - 1, first, last, last + 1):
        if not 0 <= point <= 0x10FFFF:
            continue
        text, line = f"x{chr(point)}", entry("a.example", 1).line()
        line = line.replace(b',"issued"', f',"impact":{json.dumps(text)},"issued"'.encode())
        summary = document.write_lines(tmp_path / "one", [line])
        announced = (summary.size, summary.state, BASES)
        try:
            _core.examine(None, tmp_path / "one", announced=announced, protected=[], suffixes=[], popular=[])
            allowed = True
        except _core.ListError:
            allowed = False
        assert allowed == is_text(text), f"U+{point:04X}"
        try:
            assert parse(line).impact == text
        except EntryError:
            assert not allowed, f"U+{point:04X}"
        else:
            assert allowed, f"U+{point:04X}"
