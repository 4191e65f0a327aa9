"""Clients' messages on connections to a plane that the test pumps itself, by the number of the connection."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import time
import weakref
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver import _core

PATIENCE = 30.0
BALANCER = "127.0.0.53"
"""Connections of clients that are not on this host come from here: the plane's `proxy_from` must have it."""


def proxy_header(client: str, transport: Literal["tcp", "udp"]) -> bytes:
    """PROXY protocol, version 2: port 4000 of `client` asks port 53 of this host."""
    ends = [ipaddress.ip_address(one) for one in (client, "::1" if ":" in client else "127.0.0.1")]
    block = b"".join(end.packed for end in ends) + struct.pack("!HH", 4000, 53)
    kind = (0x10 if ends[0].version == 4 else 0x20) | (1 if transport == "tcp" else 2)
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, kind]) + struct.pack("!H", len(block)) + block


class _Connection:
    def __init__(self, connected: socket.socket) -> None:
        self.socket, self.ended = connected, False
        self._received = b""

    def messages(self) -> Iterator[bytes]:
        """Those that have come whole."""
        try:
            while octets := self.socket.recv(1 << 17):
                self._received += octets
            self.ended = True
        except BlockingIOError:
            pass
        except ConnectionError:
            self.ended = True
        while 2 < (end := 2 + int.from_bytes(self._received[:2])) <= len(self._received):
            message, self._received = self._received[2:end], self._received[end:]
            yield message


class Streams:
    """All connections to one plane. They close with it, or by themselves once nobody has it any more."""

    def __init__(self, plane: _core.Plane, host: str = "127.0.0.1") -> None:
        self._plane, self._host = plane, host
        self._sockets = contextlib.ExitStack()
        self.close = weakref.finalize(self, self._sockets.close)
        self._listener: socket.socket | None = None
        self._connections: dict[int, _Connection] = {}
        self._later: list[tuple[int, bytes]] = []

    def ask(self, message: bytes, stream: int | None = None, client: str | None = None) -> bytes | bool:
        """The answer; or true: it comes later; or false: the plane closed the connection instead. `stream`: none: a new
        one. `client`: as a balancer names it; none: this host."""
        if stream is None:
            stream = -1 - len(self._connections)
        if stream not in self._connections:
            self._connections[stream] = self._connect(client)
        connection, before = self._connections[stream], self._decided()
        connection.socket.sendall(len(message).to_bytes(2) + message)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._plane.pump()
            is_decided = self._decided() > before
            for one in connection.messages():
                if is_decided and one[:2] == message[:2]:
                    return one
                self._later.append((stream, one))
            if connection.ended:
                del self._connections[stream]
                return False
            if is_decided:
                return True
        raise AssertionError("the message is not read")

    def answers(self) -> list[tuple[int, bytes]]:
        """Those that came later, each with the number of its connection."""
        for number, connection in self._connections.items():
            self._later += [(number, one) for one in connection.messages()]
        came, self._later = self._later, []
        return came

    def _decided(self) -> int:
        return self._plane.counters()["queries_tcp"]

    def _connect(self, client: str | None) -> _Connection:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        if self._listener is None:
            self._listener = self._sockets.enter_context(socket.create_server((self._host, 0), family=family))
            self._plane.listen_stream(self._listener.fileno())
        made = self._sockets.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if client is not None:
            made.bind((BALANCER, 0))
        made.settimeout(PATIENCE)
        made.connect(self._listener.getsockname()[:2])
        made.setblocking(False)
        if client is not None:
            made.sendall(proxy_header(client, "tcp"))
        return _Connection(made)
