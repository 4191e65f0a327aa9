"""Any process may die at any moment under load: what is answered is right, and everything comes back by itself."""

from __future__ import annotations

import asyncio
import os
import random
import signal

from tests.rigs.dns_host import PATIENCE, wait_until
from tests.rigs.load import EXPECTED, Load, until
from tests.rigs.provider import Provider, provider

__all__ = ["provider"]  # the fixture
KILLS = 8


def test_processes_are_killed_at_random_and_no_answer_is_wrong(provider: tuple[Provider, str]) -> None:
    host, _ = provider
    names = set(host.children())
    rng = random.Random(20261125)
    load = Load(host.address, EXPECTED, rate=800, patience=8.0)

    async def scene() -> None:
        ended = asyncio.Event()

        async def act() -> None:
            for _ in range(KILLS):
                await asyncio.sleep(rng.uniform(0.05, 0.7))
                running = host.children()
                if running:
                    os.kill(running[rng.choice(sorted(running))], rng.choice([signal.SIGKILL, signal.SIGSEGV]))
            await until(lambda: set(host.children()) == names, "those that serve are back", PATIENCE)
            ended.set()

        await asyncio.gather(load.run(ended.is_set), act())

    asyncio.run(scene())
    assert not load.wrong, load.wrong[:5]
    # Of each worker that died: two batches of 64 in its hands, and what it had relayed.
    assert len(load.lost) <= KILLS * 256, f"{len(load.lost)} of {load.sent}"
    wait_until(lambda: set(host.children()) == names, "every process is back")
    wait_until(lambda: len(host.said()) == 2 and not any(one["alarms"] for one in host.said()), "all is well")
    assert host.stop() == 0
