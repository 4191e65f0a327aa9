"""Appeals at the steward: what a reporter can and cannot bring about, what strangers can open together, what a decision
does."""

from __future__ import annotations

import asyncio
import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from resolver.ipc import control, receipts
from resolver.lists import activate
from resolver.lists.appeals import MOST_REFUSED, AppealError
from resolver.lists.ledger import LedgerError
from resolver.lists.operations import RequestError, operations
from tests.rigs.lists_world import BASIS, World, make_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

SECRET = bytes(range(16))
LISTS: dict[str, dict[str, Any]] = {"gambling": {}, "piracy": {}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, lists=LISTS)
    world.take(1, ["a.example", "b.example"])
    world.take(1, ["a.example"], name="piracy")
    yield world
    world.stop()


def ref(name: str) -> str:
    return make_entry(name).reference


def receive(world: World, appeal: str, name: str, ground: str = "mistake", **more: str) -> int:
    detail = {"appeal": appeal, "reference": ref(name), "name": name, "list": "gambling", "ground": ground, **more}
    return world.register.appeals.received(appeal, detail)


def run_out(world: World, **span: float) -> None:
    world.clock.forward(**(span or {"hours": 49}))
    world.register.tick()


def fate(world: World, *appeals: str) -> list[str | None]:
    found = world.register.appeals.fates(appeals)
    return [found.get(one) for one in appeals]


def test_an_appeal_that_nobody_decided_takes_its_entry_off_on_its_list_alone(world: World) -> None:
    receive(world, "A1", "a.example")
    run_out(world, hours=47)
    assert world.active("a.example") == ["gambling", "piracy"], "not an hour early"
    run_out(world, hours=2)
    assert world.active("a.example") == ["piracy"]
    assert ("appeal-overdue", ref("a.example")) in world.leaves()
    world.restart()
    assert world.active("a.example") == ["piracy"]
    world.register.appeals.decide({"A1": ref("a.example")}, "upheld", "Ms Day", "", 0)
    assert world.active("a.example") == ["gambling", "piracy"]


@pytest.mark.parametrize(("ground", "days"), [("mistake", 2), ("lawful", 14), ("", 14), ("invented", 14)])
def test_the_steward_s_own_clock_counts_and_that_of_the_ground(tmp_path: Path, ground: str, days: int) -> None:
    world = World(tmp_path, lists={"gambling": {"stale_after": "90d"}})
    world.take(1, ["a.example"])
    receive(world, "A1", "a.example", ground, received="1", due="2")  # what a reporter says of times is not believed
    run_out(world, days=days, hours=-1)
    assert fate(world, "A1") == [None]
    run_out(world, hours=2)
    assert fate(world, "A1") == ["suspended"]
    world.stop()


def test_a_block_comes_back_only_when_every_overdue_appeal_is_decided(world: World) -> None:
    for appeal in ("A1", "A2"):
        receive(world, appeal, "a.example")
    run_out(world)
    receive(world, "A3", "a.example", receipt=receipts.hash_of(SECRET).hex())
    world.register.appeals.withdrawn("A3", SECRET)
    world.register.appeals.decide({"A1": ref("a.example")}, "upheld", "Ms Day", "", 0)
    assert world.active("a.example") == ["piracy"], "A2 waits"
    world.restart()
    world.register.appeals.decide({"A2": ref("a.example")}, "upheld", "Ms Day", "", 0)
    assert world.active("a.example") == ["gambling", "piracy"]


def test_one_decision_answers_every_appeal_on_an_entry_in_one_generation(world: World) -> None:
    for number in range(30):
        receive(world, f"A{number}", "a.example")
    run_out(world)
    before = world.register.generation
    world.register.appeals.decide({f"A{n}": ref("a.example") for n in range(30)}, "upheld", "Ms Day", "", 0)
    assert world.active("a.example") == ["gambling", "piracy"]
    assert world.register.generation == before + 1
    assert [kind for kind, _ in world.leaves()].count("appeal-decided") == 30


