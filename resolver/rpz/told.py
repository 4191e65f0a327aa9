"""What a resolver says of its answers, and which of them were blocks: dnstap, and PowerDNS's protobuf stream.

Enters: octets from a resolver. Leaves: `Told`, a name with what was answered. Rules: of a message only the question,
the rcode and the addresses are read; who asked is in there too and is never looked at; what is malformed ends
the stream.

    dnstap     Frame Streams (fstrm): length u32, payload; length 0: a control frame; payload: dnstap.proto
    protobuf   length u16, payload: PBDNSMessage (dnsmessage.proto)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterator

LARGEST = 1 << 17  # octets of a frame
_ACCEPT, _START, _STOP, _READY, _FINISH = 1, 2, 3, 4, 5
_CONTENT_TYPE = 1
_DNSTAP = b"protobuf:dnstap.Dnstap"
_CLIENT_RESPONSE = 6  # dnstap.proto, Message.Type
_RESPONSE = 2  # dnsmessage.proto, PBDNSMessage.Type: DNSResponseType


class StreamError(Exception):
    """Not what it should be: the stream ends."""


@dataclass(frozen=True)
class Told:
    """One answer: for which name (lower case), and how. `by_policy`: the resolver itself says that a policy applied."""

    qname: str
    rcode: int
    empty: bool
    data: bytes
    """Where the addresses of the answer are, among other octets."""
    by_policy: bool = False


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message, in order; groups do not occur."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise StreamError(f"wire type {kind}")
        if at + size > end:
            raise StreamError("cut short")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise StreamError("a number without an end")
        octet = data[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
        shift += 7


def _octets(data: bytes, wanted: int) -> bytes:
    return next((value for number, value in fields(data) if number == wanted and isinstance(value, bytes)), b"")


def of_dnstap(frame: bytes) -> Told | None:
    """The answer in a dnstap frame; None where it is of another kind."""
    message = _octets(frame, 14)
    kind, response = 0, b""
    for number, value in fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 14 and isinstance(value, bytes):
            response = value
    if kind != _CLIENT_RESPONSE or len(response) < 12:
        return None
    _, flags, questions, answers = struct.unpack_from("!4H", response)
    if questions != 1:
        return None
    return Told(_qname(response), flags & 15, answers == 0, response)


def of_powerdns(message: bytes) -> Told | None:
    """The answer in a message of PowerDNS Recursor; None where it is of another kind."""
    kind, question, response = 0, b"", b""
    for number, value in fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 12 and isinstance(value, bytes):
            question = value
        elif number == 13 and isinstance(value, bytes):
            response = value
    if kind != _RESPONSE:
        return None
    rcode, policy, records = 0, b"", []
    for number, value in fields(response):
        if number == 1 and isinstance(value, int):
            rcode = value
        elif number == 2 and isinstance(value, bytes):
            records.append(value)
        elif number == 3 and isinstance(value, bytes):
            policy = value
    name = _octets(question, 1).decode("ascii", "replace").rstrip(".").lower()
    return Told(name, rcode, not records, b"".join(records), by_policy=bool(policy))


def _qname(message: bytes) -> str:
    labels, at = [], 12
    while at < len(message) and 0 < message[at] < 64:
        labels.append(message[at + 1 : at + 1 + message[at]])
        at += 1 + message[at]
    return b".".join(labels).decode("ascii", "replace").lower()


async def dnstap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[Told]:
    """The answers of a Frame Streams connection: both sides agree on the content first, and take leave at the end."""
    await _control(reader, _READY)
    writer.write(_control_frame(_ACCEPT, _DNSTAP))
    await writer.drain()
    await _control(reader, _START)
    while True:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size == 0:
            break
        if (told := of_dnstap(await _frame(reader, size))) is not None:
            yield told
    writer.write(_control_frame(_FINISH))


async def powerdns(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> AsyncIterator[Told]:
    """The answers of a protobuf connection."""
    while True:
        size = int.from_bytes(await reader.readexactly(2), "big")
        if (told := of_powerdns(await _frame(reader, size))) is not None:
            yield told


async def _frame(reader: asyncio.StreamReader, size: int) -> bytes:
    if size > LARGEST:
        raise StreamError(f"a frame of {size} octets")
    return await reader.readexactly(size)


async def _control(reader: asyncio.StreamReader, wanted: int) -> None:
    if int.from_bytes(await reader.readexactly(4), "big"):
        raise StreamError("data before the handshake")
    frame = await _frame(reader, int.from_bytes(await reader.readexactly(4), "big"))
    if int.from_bytes(frame[:4], "big") != wanted or _DNSTAP not in frame:
        raise StreamError("not a dnstap stream")


def _control_frame(kind: int, content: bytes = b"") -> bytes:
    body = kind.to_bytes(4, "big")
    if content:
        body += struct.pack("!II", _CONTENT_TYPE, len(content)) + content
    return struct.pack("!II", 0, len(body)) + body
