"""Appeals at the steward: what a reporter can and cannot bring about, what strangers can open together, what a decision
does."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from blocklists.errors import VerifyError
from blocklists.head import Decision, Relief
from resolver.ipc import control, issuer_decisions, receipts
from resolver.lists import activate
from resolver.lists.appeals import MOST_REFUSED
from resolver.lists.ledger import LedgerError
from resolver.lists.operations import operations
from resolver.lists.reports import AT_ONCE, AppealError, Report, read
from resolver.log.note import parse_vkey
from resolver.log.proof import check_proof
from tests.rigs.lists_world import BASIS, World, make_entry, only, received

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


A_NAMED = {ref("a.example"): "a.example"}


def receive(world: World, appeal: str, name: str, ground: str = "mistake", receipt: str = "", **more: str) -> int:
    return received(world, appeal, ref(name), name, ground, receipt, **more)


def withdraw(world: World, appeal: str, secret: bytes) -> int:
    return only(world, Report("withdrawn", appeal, secret=secret))


def decision(world: World, appeal: str) -> int:
    return only(world, Report("decision", appeal))


def run_out(world: World, **span: float) -> None:
    world.forward(**(span or {"hours": 49}))
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
    world.register.appeals.decide({"A1": ref("a.example")}, "upheld", "Ms Day")
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
    withdraw(world, "A3", SECRET)
    world.register.appeals.decide({"A1": ref("a.example")}, "upheld", "Ms Day")
    assert world.active("a.example") == ["piracy"], "A2 waits"
    world.restart()
    world.register.appeals.decide({"A2": ref("a.example")}, "upheld", "Ms Day")
    assert world.active("a.example") == ["gambling", "piracy"]


def test_one_decision_answers_every_appeal_on_an_entry_in_one_generation(world: World) -> None:
    for number in range(30):
        receive(world, f"A{number}", "a.example")
    run_out(world)
    before = world.register.generation
    world.register.appeals.decide({f"A{n}": ref("a.example") for n in range(30)}, "upheld", "Ms Day")
    assert world.active("a.example") == ["gambling", "piracy"]
    assert world.register.generation == before + 1
    assert [kind for kind, _ in world.leaves()].count("appeal-decided") == 30


def test_only_the_author_s_secret_withdraws_an_appeal(world: World) -> None:
    receive(world, "A1", "a.example", receipt=receipts.hash_of(SECRET).hex())
    receive(world, "A2", "b.example")
    for appeal, secret in (("A1", bytes(16)), ("A2", SECRET), ("A9", SECRET)):
        with pytest.raises(AppealError):
            withdraw(world, appeal, secret)
    leaf = withdraw(world, "A1", SECRET)
    assert withdraw(world, "A1", SECRET) == leaf, "said again it is the same leaf"
    run_out(world)
    assert fate(world, "A1", "A2") == [None, "suspended"]


def test_an_appeal_is_one_leaf_however_often_it_is_reported(world: World) -> None:
    assert receive(world, "A1", "a.example") == receive(world, "A1", "a.example")
    with pytest.raises(AppealError, match="received as one about"):
        receive(world, "A1", "b.example")
    first = receive(world, "A1", "a.example")
    world.register.appeals.decide({"A1": ref("a.example"), "A2": ref("a.example")}, "upheld", "Ms Day")
    assert receive(world, "A1", "a.example") == first
    leaf = receive(world, "A2", "a.example")
    assert leaf > decision(world, "A2"), "decided before it was reported"
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
    received(world, "A1", reference, name)
    run_out(world)
    assert fate(world, "A1") == ["nothing"]
    assert world.active("b.example") == ["gambling"]


def test_an_appeal_that_comes_due_while_nothing_of_its_list_is_applied_waits_until_it_is(world: World) -> None:
    receive(world, "A1", "b.example")
    world.stop()
    places = world.config.places
    (places.list("gambling").applied / "head.json").write_text("{")
    places.generation.unlink()
    places.current.unlink()
    world.start()
    run_out(world)
    assert (world.active("b.example"), fate(world, "A1")) == ([], [None])
    world.take(1, ["a.example", "b.example"])
    world.register.tick()
    assert (world.active("b.example"), fate(world, "A1")) == ([], ["suspended"])


def test_a_start_that_cannot_make_live_what_should_be_looks_appeals_up_in_what_is_live(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    receive(world, "A1", "b.example")
    receive(world, "A2", "gone.example")
    world.stop()
    with monkeypatch.context() as patch:
        patch.setattr("resolver.lists.activate.bring_up", full)
        world.start()
        run_out(world)
        assert fate(world, "A1", "A2") == ["suspended", None]
    run_out(world, minutes=11)
    assert (world.active("b.example"), fate(world, "A2")) == ([], ["nothing"])


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


def test_what_comes_due_beyond_all_that_may_be_suspended_here_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("overdue", "suspensions"):
        monkeypatch.setattr(f"resolver.lists.{module}.MOST", 1)
    world = flooded(tmp_path, 20, {}, against=2)
    run_out(world)
    assert fate(world, "A0000", "A0001") == ["suspended", "held"]
    world.stop()


def test_a_person_lets_go_what_was_held_or_decides_about_it(tmp_path: Path) -> None:
    world = flooded(tmp_path, 20, {"day": 0}, against=4)
    run_out(world)
    before = world.register.generation
    asked = [ref(f"n000{n}.example") for n in (0, 1)]
    assert world.register.appeals.let_go([*asked, "0" * 16], "Ms Day") == sorted(asked)
    assert world.register.generation == before + 1
    assert [world.active(f"n000{n}.example") for n in range(3)] == [[], [], ["gambling"]]
    world.register.appeals.decide({"A0002": ref("n0002.example")}, "upheld", "Ms Day")
    world.register.tick()
    assert world.register.status()["appeals"]["held"] == [ref("n0003.example")]
    world.stop()


# -- a mend


def test_a_mend_opens_the_entry_that_was_appealed_against_and_nothing_else(world: World) -> None:
    world.take(2, ["a.example", make_entry("a.example", match="exact"), "b.example"])
    receive(world, "A1", "a.example")
    done = world.register.appeals.decide({"A1": ref("a.example")}, "mended", "Ms Day", A_NAMED, 3600.0)
    (mended,) = done["mended"]
    assert (mended["list"], mended["match"], done["trouble"]) == ("gambling", "subtree", None)
    assert world.active("a.example") == ["gambling", "piracy"], "the exact entry of the list, and the other list"
    assert world.active("www.a.example") == ["piracy"]
    world.restart()
    run_out(world, minutes=61)
    assert world.active("www.a.example") == ["gambling", "piracy"]
    assert ("mend-ended", ref("a.example")) in world.leaves()
    assert fate(world, "A1") == [None], "it was decided, and does not come due"


def test_a_mend_is_of_one_entry_that_is_listed_and_ends_within_a_month(world: World) -> None:
    decide = world.register.appeals.decide
    for appeals, names, seconds in (
        ({"A1": ref("a.example"), "A2": ref("b.example")}, A_NAMED, 60.0),
        ({"A1": "0" * 16}, {"0" * 16: "a.example"}, 60.0),
        ({"A1": ref("a.example")}, A_NAMED, 0.0),
        ({"A1": ref("a.example")}, A_NAMED, 32 * 86400.0),
    ):
        with pytest.raises(AppealError):
            decide(appeals, "mended", "Ms Day", names, seconds)
    assert world.active("a.example") == ["gambling", "piracy"]


def test_a_mend_that_ends_leaves_what_another_overdue_appeal_suspends(world: World) -> None:
    receive(world, "A1", "a.example")
    receive(world, "A2", "a.example", "lawful")
    run_out(world)
    world.register.appeals.decide({"A1": ref("a.example")}, "mended", "Ms Day", A_NAMED, 14 * 86400.0)
    run_out(world, days=13)
    assert fate(world, "A2") == ["suspended"]
    run_out(world, days=2)
    assert "gambling" not in world.active("a.example")
    world.register.appeals.decide({"A2": ref("a.example")}, "upheld", "Ms Day")
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
        assert world.register.appeals.decide({"A1": ref("a.example")}, "mended", "x", A_NAMED, 60.0)["trouble"]
        assert world.active("a.example") == ["piracy"]
        run_out(world)
        assert world.active("b.example") == []
        with pytest.raises(LedgerError):
            world.register.appeals.decide({"A2": ref("b.example")}, "upheld", "x")
        assert world.active("b.example") == []
    world.register.appeals.decide({"A2": ref("b.example")}, "upheld", "x")
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
    said = {"list": "gambling", "appeal": "A1", "reference": ref("a.example"), "outcome": "upheld", "by": "Judge"}
    world.register.appeals.decided_by_issuers([{**said, **change}])
    assert (world.active("a.example") == ["gambling", "piracy"]) is decided
    if decided:
        assert world.leaves()[decision(world, "A1")] == ("appeal-decided", ref("a.example"))
    else:
        with pytest.raises(AppealError, match="nothing was decided"):
            decision(world, "A1")


def test_what_an_issuer_granted_stays_off_until_its_relief_is_there(world: World) -> None:
    receive(world, "A1", "a.example")
    run_out(world)
    granted = {"list": "gambling", "appeal": "A1", "reference": ref("a.example"), "outcome": "granted", "by": "Judge"}
    world.register.appeals.decided_by_issuers([granted])
    assert world.active("a.example") == ["piracy"]


@pytest.mark.parametrize("is_full", [False, True])
def test_a_decision_holds_that_comes_in_the_relief_beside_a_refused_version(
    world: World, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    """`is_full`: `run_dir` takes no file, so that the portal hears of it later."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    receive(world, "A1", "a.example", "lawful")
    world.register.publish_lists()
    folder = world.config.places.list("gambling").verified
    folder.mkdir(parents=True, exist_ok=True)
    said = Decision("A1", ref("a.example"), "2026-11-22T12:30:00Z", "upheld", "the order stands", "Judge")
    (folder / "relief.json").write_bytes(Relief("gambling", 1, {}, (said,)).to_bytes())
    world.register.refuse("gambling", VerifyError("too-large", "120,000 entries; max_entries allows 100,000"))
    with monkeypatch.context() as patch:
        if is_full:
            patch.setattr("resolver.base.atomic.replace", full)
        world.register.publish_lists()
    assert world.leaves()[decision(world, "A1")] == ("appeal-decided", ref("a.example"))
    assert [one.appeal for one in issuer_decisions.read(world.config.places)] == ([] if is_full else ["A1"])
    world.register.publish_lists()
    assert [one.appeal for one in issuer_decisions.read(world.config.places)] == ["A1"]


