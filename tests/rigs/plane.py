"""A plane on loopback, clients and upstreams that are played by the test: every byte goes through real sockets."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import re
import select
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import zstandard
from dnslib import EDNS0, QTYPE, RCODE, RR, A, DNSHeader, DNSRecord

from resolver import _core
from tests.rigs.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

STOP_PAGE = "192.0.2.66"
HEALTH = "health.example.net"
STREAM_LIMITS = {"total": 100, "per_client": 50, "in_flight": 64} | {
    "idle_ms": 60_000,
    "stalled_ms": 60_000,
    "unwritten": 1 << 20,
}
# PROXY protocol, version 2: TCP over IPv4, 192.0.2.7:4711 to 198.51.100.1:53, and a value of five octets to be skipped.
PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXY_ENDS = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + b"\x12\x67\0\x35"
PROXY_HEADER = PROXY_SIGNATURE + b"\x21\x11\0\x11" + PROXY_ENDS + b"\x04\0\x02ab"
PROXY_LOCAL = PROXY_SIGNATURE + b"\x20\0\0\0"
PATIENCE = 30.0
LATER = "2099-01-01T00:00:00Z"


def query(name: str, qtype: str = "A", *, edns: bool = False, rd: int = 1) -> DNSRecord:
    """A question; its id is dnslib's random one."""
    record = DNSRecord.question(name, qtype)
    record.header.rd = rd
    if edns:
        record.add_ar(EDNS0(udp_len=1232))
    return record


def answer(question: DNSRecord, address: str = "198.51.100.7", ttl: int = 300) -> DNSRecord:
    """What an upstream says to it."""
    reply = question.reply()
    reply.header.ad = 0
    reply.add_answer(RR(question.q.qname, QTYPE.A, ttl=ttl, rdata=A(address)))
    return reply


def cut(question: DNSRecord) -> DNSRecord:
    """An empty answer with TC."""
    reply = question.reply()
    reply.header.ad = 0
    reply.header.tc = 1
    return reply


def failing(question: DNSRecord, rcode: str) -> DNSRecord:
    """An error of a server that speaks EDNS: a FORMERR without an OPT would say that it does not."""
    reply = question.reply()
    reply.header.ad = 0
    reply.header.rcode = getattr(RCODE, rcode)
    if rcode == "FORMERR" and not reply.ar:
        reply.add_ar(EDNS0(udp_len=1232))
    return reply


OWN_QUESTION = re.compile(rb"\x00[\x00\x01]\x00\x00\x02\x00\x01")  # the end of the header, then the root, NS, IN


