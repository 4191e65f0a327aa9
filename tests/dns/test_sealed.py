"""A worker process with a sealed list: a name of it is blocked over UDP; without the key the last good list goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resolver.config.schema import load
from resolver.lists import compile as compiling
from resolver.policy.description import LiveList
from tests.rigs.dns_host import Host, ask_udp, free_port, question, running, wait_until
from tests.rigs.list_documents import BASES, entry
from tests.rigs.sealed_lists import NAME_KEY, Provider, write_sealed
from tests.rigs.upstream import honest, upstream

if TYPE_CHECKING:
    from pathlib import Path

A = 1
NAMES = {"planted.example": "subtree", "exact.planted.example": "exact", "deep.example": "below"}


def put(folder: Path, host: Host, provider: Provider, names: dict[str, str], generation: int) -> None:
    """What the steward would put in `run_dir`: a sealed list of these names."""
    made = [entry(name, number, match) for number, (name, match) in enumerate(names.items())]  # type: ignore[arg-type]
    document = folder / f"{generation}.zst"
    summary = write_sealed(document, made)
    part = provider.part(summary.state)
    source = compiling._sealed(compiling._source(document, "stop-page", "trim", 15, BASES, []), part)
    plan = compiling.Plan((source,), (LiveList(name="police", action="stop-page", seal=part),))
    compiling.build(plan, host.run_dir / "next.list", generation=generation, now=0.0)
    (host.run_dir / "next.list").rename(host.run_dir / "current.list")


def test_a_worker_blocks_the_names_of_a_sealed_list_and_keeps_the_last_that_opened(tmp_path: Path) -> None:
    port, provider = free_port(), Provider(tmp_path / "keys" / "sealed.pem")
    more = {
        "sealed_key": str(provider.key),
        "lists": [{"name": "police", "repository": "/nowhere", "trusted_root": "x"}],
    }
    host = Host(tmp_path / "host", [f"127.0.0.1:{port}"], more=more)
    stranger = Provider(tmp_path / "keys" / "other.pem")

    async def blocked(name: str) -> bool:
        (answer,) = await ask_udp(host.address, [question(0, name, A)])
        return b"\xc0\x00\x02\x42" in answer  # the stop page's 192.0.2.66

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
        for path in (tmp_path / "host").rglob("*"):
            if path.is_file():
                assert NAME_KEY not in path.read_bytes(), path
                assert b"planted" not in path.read_bytes(), path
    assert load(host.config).sealed_key == provider.key
