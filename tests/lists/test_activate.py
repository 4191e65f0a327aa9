"""Activation under the worst: killed at every step, a log that cannot be written, a disk that is full or read-only."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from blocklists import document
from blocklists.errors import VerifyError
from resolver.config.schema_lists import MAX_LISTS
from resolver.lists.compile import Plan
from resolver.lists.ledger import LedgerError
from resolver.lists.suspensions import Suspensions
from resolver.policy import look_up
from resolver.policy.description import Generation, LiveList
from tests.rigs.lists_world import World, make_entry

if TYPE_CHECKING:
    from pathlib import Path

FIRST = ["a.example", "b.example"]
SECOND = ["a.example", "c.example"]
TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.link", "fcntl.flock", "os.chmod"}


def die_at(step: int, folder: Path) -> None:
    """From now on the process kills itself (SIGKILL) just before its `step`th touch of the file system in `folder`."""
    left = step

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in TOUCHES:
            return
        if event == "open" and (not isinstance(arguments[0], str | bytes) or not arguments[2] & 3):
            return  # reading
        if event != "fcntl.flock" and str(folder) not in str(arguments[0]):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def in_a_child_killed_at(step: int, folder: Path) -> bool:
    """Start as the steward does and take the second version, in a process that is killed; False: it came to its end."""
    child = os.fork()
    if child == 0:
        _child(step, folder)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _child(step: int, folder: Path) -> NoReturn:
    try:
        world = World(folder)
        offered = world.candidate(2, SECOND)
        die_at(step, folder)
        world.register.take(offered)
    except BaseException:  # noqa: BLE001 - a child of fork must never come back into pytest
        os._exit(1)
    os._exit(0)


def test_killed_at_any_step_nothing_half_written_is_active_and_the_next_start_goes_on(tmp_path: Path) -> None:
    before = World(tmp_path / "before")
    before.take(1, FIRST)
    before.stop()
    step, reached_the_end = 0, False
    while not reached_the_end:
        step += 1
        folder = tmp_path / f"step-{step}"
        shutil.copytree(tmp_path / "before", folder)
        reached_the_end = not in_a_child_killed_at(step, folder)

        live = live_names(folder)
        assert live in ({"a", "b"}, {"a", "c"})
        world = World(folder)
        if live == {"a", "c"}:
            assert ("list-activated", "gambling/2") in world.leaves()
        world.take(2, SECOND)
        assert live_names(folder) == {"a", "c"}
        assert world.leaves().count(("list-activated", "gambling/2")) in (1, 2)
        assert world.register.status()["alarms"] == []
        world.stop()
        shutil.rmtree(folder)
    assert step > 15


def live_names(folder: Path) -> set[str]:
    """What a worker that opens the live file blocks."""
    from resolver._core import CompiledList

    compiled = CompiledList.open(folder / "run" / "current.list")
    return {name for name in "abc" if compiled.look_up(f"{name}.example")}


def broken(*_: object, **__: object) -> NoReturn:
    raise OSError(28, "No space left on device")


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.take(1, [*FIRST, make_entry("d.example")])
    return world


def test_without_the_log_nothing_is_added(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("resolver.log.writer.Log.append_many", broken)
        world.take(2, [*FIRST, "d.example", "new.example"])
        assert world.active("new.example") == []
        assert world.active("a.example") == ["gambling"]
        assert any("log cannot be written" in alarm for alarm in world.register.status()["alarms"])
    world.forward(minutes=1)
    world.register.tick()
    assert world.active("new.example") == ["gambling"]
    assert world.leaves()[-1] != ("start", "")
    assert ("list-activated", "gambling/2") in world.leaves()
    assert world.register.status()["alarms"] == []


def test_without_the_log_removals_and_suspensions_hold_all_the_same_and_their_leaf_follows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = make_entry("d.example").reference
    with monkeypatch.context() as patch:
        patch.setattr("resolver.log.writer.Log.append_many", broken)
        world.take(2, ["a.example", "d.example"])
        assert world.active("b.example") == []
        world.take(2, ["a.example", "d.example"], suspended=[gone])
        assert world.active("d.example") == []
        assert world.active("a.example") == ["gambling"]
        assert world.register.status()["alarms"]
    world.forward(minutes=1)
    world.register.tick()
    assert {("list-activated", "gambling/2"), ("relief-applied", "gambling/2")} <= set(world.leaves())
    assert world.register.status()["alarms"] == []


def test_without_the_log_an_addition_does_not_slip_in_behind_a_removal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolver.log.writer.Log.append_many", broken)
    world.take(2, [*FIRST, "new.example"])
    world.take(3, ["a.example", "new.example"])
    assert world.active("new.example") == []


def test_a_full_disk_stops_additions_and_neither_dns_nor_removals(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("blocklists.durable.DISK.rename", broken)
        with pytest.raises(OSError, match="No space left"):
            world.take(2, [*FIRST, "new.example"])
        assert world.active("a.example") == ["gambling"]
        assert world.active("new.example") == []
    world.take(2, [*FIRST, "new.example"])
    assert world.active("new.example") == ["gambling"]


def test_a_full_disk_does_not_stop_suspensions_that_came_beside_a_refused_version(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blocklists.head import Relief, Suspension

    gone = make_entry("a.example").reference
    folder = world.config.places.list("gambling").verified
    folder.mkdir(parents=True)
    relief = Relief("gambling", 1, {gone: Suspension("2026-11-22T00:00:00Z", "appeal granted")})
    (folder / "relief.json").write_bytes(relief.to_bytes())
    with monkeypatch.context() as patch:
        patch.setattr("blocklists.durable.DISK.rename", broken)
        world.register.refuse("gambling", VerifyError("state-hash", "not what was signed"))
        assert world.active("a.example") == []
        assert any("applied cannot be written" in alarm for alarm in world.register.status()["alarms"])
    world.forward(minutes=1)
    world.register.tick()
    assert not any("cannot" in alarm for alarm in world.register.status()["alarms"])
    world.restart()
    assert world.active("a.example") == []


def test_lifting_an_override_waits_for_its_leaf_and_setting_one_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resolver.policy import exceptions

    with monkeypatch.context() as patch:
        patch.setattr("resolver.log.writer.Log.append_many", broken)
        world.register.people.allow("a.example", "subtree", "mistake", "root", 3600.0)
        live = exceptions.read(world.config.places.exceptions)
        assert live.covering("www.a.example", world.clock()) is not None
        with pytest.raises(LedgerError):
            world.register.people.lift("a.example", "root")
        assert exceptions.read(world.config.places.exceptions) == live
    world.register.people.lift("a.example", "root")
    assert exceptions.read(world.config.places.exceptions).names == ()


def test_what_could_not_be_written_is_no_alarm_any_more_once_it_can_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("resolver.log.writer.Log.append_many", broken)
        patch.setattr("blocklists.durable.DISK.rename", broken)
        world.register.refuse("gambling", VerifyError("signature", "not signed"))
        alarms = world.register.status()["alarms"]
        assert "the log cannot be written: No space left on device" in alarms
        assert f"{world.config.places.state_dir} cannot be written (No space left on device)" in alarms
    world.register.tick()
    assert [alarm for alarm in world.register.status()["alarms"] if "cannot" in alarm] == []
    assert world.leaves()[-1][0] == "heartbeat"


def test_a_full_disk_is_told_with_the_file_that_it_did_not_take(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("os.write", broken)
        world.register.people.allow("a.example", "subtree", "mistake", "root", 3600.0)
    (alarm,) = (alarm for alarm in world.register.status()["alarms"] if "log" in alarm)
    at = re.escape(str(world.config.places.state_dir))
    assert re.fullmatch(f"the log cannot be written: No space left on device: {at}/.+", alarm)


def test_a_start_on_a_read_only_state_directory_after_a_reboot_blocks_what_was_blocked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blocklists.durable import DISK

    rename, places = DISK.rename, world.config.places

    def read_only(old: Path, path: Path) -> None:
        if path.is_relative_to(places.state_dir):
            raise OSError(30, "Read-only file system")
        rename(old, path)

    world.stop()
    shutil.rmtree(places.run_dir)
    monkeypatch.setattr("blocklists.durable.DISK.rename", read_only)
    monkeypatch.setattr("resolver.log.writer.Log.open", broken)
    world.start()
    assert world.active("a.example") == ["gambling"]
    assert any("log cannot be written" in alarm for alarm in world.register.status()["alarms"])
    world.register.people.allow("a.example", "subtree", "mistake", "root", 3600.0)
    from resolver.policy import exceptions

    assert exceptions.read(places.exceptions).covering("a.example", world.clock()) is not None
    assert any("overrides.json cannot be written" in alarm for alarm in world.register.status()["alarms"])


def test_a_list_counts_under_the_same_number_wherever_it_stands(tmp_path: Path) -> None:
    """Metrics go by it: a list that comes or goes gives nobody another one's count."""
    world = World(tmp_path, lists={"alpha": {}, "beta": {}})
    world.take(1, ["a.example"], name="alpha")
    world.take(1, ["b.example"], name="beta")

    def counters(*lists: str) -> dict[str, int]:
        world.lists = {name: {} for name in lists}
        world.restart()
        meta = Generation.parse(look_up.opened(world.config.places.current).meta)
        assert meta.names == [*lists]
        return dict(zip(meta.names, meta.counters, strict=True))

    assert counters("alpha", "beta") == {"alpha": 0, "beta": 1}
    assert counters("new", "beta", "alpha") == {"new": 2, "beta": 1, "alpha": 0}
    assert counters("beta", "other") == {"beta": 1, "other": 3}, "none that another had just now"
    assert counters("beta") == {"beta": 1}
    assert counters("beta", "third") == {"beta": 1, "third": 4}, "none that another ever had: its sums remain"
    assert counters("alpha", "beta") == {"alpha": 0, "beta": 1}, "one that comes back goes on with its own"


