"""Fetched and verified: what an issuer published, proven, or a named reason why not.

Enters: one list's settings. Leaves: a `Candidate`, or `VerifyError`. Rules: blocking, so it runs in a thread; one
deadline for all of it; nothing of another list is touched; what was verified last stays until something newer is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blocklists import verify
from blocklists.errors import VerifyError
from resolver.lists.state import Basis, Issuer, Suspension

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from resolver.config import ListSource
    from resolver.places import ListPlaces

__all__ = ["Candidate", "VerifyError", "fetch", "stored"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A list as it came, proven, before the guards have seen it."""

    name: str
    version: int
    state: str
    entries: int
    size: int
    lines: Path
    issuer: Issuer
    bases: Mapping[str, Basis]
    suspended: Mapping[str, Suspension]
    relief: int
    signed_by: tuple[str, ...]
    threshold: int
    bridged: bool = False

    @property
    def mark(self) -> str:
        """Names what was signed: two candidates with one mark need one judgement."""
        grounds = hash((self.issuer, *sorted(self.bases.items()), self.signed_by))
        return f"{self.version} {self.state} {self.relief} {len(self.suspended)} {grounds}"


def fetch(source: ListSource, places: ListPlaces, now: float) -> Candidate:
    """The newest version of a list; `VerifyError` otherwise."""
    if source.trusted_root is None:
        raise VerifyError("malformed", f"list {source.name} has no trusted root")
    return _candidate(
        verify.refresh(
            source.repository,
            source.trusted_root,
            places.root,
            source.name,
            deadline=source.deadline,
            min_threshold=source.min_threshold,
            now=datetime.fromtimestamp(now, UTC),
        )
    )


def stored(places: ListPlaces) -> Candidate | None:
    """What was verified last, proven again from disk; None before the first time. `VerifyError` when damaged."""
    verified = verify.stored(places.root)
    return None if verified is None else _candidate(verified)


def _candidate(verified: verify.Verified) -> Candidate:
    head, relief = verified.head, verified.relief
    return Candidate(
        name=head.list,
        version=head.version,
        state=head.state,
        entries=head.entries,
        size=head.full_size,
        lines=verified.lines,
        issuer=Issuer(**asdict(head.issuer)),
        bases={key: Basis(**asdict(basis)) for key, basis in head.bases.items()},
        suspended={ref: Suspension(**asdict(item)) for ref, item in relief.suspended.items()} if relief else {},
        relief=relief.version if relief else 0,
        signed_by=verified.signed_by,
        threshold=verified.threshold,
    )
