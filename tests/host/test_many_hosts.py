"""Two hosts on one PostgreSQL: every steward hears of every appeal, follows what the other's log proves, and nothing
else. On SQLite there is one host, and the same rounds leave it as it is."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from resolver.base.errors import ResolverError
from resolver.ipc import control, receipts
from resolver.lists.operations import operations
from resolver.policy import exceptions
from resolver.portal import clock
from resolver.portal.app import Web
from resolver.portal.store import NewAppeal, Shared, Store
from tests.rigs import postgres
from tests.rigs.lists_world import Clock, World, make_entry
from tests.rigs.portal_world import configuration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
    from pathlib import Path

    Work = Callable[["Host", "Host"], Coroutine[Any, Any, None]]

NAMES = ["a.example", "b.example"]
SECRET = bytes(range(16))
_numbers = itertools.count()


def ref(name: str) -> str:
    return make_entry(name).reference


@dataclass
class Host:
    """A steward with its lists and its log, and the rounds of its web process. `away`: the steward does not answer."""

    name: str
    world: World
    store: Store
    exchange: clock.Exchange
    away: bool = False
    refused: list[str] = field(default_factory=list)

    async def steward(self, op: str, **arguments: Any) -> Mapping[str, Any]:
        if self.away:
            raise control.UnreachableError("nobody listens")

        class Asked:
            config, register = self.world.config, self.world.register
            held: Any = type("Held", (), {"operations": staticmethod(dict)})

            async def work(self, what: Any, *args: Any, **kwargs: Any) -> Any:
                return what(*args, **kwargs)

        try:
            return await operations(Asked())[op].handle(control.Peer(1, 0, 0), arguments)  # type: ignore[arg-type]
        except ResolverError as error:
            self.refused.append(str(error))
            raise control.ControlError(str(error)) from error

    async def round(self) -> None:
        now = int(self.world.clock())
        await self.exchange.round(self.store, self.steward)
        await clock.deliver(self.store, self.steward, self.name, now)
        await clock.learn(self.store, self.steward, now)

    def opened(self, name: str) -> bool:
        return self.world.active(name) == []

    def passes(self, name: str) -> bool:
        return exceptions.read(self.world.config.places.exceptions).covering(name, self.world.clock()) is not None

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.world.leaves()]


async def rounds(*hosts: Host) -> None:
    """As many as it takes for what one says to be with all."""
    for _ in range(2):
        for host in hosts:
            await host.round()


def tick(*hosts: Host) -> None:
    for host in hosts:
        host.world.register.tick()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture
def run(server: str, tmp_path: Path) -> Iterator[Callable[[Work], None]]:
    worlds: list[World] = []

    @asynccontextmanager
    async def two() -> AsyncIterator[tuple[Host, Host]]:
        name = f"hosts{next(_numbers)}"
        connection = await asyncpg.connect(f"{server}/postgres")
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        shared_clock, hosts = Clock(), []
        for host in "ab":
            (tmp_path / host).mkdir()
            worlds.append(World(tmp_path / host, clock=shared_clock, more={"host": host}))
        keys = [world.config.places.log_vkey.read_text().strip() for world in worlds]
        for world, other, host in zip(worlds, reversed(keys), "ab", strict=True):
            world.more = {"host": host, "log": {"peers": [other]}}
            world.restart()
            world.take(1, NAMES)
            hosts.append(Host(host, world, await Store.open(f"{server}/{name}"), clock.Exchange(host)))
        try:
            yield hosts[0], hosts[1]
        finally:
            for one in hosts:
                await one.store.close()

    def runner(work: Work) -> None:
        async def whole() -> None:
            async with two() as (one, other):
                await work(one, other)

        asyncio.run(whole())

    yield runner
    for world in worlds:
        world.stop()


def appeal(host: Host, number: int = 1, name: str = "a.example") -> NewAppeal:
    now = int(host.world.clock())
    return NewAppeal(
        id=f"A-{number:012}", receipt=receipts.hash_of(SECRET), reference=ref(name), name=name, list="gambling",
        role="", ground="mistake", language="en", received=now, due=now + 48 * 3600, suspends=True,
        reason="It is not theirs.", contact="", share_contact=False,
    )  # fmt: skip


pytestmark = pytest.mark.needs("initdb")


def test_an_overdue_appeal_opens_its_entry_at_every_host_with_a_leaf_in_each_log(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        await a.store.add(appeal(a))
        await rounds(a, b)
        a.world.clock.forward(hours=49)
        tick(a, b)
        await rounds(a, b)
        assert [host.opened("a.example") for host in (a, b)] == [True, True]
        for host in (a, b):
            assert host.kinds().count("appeal-received") == host.kinds().count("appeal-overdue") == 1
        (one,) = await b.store.all()
        assert one.suspended is not None
        assert a.world.config.log_origin == "stop.isp.example/log/a"
        proofs = [(await host.store.proofs("A-000000000001", host.name))["received"] for host in (a, b)]
        assert ["stop.isp.example/log/a" in proofs[0], "stop.isp.example/log/b" in proofs[1]] == [True, True]

    run(work)


def test_a_host_that_was_away_follows_what_the_other_did_meanwhile(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        await a.store.add(appeal(a))
        b.away = True
        await rounds(a, b)
        a.world.clock.forward(hours=49)
        tick(a, b)
        await rounds(a, b)
        assert [host.opened("a.example") for host in (a, b)] == [True, False]
        b.away = False
        await rounds(a, b)
        assert b.opened("a.example"), "its own clock has just begun; the other's leaf proves that it ran out there"
        assert b.kinds().count("appeal-overdue") == 1
        b.world.restart()
        assert b.opened("a.example")

    run(work)


def test_what_one_operator_decides_holds_at_every_host(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        await a.store.add(appeal(a))
        await a.store.add(replace(appeal(a, 2, "b.example"), receipt=b"r" * 32))
        await rounds(a, b)
        a.world.clock.forward(hours=49)
        tick(a, b)
        await rounds(a, b)
        await b.steward("decide", appeals={"A-000000000001": ref("a.example")}, outcome="upheld", by="Ms Day")
        await b.store.decide(["A-000000000001"], "upheld", "Ms Day", "No.", int(b.world.clock()))
        await rounds(a, b)
        assert [(host.opened("a.example"), host.opened("b.example")) for host in (a, b)] == [(False, True)] * 2
        assert "decided" in await a.store.proofs("A-000000000001", "a"), "its leaf is in this log too"
        tick(a, b)
        await rounds(a, b)
        assert not a.opened("a.example")

    run(work)


def test_a_mend_opens_one_entry_at_every_host_and_ends_everywhere(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        await a.store.add(appeal(a))
        await rounds(a, b)
        await a.steward(
            "decide",
            appeals={"A-000000000001": ref("a.example")},
            outcome="mended",
            names={ref("a.example"): "a.example"},
            seconds=3600,
        )
        await rounds(a, b)
        assert [host.opened("a.example") for host in (a, b)] == [True, True]
        assert [host.opened("b.example") for host in (a, b)] == [False, False]
        a.world.clock.forward(minutes=61)
        tick(a, b)
        await rounds(a, b)
        tick(a, b)
        assert [host.opened("a.example") for host in (a, b)] == [False, False]
        assert b.kinds().count("mend-ended") == 1

    run(work)


def test_an_author_s_withdrawal_is_heard_by_every_host(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        await a.store.add(appeal(a))
        await rounds(a, b)
        await b.store.withdraw("A-000000000001", SECRET, int(b.world.clock()))
        await rounds(a, b)
        a.world.clock.forward(hours=49)
        tick(a, b)
        assert [host.opened("a.example") for host in (a, b)] == [False, False]

    run(work)


def test_an_override_is_of_its_host_alone_unless_it_is_said_to_be_of_all(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        told = await a.steward("override", name="a.example", reason="here", seconds=3600)
        assert told["everywhere"] is False
        await rounds(a, b)
        assert [host.passes("a.example") for host in (a, b)] == [True, False]
        told = await a.steward("override", name="b.example", reason="all", seconds=3600, everywhere=True)
        assert told["everywhere"] is True
        await rounds(a, b)
        assert [host.passes("b.example") for host in (a, b)] == [True, True]
        assert "at stop.isp.example/log/a" in (await b.steward("overrides"))["overrides"][0]["by"]
        a.world.clock.forward(seconds=5)
        await b.steward("lift", name="b.example", everywhere=True)
        await rounds(a, b)
        assert [host.passes("b.example") for host in (a, b)] == [False, False]

    run(work)


def test_the_off_switch_can_be_thrown_at_every_host(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        def off(host: Host) -> tuple[str, ...]:
            return exceptions.read(host.world.config.places.exceptions).lists(host.world.clock())

        await a.steward("bypassed", kind="list", of="gambling", on=True, reason="a bank")
        await rounds(a, b)
        assert off(b) == ("gambling",)
        a.world.clock.forward(seconds=5)
        await a.steward("bypassed", kind="list", of="gambling", on=False)
        await rounds(a, b)
        assert off(b) == ()
        tick(b)
        assert b.kinds().count("bypass") == 2

    run(work)


def test_a_hostile_database_makes_no_steward_do_anything(run: Callable[[Work], None], tmp_path: Path) -> None:
    async def work(a: Host, b: Host) -> None:
        (tmp_path / "c").mkdir()
        stranger = World(
            tmp_path / "c", clock=a.world.clock, more={"host": "a", "log": {"peers": a.world.config.log.peers}}
        )
        stranger.take(1, NAMES)
        stranger.register.everywhere.say(
            "bypass", "all/", {"kind": "all", "of": "", "on": True, "until": 9e9, "reason": ""}
        )
        (forged,) = stranger.register.everywhere.of_this_host({})
        await a.steward("override", name="a.example", reason="all", seconds=3600, everywhere=True)
        (old,) = a.world.register.everywhere.of_this_host({})
        await rounds(a, b)
        a.world.clock.forward(seconds=5)
        await a.steward("lift", name="a.example", everywhere=True)
        await rounds(a, b)
        await a.steward("override", name="b.example", reason="here", seconds=3600)
        other = a.world.ledger.proof(len(a.world.leaves()) - 1).decode()  # a leaf of a's log that is no word
        lies = [forged["proof"], old["proof"], other, old["proof"].replace("index", "index "), "", "x" * 100]
        await b.store.share("z", [Shared("z", f"override/{n}", n, proof) for n, proof in enumerate(lies)])
        b.refused.clear()
        await b.round()
        assert len(b.refused) == len(lies) - 1, "and the old one is over"
        assert not b.passes("a.example")
        assert not b.passes("b.example")
        assert not exceptions.read(b.world.config.places.exceptions).holding(b.world.clock())
        stranger.stop()

    run(work)


def test_a_word_from_the_future_waits_and_one_that_is_over_is_none(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        ahead = Clock(a.world.clock.now + 3600)
        a.world.register.everywhere._clock = ahead
        a.world.register.everywhere.say("override", "a.example", {"lifted": True, "name": "a.example"}, ahead.now + 60)
        await rounds(a, b)
        assert any("still to come: see timedatectl" in one for one in b.refused)
        a.world.clock.forward(hours=2)
        b.refused.clear()
        await rounds(b)
        assert b.refused == []

    run(work)


def test_hosts_that_do_not_know_each_other_say_so(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        b.world.more = {"host": "b"}
        b.world.restart()
        assert (await b.steward("override", name="a.example", reason="x", seconds=60))["everywhere"] is None
        await a.steward("override", name="b.example", reason="all", seconds=3600, everywhere=True)
        await rounds(a, b)
        assert not b.passes("b.example")
        assert any("log.peers" in one for one in b.refused)

    run(work)


def test_a_host_on_the_database_whose_key_is_missing_is_an_alarm(run: Callable[[Work], None], tmp_path: Path) -> None:
    async def play(a: Host, b: Host) -> None:
        config = configuration(tmp_path / "web")
        config.places.log_dir.mkdir(parents=True)
        config.places.log_vkey.write_text("own+key")
        now = int(b.world.clock())
        await b.store.present("b\x1b[2J", "b+key", now)
        web = Web(config)
        web.stored.set()
        await web.look_at_others(a.store, now)
        (alarm,) = web.alarms()
        assert alarm == "host b\ufffd[2J shares the appeals database, and log.peers lacks the key of its log"
        peers = config.model_copy(update={"log": config.log.model_copy(update={"peers": ["b+key"]})})
        knowing = Web(peers)
        knowing.stored.set()
        await knowing.look_at_others(a.store, now)
        assert knowing.alarms() == []

    run(play)
