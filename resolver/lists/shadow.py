"""Shadow evaluation: additions that pass every other guard meet live queries for a while before they act.

Enters: what the workers see (`resolver.ipc.shadow_sketches`). Leaves: the additions that would stop too much, with the
share of all clients that each would have met: different clients, so that neither one that asks a thousand times nor a
name that is asked for often by few can hold an order. Rules: meanwhile an addition is compiled as a list of its
own that only monitors; sketches stay in memory and know no client; few clients prove nothing: on such
a host the addition passes at its end; what was seen of an addition goes on counting in the issuer's next version;
a steward that restarts begins the evaluation again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklists import delta
from blocklists.document import MAX_SIZE, read_lines
from blocklists.document import read as read_entries
from resolver import _core
from resolver.ipc import shadow_sketches
from resolver.lists.guard import some

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from resolver.base.paths import Places

FEWEST = 100  # clients below which a share says nothing
MARK = "+new"  # the name's end of a list in shadow evaluation; before it the list that it would join
URGENT = 600.0  # the longest evaluation of an urgent list, in seconds: an order due in 30 minutes leaves no more


class Shadow:
    """The sketches of all evaluations that are running, by list."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._running: Mapping[str, str] = {}
        self._seen: dict[str, shadow_sketches.Seen] = {}
        """By key: a supervisor draws one at its start. By list is what was seen of earlier versions."""

    def look(self, running: Mapping[str, str]) -> None:
        """Add what the workers have seen of these evaluations (their ids, by list). What was seen of additions of an
        earlier version of a list is kept; all else is forgotten."""
        self._running = running
        for key, seen in shadow_sketches.read(self._places.workers) if running else ():
            shadow_sketches.join(self._seen.setdefault(key, {}), seen)
        self._seen = {key: kept for key, seen in self._seen.items() if (kept := self._kept(seen))}

    def _kept(self, seen: shadow_sketches.Seen) -> shadow_sketches.Seen:
        kept: shadow_sketches.Seen = {}
        for evaluation, one in seen.items():
            name = shadow_sketches.list_of(evaluation)
            if name in self._running:
                shadow_sketches.join(kept, {evaluation if evaluation == self._running[name] else name: one})
        return kept

    def met(self, name: str, document: Path) -> dict[str, float]:
        """References of the additions to a list, which `document` holds, with the share of all clients that each would
        have met: in the whole evaluation, or since its version came where that is more."""
        found: dict[str, float] = {}
        for seen in self._seen.values():
            whole: shadow_sketches.Seen = {}
            parts = [seen[one] for one in (name, self._running[name]) if one in seen]
            for part in parts:
                shadow_sketches.join(whole, {name: part})
            for everyone, met in (*whole.values(), *parts[-1:]):
                if (clients := _core.distinct(everyone)) < FEWEST:
                    continue
                for reference, sketch in met.items():
                    found[reference] = max(min(_core.distinct(sketch) / clients, 1.0), found.get(reference, 0.0))
        lines = read_lines(document, size=MAX_SIZE) if found else ()
        there = {reference for line in lines if (reference := delta.reference(line)) in found}
        return {reference: part for reference, part in found.items() if reference in there}


def complaint(met: Mapping[str, float], share: float, document: Path | None) -> str | None:
    """Which additions of `document` would stop more than `share` of all clients, in a sentence; None: none would. Those
    of a sealed list, which has no document with names, are named by reference."""
    found = sorted(((ref, part) for ref, part in met.items() if part > share), key=lambda item: -item[1])
    if not found:
        return None
    readable = read_entries(document, size=MAX_SIZE) if document else ()
    names = {entry.reference: entry.name for entry in readable}
    return some([f"{names.get(ref, f'the entry {ref}')} would stop {part:.1%} of all clients" for ref, part in found])
