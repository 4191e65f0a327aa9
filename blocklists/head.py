"""The head of a list (`<list>.head.json`) and its relief (`<list>.relief.json`): the two signed files that are JSON.

Enters: bytes from anywhere. Leaves: a frozen `Head` or `Relief`, or `HeadError` that names the key.

Rules
- The head names the list, its version, its one document (count, size, state hash), its issuer and its grounds. Paths in
  it begin with the list's name and have one form for each version.
- Target names are flat. Clients of TUF disagree on where the hash goes in a name with a folder: python-tuf asks for
  `list/HASH.head.json`, tough for `HASH.list/head.json`. Names with folders (`formerly`) were written until 0.1 and are
  still read.
- The relief only removes: it suspends references and carries decisions on appeals. It has no key for a name, so it
  cannot add one.
- Both are written in one form (sorted keys, no blanks, ASCII, a line feed at the end), and read in that form alone.
"""

from __future__ import annotations

import base64
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from blocklists.document import MAX_SIZE, Summary
from blocklists.reading import FORMAT, Reader, canonical, check_format, check_reference, load, mapping
from blocklists.reading import HeadError as HeadError  # noqa: PLC0414 - what reads a head catches it from here
from blocklists.sealed import seal as seals
from blocklists.sealed.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from blocklists.sealed.seal import Seal

MAX_HEAD = 1 << 20
"""No head is larger, in octets."""
MAX_BASES = MAX_HEAD - (80 << 10)
"""Octets of a head for its grounds; the rest has room for an issuer's three texts in any script."""
MAX_RELIEF = 1 << 25
"""As it is published; what a client keeps may be larger, by what it carries on (`blocklists.relief`)."""
MAX_ADOPTED = 8
"""Lists that a list came through, each from the one before."""
MAX_JUMP = 1 << 20
"""A relief's version exceeds the one before by no more, so that nobody can use up all versions at once."""

_LIST = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z").match
_BASIS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z").match
_STATE = re.compile(r"sha256:[0-9a-f]{64}\Z").match
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z").match
_TERRITORY = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?\Z").match
RESERVED = frozenset({"relief", "metadata", "targets"})
"""What no list can be called: these words have a place of their own in a repository."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who answers for a list. `appeals` is an e-mail address or a URL that a citizen can use."""

    name: str
    contact: str
    appeals: str


@dataclass(frozen=True, slots=True)
class Basis:
    """The ground of entries, as the stop page shows it."""

    law: str
    authority: str
    order: str
    date: str
    """Of the order, `YYYY-MM-DD`."""
    territory: str
    """ISO 3166, such as `DE` or `AT-9`."""
    court: str
    """Where the order can be contested."""
    overdue_suspends: bool = True
    """Whether an appeal that nobody answered in time suspends the entry."""


@dataclass(frozen=True, slots=True)
class Delta:
    """The line changes from the version before: where, and how many octets they are uncompressed."""

    path: str
    size: int
    base: int


@dataclass(frozen=True, slots=True)
class Adopted:
    """The list of another authority that a version was adopted from, as it is: state hash and document are the same."""

    list: str
    version: int
    issuer: Issuer
    bases: Mapping[str, Basis]
    """The source's own grounds, under the same keys."""
    repository: str
    """Where the source publishes: its relief is asked for there."""
    root: bytes
    """The source's root, which its relief is proven from."""


