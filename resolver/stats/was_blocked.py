"""`audit was-blocked`: was this name on an active list on that day, on whose word? With a proof made of static files.

Enters: a log with its published details, the documents and grounds that its leaves commit to, a name, two hours.
Leaves: each entry that covers the name and was active within, and files from which a stranger with the log's key alone
sees the same: the leaf with its inclusion proof, the document whose state hash the leaf holds, the grounds likewise.
Rules: a leaf says the hour and no more; a list holds from its leaf's hour until that of its next one; what was
suspended by then is said; that no later leaf ended it before is what a whole copy of the log proves (`audit verify`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

import zstandard

from blocklists import delta, entry
from blocklists.errors import BlocklistError
from blocklists.text import shown
from resolver.log.errors import AuditError, UntrueError
from resolver.log.proof import Proven, check_proof, prove
from resolver.log.reading import leaves
from resolver.stats.documents import read_document
from resolver.stats.kept import parse_grounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from resolver.log.leaf import Detail
    from resolver.log.note import Verifier
    from resolver.log.source import Source

PROOF, DOCUMENT, GROUNDS = "leaf.tlog-proof", "document.zst", "head.json"
SUSPENDING = ("relief-applied", "suspended-here")


class Archive(Protocol):
    """Where documents and grounds are found by their hash."""

    def lines(self, name: str, state: str) -> Iterable[bytes]: ...
    def head(self, name: str, digest: str) -> bytes: ...


@dataclass(frozen=True)
class Span:
    """A list as one leaf activated it: from that leaf's hour until the next one's (None: it holds still)."""

    list: str
    leaf: int
    detail: Mapping[str, Any]
    since: str
    until: str | None


@dataclass(frozen=True)
class Finding:
    """One entry that covers the name."""

    list: str
    version: int
    leaf: int
    since: str
    until: str | None
    action: str
    entry: dict[str, Any]
    ground: dict[str, Any]
    issuer: dict[str, Any]
    suspended: str | None
    """From which hour on the log has it suspended; None: it was not."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        one, ground = self.entry, self.ground
        yield f"{one['name']} ({one['match']}) was on list {self.list}, version {self.version}: leaf {self.leaf}"
        yield f"  active     from {self.since} until {self.until or 'now'}, action {self.action}"
        if self.suspended:
            yield f"  suspended  from {self.suspended} on"
        yield f"  entry      {one['reference']}, {one['category']}, issued {one['issued']}, expires {one['expires']}"
        told = (shown(ground.get(key, "unknown")) for key in ("law", "authority", "order", "date", "court"))
        yield f"  ground     {', '.join(told)}"
        yield f"  issuer     {shown(self.issuer.get('name', 'unknown'))}"


def was_blocked(
    source: Source, details: Callable[[int], list[Detail]], archive: Archive, name: str, first: str, last: str
) -> list[Finding]:
    """What covered `name` between two hours (`2026-11-22T00Z`), both included. Raises `MissingError` where a document
    is not there, `AuditError` where a leaf names none."""
    spans, off = history(source, details)
    found = []
    for span in spans:
        if span.since <= last and (span.until is None or span.until >= first) and span.detail.get("version"):
            found += _in_span(span, off, archive, name, first)
    return found


def history(
    source: Source, details: Callable[[int], list[Detail]]
) -> tuple[list[Span], list[tuple[str, str, str, frozenset[str]]]]:
    """All that was active, and what was said to be suspended: hour, list, type of leaf, references."""
    spans: list[Span] = []
    open_at: dict[str, int] = {}
    off: list[tuple[str, str, str, frozenset[str]]] = []
    for index, leaf, detail in leaves(source, details):
        if detail is None or not isinstance(told := detail.value, dict):
            continue
        name = str(told.get("list"))
        if leaf.type in SUSPENDING:
            named = told.get("references")
            off.append((leaf.hour, name, leaf.type, frozenset(map(str, named if isinstance(named, list) else ()))))
        if leaf.type == "list-activated":
            if (before := open_at.get(name)) is not None:
                was = spans[before]
                spans[before] = Span(was.list, was.leaf, was.detail, was.since, leaf.hour)
            open_at[name] = len(spans)
            spans.append(Span(name, index, told, leaf.hour, None))
    return spans, off


def write_proof(source: Source, finding: Finding, span: Detail, archive: Archive, folder: Path) -> None:
    """The files of one finding, into a new folder."""
    folder.mkdir(parents=True)
    told = span.value
    (folder / PROOF).write_bytes(prove(source, finding.leaf, span))
    with (
        (folder / DOCUMENT).open("wb") as file,
        zstandard.ZstdCompressor().stream_writer(file, closefd=False) as out,
    ):
        for line in archive.lines(finding.list, str(told["applied"])):
            out.write(line)
    (folder / GROUNDS).write_bytes(archive.head(finding.list, str(told["head"])))


def check(folder: Path, key: Verifier, name: str) -> tuple[Proven, list[Finding]]:
    """What such a folder proves of a name to somebody who has only the log's key. Raises `UntrueError`."""
    proven = check_proof(_file(folder / PROOF), key)
    told = proven.detail.value if proven.detail else None
    if proven.leaf.type != "list-activated" or not isinstance(told, dict) or not told.get("applied"):
        raise UntrueError(f"leaf {proven.index} activates no list and names no document")
    whole, lines = sha256(), []
    for line, _ in read_document(folder / DOCUMENT):
        whole.update(line)
        lines.append(line)
    if (state := f"sha256:{whole.hexdigest()}") != told["applied"]:
        raise UntrueError(f"the document is {state}, the leaf names {shown(told['applied'])}")
    span = Span(str(told.get("list")), proven.index, told, proven.leaf.hour, None)
    grounds = _file(folder / GROUNDS)

    class Files:
        def lines(self, name: str, state: str) -> Iterable[bytes]:
            del name, state
            return lines

        def head(self, name: str, digest: str) -> bytes:
            del name, digest
            return grounds

    return proven, _in_span(span, [], Files(), name, span.since)


def _in_span(
    span: Span, off: list[tuple[str, str, str, frozenset[str]]], archive: Archive, name: str, first: str
) -> list[Finding]:
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
            span.list, version, span.leaf, span.since, span.until, shown(told.get("action", "stop-page")),
            one, _object(grounds["bases"].get(one["basis"])), dict(grounds["issuer"]), _suspended(one, span, off),
        )
        for one in candidates
        if f"{one['expires'][:13]}Z" > first
    ]  # fmt: skip


def _covering(lines: Iterable[bytes], name: str) -> list[dict[str, Any]]:
    """Entries of a document that cover the name. Raises `AuditError`."""
    found, labels = [], name.split(".")
    above = {".".join(labels[at:]).encode() for at in range(len(labels))}
    try:
        for line in lines:
            match, owner = delta.fields(line)[1:3]
            if owner in above and (match == b"subtree" or (match == b"exact") == (owner == name.encode())):
                found.append(json.loads(entry.parse(line).line()))
    except BlocklistError as wrong:
        raise AuditError(f"the document cannot be read: {wrong}") from wrong
    return found


def _suspended(one: dict[str, Any], span: Span, off: list[tuple[str, str, str, frozenset[str]]]) -> str | None:
    since: dict[str, str] = {}
    for hour, name, kind, references in off:
        if name != span.list or (span.until is not None and hour > span.until):
            continue
        if one["reference"] in references:
            since.setdefault(kind, hour)
        else:
            since.pop(kind, None)
    return min(since.values(), default=None)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise AuditError(f"{path}: {wrong.strerror}") from wrong
