"""Suspended here: entries that this provider takes off because nobody decided an appeal in time.

Enters: the word of the web process that an appeal is overdue. Leaves: references that are left out of the next
generation. Rules: it only ever takes off; only what is listed, and only on a ground that does not forbid it; it ends
when somebody decided that the block stays, on every appeal that was overdue: one appeal more, withdrawn at once, must
not bring a block back. The issuer's own suspensions (`relief`) are another matter and never end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from resolver import listed
from resolver._core import CoreError
from resolver.config_values import domain_name
from resolver.errors import ResolverError
from resolver.lists.state import Stored, load
from resolver.moments import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver.lists.state import Applied
    from resolver.places import Places

MOST = 100_000
MOST_APPEALS = 1_000  # against one entry, whose ids are kept


class SuspensionError(ResolverError):
    """An entry cannot be suspended here."""


class Suspended(Stored):
    list: str
    name: str
    appeals: tuple[str, ...]
    since: str


class Suspensions(Stored):
    """By reference."""

    entries: dict[str, Suspended] = Field(default_factory=dict)

    def of(self, name: str) -> frozenset[str]:
        """References of one list."""
        return frozenset(reference for reference, entry in self.entries.items() if entry.list == name)

    def decided(self, reference: str, appeal: str) -> Suspensions:
        """Without this appeal; the entry is suspended no longer when it was the last."""
        entry = self.entries.get(reference)
        if entry is None or appeal not in entry.appeals:
            return self
        left = tuple(one for one in entry.appeals if one != appeal)
        others = {ref: one for ref, one in self.entries.items() if ref != reference}
        return Suspensions(
            entries={**others, reference: entry.model_copy(update={"appeals": left})} if left else others
        )

    def joined(self, reference: str, appeal: str) -> Suspensions:
        """With one more appeal against an entry that is suspended already."""
        entry = self.entries[reference]
        if appeal in entry.appeals or len(entry.appeals) >= MOST_APPEALS:
            return self
        more = entry.model_copy(update={"appeals": (*entry.appeals, appeal)})
        return Suspensions(entries={**self.entries, reference: more})


def read(places: Places) -> Suspensions:
    return load(places.suspensions, Suspensions) or Suspensions()


def suspend(
    known: Suspensions,
    places: Places,
    applied: Mapping[str, Applied],
    *,
    order: Sequence[str],
    reference: str,
    name: str,
    appeal: str,
    now: float,
) -> Suspensions:
    """The suspensions with one more appeal; the same ones where the entry is no longer listed. `order`: names of the
    lists as the live generation has them. `SuspensionError` where the ground says that an overdue appeal suspends
    nothing."""
    if reference in known.entries:
        return known.joined(reference, appeal)
    try:
        matches = listed.opened(places.current).look_up(domain_name(name))
    except (CoreError, ValueError) as error:
        raise SuspensionError(f"what is listed cannot be read: {error}") from error
    entry = next((match for match in matches if match.reference == reference), None)
    if entry is None:
        return known
    holder = order[entry.list]
    if holder not in applied:  # only watched: it stops nothing
        return known
    basis = applied[holder].bases.get(entry.basis)
    if basis is None or not basis.overdue_suspends:
        raise SuspensionError(f"the ground of {name} says that an overdue appeal suspends nothing")
    if len(known.entries) >= MOST:
        raise SuspensionError(f"{MOST:,} entries are suspended here already; that is no longer mending")
    new = Suspended(list=holder, name=entry.name, appeals=(appeal,), since=as_text(now))
    return Suspensions(entries={**known.entries, reference: new})
