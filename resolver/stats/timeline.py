"""What was in force when, by the log: each list from leaf to leaf, and what let a name pass meanwhile.

Enters: a log's leaves with what is known of their details. Leaves: a `Timeline`. Rules:

- a leaf says the hour and no more; a list holds from its leaf's hour until that of the next `list-activated` of it;
- a leaf about an override or the off switch may come late: it counts by the times in its detail;
- `relief-applied` and `suspended-here` name all references that are off from then on, each type for itself; where more
  are off than a leaf names, the entry is *perhaps* among them;
- an override or the off switch for one name is of a name that only its private detail says: who has no more than
  the published details sees that there was one, and of an override not even when;
- an override of an entry of a sealed list has no name: it is of one list and one reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from resolver._core import covers
from resolver.log.errors import UntrueError
from resolver.log.reading import leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from blocklists.entry import Match
    from resolver.log.leaf import Detail, Leaf
    from resolver.log.source import Source

SUSPENDING = {"relief-applied": "by the issuer's relief", "suspended-here": "at this provider"}
"""Types of leaves that say what of a list is off, and by whom."""
OVERRIDES = frozenset({"override", "override-sealed"})


@dataclass(frozen=True)
class Span:
    """A list as one leaf activated it: from that leaf's hour until the next one's (None: still active)."""

    list: str
    leaf: int
    detail: Mapping[str, Any]
    since: str
    until: str | None = None
    ended: int | None = None
    """The leaf that ended it."""


@dataclass(frozen=True)
class Pause:
    """Why an active entry did not stop the name, from one leaf's hour until another's (None: until now)."""

    what: str
    """`suspended`, `let pass` (an override) or `switched off`."""
    why: str
    leaf: int
    since: str
    until: str | None = None
    perhaps: bool = False
    """The leaf does not say of which entry or name it is. Of an override it does not say the hours either: `since` is
    the hour of the leaf, which may be late."""

    def __str__(self) -> str:
        return f"{self.what:<10} {'perhaps, ' if self.perhaps else ''}{self._hours()}, {self.why}: leaf {self.leaf}"

    def _hours(self) -> str:
        if self.until:
            return f"from {self.since} until {self.until}"
        if not self.perhaps or self.what == "suspended":
            return f"from {self.since} on"
        if self.what == "let pass":
            return f"logged {self.since}, its hours are not known here"
        return f"from {self.since}, its end is not known here"

    def overlaps(self, span: Span) -> bool:
        """By the hours, since a leaf may come late; within one hour by the order of the leaves."""
        return self._began_before_end(span) and self._ended_after_start(span)

    def _began_before_end(self, span: Span) -> bool:
        if span.ended is None or span.until is None or self.leaf < span.ended or self.since < span.until:
            return True
        return self.perhaps and self.what == "let pass" and self.since == span.until  # perhaps earlier than its leaf

    def _ended_after_start(self, span: Span) -> bool:
        if self.until is None or self.until > span.since:
            return True
        return self.leaf > span.leaf and (self.what == "suspended" or self.until == span.since)


@dataclass(frozen=True)
class _Off:
    """One leaf about an exception. `of`: references, a list, a name, or list and reference of a sealed entry; None: the
    leaf does not say."""

    leaf: int
    hour: str
    kind: str
    list: str | None
    of: Any
    on: bool = True
    until: str | None = None
    match: Match = "subtree"


class Timeline:
    """What the leaves say, in their order."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._open: dict[str, int] = {}
        self._off: list[_Off] = []

    def span(self, leaf: int) -> Span:
        """Raises `UntrueError` where that leaf activated nothing."""
        for span in self.spans:
            if span.leaf == leaf:
                return span
        raise UntrueError(f"leaf {leaf} of this log activates no list", leaf=leaf)

    def pauses(self, span: Span, reference: str, name: str) -> tuple[Pause, ...]:
        """What let `name` pass while the entry `reference` of this span was active, oldest first."""
        found = [*self._suspended(span, reference), *self._passed(span, reference, name)]
        return tuple(sorted((one for one in found if one.overlaps(span)), key=lambda one: (one.since, one.leaf)))

    def add(self, index: int, leaf: Leaf, told: Mapping[str, Any] | None) -> None:
        """The next leaf; `told` is its detail where that is known."""
        if leaf.type == "list-activated" and told is not None:
            self._activated(index, leaf, told)
        elif leaf.type in SUSPENDING and told is not None:
            named = told.get("references", [] if told.get("suspended") == 0 else None)
            of = frozenset(map(str, named)) if isinstance(named, list) else None
            self._off.append(_Off(index, leaf.hour, leaf.type, str(told.get("list")), of))
        elif leaf.type in {"override-set", "override-lifted"}:
            self._off.append(_override(index, leaf, told))
        elif leaf.type in {"bypass", "bypass-words"} and told is not None:
            self._switched(index, leaf, told)

    def _activated(self, index: int, leaf: Leaf, told: Mapping[str, Any]) -> None:
        name = str(told.get("list"))
        if (before := self._open.get(name)) is not None:
            self.spans[before] = replace(self.spans[before], until=leaf.hour, ended=index)
        self._open[name] = len(self.spans)
        self.spans.append(Span(name, index, told, leaf.hour))

    def _switched(self, index: int, leaf: Leaf, told: Mapping[str, Any]) -> None:
        """`bypass` is public and leaves a name out; `bypass-words` has it, and follows the leaf that it is about."""
        kind, of = str(told.get("kind")), str(told.get("of") or "")
        if leaf.type == "bypass-words":
            if kind == "name" and self._off and self._off[-1].kind == "name":
                self._off[-1] = replace(self._off[-1], of=of)
            return
        hour, until = _hour(told.get("at")) or leaf.hour, _hour(told.get("until"))
        named = of or None if kind == "name" else of
        self._off.append(_Off(index, hour, kind, None, named, told.get("act") == "on", until))

    def _suspended(self, span: Span, reference: str) -> Iterator[Pause]:
        for kind, why in SUSPENDING.items():
            since: Pause | None = None
            for one in self._off:
                if one.kind != kind or one.list != span.list:
                    continue
                off = one.of is None or reference in one.of
                if since is not None and (not off or since.perhaps != (one.of is None)):
                    yield replace(since, until=one.hour)
                    since = None
                if off and since is None:
                    since = Pause("suspended", why, one.leaf, one.hour, perhaps=one.of is None)
            if since is not None:
                yield since

    def _passed(self, span: Span, reference: str, name: str) -> Iterator[Pause]:
        """Overrides and the off switch; each ends by itself at its end, or by a later leaf about the same."""
        for at, one in enumerate(self._off):
            if not one.on or one.kind in SUSPENDING or not _concerns(one, span, reference, name):
                continue
            same = (later for later in self._off[at + 1 :] if later.kind == one.kind and later.of == one.of)
            lifted = next(same, None) if one.of is not None else None
            ends = [hour for hour in (one.until, lifted.hour if lifted else None) if hour is not None]
            what, why = ("let pass", "by an override") if one.kind in OVERRIDES else ("switched off", _scope(one))
            yield Pause(what, why, one.leaf, one.hour, min(ends, default=None), perhaps=one.of is None)


