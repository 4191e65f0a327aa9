"""What connections over TLS cost a server: handshakes, idle ones, and clients that never finish theirs.

Enters: a server that runs. Leaves: lines of figures. Handshakes are counted by the processor time that the server takes
for one, full and resumed, each with one question; the client here is slower than any of the servers. Everything is
bounded: so many connections, one at a time or `HELD` at once.
"""

from __future__ import annotations

import collections
import os
import resource
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs.certificates import NAME, Files
from tests.rigs.dns_host import question

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK = os.sysconf("SC_CLK_TCK")
HANDSHAKES, HALF_OPEN, HELD = 1_000, 100_000, 3_000
PATIENCE = 20.0


@dataclass(frozen=True)
class Serving:
    """A server's process, and where it listens, by `dnsperf -m`."""

    name: str
    pid: int
    ports: dict[str, int]

    def cpu(self) -> float:
        """Seconds, with all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> int:
        """Octets that are resident."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) << 10


def costs(serving: Serving, files: Files, idle: int) -> Iterator[str]:
    """`idle`: connections; 0: handshakes alone. Raises `OSError` where the server does not take so many."""
    context = ssl.create_default_context(cafile=str(files.root))
    for what, resumes in (("full", False), ("resumed", True)):
        before, session, done = serving.cpu(), None, 0
        for _ in range(HANDSHAKES):
            with connected(serving, context, session if resumes else None) as stream:
                done += stream.session_reused or not resumes
                session = stream.session
        each = (serving.cpu() - before) / HANDSHAKES
        yield f"{serving.name}: {what} handshake {each * 1e6:.0f} us, {1 / each:,.0f} a second ({done} of {HANDSHAKES})"
    if not idle:
        return
    yield f"{serving.name}: {idle:,} idle, {_idle(serving, context, idle) / 1024:.1f} KiB each"
    yield f"{serving.name}: {HALF_OPEN:,} half-open, {_half_open(serving, context)}"


def connected(serving: Serving, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    """A connection on which one question was answered, so that a ticket has come."""
    plain = socket.create_connection(("127.0.0.1", serving.ports["dot"]), PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = context.wrap_socket(plain, server_hostname=NAME, session=session)
    asked = question(1, "cached-1.example", 1)
    stream.sendall(len(asked).to_bytes(2) + asked)
    if not stream.recv(4096):
        raise ConnectionResetError("closed before it answered")
    return stream


def _idle(serving: Serving, context: ssl.SSLContext, count: int) -> float:
    """Octets of the server's memory for each connection that was asked once and stays."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, count + 5_000), most))
    before, session, held = serving.memory(), None, list[ssl.SSLSocket]()
    try:
        for _ in range(count):
            held.append(connected(serving, context, session))
            session = held[-1].session
        return (serving.memory() - before) / count
    finally:
        for stream in held:
            stream.close()


def _half_open(serving: Serving, context: ssl.SSLContext) -> str:
    """So many connections that send the first five octets of a handshake; the worst wait of one that finishes its own
    among them."""
    before, used = serving.memory(), serving.cpu()
    held: collections.deque[socket.socket] = collections.deque()
    slowest = 0.0
    try:
        for number in range(HALF_OPEN):
            one = socket.socket()
            one.bind((f"127.0.{1 + number // 250 % 200}.{1 + number % 250}", 0))
            one.connect(("127.0.0.1", serving.ports["dot"]))
            one.send(b"\x16\x03\x01\x02\x00")
            held.append(one)
            if len(held) > HELD:
                held.popleft().close()
            if number % 1000 == 999:
                began = time.monotonic()
                connected(serving, context).close()
                slowest = max(slowest, time.monotonic() - began)
    finally:
        for one in held:
            one.close()
    each, grown = (serving.cpu() - used) / HALF_OPEN * 1e6, (serving.memory() - before) / (1 << 20)
    return f"{each:.1f} us each, {grown:+.1f} MiB, an honest client waits {slowest * 1000:.0f} ms at most"
