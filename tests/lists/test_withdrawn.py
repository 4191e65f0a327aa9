"""`explain` of a name that a list has and that is not in force: by whom, since when, why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from resolver.cli.lists import explain
from resolver.lists import withdrawn
from resolver.lists.state import Suspension
from resolver.lists.withdrawn import HERE
from resolver.log.reading import leaves, published_details
from resolver.log.source import Folder
from resolver.policy.explain import Leads
from tests.rigs.lists_world import ISSUER, World, make_entry, received, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BAKERY, CASINO = make_entry("bakery.example"), make_entry("casino.example")
BELOW = make_entry("host.example", match="below")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("resolver.policy.explain.leads_to", lambda *_: Leads())  # there is no upstream to ask
    world = World(tmp_path)
    world.take(1, [BAKERY, CASINO, BELOW])
    yield world
    world.stop()


def relieve(world: World, by: str = "") -> None:
    off = {
        entry.reference: Suspension(since="2026-11-22T00:00:00Z", reason="appeal", by=by) for entry in (BAKERY, BELOW)
    }
    candidate = world.candidate(1, [BAKERY, CASINO, BELOW])
    world.register.take(candidate.model_copy(update={"suspended": off}))


def suspend(world: World) -> None:
    received(world, "A1", CASINO.reference, CASINO.name)
    world.clock.forward(hours=49)
    world.register.tick()


def typed(world: World, *words: str) -> tuple[str, dict[str, Any]]:
    path = world.folder / "stopsign.yaml"
    path.write_text(json.dumps(settings(world.folder)))
    plain, told = (
        CliRunner().invoke(explain, [*words, "--config", str(path), *more], catch_exceptions=False)
        for more in ([], ["--json"])
    )
    return plain.output, json.loads(told.output)


@pytest.mark.parametrize("asked", ["bakery.example", "www.bakery.example", BAKERY.reference])
def test_a_withdrawn_entry_is_named_with_issuer_time_and_reason(world: World, asked: str) -> None:
    relieve(world)
    plain, told = typed(world, asked)
    assert told["verdict"] == "not listed"
    (one,) = told["withdrawn"]
    assert (one["by"], one["since"], one["why"]) == (ISSUER.name, "2026-11-22T00:00:00Z", "appeal")
    assert f"withdrawn by {ISSUER.name} since 2026-11-22T00:00:00Z: appeal" in plain


def test_who_signed_the_withdrawal_is_named_with_the_key(world: World) -> None:
    relieve(world, by="Judge (key 0123456789abcdef)")
    plain, told = typed(world, "bakery.example")
    assert told["withdrawn"][0]["signed_by"] == "Judge (key 0123456789abcdef)"
    assert f"withdrawn by {ISSUER.name}, signed by Judge (key 0123456789abcdef), since 2026-11-22T" in plain


@pytest.mark.parametrize("asked", ["host.example", "www.host.example", BELOW.reference])
def test_an_entry_for_what_is_below_a_name_is_found_by_that_name_too(world: World, asked: str) -> None:
    relieve(world)
    assert [one["name"] for one in typed(world, asked)[1]["withdrawn"]] == ["host.example"]


@pytest.mark.parametrize("asked", ["casino.example", CASINO.reference])
def test_an_entry_that_this_provider_suspended_says_which_appeal_it_waits_for(world: World, asked: str) -> None:
    suspend(world)
    plain, told = typed(world, asked)
    (one,) = told["withdrawn"]
    assert one["by"] == HERE
    assert "an appeal against it was not decided in time" in one["why"]
    assert "suspended by this provider since 2026-11-24T13:00:00Z" in plain


def test_what_is_in_force_is_not_among_them(world: World) -> None:
    relieve(world)
    assert withdrawn.find(world.config, "casino.example", world.clock()) == ()
    assert withdrawn.find(world.config, CASINO.reference, world.clock()) == ()


def test_the_log_names_what_is_suspended_here_and_that_it_is_no_longer(world: World) -> None:
    suspend(world)
    world.register.appeals.decide({"A1": CASINO.reference}, "upheld", "Ms Day")
    source = Folder(world.config.places.log_dir)
    told = [
        one.value for _, leaf, one in leaves(source, published_details(source)) if leaf.type == "suspended-here" and one
    ]
    assert [one["references"] for one in told] == [[CASINO.reference], []]


def test_it_is_found_after_the_record_of_what_is_applied_was_damaged_and_restored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    relieve(world)
    before = withdrawn.find(world.config, BAKERY.name, world.clock())
    off = world.register.applied["gambling"].suspended
    monkeypatch.setattr("resolver.lists.fetch.stored", lambda *_: world.last.model_copy(update={"suspended": off}))
    (world.config.places.list("gambling").applied / "head.json").write_text("{")
    world.restart()
    assert [one.reference for one in before] == [BAKERY.reference]
    assert withdrawn.find(world.config, BAKERY.name, world.clock()) == before
