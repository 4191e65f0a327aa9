"""What the steward knows of a list, as it lies on disk.

Two files a list. `applied/head.json` names what may be active: the document beside it, the grounds, the suspensions,
and how much was added when; it is replaced in one rename, which is the moment at which an update is decided.
`state.json` is what is known about fetching: losing it costs a refresh, never a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from resolver.base.stored import Stored, load, store

if TYPE_CHECKING:
    from resolver.base.paths import ListPlaces

WEEK = 7 * 86400.0


class Basis(Stored):
    """The ground of an entry, as the issuer's head has it."""

    law: str
    authority: str
    order: str
    date: str
    territory: str
    court: str
    overdue_suspends: bool = True


class Issuer(Stored):
    name: str
    contact: str
    appeals: str


class Suspension(Stored):
    since: str
    reason: str


class Applied(Stored):
    """What of one list may be active."""

    version: int
    state: str
    """Of the issuer's document of that version; `less` says when not all of a later one is applied."""
    document: str
    """File name beside this head; it names the content, so that two documents never share one."""
    size: int
    entries: int
    issuer: Issuer
    bases: dict[str, Basis]
    suspended: dict[str, Suspension] = Field(default_factory=dict)
    relief: int = 0
    """Version of the relief that was applied last."""
    signed_by: tuple[str, ...] = ()
    holders: dict[str, str] = Field(default_factory=dict)
    """Who holds the keys of `signed_by`, by key id, as far as the issuer's root says."""
    threshold: int = 0
    bridged: bool = False
    less: int | None = None
    """The later version whose removals are applied while its additions are held."""
    approved_by: str | None = None
    since: str = ""
    base: str | None = None
    """The document that this one was judged against."""
    added: int = 0
    """By the step that led here, with `removed`."""
    removed: int = 0
    additions: tuple[tuple[float, int], ...] = ()
    """When how many entries were added, over the last week: what the rolling caps count."""


class Reason(Stored):
    """Why additions are held. `approvable`: a person may let them through all the same."""

    kind: str
    text: str
    approvable: bool


class Held(Stored):
    """Additions of one version that wait for a person, or for the issuer's next version."""

    version: int
    state: str
    added: int
    since: str
    reasons: tuple[Reason, ...]
    urgent: bool = False
    until: float | None = None
    """Until when they are watched against live queries; None: they wait for a person."""
    document: str | None = None
    """What is watched, beside the applied document."""

    @property
    def approvable(self) -> bool:
        return all(reason.approvable for reason in self.reasons)


class Refusal(Stored):
    """Why the last refresh brought nothing; `code` is for programs."""

    code: str
    text: str
    since: str
    times: int = 1


class Fetching(Stored):
    """What is known about fetching a list."""

    attempted: float = 0.0
    fresh: float = 0.0
    """When a timestamp that was then valid was last verified."""
    refusal: Refusal | None = None
    held: Held | None = None
    lapses: float | None = None
    """Of a bridged list: when all of it ends unless it is seen again."""


def load_applied(places: ListPlaces) -> Applied | None:
    return load(places.applied / "head.json", Applied)


def store_applied(places: ListPlaces, applied: Applied, *, beside: str | None = None) -> None:
    """From this rename on the update is decided; documents that nobody names any more go (`beside`: one that stays)."""
    store(places.applied / "head.json", applied)
    for path in places.applied.glob("*.zst"):
        if path.name not in {applied.document, beside}:
            path.unlink(missing_ok=True)
