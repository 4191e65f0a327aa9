"""Names that must be written nowhere, and the search for them in all that was written."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import idna
import zstandard

from tests.rigs.dns_host import wire_name, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARK = "planted"
"""In each name."""
HASHED = 20  # names whose digests without a key or salt are searched for


def names(count: int) -> list[str]:
    """Names of all kinds, each with `MARK` in it."""
    shapes = ("{0}-{1}.example", "www.{0}{1}.co.uk", "a.b.{0}x{1}.example.org", "{0}{1}-shop.test-zone.example")
    made = [shapes[number % 4].format(MARK, number) for number in range(count - count // 10)]
    foreign = [f"{MARK}-b\u00fccher{number}.example" for number in range(count // 10)]
    return made + [idna.encode(one).decode("ascii") for one in foreign]


@cache
def _spelled() -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """`MARK` as text, in lower case; and in codes that keep the case."""
    plain = MARK.encode()
    # dots or lengths between labels, and upper case, change nothing in the mark: it stands within one label
    text = [plain, plain[::-1], MARK.encode("utf-16-le"), plain.hex().encode(), plain[::-1].hex().encode()]
    text += [one.lower() for one in _aligned(plain, base64.b32encode, 5)]
    text += [one.lower() for one in _aligned(plain, base64.b32hexencode, 5)]
    coded = [one for form in (plain, plain.upper()) for one in _aligned(form, base64.b64encode, 3)]
    return tuple(text), tuple(coded)


def _aligned(data: bytes, encode: object, octets: int) -> Iterator[bytes]:
    """What of an encoding stands there wherever in a text `data` begins."""
    for before in range(octets):
        encoded = encode(bytes(before) + data + bytes(octets))  # type: ignore[operator]
        size = len(encode(bytes(octets)))  # type: ignore[operator]
        first = -(-before * size // octets) + (1 if before * size % octets else 0)
        yield encoded[first : (before + len(data)) * size // octets]


def digests(planted: Sequence[str]) -> Iterator[bytes]:
    """Of some names: what would let anybody test names."""
    for name in planted[:: max(len(planted) // HASHED, 1)]:
        for form in (name.encode(), name.encode() + b".", wire_name(name)):
            for kind in ("md5", "sha1", "sha256", "blake2b"):
                digest = hashlib.new(kind, form).digest()[:15]
                yield from (digest, digest.hex().encode(), base64.b64encode(digest))


def within(data: bytes) -> str:
    """Which form of a name stands in these octets; empty: none."""
    lower = data.lower()
    text, coded = _spelled()
    return next((repr(one) for one in text if one in lower), "") or next(
        (repr(one) for one in coded if one in data), ""
    )


def found(folder: Path, planted: Sequence[str]) -> dict[str, str]:
    """Files that hold a name in any form, or a digest of one without key or salt; packed ones are opened."""
    tests, wrong = list(digests(planted)), {}
    for path, octets in written(folder):
        if path.is_symlink():
            continue
        data = _inside(octets)
        said = within(data) or next((one.hex() for one in tests if one in data), "") or within(path.name.encode())
        if said:
            wrong[str(path.relative_to(folder))] = said
    return wrong


def _inside(data: bytes) -> bytes:
    """The octets, and what they hold compressed."""
    at = data.find(zstandard.FRAME_HEADER)
    if at < 0:
        return data
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data[at:]), read_across_frames=True)
    try:
        return data + reader.read()
    except zstandard.ZstdError:  # four octets that mean something else
        return data


def dumped(pid: int) -> bytes:
    """The memory that a core dump would hold: all but what is marked as not to be dumped (`dd`, proc(5))."""
    found = []
    maps = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text(), flags=re.MULTILINE)
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for one in filter(None, maps):
            span, rights = one.split()[:2]
            if "r" not in rights or "[v" in one.splitlines()[0] or " dd" in one.rpartition("VmFlags:")[2]:
                continue
            start, end = (int(place, 16) for place in span.split("-"))
            memory.seek(start)
            found.append(memory.read(end - start))
    return b"".join(found)