@dataclass(frozen=True, slots=True)
class Head:
    """What one version of a list is."""

    list: str
    version: int
    entries: int
    state: str
    issuer: Issuer
    bases: Mapping[str, Basis]
    full_path: str
    full_size: int
    """Octets of the document, uncompressed."""
    delta: Delta | None = None
    seal: Seal | None = None
    """Of a sealed list: the document has digests in the place of names, and is encrypted."""
    adopted: tuple[Adopted, ...] = ()
    """Where it comes from, the nearest first; empty: this issuer made it."""

    def summary(self) -> Summary:
        """What the document must come to."""
        return Summary(self.entries, self.full_size, self.state)

    def to_bytes(self) -> bytes:
        """The canonical form."""
        delta = self.delta and {"path": self.delta.path, "size": self.delta.size, "from": self.delta.base}
        return canonical({
            "format": FORMAT, "list": self.list, "version": self.version, "entries": self.entries, "state": self.state,
            "issuer": asdict(self.issuer), "bases": {key: asdict(basis) for key, basis in self.bases.items()},
            "full": {"path": self.full_path, "size": self.full_size}, "delta": delta,
            **({"sealed": None} if self.seal is None else {"sealed": seals.FORMAT, **self.seal.fields()}),
            **({"adopted": [_written(one) for one in self.adopted]} if self.adopted else {}),
        })  # fmt: skip

    @staticmethod
    def from_bytes(data: bytes) -> Head:
        """The head that `to_bytes` wrote. Raises HeadError."""
        fields = mapping(load(data, MAX_HEAD, "head"), "head")
        sealed = fields.get("sealed")
        if sealed is not None and (isinstance(sealed, bool) or sealed != seals.FORMAT):
            raise HeadError("head: sealed: this program cannot read this form of sealed lists", hint="update Stopsign")
        top = Reader(fields, "head", {
            "format", "list", "version", "entries", "state", "issuer", "bases", "full", "delta", "sealed",
            *(seals.KEYS if sealed else ()), *({"adopted"} & fields.keys()),
        })  # fmt: skip
        check_format(top)
        name, version = check_list(top.text("list")), top.number("version", 1)
        full = top.inner("full", {"path", "size"})
        delta = None
        if top.fields["delta"] is not None:
            part = top.inner("delta", {"path", "size", "from"})
            delta = Delta(part.text("path"), part.number("size", 0, MAX_SIZE), part.number("from", 1))
            if delta.base != version - 1 or not _is_path(delta.path, delta_path(name, version)):
                raise HeadError(f"head: delta: not the step from version {version - 1} to {version}")
        head = Head(
            list=name, version=version, entries=top.number("entries", 0), state=top.text("state", _STATE),
            issuer=Issuer(**top.inner("issuer", {"name", "contact", "appeals"}).texts()),
            bases=_read_bases(top.fields["bases"], "head: bases"),
            full_path=full.text("path"), full_size=full.number("size", 0, MAX_SIZE), delta=delta,
            seal=_read_seal(fields) if sealed else None, adopted=_read_adopted(fields.get("adopted", [])),
        )  # fmt: skip
        if not _is_path(head.full_path, full_path(name, version)):
            raise HeadError(f"head: full: path: {head.full_path!r} is not {full_path(name, version)!r}")
        if head.to_bytes() != data:
            raise HeadError("head: not in canonical form")
        return head


@dataclass(frozen=True, slots=True)
class Suspension:
    """An entry taken off by one person. For ever: reinstating it takes two signers and a new reference."""

    since: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the issuer decided on an appeal, with a person's reasons."""

    appeal: str
    reference: str
    decided: str
    outcome: str
    """`upheld` (the block stays) or `granted` (it goes)."""
    reasons: str
    by: str
    """The person or office that decided; never one who signed the entry."""


@dataclass(frozen=True, slots=True)
class Relief:
    """What role `relief` says about one list."""

    list: str
    version: int
    suspended: Mapping[str, Suspension] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()

    def to_bytes(self) -> bytes:
        """The canonical form."""
        return canonical({
            "format": FORMAT, "list": self.list, "version": self.version,
            "suspended": {reference: asdict(item) for reference, item in self.suspended.items()},
            "decisions": [asdict(item) for item in self.decisions],
        })  # fmt: skip

    @staticmethod
    def from_bytes(data: bytes) -> Relief:
        """The relief that `to_bytes` wrote. Raises HeadError."""
        top = Reader(load(data, None, "relief"), "relief", {
            "format", "list", "version", "suspended", "decisions",
        })  # fmt: skip
        check_format(top)
        suspended: dict[str, Suspension] = {}
        for reference, value in mapping(top.fields["suspended"], "relief: suspended").items():
            item = Reader(value, f"relief: suspended: {reference}", {"since", "reason"})
            check_reference(reference, item.place)
            suspended[reference] = Suspension(item.time("since"), item.text("reason"))
        decisions: list[Decision] = []
        if not isinstance(top.fields["decisions"], list):
            raise HeadError("relief: decisions: not a list")
        for at, value in enumerate(top.fields["decisions"]):
            item = Reader(value, f"relief: decisions: {at}", {
                "appeal", "reference", "decided", "outcome", "reasons", "by",
            })  # fmt: skip
            check_reference(item.text("reference"), item.place)
            item.time("decided")
            if item.text("outcome") not in {"upheld", "granted"}:
                raise HeadError(f"{item.place}: outcome: neither upheld nor granted")
            decisions.append(Decision(**item.texts()))
        relief = Relief(check_list(top.text("list")), top.number("version", 1), suspended, tuple(decisions))
        if relief.to_bytes() != data:
            raise HeadError("relief: not in canonical form")
        return relief

    def since(self, before: Relief | None) -> Relief:
        """What is new in it: suspensions and decisions that `before` had not."""
        old = before or Relief(self.list, 0)
        return replace(
            self,
            suspended={ref: item for ref, item in self.suspended.items() if ref not in old.suspended},
            decisions=tuple(item for item in self.decisions if item not in set(old.decisions)),
        )


def head_path(name: str) -> str:
    """Path of a list's head in a repository."""
    return f"{name}.head.json"


def full_path(name: str, version: int) -> str:
    """Path of a version's document in a repository."""
    return f"{name}.full-{version}.zst"


def delta_path(name: str, version: int) -> str:
    """Path of the step to a version from the one before."""
    return f"{name}.delta-{version - 1}-{version}.zst"


