"""A file of names, as numbered lines of text.

Enters: a path; what is compressed (`blocklists/compression.py`), UTF-16 and UTF-32 are known by the first octets, not
by the name. Leaves: `(number, text)`, or `Rejection` for a line that is not in the encoding or too long; the others
follow.

Rules: a file that breaks off is refused as a whole; the uncompressed octets are bounded. What can be read once (a pipe)
is copied first, since readers look at a file more than once.
"""

from __future__ import annotations

import codecs
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING

from blocklists import compression
from blocklists.compression import CompressionError
from blocklists.errors import BlocklistError, why
from resolver._core import lines_in

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE = 64 << 10
"""A line beyond this many characters is rejected: no name, no zone record and no rule is that long."""
MAX_LINES = 50_000_000
MAX_SIZE = 2 << 30
"""Octets, uncompressed, unless the caller says another bound."""
_BLOCK = 1 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class SourceError(BlocklistError):
    """The file as a whole cannot be read."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line (or a name of it) that did not become an entry, and why."""

    line: int
    text: str
    reason: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was taken, but not as written."""

    line: int
    text: str
    notice: str
    file: str = ""


@contextmanager
def readable_again(path: Path, *, size: int) -> Iterator[Path]:
    """The file itself; of what can be read once, a copy of at most `size` octets, which has no name and ends with the
    block. Raises SourceError, which names `path`."""
    with ExitStack() as stack:
        again, left = path, size
        try:
            with path.open("rb") as file:
                if not file.seekable():
                    copy = stack.enter_context(tempfile.TemporaryFile())
                    again = Path(f"/proc/self/fd/{copy.fileno()}")
                    while left >= 0 and (block := file.read(_BLOCK)):
                        left -= copy.write(block)
                    copy.flush()
        except OSError as error:
            full = f"a pipe is copied to {tempfile.gettempdir()} first; TMPDIR names another folder"
            raise SourceError(f"{path}: {why(error, path)}", hint=full if error.errno == ENOSPC else None) from None
        if left < 0:
            raise SourceError(f"{path}: more than {size:,} octets")
        try:
            yield again
        except SourceError as error:
            raise SourceError(str(error).replace(str(again), str(path)), hint=error.hint) from None


def octets(path: Path, *, size: int = MAX_SIZE) -> Iterator[bytes]:
    """The file's uncompressed octets in blocks. Raises SourceError."""
    done = 0
    try:
        with path.open("rb") as file:
            for block in compression.read_blocks(file, size=size):
                yield block
                done += len(block)
    except (OSError, CompressionError) as error:
        where = f"{path}, after {done:,} octets" if done else str(path)
        raise SourceError(f"{where}: {why(error, path)}", hint=getattr(error, "hint", None)) from None


def mark(first: bytes) -> tuple[bytes, str]:
    """The mark that a file begins with, and its encoding; without one UTF-8."""
    return next(((bom, name) for bom, name in _BOMS if first.startswith(bom)), (b"", "utf-8"))


def text(path: Path, *, size: int = MAX_SIZE, encoding: str | None = None) -> Iterator[str]:
    """The file's text in blocks; U+FFFD where an octet is none of the encoding's. Raises SourceError."""
    blocks = octets(path, size=size)
    first = next(blocks, b"")
    bom, told = mark(first)
    if bom and encoding in {"utf-16", "utf-32"}:
        encoding = told  # the mark that says in which order is off
    decoder = codecs.getincrementaldecoder(encoding or told)("replace")
    try:
        yield decoder.decode(first.removeprefix(bom))
        for block in blocks:
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)
    except UnicodeError as error:  # of encodings that nothing can replace in: UTF-16 without its mark
        raise SourceError(f"{path}: not {encoding}: {error}") from None


