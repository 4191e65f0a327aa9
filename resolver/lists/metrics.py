"""Metrics of the lists: ages, entries, held and refused updates, the log, alarms.

Enters: the register's status. Leaves: metric families beside those of the workers. Labels are list names alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from resolver.base.timestamps import as_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

# family -> (help, from one list's status)
_BY_LIST: dict[str, tuple[str, Callable[[Mapping[str, Any]], float | None]]] = {
    "stopsign_list_version": ("Version that is active.", lambda part: part["version"] or 0),
    "stopsign_list_entries": ("Entries that are active, suspended ones included.", lambda part: part["entries"]),
    "stopsign_list_suspended": ("References suspended by the issuer.", lambda part: part["suspended"]),
    "stopsign_list_held": (
        "Additions that wait for a person.",
        lambda part: part["held"]["added"] if part["held"] else 0,
    ),
    "stopsign_list_refused": ("1 while the last refresh was refused.", lambda part: float(part["refusal"] is not None)),
    "stopsign_list_stale": ("1 while the list only monitors for want of a fresh word.", lambda part: part["stale"]),
    "stopsign_list_confirmed_timestamp_seconds": (
        "When the list was last confirmed, Unix time.",
        lambda part: as_time(part["confirmed"]) if part["confirmed"] else None,
    ),
}


class Lists(Collector):
    """Asks for the status at each scrape; reads memory alone."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        for name, (text, value) in _BY_LIST.items():
            family = GaugeMetricFamily(name, text, labels=["list"])
            for part in status["lists"]:
                if (number := value(part)) is not None:
                    family.add_metric([part["name"]], float(number))
            yield family
        for name, text, label, counts in (
            (
                "stopsign_guard_refusals",
                "Times that a guard held or refused additions, since the steward started.",
                "guard",
                status["guarded"],
            ),
            (
                "stopsign_list_refusals",
                "Refreshes that brought nothing to be trusted, since the steward started.",
                "reason",
                status["refused"],
            ),
        ):
            counter = CounterMetricFamily(name, text, labels=["list", label])
            for one in counts:
                counter.add_metric([one["list"], one["why"]], one["times"])
            yield counter
        yield CounterMetricFamily(
            "stopsign_reports_refused",
            "Reports of the web process about appeals that were refused, since the steward started.",
            value=float(status["appeals"]["refused"]),
        )
        for name, text, number in (
            ("stopsign_lists_generation", "Number of the live generation.", status["generation"]),
            ("stopsign_appeals_waiting", "Appeals that nobody decided yet.", status["appeals"]["waiting"]),
            (
                "stopsign_appeals_held",
                "Entries whose suspension by overdue appeals waits for a person.",
                len(status["appeals"]["held"]),
            ),
            (
                "stopsign_suspended_here",
                "Entries that this provider has suspended itself: appeals overdue, mistakes mended.",
                status["appeals"]["suspended"],
            ),
            ("stopsign_overrides", "Overrides that hold now.", status["overrides"]),
            ("stopsign_log_leaves", "Leaves of the log.", status["log"]["leaves"]),
            ("stopsign_log_failing", "1 while the log cannot be written.", status["log"]["trouble"] is not None),
            (
                "stopsign_steward_alarms",
                "Alarms of the steward; `stopsign lists status` names them.",
                len(status["alarms"]),
            ),
        ):
            if number is not None:
                yield GaugeMetricFamily(name, text, value=float(number))
