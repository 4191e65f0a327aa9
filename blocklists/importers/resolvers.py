"""Blocks as other programs have them in their configuration: dnsmasq, Unbound, Squid.

    address=/example.com/0.0.0.0       dnsmasq: the name and the names below; `local=/name/` likewise
    server=/www.example.com/192.0.2.1  asked elsewhere: lets it pass (also `#`)
    local-zone: "example.com" always_nxdomain     Unbound; `transparent` lets the name and the names below pass
    .example.com                       Squid (dstdomain): the name and the names below; without the dot that name alone

Rules: an address where nobody listens is a block, any other only where the import names it as a wall; the more specific
rule wins, as in these programs. Other directives of a configuration are rejected, so that nothing is dropped unseen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blocklists.importers import hosts
from blocklists.importers.source import Rejection, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    _each(path, intake, _squid)


def read_unbound(path: Path, intake: Intake) -> None:
    """Take the names of `local-zone:`. Raises SourceError when the file cannot be read."""
    answered: dict[str, int] = {}
    targets: dict[str, set[str]] = {}

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
        elif (data := _DATA(text)) and len(words := (data[1] or data[2] or "").split()) >= 3:
            targets.setdefault(words[0].rstrip(".").lower(), set()).add(words[-1].rstrip(".").lower())
        elif text.rstrip() != "server:":
            intake.reject(number, text, "no local-zone and no local-data")

    _each(path, intake, take)
    for name, number in answered.items():
        others = [target for target in targets.get(name, set()) if not _leads_nowhere(target, intake.walls)]
        if others:
            reason = f"leads to {others[0]}, which is no wall unless --walls names it"
            intake.let_pass(number, name, match="subtree", wins=False, reason=reason)
        else:
            intake.take(number, name, match="subtree")


def _each(path: Path, intake: Intake, take: Callable[[int, str, Intake], None]) -> None:
    for item in lines(path, size=intake.size):
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.add_rejection(item)
        elif text := re.sub(r"(?:^|\s)#.*", "", item[1]).strip():
            take(item[0], text, intake)


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


def _squid(number: int, text: str, intake: Intake) -> None:
    words = text.split()
    if words[0] == "acl":
        if len(words) < 4 or words[2] != "dstdomain":
            intake.reject(number, text, "an acl of something other than names (dstdomain)")
            return
        words = words[3:]
    for name in words:
        if name.startswith(("-", '"')):
            intake.reject(number, name, "an option or another file: import that file itself")
        else:
            intake.take(number, name, match="subtree" if name.startswith(".") else "exact")


def _leads_nowhere(target: str, walls: frozenset[str]) -> bool:
    if hosts.is_address(target):
        return hosts.is_wall(target, walls)
    return target in walls