def chunks(
    path: Path, *, size: int = MAX_SIZE, encoding: str | None = None
) -> Iterator[tuple[int, list[str]] | Rejection]:
    """The file's lines in lists, each with the number of its first line; what is no line of text apart.

    Numbers count from 1; line ends are off. Raises SourceError when the file cannot be read at all.
    """
    number, rest = 1, ""
    for block in text(path, size=size, encoding=encoding):
        *found, rest = (rest + block).split("\n")
        if len(rest) > MAX_LINE:
            rest = rest[: MAX_LINE + 1]  # how it begins is enough to say that it is too long
        yield from _checked(number, found, encoding)
        number += len(found)
        if number > MAX_LINES:
            raise SourceError(f"{path}: more than {MAX_LINES:,} lines")
    if rest:
        yield from _checked(number, [rest], encoding)


def blocks(path: Path, *, size: int = MAX_SIZE) -> Iterator[tuple[int, bytes]]:
    """The file's whole lines in UTF-8 with their ends, joined to blocks, each with the number of its first line. Raises
    SourceError when the file cannot be read at all. Whether a line is one of text, `line_of` says."""
    number, rest = 1, b""
    for block in _utf8(path, size):
        rest += block
        end = rest.rfind(b"\n") + 1
        if end:
            whole, rest = rest[:end], rest[end:]
            yield number, whole
            number += lines_in(whole)
            if number > MAX_LINES:
                raise SourceError(f"{path}: more than {MAX_LINES:,} lines")
        rest = rest[: 4 * MAX_LINE + 4]  # how a longer line begins is enough to say that it is too long
    if rest:
        yield number, rest + b"\n"


def line_of(number: int, octets: bytes) -> str | Rejection:
    """A line of `blocks` as text, without its end; or why it is none."""
    found = octets.decode("utf-8", "replace").rstrip("\r")
    return _unreadable(number, found, "utf-8") or found


def _utf8(path: Path, size: int) -> Iterator[bytes]:
    found = octets(path, size=size)
    first = next(found, b"")
    bom, told = mark(first)
    if told != "utf-8":
        for block in text(path, size=size):
            yield block.encode()
        return
    yield first.removeprefix(bom)
    yield from found


def lines(path: Path, *, size: int = MAX_SIZE, encoding: str | None = None) -> Iterator[tuple[int, str] | Rejection]:
    """The file's lines, numbered from 1, without their ends. Raises SourceError when it cannot be read at all."""
    for item in chunks(path, size=size, encoding=encoding):
        if isinstance(item, Rejection):
            yield item
            continue
        yield from enumerate(item[1], item[0])


def count(path: Path) -> int:
    """How many lines a file has, for a progress bar; 0 where it cannot be read, or only once (a pipe)."""
    if not path.is_file():
        return 0
    try:
        return sum(lines_in(block) for block in octets(path))
    except SourceError:
        return 0  # `lines` will say what is wrong, and where


def shown(text: str) -> str:
    """Foreign text as a report may print it: one line, no control characters, not endless."""
    cut = text if len(text) <= 100 else text[:97] + "..."
    return "".join(char if char.isprintable() else "\ufffd" for char in cut.strip())


def _checked(first: int, found: list[str], encoding: str | None) -> Iterator[tuple[int, list[str]] | Rejection]:
    if not found:
        return
    whole = "\n".join(found)
    if "\r" in whole:
        found = [line.rstrip("\r") for line in found]
    if "\ufffd" not in whole and max(map(len, found)) <= MAX_LINE:
        yield first, found
        return
    begun, good = first, list[str]()
    for number, line in enumerate(found, first):
        rejection = _unreadable(number, line, encoding or "utf-8")
        if rejection is None:
            good.append(line)
            continue
        if good:
            yield begun, good
        begun, good = number + 1, []
        yield rejection
    if good:
        yield begun, good


def _unreadable(number: int, line: str, encoding: str) -> Rejection | None:
    if len(line) > MAX_LINE:
        return Rejection(number, shown(line[:100]), "the line is too long")
    return Rejection(number, shown(line[:100]), f"not {encoding.upper()}") if "\ufffd" in line else None
