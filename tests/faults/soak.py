"""A soak: a provider's host under load for minutes, with everything at once that usually comes one by one.

`python -m tests.faults.soak --minutes 10` (`make soak`) prints a table and exits 1 where an answer was wrong or lost,
or memory or descriptors grew. Three phases: load; a while without any upstream; load again. Meanwhile names that nobody
asked before pass through the cache, connections come and go, malformed packets arrive, and the list changes.
What is compared is the first quarter after warming up with the last one, process by process: anonymous memory (maps of
files do not count) and open descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklists.issuer.rehearsal import Rehearsal
from resolver.cli.demo import tree
from resolver.config.schema import Endpoint
from tests.rigs.dns_host import ROOT, ask_tcp, ask_udp, free_port, question, running
from tests.rigs.limits import descriptors, resident
from tests.rigs.load import EXPECTED, PASSED, Load
from tests.rigs.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

A = 1
ALLOWED_GROWTH, SLACK = 1.10, 8 << 20  # a tenth, and what an allocator may keep
SPARE_DESCRIPTORS = 8  # sockets towards upstreams come and go with their day


@dataclass
class Watch:
    """Memory and descriptors of each process, once a second; a process that was replaced begins anew."""

    memory: dict[str, list[int]] = field(default_factory=dict)
    files: dict[str, list[int]] = field(default_factory=dict)

    def look(self, processes: Mapping[str, int]) -> None:
        for name, pid in processes.items():
            with contextlib.suppress(OSError, StopIteration):
                memory, files = resident(pid), descriptors(pid)
                self.memory.setdefault(name, []).append(memory)
                self.files.setdefault(name, []).append(files)

    def rows(self) -> Iterator[tuple[str, int, int, int, int]]:
        """(process, memory before, memory after, descriptors before, descriptors after), medians."""
        for name, memory in self.memory.items():
            files, quarter = self.files[name], max(len(memory) // 4, 1)
            before = slice(quarter, 2 * quarter)
            yield (
                name,
                int(statistics.median(memory[before] or memory)),
                int(statistics.median(memory[-quarter:])),
                int(statistics.median(files[before] or files)),
                int(statistics.median(files[-quarter:])),
            )

    def complaints(self) -> Iterator[str]:
        for name, memory, memory_after, files, files_after in self.rows():
            if memory_after > memory * ALLOWED_GROWTH + SLACK:
                yield f"{name}: memory grew from {memory >> 20} to {memory_after >> 20} MiB"
            if files_after > files + SPARE_DESCRIPTORS:
                yield f"{name}: descriptors grew from {files} to {files_after}"


@dataclass
class Soak:
    """What came of it."""

    seconds: float
    watch: Watch = field(default_factory=Watch)
    asked: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    connections: int = 0
    versions: int = 0

    @property
    def complaints(self) -> list[str]:
        found = list(self.watch.complaints())
        if self.wrong:
            found.append(f"{len(self.wrong)} wrong answers, first: {self.wrong[0]}")
        if self.lost:
            found.append(f"{self.lost} of {self.asked} queries lost")
        return found


async def soak(host: Provider, upstream: subprocess.Popen[bytes], seconds: float, rate: float) -> Soak:
    """Plays it on a host that serves."""
    found = Soak(seconds)
    ended = asyncio.Event()
    names = EXPECTED | {f"n{n}.passing.example.net": PASSED for n in range(20_000)}

    async def load(until: float) -> None:
        one = Load(host.address, names, rate=rate, patience=10.0)
        await one.run(lambda: time.monotonic() >= until)
        found.asked, found.lost = found.asked + one.sent, found.lost + len(one.lost)
        found.wrong += one.wrong[:5]

    async def watch() -> None:
        while not ended.is_set():
            found.watch.look(host.children())
            await asyncio.sleep(1.0)

    async def connections() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            await ask_tcp(host.address, [question(n, f"tcp{number}-{n}.example.net", A) for n in range(20)])
            found.connections += 1
            await asyncio.sleep(0.2)

    async def noise() -> None:
        rng = random.Random(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.connect(host.address)
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    one.send(rng.randbytes(rng.randrange(1, 600)))
                await asyncio.sleep(0.02)

    async def versions() -> None:
        rehearsal = Rehearsal.open(host.folder / "issuer")
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), max(seconds / 10, 5.0))
                return
            found.versions += 1
            await asyncio.to_thread(rehearsal.change, tree.LIST, add=[f"soak{found.versions}.example"])

    started = time.monotonic()
    beside = [asyncio.create_task(one()) for one in (watch, connections, noise, versions)]
    try:
        await load(started + seconds * 0.45)
        upstream.send_signal(signal.SIGSTOP)
        gone = time.monotonic()
        try:
            await asyncio.sleep(seconds / 10)  # a minute of ten
        finally:
            upstream.send_signal(signal.SIGCONT)
        await back(host)
        click.echo(
            f"without an upstream for {seconds / 10:.0f} s; back {time.monotonic() - gone:.1f} s later", err=True
        )
        await load(max(started + seconds, time.monotonic() + seconds / 10))
    finally:
        ended.set()
        await asyncio.gather(*beside)
    return found


async def back(host: Provider) -> None:
    """Until the upstream is found well again and failures that were remembered are forgotten."""
    async with asyncio.timeout(60):
        while True:
            # Datagrams, from a socket each: every worker gets some, and a live query is what an upstream is tried with.
            for _ in range(8):
                await ask_udp(host.address, [question(0, f"{time.monotonic_ns()}.example.net", A)])
            if all(one["upstreams"][0]["state"] == "up" for one in host.said()):
                break
            await asyncio.sleep(0.2)
    await asyncio.sleep(6.0)  # RFC 9520: at most five seconds


def play(folder: Path, seconds: float, rate: float) -> Soak:
    """A provider over a tree of its own, with its upstream in a process of its own."""
    upstream = free_port()
    ports = tree.Ports(*(Endpoint("127.0.0.1", free_port()) for _ in range(3)))
    tree.plant(folder, [], ports=ports, upstream=Endpoint("127.0.0.1", upstream), workers=2)
    program = "import sys; from tests.rigs.provider import outside; outside(int(sys.argv[1]))"
    world = subprocess.Popen(
        [sys.executable, "-c", program, str(upstream)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        with running(Provider(folder, [], workers=2, only=None)) as host:
            return asyncio.run(soak(host, world, seconds, rate))
    finally:
        world.send_signal(signal.SIGCONT)
        world.terminate()
        world.wait(20)


@click.command()
@click.option("--minutes", type=float, default=10.0, show_default=True)
@click.option("--rate", type=float, default=1500.0, show_default=True, help="Queries a second.")
@click.option("--json", "as_json", is_flag=True)
def main(minutes: float, rate: float, as_json: bool) -> None:
    """Everything at once for a while; exit 1 where something grew, was wrong or was lost."""
    with tempfile.TemporaryDirectory(prefix="stopsign-soak-") as folder:
        found = play(Path(folder) / "tree", minutes * 60, rate)
    rows = list(found.watch.rows())
    if as_json:
        said = {
            "asked": found.asked,
            "complaints": found.complaints,
            "processes": rows,
            "connections": found.connections,
        }
        click.echo(json.dumps(said))
    else:
        click.echo(f"{found.asked:,} queries, {found.connections:,} connections, {found.versions} versions of the list")
        click.echo(f"{'process':<12} {'memory, MiB':>16} {'descriptors':>14}")
        for name, memory, memory_after, files, files_after in rows:
            click.echo(f"{name:<12} {memory / 2**20:>7.1f} {memory_after / 2**20:>8.1f} {files:>7} {files_after:>6}")
        for complaint in found.complaints:
            click.echo(complaint)
    sys.exit(1 if found.complaints else 0)


if __name__ == "__main__":
    main()
