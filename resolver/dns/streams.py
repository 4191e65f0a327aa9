"""DNS over TCP (RFC 7766): the same decision as for a datagram, on connections.

Enters: connections of clients. Leaves: answers, each when it is ready and in whatever order (section 6.2.1.1), after
two octets of length (RFC 1035, section 4.2.2). What is decided for a message is the core's (`plane.decide`): an answer
now, an answer later, or none, and then the connection ends. The core knows a connection by its number, and its relay
treats what came on it as what came by datagram: joining, caps, time, stale answers.

What a client can cost is bounded on each side:
- connections: `total` a worker and `per_client` an address; at the total the connection that has been idle longest
  gives way, and where none is idle the new one is closed;
- time: a connection that completes no query for `idle` seconds ends, and a message that comes octet by octet does not
  prolong it; one that does not read its answers for `stalled` seconds is cut off;
- memory: while answers cannot be written, or `in_flight` queries of a connection wait for answers, it is not read;
  what waits to be written never exceeds `unwritten` octets;
- a connection from a balancer (`balancers`) begins with a PROXY header, before which nothing is decided; from then on
  its client is the one that the header names. Until then it counts against `total` alone;
- a client that closes its half, or sends a message that gets no answer (one of length zero, say), gets the answers to
  what it asked before, then the connection is closed; one that is gone cancels nothing: the answer still fills the
  cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from resolver._core import CoreError, read_proxy_header

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Network, IPv6Network

End = tuple[str, int]  # address and port
NOBODY: End = ("", 0)
LONGEST_HEADER = 2048  # octets of a PROXY header; the specification wants 232 to be enough, values included
SWEEP = 0.5  # seconds between two looks at what is idle or stalled
DRAINING = 0.02  # seconds between two looks whether all is answered


class Decider(Protocol):
    """What streams need of the core's `Plane`."""

    def decide(self, message: bytes, client: End, asked: End, stream: int) -> bytes | bool: ...


@dataclass(frozen=True)
class Limits:
    """Counts, seconds and octets; see the module's rules."""

    total: int = 4096
    per_client: int = 128
    in_flight: int = 64
    idle: float = 10.0
    stalled: float = 5.0
    unwritten: int = 1 << 20


class Streams:
    """All connections of one worker."""

    def __init__(
        self,
        plane: Decider,
        wake: Callable[[], object],
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
        balancers: Sequence[IPv4Network | IPv6Network] = (),
    ) -> None:
        self.limits = limits or Limits()
        self._balancers = tuple(balancers)
        self.refused = 0  # connections that found no place
        self._plane = plane
        self._wake = wake  # the core has something to be asked or handed out
        self._numbers = itertools.count(1)
        self._numbered: dict[int, _Connection] = {}
        self._clock = clock or asyncio.get_running_loop().time
        self._connections: OrderedDict[_Connection, None] = OrderedDict()  # the one that was active last at the end
        self._per_client: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Queries that wait for an answer."""
        return sum(connection.in_flight for connection in self._numbered.values())

    def connection(self) -> asyncio.Protocol:
        """The protocol factory for `loop.create_server`."""
        return _Connection(self)

    def sweep(self) -> None:
        """Ends what has been idle or stalled for too long; called every `SWEEP` seconds while there are connections."""
        now = self.now()
        for connection in list(self._connections):
            if connection.stalled_since is not None and connection.stalled_since + self.limits.stalled < now:
                connection.abort()
            elif connection.active + self.limits.idle < now and not connection.in_flight:
                connection.close()

    async def drain(self, patience: float) -> None:
        """Takes no more queries, waits for those in flight up to `patience` seconds, closes."""
        for connection in list(self._connections):
            connection.finish()
        deadline = asyncio.get_running_loop().time() + patience
        while self.in_flight and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - the core has no event
            await asyncio.sleep(DRAINING)
        for connection in list(self._connections):
            connection.close()

    def admit(self, connection: _Connection) -> bool:
        """Whether there is a place for a new connection; makes one where a place is held idly."""
        if connection.client != NOBODY and self._per_client[connection.client[0]] >= self.limits.per_client:
            self.refused += 1
            return False
        if len(self._connections) >= self.limits.total:
            idle = next((c for c in self._connections if not c.in_flight), None)
            if idle is None:
                self.refused += 1
                return False
            idle.abort()
            self.forget(idle)
        self._connections[connection] = None
        self._numbered[connection.number] = connection
        self._per_client[connection.client[0]] += 1
        return True

    def forget(self, connection: _Connection) -> None:
        if connection in self._connections:
            del self._connections[connection]
            del self._numbered[connection.number]
            client = connection.client[0]
            self._per_client[client] -= 1
            if self._per_client[client] <= 0:
                del self._per_client[client]

    def is_balancer(self, address: str) -> bool:
        """What comes from there begins with a PROXY header."""
        if not self._balancers:
            return False
        ip = ipaddress.ip_address(address)
        return any(ip in prefix for prefix in self._balancers)

    def touched(self, connection: _Connection) -> None:
        connection.active = self.now()
        with contextlib.suppress(KeyError):
            self._connections.move_to_end(connection)

    def now(self) -> float:
        return self._clock()

    def number(self) -> int:
        """Of a new connection; none has it again."""
        return next(self._numbers)

    def decide(self, connection: _Connection, message: bytes) -> None:
        outcome = self._plane.decide(message, connection.client, connection.asked, connection.number)
        if isinstance(outcome, bytes):
            connection.answer(outcome)
        elif outcome:
            connection.in_flight += 1
            self._wake()
        else:
            connection.finish()

    def answer(self, number: int, message: bytes) -> None:
        """The core's answer for that connection, if it is still there."""
        if (connection := self._numbered.get(number)) is not None:
            connection.in_flight -= 1
            connection.answer(message)
            connection.resume()


