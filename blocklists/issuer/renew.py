"""What lapses, and its renewal: entries, and the roles' own signatures.

Enters: the desk and a span. Leaves: what falls due, or requests that prolong it. An entry that nobody renews lapses by
itself: that is what the end is for, so a renewal is reviewed and signed like an addition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, Root, Targets

from blocklists.delta import ADDED, REMOVED
from blocklists.entry import as_text, parse
from blocklists.force import in_force
from blocklists.issuer.propose import ProposeError, place, refuse_adopted
from blocklists.issuer.request import About, Request
from blocklists.repository import LIFETIMES, RELIEF, ROOT, TARGETS, delegate_relief, relief_keys

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from blocklists.entry import Entry
    from blocklists.issuer.desk import Desk


@dataclass(frozen=True, slots=True)
class Due:
    """What lapses before a point in time: roles with their ends, and entries by list."""

    roles: tuple[tuple[str, datetime], ...]
    entries: tuple[tuple[str, Entry], ...]


def due(desk: Desk, *, now: datetime, within: timedelta) -> Due:
    """What lapses within a span, earliest first. Left out: the desk's own roles, which renew themselves, and the
    entries of a list that was adopted sealed, which nobody here reads."""
    current, until = desk.current(), now + within
    if current is None:
        return Due((), ())
    ends = {ROOT: current.root.signed.expires, TARGETS: current.targets.signed.expires,
            RELIEF: current.relief.signed.expires}  # fmt: skip
    roles = sorted(((role, end) for role, end in ends.items() if end <= until), key=lambda item: item[1])
    entries = [(name, entry) for name in desk.lists() for entry in _lapsing(desk, name, as_text(until))]
    return Due(tuple(roles), tuple(sorted(entries, key=lambda item: (item[1].expires, item[0], item[1].order()))))


def prolong(
    desk: Desk, name: str, *, now: datetime, within: timedelta, span: timedelta, only: Collection[str] = ()
) -> list[tuple[bytes, bytes]]:
    """The changes that give what is in force and lapses soon a new end. `only`: references or names; empty: all."""
    refuse_adopted(desk.head(name))
    steps: list[tuple[bytes, bytes]] = []
    for entry in _lapsing(desk, name, as_text(now + within)):
        if only and not {entry.name, entry.reference} & set(only):
            continue
        steps += [(REMOVED, entry.line()), (ADDED, replace(entry, expires=as_text(now + span)).line())]
    if not steps:
        raise ProposeError(f"nothing of {name} lapses by {as_text(now + within)}")
    return sorted(steps, key=place)


def roles(desk: Desk, *, now: datetime, author: str) -> Request:
    """The request that gives targets and relief, and a root in its last quarter, a new end; no list changes."""
    current = desk.current()
    if current is None:
        raise ProposeError(f"{desk.folder} has published no root yet")
    old_root, targets, relief = current.root.signed, current.targets.signed, current.relief.signed
    root: Metadata[Root] | None = None
    if old_root.expires < now + LIFETIMES[ROOT] / 4:
        new = Root.from_dict(old_root.to_dict())
        new.version, new.expires = old_root.version + 1, _expires(ROOT, now)
        root = Metadata(new)
    return Request(
        About("renew", None, author, as_text(now), "new ends for the roles; no list changes"),
        root=root,
        targets=Metadata(
            Targets(
                targets.version + 1,
                expires=_expires(TARGETS, now),
                targets=targets.targets,
                delegations=delegate_relief(relief_keys(targets.delegations), relief.targets),
            )
        ),
        relief=Metadata(Targets(relief.version + 1, expires=_expires(RELIEF, now), targets=relief.targets)),
    )


def _lapsing(desk: Desk, name: str, until: str) -> list[Entry]:
    published = desk.head(name)
    if published is None:
        raise ProposeError(f"there is no list {name!r}", hint=f"there are: {', '.join(desk.lists()) or 'none'}")
    wanted = until.encode()
    if published.adopted and published.seal is not None:
        return []
    lines = in_force(desk.listing(published).lines(), desk.relief(name))
    # Times are ordered as text, and the key cannot stand inside a value: most lines need no parsing
    return [parse(line) for line in lines if line.partition(b'"expires":"')[2][:20] <= wanted]


def _expires(role: str, now: datetime) -> datetime:
    return (now + LIFETIMES[role]).replace(microsecond=0)