def test_a_generation_of_before_gives_lists_their_places_as_numbers_and_room_does_not_run_out() -> None:
    before = [LiveList(name=f"list-{number}") for number in range(MAX_LISTS)]
    others = [LiveList(name=f"list-{number}") for number in range(MAX_LISTS - 1, 0, -1)] + [LiveList(name="new")]
    planned = Plan((), tuple(others)).counted_after(before, ())
    assert [part.counter for part in planned.lists] == [*range(MAX_LISTS - 1, 0, -1), 0]
    assert planned.departed == (), "list-0's number is another one's"


def test_where_all_numbers_are_taken_the_one_of_the_list_that_departed_first_passes_on() -> None:
    """What is in shadow evaluation takes a number too."""

    def after(before: Plan, *names: str) -> Plan:
        return Plan((), tuple(LiveList(name=name) for name in names)).counted_after(before.lists, before.departed)

    names = [f"list-{number}" for number in range(MAX_LISTS - 2)]
    full = after(Plan((), ()), *names, "list-0+new", "second")
    gone = after(after(full, *names, "second"), *names)
    assert gone.departed == (("list-0+new", MAX_LISTS - 2), ("second", MAX_LISTS - 1))
    assert after(gone, "third", *names).lists[0].counter == MAX_LISTS - 2
    assert after(gone, "third", *names, "second").lists[-1].counter == MAX_LISTS - 1


