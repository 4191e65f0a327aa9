"""The way back: how often the resolvers that have a zone stopped a query, folded into the provider's own counts.

Enters: what resolvers say of their answers (`told`). Leaves: hits by entry, in files that the steward counts as it does
those of the DNS workers. Rules: a hit is an answer for a name that the zone stops and that was answered as the zone
says; the entry is the verdict's; nothing of an answer is kept but that count, neither who asked nor for what. A block
by `drop` has no answer and is not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

from resolver.ipc.entry_hits import Cells
from resolver.rpz.rules import stops
from resolver.rpz.told import StreamError, dnstap, powerdns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from resolver.base.paths import Places
    from resolver.config.schema_rpz import RpzCount
    from resolver.policy.in_force import InForce
    from resolver.rpz.answer import Secondary
    from resolver.rpz.told import Told
    from resolver.rpz.zone import Zone

HAND_OVER = 10.0
NXDOMAIN = 3

log = logging.getLogger("stopsign.rpz")

Met = tuple[int, int, str]
"""List, row and reference of an entry."""


class Counting:
    """The sockets that resolvers speak to, and what they said since the last hand-over."""

    def __init__(
        self,
        places: Places,
        zones: Mapping[str, tuple[Zone, frozenset[str] | None]],
        secondaries: Sequence[Secondary],
        live: Callable[[], InForce],
    ) -> None:
        self._zones, self._secondaries, self._live = zones, secondaries, live
        self._places = places
        self._hits: dict[int, tuple[InForce, Counter[Met]]] = {}
        self._given: list[Path] = []  # what was handed over last
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, sources: Sequence[RpzCount]) -> None:
        for source in sources:
            if source.dnstap is not None:
                source.dnstap.unlink(missing_ok=True)
                server = await asyncio.start_unix_server(self._taking(source.zone, dnstap), source.dnstap)
                source.dnstap.chmod(0o660)  # the resolver is of the same group
            else:
                assert source.protobuf is not None  # noqa: S101 - the configuration's check
                told = self._taking(source.zone, powerdns)
                server = await asyncio.start_server(told, source.protobuf.host, source.protobuf.port)
            self._servers.append(server)

    async def run(self) -> None:
        """Hands over what was counted, now and then, until cancelled."""
        try:
            while True:
                await asyncio.sleep(HAND_OVER)
                self.hand_over()
        finally:
            for server in self._servers:
                server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            self.hand_over(last=True)

    def count(self, told: Told, zone: Zone, wanted: frozenset[str] | None, now: float) -> None:
        """Counts an answer that is a block of the zone."""
        if not told.by_policy and not _like_a_block(told, zone):
            return
        live = self._live()
        found = stops(live, told.qname, wanted, now)
        if found is not None:
            _, hits = self._hits.setdefault(live.generation or 0, (live, Counter()))
            hits[found.list, found.row, found.reference] += 1

    def hand_over(self, *, last: bool = False) -> None:
        """What was counted becomes files for the steward, once it took those before."""
        if not last and any(path.exists() for path in self._given):
            return
        waiting, self._hits, self._given = self._hits, {}, []
        for generation, (live, hits) in waiting.items():
            try:
                cells = Cells.create(self._places, "rpz", generation=generation, lists=live.names, entries=live.entries)
            except OSError as wrong:  # a full tmpfs: what was counted here is lost, the zones are not
                log.warning("counts cannot be handed over (%s)", wrong.strerror)
                continue
            cells.put(_by_number(live, hits))
            cells.close()
            self._given.append(cells.path)

    def _taking(
        self, origin: str, speaks: Callable[[asyncio.StreamReader, asyncio.StreamWriter], AsyncIterator[Told]]
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        zone, wanted = self._zones[origin]

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - a coroutine runs in one
            self._connections.add(task)
            try:
                if self._is_known(writer.get_extra_info("peername")):
                    async for told in speaks(reader, writer):
                        self.count(told, zone, wanted, time.time())
            except StreamError as wrong:
                log.warning("what a resolver says of its answers cannot be understood: %s", wrong)
            except (OSError, EOFError) as ended:
                log.debug("a resolver went away (%s), and will come back", ended)
            except asyncio.CancelledError:
                log.debug("the process ends")  # asyncio's streams log a task that ends cancelled as an error
            finally:
                self._connections.discard(task)
                with contextlib.suppress(OSError):
                    writer.close()

        return take

    def _is_known(self, peer: object) -> bool:
        """A Unix socket's peer is known by the socket's mode; another must be a secondary."""
        if not isinstance(peer, tuple):
            return True
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
        return any(one.is_at(address) for one in self._secondaries)


def _by_number(live: InForce, hits: Mapping[Met, int]) -> dict[tuple[int, int], int]:
    """By list and number of the entry: entries are numbered in the order of rows."""
    found: dict[tuple[int, int], int] = {}
    compiled = live.compiled
    assert compiled is not None  # noqa: S101 - something of it was met
    for (of, row, reference), count in hits.items():
        number = bisect_left(range(compiled.entries), row, key=lambda number: compiled.entry(number).row)
        while compiled.entry(number).reference != reference or compiled.entry(number).list != of:
            number += 1
        found[of, number] = count
    return found


def _like_a_block(told: Told, zone: Zone) -> bool:
    """No data, no such name, or an address of the stop page: what every block looks like, and few other answers do."""
    if told.empty:
        return told.rcode in (0, NXDOMAIN)
    return any(rdata in told.data for _, rdata, _ in zone.said[ord("s")])
