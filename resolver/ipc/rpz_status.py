"""What the process of the response policy zones says about itself.

Enters: `run_dir/rpz/said.json`, which that process writes at each change and every `BEAT` seconds. Leaves: a `Said`.
Rule: it is a file, so it can be read with the process dead; `age` shows that. That process parses strangers' messages:
what it says is believed in the form of `_File` alone.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, FiniteFloat

from resolver.base import atomic
from resolver.ipc.told import Count, Told, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver.base.paths import Places

BEAT = 5.0
LARGEST = 1 << 24
SILENT = 4 * BEAT  # seconds; an older file is of a dead process


class _Secondary(Told):
    name: str
    serial: Count | None = None
    by: str | None = None


class _Zone(Told):
    origin: str
    ttl: FiniteFloat = 0.0
    serial: Count = 0
    steps: Count = 0
    names: Count = 0
    owners: Count = 0
    unsayable: Count = 0
    told: tuple[str, ...] = ()
    passes: str | None = None
    without: tuple[str, ...] = ()
    transfers: dict[str, Count] = Field(default_factory=dict)
    secondaries: tuple[_Secondary, ...] = ()


class _Refused(Told):
    secondary: str | None
    why: str
    times: Count


class _File(Told):
    beat: FiniteFloat
    zones: tuple[_Zone, ...]
    alarms: tuple[str, ...]
    refused: tuple[_Refused, ...] = ()


@dataclass(frozen=True)
class Said:
    """`age`: seconds since it was said. A zone has `origin`, `ttl`, `serial` (0: not made yet; else the Unix time of
    its making, or a little more where several were made in a second), `names`, `owners`, `steps`, `unsayable`,
    `told`, `transfers` by kind, `passes` (the mark of those that it was made of), `without` (sealed lists, each with
    why it goes without them), and `secondaries`, each with `name`, and the `serial` that it was given last `by` AXFR
    or IXFR, or null."""

    zones: Sequence[Mapping[str, Any]] = ()
    alarms: Sequence[str] = ()
    age: float = 0.0
    refused: Sequence[Mapping[str, Any]] = ()
    """Requests that got no zone, by `secondary` (null: at no secondary's address) and `why`, how many `times`."""

    @property
    def silence(self) -> str:
        """A sentence if all of this is old; else empty."""
        return f"the process of the zones gave no sign of life for {self.age:.0f} s" if self.age > SILENT else ""

    @property
    def complaints(self) -> list[str]:
        """The alarms, with one about their age."""
        return [*filter(None, (self.silence,)), *self.alarms]


def write(
    places: Places,
    zones: Sequence[Mapping[str, Any]],
    alarms: Sequence[str],
    refused: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Replace the file. Raises `OSError`."""
    told = {"beat": time.monotonic(), "zones": zones, "alarms": alarms, "refused": refused}
    atomic.replace(places.rpz_said, json.dumps(told).encode())


def read(places: Places) -> Said:
    """The content of the file. Raises `OSError` or `ValueError` where that cannot be read."""
    told = parse(atomic.read(places.rpz_said, LARGEST), _File)
    age = max(time.monotonic() - told.beat, 0.0)
    zones, refused = ([one.model_dump(mode="json") for one in many] for many in (told.zones, told.refused))
    return Said(zones, told.alarms, age, refused)


def longest_ttl(places: Places) -> float:
    """The longest TTL of the zones, in seconds; 0: unknown."""
    try:
        return max((zone["ttl"] for zone in read(places).zones), default=0.0)
    except (OSError, ValueError):
        return 0.0


def lag(ttl: float) -> str:
    """For a person who changed exceptions: how late resolvers apply a zone of that TTL."""
    return (
        "resolvers follow when they have the policy zone; one that keeps whole answers (PowerDNS Recursor) may give "
        f"a block that was lifted for up to {ttl:.0f} s more"
    )
