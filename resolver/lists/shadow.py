"""Watched: additions that every other guard lets pass meet live queries for a while before they act.

Enters: what the workers count (`run_dir/hits.json`, by reference, and their counters). Leaves: the additions that would
stop too much, with the share of all queries that each would have stopped. Rules: while watched, an addition is compiled
as a list of its own that only monitors; counts lie in memory and know no client; a host with hardly any queries proves
nothing, and what is watched there passes at its end; a steward that starts anew watches anew.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from resolver import counters

if TYPE_CHECKING:
    from resolver.places import Places

FEWEST = 1_000  # queries below which a share says nothing
LARGEST = 1 << 24
MARK = "+new"  # what a watched list's name ends in, beside the list that it would join


class Shadow:
    """What was seen since each watch began."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._hits: Counter[str] = Counter()
        self._queries = 0
        self._last: tuple[dict[str, int], int] | None = None
        self._begun: dict[str, tuple[str, Counter[str], int]] = {}

    def begin(self, name: str, state: str) -> None:
        """Watch a list's additions from now on; a watch of the very same additions goes on."""
        self.look()
        if name not in self._begun or self._begun[name][0] != state:
            self._begun[name] = (state, self._hits.copy(), self._queries)

    def end(self, name: str) -> None:
        self._begun.pop(name, None)

    def look(self) -> None:
        """Take up what was counted since the last look. Counts that stand lower than before began anew."""
        hits, queries = self._counted()
        if self._last is not None:
            before, asked = self._last
            for reference, count in hits.items():
                known = before.get(reference, 0)
                self._hits[reference] += count - known if count >= known else count
            self._queries += queries - asked if queries >= asked else queries
        self._last = (hits, queries)

    def too_much(self, name: str, references: set[str], share: float) -> dict[str, float]:
        """Of these references, those that would have stopped more than `share` of all queries, with their share."""
        self.look()
        if name not in self._begun:
            return {}
        _, before, asked = self._begun[name]
        queries = self._queries - asked
        if queries < FEWEST:
            return {}
        shares = {reference: (self._hits[reference] - before[reference]) / queries for reference in references}
        return {reference: found for reference, found in shares.items() if found > share}

    def _counted(self) -> tuple[dict[str, int], int]:
        path = self._places.run_dir / "hits.json"
        try:
            with path.open("rb") as file:
                told: Any = json.loads(file.read(LARGEST))
            hits = {str(reference): int(count) for reference, count in told["entries"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            hits = {}  # nobody has counted yet, or a file cut short by a full tmpfs: nothing was seen
        return hits, counters.queries(counters.totals(self._places))
