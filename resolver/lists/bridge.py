"""The bridge: a file that a regulator publishes unsigned, taken in as an issuer of its own.

Enters: one file from a web host or a folder (CSV, plain names, hosts, RPZ), and the ground that the provider's own
configuration gives it. Leaves: a `Candidate` that says `bridged`, so that the stop page says that nobody signed it.

Rules
- The same guards as for any list; the same deadline and bounds when fetching; a file in which nothing is a name, or
  less than half is (an error page), is refused and the last good one goes on.
- An entry lives for `lifetime` from the last time that the file was seen, so that a regulator's host that goes away for
  good ends its blocks: `on_expiry: lapse`. Where the law wants them kept, `hold` renews them from the last good file,
  with an alarm for as long as it lasts.
- Ends lie on a grid of a quarter of the lifetime, so that a list changes four times in a lifetime and not at each look.
- References follow from a secret of this host, the name and the match: the same entry keeps its reference over any
  number of imports, and nobody can guess one.
"""

from __future__ import annotations

import csv
import hmac
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from tuf.api.exceptions import DownloadHTTPError

from blocklists import document, durable, entry
from blocklists.document import MAX_SIZE, DocumentError
from blocklists.entry import Entry
from blocklists.errors import BlocklistError, VerifyError
from blocklists.fetch import Deadline, place
from blocklists.importers import formats
from blocklists.importers.intake import Intake
from blocklists.importers.source import Rejection, lines
from resolver.base.stored import StateError, Stored, load, store
from resolver.base.timestamps import as_text
from resolver.policy.description import Basis, Issuer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resolver.base.paths import ListPlaces
    from resolver.config.schema import Bridge, ListSource

KEY = "bridge"  # of the one ground in the table


class Bridged(Stored):
    """What was made of the file, as it lies in the state directory."""

    version: int
    state: str
    entries: int
    size: int
    document: str
    file: str
    """SHA-256 of the file as it was fetched."""
    lapses: float
    """When all of it ends unless the file is seen again."""
    rejected: int = 0
    ground: str = ""
    """Digest of the configured ground: another one makes another version."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A bridged list, and what went wrong where it was held instead of fetched."""

    bridged: Bridged
    lines: Path
    trouble: VerifyError | None


def issuer_of(bridge: Bridge) -> Issuer:
    return Issuer(name=bridge.issuer, contact=bridge.contact or "", appeals=bridge.contact or "")


def basis_of(bridge: Bridge) -> Basis:
    return Basis(
        law=bridge.law,
        authority=bridge.authority,
        order=bridge.order,
        date=bridge.date,
        territory=bridge.territory,
        court=bridge.court or "",
    )


def stored(places: ListPlaces) -> Crossing | None:
    """What was bridged last; None before the first time. `VerifyError` when damaged."""
    try:
        known = load(places.root / "bridge" / "head.json", Bridged)
    except StateError as error:
        raise VerifyError("storage", str(error)) from error
    if known is None:
        return None
    path = places.root / "bridge" / known.document
    try:
        document.check_state(path, expected=document.Summary(known.entries, known.size, known.state))
    except (OSError, DocumentError) as error:
        raise VerifyError("storage", f"{path}: {error}") from error
    return Crossing(known, path, None)


def cross(
    source: ListSource, bridge: Bridge, places: ListPlaces, now: float, random: Callable[[int], bytes]
) -> Crossing:
    """Fetch the file and make a document of it, or hold what there is. `VerifyError` where neither can be."""
    before = stored(places)
    try:
        fetched = _fetched(source, places)
    except VerifyError as trouble:
        if before is None or source.on_expiry != "hold":
            raise
        return Crossing(*_renewed(before, source, bridge, places, now, random), trouble)
    digest = sha256(fetched.read_bytes()).hexdigest()
    lapses = _lapses(bridge, now)
    known = before.bridged if before else None
    if before and known and (known.file, known.lapses, known.ground) == (digest, lapses, _ground(bridge)):
        return before
    intake = _imported(fetched, bridge)
    issued = _issued(before)
    return Crossing(*_written(intake, digest, before, bridge, places, lapses, now, issued, random), None)


def _fetched(source: ListSource, places: ListPlaces) -> Path:
    folder, _, name = source.repository.rpartition("/")
    path = places.root / "bridge" / "fetched"
    durable.make_folder(path.parent)
    size = 0
    try:
        with path.open("wb") as file:
            for chunk in place(folder, Deadline(source.deadline)).read(name):
                size += len(chunk)
                if size > source.max_size:
                    raise VerifyError("too-large", f"{source.repository}: more than {source.max_size:,} octets")
                file.write(chunk)
    except DownloadHTTPError as error:
        raise VerifyError("missing", f"{source.repository}: {error}") from error
    except OSError as error:
        raise VerifyError("storage", f"{path}: {error.strerror}") from error
    return path


