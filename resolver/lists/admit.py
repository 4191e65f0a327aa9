"""Guarded: from a proven list to what of it may be active.

Enters: a candidate, what is applied now, the names to look after. Leaves: an `Admission`: the new applied state with
its document in place but no head naming it yet, what is held, and what the log has to be told. Nothing is active
before `store_applied` and `activate` have run; a crash before that leaves a file that nobody names.

Rules
- Additions that the guard has nothing against are applied, after shadow evaluation and the waves before this host where
  there are any. All others are held until a person approves them; a first load may be approved by the configuration
  (`approve_first`). What keeps them held is `decide`.
- What is in force of a document is all of it less what is suspended, and that is what is compared: an entry that was
  withdrawn does not count, neither as an addition nor as one that was there before.
- Removals, narrowing, shortening and suspensions are in the new state whatever the guards say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blocklists import delta, durable
from blocklists.counted import counted
from blocklists.document import MACHINE, MAX_SIZE, read_lines, write_lines
from blocklists.entry import Entry, parse
from blocklists.errors import VerifyError
from blocklists.relief import entries_among
from blocklists.sealed import lines as sealed_lines
from blocklists.sealed.errors import SealError
from blocklists.sealed.lines import SealedEntry
from blocklists.sealed.memory import wipe
from resolver import _core
from resolver.base.timestamps import as_text
from resolver.lists.guard import Facts, Finding, Judgement, judge, outside_scope
from resolver.lists.ledger import Event
from resolver.lists.state import WEEK, Applied, Held, Reason, Suspension
from resolver.policy import seals

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from resolver.base.paths import ListPlaces
    from resolver.config.schema_lists import ListSource
    from resolver.lists.fetch import Candidate
    from resolver.lists.protected import ProtectedNames

FINDINGS, EVERY = 100, 1 << 32
Watch = tuple[float, float]
"""Beginning and end of a shadow evaluation, Unix time."""
PROVEN = ("version", "state", "issuer", "bases", "signed_by", "holders", "threshold")


@dataclass(frozen=True, slots=True)
class Admission:
    """What an update comes to. `applied` is None where nothing of it may be active yet."""

    applied: Applied | None
    held: Held | None
    events: tuple[Event, ...]


def admit(
    candidate: Candidate,
    applied: Applied | None,
    source: ListSource,
    places: ListPlaces,
    names: ProtectedNames,
    *,
    now: float,
    judged_at: float,
    approved_by: str | None = None,
    watch: Watch | None = None,
    sealed_key: Path | None = None,
    waits: Reason | None = None,
) -> Admission:
    """Judge a candidate and put its document beside the applied head. Blocking. `VerifyError` where the document is not
    what an issuer may sign; `CoreError` or `OSError` where this machine fails. `judged_at`: the time by which the caps
    count; what acts is counted from `now` on. `watch`: when additions that nothing speaks against meet live queries
    before they act; None: they do not. `sealed_key`: opens a sealed list for the guards. `waits`: why additions do not
    act yet, whatever the guards say."""
    applied = _resealed(applied, candidate)
    old = places.applied / applied.document if applied else None
    withdrawn = sorted({**(applied.suspended if applied else {}), **candidate.suspended})
    if applied is not None and _is(applied, candidate):
        return Admission(_relieved(applied, candidate, now), None, ())
    rekeyed = is_rekeyed(applied, candidate)
    facts = examine(candidate, old, source, names, withdrawn, sealed_key, rekeyed=rekeyed)
    judgement = judge(
        facts,
        source,
        names,
        active=applied.entries if applied else 0,
        additions=applied.additions if applied else (),
        now=judged_at,
    )
    if old is None or approved_by is not None or not judgement.adds or not facts.added:
        watch = None
    let_by = approved_by or ("the configuration (approve_first)" if facts.first and source.approve_first else None)
    acts = (judgement.adds and watch is None) or (let_by is not None and judgement.approvable)
    if acts and (waits is None or not facts.added):
        return Admission(_all(candidate, applied, places, facts, now, None if judgement.adds else let_by), None, ())
    held = _held(candidate, facts, judgement, source, now)
    if acts and waits is not None:
        held = held.model_copy(update={"reasons": (waits,), "approved_by": approved_by})
    elif watch is not None and old is not None:
        lines = (_rekeyed_additions if rekeyed else _added_lines)(old, candidate, withdrawn)
        held = _in_shadow(held, candidate, lines, places, watch)
    events = (Event("list-held", f"{candidate.name}/{candidate.version}", _as_detail(candidate, held)),)
    if applied is None or old is None:
        return Admission(None, held, events)
    return Admission(_removals(candidate, applied, old, places, facts, now, withdrawn), held, events)


def is_rekeyed(applied: Applied | None, candidate: Candidate) -> bool:
    """Whether both are sealed, each under another names' key."""
    was = applied.seal if applied else None
    return was is not None and candidate.seal is not None and was.number != candidate.seal.number


