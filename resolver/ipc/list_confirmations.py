"""When each list was last confirmed, from the steward to the stop page: `run_dir/lists.json`.

Enters: on the steward's side, a time and staleness for each list. Leaves: on the web process's side, the times by list.
It decides nothing: a reader that finds no such file goes on with what it knew.

    {"format": 1, "lists": {"gambling": {"confirmed": "2026-11-22T12:00:00Z", "stale": false}}}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from resolver.base import atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.base.paths import Places

FORMAT = 1
LARGEST = 1 << 20  # octets


def write(places: Places, lists: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace the file. OSError where that cannot be."""
    atomic.replace(places.lists, json.dumps({"format": FORMAT, "lists": lists}).encode())


def read(places: Places) -> dict[str, str] | None:
    """Each list's time, empty for one never confirmed; `None`: the file cannot be read."""
    try:
        told = json.loads(atomic.read(places.lists, LARGEST))["lists"]
        return {str(name): str(about["confirmed"] or "") for name, about in told.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
