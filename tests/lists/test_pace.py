"""A clock that jumps ahead: what cannot be undone waits until it is back, or has stayed so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resolver.lists.pace import Pace
from resolver.lists.register import Register
from resolver.policy import exceptions
from resolver.policy.exceptions import Bypass
from tests.rigs.lists_world import Clock, World, make_entry, received

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFERENCE = make_entry("a.example").reference


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A provider with an open appeal and a bypass, a minute before its steward's next tick."""
    world = World(tmp_path, lists={"gambling": {"stale_after": "90d"}})
    world.take(1, ["a.example", "b.example"])
    pace = Pace(world.clock, world.uptime)
    world.register = Register(world.config, world.ledger, world.clock, world.uptime, pace.look)
    world.register.open()
    received(world, "A1", REFERENCE, "a.example")
    until = int(world.clock()) + 3600
    bypass = Bypass("name", "b.example", int(world.clock()), until, "alice", "a slip")
    exceptions.change(world.config.places, lambda live: live.on(bypass))
    tick(world, 60)
    yield world
    world.stop()


def tick(world: World, seconds: float, jump: float = 0.0) -> None:
    """Time goes by; beyond it the clock is set."""
    world.clock.now += seconds + jump
    world.uptime.now += seconds
    world.register.tick()


def settled(world: World) -> tuple[int, int]:
    """Entries that are suspended for good, and bypasses that are over."""
    live = exceptions.read(world.config.places.exceptions)
    return len(world.register.appeals.suspended.entries), 1 - len(live.bypasses)


DAYS = 20 * 86400.0


def test_a_clock_that_is_ahead_for_a_moment_makes_nothing_due(world: World) -> None:
    tick(world, 5, DAYS)
    tick(world, 5)
    assert settled(world) == (0, 0)
    (alarm,) = (one for one in world.register.status()["alarms"] if one.startswith("the clock went ahead by "))
    assert alarm.startswith("the clock went ahead by 28,800 minutes to 2026-12-12T12:01:05Z: ")
    tick(world, 5, -DAYS)
    tick(world, 600)
    assert settled(world) == (0, 0)
    assert not any("went ahead" in alarm for alarm in world.register.status()["alarms"])


def test_a_clock_that_stays_ahead_is_believed_after_some_minutes(world: World) -> None:
    tick(world, 5, DAYS)
    tick(world, 200)
    assert settled(world) == (0, 0)
    tick(world, 200)
    assert settled(world) == (1, 1)
    assert not any("went ahead" in alarm for alarm in world.register.status()["alarms"])


@pytest.mark.parametrize("jump", [200.0, -DAYS])
def test_a_clock_that_is_set_a_little_or_back_is_believed_at_once(jump: float) -> None:
    clock, uptime = Clock(), Clock(1000.0)
    pace = Pace(clock, uptime)
    for _ in range(3):
        clock.now += jump
        assert pace.look() is None


def test_a_clock_that_comes_back_from_the_past_is_believed_at_once_and_one_that_stayed_there_is_not() -> None:
    clock, uptime = Clock(), Clock(1000.0)
    pace = Pace(clock, uptime)
    clock.now -= DAYS
    assert pace.look() is None
    clock.now += DAYS
    assert pace.look() is None
    clock.now -= DAYS
    assert pace.look() is None
    uptime.now += 400
    clock.now += 400
    assert pace.look() is None
    clock.now += DAYS
    assert pace.look() is not None
