"""A client of DNS over QUIC, made of aioquic without its event loop: the test moves it, as it moves the plane."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from dnslib import DNSRecord

from tests.rigs.certificates import NAME
from tests.rigs.plane import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aioquic.tls import SessionTicket

    from tests.rigs.certificates import Files
    from tests.rigs.plane import Rig

NO_ERROR, PROTOCOL_ERROR, REQUEST_CANCELLED, EXCESSIVE_LOAD, UNSPECIFIED = 0, 2, 3, 4, 5


class Far:
    """A server that works by itself, at that address; in place of a rig."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address, self.sockets = address, list[socket.socket]()

    def quic_address(self) -> tuple[str, int]:
        return self.address

    def pump(self) -> None:
        """Others do."""

    def counted(self) -> str:
        return "not seen from here"

    def close(self) -> None:
        for made in self.sockets:
            made.close()


def ask_quic(address: tuple[str, int], files: Files, queries: Sequence[bytes]) -> list[bytes]:
    """The answers to all of them on one connection, each on its stream, as many at a time as the server lets."""
    with contextlib.closing(Far(address)) as far:
        client = QuicClient(far, files).shake_hands()
        streams = [client.ask(query) for query in queries]
        return [client.receive_octets(stream) for stream in streams]


class QuicClient:
    """One connection; `heard`: every event of it."""

    def __init__(
        self,
        r: Rig | Far,
        files: Files,
        alpn: Sequence[str] = ("doq",),
        ticket: SessionTicket | None = None,
        **more: Any,
    ) -> None:
        self.rig, self.tickets = r, list[Any]()
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=list(alpn), server_name=NAME, cafile=str(files.root), **more
        )
        configuration.session_ticket = ticket
        self.quic = QuicConnection(configuration=configuration, session_ticket_handler=self.tickets.append)
        self.address = r.quic_address()
        self.socket = self.moved()
        self.heard: list[events.QuicEvent] = []
        self.sent = self.received = 0
        self.last = b""  # datagram that came
        self.quic.connect(self.address, now=time.monotonic())

    def moved(self, to: str = "") -> socket.socket:
        """From now on it sends from another port, or from that address."""
        self.socket = socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        if to:
            self.socket.bind((to, 0))
        self.socket.connect(self.address)
        self.socket.setblocking(False)
        self.rig.sockets.append(self.socket)
        return self.socket

    def send_all(self) -> None:
        for data, _ in self.quic.datagrams_to_send(now=time.monotonic()):
            self.sent += self.socket.send(data)

    def step(self) -> None:
        """Sends, has the plane work, receives."""
        now = time.monotonic()
        due = self.quic.get_timer()
        if due is not None and due <= now:
            self.quic.handle_timer(now=now)
        self.send_all()
        self.rig.pump()
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.socket.recv(2048)
                self.received, self.last = self.received + len(data), data
                self.quic.receive_datagram(data, self.address, now=time.monotonic())
        while (event := self.quic.next_event()) is not None:
            self.heard.append(event)
        self.send_all()
        self.rig.pump()

    def until(self, happened: Callable[[], Any], patience: float = PATIENCE) -> Any:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            self.step()
            if value := happened():
                return value
            time.sleep(0.002)
        raise AssertionError(f"did not happen; heard {self.heard}, {self.rig.counted()}")

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]

    def shake_hands(self, patience: float = PATIENCE) -> QuicClient:
        """Returns when the connection is open."""
        self.until(lambda: self.of(events.HandshakeCompleted), patience)
        return self

    def open(self, octets: bytes, *, ends: bool = True) -> int:
        """A new stream with these octets; its number."""
        stream: int = self.quic.get_next_available_stream_id()
        self.quic.send_stream_data(stream, octets, end_stream=ends)
        return stream

    def ask(self, message: DNSRecord | bytes) -> int:
        if isinstance(message, DNSRecord):
            message.header.id = 0
            message = bytes(message.pack())
        return self.open(len(message).to_bytes(2) + message)

    def octets(self, stream: int) -> bytes | None:
        """What came on that stream, once it has ended."""
        found = [event for event in self.of(events.StreamDataReceived) if event.stream_id == stream]
        return b"".join(event.data for event in found) if any(event.end_stream for event in found) else None

    def receive_octets(self, stream: int) -> bytes:
        message: bytes = self.until(lambda: self.octets(stream))
        assert int.from_bytes(message[:2]) == len(message) - 2, "one message, and its length before it"
        return message[2:]

    def receive(self, stream: int) -> DNSRecord:
        return DNSRecord.parse(self.receive_octets(stream))

    def answers(self, message: DNSRecord) -> DNSRecord:
        return self.receive(self.ask(message))

    def ended(self, patience: float = PATIENCE) -> int:
        """The code with which the plane has ended the connection; aioquic says so itself after a pause alone."""
        event = self.until(lambda: self.quic._close_event, patience)
        code: int = event.error_code
        return code

    def reset(self, stream: int) -> int:
        """The code with which the plane has ended that stream."""

        def found() -> list[int]:
            return [event.error_code + 1 for event in self.of(events.StreamReset) if event.stream_id == stream]

        code: int = self.until(found)[0] - 1
        return code