# -- who may say what


def test_a_reporter_can_say_that_an_appeal_came_in_and_no_more(world: World) -> None:
    class Asked:
        config = world.config
        register = world.register
        held: Any = type("Held", (), {"operations": staticmethod(dict)})

    table = operations(Asked())  # type: ignore[arg-type]
    asked = {name for name, operation in table.items() if operation.reporters}
    assert asked == {"appeal-reports", "appeal-fates", "shared", "share", "stages", "hear-stages"}
    reporter = control.Callers(reporters=frozenset({"nobody"}))
    peer = control.Peer(1, 65534, 65534)
    for name in ("decide", "suspend", "override", "bypassed", "approve", "appeals-waiting", "drop-appeals"):
        assert reporter.refusal(peer, table[name]) == "user nobody may not do this"
    assert reporter.refusal(peer, table["appeal-reports"]) is None


ASKS = """
import json, os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for name in sys.argv[2:]:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(sys.argv[1])
        caller.sendall(json.dumps({"op": name}).encode() + b"\\n")
        print(name, caller.makefile().readline(), sep="\\t", end="")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="starts a process of another user")
def test_the_kernel_keeps_a_web_process_of_its_own_user_to_reports(world: World) -> None:
    """Whatever it sends: a process of the user that `control.reporters` names is refused all else, by the uid."""
    table = operations(_asked(world))

    async def asked(path: Path) -> str:
        async with (await control.serve(path, table, lambda: control.Callers(reporters=frozenset({"nobody"})))).server:
            command = [sys.executable, "-I", "-c", ASKS, str(path), *table]
            run = partial(subprocess.run, command, capture_output=True, text=True, check=True, timeout=60)
            return str((await asyncio.to_thread(run)).stdout)

    with tempfile.TemporaryDirectory() as folder:  # pytest's own is root's alone
        Path(folder).chmod(0o755)
        answers = dict(line.split("\t") for line in asyncio.run(asked(Path(folder) / "control.sock")).splitlines())
    assert set(answers) == set(table)
    refused = {name for name, answer in answers.items() if "user nobody may not do this" in answer}
    allowed = {"status", "appeal-reports", "appeal-fates", "shared", "share", "stages", "hear-stages"}
    assert table.keys() - refused == allowed


A_RECEIPT = "0a" * 32
RIGHT = {"what": "received", "appeal": "A-0123456789AB", "reference": "7ZK3M9Q2XW4T8RBC", "name": "a.example",
         "list": "gambling", "ground": "mistake", "received": 1_795_000_000, "due": 1_795_000_900,
         "receipt": A_RECEIPT}  # fmt: skip


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
def test_what_a_reporter_says_of_an_appeal_has_an_appeals_shape(key: str, value: object) -> None:
    """Half a character in one report made every later write of the steward's state fail, decisions too."""
    wrong, good = read([{**RIGHT, key: value}, RIGHT])
    assert isinstance(wrong, AppealError)
    assert isinstance(good, Report)


