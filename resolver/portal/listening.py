"""PostgreSQL's NOTIFY: a host hears at once that another one said something, and polls where it cannot listen.

Enters: the database's URL. Leaves: `wake` is called after each notification, and each time a connection was made,
since notifications sent while there was none are not repeated. It only wakes: what another host said is read from the
database by `clock` and believed, or not, by the steward (`resolver/lists/everywhere.py`). Rules: PostgreSQL notifies
sessions, so this one has a connection of its own, outside the pool, held open; one that ends is made again after a
pause. SQLite has one host, and nobody to hear.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import asyncpg

from blocklists.errors import why
from resolver.portal.postgres import connect

if TYPE_CHECKING:
    from collections.abc import Callable

CHANNEL = "stopsign_shared"
AGAIN = 2.0  # seconds until the next try to connect

log = logging.getLogger("stopsign.portal")


async def listen(url: str, wake: Callable[[], None], again: float = AGAIN) -> None:
    """Until it is cancelled. `url`: `postgresql://…`; of another database there is nothing to hear."""
    if not url.startswith("postgresql://"):
        return
    while True:
        try:
            connection = await connect(url)
        except OSError as error:
            log.info("other hosts are asked every few seconds, not heard at once: %s", why(error))
            await asyncio.sleep(again)
            continue
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _, ended=ended: ended.set())
        try:
            await connection.add_listener(CHANNEL, lambda *_: wake())
            wake()
            await ended.wait()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await asyncio.sleep(again)
        finally:
            connection.terminate()