class Upstream:
    """A UDP socket that answers only when the test says so. What the worker itself asks is kept apart."""

    def __init__(self, host: str = "127.0.0.1", seen_as: str | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(PATIENCE)
        self.port: int = self.socket.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{seen_as or host}:{self.port}"
        self._of_clients: list[tuple[bytes, Any]] = []
        self._own: list[tuple[bytes, Any]] = []

    def take(self) -> tuple[DNSRecord, Any]:
        """The next question, and where it came from."""
        while not self._of_clients:
            self._sort(self.socket.recvfrom(65535))
        message, source = self._of_clients.pop(0)
        return DNSRecord.parse(message), source

    def waiting(self) -> list[tuple[DNSRecord, Any]]:
        """All questions that have come."""
        return [(DNSRecord.parse(message), source) for message, source in self.waiting_raw()]

    def waiting_raw(self) -> list[tuple[bytes, Any]]:
        """The same as octets: dnslib refuses names that DNS allows."""
        return self._taken(self._of_clients)

    def own(self) -> list[tuple[DNSRecord, Any]]:
        """What the worker itself has asked: for the root's name servers."""
        return [(DNSRecord.parse(message), source) for message, source in self.own_raw()]

    def own_raw(self) -> list[tuple[bytes, Any]]:
        return self._taken(self._own)

    def _taken(self, kind: list[tuple[bytes, Any]]) -> list[tuple[bytes, Any]]:
        """All of one kind that have come, which are no longer kept."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._sort(self.socket.recvfrom(65535))
        self.socket.settimeout(PATIENCE)
        found = kind.copy()
        kind.clear()
        return found

    def _sort(self, came: tuple[bytes, Any]) -> None:
        (self._own if OWN_QUESTION.search(came[0]) else self._of_clients).append(came)

    def say(self, message: DNSRecord | bytes, to: Any) -> None:
        self.socket.sendto(message if isinstance(message, bytes) else bytes(message.pack()), to)


@functools.cache
def unlistened() -> Upstream:
    """An upstream of all planes that have no rig, since their tests are about single messages on streams."""
    made = Upstream()
    atexit.register(made.socket.close)
    return made


@dataclass(frozen=True)
class Relayed:
    """A stream's question, as the upstream of `unlistened` gets it over TCP: its answer may be of any length."""

    query: bytes
    ask: _core.TcpAsk


def relayed(on: Rig, asked: DNSRecord) -> Relayed:
    """What is asked for that message; anything else than that it is asked fails the test."""
    upstream = unlistened()
    upstream.waiting_raw()
    assert on.ask_stream(asked) is True
    message, source = upstream.socket.recvfrom(65535)
    reply = DNSRecord(DNSHeader(id=int.from_bytes(message[:2]), qr=1, tc=1), q=DNSRecord.parse(message).q)
    upstream.say(reply, source)
    asks: list[_core.TcpAsk] = []
    deadline = time.monotonic() + PATIENCE
    while not asks:
        assert time.monotonic() < deadline
        on.plane.pump()
        asks = on.plane.take_tcp_asks()
    return Relayed(asks[0].message, asks[0])


def finish(on: Rig, question: Relayed, message: bytes) -> bytes | None:
    """What the client is told of the upstream's answer; None: it was none."""
    if not on.plane.tcp_answered(question.ask, message):
        return None
    ((_, told),) = on.stream_answers()
    return told


StreamKind = Literal["tcp", "tls", "https"]


class Stream:
    """A client's connection."""

    def __init__(self, of: Rig, connected: socket.socket) -> None:
        self.rig, self.socket = of, connected
        self._received = b""

    @staticmethod
    def framed(message: DNSRecord | bytes) -> bytes:
        octets = message if isinstance(message, bytes) else bytes(message.pack())
        return len(octets).to_bytes(2) + octets

    def send(self, message: DNSRecord | bytes) -> None:
        self.socket.sendall(self.framed(message))

    def receive(self) -> DNSRecord:
        """The next answer."""

        def whole() -> bytes | None:
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                self._received += self.socket.recv(1 << 16)
            size = 2 + int.from_bytes(self._received[:2])
            return self._received[:size] if 2 < size <= len(self._received) else None

        message = self.rig.until(whole)
        self._received = self._received[len(message) :]
        return DNSRecord.parse(message[2:])

    def has_ended(self) -> bool:
        """The plane closes it within patience, without a word."""

        def closed() -> bool:
            try:
                assert (after := self.socket.recv(1)) == b"", after
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            except (ConnectionError, ssl.SSLError):
                pass
            return True

        return bool(self.rig.until(closed))

    def secure(self, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """Shakes hands; raises `ssl.SSLError` where the plane refuses."""
        plain = self.socket
        secured = context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False, session=session)
        self.rig.sockets.append(secured)
        self.socket = secured

        def shaken() -> bool:
            with contextlib.suppress(ssl.SSLWantReadError):
                secured.do_handshake()
                return True
            return False

        self.rig.until(shaken)
        return secured


class Rig:
    """A plane, the socket it listens on, and one client."""

    def __init__(self, *upstreams: str, host: str = "127.0.0.1", bind: str | None = None, **settings: Any) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        self.listener = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.listener.bind((bind or host, 0))
        self.port: int = self.listener.getsockname()[1]
        settings = {"allow_clients": ["127.0.0.0/8", "::1"], "stop_ipv4": STOP_PAGE, "cache_bytes": 1 << 20} | settings
        self.plane = _core.Plane(settings)  # type: ignore[arg-type]
        self.plane.listen(self.listener.fileno())
        self.plane.set_upstreams(upstreams)
        self.sockets: list[socket.socket] = []
        self.streams = Streams(self.plane, host)
        self._accepting: dict[str, socket.socket] = {}
        self.quic: socket.socket | None = None
        self.client = self.new_client()

    def new_client(self, host: str | None = None) -> socket.socket:
        """A client's socket, connected: an answer from any other address would not reach it."""
        made = socket.socket(self.listener.family, socket.SOCK_DGRAM)
        made.connect((host or self.host, self.port))
        made.settimeout(PATIENCE)
        self.sockets.append(made)
        return made

    def stream_address(self, kind: StreamKind = "tcp") -> tuple[str, int]:
        """Where the plane accepts connections."""
        if kind not in self._accepting:
            self._accepting[kind] = socket.create_server((self.host, 0), family=self.listener.family)
            self.sockets.append(self._accepting[kind])
            self.plane.listen_stream(self._accepting[kind].fileno(), kind)
        host, port = self._accepting[kind].getsockname()[:2]
        return host, port

    def quic_address(self) -> tuple[str, int]:
        """Where the plane serves DNS over QUIC."""
        if self.quic is None:
            self.quic = socket.socket(self.listener.family, socket.SOCK_DGRAM)
            self.sockets.append(self.quic)
            self.quic.bind((self.host, 0))
            assert self.plane.listen_quic(self.quic.fileno())
        return self.host, self.quic.getsockname()[1]

    def pump(self) -> None:
        self.plane.pump()

    def connect(self, kind: StreamKind = "tcp", receives: int | None = None) -> Stream:
        """A connection of a client; `receives`: octets of its buffer."""
        made = socket.socket(self.listener.family, socket.SOCK_STREAM)
        if receives is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        made.settimeout(PATIENCE)
        made.connect(self.stream_address(kind))
        made.setblocking(False)
        self.sockets.append(made)
        self.plane.pump()
        return Stream(self, made)

    def send(self, message: DNSRecord | bytes, client: socket.socket | None = None) -> None:
        (client or self.client).send(message if isinstance(message, bytes) else bytes(message.pack()))
        select.select([self.listener], [], [], PATIENCE)  # a busy kernel hands it over a little later
        self.plane.pump()

    def receive(self, client: socket.socket | None = None) -> DNSRecord:
        client, deadline = client or self.client, time.monotonic() + PATIENCE
        while not select.select([client], [], [], 0.01)[0] and time.monotonic() < deadline:
            self.plane.pump()  # what an upstream has said may come a little later too
        return DNSRecord.parse(client.recv(65535))

    def ask(self, message: DNSRecord | bytes) -> DNSRecord:
        """Sends and receives: for what the plane answers by itself."""
        self.send(message)
        return self.receive()

    def ask_stream(self, message: DNSRecord | bytes, stream: int | None = 1, client: str | None = None) -> bytes | bool:
        """On that connection, see `Streams.ask`: the answer, or true where it is to come, or false."""
        return self.streams.ask(message if isinstance(message, bytes) else bytes(message.pack()), stream, client)

    def stream_answers(self) -> list[tuple[int, bytes]]:
        """Answers that came later, each with its stream."""
        self.plane.pump()
        return self.streams.answers()

    def until_stream(self, stream: int = 1) -> DNSRecord:
        """The answer on that stream; there is none on any other."""
        ((to, message),) = self.until(self.streams.answers)
        assert to == stream
        return DNSRecord.parse(message)

    def tcp_asks(self) -> list[_core.TcpAsk]:
        """What clients' questions are to be asked over TCP. What the worker itself asks is left out."""
        return [ask for ask in self.plane.take_tcp_asks() if not OWN_QUESTION.search(ask.message)]

    def until_tcp(self) -> _core.TcpAsk:
        """The one question that is to be asked over TCP."""
        asks: list[_core.TcpAsk] = self.until(self.tcp_asks)
        (ask,) = asks
        return ask

    def say_tcp(self, ask: _core.TcpAsk, reply: Callable[[DNSRecord], DNSRecord] | None = None) -> bool:
        """The upstream's answer over TCP."""
        question = DNSRecord.parse(ask.message)
        return self.plane.tcp_answered(ask, bytes((reply or answer)(question).pack()))

    def silent(self, client: socket.socket | None = None) -> bool:
        """No answer waits for the client."""
        client = client or self.client
        client.setblocking(False)
        try:
            client.recv(65535)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            client.settimeout(PATIENCE)

    def until(self, happened: Callable[[], Any]) -> Any:
        """Pumps and ticks until `happened()` is true; returns it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.plane.pump()
            self.plane.tick()
            if value := happened():
                return value
            time.sleep(0.002)
        raise AssertionError(f"did not happen within {PATIENCE} s; {self.counted()}")

    def until_answered(self, client: socket.socket | None = None) -> DNSRecord:
        """The client's answer, however long (within patience) the plane lets it wait."""
        client = client or self.client
        client.setblocking(False)

        def received() -> bytes | None:
            with contextlib.suppress(BlockingIOError):
                return client.recv(65535)
            return None

        try:
            return DNSRecord.parse(self.until(received))
        finally:
            client.settimeout(PATIENCE)

    def count(self, name: str) -> int:
        return self.plane.counters()[name]

    def counted(self) -> dict[str, int]:
        """The counters that are not zero."""
        return {name: value for name, value in self.plane.counters().items() if value}

    def state(self, number: int = 0) -> str:
        return self.plane.upstreams()[number]["state"]

    def close(self) -> None:
        self.streams.close()
        for made in [self.listener, *self.sockets]:
            made.close()


@contextlib.contextmanager
def rig(*upstreams: Upstream, **settings: Any) -> Iterator[Rig]:
    made = Rig(*(upstream.address for upstream in upstreams), **settings)
    try:
        yield made
    finally:
        made.close()
        for upstream in upstreams:
            upstream.socket.close()


def compiled(
    directory: Path,
    *lists: Sequence[str],
    action: str = "stop-page",
    match: str = "subtree",
    expires: str = LATER,
    aliases: str = "trim",
) -> _core.CompiledList:
    """A compiled list of these lists of names; references count up from `0000000000000000`."""
    sources: list[_core.Source] = []
    number = 0
    for at, names in enumerate(lists):
        lines = []
        for name in sorted(names, key=lambda n: n.split(".")[::-1]):
            entry = {
                "basis": "order-1",
                "category": "test",
                "expires": expires,
                "issued": "2020-01-01T00:00:00Z",
                "match": match,
                "name": name,
                "reference": f"{number:016}",
            }
            number += 1
            lines.append(json.dumps(entry, sort_keys=True, separators=(",", ":")) + "\n")
        document = directory / f"{at}.zst"
        document.write_bytes(zstandard.compress("".join(lines).encode()))
        what = {"action": action, "aliases": aliases}
        source = {"document": str(document), **what, "ede": 16, "bases": ["order-1"], "suspended": []}
        sources.append(source)  # type: ignore[arg-type]
    output = directory / f"{number}-{action}-{match}-{aliases}.list"
    _core.compile(sources, str(output), b"{}")
    return _core.CompiledList.open(str(output))
