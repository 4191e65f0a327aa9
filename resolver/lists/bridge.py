"""The bridge: a file that a regulator publishes unsigned, taken in as an issuer of its own.

Enters: one file from a web host or a folder, or a zone from its primary, and the ground that the provider's own
configuration gives it. Leaves: a `Candidate` that says `bridged`, so that the stop page says that nobody signed it.

Rules
- The same guards as for any list; the same deadline and bounds when fetching; a file in which nothing is a name, or
  less than half is (an error page), is refused and the last good one goes on. So is one that lost more than
  `shrink_at_most` of its names: fewer blocks are easy, silence is not.
- An entry that nobody could approve (`blocklists/admissible.py`, the provider's own names, the scope) is left out, with
  an alarm that names it: held, it would keep every later addition waiting for ever.
- An entry lives for `lifetime` from the last time that the file was seen, so that a regulator's host that goes away for
  good ends its blocks: `on_expiry: lapse`. Where the law wants them kept, `hold` renews them from the last good file,
  with an alarm for as long as it lasts. No entry lives past the end that the register itself gave it: that end is
  kept beside the document.
- Ends lie on a grid of a quarter of the lifetime, so that a list changes four times in a lifetime and not at each look.
- What was made of the last file may be damaged on disk: then the next file is taken as the first one is, under the next
  version, and is refused all the same where it lost too many names.
- References follow from a secret of this host, the name and the match: the same entry keeps its reference over any
  number of imports, and nobody can guess one.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import asdict, dataclass, replace
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING

from blocklists import document, durable, entry
from blocklists.counted import counted
from blocklists.document import MAX_SIZE, DocumentError
from blocklists.download import How, Signature, download
from blocklists.entry import Entry
from blocklists.errors import BlocklistError, VerifyError, why
from blocklists.fetch import Deadline
from blocklists.head import Basis as Ground
from blocklists.importers import formats
from blocklists.importers.intake import Intake
from blocklists.importers.mapping import Mapping, Name, Read
from blocklists.transfer import transfer
from blocklists.web import Access
from resolver.base.stored import StateError, Stored, load, store
from resolver.base.timestamps import as_text
from resolver.lists.guard import problems
from resolver.policy.description import Basis, Issuer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blocklists.admissible import Rule
    from resolver.base.paths import ListPlaces
    from resolver.config.schema_lists import Bridge, Fetching, ListSource

KEY = "bridge"  # of the one ground in the table
SHRINK = 0.5  # of its names that a file may lose, unless somebody says another share
LEFT_OUT = 20  # entries that nobody could approve, as the alarm names them
_SAID = {"issuer", "contact", "law", "authority", "order", "date", "territory", "court", "category", "match"}


class Bridged(Stored):
    """What was made of the file, as the state directory has it."""

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
    reading: str = ""
    """Digest of how the file is read: likewise."""
    left_out: tuple[str, ...] = ()
    """Entries that nobody could approve, each with why; the first of them."""
    left_out_count: int = 0
    bases: dict[str, Basis] | None = None
    """The grounds of its entries; None: the configured one alone, as before there were others."""
    ends: str | None = None
    """A document of the entries to which the register gave an end after `lapses`, with that end; empty: there are none.
    None: earlier versions kept no such ends, and the file is read again."""


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
    known = _head(places)
    return None if known is None else _proven(known, places)


def _proven(known: Bridged, places: ListPlaces) -> Crossing:
    path = places.root / "bridge" / known.document
    try:
        document.check_state(path, expected=document.Summary(known.entries, known.size, known.state))
    except (OSError, DocumentError) as error:
        raise VerifyError("storage", f"{path}: {why(error, path)}") from error
    return Crossing(known, path, None)


def _head(places: ListPlaces) -> Bridged | None:
    try:
        return load(places.root / "bridge" / "head.json", Bridged)
    except StateError as error:
        raise VerifyError("storage", str(error)) from error


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which a crossing happens: the settings, the clock, and what may be an entry here."""

    source: ListSource
    bridge: Bridge
    places: ListPlaces
    now: float
    random: Callable[[int], bytes]
    rule: Rule

    @property
    def lapses(self) -> float:
        """When an entry of a file seen now ends."""
        grid = self.bridge.lifetime / 4
        return float(int((self.now + self.bridge.lifetime) / grid) * grid)


