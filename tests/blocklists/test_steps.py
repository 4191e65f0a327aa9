"""The core's desk work beside the same work done line by line in Python: a step applied, lines found, names brought
onto a list; and frames, of which a change has one written again."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklists import delta, document, impact
from blocklists.admissible import everywhere
from blocklists.delta import Before, Made
from blocklists.document import Summary
from blocklists.entry import MATCHES, Entry, is_name, references
from blocklists.errors import VerifyError
from blocklists.importers import domains, formats
from blocklists.importers.intake import Candidate, Intake, gathered
from resolver import _core
from tests.bench.desk import invented
from tests.rigs.issuer_world import make_entry
from tests.rigs.list_documents import entry, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TERMS = '{"basis":"order-17","category":"gambling","expires":"2027-11-22T00:00:00Z","issued":"2026-11-22T00:00:00Z",'
FORM = TERMS + '"match":"subtree",', "}\n"
names = st.sets(st.sampled_from([f"{a}.{b}.example" for a in "abcdefgh" for b in "xyz"]), max_size=12)


def written(path: Path, lines: Iterable[bytes]) -> Before:
    summary = document.write_lines(path, lines)
    return Before(path, summary.size, summary.state)


def lines_of(chosen: Iterable[str], **fields: str) -> list[bytes]:
    entries = [entry(name, 256 * ord(name[0]) + ord(name[2]), **fields) for name in chosen]  # type: ignore[arg-type]
    return [one.line() for one in sorted(entries, key=Entry.order)]


def name_of(line: bytes) -> str:
    return delta.fields(line)[2].decode()


def octets_of(path: Path) -> bytes:
    return b"".join(document.read_blocks(path, size=document.MAX_SIZE))


@given(names, names, st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_step_leads_to_the_same_files_as_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, old: set[str], new: set[str], prolonged: bool
) -> None:
    folder = tmp_path_factory.mktemp("steps")
    before = lines_of(old)
    after = lines_of(new, **({"expires": "2029-01-01T00:00:00Z"} if prolonged else {}))
    steps = list(delta.difference(before, after))
    summary, size, _ = delta.stepped(
        written(folder / "old", before), _core.Steps(steps), folder / "new", delta=folder / "delta"
    )
    assert summary == document.write_lines(folder / "expected", after)
    assert (folder / "new").read_bytes() == (folder / "expected").read_bytes()
    assert size == delta.write(folder / "expected", steps).size
    assert (folder / "delta").read_bytes() == (folder / "expected").read_bytes()
    again, *_ = delta.stepped(written(folder / "old", before), (folder / "delta", size), folder / "again")
    assert again == summary
    assert list(_core.Steps(steps)) == steps


def test_an_old_document_in_another_state_is_not_changed(tmp_path: Path) -> None:
    path, size, state, _ = written(tmp_path / "old", lines_of(["a.x.example", "b.x.example"]))
    assert state is not None
    come = _core.Steps([(delta.ADDED, lines_of(["c.x.example"])[0])])
    for wrong in ((path, size, state[:-1] + ("0" if state[-1] != "0" else "1")), (path, size - 1, state)):
        with pytest.raises(document.DocumentError, match=r"state|octets"):
            delta.stepped(Before(*wrong), come, tmp_path / "new")
    with pytest.raises(document.DocumentError, match="more than"):
        delta.stepped(Before(path, size, state), come, tmp_path / "new", limit=size)
    for cut in range(path.stat().st_size):
        (tmp_path / "cut").write_bytes(path.read_bytes()[:cut])
        with pytest.raises(delta.DeltaError):
            delta.stepped(Before(tmp_path / "cut", size, state), come, tmp_path / "new")


def test_a_line_that_is_to_go_must_be_there_letter_by_letter(tmp_path: Path) -> None:
    old = written(tmp_path / "old", lines_of(["a.x.example"]))
    for gone in (lines_of(["b.x.example"]), lines_of(["a.x.example"], category="other"), lines_of(["0.x.example"])):
        with pytest.raises(delta.DeltaError, match="not there"):
            delta.stepped(old, _core.Steps([(delta.REMOVED, gone[0])]), tmp_path / "new")


def test_a_step_with_more_lines_that_go_than_are_there_is_refused_where_it_has_them(tmp_path: Path) -> None:
    lines = lines_of(["a.x.example", "b.x.example", "c.x.example"])
    old, step = written(tmp_path / "old", lines[:2]), b"".join(b"-" + line for line in lines) + b"no sign\n"
    (tmp_path / "step").write_bytes(zstandard.compress(step))
    for before, number in ((old, 2), (None, 0)):
        with pytest.raises(
            delta.DeltaError, match=f"^line {number + 1}: more lines go than the {number} that are there"
        ):
            delta.stepped(before, (tmp_path / "step", len(step)), tmp_path / "new")


# -- documents of several frames -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Before:
    """A document of 100,000 names: three frames."""
    path = tmp_path_factory.mktemp("long") / "full.zst"
    summary, *_ = delta.stepped(None, drawn(invented(100_000)), path)
    return Before(path, summary.size, summary.state)


def drawn(listed: Iterable[str]) -> _core.Steps:
    candidates = [Candidate(number, name, "subtree") for number, name in enumerate(listed, 1)]
    steps, unfit = _core.wanted(
        *gathered(candidates)[:1], [("subtree", "order-17", FORM)], document=None, withdrawn=[], replace=False,
        random=lambda count: hashlib.shake_256(b"long").digest(count),
    )  # fmt: skip
    assert not unfit
    return steps


def test_names_come_in_the_order_of_a_document_with_references_in_the_order_of_the_file(
    long: Before,
) -> None:
    listed = list(invented(100_000))
    drawn_from = references(len(listed), lambda count: hashlib.shake_256(b"long").digest(count))
    entries = [
        Entry(name, "subtree", "order-17", "gambling", "2026-11-22T00:00:00Z", "2027-11-22T00:00:00Z", reference)
        for name, reference in zip(listed, drawn_from, strict=True)
    ]
    assert octets_of(long[0]) == b"".join(one.line() for one in document.in_order(entries))


def test_one_name_more_has_one_frame_written_again_and_leads_to_the_same_file_as_from_nothing(
    long: Before, tmp_path: Path
) -> None:
    lines = octets_of(long[0]).splitlines(keepends=True)
    for at in (0, len(lines) // 2, len(lines) - 1):
        more = entry(f"zzz.{name_of(lines[at])}", at).line()  # the next line
        summary, *_ = delta.stepped(long, _core.Steps([(delta.ADDED, more)]), tmp_path / "new")
        before, now = frames(long[0]), frames(tmp_path / "new")
        assert len(now) == len(before) >= 3
        assert len(set(before) - set(now)) == 1
        gone = _core.Steps([(delta.REMOVED, more)])
        back, *_ = delta.stepped(Before(tmp_path / "new", summary.size, summary.state), gone, tmp_path / "back")
        assert back.state == long[2]
        assert (tmp_path / "back").read_bytes() == long[0].read_bytes()
    assert octets_of(tmp_path / "new") == b"".join([*lines, more])
    whole, *_ = delta.stepped(None, _core.Steps([(delta.ADDED, line) for line in (*lines, more)]), tmp_path / "whole")
    assert whole == summary
    assert (tmp_path / "new").read_bytes() == (tmp_path / "whole").read_bytes()


def frames(path: Path) -> list[bytes]:
    """Each frame of a file, by a library of others."""
    data, found = path.read_bytes(), []
    while data:
        one = zstandard.ZstdDecompressor().decompressobj()
        one.decompress(data)
        found.append(data[: len(data) - len(one.unused_data)])
        data = one.unused_data
    return found


@pytest.mark.skipif(shutil.which("zstd") is None, reason="apt install zstd")
def test_the_program_of_others_reads_all_frames(long: Before) -> None:
    told = subprocess.run(["zstd", "-dc", long[0]], capture_output=True, check=True).stdout
    assert hashlib.sha256(told).hexdigest() == str(long.state).removeprefix("sha256:")


def test_a_document_of_one_long_frame_as_it_was_written_before_takes_the_same_step(
    long: Before, tmp_path: Path
) -> None:
    old = written(tmp_path / "old", octets_of(long[0]).splitlines(keepends=True))
    assert old[1:] == long[1:]
    more = _core.Steps([(delta.ADDED, entry("middle.example", 1).line())])
    one, *_ = delta.stepped(old, more, tmp_path / "one")
    other, *_ = delta.stepped(long, more, tmp_path / "other")
    assert one == other
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_lines_are_found_by_name_and_by_reference_wherever_frames_end(long: Before, tmp_path: Path) -> None:
    lines = octets_of(long[0]).splitlines(keepends=True)
    chosen = [lines[0], lines[40_000], lines[-1], *frames_end(long[0], lines)]
    listed = [name_of(line) for line in chosen]
    expected = sorted(set(chosen), key=delta.order)
    cut = tmp_path / "cut"  # frames that end in the middle of lines, as another program may write them
    whole = b"".join(lines)
    cut.write_bytes(b"".join(zstandard.compress(whole[at : at + 3_000_017]) for at in range(0, len(whole), 3_000_017)))
    others = [numbered(10_000_000 + number) for number in range(20)]  # so many that lines are read one by one
    for path in (long[0], cut):
        assert _core.find(path, size=long[1], names=[*listed, "not.there.example"]) == expected
        assert _core.find(path, size=long[1], names=[*listed, *others]) == expected
        for beside in ([], others):
            references = [delta.reference(line) for line in chosen]
            assert _core.find(path, size=long[1], references=[*references, *beside]) == expected
            assert _core.find(path, size=long[1], references=[references[1], *beside]) == [chosen[1]]
        assert _core.find(path, size=long[1], names=[listed[0]]) == [chosen[0]]
        assert _core.find(path, size=long[1], names=["not.there.example"]) == []
        assert _core.find(path, size=long[1], names=["example"]) == [], "which stands in each line, and is no name"
    with pytest.raises(_core.ListError, match="octets than were announced"):
        _core.find(long[0], size=long[1] - 1, references=[numbered(1)])


def frames_end(path: Path, lines: list[bytes]) -> Iterable[bytes]:
    """The last line of each frame, and the first of the next."""
    at = 0
    for frame in frames(path):
        at += zstandard.ZstdDecompressor().decompressobj().decompress(frame).count(b"\n")
        yield from lines[at - 1 : at + 1]


@pytest.mark.parametrize("names", [10, 100_000])
def test_a_disk_that_is_full_is_said_whenever_it_is_noticed(marked: Before, names: int) -> None:
    with pytest.raises(VerifyError, match=r"/dev/full: No space left on device"):
        delta.stepped(None, drawn(invented(names)), Path("/dev/full"))
    for marks in (None, marked.marks):
        with pytest.raises(VerifyError, match=r"/dev/full: No space left on device"):
            delta.stepped(
                marked._replace(marks=marks), _core.Steps([(delta.ADDED, entry("a.a", 1).line())]), Path("/dev/full")
            )


# -- marks: what was hashed once -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marked(long: Before) -> Before:
    marks = long.path.with_suffix(".marks")
    _core.summary(long.path, size=long.size, marks=marks)
    return long._replace(marks=marks)


@pytest.mark.parametrize("places", [[0], [50_000], [99_999], [1, 60_000, 99_998], []])
def test_with_marks_a_step_leads_to_the_same_files_and_to_the_marks_of_the_new_document(
    marked: Before, tmp_path: Path, places: list[int]
) -> None:
    lines = octets_of(marked.path).splitlines(keepends=True)
    gone = [(delta.REMOVED, lines[at]) for at in places]
    come = [(delta.ADDED, entry(f"zzz.{name_of(lines[at])}", at).line()) for at in places]
    steps = _core.Steps(sorted([*gone, *come], key=lambda one: (delta.order(one[1]), one[0] == delta.ADDED)))
    made = delta.stepped(marked, steps, tmp_path / "new", marks=tmp_path / "new.marks")
    assert made == delta.stepped(marked._replace(marks=None), steps, tmp_path / "other")
    assert (tmp_path / "new").read_bytes() == (tmp_path / "other").read_bytes()
    assert made.sha256 == hashlib.sha256((tmp_path / "new").read_bytes()).hexdigest()
    assert _core.marked(tmp_path / "new", tmp_path / "new.marks") == (
        made.summary.entries, made.summary.size, made.summary.state
    )  # fmt: skip
    _core.summary(tmp_path / "new", size=made.summary.size, marks=tmp_path / "read.marks")
    assert (tmp_path / "new.marks").read_bytes() == (tmp_path / "read.marks").read_bytes()


def test_marks_that_are_damaged_or_of_another_document_are_as_none(marked: Before, tmp_path: Path) -> None:
    assert marked.marks is not None
    right, step = marked.marks.read_bytes(), _core.Steps([(delta.ADDED, entry("middle.example", 1).line())])
    expected = delta.stepped(marked, step, tmp_path / "new").summary
    bad = tmp_path / "bad.marks"
    cuts = [right[:at] for at in range(0, len(right), 41)]
    flips = [right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :] for at in range(0, len(right), 23)]
    for octets in (*cuts, *flips):
        bad.write_bytes(octets)
        assert _core.marked(marked.path, bad) is None
    for octets in (cuts[3], flips[5]):
        bad.write_bytes(octets)
        assert delta.stepped(marked._replace(marks=bad), step, tmp_path / "new").summary == expected
    # another document, which this one's marks would make the same
    other = written(tmp_path / "other", lines_of(["a.x.example"]))
    assert other.state != marked.state
    with pytest.raises(delta.DeltaError, match="have the state"):
        delta.stepped(other._replace(marks=marked.marks, state=marked.state), step, tmp_path / "new")
    # an octet of the document that has changed since
    data = bytearray(marked.path.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "changed").write_bytes(data)
    with pytest.raises(delta.DeltaError):
        delta.stepped(marked._replace(path=tmp_path / "changed"), step, tmp_path / "new")


HEADING, MARK = 17 + 32, 128


def numbers_of(marks: bytes) -> tuple[bytes, list[bytes]]:
    """The heading with the hash of the file, and each mark."""
    return marks[:HEADING], [marks[at : at + MARK] for at in range(HEADING, len(marks) - 32, MARK)]


def with_check(octets: bytes) -> bytes:
    return octets + hashlib.sha256(octets).digest()


def test_marks_that_lie_about_lengths_are_as_none_or_lead_to_an_error(marked: Before, tmp_path: Path) -> None:
    assert marked.marks is not None
    head, marks = numbers_of(marked.marks.read_bytes())
    assert len(marks) == len(frames(marked.path))
    step, bad = _core.Steps([(delta.ADDED, entry("middle.example", 1).line())]), tmp_path / "bad.marks"
    expected = delta.stepped(marked, step, tmp_path / "new")
    far = (1 << 62).to_bytes(8, "little")
    wrong = {
        "none": [], "back": marks[::-1], "cut": marks[:-1], "far": [marks[0], far + marks[1][8:], marks[2]],
        "long": [*marks[:-1], marks[-1][:8] + far + marks[-1][16:]],
    }  # fmt: skip
    for what, numbers in wrong.items():
        for file in (head, head[:-32] + bytes(32)):
            bad.write_bytes(with_check(file + b"".join(numbers)))
            try:
                made = delta.stepped(marked._replace(marks=bad), step, tmp_path / "new")
            except document.DocumentError:
                assert (what, file) == ("long", head), "which only its writer could have made"
                continue
            assert made == expected, what
            assert made.sha256 == hashlib.sha256((tmp_path / "new").read_bytes()).hexdigest()


@pytest.mark.parametrize("places", [[0], [50_000], [99_999], [0, 1, 99_998]])
def test_what_was_made_here_before_is_not_hashed_again(marked: Before, tmp_path: Path, places: list[int]) -> None:
    lines = octets_of(marked.path).splitlines(keepends=True)
    step = _core.Steps([(delta.REMOVED, lines[at]) for at in places])
    first = delta.stepped(marked, step, tmp_path / "first", marks=tmp_path / "first.marks")
    octets, marks = (tmp_path / "first").read_bytes(), (tmp_path / "first.marks").read_bytes()
    same_as = Made(tmp_path / "first", bytes.fromhex(first.sha256), tmp_path / "first.marks")

    def again(same_as: Made, level: int = document.LEVEL) -> delta.Stepped:
        return delta.stepped(
            marked, step, tmp_path / "new", level=level, marks=tmp_path / "new.marks", same_as=same_as
        )  # fmt: skip

    assert again(same_as) == first
    assert ((tmp_path / "new").read_bytes(), (tmp_path / "new.marks").read_bytes()) == (octets, marks)
    # the frames that change at another level, as a client has them
    assert again(same_as, document.LOCAL_LEVEL).summary == first.summary
    assert octets_of(tmp_path / "new") == octets_of(tmp_path / "first")
    found = _core.marked(tmp_path / "new", tmp_path / "new.marks")
    assert found is not None
    assert Summary(*found) == first.summary
    # only marks that this machine made could lead elsewhere, and only of the file that it made
    head, numbers = numbers_of(marks)
    lie = numbers[-1][:16] + (first.summary.entries + 7).to_bytes(8, "little") + numbers[-1][24:]
    (tmp_path / "first.marks").write_bytes(with_check(head + b"".join([*numbers[:-1], lie])))
    believed = places[-1] < 90_000  # else the last frame was written again
    assert (again(same_as).summary.entries - first.summary.entries == 7) == believed
    assert again(same_as._replace(sha256=bytes(32))) == first
    # another document, with what is right of it
    second = delta.stepped(marked, _core.Steps([]), tmp_path / "second", marks=tmp_path / "second.marks")
    other = Made(tmp_path / "second", bytes.fromhex(second.sha256), tmp_path / "second.marks")
    assert again(other) == first
    assert again(other._replace(marks=tmp_path / "none")) == first


def test_odd_frames_are_read_and_have_few_marks(long: Before, tmp_path: Path) -> None:
    whole, empty = octets_of(long.path), zstandard.compress(b"")
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00none"
    begin = whole.index(b"\n", 9 << 20) + 1
    parts = [zstandard.compress(whole[:begin]), zstandard.compress(whole[begin:])]
    short = zstandard.compress(whole[begin : begin + 20]) + zstandard.compress(whole[begin + 20 :])
    step, marks = _core.Steps([(delta.ADDED, entry("middle.example", 1).line())]), tmp_path / "marks"
    expected = delta.stepped(long, step, tmp_path / "new").summary
    odd = (
        parts[0] + empty + parts[1], parts[0] + parts[1] + empty, empty * 8 + parts[0] + parts[1],
        parts[0] + short, parts[0] + skipped + parts[1], skipped + parts[0] + parts[1] + skipped,
    )  # fmt: skip
    for number, octets in enumerate(odd):
        path = tmp_path / f"odd-{number}"
        path.write_bytes(octets)
        _core.summary(path, size=long.size, marks=marks)
        assert marks.stat().st_size < 1_000
        for kept in (None, marks):
            found = delta.stepped(
                Before(path, long.size, long.state, kept), step, tmp_path / "new", delta=tmp_path / "d"
            )
            assert found.summary == expected, number
            assert octets_of(tmp_path / "new").count(b"\n") == expected.entries
        # the same beside the document that was made of it
        made = delta.stepped(
            Before(path, long.size, long.state), step, tmp_path / "made", marks=tmp_path / "made.marks"
        )
        same_as = Made(tmp_path / "made", bytes.fromhex(made.sha256), tmp_path / "made.marks")
        assert delta.stepped(
            Before(path, long.size, long.state, marks), step, tmp_path / "new", same_as=same_as
        ).summary == expected  # fmt: skip
        name = name_of(whole[:begin].splitlines(keepends=True)[-1])
        assert len(_core.find(path, size=long.size, names=[name])) == 1
        reviewed = _core.review_step(tmp_path / "d", found.delta_size, impact.attention(limit=2))
        for kept in (None, marks):
            followed = _core.follow_step(
                (path, long.size), (tmp_path / "d", found.delta_size), reviewed, size=expected.size,
                bases=["order-17"], counted=False, marks=kept,
            )  # fmt: skip
            assert followed.state == expected.state, number


def readers(path: Path, size: int, folder: Path) -> Iterable[Callable[[], object]]:
    """All that reads the lines of a document: each call raises where it refuses it."""
    come, same = _core.Steps([(delta.ADDED, entry("zzz.zz", 1).line())]), (path, size)
    yield lambda: _core.check_document(path, size=size, bases=["order-17"])
    yield lambda: _core.find(path, size=size, names=["zzz.zz"])
    yield lambda: _core.find(path, size=size, references=[numbered(1)])
    yield lambda: _core.check_bonds(same, same, sealed=False)
    yield lambda: _core.first_step(path, folder / "first", size=size, level=1)
    yield lambda: _core.apply(Before(path, size), come, folder / "new", level=1)


def readers_and_summary(path: Path, size: int, folder: Path) -> Iterable[Callable[[], object]]:
    yield lambda: _core.summary(path, size=size)
    yield from readers(path, size, folder)


def framed(lines: Iterable[bytes]) -> list[bytes]:
    return [zstandard.compress(line) for line in lines]


SKIPPED, HOLLOW = b"\x50\x2a\x4d\x18\x04\x00\x00\x00none", zstandard.compress(b"")


def test_frames_that_hold_nothing_are_few_in_a_row(tmp_path: Path) -> None:
    lines = lines_of(["a.x.example", "b.x.example", "c.x.example"])
    path, size, parts = tmp_path / "odd", sum(map(len, lines)), framed(lines)
    for hollow in (SKIPPED, HOLLOW):
        # before each frame one, as pzstd has them; after the last one, as the seekable format; and more
        for few in (hollow + hollow.join(parts), b"".join(parts) + hollow, hollow * 8 + (hollow * 8).join(parts)):
            path.write_bytes(few)
            for reads in readers_and_summary(path, size, tmp_path):
                reads()
        many = hollow * 9
        for octets in (many + b"".join(parts), b"".join(parts) + many, many.join(parts)):
            path.write_bytes(octets)
            for reads in readers_and_summary(path, size, tmp_path):
                with pytest.raises(_core.ListError, match="more than 8 frames in a row hold nothing"):
                    reads()


def test_a_file_of_no_octets_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "nothing").write_bytes(b"")
    for reads in readers_and_summary(tmp_path / "nothing", 1, tmp_path):
        with pytest.raises(_core.ListError, match=r"nothing: not a whole zstd file: it is empty"):
            reads()


def test_a_line_without_an_end_is_gathered_no_further_than_a_line_may_be(tmp_path: Path) -> None:
    path, line = tmp_path / "long", zstandard.compress(b"a" * 4096)
    path.write_bytes(line * 3)
    for reads in readers(path, 3 * 4096, tmp_path):
        with pytest.raises(_core.ListError, match="longer than 4096 octets") as refused:
            reads()
        assert refused.value.kind == "malformed"


def test_a_document_of_very_many_frames_is_searched_in_one_go(tmp_path: Path) -> None:
    lines = [entry(name, number).line() for number, name in enumerate(invented(5_000))]
    lines.sort(key=delta.order)
    path, size = tmp_path / "frames", sum(map(len, lines))
    path.write_bytes(b"".join(framed(lines)))
    for line in (lines[0], lines[2_500], lines[-1]):
        assert _core.find(path, size=size, names=[delta.fields(line)[2].decode()]) == [line]
    # a step goes on from pieces of lines, however short
    whole = b"".join(lines[:100])
    path.write_bytes(b"".join(framed(whole[at : at + 7] for at in range(0, len(whole), 7))))
    come = _core.Steps([(delta.ADDED, entry("zzz.zz", 9_999).line())])
    delta.stepped(Before(path, len(whole)), come, tmp_path / "new")
    assert octets_of(tmp_path / "new") == b"".join([*lines[:100], entry("zzz.zz", 9_999).line()])


@pytest.mark.parametrize(("window", "fine"), [(23, True), (24, False)])
def test_no_document_needs_a_longer_window_than_encoders_keep_to(tmp_path: Path, window: int, fine: bool) -> None:
    lines = lines_of(["a.x.example", "b.x.example"])
    path, size = tmp_path / "window", sum(map(len, lines))
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path.write_bytes(compressor.compress(b"".join(lines)) + compressor.flush())
    assert zstandard.get_frame_parameters(path.read_bytes()).window_size == 1 << window
    for reads in readers_and_summary(path, size, tmp_path):
        if fine:
            reads()
        else:
            with pytest.raises(_core.ListError, match="too much memory"):
                reads()


MEASURED = """
import sys
from pathlib import Path
from resolver import _core

