"""Additions watched against live queries before they act."""

from __future__ import annotations

import errno
import json
import re
from typing import TYPE_CHECKING

import pytest

from blocklists.document import DocumentError
from blocklists.errors import VerifyError
from resolver._core import CompiledList
from tests.rigs.lists_world import World, make_entry
from tests.rigs.shadow_traffic import Traffic

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path, more={"guards": {"shadow": {"watch": "1h", "share": "1%"}}})
    monkeypatch.setattr("resolver.lists.fetch.stored", lambda *_: world.last)
    world.take(1, ["a.example", "b.example"])
    return world


def action(world: World, name: str) -> str | None:
    found = CompiledList.open(world.config.places.current).look_up(name)
    return found[0].action if found else None


def pass_time(world: World) -> None:
    world.clock.forward(minutes=61)
    world.register.tick()


def test_an_addition_only_monitors_while_it_is_watched_and_removals_hold_at_once(world: World) -> None:
    outcome = world.take(2, ["a.example", "new.example"])
    assert (outcome.kind, outcome.reason) == ("held", "watched")
    assert [action(world, f"{name}.example") for name in ("a", "b", "new")] == ["stop-page", None, "monitor"]
    assert world.leaves()[-2:] == [("list-held", "gambling/2"), ("list-activated", "gambling/1")]


def test_suspensions_beside_a_refused_version_leave_what_is_in_shadow_evaluation_there(world: World) -> None:
    from blocklists.head import Relief, Suspension

    world.take(2, ["a.example", "b.example", "new.example"])
    folder = world.config.places.list("gambling").verified
    folder.mkdir(parents=True)
    gone = make_entry("b.example").reference
    relief = Relief("gambling", 1, {gone: Suspension("2026-11-22T00:00:00Z", "appeal granted")})
    (folder / "relief.json").write_bytes(relief.to_bytes())
    world.register.refuse("gambling", VerifyError("state-hash", "not what was signed"))
    assert [action(world, f"{name}.example") for name in ("a", "b", "new")] == ["stop-page", None, "monitor"]
    world.clock.forward(minutes=1)
    world.config.places.current.unlink()  # compiled again, from what is there
    world.config.places.generation.unlink()
    world.register.tick()
    assert action(world, "new.example") == "monitor"
    assert not any("not active" in alarm for alarm in world.register.status()["alarms"])


def test_what_is_damaged_in_shadow_evaluation_keeps_no_withdrawal_out(world: World) -> None:
    from blocklists.head import Relief, Suspension

    world.take(2, ["a.example", "b.example", "new.example"])
    places, held = world.config.places.list("gambling"), world.register.fetching["gambling"].held
    assert held is not None
    assert held.document is not None
    (places.applied / held.document).write_bytes(b"cut")
    places.verified.mkdir(parents=True)
    gone = make_entry("b.example").reference
    relief = Relief("gambling", 1, {gone: Suspension("2026-11-22T00:00:00Z", "appeal granted")})
    (places.verified / "relief.json").write_bytes(relief.to_bytes())
    world.register.refuse("gambling", VerifyError("state-hash", "not what was signed"))
    assert [action(world, f"{name}.example") for name in ("a", "b")] == ["stop-page", None]
    world.register.take(world.last)
    assert [action(world, f"{name}.example") for name in ("a", "b", "new")] == ["stop-page", None, "monitor"]


def test_an_addition_that_hardly_anybody_asks_for_acts_after_its_watch(world: World) -> None:
    world.take(2, ["a.example", "new.example"])
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(1_000), "elsewhere.example")
    traffic.flow(range(5), *["new.example"] * 500)  # however often they ask
    world.register.tick()
    assert action(world, "new.example") == "monitor"
    pass_time(world)
    assert action(world, "new.example") == "stop-page"
    assert world.leaves()[-1][0] in ("list-activated", "heartbeat")
    assert world.register.fetching["gambling"].held is None


def test_an_addition_that_would_stop_too_many_waits_for_a_person(world: World) -> None:
    names = ["a.example", "new.example", "popular.example"]
    world.take(2, names)
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(1_000), "elsewhere.example")
    traffic.flow(range(3), "new.example")
    traffic.flow(range(100), "www.popular.example")
    pass_time(world)
    held = world.register.fetching["gambling"].held
    assert held is not None
    (reason,) = held.reasons
    assert (reason.kind, reason.approvable) == ("traffic", True)
    assert re.fullmatch(r"popular\.example would stop (8|9|10|11|12)\.\d% of all clients", reason.text)
    assert [action(world, f"{name}.example") for name in ("a", "new", "popular")] == ["stop-page", None, None]
    world.restart()
    world.take(2, names)
    assert world.register.fetching["gambling"].held == held


