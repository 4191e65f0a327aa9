"""A connection to PostgreSQL: to the first of the hosts in the URL that takes writes, and none that is dead for long.

Enters: `postgresql://user@first:5432,second:5432/name?…`. Leaves: a connection of asyncpg, or `OSError` that says of
each host why not. Rules:

- Each host is waited for by itself. A host that is switched off answers nothing, and asyncpg's own `timeout` is for all
  hosts together: it would end before the second is tried.
- `target_session_attrs=read-write` in the URL passes over a replica until it is promoted.
- The kernel ends a connection whose other end is silent (tcp(7): keepalives, `TCP_USER_TIMEOUT`). Without these a query
  to a host that was switched off waits for a quarter of an hour, and a connection that only listens for ever.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import asyncpg

from blocklists.errors import why
from resolver.config.values import database_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 5.0  # seconds until a host is given up
SILENT_MS = 10_000
_OPTIONS = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 5,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 2,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): SILENT_MS,
}
_SETTINGS = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}  # the server's


async def connect(url: str, patience: float = PATIENCE) -> asyncpg.Connection:
    """Raises `OSError`."""
    refusals = []
    for host, one in hosts(url):
        try:
            connection = await asyncpg.connect(one, timeout=patience, server_settings=_SETTINGS)
        except TimeoutError:
            refusals.append(f"{host} does not answer")
        except asyncpg.TargetServerAttributeNotMatched:
            refusals.append(f"{host} is not of the kind that target_session_attrs asks for")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            refusals.append(f"{host}: {why(error)}")
        else:
            wire = connection._transport.get_extra_info("socket")  # asyncpg names it nowhere else
            if wire.family != socket.AF_UNIX:
                for (level, option), value in _OPTIONS.items():
                    wire.setsockopt(level, option, value)
            return connection
    raise ConnectionError("; ".join(refusals))


def hosts(url: str) -> Iterator[tuple[str, str]]:
    """Each host, with the URL of it alone."""
    scheme, user, every, behind = database_parts(url)
    before = f"{scheme}://{user}@" if user else f"{scheme}://"
    for host in every.split(","):
        yield host, f"{before}{host}{behind}"
