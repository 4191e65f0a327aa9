"""NOTIFY (RFC 1996): each secondary hears that there is a new serial, again and again until it says so.

Enters: a zone's edition. Leaves: datagrams. Rules: signed with the secondary's key; the pauses double, and there are
`TRIES`; a newer edition replaces an older one's messages; a secondary that never answers still asks by the
SOA's refresh.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from typing import TYPE_CHECKING

from resolver.rpz.keys import Signer
from resolver.rpz.zone import IN, SOA, wire

if TYPE_CHECKING:
    import dns.tsig

    from resolver.config.values import Endpoint
    from resolver.rpz.zone import Zone

FIRST, TRIES = 1.0, 7
_OPCODE = 4


def message(zone: Zone, serial: int, number: int) -> bytes:
    """NOTIFY with the new SOA as a hint (RFC 1996, 3.7)."""
    _, soa, _ = zone.apex(serial)[0]
    head = struct.pack("!6H", number, _OPCODE << 11 | 0x0400, 1, 1, 0, 0)
    question = wire(zone.origin) + struct.pack("!HH", SOA, IN)
    return head + question + b"\xc0\x0c" + struct.pack("!HHIH", SOA, IN, zone.ttl, len(soa)) + soa


async def tell(zone: Zone, serial: int, to: Endpoint, key: dns.tsig.Key | None) -> bool:
    """Whether the secondary acknowledged."""
    loop = asyncio.get_running_loop()
    number = secrets.randbelow(1 << 16)
    heard = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answers(number, heard), remote_addr=(to.host, to.port)
        )
    except OSError:
        return False
    try:
        for attempt in range(TRIES):
            transport.sendto(Signer(key).sign(message(zone, serial, number)))
            done, _ = await asyncio.wait([heard], timeout=FIRST * 2**attempt)
            if done:
                return True
        return False
    finally:
        transport.close()


class _Answers(asyncio.DatagramProtocol):
    """The answer to one NOTIFY: from that address (the socket is connected), with its id."""

    def __init__(self, number: int, heard: asyncio.Future[None]) -> None:
        self._number, self._heard = number, heard

    def datagram_received(self, data: bytes, _address: object) -> None:
        if len(data) < 12 or self._heard.done():
            return
        number, flags = struct.unpack_from("!HH", data)
        if number == self._number and flags >> 15 and flags >> 11 & 15 == _OPCODE and flags & 15 == 0:
            self._heard.set_result(None)

    def error_received(self, _error: Exception) -> None:
        """Nothing listens there yet: the next try may be heard."""
