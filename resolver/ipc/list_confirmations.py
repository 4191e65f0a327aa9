"""When each list was last confirmed, from the steward to the stop page: `run_dir/lists.json`.

Enters: on the steward's side, a time and staleness for each list. Leaves: on the web process's side, the times by list.
It decides nothing: a reader that finds no such file goes on with what it knew.

    {"format": 1, "lists": {"gambling": {"confirmed": "2026-11-22T12:00:00Z", "stale": false}}}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from resolver.base import atomic
from resolver.base.file_watch import Changed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.base.paths import Places

FORMAT = 1
LARGEST = 1 << 20  # octets


def write(places: Places, lists: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the file if it changes. Raises OSError."""
    atomic.update(places.lists, json.dumps({"format": FORMAT, "lists": lists}).encode())


def is_there(places: Places) -> bool:
    """Whether the file is."""
    return places.lists.exists()


class Confirmations:
    """Each list's time, as last read; empty for one never confirmed."""

    def __init__(self, places: Places) -> None:
        self._path, self._changed = places.lists, Changed()
        self._now: Mapping[str, str] = {}

    def poll(self) -> Mapping[str, str]:
        """The same object as before while nothing changed."""
        if self._changed.look(self._path):
            try:
                told = json.loads(atomic.read(self._path, LARGEST))["lists"]
                self._now = {str(name): str(about["confirmed"] or "") for name, about in told.items()}
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return self._now
        return self._now