def _imported(path: Path, bridge: Bridge) -> Intake:
    intake = Intake(bridge.match)
    try:
        if bridge.column is None:
            formats.read(path, intake)
        else:
            _read_column(path, bridge.column, intake)
    except BlocklistError as error:
        raise VerifyError("malformed", str(error), hint=error.hint) from error
    taken, rejected = len(intake.candidates), len(intake.rejected)
    if taken == 0 or rejected > taken:
        first = f"; line {intake.rejected[0].line}: {intake.rejected[0].reason}" if rejected else ""
        raise VerifyError("malformed", f"{taken} names and {rejected} lines that are none{first}")
    return intake


def _read_column(path: Path, column: str, intake: Intake) -> None:
    """One column by number (from 1) or by its heading in the first row. The delimiter is the first row's."""
    at: int | None = int(column) - 1 if column.isdigit() else None
    delimiter = ""
    for item in lines(path):
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.rejected.append(item)
            continue
        number, text = item
        delimiter = delimiter or max(",;\t", key=text.count)
        row = [value.strip() for value in next(csv.reader([text], delimiter=delimiter), [])]
        if at is None:
            at = next((index for index, value in enumerate(row) if value.lower() == column.lower()), None)
            if at is None:
                raise VerifyError("malformed", f"the first row has no column {column!r}: {text[:120]!r}")
        elif 0 <= at < len(row):
            intake.take(number, row[at])
        elif any(row):
            intake.reject(number, text, f"no column {column}")


def _written(
    intake: Intake,
    digest: str,
    before: Crossing | None,
    bridge: Bridge,
    places: ListPlaces,
    lapses: float,
    now: float,
    issued: dict[tuple[str, str], str],
    random: Callable[[int], bytes],
) -> tuple[Bridged, Path]:
    secret = _secret(places, random)
    entries = [
        _entry(
            secret, bridge, candidate.name, candidate.match, issued.get((candidate.name, candidate.match)), lapses, now
        )
        for candidate in intake.candidates
    ]
    return _kept(entries, digest, before, bridge, places, lapses, len(intake.rejected))


def _renewed(
    before: Crossing,
    source: ListSource,
    bridge: Bridge,
    places: ListPlaces,
    now: float,
    random: Callable[[int], bytes],
) -> tuple[Bridged, Path]:
    """The last good file's entries with a later end."""
    del source
    known, lapses = before.bridged, _lapses(bridge, now)
    if known.lapses >= lapses:
        return known, before.lines
    secret = _secret(places, random)
    entries = [
        _entry(secret, bridge, old.name, old.match, old.issued, lapses, now)
        for old in document.read(before.lines, size=known.size)
    ]
    return _kept(entries, known.file, before, bridge, places, lapses, known.rejected)


def _kept(
    entries: list[Entry],
    digest: str,
    before: Crossing | None,
    bridge: Bridge,
    places: ListPlaces,
    lapses: float,
    rejected: int,
) -> tuple[Bridged, Path]:
    version = before.bridged.version + 1 if before else 1
    path = places.root / "bridge" / f"full-{version}.zst"
    with durable.replaced(path) as part:
        summary = document.write(part, document.in_order(entries))
    made = Bridged(
        version=version,
        state=summary.state,
        entries=summary.entries,
        size=summary.size,
        document=path.name,
        file=digest,
        lapses=lapses,
        rejected=rejected,
        ground=_ground(bridge),
    )
    store(places.root / "bridge" / "head.json", made)
    for old in path.parent.glob("full-*.zst"):
        if old != path:
            old.unlink()
    return made, path


def _entry(
    secret: bytes, bridge: Bridge, name: str, match: entry.Match, issued: str | None, lapses: float, now: float
) -> Entry:
    drawn = hmac.digest(secret, f"{name}\0{match}\0{_ground(bridge)}".encode(), "sha256")[:10]
    return Entry(
        name=name,
        match=match,
        basis=KEY,
        category=bridge.category,
        issued=issued or as_text(now),
        expires=as_text(lapses),
        reference=entry.references(1, lambda _: drawn)[0],
    )


def _issued(before: Crossing | None) -> dict[tuple[str, str], str]:
    """When each entry was first seen."""
    if before is None:
        return {}
    return {(old.name, old.match): old.issued for old in document.read(before.lines, size=MAX_SIZE)}


def _lapses(bridge: Bridge, now: float) -> float:
    grid = bridge.lifetime / 4
    return float(int((now + bridge.lifetime) / grid) * grid)


def _ground(bridge: Bridge) -> str:
    return sha256(bridge.model_dump_json(exclude={"column", "lifetime"}).encode()).hexdigest()


def _secret(places: ListPlaces, random: Callable[[int], bytes] = os.urandom) -> bytes:
    path = places.root / "bridge" / "secret"
    if not path.exists():
        durable.replace(path, random(32), mode=0o600)
    return path.read_bytes()
