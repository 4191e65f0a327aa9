"""The one reader of compressed octets: of documents, of lists to import, of bridged files, of what an auditor reads.

Enters: an open file. Leaves: its uncompressed octets in blocks of about a mebibyte, or `CompressionError`.

Rules
- A file that breaks off is refused. A decompressor that is asked for more at the end of its input says "no more", not
  "broken off": python-zstandard's `stream_reader` does, and a list cut anywhere became a shorter list. So each frame is
  followed to its own end here, and a file ends where a frame ends.
- The first octets tell the form, never the name: zstd, gzip, xz, bzip2, zip, or none.
- A zip archive holds one file, and at most what signs it (`dump.xml.sig`): of several nobody says which is meant.
- Several frames after each other are one file. Zero octets after the last (tapes, block devices) are none.
- The uncompressed octets are bounded while they come, and so is what one step may produce.
"""

from __future__ import annotations

import bz2
import lzma
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Protocol

import zstandard

from blocklists.errors import BlocklistError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_WINDOW = 1 << 27
_BLOCK = 1 << 20
_STEP = 1 << 10
"""Octets handed to zstd at a time: 256 of its smallest blocks, which come to 32 MiB at most."""
_FEED = 1 << 16


class CompressionError(BlocklistError):
    """What is compressed is damaged, or breaks off."""


class TooMuchError(CompressionError):
    """More comes out than the caller allows."""


class _Frame(Protocol):
    """One frame: feed it until `eof`; what it did not need is `unused_data`."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _zstd_frame() -> _Frame:
    return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()


_Form = tuple[str, bytes, "Callable[[], _Frame]", int]
_FORMS: tuple[_Form, ...] = (
    ("zstd", b"\x28\xb5\x2f\xfd", _zstd_frame, _STEP),
    ("gzip", b"\x1f\x8b", lambda: zlib.decompressobj(31), _FEED),
    ("xz", b"\xfd7zXZ\x00", lzma.LZMADecompressor, _STEP),
    ("bzip2", b"BZh", bz2.BZ2Decompressor, _FEED >> 4),
)  # fmt: skip
"""Name, first octets, a frame's decompressor, octets a step. A step of gzip comes to 64 MiB at most, of bzip2 to 90."""
_DAMAGED = (zstandard.ZstdError, zlib.error, lzma.LZMAError, EOFError, OSError)
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_END = 22
"""Octets of the end of a zip archive's directory, without its comment."""
_SIGNS = (".sig", ".asc", ".p7s", ".minisig")
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, *_DAMAGED)
"""What zipfile raises: damaged, a method that it does not know, encrypted."""


def read_blocks(file: IO[bytes], *, size: int, only: str | None = None) -> Iterator[bytes]:
    """The uncompressed octets. Raises TooMuchError beyond `size` octets, CompressionError where it is damaged or breaks
    off, or is not in the form `only`; the file's own OSError as it is."""
    head = file.read(8)
    form = next((form for form in _FORMS if head.startswith(form[1])), None)
    if only is not None and (form is None or form[0] != only):
        raise CompressionError(f"damaged {only} data: it does not begin as {only} does")
    if form is not None:
        blocks = _frames(head, file, form)
    else:
        blocks = _member(file) if head.startswith(_ZIP) else _plain(head, file)
    left = size
    for block in blocks:
        left -= len(block)
        if left < 0:
            raise TooMuchError(f"more than {size:,} octets, uncompressed")
        yield block


def _plain(head: bytes, file: IO[bytes]) -> Iterator[bytes]:
    block = head + file.read(_BLOCK)
    while block:
        yield block
        block = file.read(_BLOCK)


def _member(file: IO[bytes]) -> Iterator[bytes]:
    """The one file of a zip archive; zipfile compares its checksum at its end."""
    try:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            names = [one.filename for one in archive.infolist() if not one.is_dir()]
            signatures = {name + sign for name in names for sign in _SIGNS}
            meant = [name for name in names if name not in signatures]
            if len(meant) != 1:
                book = "[Content_Types].xml" in names
                what = "a workbook (.xlsx)" if book else f"a zip archive of {len(meant)} files, not of one"
                raise CompressionError(what, hint="a mapping reads it: docs/lists.md" if book else "unzip it")
            with archive.open(meant[0]) as member:
                while block := member.read(_BLOCK):
                    yield block
    except _UNREADABLE as error:
        raise CompressionError(f"damaged zip data, or it breaks off: {error}") from None


def _check_directory(file: IO[bytes]) -> None:
    """Refuse an archive of very many files before zipfile holds its directory (APPNOTE 4.3.16) in memory."""
    file.seek(max(0, file.seek(0, 2) - (1 << 16) - _END))
    tail = file.read()
    plain = tail[-_END:].startswith(_ZIP[1]) and tail.endswith(b"\0\0")
    end = len(tail) - _END if plain else tail.rfind(_ZIP[1])
    if end >= 0 and int.from_bytes(tail[end + 12 : end + 16], "little") > _BLOCK:
        raise CompressionError("a zip archive of very many files, not of one", hint="unzip it")


def _frames(data: bytes, file: IO[bytes], form: _Form) -> Iterator[bytes]:
    name, _, make, step = form
    frame, ready, waiting, begun = make(), [], 0, False
    while data or (data := file.read(_FEED)):
        if not begun and not data.strip(b"\0"):
            data = b""  # padding between frames, or after the last
            continue
        part, data = data[:step], data[step:]
        begun = True
        try:
            out = frame.decompress(part)
        except _DAMAGED as error:
            raise CompressionError(f"damaged {name} data: {error}") from None
        if out:
            ready.append(out)
            waiting += len(out)
        if waiting >= _BLOCK:
            yield b"".join(ready)
            ready, waiting = [], 0
        if frame.eof:
            data, frame, begun = frame.unused_data + data, make(), False
    if ready:
        yield b"".join(ready)
    if begun:
        raise CompressionError(f"the {name} data breaks off: the file is not whole")
