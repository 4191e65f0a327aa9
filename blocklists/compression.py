"""The one reader of compressed octets: of documents, of lists to import, of bridged files, of what an auditor reads.

Enters: an open file. Leaves: its uncompressed octets in blocks of about a mebibyte, or `CompressionError`.

Rules
- A file that breaks off is refused. A decompressor that is asked for more at the end of its input says "no more", not
  "broken off": python-zstandard's `stream_reader` does, and a list cut anywhere became a shorter list. So each frame is
  followed to its own end here, and a file ends where a frame ends.
- The first octets tell the form, never the name: zstd, gzip, xz, bzip2, or none.
- Several frames after each other are one file. Zero octets after the last (tapes, block devices) are none.
- The uncompressed octets are bounded while they come, and so is what one step may produce.
"""

from __future__ import annotations

import bz2
import lzma
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


def read_blocks(file: IO[bytes], *, size: int, only: str | None = None) -> Iterator[bytes]:
    """The uncompressed octets. Raises TooMuchError beyond `size` octets, CompressionError where it is damaged or breaks
    off, or is not in the form `only`; the file's own OSError as it is."""
    head = file.read(8)
    form = next((form for form in _FORMS if head.startswith(form[1])), None)
    if only is not None and (form is None or form[0] != only):
        raise CompressionError(f"damaged {only} data: it does not begin as {only} does")
    blocks = _plain(head, file) if form is None else _frames(head, file, form)
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
