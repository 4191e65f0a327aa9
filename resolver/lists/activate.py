"""Active: what should be live becomes live, and the log knows first.

Enters: a `Plan`. Leaves: `run_dir/current.list`, which every worker reads. There is one way to get there, for an
update, for a suspension, for a list gone stale, and for a start after a crash:

1. Does the live generation already say what the plan says? Then nothing happens.
2. Does the durable one? (a reboot emptied the tmpfs, or the machine died between 5 and 6) Then on to 6.
3. Compile into the state directory, under a name that nobody reads.
4. A leaf for each list that changes: durable and under a signed checkpoint before anything is active.
5. The compiled file becomes the durable generation (fsync, rename).
6. It is copied to the tmpfs, the copy is opened, which checks all of it, and renamed to `current.list`.

Killed anywhere, the next start finds itself at one of these steps and goes on. A log that cannot be written stops
additions, never removals: those go live from memory (tmpfs) alone, and their leaf follows when it can. An entry whose
suspension ends blocks again, as an addition does: what is suspended is compared entry by entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from blocklists import delta, durable
from blocklists.document import MAX_SIZE, read_lines
from blocklists.errors import BlocklistError, why
from resolver._core import CoreError
from resolver.base.timestamps import as_text, as_time
from resolver.lists import evidence
from resolver.lists.compile import Plan, build
from resolver.lists.ledger import Event, Ledger, LedgerError
from resolver.policy import generations, look_up
from resolver.policy.description import FORMAT, Generation, LiveList
from resolver.stats.kept import Kept, grounds_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from resolver._core import CompiledList
    from resolver.base.paths import Places
    from resolver.lists.compile import Off


TOLD_OF_NOTHING = {"version", "entries", "action", "reason", "stale", "repository"}
TOLD = TOLD_OF_NOTHING | {"state", "less", "added", "removed", "signed_by", "threshold", "bridged"}
AT_ONCE = 50_000  # references that are looked for in one scan of a compiled list
NAMED = 5_000
"""References in one leaf's detail at most: 256 details are one file, which has a bound."""


@dataclass(frozen=True, slots=True)
class Live:
    """What a generation on disk says of itself; `lists` is empty for one that cannot be used."""

    generation: int = 0
    lists: tuple[LiveList, ...] = ()
    departed: tuple[tuple[str, int], ...] = ()
    compiled: str = ""
    damage: str | None = None
    """Why it cannot be used; None where it can, or is simply not there."""
    there: bool = False


