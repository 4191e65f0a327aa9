"""The demo's upstream: a small name server on loopback, so that the demo needs no internet.

Enters: any query over UDP or TCP. Leaves: the same answers for every name (documentation addresses, RFC 5737 and 3849),
NXDOMAIN below `invalid` (RFC 6761). It is the world outside, not a part of Stopsign.
"""

from __future__ import annotations

import asyncio
import contextlib

from dnslib import AAAA, MX, NS, QTYPE, RCODE, RD, RR, SOA, TXT, A, DNSError, DNSLabel, DNSRecord

from resolver.config.schema import Endpoint
from resolver.host.sockets import free_endpoint

TTL = 300
ADDRESS, ADDRESS6 = "198.51.100.7", "2001:db8::7"
_SERVICE = b"\x00\x01\x00\x00\x01\x00\x03\x02h2"  # RFC 9460: priority 1, the name itself, alpn=h2


def answer(message: bytes) -> bytes | None:
    """The answer to one message, None where it is not a query."""
    try:
        query = DNSRecord.parse(message)
    except DNSError:
        return None
    if query.header.qr or len(query.questions) != 1:
        return None
    reply = query.reply(ra=1, aa=0)
    reply.header.ad = 0
    qname, qtype = query.q.qname, QTYPE.get(query.q.qtype)
    if str(qname).lower().endswith("invalid."):
        reply.header.rcode = RCODE.NXDOMAIN
        reply.add_auth(_soa())
        return bytes(reply.pack())
    data = {
        "A": lambda: A(ADDRESS),
        "AAAA": lambda: AAAA(ADDRESS6),
        "HTTPS": lambda: RD(_SERVICE),
        "MX": lambda: MX(DNSLabel([b"mail", *qname.label]), 10),
        "NS": lambda: NS(DNSLabel("ns.upstream.example.")),
        "TXT": lambda: TXT(b"the demo's own upstream"),
    }.get(qtype)
    if data is None:
        reply.add_auth(_soa())
    else:
        reply.add_answer(RR(qname, query.q.qtype, ttl=TTL, rdata=data()))
    return bytes(reply.pack())


def _soa() -> RR:
    times = (1, 3600, 900, 604_800, TTL)
    return RR(".", QTYPE.SOA, ttl=TTL, rdata=SOA("ns.upstream.example.", "hostmaster.upstream.example.", times))


class _Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(data)
        if reply is not None:
            self._transport.sendto(reply, addr)


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            size = int.from_bytes(await reader.readexactly(2))
            reply = answer(await reader.readexactly(size))
            if reply is None:
                break
            writer.write(len(reply).to_bytes(2) + reply)
            await writer.drain()
    writer.close()


class Upstream:
    """Listens on a free port of loopback until closed."""

    def __init__(self, server: asyncio.Server, datagrams: asyncio.DatagramTransport, address: Endpoint) -> None:
        self._server, self._datagrams, self.address = server, datagrams, address

    @classmethod
    async def open(cls, port: int = 0) -> Upstream:
        """On this port of loopback, 0: any free one. Raises `SocketError`."""
        endpoint = free_endpoint(Endpoint("127.0.0.1", port))
        server = await asyncio.start_server(_stream, endpoint.host, endpoint.port)
        datagrams, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            _Datagrams, (endpoint.host, endpoint.port)
        )
        return cls(server, datagrams, endpoint)

    def close(self) -> None:
        self._server.close()
        self._datagrams.close()
