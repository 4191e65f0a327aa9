"""Blocks by list and day, and by entry and month; the log gets a part of these counts, a day late.

Enters: batches from the workers. Leaves: events for the log. Rules:

- A batch counts once, whatever process dies when: its id and its hits are stored in one transaction.
- No sum is above `MOST`: a worker that lies takes no number to where SQLite rounds it.
- The public log gets a day's totals and a month's bands one whole day later: nobody can watch a visit.
- An entry's band is 10 or more, in powers of ten. Below ten nothing is published about a single entry. The exact counts
  of a month are deleted once its bands are logged.
- Of a list of fewer than `FEWEST` entries nothing is published: its totals would be about single entries. Such a list
  is not named, and where no other was met there is no leaf.
- Of a sealed list the log says how many entries of each category are in each band, and of none in which.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from resolver.ipc.entry_hits import MOST
from resolver.log.leaf import BANDS, COUNTS, RESOLVING
from resolver.log.writer import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from resolver.ipc.entry_hits import Batch

PER_LEAF = 10_000  # entries in one leaf of bands
FEWEST = 10  # entries of a list of which the log says anything
KEPT_BATCHES = 10_000
GONE = "no longer listed"
BANDS_FROM = ((10_000, "10000+"), (1000, "1000-9999"), (100, "100-999"), (10, "10-99"))

_TABLES = """
CREATE TABLE IF NOT EXISTS days (day TEXT, list TEXT, hits INTEGER, PRIMARY KEY (day, list)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS months (
  month TEXT, list TEXT, reference TEXT, hits INTEGER, PRIMARY KEY (month, list, reference)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS resolving (month TEXT PRIMARY KEY, asked INTEGER, gone INTEGER);
CREATE TABLE IF NOT EXISTS dropped (month TEXT PRIMARY KEY, hits INTEGER);
"""


@dataclass(frozen=True)
class Due:
    """Leaves that are due, and the periods that are complete once the log has them."""

    events: tuple[Event, ...]
    days: tuple[str, ...]
    months: tuple[str, ...]


class Counts:
    """The steward's count, in one SQLite file. Not for several threads at a time."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        self._database.executescript(_TABLES)

    def close(self) -> None:
        self._database.close()

    def gather(self, batch: Batch, now: float) -> bool:
        """Count a batch, then remove its file. False if it was counted before and a crash left the file."""
        today = datetime.fromtimestamp(now, UTC).date().isoformat()
        with self._transaction() as cursor:
            new = self._add(cursor, batch, today)
            cursor.execute("DELETE FROM batches WHERE rowid <= (SELECT max(rowid) FROM batches) - ?", (KEPT_BATCHES,))
        batch.path.unlink(missing_ok=True)
        return new

    def looked(self, now: float, *, gone: bool) -> None:
        """One name of the lists was asked for at the upstream."""
        month = f"{datetime.fromtimestamp(now, UTC):%Y-%m}"
        self._database.execute(
            "INSERT INTO resolving VALUES (?, 1, ?) "
            "ON CONFLICT DO UPDATE SET asked = asked + 1, gone = gone + excluded.gone",
            (month, int(gone)),
        )

    def due(
        self,
        now: float,
        active: Callable[[], Mapping[str, int]],
        sealed: Collection[str] = (),
        categories: Callable[[Collection[str]], Mapping[str, str]] = lambda _: {},
    ) -> Due:
        """What the log should have by now. `active`: how many entries each list has; of one that is not in force any
        more it counts how many were met. `sealed`: lists of whose entries the log says nothing one by one.
        `categories`: of the entries with these references, as far as they are listed still."""
        latest = datetime.fromtimestamp(now, UTC).date() - timedelta(days=2)
        days = self._periods("SELECT DISTINCT day FROM days WHERE day <= ? ORDER BY day", latest.isoformat())
        last = (latest + timedelta(days=1)).replace(day=1) - timedelta(days=1)
        both = "SELECT month FROM months UNION SELECT month FROM resolving"
        months = self._periods(f"SELECT month FROM ({both}) WHERE month <= ? ORDER BY month", f"{last:%Y-%m}")  # noqa: S608
        sizes = active() if days or months else {}
        events = []
        for day in days:
            entries = self._entries(day[:7], sizes)
            if lists := {name: hits for name, hits in self.day(day).items() if entries[name] >= FEWEST}:
                events.append(Event(COUNTS, day, {"day": day, "lists": lists}))
        for month in months:
            events += self._bands(month, self._entries(month, sizes), sealed, categories)
            for asked, gone in self._database.execute("SELECT asked, gone FROM resolving WHERE month = ?", (month,)):
                events.append(Event(RESOLVING, month, {"month": month, "asked": asked, "gone": gone}))
        return Due(tuple(events), days, months)

    def logged(self, due: Due) -> None:
        """The log has the leaves: delete the exact counts by entry, and the days."""
        with self._transaction() as cursor:
            cursor.executemany("DELETE FROM days WHERE day = ?", [(day,) for day in due.days])
            cursor.executemany("DELETE FROM months WHERE month = ?", [(month,) for month in due.months])
            cursor.executemany("DELETE FROM resolving WHERE month = ?", [(month,) for month in due.months])
            cursor.executemany("DELETE FROM dropped WHERE month = ?", [(month,) for month in due.months])

    def day(self, day: str) -> dict[str, int]:
        """Blocks by list on one day that is not logged yet."""
        return dict(
            self._database.execute("SELECT list, hits FROM days WHERE day = ? ORDER BY list", (day,)).fetchall()
        )

    def month(self, month: str) -> dict[tuple[str, str], int]:
        """Blocks by (list, reference) in one month that is not logged yet: for the operator, not for the log."""
        rows = self._database.execute("SELECT list, reference, hits FROM months WHERE month = ?", (month,))
        return {(name, reference): hits for name, reference, hits in rows}

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        """One transaction. SQLite has already rolled back what a full disk stopped."""
        with closing(self._database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    cursor.execute("ROLLBACK")
                raise

    def _add(self, cursor: sqlite3.Cursor, batch: Batch, today: str) -> bool:
        if not cursor.execute("INSERT OR IGNORE INTO batches VALUES (?)", (batch.id,)).rowcount:
            return False
        month = today[:7]
        cursor.executemany(
            "INSERT INTO days VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET hits = min(hits + excluded.hits, ?)",
            [(today, name, hits, MOST) for name, hits in batch.lists.items() if hits],
        )
        cursor.executemany(
            "INSERT INTO months VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET hits = min(hits + excluded.hits, ?)",
            ((month, name, reference, hits, MOST) for name, reference, hits in batch.hits(monitored=False)),
        )
        cursor.execute(
            "INSERT INTO dropped VALUES (?, ?) ON CONFLICT DO UPDATE SET hits = min(hits + excluded.hits, ?)",
            (month, batch.dropped, MOST),
        )
        return True

    def _entries(self, month: str, active: Mapping[str, int]) -> Counter[str]:
        """How many entries each list has, at least."""
        return Counter(active) | Counter(name for name, _ in self.month(month))

    def _bands(
        self,
        month: str,
        entries: Mapping[str, int],
        sealed: Collection[str],
        categories: Callable[[Collection[str]], Mapping[str, str]],
    ) -> list[Event]:
        met: dict[str, dict[str, int]] = {}
        for (name, reference), hits in self.month(month).items():
            if entries[name] >= FEWEST:
                met.setdefault(name, {})[reference] = hits
        dropped = self._database.execute("SELECT hits FROM dropped WHERE month = ?", (month,)).fetchone()
        events = []
        for name, by_reference in sorted(met.items()):
            told: dict[str, Any] = {
                "month": month,
                "list": name,
                "entries": entries[name],
                "met": len(by_reference),
                "not_attributed": dropped[0] if dropped else 0,
            }
            bands = [(reference, band_of(count)) for reference, count in sorted(by_reference.items()) if count >= 10]
            if name in sealed:
                known = categories([reference for reference, _ in bands])
                counted: dict[str, Counter[str]] = {}
                for reference, band in bands:
                    counted.setdefault(known.get(reference, GONE), Counter())[band] += 1
                in_bands = {category: dict(sorted(those.items())) for category, those in sorted(counted.items())}
                events.append(Event(BANDS, f"{month}/{name}/0", {**told, "bands": {}, "in_bands": in_bands}))
                continue
            for number, part in enumerate([bands[at : at + PER_LEAF] for at in range(0, len(bands), PER_LEAF)] or [[]]):
                events.append(Event(BANDS, f"{month}/{name}/{number}", {**told, "bands": dict(part)}))
        return events

    def _periods(self, query: str, latest: str) -> tuple[str, ...]:
        return tuple(row[0] for row in self._database.execute(query, (latest,)))


def band_of(hits: int) -> str:
    """The band that the log says of an entry."""
    return next((band for least, band in BANDS_FROM if hits >= least), "<10")
