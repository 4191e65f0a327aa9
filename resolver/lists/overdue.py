"""Overdue appeals: which entries they suspend, and which ones wait for a person. Decided here, done elsewhere.

Enters: the appeals that this steward has a leaf of, what is suspended, what is listed, the time. Leaves: the same
values after one round. Rules:

- An appeal is overdue by the steward's own clock, counted from the steward's own leaf of it; nobody else's word counts.
- A mistake of fact cannot be found here on a sealed list: an appeal against its entry has the clock of merits.
- It only ever takes off; only what an active list holds under that reference; and only where the entry's ground does
  not forbid it.
- An entry that no list holds for a moment (`Away`) may block again: an appeal against it goes on waiting.
- What strangers open together is bounded, by list and for all lists, in number and share, over the last day. An entry
  beyond that bound is held until a person decides. Room that the bound has on a later day is not for it, else a
  flood of appeals would take everything off, a little every day.
- This is asked with each tick of the register (`AppealsHere.tick` in `appeals`); only the bound is daily.
- A round settles all that is due at once, so that it makes one generation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from resolver.base.stored import Stored
from resolver.base.timestamps import as_text
from resolver.lists.suspensions import MOST, Suspended, Suspensions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.config.schema_lists import Overdue
    from resolver.config.schema_portal import Clocks
    from resolver.lists.state import Applied

DAY = 86400.0
Fate = Literal["waiting", "suspended", "held", "nothing"]


class Waiting(Stored):
    """An appeal that nobody decided yet. `received` is the steward's own time of its own leaf."""

    reference: str
    name: str
    list: str
    ground: str
    leaf: int
    received: float
    receipt: str = ""
    """SHA-256 of the receipt's secret, in hexadecimal digits: who shows the secret may withdraw the appeal."""
    fate: Fate = "waiting"


class Decided(Stored):
    """An appeal that was decided, or withdrawn by its author."""

    reference: str
    outcome: str
    leaf: int
    at: float
    received: int | None = None
    """The leaf of its coming in; none: it was decided before it was reported."""


