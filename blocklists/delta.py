"""The step from one version of a document to the next: the lines that go, and the lines that come.

Enters: two documents, or one and a delta. Leaves: the delta, the new document, or the difference as entries; or
`DeltaError`, and `VerifyError` `reference-reuse`.

The file is zstd over lines in the order of the document; each is `-` or `+` and the canonical line. Everything here
streams: both documents are walked side by side once, and only lines that differ are parsed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from blocklists import document
from blocklists.document import DocumentError, Summary
from blocklists.entry import Entry, EntryError, parse
from blocklists.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

REMOVED, ADDED = b"-", b"+"
PIECE = 1 << 14  # octets
LINES = 4096
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


def read(path: Path, *, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The changes of a delta file. Raises DocumentError."""
    for number, line in enumerate(document.read_lines(path, size=size), 1):
        if line[:1] not in {REMOVED, ADDED}:
            raise DeltaError("neither a line that goes nor one that comes", line=number)
        yield line[:1], line[1:]


def apply(old: Path, old_size: int, delta: Path, delta_size: int, new: Path, expected: Summary) -> None:
    """Write to `new` what `old` becomes; raises DocumentError unless that is exactly `expected`."""
    changes = list(read(delta, size=delta_size))
    check_rebinding(changes)
    blocks = merged_blocks(document.read_blocks(old, size=old_size), changes)
    if document.write_blocks(new, _bounded(blocks, expected.size), level=document.LOCAL_LEVEL) != expected:
        raise DeltaError("the step leads elsewhere")


def merged(old: Iterable[bytes], changes: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """The new lines from the old ones and the changes. Raises DeltaError where a line to be removed is not there."""
    for block in merged_blocks(old, changes):
        yield from block.splitlines(keepends=True)


def merged_blocks(old: Iterable[bytes], changes: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """As `merged`, from octets in blocks to blocks of whole lines: a few changes touch a few of a million lines.

    The changes are in the order of the document.
    """
    steps = deque(changes)
    for piece in _pieces(old):
        if steps and order(steps[0][1]) <= order(piece[piece.rfind(b"\n", 0, -1) + 1 :]):
            lines = list(_changed(piece[:-1].split(b"\n"), steps))
            if lines:
                yield b"\n".join(lines) + b"\n"
        else:
            yield piece
    if any(sign == REMOVED for sign, _ in steps):
        raise DeltaError("a line that is to go is not there")
    coming = (line for _, line in steps)
    while block := b"".join(islice(coming, LINES)):
        yield block


def _changed(lines: list[bytes], steps: deque[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """The block's lines with those steps that fall into it, which are taken off the queue."""
    last, at = order(lines[-1]), 0
    while steps and (place := order(steps[0][1])) <= last:
        sign, line = steps.popleft()
        here = bisect_left(lines, place, lo=at, key=order)
        yield from lines[at:here]
        at = here
        if sign == ADDED:
            yield line[:-1]
        elif here < len(lines) and lines[here] == line[:-1]:
            at += 1
        else:
            raise DeltaError("a line that is to go is not there")
    yield from lines[at:]


def _pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, as many at a time as fit into a piece, or one: few pieces of a long list are taken apart."""
    rest = b""
    for block in blocks:
        octets, at = rest + block, 0
        while end := octets.rfind(b"\n", at, at + PIECE) + 1 or octets.find(b"\n", at) + 1:
            yield octets[at:end]
            at = end
        rest = octets[at:]
    if rest:
        raise DeltaError("ends without a line feed: the file is cut short")


def check_bonds(old: Path, old_size: int, new: Path, new_size: int) -> None:
    """Raise VerifyError `reference-reuse` where a reference stands for another name, match or basis than in `old`."""
    check_rebinding(
        difference(document.read_lines(old, size=old_size), document.read_lines(new, size=new_size)),
    )


def check_rebinding(changes: Iterable[tuple[bytes, bytes]]) -> None:
    """As `check_bonds`, from the changes."""
    was: dict[str, Entry] = {}
    now: dict[str, Entry] = {}
    for sign, line in changes:
        entry = _parse(line)
        (was if sign == REMOVED else now)[entry.reference] = entry
    for reference in was.keys() & now.keys():
        if was[reference].bond() != now[reference].bond():
            raise VerifyError(
                "reference-reuse",
                f"reference {reference} stood for {' '.join(was[reference].bond())}, "
                f"and now for {' '.join(now[reference].bond())}",
            )


def _bounded(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for block in blocks:
        size -= len(block)
        if size < 0:
            raise DeltaError("the step leads to more than was announced")
        yield block


def _parse(line: bytes) -> Entry:
    try:
        return parse(line)
    except EntryError as error:
        raise DeltaError(str(error)) from None


def order(line: bytes) -> Order:
    """`Entry.order` of a canonical line, without parsing it."""
    _, match, name, reference = fields(line)
    return b"\0".join(name.split(b".")[::-1]), match, reference


def bond(line: bytes) -> tuple[str, str, str]:
    """`Entry.bond` of a canonical line, without parsing it."""
    basis, match, name, _ = fields(line)
    return name.decode("ascii"), match.decode("ascii"), basis.decode("ascii")


def basis(line: bytes) -> str:
    """The basis of a canonical line, without parsing it."""
    return line[_BASIS : line.find(b'"', _BASIS)].decode("ascii")


def reference(line: bytes) -> str:
    """The reference of a canonical line, without parsing it."""
    return fields(line)[3].decode("ascii")


def fields(line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Basis, match, name and reference of a canonical line, without parsing it. Raises DeltaError on another line."""
    # Inside a JSON text a quote is escaped, so `"match":"` can only be the key; and these values hold no escapes
    try:
        match = line.index(_MATCH) + len(_MATCH)
        name = line.index(_NAME, match) + len(_NAME)
        end = line.index(_REFERENCE, name)
    except ValueError:
        raise DeltaError("not a canonical line") from None
    reference = end + len(_REFERENCE)
    return (
        line[_BASIS : line.index(b'"', _BASIS)], line[match : name - len(_NAME)], line[name:end],
        line[reference : reference + 16],
    )  # fmt: skip