@pytest.mark.parametrize("restarts", [False, True])
def test_as_many_suspensions_are_not_the_same_ones_where_the_log_cannot_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    """One entry is to block again and another is to be off: the numbers are as before."""
    first, second = (make_entry(name).reference for name in FIRST)
    appeals = world.register.appeals
    appeals.decide({"A1": first}, "mended", "Ms Day", {first: "a.example"}, 3600.0)
    mended = appeals.suspended.entries[first]
    if restarts:
        world.restart()
    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "append", broken)
        other = mended.model_copy(update={"name": "b.example"})
        world.register.appeals._suspend(Suspensions(entries={second: other}), world.register.appeals.suspended)
        assert [world.active(name) for name in FIRST] == [[], []]
    world.forward(minutes=1)
    world.register.tick()
    assert [world.active(name) for name in FIRST] == [["gambling"], []]


def test_what_cannot_be_live_is_not_logged_twice_in_one_attempt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from blocklists.durable import rename

    def fails(old: Path, path: Path) -> None:
        if path == world.config.places.generation:
            broken()
        rename(old, path)

    before = world.leaves().count(("list-activated", "gambling/2"))
    monkeypatch.setattr("blocklists.durable.rename", fails)
    world.take(2, [*FIRST, "new.example"])
    assert world.active("new.example") == []
    assert world.leaves().count(("list-activated", "gambling/2")) == before + 1