def test_only_the_author_s_secret_withdraws_an_appeal(world: World) -> None:
    receive(world, "A1", "a.example", receipt=receipts.hash_of(SECRET).hex())
    receive(world, "A2", "b.example")
    for appeal, secret in (("A1", bytes(16)), ("A2", SECRET), ("A9", SECRET)):
        with pytest.raises(AppealError):
            world.register.appeals.withdrawn(appeal, secret)
    leaf = world.register.appeals.withdrawn("A1", SECRET)
    assert world.register.appeals.withdrawn("A1", SECRET) == leaf, "said again it is the same leaf"
    run_out(world)
    assert fate(world, "A1", "A2") == [None, "suspended"]


def test_an_appeal_is_one_leaf_however_often_it_is_reported(world: World) -> None:
    assert receive(world, "A1", "a.example") == receive(world, "A1", "a.example")
    with pytest.raises(AppealError, match="received as one about"):
        receive(world, "A1", "b.example")
    first = receive(world, "A1", "a.example")
    world.register.appeals.decide({"A1": ref("a.example"), "A2": ref("a.example")}, "upheld", "Ms Day", "", 0)
    assert receive(world, "A1", "a.example") == first
    leaf = receive(world, "A2", "a.example")
    assert leaf > world.register.appeals.decision("A2"), "decided before it was reported"
    assert receive(world, "A2", "a.example") == leaf
    assert world.register.appeals.known.waiting == {}


def test_a_ground_can_say_that_an_overdue_appeal_suspends_nothing(world: World) -> None:
    world.take(2, ["a.example", "b.example"], bases={"order-17": BASIS.model_copy(update={"overdue_suspends": False})})
    receive(world, "A1", "b.example")
    run_out(world)
    assert fate(world, "A1") == ["nothing"]
    assert world.active("b.example") == ["gambling"]


@pytest.mark.parametrize(("reference", "name"), [
    ("0000000000000000", "b.example"), (ref("a.example"), "b.example"), (ref("b.example"), "no name"),
])  # fmt: skip
def test_an_appeal_against_what_is_not_listed_changes_nothing(world: World, reference: str, name: str) -> None:
    world.register.appeals.received("A1", {"reference": reference, "name": name, "ground": "mistake"})
    run_out(world)
    assert fate(world, "A1") == ["nothing"]
    assert world.active("b.example") == ["gambling"]


# -- what strangers can open together


def flooded(folder: Path, entries: int, caps: dict[str, Any], against: int) -> World:
    world = World(folder, more={"guards": {"overdue": caps}})
    names = [f"n{number:04}.example" for number in range(entries)]
    world.take(1, names)
    for number in range(against):
        receive(world, f"A{number:04}", names[number])
    return world


@pytest.mark.parametrize(("entries", "caps", "opened"), [
    (1000, {}, 10),  # a hundredth of the list
    (100, {}, 3),  # three, however short the list
    (1000, {"list": {"number": 4, "share": "50%"}}, 4),
    (1000, {"day": 2}, 2),
    (1000, {"day": 0}, 0),
])  # fmt: skip
def test_what_overdue_appeals_open_in_a_day_is_bounded_and_the_rest_waits_for_a_person(
    tmp_path: Path, entries: int, caps: dict[str, Any], opened: int
) -> None:
    world = flooded(tmp_path, entries, caps, against=60)
    before = world.register.generation
    run_out(world)
    assert world.register.generation - before == (1 if opened else 0), "one round, one generation"
    assert len(world.register.appeals.suspended.entries) == opened
    assert fate(world, "A0000", "A0059") == ["suspended" if opened else "held", "held"], "the oldest first"
    status = world.register.status()
    assert len(status["appeals"]["held"]) == 60 - opened
    assert any(f"{60 - opened} entries with overdue appeals are held for a person" in one for one in status["alarms"])
    run_out(world)
    assert len(world.register.appeals.suspended.entries) == opened, "the next day opens no more of them by itself"
    world.restart()
    assert len(world.register.appeals.known.held) == 60 - opened
    world.stop()


