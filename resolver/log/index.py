"""The provider's index of its hosts' logs: a signed note (c2sp.org/signed-note) that names each log and its key.

Enters: a note as bytes, the provider's key. Leaves: an `Index`, or an error. The note's text, a line each:

    isp.example/logs                                       the name of the key that signs, as of a checkpoint
    stopsign-logs/v1
    version 3
    made 2026-11-29T08:00:00Z
    before HASH                                            SHA-256 of version 2's text, in base64; not in version 1
    log VKEY ADDRESS since TIME
    retired VKEY ADDRESS since TIME until TIME size SIZE root ROOT

Rules:

- A log is its key: no key and no name comes twice, and the index's own key is no log's.
- An address is http or https, or a path below the folder that the index itself is in.
- A version follows the one before if it names its hash, was not made earlier, and has every log that was there: an
  active one as it was or retired, a retired one with the size and the root that it ended with. Addresses may change.
- The text alone is hashed: further signatures on a note do not change its hash.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from resolver.base.timestamps import as_text, as_time
from resolver.log.checkpoint import decimal, digest
from resolver.log.errors import MalformedError, UntrueError
from resolver.log.note import ED25519, Note, Signer, Verifier, open_note, parse_vkey

if TYPE_CHECKING:
    from collections.abc import Sequence

FORM = "stopsign-logs/v1"
NEWEST = "index"
VKEY = "index.vkey"
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_BELOW = re.compile(rf"(?!index(?:\Z|\.|/)|version(?:\Z|/)){_SEGMENT}(?:/{_SEGMENT}){{0,9}}")


@dataclass(frozen=True)
class End:
    """How a retired log ended. `at`: POSIX seconds."""

    at: float
    size: int
    root: bytes


@dataclass(frozen=True)
class LogThere:
    """One host's log. `since`: when it came into the index, in POSIX seconds."""

    key: Verifier
    address: str
    since: float
    end: End | None = None

    @property
    def origin(self) -> str:
        return self.key.name

    def line(self) -> str:
        said = f"{'retired' if self.end else 'log'} {self.key} {self.address} since {as_text(self.since)}"
        if self.end is None:
            return said
        root = base64.b64encode(self.end.root).decode()
        return f"{said} until {as_text(self.end.at)} size {self.end.size} root {root}"


@dataclass(frozen=True)
class Index:
    """One version. `made`: POSIX seconds. `before`: the hash of the version before; None for the first."""

    name: str
    version: int
    made: float
    before: bytes | None
    logs: tuple[LogThere, ...]

    def text(self) -> str:
        """The note's text."""
        before = [] if self.before is None else [f"before {base64.b64encode(self.before).decode()}"]
        head = [self.name, FORM, f"version {self.version}", f"made {as_text(self.made)}", *before]
        return "".join(f"{line}\n" for line in (*head, *(one.line() for one in self.logs)))

    @property
    def hash(self) -> bytes:
        return sha256(self.text().encode()).digest()

    def sign(self, signer: Signer) -> bytes:
        """The signed note."""
        return Note(self.text(), (signer.sign(self.text()),)).encode()

    def named(self, origin: str) -> LogThere | None:
        return next((one for one in self.logs if one.origin == origin), None)


def version_path(version: int) -> str:
    """Where a version stays published, below the index's folder."""
    return f"version/{version}"


def open_index(data: bytes, key: Verifier) -> Index:
    """The index that the provider's key signed. Raises `MalformedError`, `UntrueError`."""
    text, _ = open_note(data, [key])
    index = parse_index(text)
    if index.name != key.name:
        raise UntrueError(f"the index is of {index.name!r}, the key is that of {key.name!r}")
    if any(one.key.public == key.public for one in index.logs):
        raise UntrueError("the index names its own key as that of a log")
    return index


