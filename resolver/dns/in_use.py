"""What is in force, given to the plane: the list, the exceptions, where blocks are counted by entry, what is in shadow
evaluation.

Enters: what is in force, looked at five times a second. Leaves: calls of the plane between two batches, and this
worker's files of entry hits and of sketches. Rules:

- A list is opened in a thread of lower priority: no query waits for it or meets half of it.
- The plane knows the ends of exceptions for names alone. When a bypass of a list or of everything ends, the exceptions
  are handed over again.
- Entry hits go to a new file with each list, and when the steward has taken the last one.
- Sketches are written as often as a small share of the time allows. A successor writes for this number from its start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from resolver._core import CoreError, set_background
from resolver.base.journal import about
from resolver.dns.explanations import explanations
from resolver.ipc import shadow_sketches
from resolver.ipc.entry_hits import Cells
from resolver.policy import seals
from resolver.policy.in_force import Follower, InForce
from resolver.policy.verdict import names_of, switched_off

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resolver._core import Plane
    from resolver.config.schema import Config
    from resolver.dns.transitions import Transitions

OPENING = 5  # niceness of the thread that opens a list
TELL, TELLING = 1.0, 0.02  # seconds between two writings of sketches, and the share of time that they may take
HITS = "what is counted by entry"

log = logging.getLogger("stopsign.dns")


class InUse:
    """`now` is what the plane answers by."""

    def __init__(self, config: Config, index: int, plane: Plane, transitions: Transitions) -> None:
        places = config.places
        self._config, self._places, self._index, self._plane = config, places, index, plane
        self._transitions = transitions
        self._follower = Follower(places, partial(seals.unseal, seals.key_file(config)))
        self._bypass_ends: int | None = None
        self._cells: Cells | None = None
        self._given: Path | None = None  # the file of entry hits that was handed over last
        self._in_shadow, self._sketch_at = False, 0.0

    @property
    def now(self) -> InForce:
        return self._follower.now

    async def poll(self) -> bool:
        """Give a new list and new exceptions to the plane. True if something changed."""
        before = self.now
        if self._follower.list_changed():
            await asyncio.to_thread(self._read_list)
        self._follower.poll_exceptions()
        if self.now.compiled is not before.compiled:
            await self._use_list()
        elif self.now.exceptions is not before.exceptions or self._bypass_is_over():
            self._hand_over_exceptions()
        return self.now is not before

    def _read_list(self) -> None:
        set_background(OPENING)
        self._follower.read_list()

    async def _use_list(self) -> None:
        now = self.now
        cells = await self._new_cells(now)
        # The lists of each view by their names: a generation may have them in another order than the configuration.
        views = [now.meta.mask(view.lists) for view in self._config.views]
        self._plane.set_list(now.compiled, views, now.meta.counters)
        self._plane.explain(explanations(self._config, now.lists))
        self._count_in(cells)
        lists = shadow_sketches.shadow_lists(now.lists)
        self._plane.set_shadow_lists(lists)
        self._in_shadow = self._in_shadow or bool(lists)
        self._hand_over_exceptions()
        extra = about(worker=self._index, generation=now.generation, entries=now.entries)
        log.info("generation %s is active: %d entries", now.generation, now.entries, extra=extra)

    def _bypass_is_over(self) -> bool:
        return self._bypass_ends is not None and time.time() >= self._bypass_ends

    def _hand_over_exceptions(self) -> None:
        now, live = time.time(), self.now
        self._plane.set_exceptions(names_of(live.exceptions), *switched_off(live.exceptions, live.names, now))
        self._bypass_ends = live.exceptions.next_end(now)

    # -- entry hits

    async def hand_over_hits(self) -> None:
        """Begin a new file if the steward took the last one; the file before is the steward's to read."""
        if self.now.compiled is None or (self._given is not None and self._given.exists()):
            return
        if self._cells is None or self._cells.met:
            cells = await self._new_cells(self.now)
            if cells is not None:
                self._count_in(cells)

    async def _new_cells(self, live: InForce) -> Cells | None:
        create = partial(
            Cells.create,
            self._places,
            self._index,
            generation=live.generation or 0,
            lists=live.names,
            entries=live.entries,
        )
        try:
            cells = await asyncio.to_thread(create)
        except OSError as wrong:  # a full tmpfs: DNS goes on, and so do the counters
            self._transitions.written(HITS, wrong)
            return None
        self._transitions.written(HITS)
        return cells

    def _count_in(self, cells: Cells | None) -> None:
        """From the next query on; what was counted until now is handed over."""
        try:
            if cells is not None:
                self._plane.count_in(cells.path, cells.at)
        except CoreError as wrong:
            log.warning("nothing is counted by entry (%s)", wrong)
        if self._cells is not None:
            self._given = self._cells.path
            self._cells.close()
        self._cells = cells

    def close(self) -> None:
        self._count_in(None)

    # -- additions in shadow evaluation

    def write_sketches(self, key: shadow_sketches.Key, is_succeeded: Callable[[], bool]) -> None:
        """When it is time; after an evaluation, that there are none."""
        now = time.monotonic()
        if not self._in_shadow or now < self._sketch_at or is_succeeded():
            return
        try:
            seen = self._plane.shadow_sketches()
            shadow_sketches.write(self._places.sketches(self._index), key, seen)
        except OSError as wrong:  # a full tmpfs: a little later
            self._transitions.written("the shadow evaluation", wrong)
        else:
            self._transitions.written("the shadow evaluation")
            self._in_shadow = bool(seen)
        self._sketch_at = now + max(TELL, (time.monotonic() - now) / TELLING)
