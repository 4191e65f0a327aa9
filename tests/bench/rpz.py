"""A zone of a million names for two secondaries: how long, and how much memory.

    python -m tests.bench.rpz [--names N] [--secondaries N] [--json]

One line a step: the zone made of the compiled list, both full transfers at the same time (signed, read to the end by
clients that do nothing else), an update of 100 entries from its activation to the new serial, both incremental
transfers. Memory is the primary's peak (VmHWM).
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import dns.message
import dns.rrset

from tests.rigs.dns_host import wait_until
from tests.rigs.list_documents import entry
from tests.rigs.rpz_world import ORIGIN, World, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocklists.entry import Entry

CHANGED = 100


@dataclass(frozen=True)
class Row:
    step: str
    seconds: float
    octets: int
    messages: int
    peak_mib: float


def names(count: int) -> list[str]:
    """Random word pairs, each once."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 9))) for _ in range(20_000)]
    found: set[str] = set()
    while len(found) < count:
        found.add(f"{chance.choice(words)}-{chance.choice(words)}.{chance.choice(('com', 'net', 'org', 'bet'))}")
    return sorted(found)


def entries(listed: list[str], start: int = 0) -> Iterator[Entry]:
    return (entry(name, start + number) for number, name in enumerate(listed))


async def transfer(world: World, qtype: str, since: int | None = None) -> tuple[int, int]:
    """Octets and messages of one transfer. A client that only reads: what is measured is the primary."""
    query = dns.message.make_query(ORIGIN, qtype)
    if since is not None:
        soa = f"localhost. hostmaster.localhost. {since} 1 1 1 1"
        query.authority.append(dns.rrset.from_text(f"{ORIGIN}.", 0, "IN", "SOA", soa))
    query.use_tsig(world.key())
    wire = query.to_wire()
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1 << 20)
    writer.write(len(wire).to_bytes(2, "big") + wire)
    serial = world.serial().to_bytes(4, "big")
    octets = messages = soas = 0
    # the serial we are given stands in the first record and in the last one (and once between, where steps are told)
    wanted = 2 if since is None else 3
    while soas < wanted:
        message = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        octets, messages = octets + len(message), messages + 1
        soas += message.count(b"\x0ahostmaster\x03rpz\x08stopsign\0" + serial)
    writer.close()
    return octets, messages


def peak(world: World) -> float:
    assert world.process is not None
    status = Path(f"/proc/{world.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return round(int(found[1]) / 1024, 1)


def measure(folder: Path, count: int, secondaries: int) -> Iterator[Row]:
    listed = names(count)
    world = World(folder)
    world.activate(entries(listed))
    start = time.monotonic()
    with running(world):
        yield Row(f"started, {count:,} names", round(time.monotonic() - start, 2), 0, 0, peak(world))

        async def both(qtype: str, since: int | None = None) -> list[tuple[int, int]]:
            return await asyncio.gather(*(transfer(world, qtype, since) for _ in range(secondaries)))

        start = time.monotonic()
        read = asyncio.run(both("AXFR"))
        yield Row(f"AXFR to {secondaries}", round(time.monotonic() - start, 2), *read[0], peak(world))
        before = world.serial()
        world.activate(entries([*listed[CHANGED // 2 :], *(f"new-{n}.test" for n in range(CHANGED // 2))], 10 * count))
        start = time.monotonic()
        wait_until(lambda: world.serial() > before, "there is no new serial")
        yield Row(f"{CHANGED} entries changed", round(time.monotonic() - start, 2), 0, 0, peak(world))
        start = time.monotonic()
        read = asyncio.run(both("IXFR", before))
        yield Row(f"IXFR to {secondaries}", round(time.monotonic() - start, 2), *read[0], peak(world))


@click.command()
@click.option("--names", "count", default=1_000_000, show_default=True)
@click.option("--secondaries", default=2, show_default=True)
@click.option("--json", "in_json", is_flag=True, help="For programs.")
def main(count: int, secondaries: int, *, in_json: bool) -> None:
    """Serve a zone and measure it."""
    with tempfile.TemporaryDirectory(prefix="stopsign-rpz-") as folder:
        for row in measure(Path(folder) / "world", count, secondaries):
            size = f"{row.octets / 1e6:8.1f} MB {row.messages:6} messages" if row.octets else " " * 27
            told = f"{row.step:28} {row.seconds:7.2f} s {size} {row.peak_mib:7.1f} MiB at most"
            click.echo(json.dumps(asdict(row)) if in_json else told)


if __name__ == "__main__":
    main()
