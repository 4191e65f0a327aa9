"""One GET over HTTP/2 (RFC 9113) on a connection that is already encrypted: what DNS over HTTPS needs, no more.

Enters: a TLS socket that negotiated `h2`, authority, path, media type. Leaves: the body of a 200. Raises `HttpError`
for any other status, `OSError` where the connection ends. Rules: one stream; no header is compressed by us, of the
server's the status alone is read (RFC 7541, Appendix A); bodies beyond `LARGEST` are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    import socket

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST = 65_535  # a DNS message
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK, END_STREAM, END_HEADERS, PADDED = 1, 1, 4, 8
STREAM = 1
# Fields of the static table: `:method GET`, `:scheme https`; then the indices of names whose values are sent plainly.
_GET, _HTTPS, _AUTHORITY, _PATH, _ACCEPT = b"\x82", b"\x87", 1, 4, 19
_TABLE_SIZE = 0x20  # RFC 7541, 6.3
_STATUS = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}


class HttpError(ResolverError):
    """The server answers, and not with what was asked for."""


def get(link: socket.socket, authority: str, path: str, accept: str) -> bytes:
    fields = _GET + _HTTPS + _literal(_AUTHORITY, authority) + _literal(_PATH, path) + _literal(_ACCEPT, accept)
    asked = _frame(HEADERS, END_STREAM | END_HEADERS, STREAM, fields)
    link.sendall(PREFACE + _frame(SETTINGS, 0, 0, b"") + asked)
    body = b""
    while True:
        kind, flags, stream, payload = _read(link)
        if kind == SETTINGS and not flags & ACK:
            link.sendall(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            link.sendall(_frame(PING, ACK, 0, payload))
        elif kind in (RST_STREAM, GOAWAY):
            raise HttpError(f"the server ended the request (error {int.from_bytes(payload[-4:])})")
        elif kind == HEADERS and stream == STREAM:
            _expect_200(_unpadded(flags, payload))
        elif kind == DATA and stream == STREAM:
            body += _unpadded(flags, payload)
        if len(body) > LARGEST:
            raise HttpError("the body is longer than any DNS message")
        if kind in (DATA, HEADERS) and stream == STREAM and flags & END_STREAM:
            return body


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _read(link: socket.socket) -> tuple[int, int, int, bytes]:
    head = _exactly(link, 9)
    return head[3], head[4], int.from_bytes(head[5:]) & 0x7FFF_FFFF, _exactly(link, int.from_bytes(head[:3]))


def _exactly(link: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        part = link.recv(length - len(found))
        if not part:
            raise ConnectionResetError("the connection ended before the answer did")
        found += part
    return found


def _unpadded(flags: int, payload: bytes) -> bytes:
    if flags & PADDED and payload:
        payload = payload[1 : len(payload) - payload[0]]
    return payload


def _expect_200(block: bytes) -> None:
    at = 0
    while at < len(block) and block[at] & 0xE0 == _TABLE_SIZE:  # sizes of a dynamic table that is not used
        at += 1
    status = _STATUS.get(block[at] if at < len(block) else 0)
    if status != 200:
        raise HttpError(f"the server answers with status {status or 'other than 200'}")


def _literal(index: int, value: str) -> bytes:
    """A field without indexing (RFC 7541, 6.2.2)."""
    octets = value.encode("ascii")
    return _number(index, 4) + _number(len(octets), 7) + octets


def _number(value: int, bits: int) -> bytes:
    """RFC 7541, 5.1, the bits before it zero."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = bytes([most]), value - most
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])