def _resealed(applied: Applied | None, candidate: Candidate) -> Applied | None:
    """What is applied, for the key that this host has now: the stanza of a later version opens the same names' key."""
    was, now = applied.seal if applied else None, candidate.seal
    if applied is None or was is None or now is None or was.keyid == now.keyid or was.check != now.check:
        return applied
    return applied.model_copy(update={"seal": now})


def _is(applied: Applied, candidate: Candidate) -> bool:
    """Whether the candidate is what is applied already, but for suspensions."""
    return applied.less is None and all(getattr(applied, key) == getattr(candidate, key) for key in PROVEN)


def examine(
    candidate: Candidate,
    old: Path | None,
    source: ListSource,
    names: ProtectedNames,
    withdrawn: Sequence[str],
    sealed_key: Path | None = None,
    *,
    rekeyed: bool = False,
) -> Facts:
    """The core compares what is in force of both documents (all but the `withdrawn` references), checks the new one
    line by line, and matches additions with protected names."""
    if candidate.entries > source.max_entries:
        raise VerifyError(
            "too-large", f"{counted(candidate.entries, 'entry')}; max_entries allows {source.max_entries:,}"
        )
    if candidate.size > source.max_size:
        raise VerifyError("too-large", f"{candidate.size:,} octets; max_size allows {source.max_size:,}")
    key: bytes | None = None
    try:
        if candidate.seal is not None:
            key = bytes(seals.name_key(candidate.seal, sealed_key))
        seen = _core.examine(
            old,
            candidate.lines,
            announced=(candidate.size, candidate.state, list(candidate.bases)),
            protected=list(names.protected),
            suffixes=list(names.suffixes),
            popular=[*names.shared, *names.popular],
            withdrawn=withdrawn,
            limit=FINDINGS,
            key=key,
            rekeyed=rekeyed,
        )
    except _core.ListError as error:
        raise VerifyError("storage" if error.kind in MACHINE else error.kind, str(error)) from error
    except SealError as error:
        raise VerifyError(error.reason, str(error), hint=error.hint) from error
    finally:
        wipe(key or b"")
    if seen.changes.entries != candidate.entries:
        told = f"the head announces {counted(candidate.entries, 'entry')}; the document has {seen.changes.entries:,}"
        raise VerifyError("malformed", told)
    scope = source.scope
    limited = bool(scope.matches or scope.categories or scope.territories or scope.below)
    return Facts(
        first=old is None,
        entries=candidate.entries,
        added=seen.added,
        removed=seen.removed + seen.changes.narrowed,
        found=[Finding(f.kind, f.name, f.match, f.against, f.reference) for f in seen.findings],
        reused=list(seen.changes.reused),
        outside=(
            list(outside_scope(scope, _additions(None if rekeyed else old, candidate, withdrawn)))
            if limited and (seen.added or rekeyed)
            else ()
        ),
    )


def _additions(
    old: Path | None, candidate: Candidate, withdrawn: Collection[str]
) -> Iterator[tuple[str, str, str, str]]:
    """Name (of a sealed entry: its reference), match, category and territory of each entry in force that the old
    document does not have just so."""
    for _, entry, _ in _new_lines(old, candidate, withdrawn):
        basis = candidate.bases.get(entry.basis)
        plain, name = (entry.plain, entry.reference) if isinstance(entry, SealedEntry) else (entry, entry.name)
        yield name, plain.match, plain.category, basis.territory if basis else ""


def _new_lines(
    old: Path | None, candidate: Candidate, withdrawn: Collection[str]
) -> Iterator[tuple[bytes, Entry | SealedEntry, bool]]:
    """Each line in force that the old document does not have, its entry, and whether it is an old entry altered. Both
    documents are sorted alike, so that one pass over both finds them; only lines that differ are parsed."""
    read: Callable[[bytes], Entry | SealedEntry] = parse if candidate.seal is None else sealed_lines.parse
    before = read_lines(old, size=MAX_SIZE) if old else iter(())
    mine = next(before, None)
    for line in read_lines(candidate.lines, size=candidate.size):
        if line == mine:
            mine = next(before, None)
            continue
        entry = read(line)
        order = entry.order()
        while mine is not None and read(mine).order() < order:
            mine = next(before, None)
        if line == mine:
            mine = next(before, None)
            continue
        if entry.reference not in withdrawn:
            yield line, entry, mine is not None and read(mine).order() == order