def test_four_hundred_appeals_from_strangers_make_one_generation(tmp_path: Path) -> None:
    world = flooded(tmp_path, 400, {}, against=400)
    before = world.register.generation
    run_out(world)
    assert world.register.generation == before + 1
    assert len(world.register.appeals.suspended.entries) == 4
    world.stop()


def test_the_room_comes_back_after_a_day_for_what_comes_due_then(tmp_path: Path) -> None:
    world = flooded(tmp_path, 20, {}, against=4)
    run_out(world)
    assert fate(world, "A0002", "A0003") == ["suspended", "held"]
    receive(world, "B1", "n0010.example")
    receive(world, "B2", "n0003.example")
    run_out(world)
    assert fate(world, "B1", "B2") == ["suspended", "held"], "one more appeal moves no entry that is held"
    world.stop()


def test_a_person_lets_go_what_was_held_or_decides_about_it(tmp_path: Path) -> None:
    world = flooded(tmp_path, 20, {"day": 0}, against=4)
    run_out(world)
    before = world.register.generation
    asked = [ref(f"n000{n}.example") for n in (0, 1)]
    assert world.register.appeals.let_go([*asked, "0" * 16], "Ms Day") == sorted(asked)
    assert world.register.generation == before + 1
    assert [world.active(f"n000{n}.example") for n in range(3)] == [[], [], ["gambling"]]
    world.register.appeals.decide({"A0002": ref("n0002.example")}, "upheld", "Ms Day", "", 0)
    world.register.tick()
    assert world.register.status()["appeals"]["held"] == [ref("n0003.example")]
    world.stop()


# -- a mend


def test_a_mend_opens_the_entry_that_was_appealed_against_and_nothing_else(world: World) -> None:
    world.take(2, ["a.example", make_entry("a.example", match="exact"), "b.example"])
    receive(world, "A1", "a.example")
    done = world.register.appeals.decide({"A1": ref("a.example")}, "mended", "Ms Day", "a.example", 3600.0)
    assert (done["mended"]["list"], done["mended"]["match"], done["trouble"]) == ("gambling", "subtree", None)
    assert world.active("a.example") == ["gambling", "piracy"], "the exact entry of the list, and the other list"
    assert world.active("www.a.example") == ["piracy"]
    world.restart()
    run_out(world, minutes=61)
    assert world.active("www.a.example") == ["gambling", "piracy"]
    assert ("mend-ended", ref("a.example")) in world.leaves()
    assert fate(world, "A1") == [None], "it was decided, and does not come due"


def test_a_mend_is_of_one_entry_that_is_listed_and_ends_within_a_month(world: World) -> None:
    decide = world.register.appeals.decide
    for appeals, name, seconds in (
        ({"A1": ref("a.example"), "A2": ref("b.example")}, "a.example", 60.0),
        ({"A1": "0" * 16}, "a.example", 60.0),
        ({"A1": ref("a.example")}, "a.example", 0.0),
        ({"A1": ref("a.example")}, "a.example", 32 * 86400.0),
    ):
        with pytest.raises(AppealError):
            decide(appeals, "mended", "Ms Day", name, seconds)
    assert world.active("a.example") == ["gambling", "piracy"]


def test_a_mend_that_ends_leaves_what_another_overdue_appeal_suspends(world: World) -> None:
    receive(world, "A1", "a.example")
    receive(world, "A2", "a.example", "lawful")
    run_out(world)
    world.register.appeals.decide({"A1": ref("a.example")}, "mended", "Ms Day", "a.example", 14 * 86400.0)
    run_out(world, days=13)
    assert fate(world, "A2") == ["suspended"]
    run_out(world, days=2)
    assert "gambling" not in world.active("a.example")
    world.register.appeals.decide({"A2": ref("a.example")}, "upheld", "Ms Day", "", 0)
    assert "gambling" in world.active("a.example")


