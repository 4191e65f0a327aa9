"""What people see of a sealed list: what kind of order stands there, and never the list, nor a name of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from resolver import _core
from resolver.base.hourly import HOUR, LIMIT
from resolver.lists import compile as compiling
from resolver.policy.description import Basis, Generation, Issuer, LiveList
from resolver.policy.in_force import InForce
from resolver.portal.live import Snapshot
from resolver.portal.plain_http import Head
from resolver.portal.web import Ask
from tests.rigs.list_documents import entry, numbered
from tests.rigs.portal_world import World
from tests.rigs.sealed_lists import NAME_KEY, Provider, write_sealed

if TYPE_CHECKING:
    from pathlib import Path

NAME, REFERENCE = "planted.example", numbered(1)
HELP = ("inhope.org", "troubled-desire.com", "116 111")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A provider with one sealed list, open here."""
    made = entry(NAME, 1, category="child-abuse", expires="2028-11-22T00:00:00Z")
    summary = write_sealed(tmp_path / "0.zst", [made])
    part = Provider(tmp_path / "credentials" / "key.pem").part(summary.state)
    source = compiling._sealed(compiling._source(tmp_path / "0.zst", "stop-page", "trim", 15, [], []), part)
    about = LiveList(
        name="police-list", version=1, action="stop-page", reason="censored", seal=part, threshold=2,
        issuer=Issuer(name="Federal Police", contact="desk@police.example"),
        bases={"order-17": Basis(law="Code, section 9", authority="Federal Court", order="17/2026")},
    )  # fmt: skip
    compiling.build(compiling.Plan((source,), (about,)), tmp_path / "list", generation=1, now=0.0)
    compiled = _core.CompiledList.open(tmp_path / "list")
    compiled.unseal(0, bytearray(NAME_KEY))
    world = World(tmp_path)
    world.live.snapshot = Snapshot(InForce(compiled, Generation.parse(compiled.meta)))
    return world


def asked(world: World, path: str, accept: str = "", **query: str) -> tuple[int, str]:
    answer = asyncio.run(world.portal.answer(Ask("GET", path, query, accept=accept)))
    return answer.status, answer.body.decode()


@pytest.mark.parametrize("accept", ["", "application/json"])
def test_the_stop_page_says_what_order_stands_there_and_not_the_list(world: World, accept: str) -> None:
    reply = world.stop_page.reply(Head(b"GET", b"/", f"www.{NAME}".encode(), accept, ""))
    body = reply.body.decode()
    assert b" 451 " in reply.head[:20]
    for said in ("Code, section 9", "Federal Court", REFERENCE, "Federal Police"):
        assert said in body
    for hidden in (NAME, "planted", "police-list", "every name below"):
        assert hidden not in body


def test_the_stop_page_says_where_to_report_and_where_help_is(world: World) -> None:
    body = world.stop_page.reply(Head(b"GET", b"/", NAME.encode(), "", "")).body.decode()
    assert all(line in body for line in HELP)
    assert "Help for all" in body, "the provider's own line for every category stays"
    assert f"/appeal?reference={REFERENCE}" in body


def test_who_cannot_ask_the_resolver_cannot_test_names_in_bulk_on_the_stop_page(world: World) -> None:
    def status(name: str, client: str) -> bytes:
        return world.stop_page.reply(Head(b"GET", b"/", name.encode(), "", ""), client).head.split()[1]

    for number in range(2 * LIMIT):
        assert status(f"n{number}.example", "203.0.113.7") == b"421"
    assert [status(NAME, f"203.0.113.{number}") for number in range(LIMIT)] == [b"451"] * LIMIT
    for name in (NAME, f"www.{NAME}", "other.example"):
        assert status(name, "203.0.113.7") == status(name, "2001:db8::1") == status(name, "") == b"503"
        assert (status(name, "127.0.0.1") == b"451") is (NAME in name), "who may ask is told"
    assert status("no name", "203.0.113.7") == b"421"
    world.clock.now += HOUR
    assert status(NAME, "203.0.113.7") == b"451"


def test_lines_that_the_provider_names_for_the_category_come_in_their_place(world: World) -> None:
    face = world.pages.face
    assert [line.name for line in face.help_for("child-abuse", sealed=True)][:3] == [
        "INHOPE",
        "Troubled Desire",
        "116 111",
    ]
    assert [line.name for line in face.help_for("child-abuse")] == ["Help for all"]
    assert [line.name for line in face.help_for("gambling", sealed=True)] == ["Gambling helpline", "Help for all"]


def test_a_name_is_not_looked_up_in_a_sealed_list_and_the_page_does_not_say_that_it_passes(world: World) -> None:
    for name in (NAME, "other.example"):
        status, body = asked(world, "/", name=name)
        assert status == 200
        assert "is blocked by no list that can be read" in body.replace("\n", " ")
        assert "is not blocked here" not in body
        assert REFERENCE not in body
        told = json.loads(asked(world, "/", "application/json", name=name)[1])
        assert (told["blocked"], told["entries"]) == (None, [])


def test_a_reference_is_answered_without_the_name(world: World) -> None:
    status, body = asked(world, "/", name=REFERENCE)
    assert status == 200
    assert "Federal Police" in body
    told = json.loads(asked(world, "/", "application/json", name=REFERENCE)[1])
    assert told["blocked"] is True
    assert (told["entries"][0]["name"], told["entries"][0]["list"]) == (None, None)
    assert NAME not in body
    assert "police-list" not in body
