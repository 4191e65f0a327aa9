"""The report and the probe where a sealed list is active."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from resolver._core import CompiledList
from resolver.ipc.entry_hits import Cells
from resolver.log.source import Folder
from resolver.policy.description import Generation
from resolver.stats.documents import find_documents, in_force
from resolver.stats.probe import probe
from resolver.stats.report import report
from resolver.stats.report_forms import as_html
from tests.rigs.counted import Ticked
from tests.rigs.lists_world import World, make_entry
from tests.rigs.sealed_lists import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resolver.base.dns_question import Answer

NAMES = {"planted-1.example": "abuse", "planted-2.example": "abuse", "planted-3.example": "fraud"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A readable list beside a sealed one."""
    provider = Provider(tmp_path / "credentials" / "sealed.pem")
    world = World(tmp_path, lists={"sealed": {}, "gambling": {}}, more={"sealed_key": str(provider.key)})
    entries = [make_entry(name, category=category) for name, category in NAMES.items()]
    world.register.take(provider.candidate(world, 1, entries))
    world.take(1, ["casino.example"])
    yield world
    world.stop()


def test_entries_of_a_sealed_list_are_told_by_category(world: World) -> None:
    now, log = datetime.fromtimestamp(world.clock(), UTC).date(), world.ledger._opened()
    lists = in_force(world.config.places.state_dir / "lists")
    told = report(Folder(world.config.places.log_dir), log.details.bundle, now, now, lists)
    assert told["entries"]["by_category"] == {"abuse": 2, "fraud": 1, "gambling": 1}
    assert told["lists"]["sealed"]["entries"] == 3


def test_blocks_of_a_sealed_list_are_told_by_category_in_bands_and_of_no_entry(world: World) -> None:
    places = world.config.places
    references = {make_entry(name).reference: 12 for name in NAMES}
    counting = Ticked(places, world.ledger.append, lambda: ["sealed"])
    met(world, references)
    assert counting.tick(world.clock(), dict) is None
    world.clock.forward(days=40)
    assert counting.tick(world.clock(), lambda: {"sealed": 30}) is None
    counting.close(world.clock(), dict)
    start, end = datetime(2026, 11, 1, tzinfo=UTC).date(), datetime(2026, 11, 30, tzinfo=UTC).date()
    log = world.ledger._opened()
    told = report(Folder(places.log_dir), log.details.bundle, start, end)
    assert told["bands"]["2026-11"]["sealed"] == {
        "entries": 30, "met": 3, "never": 27, "bands": {"under 10": 0, "10-99": 3},
        "by_category": {"abuse": {"10-99": 2}, "fraud": {"10-99": 1}},
    }  # fmt: skip
    assert not [one for one in references if one in str(told)]
    assert "abuse" in as_html(told)


def met(world: World, references: dict[str, int]) -> None:
    """What a worker counted of these entries."""
    places, compiled = world.config.places, CompiledList.open(world.config.places.current)
    meta, size = Generation.parse(compiled.meta), compiled.entries
    cells = Cells.create(places, 0, generation=meta.generation, lists=meta.names, entries=size)
    of = {one.reference: (one.list, number) for number in range(size) for one in [compiled.entry(number)]}
    cells.put({of[reference]: count for reference, count in references.items()})
    cells.close()


def test_a_probe_asks_nothing_of_a_sealed_list_and_says_so(world: World) -> None:
    places = world.config.places
    log = world.ledger._opened()
    asked: list[str] = []

    def asking(name: str, *, tcp: bool) -> Answer | None:
        asked.append(name)
        return None

    outcome = probe(
        Folder(places.log_dir), log.details.bundle, find_documents(places.state_dir / "lists"), asking,
        sample=10, seed=1, now=world.clock(),
    )  # fmt: skip
    assert {name.partition(".")[2] or name for name in asked} <= {"example", "casino.example"}
    assert outcome.remarks == ["list sealed is sealed: its names are not known here, so it was not asked"]
