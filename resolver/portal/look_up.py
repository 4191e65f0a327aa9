"""The public look-up: is this name blocked here, by whom, since when, until when.

Enters: a name. Leaves: what holds for it now. Rules: exactly this name is looked up, nothing is searched and no list
can be read out; nothing about the question is kept. Sealed lists answer to a reference alone (`under`), not to a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.portal.facts import facts_of, unicode_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver._core import Match
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
    is_partial: bool = False
    """There are sealed lists, which this does not speak of."""


def look_up(name: str, snapshot: Snapshot, now: int, view: frozenset[str] | None = None) -> Found:
    """`view`: the lists that hold for who asks; None: all."""
    lists = snapshot.in_force.lists
    readable = frozenset(one.shadow_of or one.name for one in lists if one.seal is None)
    judged = snapshot.judged(name, now, readable if view is None else readable & view)

    def facts(matches: Iterable[Match]) -> tuple[Facts, ...]:
        return tuple(facts_of(match, snapshot) for match in matches)

    return Found(
        name=name,
        unicode_name=unicode_of(name),
        stopped_by=facts(judged.stops),
        let_through=facts(match for match in judged.others if match.action != "monitor"),
        monitored=facts(match for match in judged.others if match.action == "monitor"),
        is_partial=any(one.seal is not None for one in lists),
    )


def under(match: Match, snapshot: Snapshot) -> Found:
    """What a sealed entry, found by its reference, says of itself."""
    return Found("", "", (facts_of(match, snapshot),), (), ())
