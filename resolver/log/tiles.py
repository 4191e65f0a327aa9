"""The layout of c2sp.org/tlog-tiles: where hashes and entries lie, and how to read any node of the tree from there.

Enters: a level, an index, a width; or bytes of a tile. Leaves: a path, hashes, entries. Rules: a tile is 256 hashes, a
partial one says its width in its name; a bundle is 256 entries, each behind a big-endian uint16 length.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from resolver.log.errors import MalformedError, MissingError
from resolver.log.merkle import HASH_SIZE, complete_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WIDTH = 256
TILE_SIZE = WIDTH * HASH_SIZE
MAX_ENTRY = 0xFFFF
MAX_BUNDLE = WIDTH * (MAX_ENTRY + 2)


def number_path(index: int) -> str:
    """1234067 is `x001/x234/067`: no directory has more than a thousand names."""
    path = f"{index % 1000:03}"
    while index := index // 1000:
        path = f"x{index % 1000:03}/{path}"
    return path


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """The path of a hash tile."""
    return f"tile/{level}/{number_path(index)}" + ("" if width == WIDTH else f".p/{width}")


def bundle_path(index: int, width: int = WIDTH) -> str:
    """The path of an entry bundle."""
    return f"tile/entries/{number_path(index)}" + ("" if width == WIDTH else f".p/{width}")


def width_at(level: int, index: int, size: int) -> int:
    """How many hashes tile `index` of a level has in a tree of that size: 0 to 256."""
    return max(0, min(WIDTH, (size >> (8 * level)) - index * WIDTH))


def pack_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries, each behind its length."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unpack_bundle(data: bytes) -> list[bytes]:
    """The entries of a bundle; raises `MalformedError` where the lengths do not come out even."""
    end, entries = 0, []
    for entry, end in split_bundle(data):  # noqa: B007 - the last one is where the entries end
        entries.append(entry)
    if end != len(data):
        raise MalformedError(f"the bundle ends within its entry {len(entries)}")
    return entries


def split_bundle(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Each whole entry of a bundle and where it ends."""
    position = 0
    while position + 2 <= len(data):
        end = position + 2 + int.from_bytes(data[position : position + 2], "big")
        if end > len(data):
            return
        yield data[position + 2 : end], end
        position = end


class TileReader:
    """Reads the tree of one size from its tiles. `fetch(path, limit)` returns bytes or raises `MissingError`.

    Keeps the last 64 tiles. Nothing read here is trusted: what is computed from it must come out at a signed root.
    """

    def __init__(self, fetch: Callable[[str, int], bytes], size: int) -> None:
        self.size = size
        self._fetch = fetch
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def tile(self, level: int, index: int) -> bytes:
        """The hashes of a tile as far as this tree reaches."""
        if (kept := self._kept.get((level, index))) is not None:
            self._kept.move_to_end((level, index))
            return kept
        data = self.read_tile(level, index)
        self._kept[level, index] = data
        if len(self._kept) > 64:
            self._kept.popitem(last=False)
        return data

    def read_tile(self, level: int, index: int) -> bytes:
        """The same, always from its place; safe in any thread if `fetch` is."""
        width = width_at(level, index, self.size)
        if not width:
            raise MissingError(f"tile {index} of level {level} is beyond a tree of {self.size}")
        data = self._either(tile_path(level, index, width), tile_path(level, index), TILE_SIZE)[: width * HASH_SIZE]
        if len(data) != width * HASH_SIZE:
            raise MalformedError(
                f"{tile_path(level, index, width)} has {len(data)} bytes in place of {width * HASH_SIZE}"
            )
        return data

    def bundle(self, index: int) -> list[bytes]:
        """The entries of a bundle as far as this tree reaches."""
        width = width_at(0, index, self.size)
        entries = unpack_bundle(self._either(bundle_path(index, width), bundle_path(index), MAX_BUNDLE))
        if len(entries) < width:
            raise MalformedError(f"{bundle_path(index, width)} has {len(entries)} entries in place of {width}")
        return entries[:width]

    def intact_entries(self, index: int) -> list[bytes]:
        """The entries of a damaged bundle, up to the damage."""
        width = width_at(0, index, self.size)
        data = self._either(bundle_path(index, width), bundle_path(index), MAX_BUNDLE)
        return [entry for entry, _ in split_bundle(data)][:width]

    def entry(self, index: int) -> bytes:
        """One log entry."""
        return self.bundle(index // WIDTH)[index % WIDTH]

    def node(self, level: int, n: int) -> bytes:
        """The hash of the complete subtree `(level, n)`; a `merkle.NodeReader`."""
        tile_level, rest = divmod(level, 8)
        first = n << rest
        at = (first % WIDTH) * HASH_SIZE
        hashes = self.tile(tile_level, first // WIDTH)[at : at + (HASH_SIZE << rest)]
        if len(hashes) != HASH_SIZE << rest:
            raise MissingError(f"node {n} of level {level} is beyond a tree of {self.size}")
        return complete_root(hashes)

    def _either(self, partial: str, full: str, limit: int) -> bytes:
        # "MAY delete any partial tile once the corresponding full tile is available": an older size reads the full one
        try:
            return self._fetch(partial, limit)
        except MissingError:
            if partial == full:
                raise
            try:
                return self._fetch(full, limit)
            except MissingError:
                raise MissingError(f"{partial} is missing") from None
