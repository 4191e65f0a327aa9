"""The way back: what resolvers answered, by dnstap and by PowerDNS's stream, counted by entry and without a client."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from resolver._core import CompiledList
from resolver.config.schema import load
from resolver.ipc.entry_hits import waiting
from resolver.rpz import told
from resolver.stats.daily_counts import Counts
from tests.rigs.counted import raised
from tests.rigs.dns_host import free_port, wait_until, written
from tests.rigs.list_documents import entry, numbered
from tests.rigs.resolvers import OUTSIDE, Outside, every
from tests.rigs.rpz_world import STOP, World, running

if TYPE_CHECKING:
    from pathlib import Path


NOW = 1_796_083_200.0  # 2026-12-01


@pytest.mark.needs("named", "pdns_recursor")
def test_blocks_of_bind_and_powerdns_are_counted_by_entry_and_nobody_is_named(tmp_path: Path) -> None:
    ports = {"bind": free_port(), "powerdns": free_port()}
    local = ["127.0.0.1/32"]
    world = World(
        tmp_path,
        {
            "secondaries": [
                {"name": "bind", "addresses": local, "key": "stopsign-bind.key"},
                {"name": "powerdns", "addresses": local, "key": "stopsign-powerdns.key"},
            ],
            "counts": [{"dnstap": str(tmp_path / "run/bind.dnstap")}, {"protobuf": f"127.0.0.1:{free_port()}"}],
        },
    )
    for name in ("bind", "powerdns"):
        world.make_key(f"stopsign-{name}")
    world.activate([entry("casino.test", 1), entry("named.test", 2), entry("pdns-recursor.test", 3)])
    outside, counts = Outside(), Counts(tmp_path / "counts.db")
    stop = socket.inet_aton(STOP)
    with running(world), every(world, ports, outside.port, listed="casino.test", stop=stop) as resolvers:
        for resolver in resolvers:
            resolver.wait("other.example", OUTSIDE)
            resolver.wait(f"www.{resolver.name.replace('_', '-')}.test", stop)
        every_entry = {numbered(1), numbered(2), numbered(3)}
        wait_until(lambda: set(counted(world, counts)) == every_entry, "what each resolver stopped is not counted")
        hits = counted(world, counts)
        assert counts.day("2026-12-01") == {"list-0": sum(hits.values())}
        kept = b"".join(data for _, data in written(world.run_dir / "workers"))
        kept += b"".join(path.read_bytes() for path in tmp_path.glob("counts.db*"))
    counts.close()
    for trace in (b"127.0.0.1", b"other.example", b"www."):
        assert trace not in kept


def counted(world: World, counts: Counts) -> dict[str, int]:
    """Hits by reference, counted as the steward counts them."""
    compiled = CompiledList.open(world.run_dir / "current.list")
    for batch in waiting(load(world.config).places, lambda _: compiled, raised):
        counts.gather(batch, NOW)
    month = counts.month("2026-12")
    assert {name for name, _ in month} <= {"list-0"}
    return {reference: hits for (_, reference), hits in month.items()}


@pytest.mark.parametrize(
    "frame",
    [b"", b"\xff" * 40, b"\x72\x7f", b"\x72\x02\x08\x06", b"\x0b", b"\x08" + b"\x80" * 12],
    ids=["empty", "no-end", "cut-short", "no-response", "group", "long-number"],
)
def test_what_is_malformed_is_no_answer_and_no_crash(frame: bytes) -> None:
    for read in (told.of_dnstap, told.of_powerdns):
        try:
            assert read(frame) is None
        except told.StreamError:
            continue
