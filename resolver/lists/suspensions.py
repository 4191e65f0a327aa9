"""Suspended here: entries that this provider takes off because nobody decided an appeal in time.

Enters: the word of the web process that an appeal is overdue. Leaves: references that are left out of the next
generation. Rules: it only ever takes off; only what is listed, and only on a ground that does not forbid it; it ends
when somebody decides that the block stays. The issuer's own suspensions (`relief`) are another matter and never end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from resolver._core import CompiledList, CoreError
from resolver.config_values import domain_name
from resolver.errors import ResolverError
from resolver.lists.state import Stored, as_text, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver.lists.state import Applied
    from resolver.places import Places

MOST = 100_000


class SuspensionError(ResolverError):
    """An entry cannot be suspended here."""


class Suspended(Stored):
    list: str
    name: str
    appeal: str
    since: str


class Suspensions(Stored):
    """By reference."""

    entries: dict[str, Suspended] = Field(default_factory=dict)

    def of(self, name: str) -> frozenset[str]:
        """References of one list."""
        return frozenset(reference for reference, entry in self.entries.items() if entry.list == name)

    def without(self, reference: str) -> Suspensions:
        return Suspensions(entries={ref: entry for ref, entry in self.entries.items() if ref != reference})


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
    """The suspensions with one more; the same ones where the entry is no longer listed. `order`: names of the lists as
    the live generation has them. `SuspensionError` where the ground says that an overdue appeal suspends nothing."""
    if reference in known.entries:
        return known
    try:
        matches = CompiledList.open(places.current).look_up(domain_name(name))
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
    new = Suspended(list=holder, name=entry.name, appeal=appeal, since=as_text(now))
    return Suspensions(entries={**known.entries, reference: new})
