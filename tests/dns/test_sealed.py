"""A worker process with a sealed list: a name of it is blocked over UDP; without the key the last good list goes on."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from typing import TYPE_CHECKING

from resolver.config.schema import load
from resolver.lists import compile as compiling
from resolver.policy.description import LiveList
from tests.rigs.dns_host import Host, ask_udp, free_port, question, running, wait_until, written
from tests.rigs.list_documents import BASES, entry, write
from tests.rigs.sealed_lists import NAME_KEY, Provider, write_sealed
from tests.rigs.upstream import honest, upstream

if TYPE_CHECKING:
    from pathlib import Path

A = 1
NAMES = {"planted.example": "subtree", "exact.planted.example": "exact", "deep.example": "below"}


def put(
    folder: Path,
    host: Host,
    provider: Provider,
    names: dict[str, str],
    generation: int,
    *,
    beside: str = "open.example",
) -> None:
    """What the steward would put in `run_dir`: a sealed list of these names, and a readable one of one name."""
    made = [entry(name, number, match) for number, (name, match) in enumerate(names.items())]  # type: ignore[arg-type]
    document = folder / f"{generation}.zst"
    summary = write_sealed(document, made)
    part = provider.part(summary.state)
    source = compiling._sealed(compiling._source(document, "stop-page", "trim", 15, BASES, []), part)
    write(folder / "readable.zst", [entry(beside, 999, "subtree")])
    readable = compiling._source(folder / "readable.zst", "stop-page", "trim", 15, BASES, [])
    lists = LiveList(name="police", action="stop-page", seal=part), LiveList(name="readable", action="stop-page")
    plan = compiling.Plan((source, readable), lists)
    compiling.build(plan, host.run_dir / "next.list", generation=generation, now=0.0)
    (host.run_dir / "next.list").rename(host.run_dir / "current.list")


async def is_blocked(host: Host, name: str) -> bool:
    (answer,) = await ask_udp(host.address, [question(0, name, A)])
    return b"\xc0\x00\x02\x42" in answer  # the stop page's 192.0.2.66


def test_a_worker_blocks_the_names_of_a_sealed_list_and_keeps_the_last_that_opened(tmp_path: Path) -> None:
    port, provider = free_port(), Provider(tmp_path / "keys" / "sealed.pem")
    more = {
        "sealed_key": str(provider.key),
        "lists": [{"name": "police", "repository": "/nowhere", "trusted_root": "x"}],
    }
    host = Host(tmp_path / "host", [f"127.0.0.1:{port}"], more=more)
    stranger = Provider(tmp_path / "keys" / "other.pem")
    blocked = partial(is_blocked, host)

    async def scene() -> None:
        async with upstream(port, honest, honest):
            for name in ("planted.example", "www.planted.example", "a.b.DEEP.example", "exact.planted.example"):
                assert await blocked(name), name
            for name in ("example", "other.example", "deep.example", "plantedx.example"):
                assert not await blocked(name), name
            put(tmp_path, host, stranger, {"new.example": "exact"}, 2)
            refused = await asyncio.to_thread(wait_until, lambda: host.said()[0]["alarms"], "an alarm")
            assert "list police is sealed, and does not open here" in refused[0]
            assert await blocked("planted.example")
            assert not await blocked("new.example")

    with running(host):
        put(tmp_path, host, provider, NAMES, 1)
        wait_until(lambda: host.said()[0].get("generation") == 1, "the list is active")
        asyncio.run(scene())
        for path, data in written(tmp_path / "host"):
            assert NAME_KEY not in data, path
            assert b"planted" not in data, path
    assert load(host.config).sealed_key == provider.key


def test_a_worker_that_begins_without_the_key_goes_without_that_list_alone(
    tmp_path: Path,
) -> None:
    port, provider, held = free_port(), Provider(tmp_path / "keys" / "sealed.pem"), tmp_path / "held.pem"
    lists = [{"name": name, "repository": "/nowhere", "trusted_root": "x"} for name in ("police", "readable")]
    host = Host(tmp_path / "host", [f"127.0.0.1:{port}"], more={"sealed_key": str(held), "lists": lists})

    async def scene() -> None:
        async with upstream(port, honest, honest):
            assert await is_blocked(host, "open.example")
            assert not await is_blocked(host, "planted.example")
            shutil.copy2(provider.key, held)
            put(tmp_path, host, provider, NAMES, 2, beside="other.example")
            await asyncio.to_thread(wait_until, lambda: host.said()[0].get("generation") == 2, "the next is active")
            for name in ("other.example", "planted.example"):
                assert await is_blocked(host, name), name
            assert host.said()[0]["alarms"] == []
            held.unlink()
            put(tmp_path, host, provider, NAMES, 3, beside="third.example")
            await asyncio.to_thread(wait_until, lambda: host.said()[0]["alarms"], "an alarm")
            assert await is_blocked(host, "planted.example"), "what is open goes on"

    with running(host):
        put(tmp_path, host, provider, NAMES, 1)
        wait_until(lambda: host.said()[0].get("generation") == 1, "the readable list is active")
        (alarm,) = host.said()[0]["alarms"]
        assert "list police is sealed, and does not open here" in alarm
        assert alarm.endswith("it stops nothing here, all other lists hold")
        asyncio.run(scene())
