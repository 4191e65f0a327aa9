"""Additions act on the canary first, then on one wave after the other: several stewards on one PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from resolver.lists import fetch
from resolver.portal import clock
from resolver.portal.store import Store
from tests.rigs import postgres
from tests.rigs.lists_world import Clock, World
from tests.rigs.many_hosts import Host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    Fleet = dict[str, Host]
    Run = Callable[[Callable[[Fleet], Coroutine[Any, Any, None]]], None]

pytestmark = pytest.mark.needs("initdb")

OLD, NEW = ["a.example", "b.example"], ["a.example", "b.example", "new.example"]
STAGES = {"canary": "canary", "one": "wave-1", "two": "wave-2", "plain": "at-once"}
CANARY, WAVE_1 = 600.0, 1200.0
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture
def run(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A host of each stage, which knows the logs of the others and runs version 1."""
    worlds: dict[str, World] = {}

    def more(host: str, peers: list[str]) -> dict[str, Any]:
        stages = {"stage": STAGES[host], "canary": f"{CANARY}s", "wave_1": f"{WAVE_1}s"}
        return {"host": host, "log": {"peers": peers}, "stages": stages}

    @asynccontextmanager
    async def fleet() -> AsyncIterator[Fleet]:
        name = f"stages{next(_numbers)}"
        connection = await asyncpg.connect(f"{server}/postgres")
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        now, hosts = Clock(), {}
        for host in STAGES:
            (tmp_path / host).mkdir()
            worlds[host] = World(tmp_path / host, clock=now, more=more(host, []))
            worlds[host].uptime.now += len(worlds) * 1e6  # no two hosts were booted at once
        keys = {host: world.config.places.log_vkey.read_text().strip() for host, world in worlds.items()}
        places = {world.config.places.list("gambling").root: world for world in worlds.values()}
        monkeypatch.setattr(fetch, "stored", lambda _, place: places[place.root].last)
        async with AsyncExitStack() as closing:
            for host, world in worlds.items():
                world.more = more(host, [key for other, key in keys.items() if other != host])
                world.restart()
                world.register.take(world.candidate(1, OLD), reached=True)
                hosts[host] = Host(host, world, await Store.open(f"{server}/{name}"), clock.Exchange(host))
                closing.push_async_callback(hosts[host].store.close)
            yield hosts

    def runner(work: Callable[[Fleet], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            async with fleet() as hosts:
                await work(hosts)

        asyncio.run(whole())

    yield runner
    for world in worlds.values():
        world.stop()


async def later(hosts: Fleet, seconds: float, *, wall: float | None = None) -> None:
    """Time passes, and every process had its turns. `wall`: by how much the clocks on the wall moved instead."""
    for share in (seconds - 2, 1, 1):
        next(iter(hosts.values())).world.clock.forward(seconds=share if wall is None else wall / 3)
        for host in hosts.values():
            host.world.uptime.forward(seconds=share)
        for host in hosts.values():
            host.world.register.tick()
            await host.round()


def offer(hosts: Fleet, version: int, names: list[str], **more: Any) -> None:
    for host in hosts.values():
        host.world.take(version, names, **more)


def runs(hosts: Fleet, name: str = "new.example") -> list[str]:
    """The hosts that stop this name."""
    return [host.name for host in hosts.values() if host.world.active(name)]


def waits(host: Host) -> str:
    (told,) = host.world.register.status()["lists"]
    return f"{told['waits']['kind']}: {told['waits']['text']}" if told["waits"] else ""


def alarms(host: Host) -> list[str]:
    return [said for said in host.world.register.status()["alarms"] if "version" in said]


def test_additions_reach_the_canary_then_one_wave_after_the_other(run: Run) -> None:
    async def work(hosts: Fleet) -> None:
        offer(hosts, 2, NEW)
        assert runs(hosts) == ["canary", "plain"]
        await later(hosts, 30)
        assert runs(hosts) == ["canary", "plain"]
        assert waits(hosts["one"]) == "waits: canary (canary) has run it for 30 s of 10 min"
        assert waits(hosts["two"]) == "waits: no wave-1 host runs it yet: one runs 1"
        await later(hosts, CANARY)
        assert runs(hosts) == ["canary", "one", "plain"]
        await later(hosts, WAVE_1 - 60)
        assert runs(hosts) == ["canary", "one", "plain"]
        await later(hosts, 120)
        assert runs(hosts) == list(STAGES)
        for host in ("one", "two"):
            assert [kind for kind in hosts[host].kinds() if kind in ("list-held", "list-stage")] == [
                "list-held", "list-stage",
            ]  # fmt: skip
        assert [alarms(host) for host in hosts.values()] == [[], [], [], []]

    run(work)
