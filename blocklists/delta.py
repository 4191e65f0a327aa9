"""The step from one version of a document to the next: removed lines and added lines.

Enters: two documents, or one and a delta. Leaves: the delta, the new document, or the lines that differ; or
`DeltaError`, and `VerifyError` `reference-reuse`.

The file is zstd over lines in the order of the document; each is `-` or `+` and the canonical line. Everything here
streams, and no line is parsed.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from blocklists import document
from blocklists.document import DocumentError, Summary
from blocklists.entry import MAX_LINE
from blocklists.sealed import lines as sealed_lines
from blocklists.sealed.errors import SealError
from resolver._core import apply as apply_step
from resolver._core import first_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from resolver._core import Steps

REMOVED, ADDED = b"-", b"+"
LINES = 4096
NEAR = 1 << 10  # octets within which the next change is looked for first
Order = tuple[bytes, bytes, bytes]
_BASIS, _MATCH, _NAME, _REFERENCE = len(b'{"basis":"'), b'"match":"', b'","name":"', b'","reference":"'


class DeltaError(DocumentError):
    """The step does not start where it says, or does not lead where it says."""


def difference(old: Iterable[bytes], new: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """`(REMOVED | ADDED, line)` in the order of the document, from two runs of canonical lines."""
    olds, news = iter(old), iter(new)
    before, after = next(olds, None), next(news, None)
    while before is not None or after is not None:
        if before == after:
            before, after = next(olds, None), next(news, None)
        elif before is not None and (after is None or order(before) <= order(after)):
            # equal order: one entry that only changed a field outside its order goes, then comes
            yield REMOVED, before
            before = next(olds, None)
        elif after is not None:
            yield ADDED, after
            after = next(news, None)


def write(path: Path, changes: Iterable[tuple[bytes, bytes]]) -> Summary:
    """Write a delta file."""
    return document.write_lines(path, (sign + line for sign, line in changes))


def write_first(path: Path, lines: Path, size: int) -> None:
    """Write the step from nothing to a document of `size` octets, for this machine alone. Raises DeltaError."""
    with document.translated(DeltaError):
        first_step(lines, path, size=size, level=document.LOCAL_LEVEL)


def read(path: Path, *, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The changes of a delta file. Raises DocumentError."""
    for number, line in enumerate(document.read_lines(path, size=size), 1):
        if line[:1] not in {REMOVED, ADDED}:
            raise DeltaError("neither a line that goes nor one that comes", line=number)
        yield line[:1], line[1:]


class Before(NamedTuple):
    """A document that a step is taken from."""

    path: Path
    size: int
    """Octets that come out of it."""
    state: str | None = None
    """Where one was signed."""
    marks: Path | None = None
    """The file of its marks, if this machine may have it (`core/dnscore/src/list/marks.rs`)."""


class Made(NamedTuple):
    """A document that this machine has made."""

    path: Path
    sha256: bytes
    """Of its file, by which it was checked."""
    marks: Path


class Stepped(NamedTuple):
    """What was written."""

    summary: Summary
    delta_size: int
    """Octets of the step."""
    sha256: str
    """Of the new document's file: 64 digits."""


def apply(
    before: Before, delta: Path, delta_size: int, new: Path, expected: Summary, *, marks: Path,
    same_as: Made | None = None, sealed: bool = False,
) -> None:  # fmt: skip
    """Write to `new` what a document becomes, and its marks. Raises DocumentError unless that is `expected`."""
    made = stepped(
        before, (delta, delta_size), new, level=document.LOCAL_LEVEL, limit=expected.size, marks=marks,
        same_as=same_as, sealed=sealed,
    )  # fmt: skip
    if made.summary != expected:
        raise DeltaError("the step leads elsewhere")


def stepped(
    before: Before | None, steps: Steps | tuple[Path, int], new: Path, *, level: int = document.LEVEL,
    limit: int = document.MAX_SIZE, delta: Path | None = None, marks: Path | None = None, same_as: Made | None = None,
    sealed: bool = False,
) -> Stepped:  # fmt: skip
    """Write to `new` what a document becomes, to `delta` the step, to `marks` those of the new document. `steps` were
    made here, or are a delta file and the octets that come out of it. `same_as`: what this machine has made before and
    is said to come of it; what it shares with the new document is not hashed again. `sealed`: what is in the file are
    lines of a sealed list.

    The caller makes the files durable; the marks need not be. Raises DeltaError where the old document has another
    state, or a line that is to go is not in it; VerifyError `reference-reuse` where a reference comes back with another
    name, match or basis."""
    with document.translated(DeltaError):
        made = apply_step(
            before, steps, new, level=level, limit=limit, delta=delta, marks=marks, same_as=same_as, sealed=sealed
        )
    return Stepped(Summary(made.entries, made.size, made.state), made.delta_size, made.sha256)


