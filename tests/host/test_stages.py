"""Additions act on the canary first, then on one wave after the other: several stewards on one PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from resolver._core import COUNTERS, COUNTERS_MARK
from resolver.base.timestamps import as_text
from resolver.ipc import control
from resolver.lists import fetch
from resolver.policy import exceptions
from resolver.portal import clock
from resolver.portal.app import Web
from resolver.portal.fleet import hosts_of
from resolver.portal.store import Store
from tests.rigs import postgres
from tests.rigs.lists_world import Clock, World, make_entry
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


async def soaked(hosts: Fleet) -> None:
    """Version 2 is offered, and the canary has run it for nearly long enough."""
    offer(hosts, 2, NEW)
    await later(hosts, CANARY - 30)
    assert runs(hosts) == ["canary", "plain"]


def answered(host: Host, **counted: int) -> None:
    """What the host's worker counted since it runs."""
    path = host.world.config.places.counters(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {f"answered_{rcode}": number for rcode, number in counted.items()}
    path.write_bytes(b"".join(found.get(name, 0).to_bytes(8, "little") for name in COUNTERS) + COUNTERS_MARK)


def stages(host: Host) -> list[str]:
    """What its log says of waves."""
    log = host.world.ledger._log
    assert log is not None
    leaves = [index for index, kind in enumerate(host.kinds()) if kind == "list-stage"]
    return [detail.value["event"] for index in leaves if (detail := log.details.get(index)) is not None]


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


def test_removals_and_relief_wait_for_no_wave(run: Run) -> None:
    async def work(hosts: Fleet) -> None:
        offer(hosts, 2, ["a.example", "new.example", "other.example"])
        assert runs(hosts, "b.example") == [], "removed at once, everywhere"
        assert runs(hosts) == ["canary", "plain"]
        a, new = (make_entry(name).reference for name in ("a.example", "new.example"))
        offer(hosts, 2, ["a.example", "new.example", "other.example"], suspended=[a, new])
        assert runs(hosts, "a.example") == []
        await later(hosts, CANARY + 30)
        assert runs(hosts, "other.example") == ["canary", "one", "plain"]
        assert runs(hosts) == [], "what was withdrawn meanwhile does not come with the rest"
        assert [host.kinds().count("list-held") for host in hosts.values()] == [0, 1, 1, 0]

    run(work)


def test_a_canary_whose_answers_fail_stops_the_wave_until_it_has_been_well_for_the_whole_time(run: Run) -> None:
    async def work(hosts: Fleet) -> None:
        answered(hosts["canary"], noerror=5_000, servfail=5_000)  # before: of no version
        await soaked(hosts)
        answered(hosts["canary"], noerror=6_800, servfail=5_200)
        await later(hosts, 60)
        assert runs(hosts) == ["canary", "plain"]
        assert waits(hosts["one"]) == "stopped: canary (canary): 10% of its answers are SERVFAIL"
        for host in ("one", "two"):
            (alarm,) = alarms(hosts[host])
            assert "version 2 of list gambling is stopped by canary (canary): 10% of its answers" in alarm
            assert "stopsign lists approve gambling 2 " in alarm
            assert alarm.endswith(" --now")
            assert stages(hosts[host]) == ["stopped"]
        answered(hosts["canary"], noerror=60_000, servfail=5_200)
        await later(hosts, 60)
        assert waits(hosts["one"]).startswith("waits: canary (canary) has run it for ")
        assert runs(hosts) == ["canary", "plain"], "it soaks from the beginning"
        await later(hosts, CANARY)
        assert runs(hosts) == ["canary", "one", "plain"]
        assert stages(hosts["one"]) == ["stopped", "waits", "reached"]
        assert alarms(hosts["one"]) == []

    run(work)


def test_a_version_that_the_canary_holds_or_passes_by_goes_no_further(run: Run) -> None:
    async def work(hosts: Fleet) -> None:
        hosts["canary"].world.more = {**hosts["canary"].world.more, "guards": {"protected": ["new.example"]}}
        hosts["canary"].world.restart()
        offer(hosts, 2, NEW)
        await later(hosts, CANARY)
        assert waits(hosts["one"]) == "stopped: canary (canary): held there: protected"
        assert runs(hosts) == ["plain"]
        offer(hosts, 3, [*OLD, "third.example"])
        await later(hosts, 60)
        assert waits(hosts["one"]) == "waits: canary (canary) has run it for 60 s of 10 min"
        places, now = hosts["canary"].world.config.places, int(hosts["canary"].world.clock())
        off = exceptions.Bypass("list", "gambling", now, exceptions.FOR_EVER, "root", "it stops a bank")
        exceptions.change(places, lambda live: live.on(off))
        await later(hosts, CANARY)
        assert waits(hosts["two"]) == "stopped: canary (canary): the list is bypassed there"
        assert runs(hosts, "third.example") == ["canary", "plain"]

    run(work)


def test_a_share_of_clients_in_shadow_evaluation_stops_the_waves(run: Run) -> None:
    async def work(hosts: Fleet) -> None:
        state = hosts["canary"].world.candidate(2, NEW).state
        hosts["canary"].world.register.waves.soak.evaluated("gambling", state, 0.008)
        await soaked(hosts)
        assert waits(hosts["one"]) == "stopped: canary (canary): one addition would have stopped 0.8% of its clients"

    run(work)


def test_soaking_is_counted_by_uptime_whatever_the_clock_on_the_wall_does(run: Run) -> None:
    async def work(hosts: Fleet) -> None:
        offer(hosts, 2, NEW)
        await later(hosts, 30, wall=86400.0)
        assert runs(hosts) == ["canary", "plain"]
        hosts["canary"].world.restart()  # the steward alone: the machine runs on
        await later(hosts, CANARY / 2)
        hosts["one"].world.restart()
        await later(hosts, 60)
        assert waits(hosts["one"]) == "waits: canary (canary) has run it for 6 min of 10 min"
        (hosts["canary"].world.config.places.soaking).unlink()  # a reboot empties the tmpfs
        hosts["canary"].world.uptime.now = 5.0
        hosts["canary"].world.restart()
        await later(hosts, CANARY / 2)
        assert waits(hosts["one"]) == "waits: canary (canary) has run it for 5 min of 10 min"
        await later(hosts, CANARY / 2 + 10)
        assert runs(hosts) == ["canary", "one", "plain"]

    run(work)


def test_a_canary_that_is_silent_holds_additions_and_is_an_alarm(run: Run) -> None:
    async def work(hosts: Fleet) -> None:
        hosts["canary"].away = True
        since = as_text(hosts["one"].world.clock() + 28)
        offer(hosts, 2, NEW)
        await later(hosts, 30)
        assert alarms(hosts["one"]) == []
        await later(hosts, 60)
        (alarm,) = alarms(hosts["one"])
        assert alarm.startswith(
            f"version 2 of list gambling waits: no host says that it is a canary, since {since}; to let it act here: "
        )
        await later(hosts, 10 * CANARY)
        assert alarms(hosts["one"]) == [alarm]
        assert runs(hosts) == ["canary", "plain"]
        hosts["canary"].away = False
        await later(hosts, 30)
        assert alarms(hosts["one"]) == []
        assert runs(hosts) == ["canary", "one", "plain"], "it ran it all the time"
        hosts["canary"].away = True
        offer(hosts, 3, [*NEW, "third.example"])
        await later(hosts, 2 * CANARY)
        await later(hosts, 60)
        assert waits(hosts["one"]) == "waits: no canary host is heard of (canary)"
        assert len(alarms(hosts["one"])) == 1

    run(work)


def test_what_a_wave_lets_through_waits_for_its_leaf(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(hosts: Fleet) -> None:
        await soaked(hosts)
        log = hosts["one"].world.ledger
        with monkeypatch.context() as broken:
            broken.setattr(log, "_open", lambda: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            log.close()
            await later(hosts, 60)
            assert runs(hosts) == ["canary", "plain"]
            alarm = hosts["one"].world.register.alarms["wave gambling"]
            end = ": additions that are let through are not active: the log cannot be written: No space left on device"
            assert alarm == f"list gambling{end}"
        await later(hosts, 10)
        assert runs(hosts) == ["canary", "one", "plain"]
        assert "wave gambling" not in hosts["one"].world.register.alarms

    run(work)


def test_a_person_lets_additions_act_on_one_host_or_on_all(run: Run) -> None:
    async def work(hosts: Fleet) -> None:
        hosts["canary"].away = True
        offer(hosts, 2, NEW)
        held = hosts["two"].world.register.fetching["gambling"].held
        assert held is not None
        what = {"list": "gambling", "version": 2, "state": held.state}
        told = await hosts["two"].steward("approve", **what)
        assert (told["outcome"], told["text"]) == ("held", "waits for wave-1"), "an approval respects the waves"
        assert runs(hosts) == ["canary", "plain"]
        told = await hosts["two"].steward("approve", **what, now=True)
        assert told["outcome"] == "active"
        assert runs(hosts) == ["canary", "two", "plain"]
        assert hosts["two"].kinds().count("list-approved") == 2
        await hosts["one"].steward("approve", **what, now=True)
        offer(hosts, 3, [*NEW, "third.example"])
        held = hosts["one"].world.register.fetching["gambling"].held
        assert held is not None
        what = {"list": "gambling", "version": 3, "state": held.state}
        await hosts["one"].steward("approve", **what, now=True, everywhere=True)
        await later(hosts, 10)
        assert runs(hosts, "third.example") == list(STAGES)

    run(work)


def test_an_approval_everywhere_reaches_one_wave_after_the_other(run: Run) -> None:
    async def work(hosts: Fleet) -> None:
        offer(hosts, 2, [*OLD, "mooo.com"])  # held for a person on every host
        held = hosts["two"].world.register.fetching["gambling"].held
        assert held is not None
        assert waits(hosts["two"]) == ""
        what = {"list": "gambling", "version": 2, "state": held.state, "everywhere": True}
        assert (await hosts["two"].steward("approve", **what))["outcome"] == "held"
        await later(hosts, 30)
        assert runs(hosts, "mooo.com") == ["canary", "plain"]
        hosts["one"].world.restart()
        hosts["one"].world.take(2, [*OLD, "mooo.com"])  # it forgets no approval
        await later(hosts, CANARY)
        assert runs(hosts, "mooo.com") == ["canary", "one", "plain"]
        await later(hosts, WAVE_1)
        assert runs(hosts, "mooo.com") == list(STAGES)
        assert [host.kinds().count("list-approved") for host in hosts.values()] == [1, 1, 1, 1]

    run(work)


def test_the_web_processes_carry_what_the_stewards_say(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(hosts: Fleet) -> None:
        async def asked(socket: Path, op: str, **arguments: Any) -> Any:
            del arguments["timeout"]
            (host,) = [one for one in hosts.values() if one.world.config.places.control_socket == socket]
            return await host.steward(op, **arguments)

        monkeypatch.setattr(control, "acall", asked)
        offer(hosts, 2, NEW)
        for name in ("canary", "one", "canary", "one"):
            hosts[name].world.register.tick()
            hosts[name].world.clock.forward(seconds=1)
            await Web(hosts[name].world.config)._round(hosts[name].store)
        assert waits(hosts["one"]) == "waits: canary (canary) has run it for 0 s of 10 min"
        now = int(hosts["one"].world.clock())
        told = {host.name: host for host in hosts_of(await hosts["one"].store.reports(now), int(time.time()))}
        assert [one.stage for name in ("canary", "one") for one in told[name].lists] == ["canary", "wave-1"]
        assert told["one"].lists[0].waits == waits(hosts["one"])

    run(work)


def test_who_can_write_to_the_database_lets_nothing_through(run: Run, tmp_path: Path) -> None:
    async def work(hosts: Fleet) -> None:
        offer(hosts, 2, NEW)
        await later(hosts, 30)
        one, canary = hosts["one"].world.register, hosts["canary"].world
        true = canary.register.waves.note(canary.register.fetching)
        (tmp_path / "stranger").mkdir()
        stranger = World(tmp_path / "stranger", clock=canary.clock, more=canary.more)
        stranger.take(2, NEW)
        stranger.uptime.forward(seconds=10 * CANARY)
        forged = stranger.register.waves.note(stranger.register.fetching)
        checkpoint = canary.config.places.checkpoint.read_text()
        lies = [
            forged, true.replace('"seconds": 30', '"seconds": 99999'), checkpoint, "", "x\n\ny\n",
            true.replace("stopsign stages", "stopsign\nstages"), "[" * 10_000,
        ]  # fmt: skip
        assert one.hear(lies) == len(lies)
        assert one.hear([true]) == 0
        canary.clock.forward(seconds=2)
        canary.uptime.forward(seconds=CANARY)
        later_note = canary.register.waves.note(canary.register.fetching)
        canary.clock.forward(hours=1)
        assert one.hear([later_note]) == 0, "it is true, and an hour old"
        assert runs(hosts) == ["canary", "plain"]
        stranger.stop()

    run(work)
