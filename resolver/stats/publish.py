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
    """Writes the report where there is none that goes as far, or the one there is was made before any list was in
    force, as at a first start. Whether a list is in force: until then it is worth asking again soon. Raises
    `AuditError`, `OSError`."""
    end = (datetime.fromtimestamp(now, UTC) - timedelta(days=2)).date()
    known = list(in_force(places.state_dir / "lists"))
    until, entries = _told(places)
    if until == end.isoformat() and (entries or not known):
        return bool(known)
    details = Details(Disk(), places.log_details, places.log_dir / "details")
    told = report(Folder(places.log_dir), details.bundle, end - timedelta(days=DAYS - 1), end, known)
    durable.replace(places.report.with_suffix(".csv"), as_csv(told).encode())
    durable.replace(places.report, as_json(told).encode())
    return bool(known)


def _told(places: Places) -> tuple[str | None, int]:
    """The last day and the entries of the report there is."""
    try:
        told = read_object(places.report)
    except AuditError:
        return None, 0
    return told.get("to"), (told.get("entries") or {}).get("total", 0)
