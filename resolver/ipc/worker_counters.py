"""The workers' counters, read from outside: for metrics, `status` and the demo.

Enters: `run_dir/workers/*.counters`, arrays of u64 that living workers write, and `retired.counters`, the sums of the
dead. Leaves: totals by name (`_core.COUNTERS`). Rules: a reader disturbs no worker and needs no lock. Names that end in
`_now` are gauges, summed over the living alone. All others only grow, also over restarts, unless the new version of the
program counts other things. No counter knows a client.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resolver._core import COUNTERS, COUNTERS_MARK
from resolver.base import atomic
from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from resolver.base.paths import Places

READERS = "root may, and members of the group stopsign"
HEARTBEAT = "heartbeat_ms"
SILENT = 5.0  # seconds; a heartbeat older than this is no sign of life any more
LATE = 2.0  # seconds; one older than this is late: an idle worker's beat comes once a second
NOT_ASKED = "not asked yet"  # of an upstream: it counts neither as up nor as down
LARGEST = 1 << 20
TRANSPORTS = ("udp4", "udp6", "tcp", "tls", "https", "quic")  # by which questions come
_WORD = 8


@dataclass(frozen=True)
class Worker:
    """One worker as it is seen from outside."""

    index: int
    counters: Mapping[str, int]
    said: Mapping[str, Any]
    """What it says of itself (`workers/N.json`): pid, generation, entries, lists, passes, alarms, upstreams; empty:
    nothing yet."""

    @property
    def alarms(self) -> list[str]:
        """Its alarms. A lack of descriptors it cannot write to a file, only count."""
        starved = self.counters.get("streams_starved_now")
        none_left = ["no file descriptor is left: new connections over TCP are closed"] if starved else []
        return [*none_left, *map(str, self.said.get("alarms", ()))]

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
        numbers = {int(path.stem) for path in places.workers.glob("[0-9]*.*") if path.suffix in (".counters", ".json")}
    except PermissionError as error:
        raise ResolverError(f"{places.workers} cannot be read ({error.strerror})", hint=READERS) from error
    said = {number: _said(places.counters(number).with_suffix(".json")) for number in sorted(numbers)}
    return [Worker(number, read(places.counters(number)), one) for number, one in said.items()]


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


def listening(places: Places, use: str = "dns") -> list[str]:
    """Where the processes listen (`dns`, `stop_page`, `portal`), as the supervisor says; empty: it does not."""
    addresses = _said(places.addresses).get(use, [])
    return [str(address) for address in addresses]


def foreign(places: Places) -> list[Mapping[str, Any]]:
    """Sockets of other programs where DNS listens, as the supervisor says."""
    return list(_said(places.addresses).get("foreign", []))


def _said(path: Path) -> Mapping[str, Any]:
    try:
        said = json.loads(atomic.read(path, LARGEST))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
