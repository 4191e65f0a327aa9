"""Suspended here: entries that this provider takes off, because nobody decided an appeal in time or because it mended
a mistake.

Enters: what was suspended, and what happened. Leaves: what is suspended then; all of it frozen values, no I/O. Rules:

- A suspension is of one entry, by its reference: of one list, with the entry's own kind of match. Other lists that hold
  the name, and other entries of the same list, go on.
- One for overdue appeals ends when somebody decided each of them: one appeal more, withdrawn at once, must not bring a
  block back.
- One that mends a mistake ends at its time, unless an overdue appeal is left.

The issuer's own suspensions (`relief`) are another matter and never end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from resolver.base.errors import ResolverError
from resolver.base.stored import Stored, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.base.paths import Places
    from resolver.policy.overrides import Overrides

MOST = 100_000
MOST_APPEALS = 1_000  # against one entry, whose ids are kept


class SuspensionError(ResolverError):
    """An entry cannot be suspended here."""


class Suspended(Stored):
    """One entry. `appeals`: the overdue ones that nobody decided; `until` (Unix time): the end of a mend,
    or of an override."""

    list: str
    name: str
    match: str = ""
    appeals: tuple[str, ...] = ()
    since: str
    until: float | None = None
    reason: str = ""
    """Of a person who lets it pass by its reference."""


class Suspensions(Stored):
    """By reference."""

    entries: dict[str, Suspended] = Field(default_factory=dict)

    def of(self, name: str) -> frozenset[str]:
        """References of one list."""
        return frozenset(reference for reference, entry in self.entries.items() if entry.list == name)

    def with_(self, reference: str, entry: Suspended) -> Suspensions:
        """With this entry. `SuspensionError`: so many are suspended that it is no longer mending."""
        if reference not in self.entries and len(self.entries) >= MOST:
            raise SuspensionError(f"{MOST:,} entries are suspended here already; that is no longer mending")
        return Suspensions(entries={**self.entries, reference: entry})

    def without(self, references: Iterable[str]) -> Suspensions:
        gone = frozenset(references)
        return Suspensions(entries={ref: entry for ref, entry in self.entries.items() if ref not in gone})

    def beside(self, others: Suspensions) -> Suspensions:
        """Both; of an entry in both these."""
        return Suspensions(entries={**others.entries, **self.entries})

    def joined(self, reference: str, appeals: Iterable[str]) -> Suspensions:
        """With more overdue appeals against an entry that is suspended already."""
        entry = self.entries[reference]
        more = tuple(dict.fromkeys((*entry.appeals, *appeals)))[:MOST_APPEALS]
        return self if more == entry.appeals else self.with_(reference, entry.model_copy(update={"appeals": more}))

    def mended(self, reference: str, entry: Suspended) -> Suspensions:
        """With an entry that was a mistake, until its end; overdue appeals against it stay what they are."""
        before = self.entries.get(reference)
        kept = {"appeals": before.appeals, "since": before.since} if before else {}
        return self.with_(reference, entry.model_copy(update=kept))

    def decided(self, reference: str, appeals: Iterable[str], *, now: float) -> Suspensions:
        """Without these appeals; the entry is suspended no longer when they were the last, and no mend holds it."""
        entry, gone = self.entries.get(reference), frozenset(appeals)
        if entry is None or not gone & frozenset(entry.appeals):
            return self
        left = tuple(one for one in entry.appeals if one not in gone)
        if left or (entry.until is not None and entry.until > now):
            return self.with_(reference, entry.model_copy(update={"appeals": left}))
        return self.without([reference])

    def ended(self, now: float) -> tuple[str, ...]:
        """References of the mends whose time is over, and that no overdue appeal holds."""
        return tuple(
            reference
            for reference, entry in self.entries.items()
            if entry.until is not None and entry.until <= now and not entry.appeals
        )


def of_overrides(held: Overrides) -> Suspensions:
    """The entries of sealed lists that a person lets pass."""
    return Suspensions(entries={
        one.reference: Suspended(
            list=one.list, name="", match=one.match, since=one.since, until=one.until, reason=one.reason
        )
        for one in held.sealed()
    })  # fmt: skip


def read(places: Places) -> Suspensions:
    return load(places.suspensions, Suspensions) or Suspensions()
