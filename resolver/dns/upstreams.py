"""The upstreams, asked over TCP for the clients that came over TCP.

Enters: a query as the core wrote it for the upstream. Leaves: the first answer that `accept` takes, or `NoAnswer` with
the Extended DNS Error that says why. UDP has its own relay in the core; this is the stream's.

Rules:
- Connections are kept and pipelined (RFC 7766, section 6.2.1): at most `connections` an upstream, another one is opened
  only where those there are each `crowded`. Answers may come in any order; each query has an id that is free on its
  connection, and the client's answer is put together again under the core's own id.
- An upstream that closes an idle connection did nothing wrong (section 6.2.4): what was in flight on a *kept*
  connection is asked once more on a fresh one. What fails on a fresh connection is the upstream's failure.
- Which upstream is asked first is the core's choice, which knows their health from UDP too; what a connection showed is
  told to it (`told`).
- An upstream that is told who asks gets a PROXY header at the beginning of a connection, which then is this client's
  alone and ends with its last answer.
- One deadline covers all attempts. An answer that `accept` refuses (wrong question, not an answer) counts as a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from resolver.config.values import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EDE_NO_REACHABLE_AUTHORITY = 22  # RFC 8914, section 4.23
EDE_NETWORK_ERROR = 23  # section 4.24
LARGEST_MESSAGE = 65_535


class Question(Protocol):
    """What is asked of `_core.Forward`."""

    @property
    def query(self) -> bytes: ...
    @property
    def upstreams(self) -> Sequence[str]: ...
    @property
    def told(self) -> Sequence[str]: ...
    @property
    def header(self) -> bytes: ...


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
    """The connections to all upstreams. `told(address, well)` hears what each attempt showed."""

    def __init__(
        self,
        told: Callable[[str, bool], None],
        *,
        timing: Timing | None = None,
        connections: int = 4,
        crowded: int = 32,
        rng: random.Random | None = None,
    ) -> None:
        self.timing = timing or Timing()
        self.connections, self.crowded = connections, crowded
        self.rng = rng or random.SystemRandom()
        self._told = told
        self._known: dict[tuple[str, bytes], _Upstream] = {}

    async def ask(self, question: Question, accept: Callable[[bytes], bytes | None]) -> bytes:
        """What `accept` made of the first answer it took, of the upstreams in their order. Raises `NoAnswer`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timing.patience
        ede = EDE_NO_REACHABLE_AUTHORITY
        told = question.told
        for address in question.upstreams:
            until = min(deadline, loop.time() + self.timing.attempt)
            if until <= loop.time():
                break
            header = question.header if address in told else b""
            upstream = self._known.setdefault((address, header), _Upstream(Endpoint.parse(address), self, header))
            try:
                async with asyncio.timeout_at(until):
                    answer = accept(await upstream.ask(question.query))
            except (TimeoutError, OSError, _Broken) as failure:
                answer = None
                silent = isinstance(failure, TimeoutError)
                ede = EDE_NO_REACHABLE_AUTHORITY if silent else EDE_NETWORK_ERROR
            else:
                ede = EDE_NETWORK_ERROR
            self._told(address, answer is not None)
            if answer is not None:
                return answer
        raise NoAnswer(ede)

    def close_idle(self) -> None:
        """Closes connections that nobody used for `Timing.idle`; called by the worker's slow timer."""
        now = asyncio.get_running_loop().time()
        for upstream in self._known.values():
            for connection in [c for c in upstream.connections if not c.waiting and c.used + self.timing.idle < now]:
                connection.close()
        for key in [key for key, upstream in self._known.items() if key[1] and upstream.is_left]:
            del self._known[key]

    def close(self) -> None:
        """For good: also a connection that is being opened now ends as soon as it is there."""
        for upstream in self._known.values():
            upstream.close()


class _Upstream:
    """One upstream's connections."""

    def __init__(self, address: Endpoint, owner: Upstreams, header: bytes) -> None:
        self.connections: list[_Connection] = []
        self.header = header
        self._address, self._owner = address, owner
        self._opening: asyncio.Task[_Connection] | None = None
        self.closed = False

    def close(self) -> None:
        self.closed = True
        if self._opening is not None:
            self._opening.cancel()
        for connection in list(self.connections):
            connection.close()

    async def ask(self, query: bytes) -> bytes:
        try:
            return await (await self._connection(fresh=False)).ask(query)
        except _Broken as broken:
            if not broken.kept:
                raise
        return await (await self._connection(fresh=True)).ask(query)

    @property
    def is_left(self) -> bool:
        """Nobody asks it any more."""
        return not self.connections and (self._opening is None or self._opening.done())

    async def _connection(self, *, fresh: bool) -> _Connection:
        owner = self._owner
        if not fresh and self.connections:
            best = min(self.connections, key=lambda c: len(c.waiting))
            if len(best.waiting) < owner.crowded or len(self.connections) >= owner.connections:
                return best
        # One connection is being opened at a time: a burst of first queries shares it.
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._opening)

    async def _open(self) -> _Connection:
        async with asyncio.timeout(self._owner.timing.attempt):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self, self._owner.rng), self._address.host, self._address.port
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
            if self._upstream.header and not self.waiting:
                self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._upstream.closed:
            self._transport.abort()
            return
        if self._upstream.header:
            self._transport.write(self._upstream.header)
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
