"""What one leaf says, and the detail that it commits to.

Enters: a type, a reference, a detail (anything JSON), a salt, an hour. Leaves: the log entry as canonical JSON, and the
detail's line for the store beside the tree. Rules: a leaf holds `{type, hour, reference, SHA-256(salt || detail)}` and
nothing else, so that a detail can be erased without breaking the tree and, the salt gone with it, cannot be guessed;
time is to the hour, so that an appeal or an override cannot be matched with a visit.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from resolver.log.errors import AuditError, MalformedError, UntrueError
from resolver.log.tiles import MAX_ENTRY

if TYPE_CHECKING:
    from collections.abc import Mapping

SALT_SIZE = 32
HOUR = "%Y-%m-%dT%HZ"
HEARTBEAT = "heartbeat"
COUNTS = "counts"
BANDS = "bands"
RESOLVING = "resolving"
ERASED = "detail-erased"

PUBLIC = frozenset(
    {
        "start",
        "stop",
        "configuration-refused",
        "list-activated",
        "list-refused",
        "list-held",
        "list-approved",
        "list-stage",
        "relief-applied",
        "suspended-here",
        "bypass",
        HEARTBEAT,
        COUNTS,
        BANDS,
        RESOLVING,
        ERASED,
    }
)
"""Types whose details are published beside the tree. Appeals and overrides carry people's words and stay private."""

_TYPE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_REFERENCE = re.compile(r"[\x21-\x7e]{0,128}")
_HOUR = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Leaf:
    """One log entry."""

    type: str
    hour: str
    reference: str
    detail: str
    """`sha256:<hex>` over the salt and the canonical JSON of the detail."""

    def encode(self) -> bytes:
        return canonical({"type": self.type, "hour": self.hour, "reference": self.reference, "detail": self.detail})


@dataclass(frozen=True)
class Detail:
    """What a leaf commits to: the salt and the value, or when they were erased."""

    index: int
    salt: str = ""
    value: Any = None
    public: bool = False
    erased: str | None = None

    def digest(self) -> str:
        return "sha256:" + sha256(bytes.fromhex(self.salt) + canonical(self.value)).hexdigest()

    def check(self, leaf: Leaf) -> None:
        """Raises `UntrueError` unless the leaf commits to this detail; an erased one is not held against anybody."""
        if self.erased is None and self.digest() != leaf.detail:
            raise UntrueError(f"the detail of leaf {self.index} is not what the leaf commits to", leaf=self.index)

    def as_dict(self) -> dict[str, Any]:
        """As it is stored and exported."""
        if self.erased is not None:
            return {"index": self.index, "erased": self.erased, "public": self.public}
        return {"index": self.index, "salt": self.salt, "detail": self.value, "public": self.public}


def make_leaf(
    index: int, kind: str, reference: str, detail: Mapping[str, Any], *, now: float, salt: bytes, public: bool
) -> tuple[bytes, Detail]:
    """The entry and its detail; raises `AuditError` on what cannot be a leaf."""
    if not _TYPE.fullmatch(kind) or len(kind) > 32:
        raise AuditError(f"not a type of leaf: {kind!r}")
    if not _REFERENCE.fullmatch(reference):
        raise AuditError(f"not a reference: {reference!r}", hint="printable ASCII without spaces, at most 128")
    kept = Detail(index, salt.hex(), json.loads(canonical(detail)), public)
    entry = Leaf(kind, hour_of(now), reference, kept.digest()).encode()
    if len(entry) > MAX_ENTRY:
        raise AuditError(f"a leaf of {len(entry)} bytes is too long")
    return entry, kept


def parse_leaf(entry: bytes) -> Leaf:
    """A leaf from a log entry; raises `MalformedError` unless it is exactly what `Leaf.encode` writes."""
    try:
        fields = json.loads(entry)
        leaf = Leaf(**fields)
        forms = ((_TYPE, leaf.type), (_HOUR, leaf.hour), (_DIGEST, leaf.detail), (_REFERENCE, leaf.reference))
        good = all(form.fullmatch(value) for form, value in forms) and leaf.encode() == entry
    except (ValueError, TypeError, RecursionError):
        good = False
    if not good:
        raise MalformedError(f"not a leaf: {_text(entry[:120])}")
    return leaf


def parse_detail(line: bytes | str) -> Detail:
    """A stored detail; raises `MalformedError`."""
    try:
        fields = json.loads(line, parse_constant=_no_constant)  # NaN and Infinity are no JSON
        if "erased" in fields:
            return Detail(int(fields["index"]), erased=str(fields["erased"]), public=bool(fields.get("public")))
        if len(bytes.fromhex(fields["salt"])) != SALT_SIZE:
            raise ValueError("salt")
        return Detail(int(fields["index"]), fields["salt"], fields["detail"], bool(fields.get("public")))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MalformedError(f"not a detail: {_text(line[:80])}") from None


def _text(line: bytes | str) -> str:
    return line if isinstance(line, str) else line.decode(errors="replace")


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, ASCII only: one value, one spelling."""
    return _CANONICAL.encode(value).encode()


def hour_of(now: float) -> str:
    """POSIX seconds to the hour in UTC."""
    return datetime.fromtimestamp(now, UTC).strftime(HOUR)


def time_of(hour: str) -> datetime:
    """An hour as a moment; raises `MalformedError`."""
    try:
        return datetime.strptime(hour, HOUR).replace(tzinfo=UTC)
    except ValueError:
        raise MalformedError(f"not an hour: {hour!r}") from None


def _no_constant(name: str) -> float:
    raise ValueError(name)
