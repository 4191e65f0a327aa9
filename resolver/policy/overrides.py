"""Overrides: a name that a person excepts, with a reason and an end. They only ever unblock.

Enters: a request through the control socket. Leaves: `state_dir/overrides.json`, which is the truth, and their part of
`run_dir/passes.json`, which every worker polls. An override holds from the next query on. One that has ended matches
nothing, and the next change removes it from both files. One that the log does not have yet stays in the first until it
has. Where one file cannot be written, the other still is, and an alarm says so. An entry of a sealed list is excepted
by its reference: its name is in neither file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.base.errors import ResolverError
from resolver.base.stored import Stored, load, store
from resolver.base.timestamps import as_text
from resolver.config.values import domain_name
from resolver.policy import exceptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.base.paths import Places

LONGEST = 31 * 86400.0
USUAL = 72 * 3600.0


class OverrideError(ResolverError):
    """An override cannot be set or lifted."""


class Override(Stored):
    """An exception for one name, or for one entry of a sealed list."""

    name: str
    """Empty for an entry of a sealed list."""
    match: exceptions.Match = "subtree"
    reason: str
    by: str
    since: str
    until: float
    reference: str = ""
    """Of the entry by which it was said; empty: it was said by its name."""
    list: str = ""
    """The sealed list of that entry; empty: it has a name."""

    def __str__(self) -> str:
        return self.name or f"the entry {self.reference} of list {self.list}"


class Overrides(Stored):
    """All overrides of this host."""

    overrides: tuple[Override, ...] = ()
    unlogged: tuple[Override, ...] = ()
    """Set, and the log does not have it yet: also one that has ended since."""

    def holding(self, now: float) -> Overrides:
        return self.with_(entry for entry in self.overrides if entry.until > now)

    def with_(self, overrides: Iterable[Override]) -> Overrides:
        return self.model_copy(update={"overrides": tuple(overrides)})

    def logged(self) -> Overrides:
        return self.model_copy(update={"unlogged": ()})

    def named(self, name: str) -> Override | None:
        return next((entry for entry in self.overrides if name and entry.name == name), None)

    def sealed(self) -> tuple[Override, ...]:
        """Those of entries of sealed lists."""
        return tuple(entry for entry in self.overrides if entry.list)


def read(places: Places) -> Overrides:
    return load(places.overrides, Overrides) or Overrides()


def allow(
    known: Overrides,
    name: str,
    *,
    match: exceptions.Match,
    reason: str,
    by: str,
    seconds: float,
    now: float,
    reference: str = "",
    sealed: str = "",
) -> tuple[Overrides, Override]:
    """The overrides with one more; one of the same name is replaced. `sealed`: the list, where the entry has no name
    here. `OverrideError` says what is wrong with it."""
    try:
        clean = "" if sealed else domain_name(name)
    except ValueError as error:
        raise OverrideError(str(error)) from error
    if not reason.strip():
        raise OverrideError("an override needs a reason", hint="--reason 'belongs to a hospital, not to the casino'")
    if not 0 < seconds <= LONGEST:
        raise OverrideError(
            f"an override ends within {LONGEST / 86400:.0f} days", hint="--for 72h, renewed when needed"
        )
    new = Override(
        name=clean, match=match, reason=reason.strip(), by=by, since=as_text(now), until=float(int(now + seconds)),
        reference=reference, list=sealed,
    )  # fmt: skip
    same = (new.name, new.list and new.reference)
    others = tuple(one for one in known.holding(now).overrides if (one.name, one.list and one.reference) != same)
    return Overrides(overrides=(*others, new), unlogged=(*known.unlogged, new)), new


def lift(known: Overrides, name: str, *, now: float, reference: str = "") -> tuple[Overrides, Override]:
    """The overrides without one. `name` is empty where only the reference is known by which it was said."""
    try:
        clean = domain_name(name) if name or not reference else ""
    except ValueError as error:
        raise OverrideError(str(error)) from error
    held = known.holding(now)
    said = (entry for entry in held.overrides if reference and entry.reference == reference)
    gone = next(said, None) or held.named(clean)
    if gone is None:
        raise OverrideError(f"there is no override for {clean or reference}", hint="stopsign override list")
    return held.with_(entry for entry in held.overrides if entry is not gone), gone


def put(places: Places, overrides: Overrides, now: float) -> str | None:
    """Make them durable and live; returns what of it could not be. What unblocks must work with a full disk too, and
    what is stored need not be said again once the tmpfs has room. `ResolverError`: neither could be."""
    trouble = None
    try:
        store(places.overrides, overrides)
    except OSError as error:
        what = f"{places.overrides} cannot be written ({error.strerror})"
        trouble = f"{what}: the overrides hold, but not for after a restart until it can"
    try:
        publish(places, overrides, now)
    except ResolverError as error:
        if trouble is not None:
            raise
        return f"{error}: the overrides are stored, and hold as soon as there is room"
    return trouble


def publish(places: Places, overrides: Overrides, now: float) -> None:
    """Their part of the exceptions; the off switch stays as it is. Sealed entries are taken off in the live list."""
    names = tuple(
        exceptions.NameException(one.name, one.match, int(one.until))
        for one in overrides.holding(now).overrides
        if one.name
    )
    exceptions.change(places, lambda live: live.with_overrides(names))
