"""The web process in a thread of the test: real sockets, a list made by hand, a database of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resolver.config.values import Endpoint
from resolver.host.sockets import open_listeners
from resolver.portal.app import Web
from tests.rigs.dns_host import PATIENCE
from tests.rigs.portal_world import NOW, activate, configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from resolver.config.schema import Config


@dataclass(frozen=True)
class Running:
    """Where it listens. `web` belongs to the other thread: read its numbers, call nothing."""

    stop_page: tuple[str, int]
    portal: tuple[str, int]
    web: Web

    def ask(self, where: tuple[str, int], request: bytes, *, and_no_more: bool = False) -> bytes:
        """All that comes back until the server ends the connection; `and_no_more` tells it that this was all."""
        with socket.create_connection(where, timeout=PATIENCE) as connection:
            answer = b""
            try:
                connection.sendall(request)
                if and_no_more:
                    connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(65536):
                    answer += part
            except ConnectionError:  # ended before it had read all that was sent: what came back counts
                pass
            return answer


@contextmanager
def running(
    folder: Path, put: Callable[[Path], object] = activate, clock: Callable[[], float] = lambda: float(NOW), **more: Any
) -> Iterator[Running]:
    """`put` writes the live list; `more` is of the configuration."""
    config = configuration(folder, **more)
    config.places.run_dir.mkdir(parents=True)
    put(config.places.current)
    with served(config, clock) as found:
        yield found


@contextmanager
def served(config: Config, clock: Callable[[], float]) -> Iterator[Running]:
    """What this configuration's web process would serve, in a thread."""
    started, stop = threading.Event(), threading.Event()
    found: list[Running] = []
    failed: list[BaseException] = []

    async def serve() -> None:
        any_port = [Endpoint("127.0.0.1", 0)]
        listeners = open_listeners(stop_page=any_port, portal=any_port)
        web = Web(config, clock=clock)
        await web.start(listeners.stop_page, listeners.portal)
        async with asyncio.timeout(PATIENCE):
            await web.stored.wait()
        (stop_page,), (portal,) = listeners.stop_page, listeners.portal
        found.append(Running(stop_page.getsockname()[:2], portal.getsockname()[:2], web))
        started.set()
        await asyncio.to_thread(stop.wait)
        await web.stop()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread below
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(2 * PATIENCE)
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        stop.set()
        thread.join(PATIENCE)
    if failed:
        raise failed[0]
