"""A small world for the log's tests: a folder, a clock that stands still, and randomness that repeats."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from resolver.log.disk import Disk
from resolver.log.writer import Log

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1795348800.0  # 2026-11-22T12:00:00Z


class CountingDisk(Disk):
    """The real file system, remembering what was read; nothing is synced, for tests that pull no plug."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[Path] = []

    def read(self, path: Path, limit: int) -> bytes:
        self.reads.append(path)
        return super().read(path, limit)

    def write(self, path: Path, data: bytes, mode: int) -> None:
        path.write_bytes(data)

    def sync_folder(self, path: Path) -> None:
        pass


class World:
    """`log_dir` and `audit_dir` under one root, as `LogPlaces` asks for them. Another `drawn` is another key."""

    def __init__(self, root: Path, origin: str = "stop.isp.example/log", drawn: int = 0) -> None:
        self.root = root
        self.log_dir = root / "log"
        self.audit_dir = root / "state" / "audit"
        self.origin = origin
        self.now = NOON
        self.disk = CountingDisk()
        self._drawn = drawn

    def clock(self) -> float:
        return self.now

    def random(self, size: int) -> bytes:
        self._drawn += 1
        return sha256(self._drawn.to_bytes(8, "big")).digest()[:size]

    def open(self) -> Log:
        return Log.open(self, self.clock, self.random, origin=self.origin, disk=self.disk)

    def vkey(self) -> str:
        return (self.log_dir / "log.vkey").read_text().strip()
