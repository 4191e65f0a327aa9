"""Response policy zones (draft-vixie-dnsop-dns-rpz), as master files (RFC 1035 5), read by dnspython's zone reader.

    $ORIGIN rpz.example.
    example.com     CNAME .        ; the name: exact
    *.example.com   CNAME .        ; the names below; both together: subtree

Rules
- The file is read as a DNS server reads it: `$ORIGIN` within `$ORIGIN`, relative owners, parentheses, quotes. One line
  that is none refuses the file, as a server refuses the zone.
- The zone's name is the owner of its SOA, else the first `$ORIGIN`. Owners outside it are ignored by servers: rejected.
- NXDOMAIN (`.`), NODATA (`*.`), `rpz-drop.` and addresses where nobody listens are blocks; the provider's configuration
  says what is answered. `rpz-passthru.`, a CNAME to the name itself (its old form) and `rpz-tcp-only.` let a name pass.
- Any other target leads elsewhere, for example to a search engine's own filter: a block only where the import names it
  as a wall. It also overrides broader blocks of the zone, so otherwise the name passes.
- Triggers by address or name server are rejected: an entry is a name.
"""

from __future__ import annotations

import heapq
import io
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import dns.exception
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.zonefile

from blocklists.importers import hosts, source
from blocklists.importers.source import SourceError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dns.name import Name
    from dns.rdata import Rdata

    from blocklists.entry import Match
    from blocklists.importers.intake import Intake

_TRIGGERS = frozenset({"rpz-ip", "rpz-client-ip", "rpz-nsip", "rpz-nsdname"})
_OWN = frozenset({"SOA", "NS", "TXT", "DNSKEY", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "ZONEMD", "CDS", "CDNSKEY"})
_BLOCKS = frozenset({".", "*.", "rpz-drop."})
_PASSES = frozenset({"rpz-passthru.", "rpz-tcp-only."})


class Octets(io.RawIOBase):
    """Blocks of octets as a file that may be read."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest, self._ended = blocks, b"", False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As io.RawIOBase has it."""
        block = self._rest or next(self._blocks, b"")
        if not block and not self._ended:
            block, self._ended = b"\n", True  # so that the last line is counted as the others are
        count = min(len(block), len(buffer))
        buffer[:count] = block[:count]
        self._rest = block[count:]
        return count


@dataclass(slots=True)
class Rules:
    """What dnspython's reader writes into, in place of a transaction: takes the rules of a zone as they come.

    What comes before the SOA waits for it, since the zone's name is its owner.
    """

    tokens: dns.tokenizer.Tokenizer
    intake: Intake
    apex: Name | None = None
    origin: Name | None = None
    exact: dict[str, int] = field(default_factory=dict)
    """Blocked names, each with its line."""
    below: dict[str, int] = field(default_factory=dict)
    count: int = 0
    _waiting: list[tuple[int, Name, Rdata]] = field(default_factory=list)

    @property
    def manager(self) -> Rules:
        """A transaction names its zone by its manager."""
        return self

    def origin_information(self) -> tuple[Name, bool, Name]:
        """Owners are read to absolute names; the zone's own name is found as the records come."""
        return dns.name.root, False, dns.name.root

    def check_put_rdataset(self, check: object) -> None:
        """Nothing: what a server says of CNAME and other data is no matter of a list."""

    def add(self, name: Name, ttl: int, rdata: Rdata) -> None:
        """One record."""
        del ttl
        self.count += 1
        if self.count > source.MAX_LINES:
            raise SourceError(f"more than {source.MAX_LINES:,} records")
        line = self.tokens.where()[1] - 1  # it is read already
        if self.apex is None:
            self._waiting.append((line, name, rdata))
            if rdata.rdtype == dns.rdatatype.SOA:
                self.settle(name)
        else:
            self._take(line, name, rdata, self.apex)

    def settle(self, apex: Name) -> None:
        """From now on the zone is known by this name."""
        self.apex = apex
        for line, name, rdata in self._waiting:
            self._take(line, name, rdata, apex)
        self._waiting.clear()

    def _set_origin(self, origin: Name) -> None:
        self.origin = self.origin or origin

    def _take(self, line: int, owner: Name, data: Rdata, apex: Name) -> None:
        intake, kind = self.intake, dns.rdatatype.to_text(data.rdtype)
        if owner == apex and kind in _OWN:
            return
        if not owner.is_subdomain(apex):
            intake.reject(line, f"{owner} {kind} {data}", f"outside the zone {apex}: a server ignores it")
            return
        name = owner.relativize(apex).to_text(omit_final_dot=True).lower()
        if _TRIGGERS.intersection(name.split(".")):
            reason = "a trigger by address or name server: lists stop names"
            intake.reject(line, f"{owner} {kind} {data}", reason)
            return
        below, bare = name.startswith("*."), name.removeprefix("*.")
        if (why := _passes(bare, kind, data, intake.walls)) is None:
            (self.below if below else self.exact).setdefault(bare, line)
        elif kind in {"CNAME", "A", "AAAA"}:
            match: Match = "below" if below else "exact"
            intake.let_pass(line, f"{owner} {kind} {data}", match=match, wins=False, name=bare, reason=why)
        else:
            intake.reject(line, f"{owner} {kind} {data}", why)


def read(path: Path, intake: Intake, *, encoding: str | None = None) -> None:
    """Take every blocking rule of the zone into `intake`. Raises SourceError when it is no zone."""
    blocks = (block.encode() for block in source.text(path, size=intake.size, encoding=encoding) if block)
    text = io.TextIOWrapper(io.BufferedReader(Octets(blocks), 1 << 16), "utf-8", newline="")
    tokens = dns.tokenizer.Tokenizer(text, str(path), idna_codec=dns.name.IDNA_2008_UTS_46)
    found = Rules(tokens, intake)
    try:
        dns.zonefile.Reader(tokens, dns.rdataclass.IN, cast("Any", found), default_ttl=0).read()
    except dns.exception.DNSException as error:
        raise SourceError(
            f"{path}, line {tokens.where()[1]}: {shown(str(error).rpartition(': ')[2] or type(error).__name__)}",
            hint="a DNS server refuses this zone too: named-checkzone says what it finds",
        ) from None
    if found.apex is None:
        found.settle(found.origin or dns.name.root)
    intake.lines += tokens.where()[1]
    for name, line in heapq.merge(found.exact.items(), found.below.items(), key=itemgetter(1)):
        exact, below = found.exact.get(name), found.below.get(name)
        if exact is None or below is None:
            intake.take(line, name, match="below" if exact is None else "exact")
        elif line == min(exact, below):  # the other half comes later
            intake.take(line, name, match="subtree")


def _passes(name: str, kind: str, data: Rdata, walls: frozenset[str]) -> str | None:
    """Why a record is no block of its owner; None where it is one."""
    target = str(data).lower()
    if kind in {"A", "AAAA"}:
        return None if hosts.is_wall(target, walls) else f"leads to {target}, which is no wall unless --walls names it"
    if kind != "CNAME":
        return f"a record of type {kind} is no rule"
    if target in _BLOCKS or target.rstrip(".") in walls:
        return None
    if target in _PASSES or target.rstrip(".") == name:
        return "lets a name pass"
    return f"leads to {shown(target)}, which is no wall unless --walls names it"
