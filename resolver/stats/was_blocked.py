"""`audit was-blocked`: was this name on an active list on that day, and by whose order? With a proof in static files.

Enters: a log with its details, the documents and grounds that its leaves commit to, a name, two hours. Leaves: each
entry that covers the name and was active within, what let the name pass meanwhile (`resolver.stats.timeline`), and
files from which a stranger with the log's key alone sees the same: the leaf with its inclusion proof, the document
whose state hash the leaf holds, the grounds likewise. Rules:

- these files prove that the leaf activated the entry, and no end: a leaf that is not shown may have ended it;
- with a copy of the log beside them the end is proved too, and what the published details say was suspended: the copy
  is verified as a whole, it must continue the checkpoint of the proof, so no leaf in between can be missing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import zstandard

from blocklists import delta, entry
from blocklists.errors import BlocklistError
from blocklists.sealed.lines import is_sealed
from blocklists.text import shown
from resolver.log.errors import AuditError, UntrueError
from resolver.log.proof import Proven, check_proof, parse_proof, prove
from resolver.log.reading import published_details
from resolver.log.verify import verify
from resolver.stats.documents import read_document
from resolver.stats.kept import parse_grounds
from resolver.stats.timeline import Pause, Span, Timeline, read_timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from resolver.log.leaf import Detail
    from resolver.log.note import Verifier
    from resolver.log.source import Source

PROOF, DOCUMENT, GROUNDS = "leaf.tlog-proof", "document.zst", "head.json"


class Archive(Protocol):
    """Where documents and grounds are found by their hash."""

    def lines(self, name: str, state: str) -> Iterable[bytes]: ...
    def head(self, name: str, digest: str) -> bytes: ...


@dataclass(frozen=True)
class Finding:
    """One entry that covers the name."""

    list: str
    version: int
    leaf: int
    since: str
    until: str | None
    """The hour of the leaf `ended`; None: no leaf of the log ended it, or none was looked for (`whole`)."""
    ended: int | None
    whole: bool
    """Whether the log was read: without it neither the end nor a pause is known."""
    action: str
    entry: dict[str, Any]
    ground: dict[str, Any]
    issuer: dict[str, Any]
    pauses: tuple[Pause, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        one, ground = self.entry, self.ground
        yield f"{one['name']} ({one['match']}) was on list {self.list}, version {self.version}: leaf {self.leaf}"
        end = f" until {self.until} (leaf {self.ended})" if self.until else " and still is" if self.whole else ""
        seen = ": counted, not stopped" if self.action == "monitor" else ""
        yield f"  active     from {self.since}{end}, action {self.action}{seen}"
        for pause in self.pauses:
            yield f"  {pause}"
        yield f"  entry      {one['reference']}, {one['category']}, issued {one['issued']}, expires {one['expires']}"
        told = (shown(ground.get(key, "unknown")) for key in ("law", "authority", "order", "date", "court"))
        yield f"  ground     {', '.join(told)}"
        yield f"  issuer     {shown(self.issuer.get('name', 'unknown'))}"


def was_blocked(
    source: Source, details: Callable[[int], list[Detail]], archive: Archive, name: str, first: str, last: str
) -> list[Finding]:
    """What covered `name` between two hours (`2026-11-22T00Z`), both included. Raises `MissingError` where a document
    is not there, `AuditError` where a leaf names none."""
    told = read_timeline(source, details)
    return [
        finding
        for span in told.spans
        if span.since <= last and (span.until is None or span.until >= first) and span.detail.get("version")
        for finding in _in_span(span, told, archive, name)
        if f"{finding.entry['expires'][:13]}Z" > first
    ]


def sealed_lists(
    source: Source, details: Callable[[int], list[Detail]], archive: Archive, first: str, last: str
) -> list[str]:
    """The lists that were active and sealed within these hours: their documents hold digests, so that nobody can say
    without the list's key whether a name was on them."""
    found = {
        span.list
        for span in read_timeline(source, details).spans
        if span.since <= last and (span.until is None or span.until >= first) and span.detail.get("applied")
        for line in islice(archive.lines(span.list, str(span.detail["applied"])), 1)
        if is_sealed(line)
    }
    return sorted(found)


