"""A witness that answers over HTTP, on a free port of loopback."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resolver.cli.witness_server import serve
from resolver.log.witness_store import Memory
from tests.rigs.log_world import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from resolver.log.note import Signer, Verifier


@contextmanager
def witness(state: Path, logs: Sequence[Verifier], *keys: Signer, told: list[str] | None = None) -> Iterator[str]:
    """A witness on a free port of loopback, in a thread of its own."""
    ports: list[int] = []
    up = threading.Event()
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def ready(port: int) -> None:
        ports.append(port)
        up.set()

    async def live() -> None:
        stop = asyncio.Event()
        ends.append((asyncio.get_running_loop(), stop))
        memory = Memory(state, logs, keys, lambda: NOON)
        said = told if told is not None else []
        await serve(memory, "127.0.0.1", 0, stop, ready=ready, tell=said.append)

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    try:
        assert up.wait(60)
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop, stop = ends[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()
