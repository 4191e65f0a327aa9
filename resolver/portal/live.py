"""What is blocked now, as the web process sees it.

Enters: what is in force, and when each list was last confirmed. Leaves: a `Snapshot` that says for a name which entries
stop it. Rules: the snapshot is replaced as a whole, never changed; the verdict is the core's: the page says what DNS
does for the client who asks, nothing else.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resolver.ipc.list_confirmations import Confirmations
from resolver.policy.description import LiveList
from resolver.policy.in_force import Follower, InForce

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from resolver._core import Match
    from resolver.base.paths import Places
    from resolver.policy.in_force import Unsealing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judged:
    """The entries that cover a name and hold for who asks, by list, the most specific first: those that stop it, and
    those that do not since the name is let through or they only monitor."""

    stops: tuple[Match, ...] = ()
    others: tuple[Match, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """What is in force, and each list's last confirmation."""

    in_force: InForce = field(default_factory=InForce)
    confirmed: Mapping[str, str] = field(default_factory=dict)

    def judged(self, name: str, now: int, view: frozenset[str] | None = None) -> Judged:
        """What the lists do to a name now. `view`: the lists that hold for one client; None: all."""
        judgement = self.in_force.judge(name, now, self.in_force.meta.mask(view))
        if judgement is None:
            return Judged()
        holding = [(match, does) for match, does in judgement.entries if does not in {"expired", "other-view"}]
        is_stopped = judgement.stop is not None
        return Judged(
            tuple(match for match, does in holding if is_stopped and does == "stops"),
            tuple(match for match, does in holding if not (is_stopped and does == "stops")),
        )

    def entries(self, references: Collection[str], now: int) -> dict[str, Match]:
        """The unexpired entries with these references. One scan of the list: for what a person does, never for a
        page."""
        compiled = self.in_force.compiled
        found: dict[str, Match] = {}
        for match in compiled.find(set(references)) if compiled is not None and references else ():
            if match.expires > now:
                found.setdefault(match.reference, match)
        return found

    def list_of(self, match: Match) -> LiveList:
        lists = self.in_force.lists
        return lists[match.list] if match.list < len(lists) else LiveList()


class Live:
    """The current snapshot; `poll` looks for a newer one and is cheap when there is none (three stats)."""

    def __init__(self, places: Places, unseal: Unsealing | None = None) -> None:
        """`unseal` gives sealed lists their keys; without it no page knows their entries."""
        self._follower, self._confirmations = Follower(places, unseal), Confirmations(places)
        self.snapshot = Snapshot()

    def poll(self) -> bool:
        """True if the snapshot changed."""
        before, new = self.snapshot, Snapshot(self._polled(), self._confirmations.poll())
        if new.in_force is before.in_force and new.confirmed is before.confirmed:
            return False
        self.snapshot = new
        return True

    def _polled(self) -> InForce:
        trouble = self._follower.now.trouble
        self._follower.poll()
        if self._follower.now.trouble not in {None, trouble}:
            log.error("%s", self._follower.now.trouble)
        return self._follower.now
