"""The messages of a zone transfer, made as they are sent: a million names never lie in memory.

Enters: a zone, an edition, the question's id. Leaves: messages in wire form, without TSIG, each below `LARGEST`
octets, so that every owner can be pointed to (14 bits, RFC 1035, 4.1.4). Rules: AXFR is RFC 5936: the SOA first and
last, every record once; IXFR is RFC 1995, 4: the new SOA, then for each step the old SOA with what goes and the next
SOA with what comes, then the new SOA. Written here, octet by octet, because a zone has millions of records.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from resolver.rpz.zone import IN, SILENT, SOA, parts, wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from resolver.rpz.history import Edition, Step
    from resolver.rpz.zone import Record, Zone

AXFR, IXFR = 252, 251
LARGEST = 16_000
_HEADER = struct.Struct("!6H")
_ANSWER = 0x8400  # QR, AA
_ORIGIN = b"\xc0\x0c"  # the question's name, at octet 12
_POINTER = 0xC000


class Packer:
    """Records into messages. `add_*` returns a message when one is full."""

    def __init__(self, zone: Zone, number: int, qtype: int) -> None:
        self._question = wire(zone.origin) + struct.pack("!HH", qtype, IN)
        self._id = number
        self._tails = {letter: [_tail(record, zone.ttl) for record in said] for letter, said in zone.said.items()}
        self._ttl = zone.ttl
        self._begin()

    def apex(self, record: Record) -> None:
        """A record of the zone's own name."""
        self._body += _ORIGIN + _tail(record, self._ttl)
        self._count += 1

    def name(self, name: bytes, itself: int, below: int) -> None:
        """The records of one name: for itself, and for all below it."""
        body = self._body
        at = len(body)
        first = b"".join([bytes((len(label),)) + label for label in name.split(b".")]) + _ORIGIN
        owner = first
        for tail in self._tails[itself]:
            body += owner
            body += tail
            owner = (_POINTER | at).to_bytes(2, "big")
            self._count += 1
        owner = b"\x01*" + owner
        at = len(body)
        for tail in self._tails[below]:
            body += owner
            body += tail
            owner = (_POINTER | at).to_bytes(2, "big")
            self._count += 1

    def full(self) -> bool:
        """Is there no room for another name's records?"""
        return len(self._body) > LARGEST - 1200

    def take(self) -> bytearray:
        """The message; the next one begins."""
        message = self._body
        _HEADER.pack_into(message, 0, self._id, _ANSWER, 1, self._count, 0, 0)
        self._begin()
        return message

    def _begin(self) -> None:
        self._body = bytearray(_HEADER.size) + self._question
        self._count = 0


def full(zone: Zone, serial: int, rules: BinaryIO, number: int, qtype: int = AXFR) -> Iterator[bytearray]:
    """A full transfer; also the answer to an IXFR where the steps are not kept (RFC 1995, 4)."""
    packer = Packer(zone, number, qtype)
    soa, ns = zone.apex(serial)
    packer.apex(soa)
    packer.apex(ns)
    for line in rules:
        packer.name(*parts(line))
        if packer.full():
            yield packer.take()
    packer.apex(soa)
    yield packer.take()


def incremental(zone: Zone, serial: int, steps: Iterable[tuple[Step, BinaryIO]], number: int) -> Iterator[bytearray]:
    """What changed, step by step. Each step's file is read twice: what goes, then what comes."""
    packer = Packer(zone, number, IXFR)
    packer.apex(zone.apex(serial)[0])
    for step, file in steps:
        for at, of in enumerate((step.before, step.after)):
            packer.apex(zone.apex(of)[0])
            file.seek(0)
            for line in file:
                name, said = _changed(line, at)
                packer.name(name, *said)
                if packer.full():
                    yield packer.take()
    packer.apex(zone.apex(serial)[0])
    yield packer.take()


def current(zone: Zone, serial: int, number: int, qtype: int = SOA) -> bytearray:
    """The SOA alone: the answer to a query for it, and to an IXFR from who has it already or asks over UDP."""
    packer = Packer(zone, number, qtype)
    packer.apex(zone.apex(serial)[0])
    return packer.take()


def files(edition: Edition, steps: Iterable[Step]) -> list[tuple[Step, BinaryIO]]:
    """The steps' files, all open: what is removed afterwards can still be read."""
    return [(step, edition.path(step).open("rb")) for step in steps]


def _changed(line: bytes, at: int) -> tuple[bytes, tuple[int, int]]:
    """What a step says of a name before (0) or after (1): of itself and of what is below it, where that changed."""
    name, *said = line.split()
    of, other = said[at], said[1 - at]
    itself, below = (letter if letter != was else SILENT for letter, was in zip(of, other, strict=True))
    return name, (itself, below)


def _tail(record: Record, ttl: int) -> bytes:
    kind, rdata, _ = record
    return struct.pack("!HHIH", kind, IN, ttl, len(rdata)) + rdata
