"""Shadow evaluation: additions that pass every other guard meet live queries for a while before they act.

Enters: what the workers see (`resolver.ipc.shadow_sketches`). Leaves: the additions that would stop too much, with the
share of all clients that each would have met: different clients, so that neither one that asks a thousand times nor a
name that is asked for often by few can hold an order. Rules: meanwhile an addition is compiled as a list of its
own that only monitors; sketches stay in memory and know no client; few clients prove nothing: on such
a host the addition passes at its end; a steward that restarts begins the evaluation again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklists.document import MAX_SIZE
from blocklists.document import read as read_entries
from resolver import _core
from resolver.ipc import shadow_sketches
from resolver.lists.guard import some

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.base.paths import Places

FEWEST = 100  # clients below which a share says nothing
MARK = "+new"  # the name's end of a list in shadow evaluation; before it the list that it would join
URGENT = 600.0  # the longest evaluation of an urgent list, in seconds: an order due in 30 minutes leaves no more


class Shadow:
    """The sketches of all evaluations that are running."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._seen: dict[str, shadow_sketches.Seen] = {}
        """By key: a supervisor draws one at its start."""

    def look(self, evaluations: set[str]) -> None:
        """Adds what the workers have seen of these evaluations; forgets all others."""
        for key, seen in shadow_sketches.read(self._places.workers) if evaluations else ():
            shadow_sketches.join(self._seen.setdefault(key, {}), seen)
        kept = {key: {one: seen[one] for one in seen.keys() & evaluations} for key, seen in self._seen.items()}
        self._seen = {key: seen for key, seen in kept.items() if seen}

    def too_much(self, evaluation: str, share: float) -> dict[str, float]:
        """References of entries that would have met more than `share` of all clients, with their share."""
        found: dict[str, float] = {}
        for seen in self._seen.values():
            everyone, met = seen.get(evaluation, (b"", {}))
            clients = _core.distinct(everyone) if everyone else 0.0
            if clients < FEWEST:
                continue
            for reference, sketch in met.items():
                part = min(_core.distinct(sketch) / clients, 1.0)
                if part > max(share, found.get(reference, 0.0)):
                    found[reference] = part
        return found

    def most(self, evaluation: str) -> float:
        """The largest share of all clients that one entry would have met."""
        return max(self.too_much(evaluation, 0.0).values(), default=0.0)

    def complaint(self, evaluation: str, share: float, document: Path | None) -> str | None:
        """Which additions of `document` would stop too much, in a sentence; None: none would. Those of a sealed list,
        which has no document with names, are named by reference."""
        found = sorted(self.too_much(evaluation, share).items(), key=lambda item: -item[1])
        if not found:
            return None
        readable = read_entries(document, size=MAX_SIZE) if document else ()
        names = {entry.reference: entry.name for entry in readable}
        return some(
            [f"{names.get(ref, f'the entry {ref}')} would stop {part:.1%} of all clients" for ref, part in found]
        )