# -- a log, a disk that is out of order


def broken(*_: object, **__: object) -> Any:
    raise LedgerError("no room")


def test_what_unblocks_works_without_the_log_and_what_blocks_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(world, "A1", "a.example")
    receive(world, "A2", "b.example")
    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "append", broken)
        with pytest.raises(LedgerError):
            receive(world, "A3", "b.example")
        assert world.register.appeals.decide({"A1": ref("a.example")}, "mended", "x", "a.example", 60.0)["trouble"]
        assert world.active("a.example") == ["piracy"]
        run_out(world)
        assert world.active("b.example") == []
        with pytest.raises(LedgerError):
            world.register.appeals.decide({"A2": ref("b.example")}, "upheld", "x", "", 0)
        assert world.active("b.example") == []
    world.register.appeals.decide({"A2": ref("b.example")}, "upheld", "x", "", 0)
    assert world.active("b.example") == ["gambling"]


def test_a_full_disk_is_an_alarm_until_what_is_known_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("resolver.lists.appeals.store", full)
        receive(world, "A1", "a.example")
        assert "appeals.json cannot be written" in world.register.alarms["appeals"]
    world.register.tick()
    assert "appeals" not in world.register.alarms
    world.restart()
    assert list(world.register.appeals.known.waiting) == ["A1"]


def test_what_was_stored_and_is_damaged_is_an_alarm(world: World) -> None:
    receive(world, "A1", "a.example")
    world.config.places.appeals.write_text("junk")
    world.restart()
    assert "the clocks of open appeals begin again" in world.register.alarms["appeals"]
    assert activate.read(world.config.places.current).there


# -- what issuers decide


@pytest.mark.parametrize(("change", "decided"), [
    ({}, True), ({"list": "piracy"}, False), ({"reference": "0" * 16}, False), ({"appeal": "A9"}, False),
])  # fmt: skip
def test_an_issuer_decides_what_is_about_an_entry_of_its_list(
    world: World, change: dict[str, str], decided: bool
) -> None:
    receive(world, "A1", "a.example")
    run_out(world)
    decision = {"list": "gambling", "appeal": "A1", "reference": ref("a.example"), "outcome": "upheld", "by": "Judge"}
    world.register.appeals.decided_by_issuers([{**decision, **change}])
    assert (world.active("a.example") == ["gambling", "piracy"]) is decided
    if decided:
        assert world.leaves()[world.register.appeals.decision("A1")] == ("appeal-decided", ref("a.example"))
    else:
        with pytest.raises(AppealError, match="nothing was decided"):
            world.register.appeals.decision("A1")


def test_what_an_issuer_granted_stays_off_until_its_relief_is_there(world: World) -> None:
    receive(world, "A1", "a.example")
    run_out(world)
    granted = {"list": "gambling", "appeal": "A1", "reference": ref("a.example"), "outcome": "granted", "by": "Judge"}
    world.register.appeals.decided_by_issuers([granted])
    assert world.active("a.example") == ["piracy"]


# -- who may say what


def test_a_reporter_can_say_that_an_appeal_came_in_and_no_more(world: World) -> None:
    class Asked:
        config = world.config
        register = world.register
        held: Any = type("Held", (), {"operations": staticmethod(dict)})

    table = operations(Asked())  # type: ignore[arg-type]
    asked = {name for name, operation in table.items() if operation.reporters}
    assert asked == {"appeal-received", "appeal-withdrawn", "appeal-decision", "appeal-fates", "shared", "share"}
    reporter = control.Callers(reporters=frozenset({"nobody"}))
    peer = control.Peer(1, 65534, 65534)
    for name in ("decide", "suspend", "override", "bypassed", "approve"):
        assert reporter.refusal(peer, table[name]) == "user nobody may not do this"
    assert reporter.refusal(peer, table["appeal-received"]) is None


