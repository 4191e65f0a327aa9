"""When additions reach a wave of hosts: decided here, from what the hosts of the waves before say. No I/O.

Enters: the version that waits on this host, and for each host of an earlier wave what it runs and what is wrong there.
Leaves: a `Verdict`. Rules:

- Canaries first, then wave-1, then wave-2; additions wait for the wave just before.
- That wave is well when one host of it that is heard of has run these very additions for the soak time, and no host of
  any earlier wave says that something stops them. What was last heard of a host that fell silent still stops.
- A host has run a version for as long as it has run it or a later one: a list with a version an hour would never
  soak otherwise.
- A wave of which no host is heard of is well for nobody, and that is an alarm: it must not hold the fleet silently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resolver.config.schema_lists import Stage

WAVES: tuple[Stage, ...] = ("canary", "wave-1", "wave-2")


@dataclass(frozen=True, slots=True)
class Ran:
    """A version that a host runs, or ran before a later one. `seconds` of the host's uptime since it began."""

    version: int
    state: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Something wrong on a host. `state`: of the version that it concerns; empty: all."""

    state: str
    why: str


@dataclass(frozen=True, slots=True)
class Fares:
    """One list on one host. `is_heard`: it said so just now."""

    host: str
    stage: Stage
    ran: tuple[Ran, ...] = ()
    stops: tuple[Stop, ...] = ()
    is_heard: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """`host`: by whose word. `is_heard`: some host of the wave before is."""

    kind: Literal["reached", "waits", "stopped"]
    text: str
    host: str = ""
    is_heard: bool = True


def before(stage: Stage) -> Stage | None:
    """The wave that a wave waits for; None: it waits for nobody."""
    at = WAVES.index(stage) if stage in WAVES else 0
    return WAVES[at - 1] if at else None


def decide(stage: Stage, state: str, fares: Sequence[Fares], soak: float) -> Verdict:
    """Whether the additions of the version with this state hash may act on a host of this stage. `soak`: for how many
    seconds the wave before has to have run them."""
    wave = before(stage)
    if wave is None:
        return Verdict("reached", f"{stage} waits for nobody")
    earlier = WAVES[: WAVES.index(stage)]
    for one in fares:
        stop = next((stop for stop in one.stops if stop.state in ("", state)), None)
        if one.stage in earlier and stop is not None:
            return Verdict("stopped", f"{one.host} ({one.stage}): {stop.why}", one.host)
    there = [one for one in fares if one.stage == wave]
    heard = [one for one in there if one.is_heard]
    if not there:
        return Verdict("waits", f"no host says that it is {_article(wave)}", is_heard=False)
    if not heard:
        names = ", ".join(one.host for one in there)
        return Verdict("waits", f"no {wave} host is heard of ({names})", is_heard=False)
    runs = [(ran.seconds, one.host) for one in heard for ran in one.ran if ran.state == state]
    if not runs:
        versions = ", ".join(f"{one.host} runs {one.ran[-1].version if one.ran else 'none'}" for one in heard)
        return Verdict("waits", f"no {wave} host runs it yet: {versions}")
    seconds, host = max(runs)
    if seconds < soak:
        return Verdict("waits", f"{host} ({wave}) has run it for {_span(seconds)} of {_span(soak)}", host)
    return Verdict("reached", f"{host} ({wave}) has run it for {_span(soak)}", host)


def _article(wave: Stage) -> str:
    return "a canary" if wave == "canary" else f"of {wave}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
