"""What is blocked now, as the web process sees it.

Enters: `run_dir/current.list`, and beside it the passes and when each list was last confirmed, polled by stat. Leaves:
a `Snapshot` that says for a name which entries stop it. Rules: the snapshot is replaced as a whole, never changed; a
generation that cannot be opened leaves the last good one in place; an entry counts only if it is unexpired, its kind
of match covers the name, its list holds for the client who asks and does more than monitor, and no pass lets the name
through: the page says what DNS does for that client, nothing else.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from resolver.base.errors import ResolverError
from resolver.base.file_watch import Changed
from resolver.ipc import list_confirmations
from resolver.policy.exceptions import Passes, covers
from resolver.policy.exceptions import read as read_passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from resolver.base.paths import Places

log = logging.getLogger(__name__)


class Match(Protocol):
    """One entry at a name or above it, as the compiled list tells it. Times are Unix seconds."""

    @property
    def name(self) -> str: ...
    @property
    def match(self) -> str: ...
    @property
    def list(self) -> int: ...
    @property
    def action(self) -> str: ...
    @property
    def issued(self) -> int: ...
    @property
    def expires(self) -> int: ...
    @property
    def basis(self) -> str: ...
    @property
    def category(self) -> str: ...
    @property
    def reference(self) -> str: ...


class Listed(Protocol):
    """The compiled list, as far as people are concerned: `resolver._core.CompiledList`, or a fake in tests."""

    @property
    def meta(self) -> bytes: ...
    def look_up(self, name: str) -> Sequence[Match]: ...
    def find(self, reference: str) -> Sequence[Match]: ...


@dataclass(frozen=True)
class Snapshot:
    """One generation with the passes of the moment."""

    listed: Listed | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    passes: Passes = field(default_factory=Passes)
    confirmed: Mapping[str, str] = field(default_factory=dict)
    number: int = 0

    def matches(self, name: str, now: int, view: frozenset[str] | None = None) -> tuple[Match, ...]:
        """Every unexpired entry that covers the name, watched ones too; in list order, the most specific first. `view`:
        of these lists, as they hold for one client; None: of all."""
        if self.listed is None:
            return ()
        found = [m for m in self.listed.look_up(name) if m.expires > now and covers(m, name)]
        if view is not None:
            found = [m for m in found if self._joins(m) in view]
        return tuple(sorted(found, key=lambda m: (m.list, -m.name.count("."))))

    def stops(self, name: str, now: int, view: frozenset[str] | None = None) -> tuple[Match, ...]:
        """The entries that stop this name now, for a client of this view; empty where DNS lets it pass."""
        if self.passes.all(now) or self.passes.covering(name, now) is not None:
            return ()
        off = self.passes.lists(now)
        return tuple(m for m in self.matches(name, now, view) if m.action != "monitor" and self.list_name(m) not in off)

    def entry(self, reference: str, now: int) -> Match | None:
        """The unexpired entry with this reference. A scan of the list: for what a person does, never for a page."""
        if self.listed is None or not reference:
            return None
        return next((m for m in self.listed.find(reference) if m.expires > now), None)

    def list_of(self, match: Match) -> Mapping[str, Any]:
        lists = self.meta.get("lists", ())
        return lists[match.list] if match.list < len(lists) else {}

    def list_name(self, match: Match) -> str:
        return str(self.list_of(match).get("name", ""))

    def _joins(self, match: Match) -> str:
        """The list of an entry; of one that is only watched, the list that it is to join."""
        return str(self.list_of(match).get("watched") or self.list_name(match))


class Live:
    """The current snapshot; `poll` looks for a newer one and is cheap when there is none (three stats)."""

    def __init__(self, places: Places, open_list: Callable[[Path], Listed]) -> None:
        self._places, self._open = places, open_list
        self._changed = Changed()
        self.snapshot = Snapshot()

    def poll(self) -> bool:
        """True if the snapshot changed."""
        new = self.snapshot
        if self._changed.look(self._places.current):
            new = self._with_list(new)
        if self._changed.look(self._places.passes):
            new = self._with_passes(new)
        if self._changed.look(self._places.lists):
            new = replace(new, confirmed=self._confirmed(new.confirmed))
        if new is self.snapshot:
            return False
        self.snapshot = replace(new, number=self.snapshot.number + 1)
        return True

    def _with_list(self, snapshot: Snapshot) -> Snapshot:
        if not self._changed.there(self._places.current):
            return replace(snapshot, listed=None, meta={})
        try:
            opened = self._open(self._places.current)
            new = replace(snapshot, listed=opened, meta=json.loads(opened.meta))
        except Exception:
            if self._changed.unread(self._places.current):
                log.exception("the new generation cannot be opened; the last one stays")
            return snapshot
        self._changed.read(self._places.current)
        return new

    def _with_passes(self, snapshot: Snapshot) -> Snapshot:
        try:
            new = replace(snapshot, passes=read_passes(self._places.passes))
        except ResolverError as wrong:
            if self._changed.unread(self._places.passes):
                log.error("%s; the last ones stay", wrong)  # noqa: TRY400 - the sentence says it all
            return snapshot
        self._changed.read(self._places.passes)
        return new

    def _confirmed(self, before: Mapping[str, str]) -> Mapping[str, str]:
        """When each list was last confirmed. It decides nothing, so a file that cannot be read changes nothing."""
        read = list_confirmations.read(self._places)
        return before if read is None else read


@dataclass(frozen=True)
class ListedName:
    """A match made by hand: what the fake below answers."""

    name: str
    match: str = "subtree"
    list: int = 0
    action: str = "stop-page"
    issued: int = 1_790_000_000
    expires: int = 1_830_000_000
    basis: str = "order-17"
    category: str = "gambling"
    reference: str = "7ZK3M9Q2XW4T8RBC"


class FakeList:
    """The interface over a plain sequence of entries, for tests: every entry at the name or at a parent of it."""

    def __init__(self, entries: Iterable[ListedName], meta: Mapping[str, Any]) -> None:
        self._entries = tuple(entries)
        self.meta = json.dumps(meta).encode()

    def look_up(self, name: str) -> Sequence[Match]:
        return [e for e in self._entries if name == e.name or name.endswith("." + e.name)]

    def find(self, reference: str) -> Sequence[Match]:
        return [e for e in self._entries if e.reference == reference]