def test_nothing_is_kept_of_a_report_but_what_an_appeal_has(world: World) -> None:
    (answer,) = reported(world, {**RIGHT, "more": "x" * 1_000_000})
    told = check_proof(str(answer["proof"]).encode(), parse_vkey(world.config.places.log_vkey.read_text().strip()))
    assert told.detail is not None
    assert told.detail.value == {name: said for name, said in RIGHT.items() if name not in ("what", "receipt")}


def reported(world: World, *batch: object) -> list[dict[str, Any]]:
    """As the web process does it, through the operation."""
    handle = operations(_asked(world))["appeal-reports"].handle
    said: Any = handle(control.Peer(1, 65534, 65534), {"reports": list(batch)})
    return list(asyncio.run(said)["answers"])


def test_a_batch_of_reports_is_one_checkpoint_and_each_is_judged_alone(world: World) -> None:
    secret = {**RIGHT, "receipt": receipts.hash_of(SECRET).hex()}
    ids = [f"A-0000000000{number:02}" for number in range(20)]
    gone = {"what": "withdrawn", "appeal": ids[0], "secret": SECRET.hex()}
    batch = [
        *({**secret, "appeal": appeal} for appeal in ids),
        {**secret, "appeal": ids[1]}, {**secret, "appeal": ids[1], "reference": "8ZK3M9Q2XW4T8RBC"},
        gone, {**gone, "appeal": ids[1], "secret": "00"}, {"what": "decision", "appeal": ids[2]}, 7,
    ]  # fmt: skip
    answers = reported(world, *batch)
    leaves: list[Any] = [answer.get("leaf") for answer in answers]
    assert leaves[:20] == list(range(leaves[0], leaves[0] + 20))
    assert leaves[20:23] == [leaves[1], None, leaves[19] + 1], "said twice, of another entry, withdrawn by its author"
    assert [answer.get("error") for answer in answers[23:]] == [
        f"that is not the receipt of {ids[1]}", f"nothing was decided about {ids[2]} here",
        "that is no report of an appeal",
    ]  # fmt: skip
    assert set(world.register.appeals.known.waiting) == set(ids[1:])
    assert world.register.appeals.refused == 3, "what is not decided yet is no wrong report"
    assert [answer["leaf"] for answer in reported(world, *batch)[:20]] == leaves[:20]
    assert [kind for kind, _ in world.leaves()].count("appeal-received") == 20
    (refusal,) = reported(world, *[RIGHT] * (AT_ONCE + 1))
    assert list(refusal) == ["error"]


