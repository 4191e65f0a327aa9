"""What the process of the response policy zones says of itself, and what Prometheus is told of it.

Enters: `run_dir/rpz/said.json`, which that process writes at each change and every `BEAT` seconds. Leaves: a `Said`,
and metric families. Rules: a file, so that one reads it whether the process is alive or not, and `age` says which;
labels are zones and the configured names of secondaries, never an address.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from resolver.base import atomic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from resolver.base.paths import Places

BEAT = 5.0
LARGEST = 1 << 24
SILENT = 4 * BEAT  # seconds after which nobody says it any more


@dataclass(frozen=True)
class Said:
    """`age`: seconds since it was said. A zone has `origin`, `serial` (0: not made yet; else the Unix time of its
    making, or a little more where several were made in a second), `names`, `owners`, `steps`, `unsayable`, `told`,
    `transfers` by kind, `passes` (the mark of those that it was made of), and `secondaries`, each with `name`, and the
    `serial` that it was given last `by` AXFR or IXFR, or null."""

    zones: Sequence[Mapping[str, Any]] = ()
    alarms: Sequence[str] = ()
    age: float = 0.0

    @property
    def silence(self) -> str:
        """That all of this is old; empty: it is not."""
        return f"the process of the zones gave no sign of life for {self.age:.0f} s" if self.age > SILENT else ""

    @property
    def complaints(self) -> list[str]:
        """The alarms, and that they are old."""
        return [*filter(None, (self.silence,)), *self.alarms]


def write(places: Places, zones: Sequence[Mapping[str, Any]], alarms: Sequence[str]) -> None:
    """Replaces what was said before. Raises `OSError`."""
    told = {"beat": time.monotonic(), "zones": zones, "alarms": alarms}
    atomic.replace(places.rpz_said, json.dumps(told).encode())


def read(places: Places) -> Said:
    """What was said last. Raises `OSError` or `ValueError` where that cannot be read."""
    told = json.loads(atomic.read(places.rpz_said, LARGEST))
    return Said(told["zones"], told["alarms"], max(time.monotonic() - told["beat"], 0.0))


class Zones(Collector):
    """Reads the file at each scrape; where there is none, the families are empty."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def collect(self) -> Iterator[Metric]:
        serial = GaugeMetricFamily(
            "stopsign_rpz_serial",
            "Serial that is served: the Unix time of its making, or a little more.",
            labels=["zone"],
        )
        owners = GaugeMetricFamily("stopsign_rpz_owners", "Owners of the zone.", labels=["zone"])
        transfers = CounterMetricFamily(
            "stopsign_rpz_transfers", "Transfers to secondaries, since the process started.", labels=["zone", "kind"]
        )
        given = GaugeMetricFamily(
            "stopsign_rpz_secondary_serial",
            "Serial that a secondary was given last; none before its first transfer.",
            labels=["zone", "secondary"],
        )
        age = GaugeMetricFamily("stopsign_rpz_heartbeat_age_seconds", "Time since a sign of life.")
        alarms = GaugeMetricFamily("stopsign_rpz_alarms", "What the process of the zones complains of.")
        said = self._said()
        if said is not None:
            age.add_metric([], said.age)
            alarms.add_metric([], len(said.alarms))
        for zone in said.zones if said is not None else ():
            origin = str(zone["origin"])
            if zone["serial"]:
                serial.add_metric([origin], zone["serial"])
            owners.add_metric([origin], zone["owners"])
            for kind, times in zone["transfers"].items():
                transfers.add_metric([origin, kind], times)
            for one in zone["secondaries"]:
                if one["serial"] is not None:
                    given.add_metric([origin, one["name"]], one["serial"])
        yield from (serial, owners, transfers, given, age, alarms)

    def _said(self) -> Said | None:
        try:
            return read(self._places)
        except (OSError, ValueError):
            return None
