"""Fetched and verified: what an issuer published, proven, or a named reason why not.

Enters: one list's settings. Leaves: a `Candidate`, or `VerifyError`. Rules: blocking, so it runs in a thread; one
deadline for all of it; nothing of another list is touched; what was verified last stays until something newer is.

A look costs one small file: while the mirror serves the very timestamp that was proven last, and that timestamp has not
expired, nothing else can have changed that a full refresh would accept. Keys alone could have been rotated, so all of
it is done every hour, and whenever a person asks.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import ConfigDict
from tuf.api.exceptions import DownloadHTTPError

from blocklists import admissible, adopted, verify
from blocklists.errors import VerifyError
from blocklists.fetch import Deadline, place
from blocklists.relief import entries_among
from blocklists.sealed.errors import SealError
from resolver.base.stored import StateError, load, store
from resolver.lists import bridge
from resolver.lists.state import Suspension
from resolver.policy import seals
from resolver.policy.description import Basis, Issuer, ListDescription, SealPart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blocklists import head
    from blocklists.head import Head
    from resolver.base.paths import ListPlaces
    from resolver.config.schema_lists import Bridge, ListSource

__all__ = ["Candidate", "Mirror", "VerifyError", "stored"]

COMPLETE_EVERY = 3600.0
LARGEST_TIMESTAMP = 1 << 16
SEAL = "seal.json"


class Candidate(ListDescription):
    """A list as it came, proven, before the guards have seen it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str
    size: int
    lines: Path
    suspended: dict[str, Suspension]
    lapses: float | None = None
    """Where nobody signed: when all of it ends unless it is seen again."""
    trouble: VerifyError | None = None
    """Why it could not be fetched; what is here is the last good one, held."""
    is_adopted: bool = False
    """Its document is another list's, which withdraws too."""
    relief_refused: str | None = None
    """Why the newest relief is not applied; the one before is."""
    left_out: str | None = None
    """Of a bridged list: entries of the file that nobody could approve, in a sentence."""

    @property
    def mark(self) -> str:
        """Names what was signed, and the key here that opens it: two candidates with one mark need one judgement."""
        grounds = hash((self.issuer, *sorted(self.bases.items()), self.signed_by, *sorted(self.holders.items())))
        opens = self.seal.keyid if self.seal else ""
        return f"{self.version} {self.state} {self.relief} {len(self.suspended)} {grounds} {opens}"


@dataclass(frozen=True, slots=True)
class Withdrawals:
    """What is withdrawn of a list, whatever became of the version beside it."""

    relief: int | None
    """Version of the list's own relief; None where there is none."""
    suspended: Mapping[str, Suspension]
    damaged: tuple[str, ...] = ()
    """What cannot be read here, in sentences."""


class Mirror:
    """Where one list comes from, and what was last proven of it. For one thread at a time."""

    def __init__(
        self,
        source: ListSource,
        places: ListPlaces,
        own: Mapping[str, str] | None = None,
        sealed_key: Path | None = None,
    ) -> None:
        """`own`: the provider's own names, each with why nobody may stop it. `sealed_key`: the file of the key that
        opens sealed lists."""
        self._sealed_key = sealed_key
        self._source, self._places = source, places
        self._rule = admissible.rule(own) if own else admissible.everywhere()
        self._proven: Candidate | None = None
        self._expires = self._complete = 0.0

    def fetch(self, now: float, *, complete: bool = False) -> Candidate:
        """The newest version, or `VerifyError`. `complete`: even where the timestamp says that nothing is new."""
        source, root = self._source, self._source.trusted_root
        if source.bridge is not None:
            terms = bridge.Terms(source, source.bridge, self._places, now, os.urandom, self._rule)
            return _bridged(source, source.bridge, bridge.cross(terms))
        if root is None:
            raise VerifyError("malformed", f"list {source.name} has no trusted root")
        # what a source withdraws shows in no timestamp of the list that adopted it
        complete = complete or (self._proven is not None and self._proven.is_adopted)
        recent = now < self._expires and abs(now - self._complete) < COMPLETE_EVERY  # a clock far ahead is none
        if self._proven is not None and recent and not complete and self._served() == self._kept():
            return self._proven
        self._proven = None
        try:
            verified = verify.refresh(
                source.repository,
                root,
                self._places.root,
                source.name,
                deadline=source.deadline,
                min_threshold=source.min_threshold,
                now=datetime.fromtimestamp(now, UTC),
                opener=seals.opener(self._sealed_key),
            )
            seal = self._seal(verified)
        except VerifyError as error:
            last = verify.seen(self._places.root)
            trouble = self._ask_sources(last, now).trouble if last else None
            if trouble is None:
                raise
            raise VerifyError(error.reason, f"{error}; {trouble}", hint=error.hint) from error
        withdrawn = self._ask_sources(verified, now)
        self._expires, self._complete = verified.timestamp_expires.timestamp(), now
        self._proven = _candidate(verified, seal, withdrawn)
        return self._proven

    def _ask_sources(self, verified: verify.Verified | verify.Seen, now: float) -> adopted.Withdrawn:
        source = self._source
        return adopted.refresh(
            verified.head,
            verified.lines,
            source.repository,
            self._places.root,
            deadline=source.deadline,
            min_threshold=source.min_threshold,
            now=datetime.fromtimestamp(now, UTC),
        )

    def _seal(self, verified: verify.Verified) -> SealPart | None:
        """This provider's part of a sealed head, kept beside the document: what opens it is nowhere there."""
        head = verified.head
        if head.seal is None:
            return None
        try:
            part = seals.part_of(head.seal, head.state, self._sealed_key)
        except SealError as error:
            raise VerifyError(error.reason, f"{head.list}: {error}", hint=error.hint) from error
        store(self._places.verified / SEAL, part)
        return part

    def _served(self) -> bytes:
        data = b""
        try:
            for chunk in place(self._source.repository, Deadline(self._source.deadline)).read(
                "metadata/timestamp.json"
            ):
                data += chunk
                if len(data) > LARGEST_TIMESTAMP:
                    break  # whatever that is, it is not what was proven
        except DownloadHTTPError as error:
            raise VerifyError("missing", f"{self._source.name}: {error}") from error
        return data

    def _kept(self) -> bytes | None:
        try:
            return (self._places.tuf / "timestamp.json").read_bytes()
        except OSError:
            return None


