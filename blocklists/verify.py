"""The client that both halves share: fetches a list and trusts it only once everything about it is proven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocklists.errors import BlocklistError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from blocklists.head import Head, Relief


class VerifyError(BlocklistError):
    """A list is refused; what was verified before stays. `reason` is a code for programs, the message for people.

    Codes: `signature-threshold`, `threshold-too-low`, `duplicate-key`, `key-reuse`, `key-type`, `rollback`, `expired`,
    `hash-mismatch`, `state-hash`, `too-large`, `deadline`, `malformed`, `missing`, `unreachable`, `reference-reuse`,
    `wrong-list`, `storage`.
    """

    def __init__(self, reason: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Verified:
    """A list whose every octet is proven, as it lies in the state directory."""

    head: Head
    lines: Path
    """The document as canonical lines, zstd-compressed; size and state hash are those of the head."""
    relief: Relief | None
    signed_by: tuple[str, ...]
    """Key ids whose signatures over the list role are valid, sorted."""
    threshold: int
    """How many of them the role asks for."""
    timestamp_expires: datetime
    versions: tuple[int, int, int, int]
    """Of root, timestamp, snapshot, targets."""
    changed: bool
    """Whether head or relief differ from what was verified before."""


def refresh(
    repository: str,
    trusted_root: Path,
    state: Path,
    name: str,
    *,
    deadline: float,
    min_threshold: int = 2,
    now: datetime,
) -> Verified:
    """Fetch and verify the newest version of list `name`; raise VerifyError and leave the last verified one in place.

    `repository`: a directory's path, or an http(s) URL. `trusted_root`: the pinned root metadata (a file). `state`: a
    directory of this list alone: `tuf/` and `verified/` in it are this module's (created as needed). `deadline`:
    seconds for all of it together. `now`: aware, UTC.
    """
    del trusted_root, state, name, deadline, min_threshold, now
    raise VerifyError("unreachable", f"{repository}: not built yet")


def stored(state: Path) -> Verified | None:
    """What `refresh` last verified, from disk alone; None before the first time. Raises VerifyError when damaged."""
    raise VerifyError("storage", f"{state}: not built yet")