def cross(terms: Terms) -> Crossing:
    """Fetch the file and make a document of it, or hold what there is. `VerifyError` where neither can be."""
    known, before, damage = _head(terms.places), None, None
    try:
        before = None if known is None else _proven(known, terms.places)
    except VerifyError as error:
        damage = error
    try:
        return _crossed(terms, known, before)
    except VerifyError as trouble:
        if damage is not None:
            raise VerifyError(trouble.reason, f"{trouble}; {damage}", hint=trouble.hint) from trouble
        if before is None or terms.source.on_expiry != "hold":
            raise
        return Crossing(*_renewed(before, terms), trouble)


def _crossed(terms: Terms, known: Bridged | None, before: Crossing | None) -> Crossing:
    fetched = _fetched(terms.source, terms.bridge.fetch, terms.places)
    with fetched.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    bridge, mapping = terms.bridge, _mapping(terms.bridge)
    wanted = digest, terms.lapses, _ground(bridge), _reading(bridge)
    is_known = known is not None and (known.file, known.lapses, known.ground, known.reading) == wanted
    if before and known and is_known and known.ends is not None:
        return before
    intake = _imported(fetched, terms, mapping)
    expected = mapping.expect.shrink_at_most if mapping is not None else None
    most = next(share for share in (bridge.shrink_at_most, expected, SHRINK) if share is not None)
    if known is not None and len(intake) < (1 - most) * known.entries:
        raise VerifyError(
            "shrunk",
            f"{counted(len(intake), 'name')} where {known.entries:,} were: more than {most:.0%} are gone",
            hint="if it is right: set the bridge's shrink_at_most higher, stopsign reload, and back",
        )
    return Crossing(*_written(intake, digest, known, before, terms), None)


def _fetched(source: ListSource, fetching: Fetching, places: ListPlaces) -> Path:
    path = places.root / "bridge" / "fetched"
    durable.make_folder(path.parent)
    if _is_zone(source):
        transfer(source.repository, path, fetching.tsig, Deadline(source.deadline), most=source.max_size)
        return path
    signature = fetching.signature
    how = How(
        Access(fetching.ca, fetching.certificate, fetching.key, fetching.bearer),
        fetching.redirects,
        fetching.newest,
        fetching.checksum,
        Signature(signature.beside, signature.kind, signature.key) if signature is not None else None,
    )
    download(source.repository, path, how, Deadline(source.deadline), most=source.max_size)
    return path


def _is_zone(source: ListSource) -> bool:
    return source.repository.startswith("dns://")


def _imported(path: Path, terms: Terms, mapping: Mapping | None) -> Intake:
    bridge = terms.bridge
    intake = Intake(
        bridge.match,
        star=bridge.star,
        walls=frozenset(wall.lower().rstrip(".") for wall in bridge.walls),
        size=terms.source.max_size,
        rule=terms.rule,
        ground=Ground(**basis_of(bridge).model_dump()),
    )
    try:
        form = "rpz" if bridge.format == "auto" and _is_zone(terms.source) else bridge.format
        formats.read(path, intake, form=form, by=mapping)
    except BlocklistError as error:
        raise VerifyError("malformed", str(error), hint=error.hint) from error
    taken = len(intake)
    rejected = intake.counts["rejected"] - sum(intake.counts[kind] for kind in ("passing", "refused", "nameless"))
    if taken == 0 or rejected > taken:
        first = f"; line {intake.rejected[0].line}: {intake.rejected[0].reason}" if rejected else ""
        raise VerifyError("malformed", f"{taken} names and {rejected} lines that are none{first}")
    return intake


def _mapping(bridge: Bridge) -> Mapping | None:
    """How the file is read, where its look does not say it."""
    if bridge.column is not None:
        read = Read(kind="csv", header=not bridge.column.isdigit())
        return Mapping(read=read, name=Name(field=bridge.column))
    if bridge.mapping is None and bridge.format not in {"auto", *formats.FORMATS}:
        return formats.preset(bridge.format)
    return bridge.mapping


def _written(
    intake: Intake, digest: str, last: Bridged | None, before: Crossing | None, terms: Terms
) -> tuple[Bridged, Path]:
    issued, secret = _issued(before), _secret(terms.places, terms.random)
    entries: list[Entry] = []
    left_out, outside = intake.refused[:LEFT_OUT], 0
    bases = {KEY: basis_of(terms.bridge), **{key: Basis(**asdict(one)) for key, one in intake.grounds.items()}}
    for found in intake.each():
        basis = found.basis if found.basis in bases else KEY
        outline = found.category or terms.bridge.category, bases[basis].territory
        wrong = next(iter(problems(terms.source.scope, found.name, found.match, *outline)), None)
        own = min(filter(None, (found.expires, found.withdrawn)), default=None)
        if own is not None and own <= as_text(terms.now):
            continue  # the register itself says that it is over
        if wrong is None:
            since = found.issued if found.issued and found.issued <= as_text(terms.now) else None
            known_since = since or issued.get((found.name, found.match))
            entries.append(_entry(secret, terms, found.name, found.match, known_since, basis, own))
            continue
        outside += 1
        if len(left_out) < LEFT_OUT:
            left_out.append(f"{found.name} lies outside this issuer's scope: {wrong}")
    known = Bridged(
        version=last.version if last else 0, state="", entries=0, size=0, document="", file=digest, lapses=0.0,
        rejected=intake.counts["rejected"], left_out=tuple(left_out),
        left_out_count=intake.counts["refused"] + outside,
        bases={key: bases[key] for key in sorted({entry.basis for entry in entries})},
    )  # fmt: skip
    return _kept(entries, known, terms)