def read_timeline(source: Source, details: Callable[[int], list[Detail]]) -> Timeline:
    """All leaves of a log. Of details that are not what their leaves commit to nobody is warned here: `verify` does."""
    timeline = Timeline()
    for index, leaf, detail in leaves(source, details):
        told = detail.value if detail is not None and isinstance(detail.value, dict) else None
        timeline.add(index, leaf, told)
    return timeline


def _override(index: int, leaf: Leaf, told: Mapping[str, Any] | None) -> _Off:
    on = leaf.type == "override-set"
    if told is None:
        return _Off(index, leaf.hour, "override", None, None, on)
    hour, until = _hour(told.get("since")) or leaf.hour, _hour(told.get("until"))
    if not told.get("name"):
        entry = str(told.get("list")), str(told.get("reference"))
        return _Off(index, hour, "override-sealed", None, entry, on, until)
    return _Off(index, hour, "override", None, str(told["name"]), on, until, told.get("match", "subtree"))


def _concerns(one: _Off, span: Span, reference: str, name: str) -> bool:
    if one.of is None or one.kind == "all":
        return True
    if one.kind == "list":
        return bool(one.of == span.list)
    if one.kind == "override-sealed":
        return bool(one.of == (span.list, reference))
    return covers(one.of, one.match, name)


def _scope(one: _Off) -> str:
    return {"all": "for everything", "list": f"for list {one.of}"}.get(one.kind, f"for {one.of or 'one name'}")


def _hour(moment: object) -> str | None:
    return f"{moment[:13]}Z" if isinstance(moment, str) and len(moment) >= 13 else None
