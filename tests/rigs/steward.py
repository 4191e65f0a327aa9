"""A steward in a thread of the test's process."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from resolver.config.schema import accept
from resolver.lists.steward import Steward
from tests.rigs.dns_host import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def serving(config: Path, clock: Callable[[], float] = time.time) -> Iterator[None]:
    """From when it answers at its socket until the end."""
    stops: list[Any] = []
    ready = threading.Event()

    async def serve() -> None:
        stop = asyncio.Event()
        stops.extend((asyncio.get_running_loop(), stop))
        steward = Steward(accept(config), clock=clock, uptime=time.monotonic if clock is time.time else clock)
        task = asyncio.create_task(steward.run(stop))
        await asyncio.wait({task, asyncio.create_task(steward.serving.wait())}, return_when="FIRST_COMPLETED")
        ready.set()
        await task

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        stops[0].call_soon_threadsafe(stops[1].set)
        thread.join(PATIENCE)