def stored(source: ListSource, places: ListPlaces) -> Candidate | None:
    """What was verified last, proven again from disk; None before the first time. `VerifyError` when damaged."""
    if source.bridge is not None:
        crossing = bridge.stored(places)
        return None if crossing is None else _bridged(source, source.bridge, crossing)
    verified = verify.stored(places.root)
    if verified is None:
        return None
    withdrawn = adopted.stored(verified.head, places.root)
    return _candidate(verified, _stored_seal(verified.head, places), withdrawn)


def _stored_seal(head: Head, places: ListPlaces) -> SealPart | None:
    if head.seal is None:
        return None
    path = places.verified / SEAL
    try:
        part = load(path, SealPart)
    except StateError as error:
        raise VerifyError("storage", str(error), hint="stopsign lists refresh") from error
    if part is None or part.state != head.state:
        raise VerifyError("storage", f"{path} is missing, or of another version", hint="stopsign lists refresh")
    return part


def stored_withdrawals(places: ListPlaces) -> Withdrawals:
    """The newest that are proven: kept also where the version beside them was refused, or nothing came."""
    relief, suspended, damaged = None, dict[str, Suspension](), []
    try:
        head = verify.head_seen(places.root)
        withdrawn = adopted.stored(head, places.root) if head else adopted.Withdrawn()
        suspended |= _suspensions(withdrawn.suspended)
        damaged += [withdrawn.trouble] if withdrawn.trouble else []
    except VerifyError as error:
        damaged.append(str(error))
    try:
        if (own := verify.relief_seen(places.root)) is not None:
            relief = own.version
            suspended |= _suspensions(own.suspended, verify.relieved_by(places.root))
    except VerifyError as error:
        damaged.append(str(error))
    return Withdrawals(relief, suspended, tuple(damaged))


def _suspensions(
    suspended: Mapping[str, head.Suspension], by: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Suspension]:  # fmt: skip
    """`by`: who signed, as far as that is known."""
    return {ref: Suspension(**asdict(item), by=by.get(ref, "")) for ref, item in suspended.items()}


def _candidate(verified: verify.Verified, seal: SealPart | None, withdrawn: adopted.Withdrawn) -> Candidate:
    head, relief = verified.head, verified.relief
    there = entries_among(withdrawn.suspended.keys(), verified.lines, head.full_size)
    return Candidate(
        name=head.list,
        version=head.version,
        state=head.state,
        entries=head.entries,
        size=head.full_size,
        lines=verified.lines,
        issuer=Issuer(**asdict(head.issuer)),
        bases={key: Basis(**asdict(basis)) for key, basis in head.bases.items()},
        suspended={
            **{ref: item for ref, item in _suspensions(withdrawn.suspended).items() if ref in there},
            **_suspensions(relief.suspended if relief else {}, verified.relieved_by),
        },
        relief=relief.version if relief else 0,
        signed_by=verified.signed_by,
        holders=dict(verified.holders),
        threshold=verified.threshold,
        relief_refused=verified.relief_refused or withdrawn.trouble,
        is_adopted=bool(head.adopted),
        seal=seal,
    )


def _bridged(source: ListSource, settings: Bridge, crossing: bridge.Crossing) -> Candidate:
    made = crossing.bridged
    return Candidate(
        name=source.name,
        version=made.version,
        state=made.state,
        entries=made.entries,
        size=made.size,
        lines=crossing.lines,
        issuer=bridge.issuer_of(settings),
        bases=made.bases or {bridge.KEY: bridge.basis_of(settings)},
        suspended={},
        bridged=True,
        lapses=made.lapses,
        trouble=crossing.trouble,
        left_out=_left_out(made),
    )


def _left_out(made: bridge.Bridged) -> str | None:
    if not made.left_out_count:
        return None
    more = made.left_out_count - len(made.left_out)
    return "; ".join(made.left_out) + (f"; and {more:,} more" if more else "")
