"""What is blocked now, as the web process sees it.

Enters: `run_dir/current.list`, and beside it the passes and when each list was last confirmed, polled by stat. Leaves:
a `Snapshot` that says for a name which entries stop it. Rules: the snapshot is replaced as a whole, never changed; a
generation that cannot be opened leaves the last good one in place; the verdict is the core's: the page says what DNS
does for the client who asks, nothing else.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from resolver.base.errors import ResolverError
from resolver.base.file_watch import Changed
from resolver.ipc import list_confirmations
from resolver.policy.exceptions import Passes
from resolver.policy.exceptions import read as read_passes
from resolver.policy.verdict import Judge, list_names, mask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from resolver._core import CompiledList, Match
    from resolver.base.paths import Places

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judged:
    """The entries that cover a name and hold for who asks, by list, the most specific first: those that stop it, and
    those that do not since the name is let through or they only monitor."""

    stops: tuple[Match, ...] = ()
    others: tuple[Match, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """One generation with the passes of the moment."""

    compiled: CompiledList | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    passes: Passes = field(default_factory=Passes)
    confirmed: Mapping[str, str] = field(default_factory=dict)
    number: int = 0

    def judged(self, name: str, now: int, view: frozenset[str] | None = None) -> Judged:
        """What the lists do to a name now. `view`: the lists that hold for one client; None: all."""
        if self._judge is None:
            return Judged()
        judgement = self._judge.judge(name, now, mask(self._joined, view))
        holding = [(match, does) for match, does in judgement.entries if does not in {"expired", "other-view"}]
        is_stopped = judgement.stop is not None
        return Judged(
            tuple(match for match, does in holding if is_stopped and does == "stops"),
            tuple(match for match, does in holding if not (is_stopped and does == "stops")),
        )

    @cached_property
    def _judge(self) -> Judge | None:
        return None if self.compiled is None else Judge(self.compiled, list_names(self.meta), self.passes)

    @cached_property
    def _joined(self) -> list[str]:
        """By the core's indices; of additions that are only watched, the list that they are to join."""
        return [str(part.get("watched") or part.get("name", "")) for part in self.meta.get("lists", ())]

    def entry(self, reference: str, now: int) -> Match | None:
        """The unexpired entry with this reference. A scan of the list: for what a person does, never for a page."""
        if self.compiled is None or not reference:
            return None
        return next((m for m in self.compiled.find(reference) if m.expires > now), None)

    def list_of(self, match: Match) -> Mapping[str, Any]:
        lists = self.meta.get("lists", ())
        return lists[match.list] if match.list < len(lists) else {}


class Live:
    """The current snapshot; `poll` looks for a newer one and is cheap when there is none (three stats)."""

    def __init__(self, places: Places, open_list: Callable[[Path], CompiledList]) -> None:
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
            return replace(snapshot, compiled=None, meta={})
        try:
            opened = self._open(self._places.current)
            new = replace(snapshot, compiled=opened, meta=json.loads(opened.meta))
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
