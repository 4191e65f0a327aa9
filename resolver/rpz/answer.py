"""What is answered to a secondary: decided here, purely; `serve` does the sending.

    address known? -> a query? -> signature holds? -> this secondary, key, zone? -> there yet? -> SOA, IXFR, AXFR

Enters: a message, where it came from, over what. Leaves: `None` (it is no question), a `Reply`, which is empty for an
address that is no secondary's, or a `Transfer` whose messages are made while they are sent. Rules: no record leaves
before all of this is answered; a wrong signature or a missing one gets an error and nothing else; a transfer goes
over streams alone.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass

from resolver.rpz import keys, messages
from resolver.rpz.zone import NS, SOA, RpzError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
    from typing import BinaryIO

    from dns.tsig import Key

    from resolver.rpz.history import Edition
    from resolver.rpz.zone import Zone


@dataclass(frozen=True)
class Secondary:
    """Who may ask: from where, with which key (None: unsigned), for which zones."""

    name: str
    addresses: tuple[IPv4Network | IPv6Network, ...]
    key: Key | None
    zones: frozenset[str]

    def is_at(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address.version == prefix.version and address in prefix for prefix in self.addresses)


@dataclass(frozen=True)
class Served:
    """A zone at one moment; without an edition it is configured, but not made yet."""

    zone: Zone
    edition: Edition | None


@dataclass(frozen=True)
class Refusal:
    """Why somebody got no zone; `who`: the secondary that is at that address, None: none is."""

    why: str
    who: str | None


STRANGER = Refusal("its address is no secondary's", None)


@dataclass(frozen=True)
class Reply:
    """`data` empty: nothing is sent."""

    data: bytes
    what: str
    secondary: str | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Transfer:
    """Messages to sign and send, and the files that they are made of."""

    what: str
    """`AXFR` or `IXFR`."""
    secondary: str
    zone: str
    serial: int
    messages: Iterator[bytearray]
    signer: keys.Signer
    files: tuple[BinaryIO, ...]

    def close(self) -> None:
        for file in self.files:
            file.close()


def at(peer: str, secondaries: Sequence[Secondary]) -> list[Secondary]:
    """Those that may ask from this address."""
    address = ipaddress.ip_address(peer.partition("%")[0])
    return [one for one in secondaries if one.is_at(address)]


def decide(
    data: bytes, peer: str, *, stream: bool, secondaries: Sequence[Secondary], zones: Mapping[str, Served]
) -> Reply | Transfer | None:
    """The answer to one message. Opens the files of a transfer, so that a newer edition may remove them."""
    known = at(peer, secondaries)
    if len(data) < 12 or data[2] & 0x80:
        return None
    if not known:
        return Reply(b"", "refused: an unknown address", refusal=STRANGER)
    try:
        request = keys.verified(data, {one.key.name: one.key for one in known if one.key is not None})
    except keys.TsigError as wrong:
        return Reply(wrong.answer, f"refused: {wrong}", refusal=Refusal(str(wrong), known[0].name))
    except RpzError:
        return None
    message = request.message
    if message.opcode() != dns.opcode.QUERY:
        return _plain(request, dns.rcode.NOTIMP, "not a query")
    if len(message.question) != 1 or message.question[0].rdclass != dns.rdataclass.IN:
        return _plain(request, dns.rcode.FORMERR, "not one question")
    question = message.question[0]
    origin = question.name.to_text(omit_final_dot=True).lower()
    asking = next((one for one in known if origin in one.zones and _proven(one, request)), None)
    if asking is None:
        why = "it does not sign" if request.key is None else "it may not have that zone"
        return replace(_plain(request, dns.rcode.REFUSED, f"refused: {why}"), refusal=Refusal(why, known[0].name))
    served = zones[origin]
    if served.edition is None:
        return _plain(request, dns.rcode.SERVFAIL, "the zone is not made yet", asking.name)
    return _answer(request, int(question.rdtype), served.zone, served.edition, asking.name, stream=stream)


def _proven(secondary: Secondary, request: keys.Request) -> bool:
    key = None if secondary.key is None else secondary.key.name.to_text()
    return key == request.key


def _answer(
    request: keys.Request, qtype: int, zone: Zone, edition: Edition, asking: str, *, stream: bool
) -> Reply | Transfer:
    number, serial = request.message.id, edition.serial
    if qtype == messages.AXFR and stream:
        return _full(request, qtype, zone, edition, asking)
    if qtype == messages.IXFR:
        has = _serial_of(request.message)
        if has is None:
            return _plain(request, dns.rcode.FORMERR, "an IXFR without an SOA", asking)
        steps = edition.since(has)
        if steps == () or not stream:
            # RFC 1995, 2 and 4: who is up to date gets the SOA alone; so does who asks over UDP, and comes back
            alone = messages.current(zone, serial, number, qtype)
            return Reply(request.signer.sign(alone), f"IXFR from {has}: the SOA alone", asking)
        if steps is None:
            return _full(request, qtype, zone, edition, asking)
        opened = messages.files(edition, steps)
        made = messages.incremental(zone, serial, opened, number)
        return Transfer("IXFR", asking, zone.origin, serial, made, request.signer, tuple(file for _, file in opened))
    if qtype == SOA:
        return Reply(request.signer.sign(messages.current(zone, serial, number)), "SOA", asking)
    if qtype == NS:
        packer = messages.Packer(zone, number, NS)
        packer.apex(zone.apex(serial)[1])
        return Reply(request.signer.sign(packer.take()), "NS", asking)
    return _plain(request, dns.rcode.REFUSED, "only SOA, NS, IXFR and, over TCP, AXFR", asking)


def _full(request: keys.Request, qtype: int, zone: Zone, edition: Edition, asking: str) -> Transfer:
    rules = edition.rules.open("rb", buffering=1 << 16)
    made = messages.full(zone, edition.serial, rules, request.message.id, qtype)
    return Transfer("AXFR", asking, zone.origin, edition.serial, made, request.signer, (rules,))


def _serial_of(message: dns.message.Message) -> int | None:
    """The serial that the secondary has, in the authority section (RFC 1995, 3)."""
    for records in message.authority:
        if records.rdtype == SOA and len(records):
            return int(records[0].serial)
    return None


def _plain(request: keys.Request, rcode: dns.rcode.Rcode, what: str, asking: str | None = None) -> Reply:
    """An answer without records, signed where the question was."""
    flags = 0x8000 | request.message.flags & 0x0100
    head = request.message.id.to_bytes(2, "big") + (flags | request.message.opcode() << 11 | rcode).to_bytes(2, "big")
    question = b"".join(keys.question_wire(one) for one in request.message.question)
    counts = len(request.message.question).to_bytes(2, "big") + bytes(6)
    return Reply(request.signer.sign(head + counts + question), what, asking)
