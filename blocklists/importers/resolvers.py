"""Blocks as other programs have them in their configuration: dnsmasq, Unbound, Squid.

    address=/example.com/0.0.0.0       dnsmasq: the name and the names below; `local=/name/` likewise
    server=/www.example.com/192.0.2.1  asked elsewhere: lets it pass (also `#`)
    local-zone: "example.com" always_nxdomain     Unbound; `transparent` lets the name and the names below pass
    local-data: "www.example.com A 0.0.0.0"       Unbound: that name alone; with another address it passes
    acl bad dstdomain .example.com     Squid: the name and the names below; without the dot that name alone
    .example.com                       likewise, in a file that an acl names: one name a line

Rules
- An address where nobody listens is a block, any other only where the import names it as a wall; the more specific rule
  wins, as in these programs.
- Of `local-data` addresses and aliases alone say where a name leads. The type of the zone around it says whether
  Unbound answers it: `always_…` ignores it, but for `always_null`, whatever unbound.conf(5) says. The last `local-zone`
  of a name counts.
- In Squid `http_access` says what an acl is for, where the file has any: the names of an acl that it allows pass; an
  acl that it does not deny is rejected.
- Other directives of a configuration are rejected, so that nothing is dropped unseen.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocklists.entry import at_or_above, explain_name, is_name
from blocklists.importers import hosts
from blocklists.importers.source import Rejection, lines, shown
from resolver._core import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from blocklists.entry import Match
    from blocklists.importers.intake import Intake

_DNSMASQ = re.compile(r"(address|server|local)\s*=\s*/(.*)/([^/]*)\Z").match
CLAUSES = (
    "(?:auth-zone|cachedb|dnscrypt|dnstap|dynlib|forward-zone|ipset|python|remote-control|rpz|server|stub-zone|view)"
)
"""Of Unbound's configuration, as a regular expression."""
_CLAUSE = re.compile(rf"({CLAUSES})\s*:\Z").match
_ZONE = re.compile(r"local-zone\s*:\s*([\"']?)([^\s\"']+)\1\s+[\"']?([a-z_]+)[\"']?\Z").match
_TAG = re.compile(r"local-zone-tag\s*:\s*[\"']?([^\s\"']+)").match
_DATA = re.compile(r"local-data\s*:\s*(?:\"([^\"]*)\"|'([^']*)')\Z").match
_RECORD = re.compile(r"(\S+)\s+(?:[0-9]\w*\s+)?(?:IN\s+)?([a-z][\w-]*)\s+(?:\S.*\s)?(\S+)\s*\Z", re.IGNORECASE).match
_ADDRESSES = frozenset({"A", "AAAA"})
_TARGETED = _ADDRESSES | {"CNAME"}
_REDIRECTING = frozenset({"redirect", "inform_redirect"})
_BLOCKING = _REDIRECTING | {
    "always_deny", "always_nodata", "always_null", "always_nxdomain", "always_refuse", "deny", "inform_deny", "refuse",
    "static",
}  # fmt: skip
_PASSING = frozenset({"always_transparent", "inform", "noview", "transparent", "typetransparent"})
_TYPES = (*sorted(_BLOCKING), *sorted(_PASSING))
_DEAF = frozenset({"always_deny", "always_nodata", "always_nxdomain", "always_refuse", "always_transparent", "tagged"})
"""To data; a tagged zone to all data of most clients."""


def read_dnsmasq(path: Path, intake: Intake) -> None:
    """Take the names of `address=`, `server=` and `local=`. Raises SourceError when the file cannot be read."""
    _each(path, intake, _dnsmasq)


def read_squid(path: Path, intake: Intake) -> None:
    """Take the names of `acl … dstdomain` lines, or of a file that such a line names. Raises SourceError."""
    access = _access(path, intake.size)
    for item in _directives(path, intake.size):
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.add_rejection(item)
        elif item[1]:
            _squid(*item, access, intake)


def read_unbound(path: Path, intake: Intake) -> None:
    """Take the names of `local-zone:` and `local-data:`. Raises SourceError when the file cannot be read."""
    found = _Unbound(intake)
    _each(path, intake, found.line)
    found.settle()