def _end(name: Sequence[object]) -> End:
    """Of a socket's name; a link-local address comes with its zone, which is no part of it."""
    return str(name[0]).partition("%")[0], int(str(name[1]))


class _Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, streams: Streams) -> None:
        self.number = streams.number()
        self.client, self.asked = NOBODY, NOBODY
        self._peer = NOBODY  # whom it comes from, where that is a balancer whose header is still to come
        self.in_flight = 0
        self.active = streams.now()
        self.stalled_since: float | None = None
        self._streams = streams
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._ended = False  # the client closed its half, or the worker drains: no more is read
        self._paused = False

    # -- what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._transport = cast("asyncio.Transport", transport)
        if peer is None:  # gone between accept and now
            self.abort()
            return
        client, own = _end(peer), transport.get_extra_info("sockname")
        self.asked = _end(own)
        if self._streams.is_balancer(client[0]):
            self._peer = client
        else:
            self.client = client
        if not self._streams.admit(self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._received += data
        if self._peer == NOBODY or self._introduced():
            self._take()

    def eof_received(self) -> bool:
        self._ended = True
        self._received.clear()
        return not self._idle()  # true: asyncio keeps the other half open for the answers

    def pause_writing(self) -> None:
        self.stalled_since = self._streams.now()
        self._pause()

    def resume_writing(self) -> None:
        self.stalled_since = None
        self.resume()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own signature
        self._ended = True
        self._received.clear()
        self._transport = None
        self._streams.forget(self)

    # -- what the worker does

    def answer(self, message: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(len(message).to_bytes(2) + message)
        self._streams.touched(self)
        if transport.get_write_buffer_size() > self._streams.limits.unwritten:
            transport.abort()
        elif self._idle():
            self.close()

    def resume(self) -> None:
        """Reads on where a limit had stopped it, and no limit does any longer."""
        if self._paused and self.stalled_since is None and self.in_flight < self._streams.limits.in_flight:
            self._paused = False
            self._take()
            if not self._paused and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def finish(self) -> None:
        """No more queries; closes as soon as what is in flight is answered."""
        self._ended = True
        if self._idle():
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            # What is still to be written is written, unless the client does not read it: then the sweep cuts it off.
            self.stalled_since = self.stalled_since or self._streams.now()
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- its own

    def _introduced(self) -> bool:
        """The balancer's header has come whole and is believed: from now on this is its client's connection."""
        try:
            header = read_proxy_header(bytes(self._received[:LONGEST_HEADER]))
        except CoreError:
            self.abort()
            return False
        if header is None:
            if len(self._received) >= LONGEST_HEADER:
                self.abort()
            return False
        length, ends = header
        del self._received[:length]
        self._streams.forget(self)
        self.client, self._peer = self._peer, NOBODY
        if ends is not None:
            self.client, self.asked = ends
        if not self._streams.admit(self):
            self.abort()
            return False
        return True

    def _idle(self) -> bool:
        return self._ended and not self.in_flight

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()

    def _take(self) -> None:
        """Decides every whole message received, until a limit says wait."""
        received, start = self._received, 0
        while not self._paused and not self._ended and len(received) - start >= 2:
            size = int.from_bytes(received[start : start + 2])
            if len(received) - start - 2 < size:
                break
            message = bytes(received[start + 2 : start + 2 + size])
            start += 2 + size
            self._streams.touched(self)
            self._streams.decide(self, message)
            if self._transport is None or self._transport.is_closing():
                received.clear()
                return
            if self.in_flight >= self._streams.limits.in_flight:
                self._pause()
        del received[:start]
