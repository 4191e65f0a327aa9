"""The right edge of the tree as tiles: all that a writer must remember to go on.

Enters: entries, one by one. Leaves: the files that came to be full, those that are partial, and the root. Rules: at
most one unfinished tile a level and one unfinished bundle, so memory does not grow with the log; no file is touched
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.log.merkle import EMPTY_ROOT, complete_root, join_parts, leaf_hash, parts_of
from resolver.log.tiles import TILE_SIZE, WIDTH, TileReader, bundle_path, pack_bundle, tile_path

if TYPE_CHECKING:
    from collections.abc import Iterator

File = tuple[str, bytes]


class Edge:
    """A tree of `size` leaves, known by its unfinished tiles."""

    def __init__(self) -> None:
        self.size = 0
        self._tiles: list[bytearray] = []
        self._entries: list[bytes] = []

    @classmethod
    def load(cls, reader: TileReader) -> Edge:
        """The edge of a tree of the reader's size: at most nine files, however long the log is."""
        edge = cls()
        edge.size = reader.size
        level = 0
        while reader.size >> (8 * level):
            hashes = reader.size >> (8 * level)
            edge._tiles.append(bytearray(reader.tile(level, hashes // WIDTH) if hashes % WIDTH else b""))
            level += 1
        if reader.size % WIDTH:
            edge._entries = reader.bundle(reader.size // WIDTH)
        return edge

    def copy(self) -> Edge:
        """A second edge, to be grown while the first stays true."""
        other = Edge()
        other.size = self.size
        other._tiles = [bytearray(tile) for tile in self._tiles]
        other._entries = list(self._entries)
        return other

    def push(self, entry: bytes) -> list[File]:
        """Appends one entry; returns the bundle and tiles that it filled, the bundle first."""
        self._entries.append(entry)
        self.size += 1
        files: list[File] = []
        if len(self._entries) == WIDTH:
            files.append((bundle_path(self.size // WIDTH - 1), pack_bundle(self._entries)))
            self._entries = []
        level, value = 0, leaf_hash(entry)
        while True:
            if level == len(self._tiles):
                self._tiles.append(bytearray())
            tile = self._tiles[level]
            tile += value
            if len(tile) < TILE_SIZE:
                return files
            full = bytes(tile)
            tile.clear()
            files.append((tile_path(level, (self.size >> (8 * (level + 1))) - 1), full))
            level, value = level + 1, complete_root(full)

    def partial_files(self, since: int) -> Iterator[File]:
        """The unfinished bundle and tiles, as far as they are not those of the size `since`."""
        if self._entries:
            yield bundle_path(self.size // WIDTH, len(self._entries)), pack_bundle(self._entries)
        for level, tile in enumerate(self._tiles):
            hashes = self.size >> (8 * level)
            if tile and hashes != since >> (8 * level):
                yield tile_path(level, hashes // WIDTH, hashes % WIDTH), bytes(tile)

    def outgrown(self, since: int) -> Iterator[str]:
        """The folders of partial tiles that were unfinished at the size `since` and are full now."""
        for level in range(len(self._tiles)):
            before, now = since >> (8 * level), self.size >> (8 * level)
            if before % WIDTH and before // WIDTH != now // WIDTH:
                yield tile_path(level, before // WIDTH) + ".p"
                if level == 0:
                    yield bundle_path(before // WIDTH) + ".p"

    def root(self) -> bytes:
        """MTH of all entries."""
        parts = [part for tile in reversed(self._tiles) for part in parts_of(bytes(tile))]
        return join_parts(parts) if parts else EMPTY_ROOT
