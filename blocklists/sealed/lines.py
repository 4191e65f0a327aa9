"""The lines of a sealed document: an entry whose name is replaced by its digest under the list's key.

Enters: canonical lines with names and the names' key (16 octets), or lines with digests from anywhere. Leaves: lines
with digests in their order; a frozen `SealedEntry`; or `SealError`, `EntryError` that say a line's number alone.

Rules
- `"name":"…"` becomes `"digest":"<32 hexadecimal digits>"` where sorted keys put it; nothing else changes, but that
  `impact` is left out: its free text could say the name.
- Order: by digest, then match, then reference; strictly increasing. A reference stands once.
- A version with another names' key has other digests throughout: match and basis of a reference are what stays.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blocklists.entry import Entry, EntryError
from blocklists.sealed.errors import SealError
from resolver._core import sealed_digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocklists.entry import Match

DIGEST = b'","digest":"'
_DIGEST = re.compile(r"[0-9a-f]{32}\Z").match
_EXPIRES, _ISSUED, _IMPACT, _MATCH, _NAME = b'","expires":"', b'","issued":"', b',"impact":', b'"match":"', b'"name":"'
STAND_IN = "name.invalid"
"""A name in the place of the digest while the other fields are checked as those of every entry."""


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """An entry as a provider has it: `plain` is all of it but the name."""

    digest: str
    plain: Entry

    @property
    def reference(self) -> str:
        return self.plain.reference

    @property
    def basis(self) -> str:
        return self.plain.basis

    @property
    def match(self) -> Match:
        return self.plain.match

    def order(self) -> tuple[str, str, str]:
        """What sealed documents are sorted by."""
        return self.digest, self.match, self.reference


def is_sealed(line: bytes) -> bool:
    """Whether a line has a digest, not a name."""
    # A quote in a text is escaped, so this can only be the key
    return DIGEST in line


def seal(line: bytes, key: bytes) -> bytes:
    """The line with its name's digest under the names' key; the line is canonical."""
    at = line.index(_EXPIRES)
    named = line.index(_NAME, at)
    end = line.index(b'"', named + len(_NAME))
    name = line[named + len(_NAME) : end].decode("ascii")
    middle = line[at:named]
    impact = middle.find(_IMPACT)
    if impact >= 0:
        middle = middle[:impact] + middle[middle.index(_ISSUED, impact) + 1 :]
    return b"".join((line[:at], DIGEST, sealed_digest(key, name).hex().encode(), middle, line[end + 2 :]))


def seal_all(lines: Iterable[bytes], key: bytes) -> list[bytes]:
    """The lines of a sealed document, in order."""
    return [line for *_, line in sorted(_placed(seal(line, key)) for line in lines)]


def _placed(line: bytes) -> tuple[bytes, bytes, bytes]:
    """A line behind what it is sorted by. Match and reference are compared where they stand in it: no match begins as
    another one does."""
    at = line.index(DIGEST) + len(DIGEST)
    return line[at : at + 32], line[line.index(_MATCH, at) :], line


def order(line: bytes) -> tuple[bytes, bytes, bytes]:
    """`SealedEntry.order` of a line, without parsing it. Raises SealError."""
    _, match, digest, reference = fields(line)
    return digest, match, reference


def fields(line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Basis, match, digest and reference of a line, without parsing it. Raises SealError."""
    try:
        digest = line.index(DIGEST) + len(DIGEST)
        match = line.index(_MATCH, digest) + len(_MATCH)
        end = line.index(b'","reference":"', match)
    except ValueError:
        raise SealError("malformed", "not a line of a sealed list") from None
    begins = len(b'{"basis":"')
    return (
        line[begins : line.index(b'"', begins)],
        line[match:end],
        line[digest : digest + 32],
        line[end + 15 : end + 31],
    )


def parse(line: bytes) -> SealedEntry:
    """The entry of one line. Raises EntryError."""
    try:
        values: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise EntryError("not a line of JSON") from None
    if not isinstance(values, dict) or not isinstance(digest := values.pop("digest", None), str) or not _DIGEST(digest):
        raise EntryError("no digest of 32 hexadecimal digits")
    if "name" in values or "impact" in values:
        raise EntryError("a name or an impact in a sealed list")
    if not all(isinstance(value, str) for value in values.values()):
        raise EntryError("not an object whose values are text")
    try:
        plain = Entry(name=STAND_IN, **values)
    except TypeError:
        raise EntryError("a field too many or too few") from None
    named = plain.line().replace(f'"name":"{STAND_IN}",'.encode(), b"", 1)
    canonical = named.replace(_EXPIRES, DIGEST + digest.encode() + _EXPIRES, 1)
    if canonical != line.rstrip(b"\n") + b"\n":
        raise EntryError("not in canonical form")
    return SealedEntry(digest, plain)