def most() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

def find():
    assert len(_core.find(path, size=size, names=[name])) == 1

def apply():
    step = _core.Steps([(b"+", come)])
    _core.apply((path, size, None, None), step, Path(sys.argv[6]), level=-3)

path, size, name, come, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4].encode(), sys.argv[5]
before = most()
{"find": find, "apply": apply}[what]()
print(most() - before)
"""


@pytest.mark.parametrize("what", ["find", "apply"])
def test_a_frame_that_nobody_reads_takes_no_memory_however_long_it_is(long: Before, tmp_path: Path, what: str) -> None:
    path, gap = tmp_path / "gap", 400 << 20
    first, *others = frames(long.path)
    with path.open("wb") as file:
        file.write(first + b"\x50\x2a\x4d\x18" + gap.to_bytes(4, "little"))
        file.seek(gap, 1)
        file.write(b"".join(others))
    last = octets_of(long.path).splitlines(keepends=True)[-1]
    come = entry("zzz.zzz", 1).line().decode()
    command = [
        sys.executable,
        "-c",
        MEASURED,
        str(path),
        str(long.size),
        delta.fields(last)[2].decode(),
        come,
        what,
        str(tmp_path / "new"),
    ]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert int(told) << 10 < gap // 2


def test_a_first_frame_may_go_beside_what_was_made_of_it(marked: Before, tmp_path: Path) -> None:
    assert marked.marks is not None
    entries = int.from_bytes(numbers_of(marked.marks.read_bytes())[1][0][16:24], "little")
    lines = octets_of(marked.path).splitlines(keepends=True)[:entries]
    step = _core.Steps([(delta.REMOVED, line) for line in lines])
    first = delta.stepped(marked, step, tmp_path / "first", marks=tmp_path / "first.marks")
    same_as = Made(tmp_path / "first", bytes.fromhex(first.sha256), tmp_path / "first.marks")
    assert delta.stepped(marked, step, tmp_path / "new", same_as=same_as) == first
    assert (tmp_path / "new").read_bytes() == (tmp_path / "first").read_bytes()


def test_marks_that_cannot_be_written_stop_nothing(marked: Before, tmp_path: Path) -> None:
    step = _core.Steps([(delta.ADDED, entry("middle.example", 1).line())])
    made = delta.stepped(marked, step, tmp_path / "new", marks=tmp_path / "no" / "folder")
    assert made == delta.stepped(marked, step, tmp_path / "new")
    assert _core.summary(marked.path, size=marked.size, marks=tmp_path / "no" / "folder")[2] == marked.state


def test_after_an_error_no_thread_goes_on_writing(marked: Before, tmp_path: Path) -> None:
    gone = _core.Steps([(delta.REMOVED, entry("zzz.zzz", 1).line())])
    for _ in range(3):
        with pytest.raises(delta.DeltaError, match="not there"):
            delta.stepped(marked._replace(marks=None), gone, tmp_path / "new")
        assert [path.name for path in Path("/proc/self/task").iterdir() if "pack" in (path / "comm").read_text()] == []


def test_frames_that_end_within_lines_have_marks_too(long: Before, tmp_path: Path) -> None:
    whole, cut = octets_of(long.path), tmp_path / "cut"
    cut.write_bytes(b"".join(zstandard.compress(whole[at : at + 3_000_017]) for at in range(0, len(whole), 3_000_017)))
    _core.summary(cut, size=long.size, marks=tmp_path / "marks")
    step = _core.Steps([(delta.ADDED, entry("middle.example", 1).line())])
    made = delta.stepped(Before(cut, long.size, long.state, tmp_path / "marks"), step, tmp_path / "new")
    assert made.summary == delta.stepped(long, step, tmp_path / "other").summary
    assert octets_of(tmp_path / "new") == octets_of(tmp_path / "other")


@pytest.mark.parametrize("at", [0, 50_000, 99_999])
def test_with_marks_a_signer_follows_a_step_to_the_same_state(marked: Before, tmp_path: Path, at: int) -> None:
    lines = octets_of(marked.path).splitlines(keepends=True)
    come = entry(f"zzz.{name_of(lines[at])}", 200_000 + at).line()
    made = delta.stepped(marked, _core.Steps([(delta.ADDED, come)]), tmp_path / "new", delta=tmp_path / "step")
    step = tmp_path / "step", made.delta_size
    reviewed = _core.review_step(*step, impact.attention(limit=2))
    for marks, compared in ((None, False), (marked.marks, False), (marked.marks, True)):
        found = _core.follow_step(
            (marked.path, marked.size), step, reviewed, size=made.summary.size, bases=["order-17"], counted=False,
            marks=marks, compared=compared,
        )  # fmt: skip
        assert (found.entries, found.size, found.state) == (
            made.summary.entries, made.summary.size, made.summary.state
        )  # fmt: skip


@pytest.mark.parametrize("at", [0, 50_000, 99_999])
def test_with_marks_too_a_reference_that_stands_before_the_first_change_is_seen(
    marked: Before, tmp_path: Path, at: int
) -> None:
    lines = octets_of(marked.path).splitlines(keepends=True)
    taken = delta.reference(lines[at])
    come = make_entry("zzzz.zz", taken).line()
    made = delta.stepped(marked, _core.Steps([(delta.ADDED, come)]), tmp_path / "new", delta=tmp_path / "step")
    step = tmp_path / "step", made.delta_size
    reviewed = _core.review_step(*step, impact.attention(limit=2))
    for marks in (None, marked.marks):
        with pytest.raises(_core.ListError, match=f"{taken} stands twice"):
            _core.follow_step(
                (marked.path, marked.size), step, reviewed, size=made.summary.size, bases=["order-17"], counted=False,
                marks=marks,
            )  # fmt: skip


@pytest.mark.parametrize("at", [0, 8, 16])
def test_with_marks_too_the_entries_of_a_name_are_counted_that_stand_in_two_frames(
    marked: Before, tmp_path: Path, at: int
) -> None:
    lines = octets_of(marked.path).splitlines(keepends=True)[:70_000]
    crowd = sorted(entry(f"zzz.{name_of(lines[49_999])}", 200_000 + number).line() for number in range(17))
    come = crowd.pop(at)
    parts = [*lines[:50_000], *crowd[:8]], [*crowd[8:], *lines[50_000:]]
    texts = [b"".join(part) for part in parts]
    assert len(texts[0]) > 8 << 20, "so that it has a mark"
    (tmp_path / "old").write_bytes(b"".join(map(zstandard.compress, texts)))
    size = sum(map(len, texts))
    _core.summary(tmp_path / "old", size=size, marks=tmp_path / "marks")
    step = delta.write(tmp_path / "step", [(delta.ADDED, come)])
    reviewed = _core.review_step(tmp_path / "step", step.size, impact.attention(limit=2))
    for marks in (None, tmp_path / "marks"):
        with pytest.raises(_core.ListError, match="more than 16 entries"):
            _core.follow_step(
                (tmp_path / "old", size), (tmp_path / "step", step.size), reviewed, size=2 * size, bases=["order-17"],
                counted=False, marks=marks,
            )  # fmt: skip


@pytest.mark.parametrize("others", [0, 3, 2000])
def test_the_desk_makes_no_step_that_leaves_a_name_with_too_many_entries(tmp_path: Path, others: int) -> None:
    before, after = ([entry(f"n{at:04}.{top}", at).line() for at in range(others)] for top in ("app", "net"))
    crowd = sorted(entry("crowd.example", at).line() for at in range(17))
    for at in (0, 8, 16):
        come = crowd[at]
        there = [line for line in crowd if line is not come]
        old = written(tmp_path / "old", [*before, *there, *after])
        with pytest.raises(delta.DeltaError, match=r"crowd\.example has more than 16 entries"):
            delta.stepped(old, _core.Steps([(delta.ADDED, come)]), tmp_path / "new")
        for gone in (there[0], there[-1]):
            steps = sorted([(delta.REMOVED, gone), (delta.ADDED, come)], key=lambda step: delta.order(step[1]))
            made = delta.stepped(old, _core.Steps(steps), tmp_path / "new")
            assert made.summary.entries == 2 * others + 16
    with pytest.raises(delta.DeltaError, match="more than 16 entries"):
        delta.stepped(None, _core.Steps([(delta.ADDED, line) for line in crowd]), tmp_path / "new")
    with pytest.raises(delta.DeltaError, match="more than 16 entries"):  # at both ends of what is there
        delta.stepped(
            written(tmp_path / "old", crowd[1:16]), _core.Steps([(delta.ADDED, crowd[0]), (delta.ADDED, crowd[16])]),
            tmp_path / "new",
        )  # fmt: skip


# -- names -------------------------------------------------------------------------------------------------------------

labels = st.sampled_from(
    [
        "a",
        "b1",
        "-x",
        "x-",
        "_dmarc",
        "com",
        "uk",
        "co",
        "arpa",
        "ntp",
        "github",
        "io",
        "ck",
        "www",
        "7",
        "0x1f",
        "xn--p1ai",
    ]
)
written_names = st.lists(labels, min_size=1, max_size=4).map(".".join) | st.sampled_from(
    ["A.com", "a.com.", "*.a.com", "a..com", "", "a b.com", "ä.com", f"{'a' * 64}.com", ".".join(["a" * 60] * 5)]
)


@given(st.lists(written_names, max_size=12))
@settings(max_examples=100, deadline=None)
def test_what_the_core_takes_by_itself_is_a_name_that_may_be_an_entry_with_any_match(texts: list[str]) -> None:
    rule = everywhere()
    taken = _core.Names(rule.tops, rule.seconds, rule.near, rule.wildcards)
    block, at, line = "".join(f"{text}\n" for text in texts).encode(), 0, 1
    left = set[int]()
    while True:
        at, line = taken.take(block, at=at, line=line, kind=0, writing="bare")
        if at == len(block):
            break
        left.add(line)
        at, line = block.index(b"\n", at) + 1, line + 1
    assert line == len(texts) + 1
    for number, name, _ in (taken[row] for row in range(len(taken))):
        assert texts[number - 1] == name
        assert is_name(name)
        assert not any(rule.refusal(name, match) for match in MATCHES)
    there = {taken[row][1] for row in range(len(taken))}
    for number in left:
        name = texts[number - 1]
        doubtful = not is_name(name) or "." not in name or name in there
        near = name in rule.near or any(part in rule.tops | rule.seconds for part in name.split("."))
        assert doubtful or near or name.partition(".")[2] in rule.wildcards


kinds = st.sampled_from(
    [Candidate(0, "", match, basis) for match in ("exact", "subtree", "below") for basis in (None, "order-18")]
)
short = st.sampled_from([f"{a}.{b}" for a in "abc" for b in ("x.example", "y.example", "com")])


@given(
    st.lists(st.tuples(short, kinds), max_size=20), st.lists(st.tuples(short, kinds), max_size=12, unique=True),
    st.sets(st.integers(0, 11)), st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_names_come_onto_a_list_as_a_dictionary_says(
    tmp_path_factory: pytest.TempPathFactory, wished: list[tuple[str, Candidate]],
    listed: list[tuple[str, Candidate]], off: set[int], replace: bool,
) -> None:  # fmt: skip
    """The oracle is a dictionary of bonds, line by line."""
    folder = tmp_path_factory.mktemp("wanted")
    there = document.in_order(
        entry(name, number, kind.match, basis=kind.basis or "order-17") for number, (name, kind) in enumerate(listed)
    )
    withdrawn = {numbered(number) for number in off}
    candidates = [kind._replace(line=line, name=name) for line, (name, kind) in enumerate(wished, 1)]
    names, of = gathered(candidates)
    forms = [(kind.match, kind.basis or "order-17", form(kind.match, kind.basis or "order-17")) for kind in of]
    octets = hashlib.shake_256(b"wanted").digest
    steps, unfit = _core.wanted(
        names, forms, document=(written(folder / "old", (one.line() for one in there))[:2]),
        withdrawn=sorted(withdrawn), replace=replace, random=octets,
    )  # fmt: skip
    wanted: dict[tuple[str, str, str], None] = dict.fromkeys(
        (one.name, one.match, one.basis or "order-17") for one in candidates
    )
    gone = []
    for one in there:
        bond = one.name, one.match, one.basis
        if one.reference in withdrawn:
            if replace or bond in wanted:
                gone.append(one.line())
        elif bond in wanted:
            del wanted[bond]
        elif replace:
            gone.append(one.line())
    come = [
        Entry(name, match, basis, "gambling", "2026-11-22T00:00:00Z", "2027-11-22T00:00:00Z", reference).line()  # type: ignore[arg-type]
        for (name, match, basis), reference in zip(wanted, references(len(wanted), octets), strict=True)
    ]
    expected = [*((delta.REMOVED, line) for line in gone), *((delta.ADDED, line) for line in come)]
    assert list(steps) == sorted(expected, key=lambda change: (delta.order(change[1]), change[0] == delta.ADDED))
    assert len(steps) == len(expected)
    assert steps.bases() == sorted({delta.basis(line) for line in come})
    assert unfit == []


def form(match: str, basis: str) -> tuple[str, str]:
    before, after = FORM
    return before.replace("subtree", match).replace("order-17", basis), after


def test_hosts_lines_and_rules_are_taken_where_they_are_plain(tmp_path: Path) -> None:
    hosts = (
        "0.0.0.0 a.example.com\n::1\tb.example.com\r\n127.0.0.1  c.example.com\n0.0.0.0 localhost.localdomain\n"
        "0.0.0.0 d.example.com # why\n8.8.8.8 e.example.com\n"
    )
    rules = "||a.example.com^\n||B.example.com^\n! c\n||d.example.com^$third-party\n"
    bare = "a.example.com\r\n# b\nA.example.com\n*.c.example.com\nd.example.com"
    for form, text, taken in (("hosts", hosts, "abcd"), ("adblock", rules, "ab"), ("domains", bare, "acd")):
        intake, path = Intake("subtree"), tmp_path / form
        path.write_text(text)
        formats.read(path, intake, form=form)
        assert {one.name.partition(".")[0] for one in intake.candidates} == set(taken)
        assert intake.lines == len(text.splitlines())


def test_long_lines_and_octets_that_are_no_text_are_rejected_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_bytes(b"\xef\xbb\xbfa.example.com\n\xff.example.com\n" + b"x" * 2_000_000 + b"\nb.example.com\n")
    intake = Intake()
    domains.read(path, intake)
    assert [(one.line, one.name) for one in intake.candidates] == [(1, "a.example.com"), (4, "b.example.com")]
    assert [(one.line, one.reason) for one in intake.rejected] == [(2, "not UTF-8"), (3, "the line is too long")]
    assert next(islice(intake.each(), 1, None)).name == "b.example.com"