def test_reports_that_are_refused_in_number_are_an_alarm_for_an_hour(world: World) -> None:
    said = f"more than {MOST_REFUSED} reports of the web process were refused within an hour"
    unknown = {"what": "withdrawn", "appeal": "A-0123456789AB", "secret": "00"}
    for number in range(MOST_REFUSED + 1):
        assert said not in world.register.status()["alarms"]
        assert reported(world, (unknown, {"what": "received", "appeal": "x"})[number % 2])[0]["error"]
    assert said in world.register.status()["alarms"]
    assert world.register.status()["appeals"]["refused"] == MOST_REFUSED + 1
    run_out(world, minutes=61)
    assert said not in world.register.status()["alarms"]


def test_reports_that_were_refused_while_the_clock_was_far_ahead_are_no_alarm_when_it_is_right(world: World) -> None:
    said = f"more than {MOST_REFUSED} reports of the web process were refused within an hour"
    world.clock.forward(days=365)
    for _ in range(MOST_REFUSED + 1):
        reported(world, {"what": "received", "appeal": "x"})
    assert said in world.register.status()["alarms"]
    run_out(world, days=-365)
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


def test_how_many_appeals_are_withdrawn_in_a_day_is_bounded_and_an_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who comes in and withdraws, again and again, fills the log and the steward's state."""
    monkeypatch.setattr("resolver.lists.appeals.MOST_WITHDRAWN", 3)
    for number in range(5):
        receive(world, f"A{number}", "a.example", receipt=receipts.hash_of(SECRET).hex())
    gone = [Report("withdrawn", f"A{number}", secret=SECRET) for number in (0, 1, 1, 2, 3)]
    answers = world.register.appeals.reported(gone)
    assert [isinstance(one, AppealError) for one in answers] == [False, False, False, False, True]
    alarm = "3 appeals were withdrawn within a day, and 3 may be: those beyond stay open"
    assert alarm in world.register.status()["alarms"]
    assert withdraw(world, "A0", SECRET) == answers[0], "said again it is the same leaf"
    with pytest.raises(AppealError, match="were withdrawn within a day"):
        withdraw(world, "A4", SECRET)
    assert set(world.register.appeals.known.waiting) == {"A3", "A4"}
    world.register.appeals.decide({"A4": ref("a.example")}, "upheld", "Ms Day")
    run_out(world, hours=25)
    assert alarm not in world.register.status()["alarms"]
    withdraw(world, "A3", SECRET)
    assert world.register.appeals.known.waiting == {}


