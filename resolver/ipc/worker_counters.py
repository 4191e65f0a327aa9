"""The workers' counters, read from outside: for metrics, `status` and the demo.

Enters: `run_dir/workers/*.counters`, arrays of u64 that living workers write, `retired.counters`, the sums of the
dead, and `N.json`, what a worker says of itself. Leaves: totals by name (`_core.COUNTERS`), a `State`. Rules: a reader
disturbs no worker and needs no lock. Names that end in `_now` are gauges, summed over the living alone. All others only
grow, also over restarts, unless the new version of the program counts other things. No counter knows a client. A worker
parses strangers' packets, so its word is believed only in the form of `State`: what has another is an alarm.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from resolver._core import COUNTERS, COUNTERS_MARK
from resolver.base import atomic
from resolver.base.errors import ResolverError
from resolver.config.values import Endpoint
from resolver.ipc.told import Count, Kind, Told, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from resolver.base.paths import Places

READERS = "root may, and members of the group stopsign"
HEARTBEAT = "heartbeat_ms"
SILENT = 5.0  # seconds; a heartbeat older than this is no sign of life any more
LATE = 2.0  # seconds; one older than this is late: an idle worker's beat comes once a second
NOT_ASKED: Literal["not asked yet"] = "not asked yet"  # of an upstream: it counts neither as up nor as down
LARGEST = 1 << 20
TRANSPORTS = ("udp4", "udp6", "tcp", "tls", "https", "quic")  # by which questions come
_WORD = 8


class ListInUse(Told):
    """`counter`: the number under which it counts; None: an earlier version of the program does not say it."""

    name: str
    version: Count
    counter: Count | None = None


class UpstreamSeen(Told):
    """An upstream as one worker finds it."""

    address: str
    state: Literal["not asked yet", "up", "suspect", "down"]
    reason: str = ""
    failing: bool = False
    tcp_closed: bool = False
    rtt_us: Count = 0


class State(Told):
    """What a worker says of itself, for `status` and for tests."""

    pid: Annotated[int, Field(gt=0, lt=1 << 31)]
    index: Count = 0
    generation: Count | None = None
    entries: Count = 0
    lists: tuple[ListInUse, ...] = ()
    passes: str = ""
    """The mark of the exceptions in use."""
    health_mark: str = ""
    """What TXT of `dns.health_name` answers; empty: nothing."""
    alarms: tuple[str, ...] = ()
    upstreams: tuple[UpstreamSeen, ...] = ()
    certificate_ends: Annotated[int, Field(gt=-(1 << 63), lt=1 << 63)] | None = None
    """Unix time; None: there is none in use."""


class _Foreign(Told):
    transport: str
    address: str
    inode: Count
    user: str


class _Addresses(Told):
    """Of what the supervisor says, what is read here."""

    dns: tuple[Endpoint, ...] = ()
    foreign: tuple[_Foreign, ...] = ()


@dataclass(frozen=True)
class Worker:
    """One worker as it is seen from outside."""

    index: int
    counters: Mapping[str, int]
    said: Mapping[str, Any] = field(default_factory=dict)
    """What it says of itself (`workers/N.json`), the fields of `State`; empty: nothing yet."""
    wrong: str = ""
    """Why what it says cannot be right."""

    @property
    def alarms(self) -> list[str]:
        """Its alarms. A lack of descriptors it cannot write to a file, only count."""
        starved = self.counters.get("streams_starved_now")
        none_left = ["no file descriptor is left: new connections over TCP are closed"] if starved else []
        wrong = [f"what it says of itself cannot be right: {self.wrong}"] if self.wrong else []
        return [*none_left, *wrong, *self.said.get("alarms", ())]

    def heartbeat_age(self, now: float | None = None) -> float:
        """Seconds since its last heartbeat, on CLOCK_MONOTONIC. 0 before the first: a successor makes a new file, which
        a reader may see before its first beat. The supervisor, which started it, waits for that."""
        beat = self.counters.get(HEARTBEAT, 0)
        return (time.monotonic() if now is None else now) - beat / 1000 if beat else 0.0


def read(path: Path) -> dict[str, int]:
    """The counters of one file; empty where there is none (yet); the heartbeat alone where another version of the
    program counts. Raises `ResolverError` where this user may not read it: a worker that cannot be seen must not look
    like one that is dead."""
    try:
        data = atomic.read(path, LARGEST)
    except PermissionError as error:
        raise ResolverError(f"{path} cannot be read ({error.strerror})", hint=READERS) from error
    except OSError:
        return {}
    names = COUNTERS if data[-_WORD:] == COUNTERS_MARK else [HEARTBEAT]
    words = (int.from_bytes(data[i : i + _WORD], "little") for i in range(0, len(data) - len(data) % _WORD, _WORD))
    return dict(zip(names, words, strict=False))


def workers(places: Places) -> list[Worker]:
    """Every worker that counts or says what it is, by index: one that found no room for its counters says so. Raises
    `ResolverError` where this user may not read it."""
    try:
        there = [path for path in places.workers.glob("[0-9]*.*") if path.suffix in (".counters", ".json")]
    except PermissionError as error:
        raise ResolverError(f"{places.workers} cannot be read ({error.strerror})", hint=READERS) from error
    numbers = {int(path.stem) for path in there if path.stem.isascii() and path.stem.isdecimal()}
    return [_worker(places.counters(number), number) for number in sorted(numbers)]


def retired_file(places: Places) -> Path:
    """The counters of ended workers, summed by the supervisor."""
    return places.workers / "retired.counters"


def is_gauge(name: str) -> bool:
    return name.endswith("_now") or name == HEARTBEAT


def totals(places: Places, living: list[Worker] | None = None) -> dict[str, int]:
    """Sums over all workers, the dead included (but for gauges)."""
    retired = read(retired_file(places))
    sums = {name: 0 if is_gauge(name) else retired.get(name, 0) for name in COUNTERS if name != HEARTBEAT}
    for worker in workers(places) if living is None else living:
        for name in sums:
            sums[name] += worker.counters.get(name, 0)
    return sums


def queries(sums: Mapping[str, int]) -> int:
    """Questions over all transports."""
    return sum(sums.get(f"queries_{name}", 0) for name in TRANSPORTS)


def lists_in_use(living: Sequence[Worker]) -> Sequence[Mapping[str, Any]]:
    """The lists of the generation that the workers have."""
    return next((worker.said["lists"] for worker in living if worker.said.get("lists")), ())


def by_list(what: str, sums: Mapping[str, int], living: Sequence[Worker]) -> dict[str, int]:
    """What each list did (`blocked`, `monitored`), by the names of those that the workers have."""
    return {one["name"]: sums.get(f"{what}_list_{one['counter']}", 0) for one in lists_in_use(living)}


def listening(places: Places) -> list[Endpoint]:
    """Where the workers listen, as the supervisor says; empty: it does not."""
    return list(_addresses(places).dns)


def foreign(places: Places) -> list[Mapping[str, Any]]:
    """Sockets of other programs where DNS listens, as the supervisor says."""
    return [one.model_dump() for one in _addresses(places).foreign]


def _worker(counters: Path, number: int) -> Worker:
    counted = read(counters)
    try:
        said = _told(counters.with_suffix(".json"), State)
    except ValueError as error:
        return Worker(number, counted, wrong=str(error))
    return Worker(number, counted, {} if said is None else said.model_dump(mode="json"))


def _addresses(places: Places) -> _Addresses:
    try:
        return _told(places.addresses, _Addresses) or _Addresses()
    except ValueError:
        return _Addresses()  # its user is the workers'


def _told(path: Path, kind: type[Kind]) -> Kind | None:
    """None where there is no file, or none that can be read. Raises `ValueError` where it is not of that kind."""
    try:
        data = atomic.read(path, LARGEST)
    except OSError:
        return None
    return parse(data, kind)