class Appeals(Stored):
    """All that this steward knows of appeals."""

    waiting: dict[str, Waiting] = Field(default_factory=dict)
    decided: dict[str, Decided] = Field(default_factory=dict)
    held: dict[str, float] = Field(default_factory=dict)
    """References of entries that a person has to look at, and since when (Unix time)."""
    taken: tuple[tuple[float, str], ...] = ()
    """The entries that overdue appeals alone suspended over the last day: Unix time, and the entry's list."""

    def against(self, reference: str) -> tuple[str, ...]:
        return tuple(appeal for appeal, one in self.waiting.items() if one.reference == reference)

    def given(self, fates: Mapping[str, Fate]) -> Appeals:
        """With these appeals' fates."""
        changed = {a: self.waiting[a].model_copy(update={"fate": fate}) for a, fate in fates.items()}
        return self.model_copy(update={"waiting": {**self.waiting, **changed}})


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry that is active, as the live generation has it."""

    list: str
    name: str
    match: str
    basis: str


Find = Callable[[str, str], Listed | None]
"""By reference and name; nothing where no list holds it, or the list stops nothing."""


@dataclass(frozen=True, slots=True)
class Away:
    """What may block again without anybody's word about it. `lists`: nothing of them is applied; `references`: of
    entries that what is live leaves out at this provider's own word, as for an override. `is_settled`: what is live is
    what should be."""

    lists: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()
    is_settled: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """After a round. `fates`: of the appeals that came due in it."""

    appeals: Appeals
    suspended: Suspensions
    fates: Mapping[str, Fate]


def due_at(one: Waiting, of: str, applied: Mapping[str, Applied], clocks: Clocks) -> float:
    """When an appeal against an entry of the list `of` is overdue (Unix time)."""
    is_sealed = of in applied and applied[of].seal is not None
    return one.received + (clocks.decide if is_sealed else clocks.of(one.ground))


def came_due(
    appeals: Appeals, suspended: Suspensions, applied: Mapping[str, Applied], away: Away, clocks: Clocks, now: float
) -> list[str]:
    """The appeals that `settle` is to be asked about."""
    return [
        a
        for a, one in appeals.waiting.items()
        if one.fate == "waiting"
        and due_at(one, one.list, applied, clocks) < now
        and (one.reference in suspended.entries or not _is_away(one, away))
    ]


def _is_away(one: Waiting, away: Away) -> bool:
    return one.list in away.lists or one.reference in away.references


def settle(
    appeals: Appeals,
    suspended: Suspensions,
    applied: Mapping[str, Applied],
    find: Find,
    due: list[str],
    *,
    away: Away,
    clocks: Clocks,
    caps: Overdue,
    now: float,
) -> Settled:
    """One round: everything that is `due`."""
    groups: dict[str, list[str]] = {}
    for appeal in sorted(due, key=lambda a: (appeals.waiting[a].received, a)):
        groups.setdefault(appeals.waiting[appeal].reference, []).append(appeal)
    fates: dict[str, Fate] = {}
    held = dict(appeals.held)
    taken = [one for one in appeals.taken if one[0] > now - DAY]
    for reference, group in groups.items():
        fate: Fate
        if reference in suspended.entries:
            suspended, fate = suspended.joined(reference, group), "suspended"
        elif reference in held:
            fate = "held"
        elif (entry := find(reference, appeals.waiting[group[0]].name)) is None:
            if not away.is_settled:
                continue
            fate = "nothing"
        elif not (group := [a for a in group if due_at(appeals.waiting[a], entry.list, applied, clocks) < now]):
            continue  # reported as against another list's entry, or no list's
        elif not _suspends(entry, applied):
            fate = "nothing"
        elif len(suspended.entries) >= MOST or not _is_room(entry.list, taken, applied[entry.list].entries, caps):
            held[reference], fate = now, "held"
        else:
            suspended, fate = suspended.with_(reference, suspension(entry, group, now)), "suspended"
            taken.append((now, entry.list))
        fates |= dict.fromkeys(group, fate)
    known = appeals.given(fates).model_copy(update={"held": held, "taken": tuple(taken)})
    return Settled(known, suspended, fates)


def release(
    appeals: Appeals,
    suspended: Suspensions,
    applied: Mapping[str, Applied],
    find: Find,
    references: list[str],
    *,
    away: Away,
    now: float,
) -> Settled:
    """A person let entries that were held be suspended; what is no longer listed needs no suspension, and what is away
    stays held."""
    fates: dict[str, Fate] = {}
    held = dict(appeals.held)
    for reference in references:
        group = [a for a in appeals.against(reference) if appeals.waiting[a].fate == "held"]
        if reference not in held or not group:
            continue
        one = appeals.waiting[group[0]]
        entry = find(reference, one.name)
        if entry is None and (not away.is_settled or _is_away(one, away)):
            continue
        del held[reference]
        acts = entry is not None and _suspends(entry, applied)
        if entry is not None and acts:
            suspended = suspended.with_(reference, suspension(entry, group, now))
        fates |= dict.fromkeys(group, "suspended" if acts else "nothing")
    return Settled(appeals.given(fates).model_copy(update={"held": held}), suspended, fates)


def suspension(entry: Listed, appeals: list[str], now: float, until: float | None = None) -> Suspended:
    return Suspended(
        list=entry.list, name=entry.name, match=entry.match, appeals=tuple(appeals), since=as_text(now), until=until
    )


def _suspends(entry: Listed, applied: Mapping[str, Applied]) -> bool:
    """Whether the list acts at all, and the entry's ground lets an overdue appeal suspend it."""
    basis = applied[entry.list].bases.get(entry.basis) if entry.list in applied else None
    return basis is not None and basis.overdue_suspends


def _is_room(name: str, taken: list[tuple[float, str]], entries: int, caps: Overdue) -> bool:
    of_list = sum(one == name for _, one in taken)
    share = max(caps.always, int(entries * caps.list.share))
    return len(taken) < caps.day and of_list < min(caps.list.number, share)
