"""What is stored of a list.

Two files a list. `applied/head.json` names what may be active: the document beside it, the grounds, the suspensions,
and how much was added when; it is replaced in one rename, which is the moment at which an update is decided.
`state.json` is what is known about fetching: losing it costs a refresh, never a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from resolver.base.stored import Stored, load, store
from resolver.base.timestamps import as_text
from resolver.policy.description import Basis, Issuer, ListDescription, SealPart

if TYPE_CHECKING:
    from resolver.base.paths import ListPlaces

WEEK = 7 * 86400.0
WATCHED, STAGE = "watched", "stage"  # kinds of reasons that end by themselves


class Suspension(Stored):
    since: str
    reason: str
    by: str = ""
    """Who signed it, for people; empty: not known."""


class Applied(ListDescription):
    """What of one list may be active: `document` with its `entries`, of the issuer's `version` and `state`."""

    version: int
    state: str
    entries: int
    issuer: Issuer
    bases: dict[str, Basis]
    document: str
    size: int
    """Octets of the document's lines at most; 0: not known, of a record that was restored."""
    suspended: dict[str, Suspension] = Field(default_factory=dict)
    additions: tuple[tuple[float, int], ...] = ()
    """When how many entries were added, over the last week: what the rolling caps count."""


class Reason(Stored):
    """Why additions are held. `approvable`: a person may let them through all the same."""

    kind: str
    text: str
    approvable: bool


class Held(Stored):
    """Additions of one version that wait for a person, or for the issuer's next version. `since`: additions to the list
    are held, those of one version or another."""

    version: int
    state: str
    added: int
    since: str
    reasons: tuple[Reason, ...]
    urgent: bool = False
    judged: float | None = None
    """When the guards first spoke of this version; None: `since`, as earlier versions of this program wrote it."""
    until: float | None = None
    """The end of their shadow evaluation; None: they wait for a person."""
    watched: float | None = None
    """When shadow evaluation of additions to the list began, of this version or of one before it."""
    document: str | None = None
    """The additions in shadow evaluation, beside the applied document."""
    seal: SealPart | None = None
    """Of a sealed list: opens that document, which may be under another names' key than what is applied."""

    approved: tuple[str, bool] | None = None
    """The approval that has its leaf: whose, and whether past the waves. None: it is done, or there was none."""
    approved_by: str | None = None
    """Who let them through; they wait for hosts of an earlier wave."""

    def evaluated(self, since: float, until: float) -> Held:
        """In shadow evaluation, `since` its beginning."""
        text = f"watched against live queries until {as_text(until)}"
        reason = Reason(kind=WATCHED, text=text, approvable=True)
        return self.model_copy(update={"reasons": (reason,), "watched": since, "until": until})

    @property
    def approvable(self) -> bool:
        return all(reason.approvable for reason in self.reasons)

    @property
    def waits_for_wave(self) -> bool:
        """Whether nothing holds them but hosts that are to run them first."""
        return [reason.kind for reason in self.reasons] == [STAGE]


class Refusal(Stored):
    """Why the last refresh brought nothing; `code` is for programs."""

    code: str
    text: str
    since: str
    times: int = 1


class Fetching(Stored):
    """What is known about fetching a list."""

    model_config = ConfigDict(extra="ignore")  # earlier versions wrote `attempted`, which nothing read

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