def relief_path(name: str) -> str:
    """Path of a list's relief in a repository."""
    return f"{name}.relief.json"


def formerly(path: str) -> str:
    """How a path of this module was written before target names were flat."""
    name, _, file = path.partition(".")
    return f"relief/{name}.json" if file == "relief.json" else f"{name}/{file}"


def spelt(paths: Container[str], path: str) -> str | None:
    """The path as it stands among `paths`, flat or as it was written formerly; None where it is not there."""
    return path if path in paths else formerly(path) if formerly(path) in paths else None


def is_of(path: str, name: str) -> bool:
    """Whether a target is one of a list's own files, which the targets role signs."""
    return path.startswith((f"{name}.", f"{name}/"))


def lists_in(paths: Iterable[str]) -> list[str]:
    """The names of the lists that have a head among these targets, sorted."""
    return sorted(path[: -len(end)] for path in paths for end in (".head.json", "/head.json") if path.endswith(end))


def _is_path(path: str, wanted: str) -> bool:
    return path in {wanted, formerly(wanted)}


def check_list(name: str) -> str:
    """The name of a list, or HeadError: it becomes a folder, a file and a label."""
    if not _LIST(name) or name in RESERVED:
        raise HeadError(f"list: {name!r} is not a list's name: a-z, 0-9 and '-', not {', '.join(sorted(RESERVED))}")
    return name


def _written(one: Adopted) -> dict[str, Any]:
    bases = {key: asdict(basis) for key, basis in one.bases.items()}
    return {
        "list": one.list, "version": one.version, "issuer": asdict(one.issuer), "bases": bases,
        "repository": one.repository, "root": base64.b64encode(one.root).decode(),
    }  # fmt: skip


def _read_adopted(value: object) -> tuple[Adopted, ...]:
    if not isinstance(value, list) or len(value) > MAX_ADOPTED:
        raise HeadError(f"head: adopted: not a list of at most {MAX_ADOPTED}")
    found = []
    for at, one in enumerate(value):
        part = Reader(one, f"head: adopted: {at}", {"list", "version", "issuer", "bases", "repository", "root"})
        root = part.fields["root"]
        try:
            octets = base64.b64decode(root, validate=True) if isinstance(root, str) else b""
        except ValueError:
            octets = b""
        if not octets:
            raise HeadError(f"{part.place}: root: not octets in base64")
        found.append(Adopted(
            check_list(part.text("list")), part.number("version", 1),
            Issuer(**part.inner("issuer", {"name", "contact", "appeals"}).texts()),
            _read_bases(part.fields["bases"], f"{part.place}: bases"), part.text("repository"), octets,
        ))  # fmt: skip
    return tuple(found)


def _read_seal(fields: Mapping[str, Any]) -> Seal:
    try:
        return seals.read(fields)
    except SealError as error:
        raise HeadError(f"head: {error}") from None


def read_bases(data: bytes) -> Mapping[str, Basis]:
    """The table of grounds from a JSON object `{key: {law, authority, ...}}`. Raises HeadError."""
    bases = _read_bases(load(data, 2 * MAX_HEAD, "bases"), "bases")  # a person may have laid it out in lines
    check_bases(bases)
    return bases


def check_bases(bases: Mapping[str, Basis]) -> None:
    """Raise HeadError where these grounds leave no room in a head for the rest of it."""
    size = len(canonical({key: asdict(basis) for key, basis in bases.items()}))
    if size > MAX_BASES:
        raise HeadError(
            f"{len(bases):,} grounds take {size:,} octets; the head of a list has room for {MAX_BASES:,}",
            hint="leave date or order out of the mapping's ground, make several lists, or take old grounds off the "
            "table (stopsign issuer basis --remove)",
        )


def _read_bases(value: object, place: str) -> Mapping[str, Basis]:
    bases: dict[str, Basis] = {}
    for key, inner in mapping(value, place).items():
        if not _BASIS(key):
            raise HeadError(f"{place}: {key!r} is not a key of letters, digits, '.', '_' and '-'")
        part = Reader(inner, f"{place}: {key}", {
            "law", "authority", "order", "date", "territory", "court", "overdue_suspends",
        })  # fmt: skip
        suspends = part.fields["overdue_suspends"]
        if not isinstance(suspends, bool):
            raise HeadError(f"{part.place}: overdue_suspends: neither true nor false")
        try:
            # Python reads weeks too (2026-W47-7); a browser, a court and the next program read days
            if not _DAY(part.text("date")):
                raise ValueError
            date.fromisoformat(part.text("date"))
        except ValueError:
            raise HeadError(f"{part.place}: date: {part.text('date')!r} is not a day such as 2026-11-22") from None
        part.text("territory", _TERRITORY)
        texts = {name: part.text(name) for name in ("law", "authority", "order", "date", "territory", "court")}
        bases[key] = Basis(**texts, overdue_suspends=suspends)
    return bases