def read(path: Path) -> Live:
    """Open a compiled file, which checks all of it."""
    if not path.exists():
        return Live()
    try:
        meta = Generation.parse(look_up.opened(path).meta)
        if meta.format != FORMAT:
            raise ValueError(f"format {meta.format!r}")
        return Live(meta.generation, meta.lists, meta.departed, as_text(as_time(meta.compiled)), there=True)
    except (CoreError, OSError, ValueError) as error:
        return Live(damage=f"{path}: {why(error, path)}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `bring_up` did: the generation that is live, and whether it is another one than before."""

    live: Live
    changed: bool
    trouble: str | None = None
    """What could not be done durably; the blocks are right all the same."""


def bring_up(planned: Plan, places: Places, ledger: Ledger, *, now: float, live: Live | None = None) -> Outcome:
    """Make the plan live. `live`: what is live and durable, where the caller knows; read from disk otherwise. Blocking.

    Raises `LedgerError`, `CoreError` or `OSError` where it cannot; what was live before then goes on.
    """
    if live is None or not places.current.exists():
        before, kept = read(places.current), read(places.generation)
    else:
        before = kept = live
    newest = max(before, kept, key=lambda one: one.generation)
    planned = planned.counted_after(newest.lists, newest.departed)
    if not (kept.there and kept.lists == planned.lists):
        known = kept if kept.there else before
        number = max(before.generation, kept.generation) + 1
        try:
            _build_durably(planned, places, ledger, known, number, now)
        except (LedgerError, CoreError, OSError) as error:
            if before.there and before.lists == planned.lists:
                return Outcome(before, changed=False, trouble=why(error))
            if not _only_less(planned, places, before if before.there else kept):
                raise
            generations.keep(places, before.generation)
            return _from_memory(planned, places, number, now, why(error))
    elif before.there and before.lists == planned.lists:
        return Outcome(before, changed=False)
    generations.keep(places, before.generation)
    return Outcome(_publish(places), changed=True)


def _build_durably(planned: Plan, places: Places, ledger: Ledger, known: Live, number: int, now: float) -> None:
    finished = places.state_dir / "generation.next"
    build(planned, finished, generation=number, now=now)
    if events := activation_events(planned, known, number, kept=_kept(planned, known, places, now)):
        evidence.of_activations(places, ledger, zip(ledger.append(events), events, strict=True))
    durable.rename(finished, places.generation)


def _kept(planned: Plan, known: Live, places: Places, now: float) -> dict[str, dict[str, str]]:
    """Keep the documents that leaves are about to name; what these commit to, by list."""
    before = {part.name: part for part in _acting(known.lists)}
    commits: dict[str, dict[str, str]] = {}
    for part in _acting(planned.lists):
        if part.document is not None and _rules(part) != _rules(before.get(part.name, LiveList())):
            applied = places.list(part.name).applied / part.document
            kept = Kept(places.kept(part.name))
            commits[part.name] = kept.keep(applied, grounds_of(part), now=now, for_seconds=planned.keep)
    return commits


def _from_memory(planned: Plan, places: Places, number: int, now: float, trouble: str) -> Outcome:
    """The state directory or the log is out of order, and what is asked for only takes away: that must never wait."""
    finished = _next(places)
    build(planned, finished, generation=number, now=now)
    finished.rename(places.current)
    return Outcome(read(places.current), changed=True, trouble=trouble)


def _publish(places: Places) -> Live:
    """A verified copy on tmpfs, so that no error or stall of the disk ever reaches a worker."""
    copy = _next(places)
    durable.copy(places.generation, copy)
    checked = read(copy)
    if not checked.there:
        raise OSError(f"{checked.damage}, though it was written a moment ago")
    copy.rename(places.current)
    return checked


def _next(places: Places) -> Path:
    """Where nobody else may write: workers may in `run_dir`, and would put a folder there."""
    return places.generations / "next"


def _only_less(planned: Plan, places: Places, known: Live) -> bool:
    """Whether the plan cannot stop anything that the known generation does not stop: the same documents or their
    remainders, no entry whose suspension ends, no stronger action."""
    before = {part.name: part for part in _acting(known.lists)}
    after = _acting(planned.lists)
    if list(before) != [part.name for part in after]:
        return False
    if not all(_less(part, before[part.name]) for part in after):
        return False
    changed = [number for number, part in enumerate(after) if _suspends_others(part, before[part.name])]
    if not changed:
        return True
    try:
        compiled = look_up.opened(places.current if places.current.exists() else places.generation)
        return all(_holds_all(compiled, number, planned, places) for number in changed)
    except (CoreError, BlocklistError):
        return False


def _acting(lists: Sequence[LiveList]) -> list[LiveList]:
    """All but what is in shadow evaluation."""
    return [part for part in lists if part.shadow_of is None]


def _less(part: LiveList, was: LiveList) -> bool:
    if part.action not in {was.action, "monitor"}:
        return False
    return part.document == was.document or (part.added == 0 and part.base == was.document)


def _suspends_others(part: LiveList, was: LiveList) -> bool:
    return (part.suspensions, part.suspensions_here) != (was.suspensions, was.suspensions_here)


def _holds_all(compiled: CompiledList, number: int, planned: Plan, places: Places) -> bool:
    """Whether a compiled list holds every entry of one list of the plan that is not suspended in it."""
    part = planned.lists[number]
    if part.document is None:
        return True
    off = {*planned.off[part.name].relief, *planned.off[part.name].here}
    lines = read_lines(places.list(part.name).applied / part.document, size=MAX_SIZE)
    wanted = (reference for line in lines if (reference := delta.reference(line)) not in off)
    while some := frozenset(islice(wanted, AT_ONCE)):
        if {one.reference for one in compiled.find(some) if one.list == number} != some:
            return False
    return True


def activation_events(
    planned: Plan, known: Live, generation: int, *, kept: Mapping[str, Mapping[str, str]]
) -> list[Event]:
    """A leaf for each list of which something else is about to be live than the known generation says. `kept`: the
    hashes of the document and the grounds that a leaf commits to, by list."""
    before = {part.name: part for part in _acting(known.lists)}
    events = []
    for part in _acting(planned.lists):
        was = before.get(part.name, LiveList())
        if part == was:
            continue
        reference = f"{part.name}/{part.version}"
        if _rules(part) != _rules(was) and (part.version or was.version):
            detail = {**_told(part, was), **kept.get(part.name, {}), "generation": generation}
            events.append(Event("list-activated", reference, detail))
        events += _suspension_events(part, was, planned.off.get(part.name), reference, generation)
    events += [
        Event("list-activated", f"{name}/0", {"list": name, "version": 0, "entries": 0, "generation": generation})
        for name in before
        if name not in {part.name for part in planned.lists}
    ]
    return events


def _suspension_events(
    part: LiveList, was: LiveList, off: Off | None, reference: str, generation: int
) -> Iterator[Event]:
    """Which entries are not in force any more, or again: what the issuer withdrew and what is suspended here."""
    if off is None:
        return
    about = {"list": part.name, "generation": generation}
    if part.suspensions != was.suspensions and (off.relief or was.suspended):
        named = {"references": list(off.relief)} if len(off.relief) <= NAMED else {}
        detail = {"relief": part.relief, "suspended": len(off.relief), **named}
        yield Event("relief-applied", reference, {**about, **detail})
    if part.suspensions_here != was.suspensions_here and (off.here or was.here):
        named = {"references": list(off.here)} if len(off.here) <= NAMED else {}
        yield Event("suspended-here", reference, {**about, "suspended": len(off.here), **named})


def _rules(part: LiveList) -> tuple[object, ...]:
    return part.document, part.action, part.reason, part.configured, part.issuer, part.bases


def _told(part: LiveList, was: LiveList) -> dict[str, Any]:
    """`added` and `removed` are those of this leaf: none where the document stays, and something else changes."""
    # who approved stands in the journal: the log is public, and is about the provider
    told = part.model_dump(include=TOLD if part.document else TOLD_OF_NOTHING, by_alias=True, exclude_none=True)
    if part.document is not None and part.document == was.document:
        told |= {"added": 0, "removed": 0}
    return {"list": part.name, **told, "approved": part.approved_by is not None}
