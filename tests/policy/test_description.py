"""What a list's description is stored as: earlier files are read, and none is compiled again because of an upgrade."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from resolver.base.stored import load
from resolver.lists.state import Applied, Fetching
from resolver.policy.description import Basis, Generation, Issuer, LiveList
from tests.rigs.lists_world import World

if TYPE_CHECKING:
    from pathlib import Path

BEFORE: dict[str, Any] = {
    "format": 1,
    "generation": 7,
    "compiled": "2026-11-22T12:00:00Z",
    "lists": [
        {
            "name": "gambling", "action": "stop-page", "configured": "stop-page", "stale": False, "reason": "censored",
            "aliases": "trim", "repository": "https://lists.example/", "version": 3, "entries": 2,
            "document": "3-aa.zst", "state": "sha256:aa", "less": None, "since": "2026-11-22T12:00:00Z",
            "issuer": {"name": "A", "contact": "c@a.example", "appeals": "a@a.example"},
            "bases": {"o": {"law": "L", "authority": "A", "order": "1", "date": "2026-01-01", "territory": "DE",
                            "court": "C", "overdue_suspends": False}},
            "relief": 1, "suspended": 1, "suspensions": "d1", "here": 2, "suspensions_here": "d2", "signed_by": ["k"],
            "holders": {"k": "alice"}, "threshold": 2, "unsigned": True, "approved_by": None, "added": 1, "removed": 0,
            "base": "2-bb.zst",
        },
        {
            "name": "empty", "action": "nxdomain", "configured": "nxdomain", "stale": True, "reason": "none",
            "aliases": "relay", "repository": "/srv/empty", "version": 0, "entries": 0, "document": None,
        },
        {
            "name": "gambling+new", "watched": "gambling", "action": "monitor", "configured": "monitor", "stale": False,
            "reason": "none", "version": 4, "entries": 1, "document": "watched-4.zst",
        },
    ],
}  # fmt: skip


def test_the_meta_of_earlier_files_is_read_whole() -> None:
    read = Generation.parse(json.dumps(BEFORE).encode())
    assert read.lists == (
        LiveList(
            name="gambling", action="stop-page", configured="stop-page", reason="censored", aliases="trim",
            repository="https://lists.example/", version=3, entries=2, document="3-aa.zst", state="sha256:aa",
            since="2026-11-22T12:00:00Z", issuer=Issuer(name="A", contact="c@a.example", appeals="a@a.example"),
            bases={"o": Basis(law="L", authority="A", order="1", date="2026-01-01", territory="DE", court="C",
                              overdue_suspends=False)},
            relief=1, suspended=1, suspensions="d1", here=2, suspensions_here="d2", signed_by=("k",),
            holders={"k": "alice"}, threshold=2, unsigned=True, added=1, base="2-bb.zst",
        ),
        LiveList(name="empty", action="nxdomain", configured="nxdomain", stale=True, repository="/srv/empty"),
        LiveList(name="gambling+new", shadow_of="gambling", action="monitor", configured="monitor", version=4,
                 entries=1, document="watched-4.zst"),
    )  # fmt: skip
    assert (read.generation, read.compiled, read.names[0]) == (7, "2026-11-22T12:00:00Z", "gambling")


def test_an_earlier_version_reads_what_this_one_writes() -> None:
    """An upgrade replaces processes one by one."""
    written = json.loads(Generation.parse(json.dumps(BEFORE).encode()).to_bytes())
    for before, now in zip(BEFORE["lists"], written["lists"], strict=True):
        assert {key: now[key] for key, value in before.items() if value is not None} == {
            key: value for key, value in before.items() if value is not None
        }
        assert ("watched" in now) == ("watched" in before)


@pytest.mark.parametrize("meta", [b"", b"[]", b'{"lists": [{"version": "x"}]}', b'{"lists": {}}'])
def test_what_is_no_meta_is_an_error(meta: bytes) -> None:
    with pytest.raises(ValueError):
        Generation.parse(meta)


def test_an_upgrade_compiles_nothing_and_forgets_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.take(1, ["a.example"])
    world.take(2, ["a.example", "com"])
    places = world.config.places.list("gambling")
    state = json.loads(places.state.read_bytes())
    places.state.write_text(json.dumps({**state, "attempted": 12.5}))
    live, leaves = world.config.places.current.stat().st_ino, len(world.leaves())
    world.restart()
    assert world.config.places.current.stat().st_ino == live
    assert world.leaves()[leaves:] == [("start", "")]
    held = world.register.fetching["gambling"].held
    assert held is not None
    assert held.version == 2
    assert load(places.state, Fetching) is not None
    assert load(places.applied / "head.json", Applied) == world.register.applied["gambling"]
