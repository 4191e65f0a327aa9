"""A provider with five hosts: a log each, and the desk where their index is signed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from resolver.log.index import LogThere
from resolver.log.note import ED25519, Signer
from tests.rigs.command_line import run
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from resolver.log.index import End

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z
PROVIDER = Signer("isp.example/logs", ED25519, bytes(32))
HOSTS = ("fra-1", "fra-2", "muc-1", "muc-2", "ber-1")
NAME = PROVIDER.name


def log_there(number: int, end: End | None = None) -> LogThere:
    """A log that an index may name, with a key of its own."""
    key = Signer(f"stop.isp.example/log/h{number}", ED25519, number.to_bytes(32, "little")).verifier
    return LogThere(key, f"https://stop.isp.example/log/h{number}", NOON, end)


def origin(host: str) -> str:
    return f"stop.isp.example/log/{host}"


class Fleet:
    """All commands are typed. Where a log is published is the folder of its name below the index."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys
        self.desk, self.published, self.seen = root / "desk", root / "desk" / "published", root / "seen"
        self.worlds = {host: World(root / host, origin(host), 1000 * at) for at, host in enumerate(HOSTS)}
        assert self.typed("logs", "init", self.desk, NAME)[0] == 0
        self.key = (self.published / "index.vkey").read_text().strip()
        for host, world in self.worlds.items():
            with world.open() as log:
                log.append("start", "", {})
                log.append("list-activated", "gambling/3", {"version": 3})
            self.publish(host)
            assert self.add(host)[0] == 0
        assert self.sign()[0] == 0

    def typed(self, *words: object) -> tuple[int, str, str]:
        return run(self._capsys, *words)

    def publish(self, host: str) -> None:
        """As rsync would, between two appends."""
        shutil.rmtree(self.published / host, ignore_errors=True)
        shutil.copytree(self.worlds[host].log_dir, self.published / host)

    def append(self, host: str, kind: str = "heartbeat") -> None:
        with self.worlds[host].open() as log:
            log.append(kind, "", {})
        self.publish(host)

    def add(self, host: str, *more: object) -> tuple[int, str, str]:
        key = self.worlds[host].vkey()
        return self.typed("logs", "add", self.desk, self.published / host, "--at", host, "--key", key, *more)

    def retire(self, host: str, *more: object) -> tuple[int, str, str]:
        return self.typed("logs", "retire", self.desk, origin(host), *more)

    def sign(self) -> tuple[int, str, str]:
        return self.typed("logs", "sign", self.desk)

    def verify(self, where: object = None, *more: object, key: str = "") -> tuple[int, str, str]:
        index = self.published if where is None else where
        return self.typed("audit", "verify", "--all", index, "--key", key or self.key, "--seen", self.seen, *more)