@pytest.mark.parametrize("settings", [{"action": "nxdomain"}, {"reason": "filtered"}])
def test_where_only_the_configuration_changes_the_leaf_says_that_nothing_is_added(
    world: World, settings: dict[str, Any]
) -> None:
    def changes() -> list[tuple[int, int]]:
        log = world.ledger._log
        assert log is not None
        found = [log.details.get(index) for index, (kind, _) in enumerate(world.leaves()) if kind == "list-activated"]
        return [(one.value["added"], one.value["removed"]) for one in found if one is not None]

    world.take(1, ["a.example", "b.example"])
    world.take(2, ["a.example", "c.example", "d.example"])
    assert (before := changes())[-1] == (2, 1)
    world.lists = {"gambling": settings}
    world.restart()
    assert changes() == [*before, (0, 0)]


def test_what_lies_in_run_dir_under_the_name_of_an_empty_list_is_none(tmp_path: Path) -> None:
    """A worker may write there before the steward does."""
    (tmp_path / "run").mkdir()
    document.write(tmp_path / "run" / "nothing.zst", [make_entry("b.example")])
    world = World(tmp_path, lists={"gambling": {}, "empty": {}})
    world.take(1, ["a.example"])
    assert world.active("a.example") == ["gambling"]
    assert world.active("b.example") == []


def test_nobody_can_foresee_under_which_name_a_file_is_made_in_run_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was taken over may put a folder there that the steward cannot remove."""
    made: list[Path] = []
    opened = os.open

    def noted(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            made.append(path)
        return opened(path, flags, *mode)

    def names(folder: Path) -> set[str]:
        world = World(folder, lists={"gambling": {}, "empty": {}})
        world.take(1, ["a.example"])
        world.register.people.allow("a.example", "subtree", "mistake", "root", 3600.0)
        world.register.publish_lists()
        world.register.waves.soak.look({"gambling": (1, "state")}, 0.0)
        world.stop()
        return {path.name for path in made if path.parent == world.config.places.run_dir}

    monkeypatch.setattr(os, "open", noted)
    first, second = names(tmp_path / "first"), names(tmp_path / "second")
    assert len(first) >= 4
    assert not first & second


def test_what_lies_where_a_withdrawal_could_be_made_does_not_hold_it_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the log cannot be written, so that it goes live from memory alone."""
    world.take(1, FIRST)
    for name in ("current.list.next", "current.list.next.new", "generation.next", f"generation.next.{os.getpid()}.new"):
        (world.config.places.run_dir / name / "in the way").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr("resolver.log.writer.Log.append_many", broken)
        world.take(2, FIRST[:1])
        assert world.active(FIRST[1]) == []
    world.forward(minutes=1)
    world.register.tick()
    assert world.register.status()["alarms"] == []
    assert not list(world.config.places.generations.glob("next*")), "no temporary is left"
