"""The steward's round of counting: collects the workers' files, and appends to the log what is due.

Enters: a tick. Leaves: leaves, `run_dir/hits.json` for the operator (today's entries, exact, gone with a reboot),
or the trouble in one sentence. Rules: a failure to count never stops anything else, whatever is wrong; a file that no
worker of ours can have written is said for an hour; rounds and that hour are of uptime, days and months of the clock.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blocklists import durable
from blocklists.errors import why
from resolver._core import CoreError
from resolver.base.errors import ResolverError
from resolver.ipc.entry_hits import WrongFileError, generations, tell_operator, waiting
from resolver.policy import look_up
from resolver.policy.generations import Generations
from resolver.stats.daily_counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from resolver.base.paths import Places
    from resolver.log.writer import Event

log = logging.getLogger("stopsign.steward")

PERIOD = 60.0
WRONG_FOR = 3600.0  # seconds for which a file that cannot be right is an alarm
MOST = 10_000  # entries in hits.json


class Counting:
    """One for the steward's life; its `tick` is called from one thread at a time."""

    def __init__(
        self,
        places: Places,
        append: Callable[[Sequence[Event]], object],
        sealed: Callable[[], Collection[str]] = frozenset,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sealed`: the lists of whose entries the log says nothing one by one."""
        self._places, self._append, self._sealed, self._uptime = places, append, sealed, uptime
        self._generations = Generations(places)
        self._counts: Counts | None = None
        self._path = places.audit_dir / "counts.db"
        self._next = 0.0
        self._trouble: str | None = None
        self._wrong, self._wrong_until = "", 0.0
        self._day, self._today = "", Counter[str]()

    def tick(self, now: float, active: Callable[[], Mapping[str, int]]) -> str | None:
        """Once a minute: gathers, and logs what is due. Returns the trouble as long as it lasts, else None.
        `active`: entries by list."""
        uptime = self._uptime()
        if uptime < self._next:
            return self._trouble
        self._next = uptime + PERIOD
        troubles = (self._turn(now, active), self._wrong if uptime < self._wrong_until else None)
        self._trouble = "; ".join(filter(None, troubles)) or None
        return self._trouble

    def _turn(self, now: float, active: Callable[[], Mapping[str, int]]) -> str | None:
        try:
            counts = self._opened()
            unread = self._gather(counts, now)
            due = counts.due(now, active, self._sealed(), self._categories)
            if due.events:
                self._append(due.events)
            if due.days or due.months:
                counts.logged(due)
        except sqlite3.Error as wrong:
            self._shut()  # opened on a read-only disk it would stay so
            return f"blocks cannot be counted: {self._path}: {wrong}"
        except (OSError, ResolverError) as wrong:
            return f"blocks cannot be counted: {why(wrong)}"
        except Exception as wrong:  # not foreseen, so ours to mend: lists and log must go on meanwhile
            log.exception("blocks cannot be counted")
            return f"blocks cannot be counted: {type(wrong).__name__}: {wrong}"
        return f"blocks cannot be counted: {why(unread[0])}" if unread else None

    def _categories(self, references: Collection[str]) -> Mapping[str, str]:
        """Of entries of the live list, by reference."""
        if not references:
            return {}
        try:
            found = look_up.opened(self._places.current).find(set(references))
        except CoreError:
            return {}
        return {one.reference: one.category for one in found}

    def looked(self, now: float, *, gone: bool) -> None:
        """A name of the lists was asked for at the upstream (see `resolving`)."""
        with contextlib.suppress(OSError, sqlite3.Error):  # one sample of many: losing it does no harm
            self._opened().looked(now, gone=gone)

    def close(self, now: float, active: Callable[[], Mapping[str, int]]) -> None:
        """Counts what the last workers left behind."""
        self._next = 0.0
        self.tick(now, active)
        self._shut()

    def _shut(self) -> None:
        if self._counts is not None:
            self._counts.close()
            self._counts = None

    def _opened(self) -> Counts:
        if self._counts is None:
            durable.make_folder(self._places.audit_dir, mode=0o700)
            self._counts = Counts(self._path)
        return self._counts

    def _gather(self, counts: Counts, now: float) -> list[OSError]:
        """Count the files that wait, one worker's at a time; write the operator's file if anything was hit. Returns why
        some could not be read."""
        troubles: list[Exception] = []
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        if day != self._day:
            self._day, self._today = day, Counter()
        before = self._today.total()
        for batch in waiting(self._places, self._generations.open, troubles.append):
            if counts.gather(batch, now):
                for _, reference, count in batch.hits():
                    self._today[reference] += count
        self._generations.drop_unused(generations(self._places), now)
        if self._today.total() != before:
            tell_operator(self._places, self._day, dict(self._today.most_common(MOST)))
        if wrong := [one for one in troubles if isinstance(one, WrongFileError)]:
            more = f", and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
            self._wrong = f"a file of counts was wrong, and is removed: {wrong[0]}{more}"
            self._wrong_until = self._uptime() + WRONG_FOR
        return [one for one in troubles if isinstance(one, OSError)]
