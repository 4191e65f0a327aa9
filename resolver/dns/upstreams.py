"""The upstreams, asked over TCP for the clients that came over TCP.

Enters: a query as the core wrote it for the upstream. Leaves: the first answer that `accept` takes, or `NoAnswer` with
the Extended DNS Error that says why. UDP has its own relay in the core; this is the stream's.

Rules:
- Connections are kept and pipelined (RFC 7766, section 6.2.1): at most `connections` an upstream, another one is opened
  only where those there are each `crowded`. Answers may come in any order; each query has an id that is free on its
  connection, and the client's answer is put together again under the core's own id.
- An upstream that closes an idle connection did nothing wrong (section 6.2.4): what was in flight on a *kept*
  connection is asked once more on a fresh one. What fails on a fresh connection is the upstream's failure.
- The order of preference is the configuration's. An upstream that failed is passed over for a time that doubles up to
  `LONGEST_BACK_OFF`, unless every one has failed: then all are tried in order, since a wrong guess costs less than no
  answer.
- One deadline covers all attempts. An answer that `accept` refuses (wrong question, not an answer) counts as a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resolver.config import Endpoint

EDE_NO_REACHABLE_AUTHORITY = 22  # RFC 8914, section 4.23
EDE_NETWORK_ERROR = 23  # section 4.24
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.5, 30.0
LARGEST_MESSAGE = 65_535


class NoAnswer(Exception):  # noqa: N818 - what happened, not a mistake of the program
    """No upstream gave an acceptable answer in time; `ede` says which way it went wrong."""

    def __init__(self, ede: int) -> None:
        super().__init__(f"no upstream answered (EDE {ede})")
        self.ede = ede


class _Broken(Exception):  # noqa: N818
    """A connection ended with this query in flight; `kept` if it had served before."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__("connection ended")
        self.kept = kept


@dataclass(frozen=True)
class Timing:
    """All in seconds: a client's whole patience, one attempt's share of it, and how long a connection is kept idle."""

    patience: float = 4.0
    attempt: float = 1.5
    idle: float = 20.0


class Upstreams:
    """All upstreams in the order of preference."""

    def __init__(
        self,
        addresses: Sequence[Endpoint],
        *,
        timing: Timing | None = None,
        connections: int = 4,
        crowded: int = 32,
        rng: random.Random | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._rng = rng or random.SystemRandom()
        self._connections, self._crowded = connections, crowded
        self.all = [_Upstream(a, self) for a in addresses]

    async def ask(self, query: bytes, accept: Callable[[bytes], bytes | None]) -> bytes:
        """What `accept` made of the first answer it took. Raises `NoAnswer`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timing.patience
        ede = EDE_NO_REACHABLE_AUTHORITY
        for upstream in self._in_order(loop.time()):
            until = min(deadline, loop.time() + self._timing.attempt)
            if until <= loop.time():
                break
            try:
                async with asyncio.timeout_at(until):
                    answer = accept(await upstream.ask(query))
            except (TimeoutError, OSError, _Broken) as failure:
                upstream.failed(loop.time())
                ede = EDE_NO_REACHABLE_AUTHORITY if isinstance(failure, TimeoutError) else EDE_NETWORK_ERROR
                continue
            if answer is not None:
                upstream.succeeded()
                return answer
            upstream.failed(loop.time())
            ede = EDE_NETWORK_ERROR
        raise NoAnswer(ede)

    def close_idle(self) -> None:
        """Closes connections that nobody used for `Timing.idle`; called by the worker's slow timer."""
        now = asyncio.get_running_loop().time()
        for upstream in self.all:
            for connection in [c for c in upstream.connections if not c.waiting and c.used + self._timing.idle < now]:
                connection.close()

    def close(self) -> None:
        for upstream in self.all:
            for connection in list(upstream.connections):
                connection.close()

    def _in_order(self, now: float) -> list[_Upstream]:
        well = [u for u in self.all if u.down_until <= now]
        return well + [u for u in self.all if u.down_until > now]


class _Upstream:
    """One upstream: its connections and its health as streams see it."""

    def __init__(self, address: Endpoint, owner: Upstreams) -> None:
        self.address = address
        self.connections: list[_Connection] = []
        self.down_until = 0.0
        self.failures = 0
        self._owner = owner
        self._opening: asyncio.Task[_Connection] | None = None

    def failed(self, now: float) -> None:
        self.failures += 1
        self.down_until = now + min(FIRST_BACK_OFF * 2 ** min(self.failures - 1, 10), LONGEST_BACK_OFF)

    def succeeded(self) -> None:
        self.failures, self.down_until = 0, 0.0

    async def ask(self, query: bytes) -> bytes:
        try:
            return await (await self._connection(fresh=False)).ask(query)
        except _Broken as broken:
            if not broken.kept:
                raise
        return await (await self._connection(fresh=True)).ask(query)

    async def _connection(self, *, fresh: bool) -> _Connection:
        owner = self._owner
        if not fresh and self.connections:
            best = min(self.connections, key=lambda c: len(c.waiting))
            if len(best.waiting) < owner._crowded or len(self.connections) >= owner._connections:
                return best
        # One connection is being opened at a time: a burst of first queries shares it.
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._opening)

    async def _open(self) -> _Connection:
        async with asyncio.timeout(self._owner._timing.attempt):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self, self._owner._rng), self.address.host, self.address.port
            )
        return connection


class _Connection(asyncio.Protocol):
    """One pipelined connection: queries by the id they carry on it."""

    def __init__(self, upstream: _Upstream, rng: random.Random) -> None:
        self.waiting: dict[int, tuple[bytes, asyncio.Future[bytes]]] = {}
        self.used = asyncio.get_running_loop().time()
        self._upstream, self._rng = upstream, rng
        self._served = False
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    async def ask(self, query: bytes) -> bytes:
        if self._transport is None or self._transport.is_closing():
            raise _Broken(kept=self._served)
        number = self._rng.randrange(1 << 16)
        while number in self.waiting:
            number = self._rng.randrange(1 << 16)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting[number] = (query[:2], future)
        self.used = asyncio.get_running_loop().time()
        self._transport.write(len(query).to_bytes(2) + number.to_bytes(2) + query[2:])
        try:
            return await future
        finally:
            self.waiting.pop(number, None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection makes no other kind
        self._transport = transport
        self._upstream.connections.append(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own signature
        with contextlib.suppress(ValueError):
            self._upstream.connections.remove(self)
        for _, future in self.waiting.values():
            if not future.done():
                future.set_exception(_Broken(kept=self._served))

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        start = 0
        while len(received) - start >= 2:
            size = int.from_bytes(received[start : start + 2])
            if len(received) - start - 2 < size:
                break
            self._answered(bytes(received[start + 2 : start + 2 + size]))
            start += 2 + size
        del received[:start]

    def _answered(self, message: bytes) -> None:
        # An id that nobody waits for is a late answer to a query that gave up: harmless, and not kept.
        original, future = self.waiting.get(int.from_bytes(message[:2]), (b"", None))
        self._served = True
        if future is not None and not future.done():
            future.set_result(original + message[2:])
