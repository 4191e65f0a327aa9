"""A file of names, as numbered lines of text.

Enters: a path; gzip and zstd are recognised by their first octets, not by the name. Leaves: `(number, text)`, or
`Rejection` for a line that is not UTF-8 or too long; the other lines follow.
"""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import zstandard

from blocklists.errors import BlocklistError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_LINE = 64 << 10
"""A line beyond this many octets is rejected: no name, no zone record and no rule is that long."""
MAX_LINES = 50_000_000


class SourceError(BlocklistError):
    """The file as a whole cannot be read."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line (or a name of it) that did not become an entry, and why."""

    line: int
    text: str
    reason: str


def lines(path: Path) -> Iterator[tuple[int, str] | Rejection]:
    """The file's lines, numbered from 1, without their ends. Raises SourceError when the file cannot be read at all."""
    number = 0
    try:
        with path.open("rb") as raw, _decompressed(raw) as file:
            while line := file.readline(MAX_LINE):
                number += 1
                if number > MAX_LINES:
                    raise SourceError(f"{path}: more than {MAX_LINES} lines")
                if not line.endswith(b"\n") and len(line) == MAX_LINE:
                    while (more := file.readline(MAX_LINE)) and not more.endswith(b"\n"):
                        pass
                    yield Rejection(number, shown(line[:100].decode("utf-8", "replace")), "the line is too long")
                    continue
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError:
                    yield Rejection(number, shown(line.decode("utf-8", "replace")), "not UTF-8")
                    continue
                yield number, (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        where = f"{path}, after line {number}" if number else str(path)
        raise SourceError(f"{where}: {reason}") from None


def count(path: Path) -> int:
    """How many lines a file has, for a progress bar; 0 where it cannot be read."""
    try:
        with path.open("rb") as raw, _decompressed(raw) as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except (OSError, EOFError, zlib.error, zstandard.ZstdError):
        return 0  # `lines` will say what is wrong, and where


def shown(text: str) -> str:
    """Foreign text as a report may print it: one line, no control characters, not endless."""
    cut = text if len(text) <= 100 else text[:97] + "..."
    return "".join(char if char.isprintable() else "\ufffd" for char in cut.strip())


def _decompressed(raw: io.BufferedReader) -> io.BufferedReader:
    magic = raw.peek(4)[:4]
    if magic[:2] == b"\x1f\x8b":
        return io.BufferedReader(gzip.GzipFile(fileobj=raw))
    if magic == b"\x28\xb5\x2f\xfd":
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(raw, read_across_frames=True)
        return io.BufferedReader(reader)
    return raw
