"""Exceptions from the lists: overrides and the off switch, in one small file that every worker polls.

Enters: changes by the steward (overrides) and by `stopsign bypass` (the off switch, which works with the steward dead).
Leaves: `run_dir/passes.json`, wholly old or wholly new, and a durable copy of the off switch, which survives a reboot.
Rules:

- An exception only ever unblocks, and ends by itself at its end, with any process dead.
- Both writers change the file under one lock and wait for it briefly: a writer that hangs, as on a stalled disk, does
  not hold up the off switch.
- Room on the tmpfs is reserved for the file.
- A file that cannot be read excepts nothing, and is an alarm. Its text cannot control a terminal.
- A change of the off switch stays in the file (`untold` there, `pending_log` here) until the log has it.

    {"format": 2,
     "overrides": [{"name": "example.com", "match": "subtree", "until": 1795000000}],
     "bypasses": [{"kind": "list", "of": "gambling", "since": 1794990000, "until": 1795000000, "by": "alice",
                   "reason": "a whole bank is on it"}],
     "untold": [{"act": "on", "at": 1794990000, "by": "alice", "reason": "…", "bypass": {…}}]}
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from blocklists import durable
from blocklists.text import shown
from resolver import _core
from resolver.base import atomic
from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from resolver.base.paths import Places

FORMAT = 2
FOR_EVER = 0xFFFF_FFFF  # Unix time of an exception without an end: until somebody switches it off
LARGEST = 1 << 24
MOST_PENDING = 1_000  # changes that wait for the log; of more the oldest are forgotten
PATIENCE = 2.0  # seconds for another writer, who needs a few milliseconds
_AGAIN = 0.02
ROOM = 1 << 16  # octets in reserve

Match = Literal["exact", "subtree", "below"]
Kind = Literal["all", "list", "name"]
Does = Literal["on", "off", "end"]


@dataclass(frozen=True, slots=True)
class NameException:
    """One name that is not stopped until `until` (Unix time)."""

    name: str
    match: Match
    until: int

    def covers(self, qname: str) -> bool:
        return _core.covers(self.name, self.match, qname)


@dataclass(frozen=True, slots=True)
class Bypass:
    """The off switch, on: for everything, for one list, or for one name with all below it."""

    kind: Kind
    of: str
    """The list or the name; empty for everything."""
    since: int
    until: int
    """Unix times; `FOR_EVER`: until it is switched off."""
    by: str
    reason: str = ""

    def __str__(self) -> str:
        return {"all": "everything", "list": f"list {self.of}", "name": self.of}[self.kind]

    def as_exception(self) -> NameException:
        """Of a name: with all below it."""
        return NameException(self.of, "subtree", self.until)


@dataclass(frozen=True, slots=True)
class BypassChange:
    """A change of the off switch: on, off, or ended by itself (`by` nobody)."""

    act: Does
    at: int
    by: str
    reason: str
    bypass: Bypass


@dataclass(frozen=True, slots=True)
class LiveExceptions:
    """All exceptions, and the changes that the log does not have yet."""

    overrides: tuple[NameException, ...] = ()
    bypasses: tuple[Bypass, ...] = ()
    pending_log: tuple[BypassChange, ...] = ()

    @property
    def mark(self) -> str:
        """Identifies the exceptions and their ends: by this a process says which ones it applies."""
        what = [astuple(entry) for entry in self.overrides], [(one.kind, one.of, one.until) for one in self.bypasses]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    @property
    def names(self) -> tuple[NameException, ...]:
        """Names that are excepted, by an override or a bypass, each with its end."""
        return (*self.overrides, *(one.as_exception() for one in self.bypasses if one.kind == "name"))

    def holding(self, now: float) -> tuple[Bypass, ...]:
        return tuple(one for one in self.bypasses if one.until > now)

    def all(self, now: float) -> bool:
        """Whether everything passes."""
        return any(one.kind == "all" for one in self.holding(now))

    def lists(self, now: float) -> tuple[str, ...]:
        """The lists that are switched off."""
        return tuple(one.of for one in self.holding(now) if one.kind == "list")

    def next_end(self, now: float) -> int | None:
        """When the next bypass ends by itself."""
        return min((one.until for one in self.holding(now) if one.until < FOR_EVER), default=None)

    def covering(self, qname: str, now: float) -> NameException | None:
        """The exception that holds for this name (A-labels, lower case, no final dot), if any."""
        return next((entry for entry in self.names if entry.until > now and entry.covers(qname)), None)

    def bypass_of(self, kind: Kind, of: str) -> Bypass | None:
        """The bypass of just that, if there is one."""
        return next((one for one in self.bypasses if (one.kind, one.of) == (kind, of)), None)

    # -- changes

    def with_overrides(self, overrides: tuple[NameException, ...]) -> LiveExceptions:
        return replace(self, overrides=tuple(sorted(overrides, key=lambda entry: (entry.name, entry.match))))

    def on(self, new: Bypass) -> LiveExceptions:
        """With `new` switched on. A bypass that was on already keeps its start, and its reason unless another is given;
        all else is that of `new`."""
        before = self.bypass_of(new.kind, new.of) or new
        others = tuple(one for one in self.bypasses if one is not before)
        held = replace(new, since=before.since, reason=new.reason or before.reason)
        return replace(self, bypasses=(*others, held))._noting(BypassChange("on", new.since, new.by, new.reason, held))

    def off(self, kind: Kind, of: str, *, now: int, by: str, reason: str = "") -> LiveExceptions:
        """The switch taken back; `all` ends also what was switched off apart."""
        gone = tuple(one for one in self.bypasses if kind == "all" or (one.kind, one.of) == (kind, of))
        kept = tuple(one for one in self.bypasses if one not in gone)
        return replace(self, bypasses=kept)._noting(*(BypassChange("off", now, by, reason, one) for one in gone))

    def ended(self, now: float) -> LiveExceptions:
        """Without the bypasses that have come to their end."""
        gone = tuple(one for one in self.bypasses if one.until <= now)
        return replace(self, bypasses=self.holding(now))._noting(
            *(BypassChange("end", o.until, "", "", o) for o in gone)
        )

    def logged(self, changes: tuple[BypassChange, ...]) -> LiveExceptions:
        """The log has these."""
        return replace(self, pending_log=tuple(one for one in self.pending_log if one not in changes))

    def _noting(self, *changes: BypassChange) -> LiveExceptions:
        return replace(self, pending_log=(*self.pending_log, *changes)[-MOST_PENDING:])


def parse(data: bytes) -> LiveExceptions:
    """The exceptions in the bytes of a file; `ResolverError` where it is not such a file."""
    try:
        raw = json.loads(data)
        if raw["format"] != FORMAT:
            raise ValueError(f"format {raw['format']!r}")
        found = LiveExceptions(
            tuple(
                NameException(str(n["name"]), _one_of(Match, n["match"]), _end(n["until"])) for n in raw["overrides"]
            ),
            tuple(_bypass(one) for one in raw["bypasses"]),
            tuple(_change(one) for one in raw["untold"]),
        )
        _core.Exceptions([(one.name, one.match, one.until) for one in found.names], False, 0)  # raises for no name
        return found
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, _core.CoreError) as error:
        raise ResolverError(f"the exceptions cannot be understood ({error})") from error


def are_there(places: Places) -> bool:
    """Whether `run_dir` has the file; the steward writes it at its start, also for no exceptions."""
    return places.exceptions.exists()


def read(path: Path) -> LiveExceptions:
    """The exceptions in `path`; none where there is no such file; `ResolverError` where it cannot be understood."""
    try:
        return parse(atomic.read(path, LARGEST))
    except FileNotFoundError:
        return LiveExceptions()
    except OSError as error:
        raise ResolverError(f"{path} cannot be read ({error.strerror})") from error


def dump(live: LiveExceptions) -> bytes:
    fields = asdict(live)
    fields["untold"] = fields.pop("pending_log")
    return json.dumps({"format": FORMAT, **fields}, sort_keys=True, indent=1).encode() + b"\n"


def change(places: Places, how: Callable[[LiveExceptions], LiveExceptions]) -> tuple[LiveExceptions, str | None]:
    """Makes live what `how` makes of the live exceptions, and the off switch durable. Returns that, and why the off
    switch is not durable, if it is not: what unblocks must work with a full disk. A damaged file counts as missing,
    because the off switch must work then too. Raises `ResolverError` where nothing can be made live."""
    try:
        with _only_writer(places):
            before = _before(places)
            after = how(before)
            _make_live(places, dump(after))
            return after, _kept(places, before.with_overrides(()), after.with_overrides(()))
    except OSError as error:
        hint = "root may" if isinstance(error, PermissionError) else "room on the tmpfs would be right"
        raise ResolverError(f"{places.exceptions} cannot be written ({error.strerror})", hint=hint) from error


def keep_room(places: Places) -> None:
    """The reserve, where it is not whole and there is room for it."""
    if not _is_whole(places):
        with suppress(OSError), _only_writer(places):
            _reserve(places, ROOM)


def _is_whole(places: Places) -> bool:
    try:
        return places.reserve.stat().st_size == ROOM
    except OSError:
        return False


def _reserve(places: Places, size: int) -> None:
    atomic.replace(places.reserve, bytes(size))  # written: a hole would keep nothing


def _make_live(places: Places, data: bytes) -> None:
    try:
        atomic.replace(places.exceptions, data)
    except OSError as error:
        if error.errno != errno.ENOSPC or not places.reserve.exists():
            raise
        size = places.reserve.stat().st_size
        places.reserve.unlink(missing_ok=True)
        atomic.replace(places.exceptions, data)
        # Half of it for the next time; the workers say in the rest that they follow.
        with suppress(OSError):
            _reserve(places, size // 2)


def _kept(places: Places, before: LiveExceptions, after: LiveExceptions) -> str | None:
    """Makes the off switch durable; why that cannot be."""
    try:
        if after != before:
            durable.replace(places.bypass, dump(after))
    except OSError as error:
        return f"{places.bypass}: {error.strerror}"
    return None


def _before(places: Places) -> LiveExceptions:
    """What is live, or after a reboot the off switch as it was."""
    for path in (places.exceptions, places.bypass):
        with suppress(ResolverError):
            if path.exists():
                return read(path)
    return LiveExceptions()


def unreadable(places: Places) -> str | None:
    """Why the durable off switch cannot be read, which alone knows after a reboot what was on; None where it can be."""
    try:
        read(places.bypass)
    except ResolverError as error:
        return str(error)
    return None


@contextmanager
def _only_writer(places: Places) -> Iterator[None]:
    """The lock is the folder itself, so that only those who may read there can hold it. A holder that keeps it longer
    than `PATIENCE` hangs, and is not waited for."""
    places.run_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(places.run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + PATIENCE
    try:
        while not _locked(descriptor) and time.monotonic() < deadline:
            time.sleep(_AGAIN)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _whole(foreign: object) -> str:
    return shown(foreign, most=None)


def _bypass(raw: dict[str, Any]) -> Bypass:
    return Bypass(
        _one_of(Kind, raw["kind"]), _whole(raw["of"]), _time(raw["since"]), _end(raw["until"]), _whole(raw["by"]),
        _whole(raw["reason"]),
    )  # fmt: skip


def _change(raw: dict[str, Any]) -> BypassChange:
    return BypassChange(
        _one_of(Does, raw["act"]), _time(raw["at"]), _whole(raw["by"]), _whole(raw["reason"]), _bypass(raw["bypass"])
    )  # fmt: skip


def _time(value: Any) -> int:
    """A Unix time that can be written as a date."""
    if not 0 <= (moment := int(value)) <= FOR_EVER:
        raise ValueError(f"{moment} is no time")
    return moment


def _end(value: Any) -> int:
    return _time(min(int(value), FOR_EVER))


def _one_of(words: Any, word: object) -> Any:
    if word not in get_args(words):
        raise ValueError(f"{word!r} is none of {', '.join(get_args(words))}")
    return word