def _renewed(before: Crossing, terms: Terms) -> tuple[Bridged, Path]:
    """The last good file's entries with a later end, but for those that the register itself ends."""
    known = before.bridged
    if known.lapses >= terms.lapses:
        return known, before.lines
    secret, beyond, until = _secret(terms.places, terms.random), _ends(known, terms.places), as_text(known.lapses)
    entries = []
    for old in document.read(before.lines, size=known.size):
        own = beyond.get(old.reference, old.expires if old.expires < until else None)
        if own is None or own > as_text(terms.now):
            entries.append(_entry(secret, terms, old.name, old.match, old.issued, old.basis, own))
    return _kept(entries, known, terms)


def _ends(known: Bridged, places: ListPlaces) -> dict[str, str]:
    """The ends that the register gave and that come after the document's, by reference."""
    if not known.ends:
        return {}
    path = places.root / "bridge" / known.ends
    try:
        return {one.reference: one.expires for one in document.read(path, size=MAX_SIZE)}
    except (OSError, DocumentError) as error:
        raise VerifyError("storage", f"{path}: {why(error, path)}") from error


def _kept(entries: list[Entry], known: Bridged, terms: Terms) -> tuple[Bridged, Path]:
    """Write the next version of the document, and its head: what is `known` of the file, and what it comes to."""
    version = known.version + 1
    folder = terms.places.root / "bridge"
    path, ends, until = folder / f"full-{version}.zst", folder / f"ends-{version}.zst", as_text(terms.lapses)
    ordered = document.in_order(entries)
    beyond = [entry for entry in ordered if entry.expires > until]
    if beyond:
        with durable.replaced(ends) as part:
            document.write(part, beyond)
    with durable.replaced(path) as part:
        summary = document.write(part, (replace(one, expires=min(one.expires, until)) for one in ordered))
    made = known.model_copy(
        update={
            "version": version,
            "state": summary.state,
            "entries": summary.entries,
            "size": summary.size,
            "document": path.name,
            "lapses": terms.lapses,
            "ground": _ground(terms.bridge),
            "reading": _reading(terms.bridge),
            "ends": ends.name if beyond else "",
        }
    )
    store(folder / "head.json", made)
    for old in folder.glob("*-*.zst"):
        if old.name not in {made.document, made.ends}:
            old.unlink()
    return made, path


def _entry(
    secret: bytes, terms: Terms, name: str, match: entry.Match, issued: str | None, basis: str,
    expires: str | None = None,
) -> Entry:  # fmt: skip
    """`expires`: the register's own end."""
    own = "" if basis == KEY else f"\0{basis}"
    drawn = hmac.digest(secret, f"{name}\0{match}\0{_ground(terms.bridge)}{own}".encode(), "sha256")[:10]
    return Entry(
        name=name,
        match=match,
        basis=basis,
        category=terms.bridge.category,
        issued=issued or as_text(terms.now),
        expires=expires or as_text(terms.lapses),
        reference=entry.references(1, lambda _: drawn)[0],
    )


def _issued(before: Crossing | None) -> dict[tuple[str, str], str]:
    """When each entry was first seen."""
    if before is None:
        return {}
    return {(old.name, old.match): old.issued for old in document.read(before.lines, size=MAX_SIZE)}


def _ground(bridge: Bridge) -> str:
    """Of what the entries say: references follow from it."""
    return sha256(bridge.model_dump_json(include=_SAID).encode()).hexdigest()


def _reading(bridge: Bridge) -> str:
    return sha256(bridge.model_dump_json(exclude=_SAID | {"lifetime", "shrink_at_most", "fetch"}).encode()).hexdigest()


def _secret(places: ListPlaces, random: Callable[[int], bytes] = os.urandom) -> bytes:
    path = places.root / "bridge" / "secret"
    if not path.exists():
        durable.replace(path, random(32), mode=0o600)
    return path.read_bytes()
