"""A list document: the canonical lines of all entries, compressed, and the hash that names their state.

Enters: entries, or a file from anywhere. Leaves: a file with its count, size and state hash; or checked entries; or
`DocumentError` that names the line.

Rules
- Lines are canonical (see `entry`), strictly increasing in order, each reference once, each basis known.
- The state hash is `sha256:` over the uncompressed lines, so that it does not depend on a compressor's version.
- Decompression stops at the announced size; a file that breaks off is refused (`compression`).
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import zstandard

import resolver._core as _core
from blocklists import compression
from blocklists.compression import CompressionError, TooMuchError
from blocklists.counted import counted
from blocklists.entry import MAX_LINE, Entry, EntryError, parse
from blocklists.errors import BlocklistError, VerifyError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from resolver._core import Attention, Content

MAX_SIZE = 1 << 32
"""No document is larger uncompressed, whatever its head says."""
LEVEL = 6
"""For what is published."""
LOCAL_LEVEL = -3
"""For what stays on this machine, where time counts more than a few megabytes."""


class DocumentError(BlocklistError):
    """A document is not what it should be. `line` counts from 1; 0 where it concerns the whole."""

    def __init__(self, message: str, *, line: int = 0, hint: str | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message, hint=hint)
        self.line = line


class TooLargeError(DocumentError):
    """More came out of the compressed file than was announced: a bomb, or not the announced file."""


class StateError(DocumentError):
    """The lines are not those that the state hash names."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a document comes to."""

    entries: int
    size: int
    """Octets, uncompressed."""
    state: str
    """`sha256:<hex>` over the uncompressed lines."""


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """The entries sorted as a document wants them. Raises DocumentError on a reference that comes twice."""
    ordered = sorted(entries, key=Entry.order)
    seen: set[str] = set()
    for entry in ordered:
        if entry.reference in seen:
            raise DocumentError(f"reference {entry.reference} stands twice, the second time at {entry.name}")
        seen.add(entry.reference)
    return ordered


def write(path: Path, entries: Iterable[Entry]) -> Summary:
    """Write entries that are already in order; what was at `path` is replaced. The caller makes it durable."""
    return write_lines(path, (entry.line() for entry in entries))


def write_lines(path: Path, lines: Iterable[bytes], *, level: int = LEVEL) -> Summary:
    """As `write`, from canonical lines."""
    compressor = zstandard.ZstdCompressor(level=level, threads=1)  # beside the hash, which costs as much
    with path.open("wb") as file, compressor.stream_writer(file, closefd=False) as out:

        def kept() -> Iterator[bytes]:
            for block in _blocks(lines):
                out.write(block)
                yield block

        return _summarise(kept())


def summarise(lines: Iterable[bytes]) -> Summary:
    """What these lines come to, without writing them."""
    return _summarise(_blocks(lines))


def _summarise(blocks: Iterable[bytes]) -> Summary:
    digest, size, count = hashlib.sha256(), 0, 0
    for block in blocks:
        digest.update(block)
        size += len(block)
        count += block.count(b"\n")
    return Summary(count, size, f"sha256:{digest.hexdigest()}")


def read_lines(path: Path, *, size: int) -> Iterator[bytes]:
    """The raw lines, each with its line feed. Raises DocumentError beyond `size`, or on a line without an end."""
    rest, number = b"", 0
    for chunk in read_blocks(path, size=size):
        # not splitlines(): it would also split at a carriage return, and then number lines as nobody else does
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
        number += len(lines)
        if len(rest) > MAX_LINE:
            raise DocumentError(f"longer than {MAX_LINE} octets", line=number + 1)
    if rest:
        raise DocumentError("ends without a line feed: the file is cut short", line=number + 1)


def read(path: Path, *, size: int) -> Iterator[Entry]:
    """The entries, each parsed; order and references are `check`'s. Raises DocumentError."""
    for number, line in enumerate(read_lines(path, size=size), 1):
        try:
            yield parse(line)
        except EntryError as error:
            raise DocumentError(str(error), line=number) from None


def check(
    path: Path, *, expected: Summary, bases: Collection[str], sealed: bool = False, withdrawn: Collection[str] = (),
    attention: Attention | None = None, marks: Path | None = None,
) -> Content:  # fmt: skip
    """What the file holds, every line of it checked; `sealed`: lines with digests. Counted are the entries that are in
    force: all but the `withdrawn` references. `attention`: say too what it means as a first version. `marks`: where the
    document's go. Raises DocumentError unless it is exactly the announced state and every rule above holds."""
    if expected.size > MAX_SIZE:
        raise TooLargeError(f"{expected.size} octets are announced; no list has more than {MAX_SIZE}")
    with translated():
        found = _core.check_document(
            path,
            size=expected.size,
            bases=list(bases),
            sealed=sealed,
            withdrawn=list(withdrawn),
            attention=attention,
            marks=marks,
        )
    if found.size != expected.size:
        raise StateError(f"{found.size} octets where {expected.size} were announced")
    if found.state != expected.state:
        raise StateError(f"the state hash is {found.state}, not the announced {expected.state}")
    if found.entries != expected.entries:
        raise DocumentError(f"{counted(found.entries, 'entry')} where {expected.entries} were announced")
    return found


MACHINE = frozenset({"unreadable", "unwritable", "memory", "internal"})
"""Kinds of the core's errors that speak of this machine, and not of a document."""


@contextmanager
def translated(other: type[DocumentError] = DocumentError) -> Iterator[None]:
    """The core's refusals of documents and steps as DocumentError (`other`, but of what is too large), those of a
    reference as VerifyError, trouble of this machine as VerifyError `storage`."""
    try:
        yield
    except _core.ListError as error:
        if error.kind in MACHINE:
            raise VerifyError("storage", str(error)) from None
        if error.kind == "reference-reuse":
            raise VerifyError(error.kind, str(error)) from None
        if error.kind == "too-large":
            raise TooLargeError(str(error)) from None
        raise other(str(error)) from None


def check_state(path: Path, *, expected: Summary, marks: Path | None = None) -> None:
    """Raise DocumentError unless size and state hash are the announced ones; no line is parsed. `marks`: where the
    document's go."""
    if expected.size > MAX_SIZE:
        raise TooLargeError(f"{expected.size} octets are announced; no list has more than {MAX_SIZE}")
    with translated():
        _, size, state = _core.summary(path, size=expected.size, marks=marks)
    if size != expected.size:
        raise StateError(f"{size} octets where {expected.size} were announced")
    if state != expected.state:
        raise StateError(f"the state hash is {state}, not the announced {expected.state}")


def read_blocks(path: Path, *, size: int) -> Iterator[bytes]:
    """The uncompressed octets in blocks. Raises TooLargeError as soon as they exceed `size`."""
    if size > MAX_SIZE:
        raise TooLargeError(f"{size} octets are announced; no list has more than {MAX_SIZE}")
    try:
        with path.open("rb") as file:
            yield from compression.read_blocks(file, size=size, only="zstd")
    except TooMuchError:
        raise TooLargeError(f"more comes out of the compressed file than the announced {size} octets") from None
    except CompressionError as error:
        raise DocumentError(str(error)) from None


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines joined to blocks worth one call of the hash and the compressor."""
    rest = iter(lines)
    while block := b"".join(islice(rest, 4096)):
        yield block
