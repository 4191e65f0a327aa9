"""Whether workers and zones use the newest exceptions, for which `bypass` and `override` wait, or the newest list, for
which `lists approve` does.

Enters: `run_dir/passes.json`, and the status files of the workers and the zones. Leaves: who follows, and a sentence on
each that does not. Rules: it reads files alone, so it works with any process dead or hung. The file of the moment
counts, since the steward may change it too. A process without a heartbeat is named, and not waited for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.ipc import rpz_status, worker_counters
from resolver.policy import exceptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from resolver.base.paths import Places

PATIENCE = 4.0  # seconds; a worker looks five times a second
_AGAIN = 0.02


@dataclass(frozen=True)
class Convergence:
    """`follow`: by name. `late`, `silent`: name -> why it does not."""

    follow: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def lagging(self) -> tuple[str, ...]:
        return (*self.late, *self.silent)

    @property
    def nobody(self) -> bool:
        """No process lives there."""
        return not self.follow and not self.late

    def as_dict(self) -> dict[str, list[str]]:
        return {"follow": list(self.follow), "behind": list(self.lagging)}


def convergence_of(places: Places) -> Convergence:
    """The state now. Raises `ResolverError` where this user may not look."""
    mark = exceptions.read(places.exceptions).mark
    return _sorted(((name, age, lives, used == mark) for name, age, lives, used in _deciding(places)), "this")


def wait(places: Places) -> Convergence:
    """The state once all living processes follow, at the latest after `PATIENCE` seconds."""
    return _wait(lambda: convergence_of(places))


def wait_for_generation(places: Places, number: int) -> Convergence:
    """As `wait`, for the workers and a generation of the list."""

    def now() -> Iterator[tuple[str, float, bool, bool]]:
        for worker in worker_counters.workers(places):
            age = worker.heartbeat_age()
            follows = int(worker.said.get("generation") or 0) >= number
            yield f"dns-{worker.index}", age, age <= worker_counters.SILENT, follows

    return _wait(lambda: _sorted(now(), f"generation {number}"))


def _wait(now: Callable[[], Convergence]) -> Convergence:
    deadline = time.monotonic() + PATIENCE
    while (state := now()).late and time.monotonic() < deadline:
        time.sleep(_AGAIN)
    return state


def _sorted(processes: Iterable[tuple[str, float, bool, bool]], what: str) -> Convergence:
    """`processes`: name, seconds since a sign of life, whether it lives by that, whether it follows."""
    found: tuple[list[str], list[str], list[str]] = [], [], []
    for name, age, lives, follows in processes:
        if not lives:
            found[2].append(f"{name} gave no sign of life for {age:.0f} s")
        elif follows:
            found[0].append(name)
        else:
            found[1].append(f"{name} does not say that it uses {what}")
    return Convergence(*map(tuple, found))


def _deciding(places: Places) -> Iterator[tuple[str, float, bool, str | None]]:
    """Name, seconds since a sign of life, whether it lives by that, the mark of the exceptions in use."""
    for worker in worker_counters.workers(places):
        age = worker.heartbeat_age()
        yield f"dns-{worker.index}", age, age <= worker_counters.SILENT, worker.said.get("passes")
    try:
        said = rpz_status.read(places)
    except (OSError, ValueError):
        return  # there is none, or it has not started and will read the file first
    made_of = {zone.get("passes") for zone in said.zones}  # of an older version: it does not say
    yield "rpz", said.age, said.age <= rpz_status.SILENT, made_of.pop() if len(made_of) == 1 else None