def parse_index(text: str) -> Index:
    """An index from a note's text; raises `MalformedError`. The signature is the caller's business."""
    lines = text.split("\n")
    if lines.pop() != "" or len(lines) < 4 or lines[1] != FORM:
        raise MalformedError(f"not an index of logs: its second line is {FORM!r}")
    version, made = decimal(_word(lines[2], "version"), "the version"), _time(_word(lines[3], "made"))
    if version < 1:
        raise MalformedError("the first version of an index is 1")
    before = digest(_word(lines[4], "before")) if version > 1 and len(lines) > 4 else None
    if version > 1 and before is None:
        raise MalformedError(f"version {version} of the index does not name the one before")
    index = Index(lines[0], version, made, before, parse_logs(lines[4 if before is None else 5 :]))
    if any(max(one.since, one.end.at if one.end else 0) > made for one in index.logs):
        raise MalformedError("the index was made before something that it says")
    if index.text() != text:
        raise MalformedError("the index is not written as its form has it")
    return index


def parse_logs(lines: Sequence[str]) -> tuple[LogThere, ...]:
    """The logs of an index, a line each; raises `MalformedError`, which names the line."""
    found: list[LogThere] = []
    for number, line in enumerate(lines, 1):
        try:
            one = _log(line.split(" "))
            if any(one.origin == other.origin or one.key.public == other.key.public for other in found):
                raise MalformedError(f"{one.origin}: its name or its key stands above already")
        except MalformedError as wrong:
            raise MalformedError(f"log {number} of the index: {wrong}") from wrong
        found.append(one)
    return tuple(found)


def check_follows(newer: Index, older: Index) -> None:
    """Raises `UntrueError` unless `newer` is the version after `older`, and every log of it is still there."""
    what = f"version {newer.version} of the index"
    if newer.version != older.version + 1 or newer.before != older.hash:
        raise UntrueError(
            f"{what} does not follow version {older.version} as it is here",
            hint="an index was rewritten: both are signed, keep them",
        )
    if newer.made < older.made:
        raise UntrueError(f"{what} was made {as_text(newer.made)}, version {older.version} {as_text(older.made)}")
    for was in older.logs:
        now = newer.named(was.origin)
        if now is None:
            raise UntrueError(f"{was.origin} is gone from {what}, and was never retired")
        if now.key != was.key or now.since != was.since:
            raise UntrueError(f"{was.origin} has another key or another begin in {what}")
        if was.end is not None and now.end != was.end:
            raise UntrueError(f"{was.origin} was retired, and {what} says another end of it")


def check_address(address: str) -> str:
    """Raises `MalformedError` unless it is http or https, or a path below the index."""
    if address.isascii() and address.isprintable() and " " not in address:
        if _BELOW.fullmatch(address):
            return address
        try:
            parts = urlsplit(address)
            is_web = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_web = False
        if is_web and "@" not in parts.netloc and "?" not in address and "#" not in address:
            return address
    raise MalformedError(
        f"{address!r} is no address of a log", hint="https://stop.isp.example/log/HOST, or a path below the index"
    )


def _log(words: list[str]) -> LogThere:
    match words:
        case ["log", vkey, address, "since", since]:
            return LogThere(_key(vkey), check_address(address), _time(since))
        case ["retired", vkey, address, "since", since, "until", until, "size", size, "root", root]:
            end = End(_time(until), decimal(size, "the size of the log"), digest(root))
            if end.at < _time(since):
                raise MalformedError("it was retired before it began")
            return LogThere(_key(vkey), check_address(address), _time(since), end)
    raise MalformedError("neither a log nor a retired one")


def _key(vkey: str) -> Verifier:
    key = parse_vkey(vkey)
    if key.kind != ED25519:
        raise MalformedError(f"the key of {key.name} is of type {key.kind}, not {ED25519}")
    return key


def _word(line: str, keyword: str) -> str:
    found, _, word = line.partition(" ")
    if found != keyword:
        raise MalformedError(f"{keyword!r} is missing where {line[:80]!r} stands")
    return word


def _time(text: str) -> float:
    try:
        return as_time(text)
    except ValueError:
        raise MalformedError(f"not a time: {text[:40]!r}") from None
