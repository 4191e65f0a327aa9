"""What passes whatever the lists say: overrides and the off switch, in one small file that every worker polls.

Enters: changes by the steward (overrides) and by `stopsign bypass` (the off switch, which works with the steward dead).
Leaves: `run_dir/passes.json`, wholly old or wholly new. Rules: a pass only ever unblocks; both writers change the file
under one lock; what cannot be read passes nothing, and says so.

    {"format": 1, "all": false, "lists": ["gambling"],
     "names": [{"name": "example.com", "match": "subtree", "until": 1795000000, "kind": "override"}]}
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from resolver import durable
from resolver.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from resolver.places import Places

FORMAT = 1
FOR_EVER = 0xFFFF_FFFF  # Unix time of a pass without an end: until somebody switches it off
LARGEST = 1 << 24

Match = Literal["exact", "subtree", "below"]
Kind = Literal["override", "bypass"]


@dataclass(frozen=True, slots=True)
class Pass:
    """One name that passes until `until` (Unix time)."""

    name: str
    match: Match
    until: int
    kind: Kind = "override"


@dataclass(frozen=True, slots=True)
class Passes:
    """Everything that passes: all names, those of some lists, and single names."""

    all: bool = False
    lists: tuple[str, ...] = ()
    names: tuple[Pass, ...] = ()

    @property
    def mark(self) -> str:
        """Names them: by this a process says which ones it took up."""
        return hashlib.sha256(dump(self)).hexdigest()

    def of_kind(self, kind: Kind) -> tuple[Pass, ...]:
        return tuple(entry for entry in self.names if entry.kind == kind)

    def with_names(self, kind: Kind, names: tuple[Pass, ...]) -> Passes:
        """The same, with all names of this kind replaced."""
        others = tuple(entry for entry in self.names if entry.kind != kind)
        return replace(self, names=tuple(sorted((*others, *names), key=lambda entry: (entry.name, entry.match))))

    def covering(self, qname: str, now: float) -> Pass | None:
        """The pass that holds for this name (A-labels, lower case, no final dot), if any."""
        return next((entry for entry in self.names if entry.until > now and covers(entry, qname)), None)


def covers(entry: Pass, qname: str) -> bool:
    below = qname.endswith(f".{entry.name}")
    if entry.match == "below":
        return below
    return qname == entry.name or (below and entry.match == "subtree")


def parse(data: bytes) -> Passes:
    """The passes in a file's bytes; `ResolverError` where it is not such a file."""
    try:
        raw = json.loads(data)
        if raw["format"] != FORMAT:
            raise ValueError(f"format {raw['format']!r}")
        names = tuple(Pass(str(n["name"]), _match(n), int(n["until"]), _kind(n)) for n in raw["names"])
        return Passes(bool(raw["all"]), tuple(str(name) for name in raw["lists"]), names)
    except (ValueError, KeyError, TypeError) as error:
        raise ResolverError(f"the passes cannot be understood ({error})") from error


def read(path: Path) -> Passes:
    """The passes in `path`; none where there is no such file; `ResolverError` where it cannot be understood."""
    try:
        with path.open("rb") as file:
            return parse(file.read(LARGEST))
    except FileNotFoundError:
        return Passes()
    except OSError as error:
        raise ResolverError(f"{path} cannot be read ({error.strerror})") from error


def dump(passes: Passes) -> bytes:
    raw = {
        "format": FORMAT,
        "all": passes.all,
        "lists": list(passes.lists),
        "names": [asdict(entry) for entry in passes.names],
    }
    return json.dumps(raw, sort_keys=True, indent=1).encode() + b"\n"


def change(places: Places, how: Callable[[Passes], Passes]) -> Passes:
    """What `how` makes of the live passes, made live. A file that cannot be understood counts as empty here: the off
    switch must work on a damaged file too. Raises `ResolverError` where it cannot be written."""
    try:
        with _only_writer(places):
            try:
                before = read(places.passes)
            except ResolverError:
                before = Passes()
            after = how(before)
            durable.replace(places.passes, dump(after))
            return after
    except OSError as error:
        hint = "root may" if isinstance(error, PermissionError) else "room on the tmpfs would be right"
        raise ResolverError(f"{places.passes} cannot be written ({error.strerror})", hint=hint) from error


@contextmanager
def _only_writer(places: Places) -> Iterator[None]:
    places.run_dir.mkdir(parents=True, exist_ok=True)
    # Not through a link: whoever writes in this folder must not choose which file root gives away.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(places.run_dir / "passes.lock", flags, 0o644)
    durable.belong(descriptor, places.run_dir, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _match(raw: dict[str, Any]) -> Match:
    if raw["match"] not in ("exact", "subtree", "below"):
        raise ValueError(f"match {raw['match']!r}")
    match: Match = raw["match"]
    return match


def _kind(raw: dict[str, Any]) -> Kind:
    return "bypass" if raw.get("kind") == "bypass" else "override"
