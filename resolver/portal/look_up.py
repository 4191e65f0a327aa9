"""The public look-up: is this name blocked here, by whom, since when, until when.

Enters: a name. Leaves: what holds for it now. Rules: exactly this
name is looked up, nothing is searched and no list can be read out; nothing about the question is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.portal.facts import facts_of, unicode_of

if TYPE_CHECKING:
    from resolver.portal.facts import Facts
    from resolver.portal.live import Snapshot


@dataclass(frozen=True)
class Found:
    """What holds for a name: the entries that stop it; those that would, were it not let through or only watched."""

    name: str
    unicode_name: str
    stopped_by: tuple[Facts, ...]
    let_through: tuple[Facts, ...]
    monitored: tuple[Facts, ...]


def look_up(name: str, snapshot: Snapshot, now: int, view: frozenset[str] | None = None) -> Found:
    """`view`: the lists that hold for who asks; None: all."""
    judged = snapshot.judged(name, now, view)
    return Found(
        name=name,
        unicode_name=unicode_of(name),
        stopped_by=tuple(facts_of(match, snapshot) for match in judged.stops),
        let_through=tuple(facts_of(match, snapshot) for match in judged.others if match.action != "monitor"),
        monitored=tuple(facts_of(match, snapshot) for match in judged.others if match.action == "monitor"),
    )
