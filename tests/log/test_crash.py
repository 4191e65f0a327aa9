"""The plug pulled at every write, the disk full at every write, `kill -9`: the log goes on, never against itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from resolver.log.checkpoint import open_checkpoint
from resolver.log.note import parse_vkey
from resolver.log.source import Folder
from resolver.log.verify import verify
from resolver.log.writer import Event, Log
from tests.rigs.log_world import World
from tests.rigs.plug import PlugDisk, PulledPlugError

SEEDS = range(int(os.environ.get("STOPSIGN_CRASH_SEEDS", "1")))  # each decides differently what a crash leaves


class PlugSource:
    """The public folder of a `PlugDisk`."""

    parallel = 1
    where = "a disk"

    def __init__(self, disk: PlugDisk, root: Path) -> None:
        self.fetch = disk.fetch(root)


class Life:
    """A provider's day on a `PlugDisk`: what was promised to the caller, and what the world has seen."""

    def __init__(self, root: Path, disk: PlugDisk) -> None:
        self.world = World(root)
        self.world.audit_dir.joinpath("details").mkdir(parents=True, exist_ok=True)  # locks lie on the real disk
        self.disk = disk
        self.promised: dict[int, str] = {}
        self.tried = 0

    def open(self) -> Log:
        world = self.world
        return Log.open(world, world.clock, world.random, origin=world.origin, disk=self.disk)

    def append(self, log: Log, count: int) -> None:
        """A leaf counts as promised only once `append_many` has returned."""
        first = self.tried
        self.tried += count
        events = [Event("list-activated", f"try-{first + number}", {"n": number}) for number in range(count)]
        for index, event in zip(log.append_many(events), events, strict=True):
            self.promised[index] = event.reference

    def day(self) -> None:
        with self.open() as log:
            self.append(log, 1)
            self.append(log, 1)
            self.append(log, 253)
            self.append(log, 1)
            self.append(log, 2)
            self.promised[log.erase(0, "asked")] = "0"
        with self.open() as log:
            self.append(log, 300)

    def published(self) -> list[bytes]:
        """Every checkpoint that anybody may have read."""
        return [data for path, data in self.disk.renamed if path == self.world.log_dir / "checkpoint"]

    def check(self, log: Log, seen: list[bytes]) -> None:
        reader = log.reader()
        entries = [entry for number in range(-(-reader.size // 256)) for entry in reader.bundle(number)]
        details = {detail.index for number in range(-(-reader.size // 256)) for detail in log.details.bundle(number)}
        for index, reference in self.promised.items():
            assert f'"{reference}"'.encode() in entries[index]
            assert index in details
        verdict = verify(PlugSource(self.disk, self.world.log_dir), parse_vkey(log.vkey), kept=seen)
        assert verdict.checkpoint.size >= len(self.promised)


def operations_of_a_day(root: Path) -> int:
    life = Life(root, PlugDisk())
    life.day()
    return life.disk.operations


def strike(number: int, wrong: Exception) -> PlugDisk:
    def fault(operation: int) -> None:
        if operation == number:
            raise wrong

    return PlugDisk(fault)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_plug_may_be_pulled_at_every_write(tmp_path: Path, seed: int) -> None:
    for number in range(1, operations_of_a_day(tmp_path / "whole") + 1):
        life = Life(tmp_path / "life", strike(number, PulledPlugError()))
        with pytest.raises(PulledPlugError):
            life.day()
        seen = life.published()
        life.disk = life.disk.after_the_plug(seed * 10_000 + number)
        with life.open() as log:
            life.append(log, 2)
            life.check(log, seen + life.published())


def test_the_disk_may_be_full_at_every_write_and_the_same_writer_goes_on(tmp_path: Path) -> None:
    for number in range(1, operations_of_a_day(tmp_path / "whole") + 1, 3):
        life = Life(tmp_path / "life", strike(number, OSError(28, "No space left on device")))
        log = None
        with suppress(OSError):
            log = life.open()
        log = log or life.open()
        with log:
            for count in (1, 1, 253, 1, 2, 300, 1):
                with suppress(OSError):
                    life.append(log, count)
            life.disk.fault = lambda _number: None
            life.append(log, 1)
            life.check(log, life.published())


WRITER = """
import sys
from pathlib import Path
from resolver.log.writer import Event, Log
from tests.rigs.log_world import World

world = World(Path(sys.argv[1]))
with Log.open(world, origin=world.origin) as log:
    while True:
        last = log.append_many(Event("start", "", {}) for _ in range(int(sys.argv[2])))[-1]
        print(last, flush=True)
"""


def test_kill_9_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    world, kept = World(tmp_path), list[bytes]()
    promised = -1
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for batch, lines in ((1, 1), (1, 4), (7, 5), (100, 3), (300, 2)):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(batch)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
            assert writer.stdout
            for _ in range(lines):
                promised = int(writer.stdout.readline())
            kept.append((world.log_dir / "checkpoint").read_bytes())
            writer.send_signal(signal.SIGKILL)  # in the middle of the next append
        with world.open() as log:
            assert log.reader().size > promised
            verify(Folder(world.log_dir), parse_vkey(log.vkey), kept=kept)
            assert open_checkpoint(log.checkpoint, parse_vkey(log.vkey))[0].size == log.append("stop", "", {})
