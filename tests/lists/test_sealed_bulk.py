"""Who may call the steward cannot read a sealed list out: every operation of its socket, tried with a dictionary."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from resolver.base.errors import ResolverError
from resolver.base.hourly import LIMIT
from resolver.ipc.control import Peer
from resolver.lists.operations import operations
from tests.rigs.lists_world import World, make_entry
from tests.rigs.sealed_lists import Provider

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LISTED = [f"planted-{number}.example" for number in range(100)]
FREE = [f"harmless-{number}.example" for number in range(100)]
BOUNDED = {"explain", "override", "sealed-reference"}
ANNA = Peer(1, 0, 0)


class Nothing:
    """No other operations than those of the register."""

    def operations(self) -> dict[str, Any]:
        return {}

    def status(self) -> dict[str, Any]:
        return {}


@dataclass
class Called:
    """The steward without its process: all is done at once."""

    world: World

    def __post_init__(self) -> None:
        self.config, self.register = self.world.config, self.world.register
        self.held: Any = Nothing()

    async def work(self, what: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return what(*args, **kwargs)

    async def refresh_all(self, names: Any) -> list[Any]:
        return []


@pytest.fixture
def world(tmp_path: Path) -> World:
    provider = Provider(tmp_path / "credentials" / "sealed.pem")
    world = World(tmp_path, lists={"sealed": {}, "gambling": {}}, more={"sealed_key": str(provider.key)})
    world.register.take(provider.candidate(world, 1, LISTED))
    world.take(1, ["casino.example"])
    return world


def said(world: World, op: str, name: str) -> str:
    """The answer, or the refusal, without the name that was said."""
    reference = make_entry("nobody.example").reference
    request = {
        "name": name, "client": "", "owners": [name], "beside": [name], "reason": f"about {name}", "seconds": 60.0,
        "lists": [name], "list": name, "version": 1, "state": name, "known": {name: 1}, "proof": name, "notes": [name],
        "kind": "name", "of": name, "on": True, "outcome": "mended", "appeals": {"A-1": reference},
        "names": {reference: name}, "references": [name], "leaf": 1_000_000, "mistakes": 1, "text": name,
        "reports": [{"what": "received", "appeal": "A-1", "reference": reference, "name": name, "ground": "mistake"}],
    }  # fmt: skip
    if op in {"appeal-fates", "drop-appeals"}:
        request["appeals"] = [name]

    async def call() -> str:
        answer = await operations(Called(world))[op].handle(ANNA, request)
        return json.dumps(answer, sort_keys=True)

    try:
        answer = asyncio.run(call())
    except ResolverError as refusal:
        answer = f"{refusal} ({refusal.hint})"
    return answer.replace(name, "NAME")


def test_no_operation_tells_a_listed_name_from_another_but_those_that_are_bounded(world: World) -> None:
    there = operations(Called(world))
    assert set(there) > BOUNDED
    assert len(there) > 15
    for op, *names in zip(there, LISTED, FREE, strict=False):
        answers = [said(world, op, name) for name in names]
        assert (answers[0] == answers[1]) is (op not in BOUNDED), (op, answers)


@pytest.mark.parametrize("op", sorted(BOUNDED))
def test_what_tells_them_apart_does_so_for_sixty_names_an_hour(world: World, op: str) -> None:
    told = [said(world, op, name) for pair in zip(LISTED, FREE, strict=True) for name in pair]
    refused = [answer for answer in told if "within the hour" in answer]
    assert len(told) - len(refused) == LIMIT
    assert len(set(refused)) == 1, "listed or not, one refusal"