@dataclass(slots=True)
class _Unbound:
    """A configuration of Unbound: its zones and data, which answer together once all are known."""

    intake: Intake
    clause: str = "server"
    zones: Names = field(default_factory=lambda: Names((), (), (), ()))
    """Of each the number of its type in `_TYPES`."""
    again: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The last line and type of those that stand twice."""
    tagged: set[str] = field(default_factory=set)
    around: dict[str, str] = field(default_factory=dict)
    """The types of zones that data are in."""
    data: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)
    """Of a name its records, as type and target (empty where the type has none), each with its line."""

    def line(self, number: int, text: str, intake: Intake) -> None:
        """One line."""
        if clause := _CLAUSE(text):
            self.clause = clause[1]
            if self.clause != "server":
                intake.reject(number, text, "no local-zone and no local-data")
        elif self.clause == "view":
            intake.reject(number, text, "holds for the clients of a view alone: as a block it would be wider")
        elif zone := _ZONE(text):
            self._keep(number, text, zone[2].rstrip(".").lower(), zone[3])
        elif tag := _TAG(text):
            self.tagged.add(tag[1].rstrip(".").lower())
        elif (data := _DATA(text)) and (record := _RECORD(data[1] or data[2] or "")):
            name, kind, target = record[1].rstrip(".").lower(), record[2].upper(), record[3].rstrip(".").lower()
            records = self.data.setdefault(name, {})
            records.setdefault((sys.intern(kind), target if kind in _TARGETED else ""), number)
        else:
            intake.reject(number, text, "no local-zone and no local-data")

    def _keep(self, number: int, text: str, name: str, kind: str) -> None:
        if kind not in _TYPES:
            self.intake.reject(number, text, f"a local-zone of type {kind} is no block")
        elif not is_name(name):
            self.intake.reject(number, text, explain_name(shown(name)))
        elif self.zones.put(name, number, _TYPES.index(kind)) is not None:
            self.again[name] = number, _TYPES.index(kind)

    def settle(self) -> None:
        """Take what Unbound stops of all that was read."""
        wanted = {part for name in self.data for part in at_or_above(name)}
        for first, name, at in map(self.zones.__getitem__, range(len(self.zones))):
            number, last = self.again.get(name, (first, at))
            kind = "tagged" if name in self.tagged else _TYPES[last]
            if name in wanted:
                self.around[name] = kind
            self._zone(number, name, kind)
        for name, records in self.data.items():
            zone = next((self.around[part] for part in at_or_above(name) if part in self.around), "transparent")
            self._answered(name, min(records.values()), zone)

    def _zone(self, number: int, name: str, kind: str) -> None:
        if kind in _PASSING:
            own = kind not in _DEAF and self._targets(name)
            self._pass(number, name, "below" if own else "subtree", f"a local-zone of type {kind} lets a name pass")
        elif kind in _REDIRECTING and (away := self._away(name)):
            self._pass(number, name, "subtree", _leads(away))
        elif kind in _BLOCKING:
            self.intake.take(number, name, match="subtree")
        else:
            self.intake.reject(number, name, "holds for the clients of a tag alone: as a block it would be wider")

    def _answered(self, name: str, number: int, zone: str) -> None:
        """The data of one name, in a zone of this type."""
        away, apex = self._away(name), name in self.around
        if zone in _DEAF:
            if away or zone not in _BLOCKING:
                self.intake.reject(number, name, f"Unbound ignores this data: its zone is {zone}")
        elif not self._targets(name):
            if zone not in _BLOCKING:
                kinds = ", ".join(sorted({kind for kind, _ in self.data[name]}))
                self.intake.reject(number, name, f"a record of type {kinds} is no rule")
        elif away and not (apex and zone in _REDIRECTING):
            self._pass(number, name, "exact", _leads(away))
        elif zone == "typetransparent" and not self._is_whole(name):
            self._pass(number, name, "exact", "typetransparent: the other of A and AAAA is resolved")
        elif not (apex and zone in _BLOCKING):
            self.intake.take(number, name, match="exact")

    def _targets(self, name: str) -> list[str]:
        return [target for _, target in self.data.get(name, ()) if target]

    def _away(self, name: str) -> str | None:
        """A target of the name where somebody listens."""
        return next((one for one in self._targets(name) if not _leads_nowhere(one, self.intake.walls)), None)

    def _is_whole(self, name: str) -> bool:
        kinds = {kind for kind, _ in self.data[name]}
        return "CNAME" in kinds or kinds >= _ADDRESSES

    def _pass(self, number: int, name: str, match: Match, reason: str) -> None:
        self.intake.let_pass(number, name, match=match, wins=False, reason=reason)


def _leads(target: str) -> str:
    return f"leads to {target}, which is no wall unless --walls names it"


def _each(path: Path, intake: Intake, take: Callable[[int, str, Intake], None]) -> None:
    for item in lines(path, size=intake.size):
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.add_rejection(item)
        elif text := _uncommented(item[1]):
            take(item[0], text, intake)


def _uncommented(text: str) -> str:
    return re.sub(r"(?:^|\s)#.*", "", text).strip()


def _dnsmasq(number: int, text: str, intake: Intake) -> None:
    rule = _DNSMASQ(text)
    if rule is None:
        intake.reject(number, text, "no address=, server= or local= with a name")
        return
    target = rule[3].strip()
    blocks = not target or (rule[1] == "address" and (target == "#" or _leads_nowhere(target, intake.walls)))
    for name in rule[2].split("/"):
        if blocks:
            intake.take(number, name, match="subtree")
        else:
            reason = "asked elsewhere: lets a name pass"
            if rule[1] == "address":
                reason = _leads(target)
            intake.let_pass(number, text, match="subtree", wins=False, name=name, reason=reason)


def _squid(number: int, words: list[str], access: dict[str, bool], intake: Intake) -> None:
    allowed: bool | None = False
    if words[0] == "acl":
        if words[2:3] != ["dstdomain"]:
            intake.reject(number, " ".join(words), "an acl of something other than names (dstdomain)")
            return
        allowed = access.get(words[1].lower()) if access else False
        if allowed is None:
            intake.reject(number, " ".join(words), "an acl that no http_access denies")
            return
        words = words[3:]
    elif len(words) > 1:
        intake.reject(number, " ".join(words), "neither acl … dstdomain nor one name alone")
        return
    for name in words:
        match: Match = "subtree" if name.startswith(".") else "exact"
        if name.startswith(("-", '"')):
            intake.reject(number, name, "an option or another file: import that file itself")
        elif allowed:
            intake.let_pass(number, name, match=match, wins=True, reason="http_access allows its acl: lets a name pass")
        else:
            intake.take(number, name, match=match)


def _access(path: Path, size: int) -> dict[str, bool]:
    """Whether `http_access` allows each acl that it names, which it does below the acl: so the file is read twice."""
    found: dict[str, bool] = {}
    for item in _directives(path, size):
        if isinstance(item, Rejection) or item[1][:1] != ["http_access"]:
            continue
        for acl in item[1][2:]:
            name, allows = acl.lstrip("!").lower(), (item[1][1] == "allow") != acl.startswith("!")
            found[name] = allows or found.get(name, False)
    return found


def _directives(path: Path, size: int) -> Iterator[tuple[int, list[str]] | Rejection]:
    """The words of each line, less its comment; where the line before goes on in it, behind that one's first words."""
    begun: list[str] = []
    for item in lines(path, size=size):
        if isinstance(item, Rejection):
            yield item
            continue
        text = _uncommented(item[1])
        words = begun + text.removesuffix("\\").split() if text else []
        if words:
            begun = (words[:3] if words[0] == "acl" else words[:2]) if text.endswith("\\") else []
        yield item[0], words


def _leads_nowhere(target: str, walls: frozenset[str]) -> bool:
    if hosts.is_address(target):
        return hosts.is_wall(target, walls)
    return target in walls