def _all(
    candidate: Candidate, applied: Applied | None, places: ListPlaces, facts: Facts, now: float, approved: str | None
) -> Applied:
    document = f"{candidate.version}-{_short(candidate.state)}.zst"
    durable.copy(candidate.lines, places.applied / document)
    before = applied.additions if applied else ()
    added = () if facts.first else ((now, facts.added),) if facts.added else ()
    step = {
        "document": document,
        "approved_by": approved,
        "since": as_text(now),
        "base": applied.document if applied else None,
        "added": facts.added,
        "removed": facts.removed,
    }
    return Applied(
        **{**candidate.described(), **step},
        size=candidate.size,
        suspended=_suspended(applied, candidate),
        additions=tuple(item for item in (*before, *added) if now - item[0] < WEEK),
    )


def _suspended(applied: Applied | None, candidate: Candidate) -> dict[str, Suspension]:
    """What of the candidate is suspended. Once suspended, a reference stays so for as long as its entry is there, also
    where the relief no longer names it: reinstating takes two signers and a new reference."""
    carried = {
        ref: item for ref, item in (applied.suspended if applied else {}).items() if ref not in candidate.suspended
    }
    there = entries_among(carried, candidate.lines, candidate.size)
    return {**{ref: item for ref, item in carried.items() if ref in there}, **candidate.suspended}


def _removals(
    candidate: Candidate,
    applied: Applied,
    old: Path,
    places: ListPlaces,
    facts: Facts,
    now: float,
    withdrawn: Sequence[str],
) -> Applied:
    """What is applied, less what the candidate no longer has."""
    if not facts.removed and applied.less is None:
        return _relieved(applied, candidate, now)
    document = f"{applied.version}-{_short(applied.state)}-less-{candidate.version}-{_short(candidate.state)}.zst"
    if document == applied.document:
        return _relieved(applied, candidate, now)
    output, sealed = str(places.applied / document), candidate.seal is not None
    entries = _core.restrain(
        str(old), str(candidate.lines), output, withdrawn=withdrawn, sealed=sealed,
        rekeyed=is_rekeyed(applied, candidate),
    )  # fmt: skip
    return applied.model_copy(
        update={
            "document": document,
            "entries": entries,
            "bases": {**applied.bases, **candidate.bases},
            "less": candidate.version,
            "suspended": {**applied.suspended, **candidate.suspended},
            "relief": candidate.relief,
            "since": as_text(now),
            "base": applied.document,
            "added": 0,
            "removed": applied.entries - entries,
        }
    )


def _relieved(applied: Applied, candidate: Candidate, now: float) -> Applied:
    """What is applied, with the candidate's suspensions. Once suspended, a reference stays so for ever."""
    suspended = {**applied.suspended, **candidate.suspended}
    if suspended == applied.suspended and candidate.relief == applied.relief:
        return applied
    return applied.model_copy(update={"suspended": suspended, "relief": candidate.relief, "since": as_text(now)})


def _held(candidate: Candidate, facts: Facts, judgement: Judgement, source: ListSource, now: float) -> Held:
    return Held(
        version=candidate.version,
        state=candidate.state,
        added=facts.added,
        since=as_text(now),
        reasons=judgement.reasons,
        urgent=source.urgent,
        judged=now,
    )


def _in_shadow(held: Held, candidate: Candidate, lines: Iterable[bytes], places: ListPlaces, watch: Watch) -> Held:
    """The additions alone, as a document that is compiled beside the list and only monitors."""
    name = f"watched-{candidate.version}-{_short(candidate.state)}.zst"
    with durable.replaced(places.applied / name) as part:
        write_lines(part, lines)
    return held.evaluated(*watch).model_copy(update={"document": name, "seal": candidate.seal})


def _added_lines(old: Path, candidate: Candidate, withdrawn: Collection[str]) -> Iterator[bytes]:
    return (line for line, _, altered in _new_lines(old, candidate, withdrawn) if not altered)


def _rekeyed_additions(old: Path, candidate: Candidate, withdrawn: Sequence[str]) -> Iterator[bytes]:
    """Under another key no line is as it was: the entries whose references are new."""
    seen = _core.changes(old, candidate.lines, withdrawn=withdrawn, limit=EVERY, sealed=True, rekeyed=True)
    new = {change.reference for change in seen.listed if change.kind == "added"}
    return (line for line in read_lines(candidate.lines, size=candidate.size) if delta.reference(line) in new)


def _as_detail(candidate: Candidate, held: Held) -> dict[str, Any]:
    return {
        "list": candidate.name,
        "version": candidate.version,
        "state": candidate.state,
        "added": held.added,
        "reasons": [f"{reason.kind}: {reason.text}" for reason in held.reasons],
    }


def _short(state: str) -> str:
    return state.removeprefix("sha256:")[:16]
