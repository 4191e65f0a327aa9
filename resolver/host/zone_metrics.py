"""Prometheus: the response policy zones, from the last status of their process.

Enters: `run_dir/rpz/said.json` (`resolver.ipc.rpz_status`). Leaves: metric families. Rule: labels are zones and the
configured names of secondaries, never an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from resolver.ipc.rpz_status import Said, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from resolver.base.paths import Places


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
        refused = CounterMetricFamily(
            "stopsign_rpz_refused", "Requests that got no zone, since the process started.", labels=["secondary", "why"]
        )
        said = self._said()
        if said is not None:
            age.add_metric([], said.age)
            alarms.add_metric([], len(said.alarms))
            for one in said.refused:
                refused.add_metric([one["secondary"] or "", one["why"]], one["times"])
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
        yield from (serial, owners, transfers, given, age, alarms, refused)

    def _said(self) -> Said | None:
        try:
            return read(self._places)
        except (OSError, ValueError):
            return None
