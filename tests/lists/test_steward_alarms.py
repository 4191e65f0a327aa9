"""Each alarm of the steward comes with what it is about, and ends with it (the table: `tests/cli/test_alarms.py`)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from blocklists.errors import VerifyError
from tests.rigs.lists_world import World, make_entry, received

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.take(1, ["a.example"])
    yield world
    world.stop()


def alarms(world: World) -> list[str]:
    found: list[str] = world.register.status()["alarms"]
    return found


def begun_again(world: World) -> World:
    world.restart()
    return world


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_clock_that_goes_back(world: World) -> None:
    world.clock.forward(hours=-2)
    for _ in range(2):
        world.register.tick()
    (alarm,) = alarms(world)
    at, last = "2026-11-22T10:00:00Z", "2026-11-22T12:00:00Z"
    assert alarm == f"the clock went back to {at}, before {last}, when the steward last wrote: see timedatectl"
    world.clock.forward(hours=2)
    world.register.tick()
    assert alarms(world) == []


def test_a_list_that_nobody_confirms(world: World) -> None:
    world.clock.forward(days=2)
    assert alarms(world) == ["list gambling has not been confirmed since 2026-11-22T12:00:00Z"]
    world.clock.forward(days=30)
    world.register.tick()
    assert alarms(world) == ["list gambling only monitors: nobody has confirmed it since 2026-11-22T12:00:00Z"]
    world.take(1, ["a.example"])
    assert alarms(world) == []


def test_a_list_that_is_refused(world: World) -> None:
    world.register.refuse("gambling", VerifyError("signature", "not enough signatures"))
    assert alarms(world) == ["list gambling is refused since 2026-11-22T12:00:00Z: not enough signatures"]
    world.take(1, ["a.example"])
    assert alarms(world) == []


@pytest.mark.parametrize(
    ("on_expiry", "said"),
    [
        ("lapse", "list gambling ends on 2026-12-02T12:00:00Z: its file has not been seen since 2026-11-22T12:00:00Z"),
        ("hold", "list gambling is held beyond its end: its file has not been seen since 2026-11-22T12:00:00Z"),
    ],
)
def test_a_bridged_list_whose_file_is_gone(tmp_path: Path, on_expiry: str, said: str) -> None:
    bridge = {"issuer": "Board", "law": "Act 12", "authority": "Board", "order": "1", "date": "2026-11-01",
              "territory": "DK", "category": "gambling", "match": "subtree", "lifetime": "30d"}  # fmt: skip
    more = {"bridge": bridge, "on_expiry": on_expiry, "trusted_root": None}
    world = World(tmp_path, lists={"gambling": more})
    seen = world.candidate(1, ["a.example"]).model_copy(update={"lapses": world.clock() + 10 * 86400})
    world.register.take(seen)
    world.register.refuse("gambling", VerifyError("missing", "there is no such file"))
    assert said in alarms(world)
    world.register.take(seen)
    assert alarms(world) == []
    world.stop()


def test_a_generation_that_the_disk_does_not_take(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("resolver.lists.activate.build", full)
        world.take(2, ["a.example", "b.example"])
        assert alarms(world) == ["the new generation is not active: No space left on device"]
    world.forward(minutes=1)
    world.register.tick()
    assert (alarms(world), world.active("b.example")) == ([], ["gambling"])


def test_a_generation_that_is_tried_again_after_the_clock_was_set_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("resolver.lists.activate.build", full)
        world.take(2, ["a.example", "b.example"])
    world.clock.forward(hours=-12)
    world.uptime.forward(minutes=1)
    world.register.tick()
    assert world.active("b.example") == ["gambling"]


def test_a_generation_that_is_live_and_not_durable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only takes away never waits for the disk."""
    world.take(2, ["a.example", "b.example"])
    with monkeypatch.context() as patch:
        patch.setattr("resolver.log.writer.Log.append_many", full)
        world.take(3, ["a.example"])
        assert world.active("b.example") == []
        assert any(one.startswith("active, but not for after a reboot: ") for one in alarms(world))
    world.forward(minutes=1)
    world.register.tick()
    assert alarms(world) == []


def test_withdrawals_that_are_out_of_bounds(world: World) -> None:
    offered = world.candidate(2, ["a.example", "b.example"])
    world.register.take(offered.model_copy(update={"relief_refused": "it withdraws 60 of 100 entries"}))
    said = "the newest withdrawals of list gambling are not applied: it withdraws 60 of 100 entries"
    assert alarms(world) == [said]
    world.take(3, ["a.example"])
    assert alarms(world) == []


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("words", "what other hosts said is heard again"),
        ("appeals", "the clocks of open appeals begin again"),
        ("suspensions", "entries with overdue appeals may be active again"),
        ("overrides", "the overrides that were live stay live"),
    ],
)
def test_a_stored_file_that_is_damaged_until_the_backup_is_put_back(world: World, file: str, said: str) -> None:
    world.register.people.allow("b.example", "subtree", "a hospital's", "root", 3600.0)
    path: Path = getattr(world.config.places, file)
    good = path.read_bytes() if path.exists() else None
    path.write_text("{")
    (alarm,) = [one for one in alarms(begun_again(world)) if one.endswith(said)]
    assert str(path) in alarm
    path.write_bytes(good) if good is not None else path.unlink()
    assert alarms(begun_again(world)) == []


def test_appeals_that_wait_for_a_compiled_list_that_cannot_be_read(world: World) -> None:
    received(world, "A1", make_entry("a.example").reference, "a.example")
    good = world.config.places.current.read_bytes()
    world.config.places.current.write_bytes(b"{")
    world.clock.forward(hours=49)
    world.register.appeals.tick()
    assert any(one.startswith("what is listed cannot be read: ") for one in alarms(world))
    world.config.places.current.write_bytes(good)
    world.register.appeals.tick()
    assert not [one for one in alarms(world) if one.startswith("what is listed")]
    assert world.active("a.example") == []
