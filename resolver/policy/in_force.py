"""What is in force: the live list and the exceptions, followed by each process that needs them.

Enters: `run_dir/current.list` and `run_dir/passes.json`, one stat each. Leaves: a frozen `InForce`. Rules:

- A value is replaced as a whole, never changed.
- A file that is gone, or cannot be read, changes nothing: the last good one holds, and `trouble` says why.
- Where a sealed list does not open that is open now, the file is refused as a damaged one is. Where it is not open now,
  as in a process that has just begun without the key, all other lists are in force, and `trouble` says which is not.
- A file that cannot be read is tried again every `file_watch.AGAIN` seconds: this process may have had no descriptor.
- Exceptions count as changed when their effect changes, not when the log has recorded them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from resolver._core import CoreError
from resolver.base.errors import ResolverError
from resolver.base.file_watch import Changed
from resolver.policy import exceptions, look_up
from resolver.policy.description import Generation
from resolver.policy.exceptions import LiveExceptions
from resolver.policy.verdict import EVERY_LIST, Judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resolver._core import CompiledList, Judgement
    from resolver.base.paths import Places
    from resolver.policy.description import LiveList

    Unsealing = Callable[[CompiledList, tuple[LiveList, ...]], Mapping[str, str]]
    """Gives the sealed ones of these lists their keys. Leaves, by the names of those that do not open, why."""


@dataclass(frozen=True)
class InForce:
    """One generation with the exceptions of the moment."""

    compiled: CompiledList | None = None
    meta: Generation = field(default_factory=Generation)
    exceptions: LiveExceptions = field(default_factory=LiveExceptions)
    list_trouble: str | None = None
    """Why the file that is there now is not in use."""
    exceptions_trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        return "; ".join(filter(None, (self.list_trouble, self.exceptions_trouble))) or None

    @property
    def lists(self) -> tuple[LiveList, ...]:
        """What `meta` says of each list, by the core's indices; lists in shadow evaluation come last."""
        return self.meta.lists

    @cached_property
    def names(self) -> list[str]:
        """The names of the lists, by the core's indices."""
        return self.meta.names

    @cached_property
    def mark(self) -> str:
        """Names the exceptions and their ends."""
        return self.exceptions.mark

    @property
    def generation(self) -> int | None:
        return None if self.compiled is None else self.meta.generation

    @property
    def entries(self) -> int:
        return 0 if self.compiled is None else self.compiled.entries

    def judge(self, qname: str, now: float, view: int = EVERY_LIST) -> Judgement | None:
        """The verdict; None without a list. Raises `CoreError` where `qname` is no name."""
        return None if self._judge is None else self._judge.judge(qname, now, view)

    @cached_property
    def _judge(self) -> Judge | None:
        return None if self.compiled is None else Judge(self.compiled, self.names, self.exceptions)


def is_there(places: Places) -> bool:
    """Whether `run_dir` holds list and exceptions: the steward wrote both."""
    return places.current.exists() and exceptions.are_there(places)


class Follower:
    """`now` is what is in force. For one thread at a time."""

    def __init__(self, places: Places, unseal: Unsealing | None = None) -> None:
        """`unseal` gives sealed lists their keys; without it they find nothing here."""
        self._places, self._unseal = places, unseal
        self._changed = Changed()
        self._closed: frozenset[str] = frozenset()
        """Sealed lists of what is in force that are not open."""
        self.now = InForce()

    def poll(self) -> bool:
        """True if `now` is another value. Reading a new list checks all of it: not for an event loop."""
        before = self.now
        if self.list_changed():
            self.read_list()
        self.poll_exceptions()
        return self.now is not before

    def list_changed(self) -> bool:
        """Whether `read_list` has something to read. One stat."""
        return self._changed.look(self._places.current)

    def read_list(self) -> None:
        path, had = self._places.current, self.now.compiled is not None
        if not self._changed.there(path):
            gone = f"{path} is gone; the list that is loaded goes on" if had else "there is no compiled list yet"
            self._replace(list_trouble=gone)
            return
        try:
            opened = look_up.opened(path)
            meta = Generation.parse(opened.meta)
            closed = self._unseal(opened, meta.lists) if self._unseal is not None else {}
            if lost := closed.keys() & {one.name for one in self.now.lists} - self._closed:
                raise ResolverError(closed[min(lost)])
        except (CoreError, ResolverError, ValueError) as wrong:
            self._changed.unread(path)
            kept = "the list before it goes on" if had else "there is no other"
            self._replace(list_trouble=f"the compiled list is refused ({wrong}); {kept}")
            return
        self._changed.read(path)
        self._closed = frozenset(closed)
        goes_without = [f"{why}; it stops nothing here, all other lists hold" for why in closed.values()]
        self._replace(compiled=opened, meta=meta, list_trouble="; ".join(goes_without) or None)

    def poll_exceptions(self) -> None:
        """Read them if they changed."""
        path = self._places.exceptions
        if not self._changed.look(path):
            return
        if not self._changed.there(path) and self.now.exceptions != LiveExceptions():
            self._replace(exceptions_trouble=f"{path} is gone; those before them go on")
            return
        try:
            found = exceptions.read(path)
        except ResolverError as wrong:
            self._changed.unread(path)
            self._replace(exceptions_trouble=f"{wrong}; those before them go on")
            return
        self._changed.read(path)
        is_new = found.mark != self.now.mark
        self._replace(exceptions=found if is_new else self.now.exceptions, exceptions_trouble=None)

    def _replace(self, **new: Any) -> None:
        after = replace(self.now, **new)
        if after != self.now:
            self.now = after