def test_who_asks_about_another_port_of_a_name_counts_for_its_entry(world: World) -> None:
    """An exact entry stops `_8443._https.` of its name too, so both are counted."""
    world.take(2, ["a.example", make_entry("popular.example", match="exact")])
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(1_000), "elsewhere.example")
    traffic.flow(range(100), "_8443._https.popular.example")
    traffic.flow(range(100, 900), "www.popular.example", "_8443._https.www.popular.example")
    pass_time(world)
    held = world.register.fetching["gambling"].held
    assert held is not None
    assert re.match(r"popular\.example would stop (8|9|10|11|12)\.\d% of all clients", held.reasons[0].text)


def test_what_several_workers_see_counts_once_and_is_kept_when_one_dies(world: World) -> None:
    world.take(2, ["a.example", "popular.example"])
    workers = [Traffic(world, worker=number) for number in range(2)]
    for traffic in workers:
        traffic.take_up()
        traffic.flow(range(1_000), "elsewhere.example")
    workers[0].flow(range(8), "popular.example")
    workers[1].flow(range(4, 12), "popular.example")
    world.register.tick()
    successor = Traffic(world)
    successor.take_up()
    successor.flow(range(1), "elsewhere.example")  # in the file of the dead
    pass_time(world)
    assert action(world, "popular.example") is None  # 12 of 1,000: neither worker saw so many


def test_a_generation_in_between_and_a_list_of_another_view_change_nothing(world: World) -> None:
    world.take(2, ["a.example", "popular.example"])
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(500), "elsewhere.example", "popular.example")
    reference = make_entry("a.example").reference
    world.register.appeals.decide({"A-1": reference}, "mended", "night shift", {reference: "a.example"}, 3600.0)
    traffic.take_up()
    traffic.flow(range(500, 1_000), "elsewhere.example")
    pass_time(world)
    held = world.register.fetching["gambling"].held
    assert held is not None
    assert held.reasons[0].kind == "traffic"


def test_who_is_stopped_already_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, lists={"one": {}, "two": {}}, more={"guards": {"shadow": {"watch": "1h", "share": "1%"}}})
    monkeypatch.setattr("resolver.lists.fetch.stored", lambda *_: world.last)
    world.take(1, ["popular.example"], name="one")
    world.take(1, ["b.example"], name="two")
    world.take(2, ["b.example", "popular.example"], name="two")
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(1_000), "elsewhere.example", "popular.example")
    pass_time(world)
    assert world.register.fetching["two"].held is None


def test_sketches_tell_no_address_and_nothing_of_them_is_written_but_on_the_tmpfs(world: World) -> None:
    world.take(2, ["a.example", "new.example"])
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(300), "elsewhere.example", "new.example")
    world.register.tick()
    path = world.config.places.sketches(0)
    assert path.stat().st_mode & 0o777 == 0o600
    told = path.read_text()
    assert "10.0." not in told
    (everyone,) = {one["everyone"] for one in json.loads(told)["watches"].values()}
    for file in world.config.places.state_dir.rglob("*"):
        assert not file.is_file() or everyone.encode() not in file.read_bytes()
    other = Traffic(world, key=(7, 11), worker=1)  # the same clients under another start's key
    other.take_up()
    other.flow(range(300), "elsewhere.example", "new.example")
    assert everyone not in world.config.places.sketches(1).read_text()


def test_a_person_may_end_the_watch(world: World) -> None:
    offered = world.candidate(2, ["a.example", "new.example"])
    world.register.take(offered)
    world.register.approve("gambling", 2, offered.state, "root")
    assert action(world, "new.example") == "stop-page"


def test_a_renewed_entry_is_no_addition_and_is_not_watched(world: World) -> None:
    renewed = make_entry("a.example", expires="2100-11-01T00:00:00Z")
    assert world.take(2, [renewed, "b.example"]).kind == "active"
    world.take(3, [make_entry("a.example", expires="2101-11-01T00:00:00Z"), "b.example", "new.example"])
    watched = [m.list for m in CompiledList.open(world.config.places.current).look_up("a.example")]
    assert watched == [0]


def test_a_steward_that_starts_anew_watches_anew(world: World) -> None:
    offered = world.candidate(2, ["a.example", "popular.example"])
    world.register.take(offered)
    world.clock.forward(minutes=50)
    world.restart()
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(1_000), "elsewhere.example")
    traffic.flow(range(500), "popular.example")
    world.clock.forward(minutes=30)
    world.register.take(offered)
    world.register.tick()
    assert action(world, "popular.example") == "monitor"
    pass_time(world)
    assert action(world, "popular.example") is None