def merged(old: Iterable[bytes], changes: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """The new lines from the old ones and the changes. Raises DeltaError where a line to be removed is not there."""
    return lines_of(merged_blocks(old, changes))


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of octets in blocks, each with its line feed. Raises DeltaError where the last one has none."""
    for block in _whole_lines(blocks):
        # not splitlines(): it would also split at a carriage return
        yield from (line + b"\n" for line in block[:-1].split(b"\n"))


def merged_blocks(old: Iterable[bytes], changes: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """As `merged`, from octets in blocks to blocks of whole lines: what no change touches is not taken apart.

    The changes are in the order of the document, and are read as they are met.
    """
    steps = _Ahead(iter(changes))
    for text in _whole_lines(old):
        yield _changed(text, steps) if steps.next else text
    coming = steps.coming()
    while block := b"".join(islice(coming, LINES)):
        yield block


class _Ahead:
    """Changes, the next of which is seen before it is taken."""

    def __init__(self, changes: Iterator[tuple[bytes, bytes]]) -> None:
        self._changes = changes
        self.next = next(changes, None)

    def take(self) -> None:
        self.next = next(self._changes, None)

    def coming(self) -> Iterator[bytes]:
        """The lines of those that are left. Raises DeltaError where one goes."""
        while self.next is not None:
            sign, line = self.next
            if sign == REMOVED:
                raise DeltaError("a line that is to go is not there")
            self.take()
            yield line


def _changed(text: bytes, steps: _Ahead) -> bytes:
    """The lines with those steps that fall among them, which are taken."""
    last, at = order(text[text.rfind(b"\n", 0, -1) + 1 :]), 0
    whole, parts = memoryview(text), []
    while steps.next is not None and (place := order(steps.next[1])) <= last:
        sign, line = steps.next
        steps.take()
        here = _place(text, place, at)
        parts.append(whole[at:here])
        at = here
        if sign == ADDED:
            parts.append(memoryview(line))
        elif text.startswith(line, here):
            at += len(line)
        else:
            raise DeltaError("a line that is to go is not there")
    return b"".join((*parts, whole[at:])) if parts else text


def _place(text: bytes, place: Order, start: int) -> int:
    """Where the first line from `start` on begins whose order is not below `place`; both are where lines begin."""
    reach, end = NEAR, start
    while (end := text.find(b"\n", end + reach) + 1) and order(text[text.rfind(b"\n", 0, end - 1) + 1 : end]) < place:
        start, reach = end, 2 * reach
    end = end or len(text)
    while start < end:
        middle = text.rfind(b"\n", start, (start + end) // 2) + 1 or start
        behind = text.find(b"\n", middle) + 1
        if order(text[middle:behind]) < place:
            start = behind
        else:
            end = middle
    return start


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets, cut where lines end."""
    rest = b""
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join((rest, memoryview(block)[:end]))
            rest = b""
        rest += block[end:]
        if len(rest) > MAX_LINE:
            raise DeltaError(f"a line is longer than {MAX_LINE} octets")
    if rest:
        raise DeltaError("ends without a line feed: the file is cut short")


def order(line: bytes) -> Order:
    """`Entry.order` of a canonical line, without parsing it."""
    _, match, name, reference = fields(line)
    return b"\0".join(name.split(b".")[::-1]), match, reference


def basis(line: bytes) -> str:
    """The basis of a canonical line, without parsing it."""
    return line[_BASIS : line.find(b'"', _BASIS)].decode("ascii")


def reference(line: bytes) -> str:
    """The reference of a canonical line, without parsing it."""
    return fields(line)[3].decode("ascii")


def fields(line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Basis, match, name (of a sealed list: its digest) and reference of a canonical line, without parsing it. Raises
    DeltaError on another line."""
    # Inside a JSON text a quote is escaped, so `"match":"` can only be the key; and these values hold no escapes
    try:
        match = line.index(_MATCH) + len(_MATCH)
        name = line.index(_NAME, match) + len(_NAME)
        end = line.index(_REFERENCE, name)
    except ValueError:
        return _sealed_fields(line)
    reference = end + len(_REFERENCE)
    return (
        line[_BASIS : line.index(b'"', _BASIS)], line[match : name - len(_NAME)], line[name:end],
        line[reference : reference + 16],
    )  # fmt: skip


def _sealed_fields(line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    try:
        return sealed_lines.fields(line)
    except SealError:
        raise DeltaError("not a canonical line") from None
