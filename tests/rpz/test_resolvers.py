"""Unbound, BIND, PowerDNS Recursor and Knot Resolver as Debian ships them, fed by Stopsign with the real names."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from typing import TYPE_CHECKING

import pytest

from blocklists.entry import is_name
from resolver import _core
from tests.rigs.dns_host import Host, ask_udp, free_port, question, running, wait_until
from tests.rigs.resolvers import MAKERS, OUTSIDE, Outside, every
from tests.rigs.rpz_world import ORIGIN, STOP, STOP6, World, listed, said
from tests.rigs.rpz_world import running as serving

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.rigs.resolvers import Resolver

pytestmark = pytest.mark.needs("unbound", "named", "pdns_recursor", "kresd", "data")
A, AAAA, HTTPS = 1, 28, 65
SERVFAIL = 2
SAMPLE = 2000
PATIENT = 240.0


def sample(real: Iterable[str], popular: Iterable[str], compiled: _core.CompiledList) -> list[str]:
    """Listed names, names below listed ones, and names that no entry covers."""
    chance = random.Random(8)
    names = sorted(name for name in real if len(name) < 200)
    others = [name for name in popular if is_name(name) and not compiled.look_up(name)]
    below = [f"{chance.choice(['www', 'a.b', 'm', '_tcp'])}.{name}" for name in chance.sample(names, SAMPLE)]
    return [*chance.sample(names, SAMPLE), *below, *chance.sample(others, SAMPLE)]


def world_of(folder: Path) -> tuple[World, dict[str, int]]:
    """A primary for all four, and their ports."""
    ports = {make.__name__: free_port() for make in MAKERS}
    local = ["127.0.0.1/32"]
    secondaries = [
        {"name": "bind", "addresses": local, "key": "stopsign-bind.key", "notify": [f"127.0.0.1:{ports['bind']}"]},
        {"name": "powerdns", "addresses": local, "key": "stopsign-powerdns.key"},
        {"name": "unbound", "addresses": local, "unsigned": True, "notify": [f"127.0.0.1:{ports['unbound']}"]},
    ]
    zone = {"origin": ORIGIN, "file": "file/rpz.stopsign.zone"}
    world = World(folder, {"zones": [zone], "secondaries": secondaries})
    world.make_key("stopsign-bind")
    world.make_key("stopsign-powerdns")
    return world, ports


def wait_for_all(resolvers: Iterable[Resolver], name: str, wanted: bytes) -> dict[str, float]:
    """How long each took."""
    start, took = time.monotonic(), {}
    for resolver in resolvers:
        resolver.wait(name, wanted)
        took[resolver.name] = round(time.monotonic() - start, 2)
    return took


def answers(address: tuple[str, int], names: list[str]) -> list[tuple[int, tuple[str, ...]]]:
    """For each type and name. What failed because the world outside was slow is asked again."""
    queries = [question(0, name, qtype) for qtype in (A, AAAA, HTTPS) for name in names]
    found: list[tuple[int, tuple[str, ...]]] = [(SERVFAIL, ())] * len(queries)

    def complete() -> bool:
        failed = [at for at, (rcode, _) in enumerate(found) if rcode == SERVFAIL]
        for at, message in zip(failed, asyncio.run(ask_udp(address, [queries[at] for at in failed], 16)), strict=True):
            found[at] = said(message)
        return all(rcode != SERVFAIL for rcode, _ in found)

    wait_until(complete, f"{address} fails", PATIENT)
    return found


def test_every_resolver_comes_to_the_verdict_and_hears_of_changes(
    real_names: list[str], popular_names: list[str], tmp_path: Path
) -> None:
    names = sorted({name for name in real_names if is_name(name)})
    world, ports = world_of(tmp_path)
    world.activate(listed(names))
    names_asked = sample(names, popular_names, _core.CompiledList.open(world.run_dir / "current.list"))
    outside = Outside()
    host = Host(tmp_path, [f"127.0.0.1:{outside.port}"], more={"stop_page": {"ipv4": STOP, "ipv6": STOP6}})
    with serving(world), running(host):
        wait_until((tmp_path / "file" / "rpz.stopsign.zone").exists, "there is no zone file")
        stop = socket.inet_aton(STOP)
        with every(world, ports, outside.port, listed=names[-1], stop=stop) as resolvers:
            right = answers(host.address, names_asked)
            for resolver in resolvers:
                outside.asked.clear()
                found = answers(resolver.address, names_asked)
                every_question = [(name, qtype) for qtype in (A, AAAA, HTTPS) for name in names_asked]
                pairs = zip(every_question, found, right, strict=True)
                wrong = [(asked, got, wanted) for asked, got, wanted in pairs if got != wanted]
                assert not wrong, f"{resolver.name}: {len(wrong)} of {len(right)}: {wrong[:5]}"
                reached = set(outside.asked) & set(names_asked[: 2 * SAMPLE])
                assert not reached, (
                    f"{resolver.name} asked upstream for {len(reached)} blocked names: {sorted(reached)[:5]}"
                )
            full = world.log.read_text().count("AXFR of")
            added = [f"new-{number}.bet" for number in range(50)]
            world.activate(listed([*names[50:], *added], 500_000))
            took = wait_for_all(resolvers, added[-1], stop)
            freed = wait_for_all(resolvers, names[0], OUTSIDE)
            print(f"seconds from activation: {took}, freed {freed}")
            assert world.log.read_text().count("AXFR of") == full, "a full transfer, where an incremental one would do"
            states = {one["name"]: one["by"] for one in world.said()["zones"][0]["secondaries"]}
            assert states == dict.fromkeys(states, "IXFR"), states
