"""Each alarm of the zones comes with what it is about, and ends with it (the table: `tests/cli/test_alarms.py`)."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

from resolver.config.schema import load
from resolver.ipc import rpz_status
from resolver.rpz import notify, primary
from resolver.rpz.zone import RpzError
from tests.rigs.list_documents import entry
from tests.rigs.rpz_world import ORIGIN, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def complaints(world: World) -> list[str]:
    return rpz_status.read(load(world.config).places).complaints


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_without_a_list_there_is_no_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primary, "AGAIN", 0.0)
    world = World(tmp_path)

    async def scene() -> None:
        zones = primary.Primary(load(world.config))
        await zones.look(time.time())
        assert complaints(world) == [
            "there is no compiled list yet",
            f"there is no list to make {ORIGIN} of: there is no compiled list yet",
        ]
        world.activate([entry("a.test", 1)])
        await zones.look(time.time())
        assert complaints(world) == []

    asyncio.run(scene())


def test_a_zone_that_cannot_be_made_is_tried_again_also_where_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary, "AGAIN", 0.0)
    world, made = World(tmp_path), 0

    def damaged(*_: object) -> None:
        nonlocal made
        made += 1
        raise RpzError("the disk is full")

    async def scene() -> None:
        zones = primary.Primary(load(world.config))
        world.activate([entry("a.test", 1)])
        with monkeypatch.context() as patch:
            patch.setattr(primary.Kept, "make", damaged)
            await zones.look(time.time() + 365 * 86400)
            await zones.look(time.time())
        await zones.look(time.time())
        assert (made, complaints(world)) == (2, [])

    asyncio.run(scene())


def test_a_secondary_that_does_not_acknowledge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "FIRST", 0.001)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        one = {"name": "one", "addresses": ["127.0.0.1/32"], "key": "secondary.key", "notify": [address]}
        world = World(tmp_path, {"secondaries": [one]})
        world.activate([entry("a.test", 1)])

        async def scene() -> None:
            zones = primary.Primary(load(world.config))
            await zones.look(time.time())
            await until(lambda: bool(zones.alarms))
            (alarm,) = complaints(world)
            serial = rpz_status.read(load(world.config).places).zones[0]["serial"]
            assert alarm == f"one: {address} does not acknowledge serial {serial}"
            zones._has("one", ORIGIN, serial, "IXFR")  # it comes by itself, as the SOA's refresh says
            assert complaints(world) == []

        asyncio.run(scene())


def test_a_command_after_the_zone_file_that_cannot_be_run(tmp_path: Path) -> None:
    command = tmp_path / "reload"
    world = World(tmp_path, {"zones": [{"origin": ORIGIN, "file": str(tmp_path / "zone"), "run": [str(command)]}]})
    world.activate([entry("a.test", 1)])

    async def scene() -> None:
        zones = primary.Primary(load(world.config))
        await zones.look(time.time())
        await until(lambda: bool(zones.alarms))
        (alarm,) = complaints(world)
        assert alarm.startswith(f"the zone file is written, but '{command}' cannot be run (")
        command.write_text("#!/bin/sh\necho no >&2\nexit 3\n")
        command.chmod(0o755)
        world.activate([entry("a.test", 1), entry("b.test", 2)])
        await zones.look(time.time())
        await until(lambda: complaints(world) != [alarm])
        assert complaints(world) == [f"the zone file is written, but '{command}' ended with 3: no"]
        command.write_text("#!/bin/sh\n")
        world.activate([entry("a.test", 1), entry("c.test", 3)])
        await zones.look(time.time())
        await until(lambda: complaints(world) == [])

    asyncio.run(scene())