def write_proof(source: Source, finding: Finding, span: Detail, archive: Archive, folder: Path) -> None:
    """The files of one finding, in a new folder that is there whole or not at all."""
    if folder.exists():
        raise AuditError(f"{folder} is there already", hint="give a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        made, told = Path(beside) / folder.name, span.value
        made.mkdir()
        (made / PROOF).write_bytes(prove(source, finding.leaf, span))
        with (
            (made / DOCUMENT).open("wb") as file,
            zstandard.ZstdCompressor().stream_writer(file, closefd=False) as out,
        ):
            for line in archive.lines(finding.list, str(told["applied"])):
                out.write(line)
        (made / GROUNDS).write_bytes(archive.head(finding.list, str(told["head"])))
        made.rename(folder)


def check(folder: Path, key: Verifier, name: str, log: Source | None = None) -> tuple[Proven, list[Finding]]:
    """What such a folder proves about a name to somebody who has only the log's key. With a `log` that does not change
    while it is read (a copy) it also proves until when. Raises `UntrueError`."""
    text = _file(folder / PROOF)
    proven = check_proof(text, key)
    told = proven.detail.value if proven.detail else None
    if proven.leaf.type != "list-activated" or not isinstance(told, dict) or not told.get("applied"):
        raise UntrueError(f"leaf {proven.index} activates no list and names no document")
    whole, lines = sha256(), []
    for line, _ in read_document(folder / DOCUMENT):
        whole.update(line)
        lines.append(line)
    if (state := f"sha256:{whole.hexdigest()}") != told["applied"]:
        raise UntrueError(f"the document is {state}, the leaf names {shown(told['applied'])}")
    span, timeline = Span(str(told.get("list")), proven.index, told, proven.leaf.hour), None
    if log is not None:
        verify(log, key, kept=[parse_proof(text).checkpoint])
        timeline = read_timeline(log, published_details(log))
        span = timeline.span(proven.index)
    found = _in_span(span, timeline, _Files(lines, _file(folder / GROUNDS)), name)
    if not found:
        raise UntrueError(f"no entry of this document covers {name}")
    return proven, found


@dataclass(frozen=True)
class _Files:
    """The archive that a proof is: one document, one set of grounds."""

    document: list[bytes]
    grounds: bytes

    def lines(self, name: str, state: str) -> Iterable[bytes]:
        del name, state
        return self.document

    def head(self, name: str, digest: str) -> bytes:
        del name, digest
        return self.grounds


def _in_span(span: Span, timeline: Timeline | None, archive: Archive, name: str) -> list[Finding]:
    told = span.detail
    applied, head = str(told.get("applied") or ""), str(told.get("head") or "")
    if not isinstance(version := told.get("version"), int):
        raise AuditError(f"leaf {span.leaf} names no version")
    if not applied or not head:
        raise AuditError(f"leaf {span.leaf} names no document and no grounds: it is of an older version of the program")
    candidates = _covering(archive.lines(span.list, applied), name)
    if not candidates:
        return []
    grounds = parse_grounds(archive.head(span.list, head), head)
    return [
        Finding(
            span.list, version, span.leaf, span.since, span.until, span.ended, timeline is not None,
            shown(told.get("action", "stop-page")), one, _object(grounds["bases"].get(one["basis"])),
            dict(grounds["issuer"]), timeline.pauses(span, one["reference"], name) if timeline else (),
        )
        for one in candidates
    ]  # fmt: skip


def _covering(lines: Iterable[bytes], name: str) -> list[dict[str, Any]]:
    """Entries of a document that cover the name. Raises `AuditError`."""
    found, above = list[dict[str, Any]](), {owner.encode() for owner in entry.at_or_above(name)}
    try:
        for line in lines:
            if is_sealed(line):
                return []
            match, owner = delta.fields(line)[1:3]
            if owner in above and (match == b"subtree" or (match == b"exact") == (owner == name.encode())):
                found.append(json.loads(entry.parse(line).line()))
    except BlocklistError as wrong:
        raise AuditError(f"the document cannot be read: {wrong}") from wrong
    return found


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise AuditError(f"{path}: {wrong.strerror}") from wrong
