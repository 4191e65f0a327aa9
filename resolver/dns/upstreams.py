"""The connections to the upstreams, for questions that are asked over TCP, or over TLS.

Enters: a question that the relay of the core wants asked over TCP (`TcpAsk`), and the numbers of overdue ones.
Leaves: `done(ask, message)` for what came, which says whether the core took it, and `failed(ask, fault)` where no
connection brought an answer. Nothing is decided here: whom to ask, how long, and whom next is the relay's.

Rules:
- Connections are kept and pipelined (RFC 7766, section 6.2.1). A connection holds at most `crowded` questions while
  another one may be opened; at most `connections` an upstream take questions. Answers come in any order; each question
  has an id that is free on its connection, and the core gets the answer under its own.
- An upstream may close a connection whenever it likes (section 6.2.4): what was in flight on one that had answered
  something is asked again on a fresh one. A connection that ends without having answered anything is a failure.
- A question that is overdue takes its connection out of use, since upstreams work on few questions of a connection at a
  time (PowerDNS 10, BIND 23) and this one holds a place. Late answers are still taken from it for `life`; then it is
  closed, which gives the places back.
- A connection that has brought nothing since an overdue question was written is silent: it may have died without a
  word, and the question, asked again, goes out on a fresh one, or on one that has brought something since. On any other
  it still counts, and is not written twice.
- An upstream that has a proof (`resolver.base.proven`) is asked over TLS alone, and nothing is written before it has
  proven who it is. `fault` says then why no connection could be opened. After such a failure the next is not opened
  before `pause`: until then its questions fail at once, so that a broken upstream costs no handshake for each question.
- What is written to a connection in one turn of the loop leaves in one piece: one record under TLS.
- An upstream that wants a PROXY header gets it at the beginning of a connection, which then is this client's alone and
  ends with its last answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from dataclasses import dataclass, field
from errno import EHOSTUNREACH, EMFILE, ENETUNREACH, ENFILE, ENOBUFS, ENOMEM
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

from resolver._core import LIFE
from resolver.base.proven import reason
from resolver.config.values import Endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver._core import TcpAsk
    from resolver.base.proven import Proof


UNPROVEN: Final = "not proven"
Fault = Literal["not listening", "unreachable", "not proven"]


class Core(Protocol):
    """Takes the outcome of each question."""

    def answered(self, ask: TcpAsk, message: bytes, /) -> bool:
        """True: the message was accepted as its answer; else the question has failed."""

    def failed(self, ask: TcpAsk, fault: Fault | None, /) -> None:
        """None: a connection was open, or why it was not says nothing of the upstream."""


@dataclass(frozen=True)
class Timing:
    """All in seconds: until a connection must be open, for how long a late answer is of use, how long a connection is
    kept idle, how long none is opened where a server over TLS was not reached or not proven."""

    opening: float = 1.0
    life: float = LIFE
    idle: float = 20.0
    pause: float = 0.5


@dataclass(eq=False)
class _Question:
    """A question on a connection. `numbers`: one for each time that the core asked it."""

    ask: TcpAsk
    born: float
    connection: _Connection
    answers_before: int = 0
    numbers: list[int] = field(default_factory=list)


class Upstreams:
    """The connections to all upstreams."""

    def __init__(
        self,
        core: Core,
        *,
        proofs: Mapping[str, Proof] | None = None,
        timing: Timing | None = None,
        connections: int = 8,
        crowded: int = 8,
        rng: random.Random | None = None,
    ) -> None:
        self.timing = timing or Timing()
        self.connections, self.crowded = connections, crowded
        self.rng = rng or random.SystemRandom()
        self.core = core
        self.closed = False
        self.troubles: dict[str, str] = {}
        """By upstream over TLS: why it could not be asked when that was last tried; those that could have none."""
        self._lines: dict[tuple[str, bytes], _Line] = {}
        self._asked: dict[int, _Question] = {}
        self.proofs = dict(proofs or {})
        self._contexts: dict[str, ssl.SSLContext] = {}
        for upstream in self.proofs:
            with contextlib.suppress(OSError):  # it is tried again, and named, at each connection
                self.context(upstream)

    def context(self, upstream: str) -> ssl.SSLContext | None:
        """None: it is asked in clear. Raises `OSError` where the file of its roots cannot be used."""
        if upstream in self.proofs and upstream not in self._contexts:
            self._contexts[upstream] = self.proofs[upstream].context()
        return self._contexts.get(upstream)

    def ask(self, ask: TcpAsk) -> None:
        """Write it on a connection, unless the same question waits on a live one."""
        key = (ask.upstream, ask.header)
        if (line := self._lines.get(key)) is None:
            line = self._lines[key] = _Line(ask.upstream, self, ask.header)
        if line.pauses():
            self.core.failed(ask, line.fault)
            return
        question = line.waiting(ask.question) or line.put(ask)
        question.answers_before = question.connection.answers
        question.numbers.append(ask.number)
        self._asked[ask.number] = question

    def overdue(self, number: int) -> None:
        """That question is overdue."""
        if (question := self._asked.get(number)) is not None:
            question.connection.retire(silent=question.connection.answers == question.answers_before)

    def sweep(self) -> None:
        """Drop questions past their life, close unused connections; called every `SWEEP` seconds of the worker."""
        now = asyncio.get_running_loop().time()
        for key, line in list(self._lines.items()):
            line.sweep(now)
            if not line.connections and not line.pauses():
                del self._lines[key]

    def close(self) -> None:
        """Close for good, also connections that are being opened."""
        self.closed = True
        for line in self._lines.values():
            for connection in list(line.connections):
                connection.close()

    def ended(self, question: _Question) -> None:
        for number in question.numbers:
            self._asked.pop(number, None)


class _Line:
    """One upstream's connections (with a PROXY header: one client's to it)."""

    def __init__(self, upstream: str, owner: Upstreams, header: bytes) -> None:
        self.upstream, self.owner, self.header = upstream, owner, header
        self.proof = owner.proofs.get(upstream)
        self.fault: Fault | None = None  # why the last connection could not be opened
        self._opens_at = 0.0
        self.connections: list[_Connection] = []  # the oldest first
        self.doubted_at = 0.0  # when a connection was lost or found silent: older ones may be dead too

    def waiting(self, question: int) -> _Question | None:
        """The same question, on a connection that is not silent."""
        questions = (one for c in self.connections if not c.silent for one in c.waiting.values())
        return next((one for one in questions if one.ask.question == question), None)

    def put(self, ask: TcpAsk) -> _Question:
        question = _Question(ask, asyncio.get_running_loop().time(), self._place())
        question.connection.write(question)
        return question

    def again(self, question: _Question) -> None:
        """Its connection has ended."""
        question.connection = self._place()
        question.connection.write(question)
        question.answers_before = question.connection.answers

    def _place(self) -> _Connection:
        limit = self.owner.connections
        usable = [c for c in self.connections if not c.retired]
        trusted = [c for c in usable if c.opened >= self.doubted_at or c.heard > self.doubted_at]
        best = min(trusted, key=lambda c: len(c.waiting), default=None)
        if best is not None and (len(best.waiting) < self.owner.crowded or len(usable) >= limit):
            return best
        if len(usable) >= 2 * limit:
            return min(usable, key=lambda c: len(c.waiting))
        made = _Connection(self)
        self.connections.append(made)
        made.opening = asyncio.get_running_loop().create_task(self._open(made))
        return made

    async def _open(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        address, name = Endpoint.parse(self.upstream), None if self.proof is None else self.proof.name or ""
        try:
            context = self.owner.context(self.upstream)
            async with asyncio.timeout(self.owner.timing.opening):
                await loop.create_connection(
                    lambda: connection, address.host, address.port, ssl=context, server_hostname=name
                )
        except OSError as error:  # refused, no route, no descriptor, not proven; TimeoutError is one too
            connection.not_opened(error)

    def pauses(self) -> bool:
        """No connection is opened now, and none is open."""
        return not self.connections and asyncio.get_running_loop().time() < self._opens_at

    def opened(self) -> None:
        self.fault = None
        self.owner.troubles.pop(self.upstream, None)

    def not_opened(self, error: OSError) -> Fault | None:
        self.fault = _fault(error)
        if self.proof is not None and self.fault is not None:
            self._opens_at = asyncio.get_running_loop().time() + self.owner.timing.pause
            self.owner.troubles[self.upstream] = reason(error)
        return self.fault

    def retired(self) -> None:
        """One more is: the first of too many gives its places back before its time."""
        retired = [c for c in self.connections if c.retired]
        if len(retired) > self.owner.connections:
            retired[0].close()

    def sweep(self, now: float) -> None:
        timing = self.owner.timing
        for connection in list(self.connections):
            connection.forget(now - timing.life)
            if not connection.waiting and (connection.retired or connection.used + timing.idle < now):
                connection.close()


class _Connection(asyncio.Protocol):
    """One pipelined connection: questions by the id they carry on it."""

    def __init__(self, line: _Line) -> None:
        self.waiting: dict[int, _Question] = {}
        self.answers = 0
        self.silent = False
        self.retired = False
        self.opened = self.used = asyncio.get_running_loop().time()
        self.heard = 0.0
        self.opening: asyncio.Task[None] | None = None
        self._line = line
        self._fault: Fault | None = None  # why it could not be opened
        self._unwritten: list[bytes] = []  # until it is open, and until the end of this turn of the loop
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def write(self, question: _Question) -> None:
        rng = self._line.owner.rng
        number = rng.randrange(1 << 16)
        while number in self.waiting:
            number = rng.randrange(1 << 16)
        self.waiting[number] = question
        self.used = asyncio.get_running_loop().time()
        message = question.ask.message
        framed = len(message).to_bytes(2) + number.to_bytes(2) + message[2:]
        if self._transport is not None and not self._unwritten:
            asyncio.get_running_loop().call_soon(self._write)
        self._unwritten.append(framed)

    def _write(self) -> None:
        if self._transport is not None and self._unwritten:
            self._transport.write(b"".join(self._unwritten))
        self._unwritten.clear()

    def retire(self, *, silent: bool) -> None:
        """Take no more questions; still accept answers."""
        self.retired = True
        if silent:
            self.silent = True
            self._line.doubted_at = asyncio.get_running_loop().time()
        self._line.retired()

    def forget(self, before: float) -> None:
        """Drop the questions asked before that."""
        for number, question in [(n, q) for n, q in self.waiting.items() if q.born < before]:
            del self.waiting[number]
            self._line.owner.ended(question)

    def close(self) -> None:
        self.retired = True
        if self._transport is not None:
            self._transport.close()
        elif self.opening is not None:
            self.opening.cancel()
        self._ended()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self not in self._line.connections or self._line.owner.closed:
            self._transport.abort()
            return
        if self._line.proof is not None:
            try:
                self._line.proof.check(transport.get_extra_info("ssl_object"))
            except ssl.SSLCertVerificationError as wrong:
                self._transport.abort()
                self.not_opened(wrong)
                return
        self._line.opened()
        self._unwritten.insert(0, self._line.header)
        self._write()

    def not_opened(self, error: OSError) -> None:
        self._fault = self._line.not_opened(error)
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own signature
        self._ended()

    def _ended(self) -> None:
        """Once, whichever end it comes to."""
        if self not in self._line.connections:
            return
        self._line.connections.remove(self)
        self._line.doubted_at = asyncio.get_running_loop().time()
        questions, self.waiting = list(self.waiting.values()), {}
        self._unwritten.clear()
        owner = self._line.owner
        for question in questions:
            if self.answers and not self.retired:
                self._line.again(question)
            else:
                owner.ended(question)
                owner.core.failed(question.ask, self._fault)

    def data_received(self, data: bytes) -> None:
        self.heard = asyncio.get_running_loop().time()
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
        if not self.waiting and (self._line.header or self.retired):
            self.close()

    def _answered(self, message: bytes) -> None:
        """An unknown id is an answer that came too late; it shows that the connection lives."""
        self.answers += 1
        question = self.waiting.pop(int.from_bytes(message[:2]), None)
        if question is None:
            return
        owner = self._line.owner
        owner.ended(question)
        if not owner.core.answered(question.ask, question.ask.message[:2] + message[2:]):
            owner.core.failed(question.ask, None)


def _fault(error: OSError) -> Fault | None:
    """Silence is the relay's to judge, and a want of this process's no fault of the other side."""
    if isinstance(error, TimeoutError) or error.errno in {EMFILE, ENFILE, ENOBUFS, ENOMEM}:
        return None
    if isinstance(error, ConnectionRefusedError):
        return "not listening"
    return "unreachable" if error.errno in {ENETUNREACH, EHOSTUNREACH} else UNPROVEN
