"""The public transparency report of the last thirty days, computed once a day.

Enters: the provider's own log, its lists in force, the time. Leaves: `report.json` and `report.csv` in the log's public
folder. Rules: it ends with the day before yesterday, since counts are published a day late; the steward computes it;
its figures are those of `stopsign report`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from blocklists import durable
from resolver.log.details import Details
from resolver.log.disk import Disk
from resolver.log.errors import AuditError
from resolver.log.source import Folder
from resolver.stats.documents import in_force, read_object
from resolver.stats.report import report
from resolver.stats.report_forms import as_csv, as_json

if TYPE_CHECKING:
    from resolver.base.paths import Places

DAYS = 30


def publish(places: Places, now: float) -> bool:
    """Writes the report where there is none that goes as far; whether it did. Raises `AuditError`, `OSError`."""
    end = (datetime.fromtimestamp(now, UTC) - timedelta(days=2)).date()
    known = list(in_force(places.state_dir / "lists"))
    if _told_until(places) == end.isoformat() and not (known and _knew_nothing(places)):
        return False
    details = Details(Disk(), places.log_details, places.log_dir / "details")
    told = report(Folder(places.log_dir), details.bundle, end - timedelta(days=DAYS - 1), end, known)
    durable.replace(places.report.with_suffix(".csv"), as_csv(told).encode())
    durable.replace(places.report, as_json(told).encode())
    return True


def _told_until(places: Places) -> str | None:
    try:
        return str(read_object(places.report).get("to"))
    except AuditError:
        return None


def _knew_nothing(places: Places) -> bool:
    """Whether the report there is was made before any list was in force, as at a first start."""
    return not (read_object(places.report).get("entries") or {}).get("total")
