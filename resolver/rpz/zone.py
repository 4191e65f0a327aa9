"""A response policy zone: what it is called, and how a rule is said in records.

Enters: rules, lines `NAME SB` that the core writes (`CompiledList.write_policies`): `S` is a letter for the name
itself, `B` one for all below it. Leaves: records, in wire form and as lines of a zone file.
Rules (draft-vixie-dnsop-dns-rpz-00, which every resolver follows):

- `s`, the stop page: its A and AAAA records; any other type then has no data. Without an address: no data at all;
- `x` is CNAME `.`: NXDOMAIN; `n` is CNAME `*.`: NODATA; `p` is CNAME `rpz-passthru.`;
- `r`: a zone cannot say REFUSED; what is said instead is configured, `rpz-drop.` by default.

The zone's own name has an SOA and an NS record and never a rule.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Address, IPv6Address

    from resolver.config.schema import Config
    from resolver.config.schema_rpz import RpzZone

NS, CNAME, SOA, A, AAAA = 2, 5, 6, 1, 28
IN = 1
SILENT = ord("-")
LONGEST = 255  # octets of a name in wire form (RFC 1035, 2.3.4)
_TARGETS = {"nxdomain": ".", "nodata": "*.", "drop": "rpz-drop.", "passthru": "rpz-passthru."}

Record = tuple[int, bytes, str]
"""Type, rdata in wire form, rdata as text."""


class RpzError(ResolverError):
    """A response policy zone cannot be made or served."""


@dataclass(frozen=True)
class Zone:
    """All of a zone but its rules and its serial."""

    origin: str
    ttl: int
    refresh: int
    expire: int
    rname: str
    said: dict[int, tuple[Record, ...]]
    """By the letter of a rule."""
    dialect: str = "standard"
    """Of its file; a transfer always speaks the standard."""

    @property
    def room(self) -> int:
        """Octets of the longest name that fits before the origin: a name is one octet longer in wire form."""
        return LONGEST - 1 - len(wire(self.origin))

    @property
    def terms(self) -> str:
        """Two zones of equal terms say the same rule by the same records."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def apex(self, serial: int) -> tuple[Record, Record]:
        """SOA and NS."""
        timers = (serial, self.refresh, max(self.refresh // 4, 1), self.expire, self.ttl)
        soa = b"".join((wire("localhost"), wire(self.rname), struct.pack("!5I", *timers)))
        text = f"localhost. {self.rname}. {' '.join(str(number) for number in timers)}"
        return (SOA, soa, text), (NS, wire("localhost"), "localhost.")

    def head(self, serial: int) -> Iterator[str]:
        """The first lines of a zone file. The SOA comes first, as Knot Resolver needs it."""
        yield f"$ORIGIN {self.origin}.\n$TTL {self.ttl}\n"
        for kind, _, text in self.apex(serial):
            yield f"@ {NAMES[kind]} {text}\n"

    def lines(self, serial: int, rules: Iterable[bytes]) -> Iterator[str]:
        """The zone file, line by line."""
        yield from self.head(serial)
        shown = {letter: [f"{NAMES[kind]} {text}\n" for kind, _, text in said] for letter, said in self.said.items()}
        for line in rules:
            name, itself, below = parts(line)
            owner = name.decode("ascii")
            for record in shown[itself]:
                yield f"{owner} {record}"
            for record in shown[below]:
                yield f"*.{owner} {record}"


NAMES = {NS: "NS", CNAME: "CNAME", SOA: "SOA", A: "A", AAAA: "AAAA"}


def zone_of(config: Config, source: RpzZone) -> Zone:
    """The zone that the configuration describes."""
    stop = _addresses(config.stop_page.ipv4, config.stop_page.ipv6) or (_policy("nodata"),)
    said = {
        ord("s"): stop,
        ord("x"): (_policy("nxdomain"),),
        ord("n"): (_policy("nodata"),),
        ord("r"): (_policy(source.refused),),
        ord("p"): (_policy("passthru"),),
        SILENT: (),
    }
    return Zone(
        origin=source.origin,
        ttl=int(source.ttl),
        refresh=int(source.refresh),
        expire=int(source.expire),
        rname=f"hostmaster.{source.origin}",
        said=said,
        dialect=source.dialect,
    )


def parts(line: bytes) -> tuple[bytes, int, int]:
    """Name, and the letters for itself and for what is below it, of a line of rules."""
    name, _, said = line.rstrip().partition(b" ")
    return name, said[0], said[1]


def wire(name: str) -> bytes:
    """The wire form of a name in A-labels, without compression."""
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _policy(what: str) -> Record:
    target = _TARGETS[what]
    return (CNAME, wire(target), target)


def _addresses(ipv4: IPv4Address | None, ipv6: IPv6Address | None) -> tuple[Record, ...]:
    found: list[Record] = []
    if ipv4 is not None:
        found.append((A, ipv4.packed, str(ipv4)))
    if ipv6 is not None:
        found.append((AAAA, ipv6.packed, str(ipv6)))
    return tuple(found)