def test_hardly_any_clients_prove_nothing_and_a_damaged_file_says_nothing(world: World) -> None:
    world.take(2, ["a.example", "popular.example"])
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(50), "popular.example")
    for number, text in enumerate(["", "{", '{"key": 1, "watches": {"x": {"everyone": "AAAA", "met": {}}}}', "[]"], 1):
        world.config.places.sketches(number).write_text(text)
    pass_time(world)
    assert action(world, "popular.example") == "stop-page"


def test_an_urgent_list_is_watched_for_ten_minutes_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(
        tmp_path, lists={"gambling": {"urgent": True}}, more={"guards": {"shadow": {"watch": "1h", "share": "1%"}}}
    )
    monkeypatch.setattr("resolver.lists.fetch.stored", lambda *_: world.last)
    world.take(1, ["a.example"])
    world.take(2, ["a.example", "new.example"])
    assert world.register.status()["alarms"] == []  # it waits for nobody
    world.clock.forward(minutes=11)
    world.register.tick()
    assert action(world, "new.example") == "stop-page"


def test_a_list_with_a_new_version_again_and_again_gets_through(world: World) -> None:
    names = ["a.example", "b.example"]
    for version in range(2, 9):  # one in half an hour, watched for an hour
        names.append(f"n{version}.example")
        world.take(version, names)
        world.clock.forward(minutes=30)
        world.register.tick()
    applied, held = world.register.applied["gambling"], world.register.fetching["gambling"].held
    assert (applied.version, action(world, "n5.example")) == (5, "stop-page")
    assert held is not None
    assert (held.version, held.added, held.since) == (8, 3, "2026-11-22T14:00:00Z")


def test_what_was_seen_of_an_addition_goes_on_counting_in_the_next_version(world: World) -> None:
    world.take(2, ["a.example", "popular.example", "withdrawn.example"])
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(300), "elsewhere.example", "popular.example", "withdrawn.example")
    world.register.tick()
    world.take(3, ["a.example", "popular.example", "new.example"])
    traffic.take_up()
    traffic.flow(range(300, 1_000), "elsewhere.example")
    pass_time(world)
    held = world.register.fetching["gambling"].held
    assert held is not None
    assert held.reasons[0].kind == "traffic"
    assert re.fullmatch(r"popular\.example would stop \d\d\.\d% of all clients", held.reasons[0].text)


def test_an_addition_that_came_late_is_measured_by_those_who_asked_since(world: World) -> None:
    world.take(2, ["a.example", "new.example"])
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(1_500), "elsewhere.example")
    world.register.tick()
    world.take(3, ["a.example", "new.example", "late.example"])
    traffic.take_up()
    traffic.flow(range(200), "elsewhere.example")
    traffic.flow(range(8), "late.example")  # 4% of these, and 0.5% of all
    pass_time(world)
    held = world.register.fetching["gambling"].held
    assert held is not None
    assert held.reasons[0].text.startswith("late.example would stop ")


def test_a_list_that_was_held_before_it_is_watched_again_stays_an_alarm(world: World) -> None:
    world.take(2, ["a.example", "com"])
    world.clock.forward(hours=5)
    world.take(3, ["a.example", "new.example"])
    assert world.register.fetching["gambling"].held.until is not None  # type: ignore[union-attr]
    alarm = "additions to list gambling are held since 2026-11-22T12:00:00Z, now of version 3"
    assert world.register.status()["alarms"] == [alarm]
    pass_time(world)
    assert world.register.status()["alarms"] == []


@pytest.mark.parametrize("trouble", [
    OSError(errno.ENOSPC, "No space left on device"), VerifyError("storage", "full-2.zst is damaged"),
    DocumentError("not a line"),
])  # fmt: skip
def test_what_cannot_act_at_the_end_of_its_evaluation_is_an_alarm_and_acts_later(
    world: World, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def fails(*_: object) -> None:
        raise trouble

    world.take(2, ["a.example", "new.example"])
    with monkeypatch.context() as patch:
        patch.setattr("resolver.lists.fetch.stored", fails)
        pass_time(world)
        world.register.tick()
    (alarm,) = world.register.status()["alarms"]
    assert alarm.startswith("list gambling: additions that are let through are not active: ")
    assert action(world, "new.example") == "monitor"
    world.register.tick()
    assert (action(world, "new.example"), world.register.status()["alarms"]) == ("stop-page", [])