A_RECEIPT = "0a" * 32
RIGHT = {"appeal": "A-0123456789AB", "reference": "7ZK3M9Q2XW4T8RBC", "name": "a.example", "list": "gambling",
         "ground": "mistake", "received": 1_795_000_000, "due": 1_795_000_900, "receipt": A_RECEIPT}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("appeal", ""), ("appeal", "A-0123456789A\x1b"), ("appeal", 7), ("appeal", None),
        ("reference", "y"), ("reference", ["7ZK3M9Q2XW4T8RBC"]), ("reference", "7ZK3M9Q2XW4T8RBC\n"),
        ("name", "x" * 254), ("name", "\ud800"), ("name", "\u202ea.example"), ("name", {}),
        ("list", "a b"), ("list", "l" * 65), ("ground", "\x1b[31m"), ("ground", 7), ("ground", "\ud800"),
        ("receipt", "zz" * 32), ("receipt", "0a"), ("received", float("nan")), ("due", float("inf")), ("due", "soon"),
        ("received", -1), ("received", True),
    ],
)  # fmt: skip
def test_what_a_reporter_says_of_an_appeal_has_an_appeals_shape(world: World, key: str, value: object) -> None:
    """Half a character in one report made every later write of the steward's state fail, decisions too."""
    told: list[Mapping[str, Any]] = []
    report = operations(_asked(world, told))["appeal-received"].handle
    with pytest.raises(RequestError):
        asyncio.run(report(control.Peer(1, 65534, 65534), {**RIGHT, key: value}))  # type: ignore[arg-type]
    assert told == []
    asyncio.run(report(control.Peer(1, 65534, 65534), {**RIGHT, "more": "x" * 4_000_000}))  # type: ignore[arg-type]
    assert told == [RIGHT], "and nothing else is kept"


def test_reports_that_are_refused_in_number_are_an_alarm_for_an_hour(world: World) -> None:
    async def work(what: Callable[..., object], *arguments: Any) -> object:
        return what(*arguments)

    asked: Any = SimpleNamespace(
        config=world.config, register=world.register, held=SimpleNamespace(operations=dict), work=work
    )
    table, peer = operations(asked), control.Peer(1, 65534, 65534)
    said = f"more than {MOST_REFUSED} reports of the web process were refused within an hour"
    for number in range(MOST_REFUSED + 1):
        assert said not in world.register.status()["alarms"]
        kind, error = (("appeal-received", RequestError), ("appeal-withdrawn", AppealError))[number % 2]
        with pytest.raises(error):
            asyncio.run(table[kind].handle(peer, {"appeal": "A-0123456789AB", "secret": "00"}))  # type: ignore[arg-type]
    assert said in world.register.status()["alarms"]
    assert world.register.status()["appeals"]["refused"] == MOST_REFUSED + 1
    run_out(world, minutes=61)
    assert said not in world.register.status()["alarms"]


def test_places_for_appeals_that_are_nearly_taken_are_an_alarm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.lists.appeals.MOST_WAITING", 5)
    monkeypatch.setattr("resolver.lists.appeals.NEARLY_FULL", 4)
    for number in range(4):
        world.register.tick()
        assert not any("have room" in one for one in world.register.status()["alarms"])
        receive(world, f"A{number}", "a.example")
    world.register.tick()
    assert "4 appeals wait, and 5 have room: what comes in beyond has no clock" in world.register.status()["alarms"]
    receive(world, "A4", "a.example")
    with pytest.raises(AppealError, match="5 appeals wait already"):
        receive(world, "A5", "a.example")


def _asked(world: World, told: list[Mapping[str, Any]]) -> Any:
    """A steward whose register hears of the appeal, up to the proof."""

    async def work(what: Callable[..., object], *arguments: Any) -> object:
        told.extend(one for one in arguments if isinstance(one, dict))
        return 0

    held = SimpleNamespace(operations=dict)
    return SimpleNamespace(config=world.config, register=world.register, held=held, work=work)
