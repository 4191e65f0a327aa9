"""HTTP for the stop page: the head of a request, and nothing else of it.

Enters: bytes from strangers' browsers, apps and scanners, meant for a site that is blocked. Leaves: an answer each.
Rules: the body is never read (a request that has one is answered and the connection closed); nothing is kept or logged;
a head is bounded in bytes and in time; HTTP/1.0 and 1.1, any method, pipelined or not. This listener is what a whole
network's phones meet when an app's host is blocked, which is why it is a protocol of its own: it reads three headers.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HEAD = 16 * 1024  # more than any browser sends with the cookies of one site; above: 431
MAX_UNREAD = 256 * 1024  # what may still arrive after the answer before the connection is cut
IDLE_SECONDS = 10.0
MAX_CONNECTIONS = 4096

_END = re.compile(rb"\r?\n\r?\n")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_REQUEST = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([^ ]+) HTTP/1\.([0-9])")
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_READ = frozenset(
    (
        b"host",
        b"accept",
        b"accept-language",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
    )
)


@dataclass(frozen=True)
class Head:
    """What is read of a request. `host` is as it was sent, without being trusted to be a name."""

    method: bytes
    target: bytes
    host: bytes
    accept: str = ""
    accept_language: str = ""
    keep_alive: bool = True
    has_body: bool = False


class Reply(NamedTuple):
    """An answer ready to be sent: status line and headers (each with its CRLF) but Date and Connection; the body."""

    head: bytes
    body: bytes


class BadRequestError(Exception):
    """Not a request that can be answered in kind; carries the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body.decode())
        self.reply = reply


def plain_reply(status: str, text: str) -> Reply:
    body = (text + "\n").encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
    )
    return Reply(head.encode(), body)


MALFORMED = plain_reply("400 Bad Request", "This is not a request that can be answered.")
TOO_LARGE = plain_reply("431 Request Header Fields Too Large", "The head of this request is too large.")
BROKEN = plain_reply("500 Internal Server Error", "The notice cannot be shown at the moment.")


def read_head(block: bytes) -> Head:
    """The head in `block` (request line to last header, without the empty line), by RFC 9112."""
    lines = block.split(b"\n")
    request = _REQUEST.fullmatch(lines[0].rstrip(b"\r"))
    if request is None:
        raise BadRequestError(MALFORMED)
    method, target, minor = request.groups()
    found: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.rstrip(b"\r").partition(b":")
        # RFC 9112, 5.1: no space before the colon; 5.2: a folded line is refused.
        if not colon or _TOKEN.fullmatch(name) is None:
            raise BadRequestError(MALFORMED)
        name = name.lower()
        if name in _READ:
            if name == b"host" and name in found:  # RFC 9112, 3.2
                raise BadRequestError(MALFORMED)
            value = value.strip(b" \t")
            found[name] = found[name] + b"," + value if name in found else value
    host = found.get(b"host")
    absolute = _ABSOLUTE.match(target)
    if host is None and minor != b"0":
        raise BadRequestError(MALFORMED)
    connection = found.get(b"connection", b"").lower()
    return Head(
        method=method,
        target=target,
        host=absolute[1] if absolute else host or b"",
        accept=found.get(b"accept", b"").decode("latin-1"),
        accept_language=found.get(b"accept-language", b"").decode("latin-1"),
        keep_alive=b"keep-alive" in connection if minor == b"0" else b"close" not in connection,
        has_body=found.get(b"content-length", b"0") != b"0"
        or any(name in found for name in (b"transfer-encoding", b"expect", b"upgrade"))
        or method == b"CONNECT",
    )


class PlainHttp:
    """One listener's connections, and the one timer that ends those that dawdle. No connection: no timer."""

    def __init__(
        self,
        answer: Callable[[Head, str], Reply],
        failed: Callable[[], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.answer = answer
        self.failed = failed
        self.open: dict[Connection, float] = {}  # by last progress, oldest first
        self._loop = loop or asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._date, self._date_second = b"", 0

    def protocol(self) -> Connection:
        return Connection(self)

    def date(self) -> bytes:
        second = int(time.time())
        if second != self._date_second:
            self._date, self._date_second = f"Date: {formatdate(second, usegmt=True)}\r\n".encode(), second
        return self._date

    def progressed(self, connection: Connection) -> None:
        self.open.pop(connection, None)
        self.open[connection] = self._loop.time()
        if len(self.open) > MAX_CONNECTIONS:
            next(iter(self.open)).cut()
        if self._timer is None:
            self._timer = self._loop.call_later(1.0, self._sweep)

    def gone(self, connection: Connection) -> None:
        self.open.pop(connection, None)

    def close(self) -> None:
        for connection in list(self.open):
            connection.cut()
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        patience = self._loop.time() - IDLE_SECONDS
        for connection, last in list(self.open.items()):
            if last > patience:
                break
            connection.cut()
        self._timer = self._loop.call_later(1.0, self._sweep) if self.open else None


class Connection(asyncio.Protocol):
    """One connection: heads in, answers out, in order."""

    def __init__(self, site: PlainHttp) -> None:
        self._site = site
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._unread = 0
        self._ending = False
        self._paused = False
        self._client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._site.progressed(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._site.gone(self)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        if self._transport is not None and not self._ending:
            self._transport.resume_reading()
            self._work()

    def cut(self) -> None:
        self._site.gone(self)
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            self._unread += len(data)
            if self._unread > MAX_UNREAD:
                self.cut()
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._work()

    def _work(self) -> None:
        while self._buffer and not self._ending and not self._paused:
            # RFC 9112, 2.2: empty lines before a request line are skipped.
            block = self._buffer.lstrip(b"\r\n")
            end = _END.search(block)
            if end is None or end.start() > MAX_HEAD:
                self._buffer = block
                if len(block) > MAX_HEAD:
                    self._send(TOO_LARGE, keep_alive=False)
                return
            self._buffer = block[end.end() :]
            self._site.progressed(self)
            self._answer(block[: end.start()])

    def _answer(self, block: bytes) -> None:
        try:
            head = read_head(block)
            reply = self._site.answer(head, self._client)
        except BadRequestError as bad:
            self._send(bad.reply, keep_alive=False)
            return
        except Exception:  # noqa: BLE001 - one visitor's page may fail, the listener may not; counted, never logged
            self._site.failed()
            self._send(BROKEN, keep_alive=False)
            return
        self._send(reply, keep_alive=head.keep_alive and not head.has_body, with_body=head.method != b"HEAD")

    def _send(self, reply: Reply, *, keep_alive: bool, with_body: bool = True) -> None:
        if self._transport is None:
            return
        connection = b"Connection: keep-alive\r\n\r\n" if keep_alive else b"Connection: close\r\n\r\n"
        self._transport.write(reply.head + self._site.date() + connection + (reply.body if with_body else b""))
        if not keep_alive:
            # Half-closed, so that what is still on its way does not reset the answer (RFC 9112, 9.6).
            self._ending, self._buffer = True, b""
            if self._transport.can_write_eof():
                self._transport.write_eof()
