"""Additions watched against live queries before they act."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resolver._core import COUNTERS, CompiledList
from tests.lists.world import World, make_entry

if TYPE_CHECKING:
    from pathlib import Path


class Traffic:
    """What workers would have counted."""

    def __init__(self, world: World) -> None:
        self._world, self.hits, self.queries = world, dict[str, int](), 0

    def flow(self, queries: int, **hits: int) -> None:
        """So many more queries, so many of them for these names (`popular` is popular.example)."""
        places = self._world.config.places
        self.queries += queries
        for name, count in hits.items():
            reference = make_entry(f"{name}.example").reference
            self.hits[reference] = self.hits.get(reference, 0) + count
        places.workers.mkdir(parents=True, exist_ok=True)
        words = [self.queries if name == "queries_udp4" else 0 for name in COUNTERS]
        places.counters(0).write_bytes(b"".join(word.to_bytes(8, "little") for word in words))
        (places.run_dir / "hits.json").write_text(json.dumps({"day": "2026-11-22", "entries": self.hits}))


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


def test_an_addition_that_hardly_anybody_asks_for_acts_after_its_watch(world: World) -> None:
    traffic = Traffic(world)
    traffic.flow(1_000_000, new=900_000)  # before the watch: somebody else's story
    world.take(2, ["a.example", "new.example"])
    traffic.flow(100_000, new=1_000)
    world.register.tick()
    assert action(world, "new.example") == "monitor"
    pass_time(world)
    assert action(world, "new.example") == "stop-page"
    assert world.leaves()[-1][0] in ("list-activated", "heartbeat")
    assert world.register.fetching["gambling"].held is None


def test_an_addition_that_would_stop_too_much_waits_for_a_person(world: World) -> None:
    traffic = Traffic(world)
    world.take(2, ["a.example", "new.example", "popular.example"])
    traffic.flow(100_000, new=1_000, popular=1_001)
    pass_time(world)
    held = world.register.fetching["gambling"].held
    assert held is not None
    assert [reason.text for reason in held.reasons] == ["popular.example would stop 1.0% of all queries"]
    assert [action(world, f"{name}.example") for name in ("a", "new", "popular")] == ["stop-page", None, None]
    world.restart()
    world.take(2, ["a.example", "new.example", "popular.example"])
    assert world.register.fetching["gambling"].held == held


def test_a_person_may_end_the_watch(world: World) -> None:
    offered = world.candidate(2, ["a.example", "new.example"])
    world.register.take(offered)
    world.register.approve("gambling", 2, offered.state, "root")
    assert action(world, "new.example") == "stop-page"


def test_a_renewed_entry_is_no_addition_and_is_not_watched(world: World) -> None:
    renewed = make_entry("a.example", expires="2028-11-01T00:00:00Z")
    assert world.take(2, [renewed, "b.example"]).kind == "active"
    world.take(3, [make_entry("a.example", expires="2029-11-01T00:00:00Z"), "b.example", "new.example"])
    watched = [m.list for m in CompiledList.open(world.config.places.current).look_up("a.example")]
    assert watched == [0]


def test_a_steward_that_starts_anew_watches_anew(world: World) -> None:
    traffic = Traffic(world)
    offered = world.candidate(2, ["a.example", "popular.example"])
    world.register.take(offered)
    world.clock.forward(minutes=50)
    world.restart()
    traffic.flow(10_000, popular=5_000)
    world.clock.forward(minutes=30)
    world.register.take(offered)
    world.register.tick()
    assert action(world, "popular.example") == "monitor"
    pass_time(world)
    assert action(world, "popular.example") is None


def test_hardly_any_queries_prove_nothing_and_counts_that_began_anew_do_not_confuse(world: World) -> None:
    traffic = Traffic(world)
    traffic.flow(50_000, popular=100)
    world.take(2, ["a.example", "popular.example"])
    traffic.hits, traffic.queries = {}, 0
    traffic.flow(500, popular=400)
    pass_time(world)
    assert action(world, "popular.example") == "stop-page"
