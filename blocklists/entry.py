"""One entry of a list: a name that is to be stopped, on which ground, until when.

Enters: fields, or one canonical line. Leaves: one frozen `Entry`, or `EntryError` that says what is wrong with it.

Rules
- A name is a DNS name of A-labels in lower case without the trailing dot: letters, digits, hyphen and underscore,
  labels of 1 to 63 octets that neither start nor end with a hyphen, 253 octets in all (RFC 1035 2.3.4).
- An IP address is never a name: one address belongs to thousands of sites. A last label of digits alone, or written
  in hexadecimal, is what browsers take for IPv4 (WHATWG URL, "ends in a number").
- Times are UTC in whole seconds, `2026-11-22T00:00:00Z`, so that their order is the order of the text.
- No entry without a basis and an end.
- The canonical line is JSON with sorted keys and no blanks, ASCII alone, ended by a line feed. A line that parses but
  is not canonical is refused: two spellings of one entry would give one list two state hashes.
- In a document entries stand in one order: by the labels from the right, then the match, then the reference; no two are
  equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, get_args

from blocklists.errors import BlocklistError
from blocklists.text import is_text

Match = Literal["exact", "subtree", "below"]
Random = Callable[[int], bytes]
"""A source of random octets, such as `os.urandom`."""

MATCHES: tuple[str, ...] = get_args(Match)
MAX_LINE = 4096
"""No canonical line is longer, in octets: what lets a reader bound its buffer."""

_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?![0-9]+\Z|0x[0-9a-f]*\Z)(?!-)[a-z0-9_-]{1,63}(?<!-)\Z"
).match
_ADDRESS = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z|\[?[0-9a-f.]*:[0-9a-f:.]*\]?\Z", re.IGNORECASE).match
_BASIS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z").match
_CATEGORY = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z").match
_REFERENCE = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}\Z").match
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z").match
_PLAIN = re.compile(
    r'\{"basis":"([!#-\[\]-~]+)","category":"([!#-\[\]-~]+)","expires":"([!#-\[\]-~]+)","issued":"([!#-\[\]-~]+)",'
    r'"match":"([a-z]+)","name":"([!#-\[\]-~]+)","reference":"([0-9A-Z]+)"\}\n?\Z'
).match
_CROCKFORD = bytes.maketrans(bytes(range(32)), b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_HALVES = (
    (0x000000FFFFF00000, 0x00000000000FFFFF, 12),
    (0x000FFC00000FFC00, 0x000003FF000003FF, 6),
    (0x03E003E003E003E0, 0x001F001F001F001F, 3),
)
"""The steps of `_base32`. In each group of eight octets a step splits every number in two: the mask of the upper
halves, the mask of the lower halves, and by how many bits the upper ones move up."""
_FIELDS = frozenset(
    {"basis", "category", "expires", "impact", "issued", "match", "name", "reference", "removal_requested"}
)
_MUST = _FIELDS - {"impact", "removal_requested"}


class EntryError(BlocklistError):
    """One entry is not an entry; the message names the field."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name to be stopped. All fields are as they stand in the canonical line; see the module's rules."""

    name: str
    match: Match
    basis: str
    category: str
    issued: str
    expires: str
    reference: str
    removal_requested: str | None = None
    """When taking the content down at its source was asked for; None: it was not."""
    impact: str | None = None
    """What else the block is known to touch, in one sentence."""

    def __post_init__(self) -> None:
        if not _NAME(self.name):
            raise EntryError(explain_name(self.name))
        if self.match not in MATCHES:
            raise EntryError(f"match {self.match!r} is none of {', '.join(MATCHES)}")
        _check_shared(self.basis, self.category, self.issued, self.expires)
        if not _REFERENCE(self.reference):
            raise EntryError(f"reference {self.reference!r} is not 16 characters of Crockford's base32")
        if self.removal_requested is not None:
            check_time("removal_requested", self.removal_requested)
        if self.impact is not None:
            if not (0 < len(self.impact) <= 400 and is_text(self.impact)):
                raise EntryError("impact is not one printable sentence of at most 400 characters")
            if len(self.line()) > MAX_LINE:
                raise EntryError(f"impact makes the line longer than {MAX_LINE} octets")

    def line(self) -> bytes:
        """The canonical line, with its line feed."""
        impact = "" if self.impact is None else f',"impact":{json.dumps(self.impact)}'
        removal = "" if self.removal_requested is None else f',"removal_requested":"{self.removal_requested}"'
        return (
            f'{{"basis":"{self.basis}","category":"{self.category}","expires":"{self.expires}"{impact},'
            f'"issued":"{self.issued}","match":"{self.match}","name":"{self.name}",'
            f'"reference":"{self.reference}"{removal}}}\n'
        ).encode("ascii")

    def order(self) -> tuple[str, str, str]:
        """What documents are sorted by."""
        return reversed_labels(self.name), self.match, self.reference


