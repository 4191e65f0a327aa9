"""The web process ends at every moment at which somebody ends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resolver.config.schema import Config
from resolver.portal.app import Web
from tests.rigs.dns_host import PATIENCE
from tests.rigs.lists_world import settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("turns", range(8))
def test_a_round_that_is_due_when_the_process_ends_keeps_it_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """Python 3.11's `asyncio.wait_for` forgets a cancellation that comes together with what it waits for."""

    async def nothing(*_: object) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("resolver.portal.app.Store.open", nothing)
    monkeypatch.setattr(Web, "_round", nothing)

    async def scene() -> None:
        process = Web(Config.model_validate(settings(tmp_path), context={"folder": tmp_path}))
        keeping = asyncio.create_task(process._keep_time())
        for _ in range(20):
            await asyncio.sleep(0)
        process._wake.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        keeping.cancel()
        done, _ = await asyncio.wait([keeping], timeout=PATIENCE)
        assert done == {keeping}

    asyncio.run(scene())
