"""What there is to say about the lists: the status that commands and metrics show, and the alarms.

Enters: the register, the file of exceptions, what is left of the disks. Leaves: plain values. Alarms that an event
sets and clears come from the register (`_alarm`); those that are true by the passing of time (not confirmed since, held
long, lapsing) are computed here. It reads memory and that one file and changes nothing, so that any thread may ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from blocklists.counted import counted
from resolver.base import disk_space
from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text, as_time
from resolver.lists.compile import is_stale
from resolver.lists.state import Fetching
from resolver.policy import bypass, exceptions

if TYPE_CHECKING:
    from collections import Counter

    from resolver.base.paths import Places
    from resolver.config.schema import Config
    from resolver.config.schema_lists import ListSource
    from resolver.lists.appeals import AppealsHere
    from resolver.lists.ledger import Ledger
    from resolver.lists.people import People
    from resolver.lists.state import Applied, Held
    from resolver.lists.waves import Waves

DAY = 86400.0
LAPSE_NOTICE = 30 * DAY


class Known(Protocol):
    """What the register knows."""

    config: Config
    ledger: Ledger
    people: People
    appeals: AppealsHere
    waves: Waves
    alarms: dict[str, str]
    guarded: Counter[tuple[str, str]]
    refused: Counter[tuple[str, str]]

    @property
    def applied(self) -> dict[str, Applied]: ...
    @property
    def fetching(self) -> dict[str, Fetching]: ...
    @property
    def generation(self) -> int: ...
    @property
    def compiled(self) -> str: ...


def status(register: Known, now: float) -> dict[str, Any]:
    """Everything about the lists, as `stopsign lists status --json` prints it."""
    return {
        "generation": register.generation,
        "compiled": register.compiled,
        "lists": [_list_status(register, source, now) for source in register.config.lists],
        "guarded": _counts(register.guarded),
        "refused": _counts(register.refused),
        "overrides": len(register.people.holding().overrides),
        "appeals": {
            "waiting": len(register.appeals.known.waiting),
            "held": sorted(register.appeals.known.held),
            "suspended": len(register.appeals.suspended.entries),
            "refused": register.appeals.refused,
        },
        "log": {"leaves": register.ledger.size, "trouble": register.ledger.trouble},
        "alarms": alarms(register, now),
    }


def _counts(of: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    """Of a copy: another thread may be counting."""
    return [{"list": name, "why": why, "times": times} for (name, why), times in sorted(of.copy().items())]


def _list_status(register: Known, source: ListSource, now: float) -> dict[str, Any]:
    known, applied = register.fetching.get(source.name, Fetching()), register.applied.get(source.name)
    return {
        "name": source.name,
        "repository": source.repository,
        "action": "monitor" if is_stale(source, known, now) else source.action,
        "version": applied.version if applied else None,
        "state": applied.state if applied else None,
        "entries": applied.entries if applied else 0,
        "suspended": len(applied.suspended) if applied else 0,
        "less": applied.less if applied else None,
        "since": applied.since if applied else None,
        "issuer": applied.issuer.name if applied else None,
        "confirmed": as_text(known.fresh) if known.fresh else None,
        "stale": is_stale(source, known, now),
        "refusal": known.refusal.model_dump() if known.refusal else None,
        "held": {**known.held.model_dump(), "approvable": known.held.approvable} if known.held else None,
        **register.waves.status(source),
    }


def alarms(register: Known, now: float) -> list[str]:
    """What somebody should look at, each in a sentence."""
    found = [
        *_bypassed(register.config.places, now),
        *disk_space.alarms(register.config.places),
        *register.alarms.values(),
    ]
    for source in register.config.lists:
        known = register.fetching.get(source.name, Fetching())
        found += _alarms_of(source, known, now)
        if known.held is not None:
            is_first = source.name not in register.applied
            waits = nothing_yet(source.name, known.held) if is_first else _held_long(source, known.held, now)
            found += [waits] if waits else []
    return found


def _bypassed(places: Places, now: float) -> list[str]:
    try:
        return bypass.alarms(exceptions.read(places.exceptions), now)
    except ResolverError:
        return []  # an alarm by itself


def nothing_yet(name: str, held: Held) -> str:
    """Of a list of which nothing is active: that its first load waits for a person."""
    waits = f"waits for approval since {held.since}"
    why = waits if held.approvable else f"is held since {held.since} and cannot be approved"
    load = f"its first load, {counted(held.added, 'entry')} of version {held.version}, {why}"
    return f"list {name} stops nothing: {load}: stopsign lists status"


def _held_long(source: ListSource, held: Held, now: float) -> str | None:
    # Additions in shadow evaluation wait for nobody: what counts is for how long the list was held before it. Those
    # that wait for a wave never alarm at once, but do once they have waited for `alarm_held`.
    at_once = held.urgent and not held.waits_for_wave and held.watched is None
    waited = (now if held.watched is None else held.watched) - as_time(held.since)
    if at_once or waited > source.alarm_held:
        return f"additions to list {source.name} are held since {held.since}, now of version {held.version}"
    return None


def _alarms_of(source: ListSource, known: Fetching, now: float) -> list[str]:
    found = []
    if is_stale(source, known, now):
        found.append(f"list {source.name} only monitors: nobody has confirmed it since {as_text(known.fresh)}")
    elif known.fresh and now - known.fresh > min(DAY, source.stale_after / 2):
        found.append(f"list {source.name} has not been confirmed since {as_text(known.fresh)}")
    if known.refusal is not None:
        found.append(f"list {source.name} is refused since {known.refusal.since}: {known.refusal.text}")
    if known.lapses is not None and known.refusal is not None and known.lapses - now < LAPSE_NOTICE:
        end = "is held beyond its end" if source.on_expiry == "hold" else f"ends on {as_text(known.lapses)}"
        found.append(f"list {source.name} {end}: its file has not been seen since {as_text(known.fresh)}")
    return found
