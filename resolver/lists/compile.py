"""Compiled: all lists together become one generation.

Enters: the configuration and what of each list is applied. Leaves: a `Plan`, the exact description of what should be
live now; and the file that the core makes of it. Rules: a list's place in the configuration is its number in the file,
also where nothing of it is applied; a list that has been stale for too long only monitors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import zstandard

from blocklists import durable
from resolver import _core
from resolver.base import atomic
from resolver.base.timestamps import as_text
from resolver.config.schema_lists import EDE, MAX_LISTS
from resolver.lists.shadow import MARK
from resolver.policy.description import Generation, LiveList, counters_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from resolver.base.paths import Places
    from resolver.config.schema import Config
    from resolver.config.schema_lists import ListSource
    from resolver.lists.state import Applied, Fetching, Held
    from resolver.lists.suspensions import Suspensions
    from resolver.policy.description import SealPart


@dataclass(frozen=True, slots=True)
class Off:
    """References that are not in force, in order: by the issuer's relief, and at this provider."""

    relief: tuple[str, ...]
    here: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What should be live. `lists` describes it fully: two plans with equal `lists` compile to the same rules."""

    sources: tuple[_core.Source, ...]
    lists: tuple[LiveList, ...]
    off: Mapping[str, Off] = field(default_factory=dict)
    """What is suspended, by list."""
    keep: float | None = None
    """For how many seconds documents are kept that the log names; None: for ever."""
    departed: tuple[tuple[str, int], ...] = ()
    """See `Generation`."""

    @property
    def entries(self) -> int:
        return sum(part.entries for part in self.lists)

    def counted_after(self, before: Sequence[LiveList], departed: Iterable[tuple[str, int]]) -> Plan:
        """Each list counts under the number that it had; a new one, under one that no list had. Where all are taken, it
        takes the number, and the sums, of the list that departed first."""
        had = {**dict(departed), **dict(zip((part.name for part in before), counters_of(before), strict=True))}
        names = {part.name for part in self.lists}
        left = {name: number for name, number in had.items() if name not in names}
        free = iter([*sorted(set(range(MAX_LISTS)) - set(had.values())), *left.values()])
        counted = [
            part.model_copy(update={"counter": had[part.name] if part.name in had else next(free)})
            for part in self.lists
        ]
        taken = {part.counter for part in counted}
        still = tuple((name, number) for name, number in left.items() if number not in taken)
        return replace(self, lists=tuple(counted), departed=still)


def plan(
    config: Config,
    applied: Mapping[str, Applied],
    fetching: Mapping[str, Fetching],
    here: Suspensions,
    kept: Mapping[str, Off] | None = None,
    *,
    now: float,
) -> Plan:
    """What should be live now. `here`: what this provider itself has suspended. `kept`: what it had, and is not to
    block again yet."""
    sources, lists = [], []
    off: dict[str, Off] = {}
    for source in config.lists:
        own = here.of(source.name).union(kept[source.name].here if kept and source.name in kept else ())
        state = applied.get(source.name)
        stale = is_stale(source, fetching.get(source.name), now)
        action = "monitor" if stale else source.action
        ede = EDE[source.reason]
        if state is None:
            sources.append(_source(nothing(config.places), action, source.aliases, ede, [], []))
        else:
            document = config.places.list(source.name).applied / state.document
            suspended = sorted({*state.suspended, *own})
            off[source.name] = Off(tuple(sorted(state.suspended)), tuple(sorted(own)))
            made = _source(document, action, source.aliases, ede, sorted(state.bases), suspended)
            sources.append(_sealed(made, state.seal))
        lists.append(_live(source, state, action=action, stale=stale, here=own))
    for source in config.lists:
        held = fetching[source.name].held if source.name in fetching else None
        if held is None or held.document is None or len(sources) >= MAX_LISTS:
            continue
        document = config.places.list(source.name).applied / held.document
        if document.exists():
            sources.append(_sealed(_source(document, "monitor", "relay", 0, [], []), held.seal))
            lists.append(_in_shadow(source, held))
    return Plan(tuple(sources), tuple(lists), off, config.log.keep)


def is_stale(source: ListSource, fetching: Fetching | None, now: float) -> bool:
    """Whether nobody vouched for the list for so long that its blocks may be withdrawn ones. A bridge that holds does
    so on purpose, and alarms."""
    if source.on_expiry == "hold":
        return False
    return fetching is not None and fetching.fresh > 0 and now - fetching.fresh > source.stale_after


def build(planned: Plan, output: Path, *, generation: int, now: float) -> None:
    """Write the compiled file of a plan. `CoreError` or `OSError` where it cannot be."""
    meta = Generation(generation=generation, compiled=as_text(now), lists=planned.lists, departed=planned.departed)
    durable.make_folder(output.parent)
    _core.compile(list(planned.sources), str(output), meta.to_bytes())


def nothing(places: Places) -> Path:
    """An empty document, for a list of which nothing is applied."""
    path = places.generations / "nothing.zst"
    atomic.replace(path, zstandard.ZstdCompressor().compress(b""))
    return path


def _source(
    document: Path, action: str, aliases: str, ede: int, bases: list[str], suspended: list[str]
) -> _core.Source:
    return {
        "document": str(document),
        "action": action,  # type: ignore[typeddict-item]
        "aliases": aliases,  # type: ignore[typeddict-item]
        "ede": ede,
        "bases": bases,
        "suspended": suspended,
    }


def _sealed(source: _core.Source, seal: SealPart | None) -> _core.Source:
    return source if seal is None else {**source, "seal": bytes.fromhex(seal.check)}


def _live(source: ListSource, state: Applied | None, *, action: str, stale: bool, here: frozenset[str]) -> LiveList:
    configured: dict[str, Any] = {
        "name": source.name,
        "action": action,
        "configured": source.action,
        "stale": stale,
        "reason": source.reason,
        "aliases": source.aliases,
        "repository": source.repository,
    }
    if state is None:
        return LiveList(**configured)
    return LiveList(
        **configured,
        **state.described(),
        suspended=len(state.suspended),
        suspensions=_digest(state.suspended),
        here=len(here),
        suspensions_here=_digest(here),
    )


def _in_shadow(source: ListSource, held: Held) -> LiveList:
    """Additions in shadow evaluation: a list after all others, which only monitors."""
    return LiveList(
        name=source.name + MARK,
        shadow_of=source.name,
        action="monitor",
        configured="monitor",
        version=held.version,
        entries=held.added,
        seal=held.seal,
        document=held.document,
    )


def _digest(references: Iterable[str]) -> str:
    return sha256("\n".join(sorted(references)).encode()).hexdigest()
