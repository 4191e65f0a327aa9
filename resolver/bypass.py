"""The off switch as people meet it: who throws it, and what they, the alarms, the journal and the log are told of it.

Enters: the passes, and for who is calling the kernel's word. Leaves: sentences and details. Rules: what is on is named,
with since when, by whom, until when and why; what a person wrote goes into a leaf of its own, whose detail stays
private as with overrides: the public leaf says what was off from when to when.
"""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocklists.entry import as_text
from resolver.passes import FOR_EVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.passes import Act, Bypass, Passes

NAMED = 3  # names that an alarm names one by one
_NOBODY = 0xFFFF_FFFF  # no login: a service, a container


def caller(login: Path = Path("/proc/self/loginuid")) -> str:
    """Who is at the keyboard: the login's user, whom the kernel remembers through sudo and su; where there was no
    login, root's own word on whom sudo brought, or the process's user."""
    try:
        uid = int(login.read_text(encoding="ascii"))
    except (OSError, ValueError):  # a kernel without audit
        uid = _NOBODY
    if uid == _NOBODY:
        if os.getuid() == 0 and os.environ.get("SUDO_USER"):
            return os.environ["SUDO_USER"]
        uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def when(moment: float) -> str:
    """Unix time as the rest of the house writes it."""
    return as_text(datetime.fromtimestamp(moment, UTC))


def ends(until: int) -> str:
    return "until it is switched off" if until >= FOR_EVER else f"until {when(until)}"


def told(one: Bypass) -> str:
    """Since when, by whom, until when and why."""
    reason = f": {one.reason}" if one.reason else ", no reason given"
    return f"since {when(one.since)} by {one.by}, {ends(one.until)}{reason}"


def as_dict(one: Bypass) -> dict[str, Any]:
    until = None if one.until >= FOR_EVER else when(one.until)
    return {
        "kind": one.kind, "of": one.of, "since": when(one.since), "until": until, "by": one.by, "reason": one.reason,
    }  # fmt: skip


def alarms(live: Passes, now: float) -> list[str]:
    """What is off, each in a sentence; many names in one."""
    on = live.holding(now)
    names = [one for one in on if one.kind == "name"]
    found = [
        f"{one} {'passes' if one.kind == 'all' else 'is bypassed'} {told(one)}" for one in on if one.kind != "name"
    ]
    if len(names) <= NAMED:
        return found + [f"{one} is bypassed {told(one)}" for one in names]
    some = ", ".join(one.of for one in names[:NAMED])
    return [*found, f"{len(names)} names are bypassed, among them {some}: stopsign bypass"]


def sentence(act: Act) -> str:
    """For the journal."""
    one = act.bypass
    if act.act == "end":
        return f"the bypass of {one} has ended by itself at {when(act.at)}"
    if act.act == "off":
        return f"the bypass of {one} is switched off by {act.by} at {when(act.at)}{_because(act)}"
    return f"{one} is bypassed by {act.by} since {when(act.at)}, {ends(one.until)}{_because(act)}"


def details(act: Act) -> Iterator[tuple[str, dict[str, Any]]]:
    """Types and details of the leaves about it."""
    one = act.bypass
    until = None if one.until >= FOR_EVER else when(one.until)
    about = {"act": act.act, "at": when(act.at), "kind": one.kind, "of": one.of}
    yield "bypass", {**about, "since": when(one.since), "until": until}
    if act.by:
        yield "bypass-words", {**about, "by": act.by, "reason": act.reason}


def _because(act: Act) -> str:
    return f": {act.reason}" if act.reason else ""
