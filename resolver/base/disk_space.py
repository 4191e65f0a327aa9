"""Free space of the file systems that a provider writes to.

Enters: the paths. Leaves: octets, and an alarm before none are left. Rules: it works with every process dead; the
sentence has no number that changes, so that every process raises the same alarm; neither a large disk with a small free
share nor a small tmpfs that is mostly empty is an alarm.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.base.paths import Places

SHARE, LEAST = 0.05, 64 << 20  # less than both: an alarm
NOTHING = 1 << 20  # less: it is full


def room(folder: Path) -> dict[str, int] | None:
    """Octets available to a user without privileges; None: unknown."""
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return None
    return {"free": found.free, "of": found.total}


def alarms(places: Places) -> list[str]:
    """The file systems with next to nothing left."""
    limit = f"less than {SHARE:.0%} and less than {LEAST >> 20} MiB"
    return [
        f"the file system of {folder} is full: less than {NOTHING >> 20} MiB is free"
        if left["free"] < NOTHING
        else f"the file system of {folder} is nearly full: {limit} are free"
        for folder in (places.state_dir, places.run_dir)
        if (left := room(folder)) is not None and left["free"] < min(left["of"] * SHARE, LEAST)
    ]
