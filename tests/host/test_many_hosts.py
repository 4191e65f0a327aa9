"""Two hosts on one PostgreSQL: every steward hears of every appeal, follows what the other's log proves, and nothing
else. On SQLite there is one host, and the same rounds leave it as it is."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import re
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import asyncpg
import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from resolver.base.timestamps import as_text
from resolver.cli.fleet import screen, wrong
from resolver.cli.main import stopsign
from resolver.ipc import control, receipts
from resolver.lists import fetch
from resolver.policy import exceptions
from resolver.portal import clock
from resolver.portal.app import ROUND_SECONDS, Web
from resolver.portal.database import StoreError
from resolver.portal.fleet import hosts_of, report_of
from resolver.portal.listening import listen
from resolver.portal.store import NewAppeal, Shared, Store
from tests.rigs import postgres
from tests.rigs.lists_world import Clock, World, make_entry
from tests.rigs.many_hosts import Host, rounds, tick
from tests.rigs.portal_world import configuration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from resolver.lists.fetch import Candidate

    Offer = Callable[[Host, int, list[str]], None]
    Work = Callable[[Host, Host], Coroutine[Any, Any, None]]

NAMES = ["a.example", "b.example"]
SECRET = bytes(range(16))
_numbers = itertools.count()


def ref(name: str) -> str:
    return make_entry(name).reference


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
        for world, host in zip(worlds, "ab", strict=True):
            world.more = {"host": host, "log": {"peers": keys}}
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


def test_a_word_that_was_renewed_beside_another_is_stored_once(
    run: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(a: Host, b: Host) -> None:
        stored: list[list[str]] = []
        share = Store.share

        async def counted(store: Store, steward: str, said: Sequence[Shared]) -> None:
            stored.append([one.subject for one in said])
            await share(store, steward, said)

        monkeypatch.setattr(Store, "share", counted)
        for name in ("a.example", "b.example", "a.example"):
            await a.steward("override", name=name, reason="all", seconds=3600, everywhere=True)
            await rounds(a, b)
            a.world.clock.forward(minutes=5)
        await rounds(a, b)
        both = ["override/a.example", "override/b.example"]
        assert stored == [both[:1], both, both], "as often as something was said: each time wakes every host"
        assert [host.passes("a.example") for host in (a, b)] == [True, True]

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
        a.refused.clear()
        await a.round()
        assert len(a.refused) == len(lies), "its own word is no other host's, though its key is in log.peers"
        assert not a.passes("a.example")
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


def test_an_older_word_changes_nothing_after_the_newer_one_is_over(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        async def again(proof: str) -> bool:
            return bool((await b.steward("share", proof=proof))["followed"])

        await a.steward("override", name="a.example", reason="long", seconds=72 * 3600, everywhere=True)
        (long,) = a.world.register.everywhere.of_this_host({})
        await a.steward("override", name="b.example", reason="long", seconds=72 * 3600, everywhere=True)
        (_, unheard) = a.world.register.everywhere.of_this_host({})
        assert await again(long["proof"])
        a.world.clock.forward(minutes=1)
        for name in ("a.example", "b.example"):
            await a.steward("override", name=name, reason="short", seconds=3600, everywhere=True)
        await rounds(a, b)
        assert b.passes("a.example")
        a.world.clock.forward(hours=2)
        await a.steward("override", name="c.example", reason="another", seconds=3600, everywhere=True)
        await rounds(a, b)
        b.world.restart()
        for old in (long, unheard):
            assert not await again(old["proof"])
        assert not b.passes("a.example")
        assert not b.passes("b.example")

    run(work)


@pytest.mark.parametrize("is_heard", [True, False])
def test_an_off_switch_that_was_taken_back_stays_so_for_as_long_as_it_was_to_be_on(
    run: Callable[[Work], None], *, is_heard: bool
) -> None:
    """`is_heard`: the other host heard that it was on before it heard that it is off."""

    async def work(a: Host, b: Host) -> None:
        year = a.world.clock() + 365 * 86400
        await a.steward("bypassed", kind="all", of="", on=True, until=year, reason="a fault", everywhere=True)
        (old,) = a.world.register.everywhere.of_this_host({})
        if is_heard:
            await rounds(a, b)
        a.world.clock.forward(minutes=1)
        await a.steward("bypassed", kind="all", of="", on=False, until=year, reason="", everywhere=True)
        await rounds(a, b)
        a.world.clock.forward(days=32)
        await a.steward("override", name="c.example", reason="another", seconds=3600, everywhere=True)
        await rounds(a, b)
        assert (await b.steward("share", proof=old["proof"]))["followed"] is False
        assert not exceptions.read(b.world.config.places.exceptions).holding(b.world.clock())

    run(work)


def test_a_word_that_came_too_late_is_too_late_for_all_its_time(run: Callable[[Work], None]) -> None:
    async def work(a: Host, b: Host) -> None:
        now, of = a.world.clock(), {"kind": "all", "of": "", "on": True, "reason": "a fault", "everywhere": True}
        await a.steward("bypassed", until=now + 365 * 86400, **of)
        (old,) = a.world.register.everywhere.of_this_host({})
        a.world.clock.forward(minutes=1)
        await a.steward("bypassed", until=now + 3600, **of)
        await rounds(a, b)
        for _ in range(2):
            assert (await b.steward("share", proof=old["proof"]))["followed"] is False
            a.world.clock.forward(days=32)
            await a.steward("override", name="c.example", reason="another", seconds=3600, everywhere=True)
            await rounds(a, b)

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
        await b.store.present("b\x1b[2J", "b+key", now, "")
        web = Web(config)
        web.stored.set()
        await web.look_at_others(a.store, now, "")
        (alarm,) = web.alarms()
        assert alarm == "host b\ufffd[2J shares the appeals database, and log.peers lacks the key of its log"
        peers = config.model_copy(update={"log": config.log.model_copy(update={"peers": ["b+key"]})})
        knowing = Web(peers)
        knowing.stored.set()
        await knowing.look_at_others(a.store, now, "")
        assert knowing.alarms() == []

    run(play)


BRIDGE = {
    "issuer": "Board", "law": "Act 12", "authority": "Board", "order": "17/2026", "date": "2026-11-01",
    "territory": "DK", "category": "gambling",
}  # fmt: skip
HELD = [*NAMES, "mooo.com"]  # a public suffix of the private section


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """A host fetches a version, and has its files for as long as it is held."""
    there: dict[Path, Candidate] = {}

    def fetched(host: Host, version: int, names: list[str]) -> None:
        place = host.world.config.places.list("gambling").root
        there[place] = host.world.candidate(version, names)
        host.world.register.take(there[place])

    monkeypatch.setattr(fetch, "stored", lambda _, place: there[place.root])
    return fetched


def test_an_approval_everywhere_lets_the_same_additions_through_at_each_host(
    run: Callable[[Work], None], offer: Offer
) -> None:
    async def work(a: Host, b: Host) -> None:
        for host in (a, b):
            offer(host, 2, HELD)
            assert host.world.active("mooo.com") == []
        held = a.world.register.fetching["gambling"].held
        assert held is not None
        said = await a.steward("approve", list="gambling", version=2, state=held.state, everywhere=True)
        assert said["everywhere"] is True
        await rounds(a, b)
        assert [host.world.active("mooo.com") for host in (a, b)] == [["gambling"], ["gambling"]]
        assert [host.kinds().count("list-approved") for host in (a, b)] == [1, 1], "a leaf in each log"
        assert b.world.register.fetching["gambling"].held is None

    run(work)


def test_a_bridged_list_is_approved_at_each_host(run: Callable[[Work], None], offer: Offer) -> None:
    async def work(a: Host, b: Host) -> None:
        for host in (a, b):
            host.world.lists = {"gambling": {"bridge": BRIDGE}}
            host.world.restart()
            offer(host, 2, HELD)
        held = a.world.register.fetching["gambling"].held
        assert held is not None
        with pytest.raises(control.ControlError, match="list gambling is bridged: each host makes it of the file"):
            await a.steward("approve", list="gambling", version=2, state=held.state, everywhere=True)
        assert a.world.active("mooo.com") == []
        await a.steward("approve", list="gambling", version=2, state=held.state)
        assert a.world.active("mooo.com") == ["gambling"]

    run(work)


def test_a_host_that_fetches_later_follows_the_approval_then(run: Callable[[Work], None], offer: Offer) -> None:
    async def work(a: Host, b: Host) -> None:
        offer(a, 2, HELD)
        held = a.world.register.fetching["gambling"].held
        assert held is not None
        await a.steward("approve", list="gambling", version=2, state=held.state, everywhere=True)
        await rounds(a, b)
        await rounds(a, b)
        assert any("version 2 of list gambling has not been fetched yet" in why for why in b.refused)
        offer(b, 2, HELD)
        assert b.world.active("mooo.com") == []
        await rounds(a, b)
        assert b.world.active("mooo.com") == ["gambling"]

    run(work)


def test_an_approval_at_one_host_alone_is_not_followed(run: Callable[[Work], None], offer: Offer) -> None:
    async def work(a: Host, b: Host) -> None:
        for host in (a, b):
            offer(host, 2, HELD)
        held = a.world.register.fetching["gambling"].held
        assert held is not None
        said = await a.steward("approve", list="gambling", version=2, state=held.state)
        assert said["everywhere"] is False
        await rounds(a, b)
        assert b.world.active("mooo.com") == []

    run(work)


def test_an_approval_of_other_content_opens_nothing(run: Callable[[Work], None], offer: Offer) -> None:
    """The mirror served this host another version 2: what a person saw at the other is not what waits here."""

    async def work(a: Host, b: Host) -> None:
        offer(a, 2, HELD)
        offer(b, 2, [*HELD, "more.example"])
        held = a.world.register.fetching["gambling"].held
        assert held is not None
        await a.steward("approve", list="gambling", version=2, state=held.state, everywhere=True)
        await rounds(a, b)
        assert b.world.active("mooo.com") == []
        assert any("what is held of list gambling is version 2" in why for why in b.refused)

    run(work)


def test_an_approval_of_a_list_that_a_host_lacks_or_of_what_is_over_is_passed_over(
    run: Callable[[Work], None], offer: Offer
) -> None:
    async def work(a: Host, b: Host) -> None:
        offer(a, 2, HELD)
        held = a.world.register.fetching["gambling"].held
        assert held is not None
        await a.steward("approve", list="gambling", version=2, state=held.state, everywhere=True)
        offer(b, 3, NAMES)
        await rounds(a, b)
        await rounds(a, b)
        assert b.refused == []
        assert b.world.active("mooo.com") == []

    run(work)


def test_a_host_hears_at_once_that_another_said_something_also_after_the_database_restarted(tmp_path: Path) -> None:
    async def work(server: postgres.Server) -> None:
        url = f"{server.url}/postgres"
        woken, store = asyncio.Event(), await Store.open(url)
        hearing = asyncio.create_task(listen(url, woken.set, again=0.05))
        try:
            for _ in range(2):
                await asyncio.wait_for(woken.wait(), 30.0)  # it listens
                woken.clear()
                await store.share("a", [Shared("a", "override/x", 1, "proof")])
                await asyncio.wait_for(woken.wait(), 30.0)
                woken.clear()
                await asyncio.to_thread(server.restart)
        finally:
            hearing.cancel()
            await store.close()

    with postgres.restartable() as server:
        asyncio.run(work(server))


def test_what_hosts_report_is_one_screen(tmp_path: Path) -> None:
    now = 1_800_000_000
    fresh = {"generation": 7, "alarms": ["the disk is full"], "lists": [
        {"name": "gambling", "version": 5, "entries": 10, "action": "stop-page", "held": None}]}  # fmt: skip
    older: dict[str, Any] = {"generation": 3, "alarms": [], "lists": [
        {"name": "gambling", "version": 4, "entries": 9, "action": "monitor", "held": {"version": 5}}]}  # fmt: skip
    waits = {"kind": "waits", "text": "a (canary) has run it for 60 s of 30 min"}
    later = {"generation": 3, "alarms": [], "lists": [{**older["lists"][0], "stage": "wave-1", "waits": waits}]}
    rows = [
        ("b", now - 5, report_of("0.1.0", older, [])),
        ("a", now - 2, report_of("0.1.0", fresh, ["a web alarm"])),
        ("c", now - 3600, report_of("0.0.9", older, [])),
        ("d", now - 1, report_of("0.1.0", None, [])),
        ("e", now - 1, report_of("0.1.0", later, [])),
    ]
    every = hosts_of(rows, now)
    assert [(host.name, host.silent) for host in every] == [
        ("a", False), ("b", False), ("c", True), ("d", False), ("e", False),
    ]  # fmt: skip
    assert wrong(every) == {
        "a": ["the disk is full", "a web alarm"],
        "b": ["runs an older version of gambling than another host"],
        "c": [f"has not reported since {as_text(now - 3600)}"],
        "d": ["the steward does not answer"],
    }
    shown = io.StringIO()
    Console(file=shown, width=160).print(screen(every, now))
    text = shown.getvalue()
    assert "gambling 4 (monitors)" in text
    assert re.search(r"^b +- +0\.1\.0 +5 s ago +3 +gambling 4 \(monitors\) +gambling 5 *$", text, re.MULTILINE)
    assert re.search(
        r"^e +wave-1 .* gambling 5 \(waits: a \(canary\) has run it for 60 s of 30 min\) *$", text, re.MULTILINE
    )


@pytest.mark.parametrize("report", [
    "", "[]", "{", "1" * 5, "[" * 100_000, '{"lists": 3, "alarms": {}, "generation": true, "version": []}',
    '{"lists": [3, {"name": 1, "version": -1, "held": "x"}], "alarms": ["\\u001b[2J", 7], "version": "\\u202e"}',
    '{"version": "' + "x" * 40_000 + '"}',
])  # fmt: skip
def test_what_a_hostile_host_reports_is_inert(report: str) -> None:
    (host,) = hosts_of([("h\x1b[2J", 0, report)], 10**9)
    assert host.silent
    for said in (host.name, host.version, *host.alarms, *(one.name for one in host.lists)):
        assert said.isprintable()
        assert len(said) < 1000


def test_status_all_asks_the_database(tmp_path: Path) -> None:
    file = tmp_path / "stopsign.yaml"
    file.write_text(yaml.safe_dump({
        "state_dir": str(tmp_path / "state"), "run_dir": str(tmp_path / "run"), "portal": {"url": "https://stop.example"},
        "dns": {"listen": ["127.0.0.1:0"], "upstreams": ["127.0.0.1:5335"], "allow_clients": ["127.0.0.0/8"]},
    }))  # fmt: skip
    asked = ["status", "--all", "--json", "--config", str(file)]
    assert "no host has reported" in str(CliRunner().invoke(stopsign, asked).exception)

    async def reported() -> None:
        store = await Store.open(f"sqlite:///{tmp_path}/state/portal.db")
        await store.present("north", "key", int(time.time()), report_of("0.1.0", None, []))
        await store.close()

    asyncio.run(reported())
    done = CliRunner().invoke(stopsign, asked)
    (host,) = json.loads(done.stdout)["hosts"]
    assert (done.exit_code, host["name"], host["wrong"]) == (0, "north", ["the steward does not answer"])


def test_a_database_that_is_away_is_an_alarm_with_its_time_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        now = Clock()
        web = Web(configuration(tmp_path / "web"), now)
        away, rounds = True, asyncio.Event()

        async def round_of(_store: Store) -> None:
            rounds.set()
            if away:
                raise StoreError("the appeals database cannot be used (it is away)")

        monkeypatch.setattr(web, "_round", round_of)
        keeping = asyncio.create_task(web._keep_time())
        try:
            await asyncio.wait_for(rounds.wait(), 30.0)
            since = as_text(now())
            now.forward(hours=1)
            for _ in range(2):
                await asyncio.sleep(0)
                assert web.alarms() == [
                    f"the database cannot be used since {since}: appeals and what other hosts say wait"
                ]
                rounds.clear()
                web._wake.set()
                await asyncio.wait_for(rounds.wait(), 30.0)
            away = False
            while web.alarms():
                web._wake.set()
                await asyncio.sleep(0.01)
        finally:
            keeping.cancel()
            assert web.portal.store is not None
            await web.portal.store.close()

    asyncio.run(asyncio.wait_for(play(), 60.0))


def test_a_decision_that_the_database_does_not_take_stands_before_nothing(
    run: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> NoReturn:
        raise StoreError("the appeals database cannot be used (value too long)")

    async def work(a: Host, b: Host) -> None:
        async def asked(_: Path, op: str, **arguments: Any) -> Any:
            del arguments["timeout"]
            return await b.steward(op, **arguments)

        monkeypatch.setattr(control, "acall", asked)
        monkeypatch.setattr("resolver.portal.app.round_of", refused)
        await a.store.add(appeal(a))
        await a.steward("override", name="b.example", reason="all", seconds=3600, everywhere=True)
        await a.round()
        with pytest.raises(StoreError, match="value too long"):
            await Web(b.world.config, b.world.clock)._round(b.store)
        assert b.passes("b.example")
        assert b.kinds().count("appeal-received") == 1

    run(work)


def test_what_another_host_says_during_a_round_is_for_a_round_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        web = Web(configuration(tmp_path / "web"))
        rounds: asyncio.Queue[int] = asyncio.Queue()

        async def round_of(_store: Store) -> None:
            if rounds.empty():
                web._wake.set()  # as `listen` does, when the words have been read already
            rounds.put_nowait(1)

        monkeypatch.setattr(web, "_round", round_of)
        keeping = asyncio.create_task(web._keep_time())
        try:
            began = time.monotonic()
            while rounds.qsize() < 2:
                await asyncio.sleep(0.01)
                assert time.monotonic() < began + ROUND_SECONDS, "it waited for the next turn"
        finally:
            keeping.cancel()
            assert web.portal.store is not None
            await web.portal.store.close()

    asyncio.run(asyncio.wait_for(play(), 60.0))