def parse(line: bytes) -> Entry:
    """The entry of one canonical line (with or without its line feed). Raises EntryError."""
    if len(line) > MAX_LINE:
        raise EntryError(f"the line is longer than {MAX_LINE} octets")
    if plain := _PLAIN(line.decode("ascii", "replace")):
        # No field of these can hold an escape, so a line of this shape with valid fields is canonical
        basis, category, expires, issued, match, name, reference = plain.groups()
        return Entry(name, match, basis, category, issued, expires, reference)  # type: ignore[arg-type]
    try:
        fields: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EntryError(f"not a line of JSON: {error}") from None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise EntryError("not an object whose values are text")
    if unknown := fields.keys() - _FIELDS:
        raise EntryError(f"unknown field {min(unknown)!r}")
    if missing := _MUST - fields.keys():
        raise EntryError(f"no {min(missing)}")
    entry = Entry(**fields)
    if entry.line() != line.rstrip(b"\n") + b"\n":
        raise EntryError("not in canonical form")
    return entry


def reversed_labels(name: str) -> str:
    """The labels from the right, joined by NUL: text that sorts as the tuple of labels would."""
    return "\0".join(name.split(".")[::-1])


def at_or_above(name: str) -> list[str]:
    """The name and those above it, the longest first."""
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(len(labels))]


def is_name(name: str) -> bool:
    """Whether this is a name in the form an entry wants."""
    return _NAME(name) is not None


def is_reference(text: str) -> bool:
    """Whether this is 16 characters of Crockford's base32."""
    return _REFERENCE(text) is not None


def explain_name(name: str) -> str:
    """Why `is_name` says no, in one sentence that is safe to print."""
    shown = name if len(name) <= 80 else name[:77] + "..."
    if _ADDRESS(name):
        return f"{shown!r} is an IP address or ends like one: an address belongs to many sites"
    if not name:
        return "no name"
    if len(name) > 253:
        return f"{shown!r} is longer than 253 octets"
    for label in name.split("."):
        if not label:
            return f"{shown!r} has an empty label"
        if len(label) > 63:
            return f"{shown!r} has a label of more than 63 octets"
        if label[0] == "-" or label[-1] == "-":
            return f"{shown!r} has a label that starts or ends with a hyphen"
    return f"{shown!r} has a character that no name in a list has"


def references(count: int, random: Random) -> list[str]:
    """`count` fresh references of 80 random bits each, as 16 characters of Crockford's base32."""
    text = _base32(random(10 * count))
    return [text[at : at + 16] for at in range(0, len(text), 16)]


def _base32(octets: bytes) -> str:
    """Eight characters for every five octets. All groups of five bits move to their own octets at once, as one number:
    that is ten times as fast as one group after the other."""
    groups = len(octets) // 5
    spread = bytearray(8 * groups)
    for at in range(5):
        spread[3 + at :: 8] = octets[at::5]
    bits = int.from_bytes(spread, "big")
    for upper, lower, shift in _HALVES:
        bits = (bits & _everywhere(upper, groups)) << shift | bits & _everywhere(lower, groups)
    return bits.to_bytes(8 * groups, "big").translate(_CROCKFORD).decode("ascii")


def _everywhere(mask: int, groups: int) -> int:
    return int.from_bytes(mask.to_bytes(8, "big") * groups, "big")


def as_text(moment: datetime) -> str:
    """A time as lists write it. Fractions of a second are cut off."""
    # not strftime(): its %Y writes the year 900 as three digits, which sort as later than 2026
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def as_time(text: str) -> datetime:
    """The time that `as_text` wrote. Raises EntryError."""
    check_time("time", text)
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


@lru_cache(maxsize=4096)
def check_time(field: str, text: str) -> None:
    """Raise EntryError unless `text` is a time in the form of lists."""
    try:
        if _TIME(text):
            datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            return
    except ValueError:
        pass  # 30 February has the form but is no day: said below
    raise EntryError(f"{field} {text!r} is not a time such as 2026-11-22T00:00:00Z")


def check_key(basis: str | None, category: str | None) -> None:
    """Raise EntryError where a basis or a category, if there is one, has not its form."""
    if basis is not None and not _BASIS(basis):
        raise EntryError(f"basis {basis!r} is not a key of letters, digits, '.', '_' and '-'")
    if category is not None and not _CATEGORY(category):
        raise EntryError(f"category {category!r} is not a word of a-z, 0-9 and '-'")


@lru_cache(maxsize=4096)
def _check_shared(basis: str, category: str, issued: str, expires: str) -> None:
    """The fields that a million entries share a few values of: checked once a combination."""
    if not basis:
        raise EntryError("no basis")
    check_key(basis, category)
    check_time("issued", issued)
    check_time("expires", expires)
    if expires <= issued:
        raise EntryError(f"expires {expires} is not after issued {issued}")
