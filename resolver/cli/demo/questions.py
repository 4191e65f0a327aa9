"""DNS questions that the demo asks by sockets of its own, and what it reads in the answers.

Enters: an address, a name, a type, a transport. Leaves: an `Answer`: the rcode, the data of the answer section, the
Extended DNS Error. Raises `OSError` where nobody answers in time.
"""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dnslib import EDNS0, QTYPE, RCODE, DNSQuestion, DNSRecord

if TYPE_CHECKING:
    from resolver.config.schema import Endpoint

Transport = Literal["UDP", "TCP"]
_EDE = 15  # option code, RFC 8914
_TRIES, _PATIENCE = 3, 2.0


@dataclass(frozen=True)
class Answer:
    """What came back, as a person reads it."""

    rcode: str
    data: tuple[str, ...]
    ede: int | None = None
    ede_text: str = ""

    def __str__(self) -> str:
        if self.rcode == "NOERROR" and not self.data:
            return "NODATA"
        return ", ".join(self.data) or self.rcode


def ask(server: Endpoint, name: str, qtype: str, transport: Transport = "UDP", *, edns: bool = False) -> Answer:
    """One question, asked again over UDP where the datagram got lost."""
    query = DNSRecord(q=DNSQuestion(name, QTYPE.reverse[qtype]))
    query.header.id = random.SystemRandom().randrange(1 << 16)
    query.header.rd = 1
    if edns:
        query.add_ar(EDNS0(udp_len=1232))
    message = bytes(query.pack())
    reply = _over_tcp(server, message) if transport == "TCP" else _over_udp(server, message)
    return _read(reply, query.header.id)


def _over_udp(server: Endpoint, message: bytes) -> bytes:
    family = socket.AF_INET6 if server.ipv6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as stream:
        stream.connect((server.host, server.port))
        stream.settimeout(_PATIENCE)
        for attempt in range(_TRIES):
            stream.send(message)
            try:
                return stream.recv(65_535)
            except TimeoutError:
                if attempt == _TRIES - 1:
                    raise
    raise AssertionError("unreachable")


def _over_tcp(server: Endpoint, message: bytes) -> bytes:
    with socket.create_connection((server.host, server.port), timeout=_PATIENCE * _TRIES) as stream:
        stream.sendall(len(message).to_bytes(2) + message)
        with stream.makefile("rb") as answers:
            size = int.from_bytes(answers.read(2))
            reply = answers.read(size)
    if len(reply) < size or size == 0:
        raise ConnectionResetError("the connection ended before the answer did")
    return reply


def _read(message: bytes, number: int) -> Answer:
    reply = DNSRecord.parse(message)
    if reply.header.id != number:
        raise ConnectionError("the answer carries another id than the question")
    ede, text = None, ""
    for record in reply.ar:
        if record.rtype == QTYPE.OPT:
            for option in record.rdata:
                if option.code == _EDE:
                    ede, text = int.from_bytes(option.data[:2]), option.data[2:].decode("utf-8", "replace")
    return Answer(str(RCODE.get(reply.header.rcode)), tuple(str(record.rdata) for record in reply.rr), ede, text)
