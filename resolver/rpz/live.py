"""What is live now, as the zones see it: the generation and the passes, and the rules they come to.

Enters: `run_dir/current.list` and `run_dir/passes.json`, looked at by stat. Leaves: a file of rules for a zone. Rules:
only lists of the zone count, in the order of the configuration; a list that is switched off counts for nothing, and
neither does what only monitors, what is suspended (the compiler has left it out), what has lapsed; a pass comes before
all lists. A generation or passes that cannot be read leave the last good ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from resolver._core import CoreError
from resolver.base.errors import ResolverError
from resolver.base.file_watch import Changed
from resolver.policy import exceptions as passes
from resolver.policy import look_up
from resolver.policy.verdict import Judge, list_names, mask, names_of, switched_off
from resolver.rpz.zone import RpzError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from resolver._core import CompiledList, Match, Policies
    from resolver.base.paths import Places
    from resolver.config.schema import Config, RpzZone
    from resolver.rpz.zone import Zone


@dataclass(frozen=True)
class Live:
    """One generation with the passes of the moment."""

    compiled: CompiledList | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    passes: passes.Passes = field(default_factory=passes.Passes)
    trouble: str | None = None

    @cached_property
    def lists(self) -> list[str]:
        """By the core's indices."""
        return list_names(self.meta)

    @property
    def generation(self) -> int:
        return int(self.meta.get("generation", 0))

    @property
    def entries(self) -> int:
        return 0 if self.compiled is None else self.compiled.entries

    def mask(self, wanted: frozenset[str] | None, now: float) -> int:
        """The lists that count, as bits. `wanted` None: all."""
        everything, off = switched_off(self.passes, self.lists, now)
        return 0 if everything else mask(self.lists, wanted) & ~off

    def stops(self, qname: str, wanted: frozenset[str] | None, now: float) -> Match | None:
        """The entry that stops a name, as the verdict says."""
        if self._judge is None:
            return None
        try:
            return self._judge.judge(qname, now, mask(self.lists, wanted)).stop
        except CoreError:
            return None  # a resolver tells of names that no list can hold

    @cached_property
    def _judge(self) -> Judge | None:
        return None if self.compiled is None else Judge(self.compiled, self.lists, self.passes)


class Watch:
    """Follows the two files; `look` is cheap where nothing changed."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._changed = Changed()
        self._unread: dict[Path, str] = {}
        """Why the file that is there now could not be used."""
        self.live = Live()

    def look(self) -> bool:
        """True where something changed. Opens a new generation, which checks all of it: not for an event loop."""
        new = self.live
        if self._changed.look(self._places.current):
            new = self._with_list(new)
        if self._changed.look(self._places.passes):
            new = self._with_passes(new)
        trouble = "; ".join(self._unread.values()) or None
        if trouble != new.trouble:
            new = replace(new, trouble=trouble)
        changed = new is not self.live
        self.live = new
        return changed

    def _with_list(self, live: Live) -> Live:
        path = self._places.current
        if not self._changed.there(path):
            self._unread[path] = f"{path} is not there"
            return live
        try:
            opened = look_up.opened(path)
            new = replace(live, compiled=opened, meta=json.loads(opened.meta))
        except (CoreError, ValueError) as wrong:
            self._refuse(path, f"the compiled list is refused ({wrong}); the one before it goes on")
            return live
        self._accept(path)
        return new

    def _with_passes(self, live: Live) -> Live:
        path = self._places.passes
        try:
            found = passes.read(path)
        except ResolverError as wrong:
            self._refuse(path, f"{wrong}; those before them go on")
            return live
        self._accept(path)
        # Who said so and why is nothing to make a zone anew for.
        return live if found.mark == live.passes.mark else replace(live, passes=found)

    def _refuse(self, path: Path, why: str) -> None:
        self._changed.unread(path)
        self._unread[path] = why

    def _accept(self, path: Path) -> None:
        self._changed.read(path)
        self._unread.pop(path, None)


def lists_of(config: Config, source: RpzZone) -> frozenset[str] | None:
    """The lists of a zone: its own, those of its view, or all."""
    if source.lists is not None:
        return frozenset(source.lists)
    if source.view is not None:
        return frozenset(name for view in config.views if view.name == source.view for name in view.lists)
    return None


def write_rules(live: Live, zone: Zone, wanted: frozenset[str] | None, output: Path, now: float) -> Policies:
    """Writes the rules of a zone to `output`, whole and durable or not at all. `RpzError` where there is no list."""
    if live.compiled is None:
        hint = "the steward compiles it; `stopsign lists status` says more"
        raise RpzError(f"there is no list to make {zone.origin} of: {live.trouble}", hint=hint)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        return live.compiled.write_policies(
            output,
            lists=live.mask(wanted, now),
            passes=names_of(live.passes),
            now=int(now),
            room=zone.room,
        )
    except (CoreError, OSError) as error:
        raise RpzError(str(error)) from error
