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
- In Squid `http_access` says what an acl is for, where the file has any: the names of an acl that it allows pass; an
  acl that it does not deny is rejected.
- Other directives of a configuration are rejected, so that nothing is dropped unseen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blocklists.importers import hosts
from blocklists.importers.source import Rejection, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from blocklists.entry import Match
    from blocklists.importers.intake import Intake

_DNSMASQ = re.compile(r"(address|server|local)\s*=\s*/(.*)/([^/]*)\Z").match
_ZONE = re.compile(r"local-zone\s*:\s*\"?([^\s\"]+)\"?\s+\"?([a-z_]+)\"?\s*\Z").match
_DATA = re.compile(r"local-data(?:-ptr)?\s*:\s*(?:\"([^\"]*)\"|'([^']*)')\s*\Z").match
_BLOCKING = frozenset({
    "always_deny", "always_nodata", "always_null", "always_nxdomain", "always_refuse", "deny", "inform_deny",
    "refuse", "static", "redirect", "inform_redirect",  # unless local-data says another answer
})  # fmt: skip
_PASSING = frozenset({"always_transparent", "inform", "nodefault", "transparent", "typetransparent"})


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
    answered: dict[str, int] = {}
    data: dict[str, dict[str, int]] = {}
    """Of a name its targets, each with its line."""

    def take(number: int, text: str, intake: Intake) -> None:
        if zone := _ZONE(text):
            name, kind = zone[1].rstrip(".").lower(), zone[2]
            if kind.startswith("always_") and kind in _BLOCKING:
                intake.take(number, name, match="subtree")
            elif kind in _BLOCKING:
                answered[name] = number
            elif kind in _PASSING:
                intake.let_pass(number, text, match="subtree", wins=False, name=name)
            else:
                intake.reject(number, text, f"a local-zone of type {kind} is no block")
        elif (record := _DATA(text)) and len(words := (record[1] or record[2] or "").split()) >= 3:
            data.setdefault(words[0].rstrip(".").lower(), {}).setdefault(words[-1].rstrip(".").lower(), number)
        elif text.rstrip() != "server:":
            intake.reject(number, text, "no local-zone and no local-data")

    def settle(number: int, name: str, match: Match) -> None:
        others = [target for target in data.get(name, ()) if not _leads_nowhere(target, intake.walls)]
        if others:
            reason = f"leads to {others[0]}, which is no wall unless --walls names it"
            intake.let_pass(number, name, match=match, wins=False, reason=reason)
        else:
            intake.take(number, name, match=match)

    _each(path, intake, take)
    for name, number in answered.items():
        settle(number, name, "subtree")
    for name, targets in data.items():
        if name not in answered:
            settle(min(targets.values()), name, "exact")


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
                reason = f"leads to {target}, which is no wall unless --walls names it"
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