def test_appeals_that_were_withdrawn_while_the_clock_was_far_ahead_keep_nobody_from_it_when_it_is_right(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolver.lists.appeals.MOST_WITHDRAWN", 1)
    for number in range(2):
        receive(world, f"A{number}", "a.example", receipt=receipts.hash_of(SECRET).hex())
    world.clock.forward(days=30)
    withdraw(world, "A0", SECRET)
    world.clock.forward(days=-30)
    withdraw(world, "A1", SECRET)
    assert world.register.appeals.known.waiting == {}


def _asked(world: World) -> Any:
    async def work(what: Callable[..., object], *arguments: Any) -> object:
        return what(*arguments)

    held = SimpleNamespace(operations=dict)
    return SimpleNamespace(config=world.config, register=world.register, held=held, work=work)


def test_appeals_that_the_desk_does_not_know_are_dropped_with_what_they_suspended(world: World) -> None:
    receive(world, "A1", "a.example")
    for number in range(3):
        receive(world, f"B{number}", "b.example")
    run_out(world)
    receive(world, "B3", "b.example")
    appeals, before = world.register.appeals, world.register.generation
    assert world.active("b.example") == []
    assert list(appeals.waiting_after("", 2)) == ["A1", "B0"]
    assert list(appeals.waiting_after("B0", 9)) == ["B1", "B2", "B3"]
    assert appeals.drop(["B0", "B1", "B3", "B9"], "night shift", "nobody sent them") == 3
    assert (world.active("b.example"), world.register.generation) == ([], before), "B2 is known"
    assert appeals.drop(["B2"], "night shift", "nobody sent it") == 1
    assert (world.active("b.example"), world.register.generation) == (["gambling"], before + 1)
    assert world.active("a.example") == ["piracy"]
    assert (set(appeals.known.waiting), appeals.known.decided) == ({"A1"}, {})
    assert [leaf for leaf in world.leaves() if leaf[0] == "appeal-decided"] == [
        ("appeal-decided", ref("b.example"))
    ] * 4


def test_an_alarm_says_what_is_held_after_a_decision_and_not_before_the_next_round(world: World) -> None:
    world.take(2, [f"{letter}.example" for letter in "abcdef"])
    for letter in "bcdef":
        receive(world, letter, f"{letter}.example")
    run_out(world)
    held = sorted(a for a, one in world.register.appeals.known.waiting.items() if one.fate == "held")
    assert world.register.alarms["overdue"].startswith("2 entries")
    world.register.appeals.decide({held[0]: ref(f"{held[0]}.example")}, "upheld", "Ms Day")
    assert world.register.alarms["overdue"].startswith("1 entry with overdue appeals is held")
    world.register.appeals.let_go([ref(f"{held[1]}.example")], "Ms Day")
    assert "overdue" not in world.register.alarms


def test_what_issuers_decide_at_a_time_is_one_generation(world: World) -> None:
    for letter in "ab":
        receive(world, letter, f"{letter}.example")
    run_out(world)
    before = world.register.generation
    said = {"list": "gambling", "outcome": "upheld", "by": "Judge"}
    world.register.appeals.decided_by_issuers(
        [{**said, "appeal": letter, "reference": ref(f"{letter}.example")} for letter in "ab"]
    )
    assert (world.active("b.example"), world.register.generation) == (["gambling"], before + 1)


def test_mends_of_several_entries_are_one_generation(world: World) -> None:
    for letter in "ab":
        receive(world, letter, f"{letter}.example")
    before = world.register.generation
    appeals, names = (
        {letter: ref(f"{letter}.example") for letter in "ab"},
        {ref(f"{x}.example"): f"{x}.example" for x in "ab"},
    )
    assert len(world.register.appeals.decide(appeals, "mended", "Ms Day", names, 60.0)["mended"]) == 2
    assert (world.active("b.example"), world.register.generation) == ([], before + 1)
