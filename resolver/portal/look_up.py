"""The public look-up: is this name blocked here, by whom, since when, until when.

Enters: what a person typed or pasted. Leaves: the name in it, and what holds for that name now. Rules: exactly this
name is looked up, nothing is searched and no list can be read out; nothing about the question is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import idna

from blocklists.entry import is_name
from resolver.portal.facts import facts_of, unicode_of

if TYPE_CHECKING:
    from resolver.portal.facts import Facts
    from resolver.portal.live import Snapshot

MAX_TYPED = 2048


@dataclass(frozen=True)
class Found:
    """What holds for a name: the entries that stop it; those that would, were it not let through or only watched."""

    name: str
    unicode_name: str
    stopped_by: tuple[Facts, ...]
    let_through: tuple[Facts, ...]
    watched: tuple[Facts, ...]


def look_up(name: str, snapshot: Snapshot, now: int) -> Found:
    stops = snapshot.stops(name, now)
    others = [match for match in snapshot.matches(name, now) if match not in stops]
    return Found(
        name=name,
        unicode_name=unicode_of(name),
        stopped_by=tuple(facts_of(match, snapshot) for match in stops),
        let_through=tuple(facts_of(match, snapshot) for match in others if match.action != "monitor"),
        watched=tuple(facts_of(match, snapshot) for match in others if match.action == "monitor"),
    )


def name_in(typed: str) -> str | None:
    """The name in what was typed: a name in any script, or an address copied from a browser. None: there is none."""
    text = typed[:MAX_TYPED].strip().strip("<>\"'()")
    if "//" in text or "/" in text:
        try:
            text = urlsplit(text if "//" in text else "//" + text).hostname or ""
        except ValueError:
            return None
    host, _, port = text.partition(":")
    text = (host if port.isdigit() or not port else text).removesuffix(".")
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    text = text.lower()
    return text if is_name(text) else None
