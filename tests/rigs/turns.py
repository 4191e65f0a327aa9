"""Work of a process, and how often its ticking thread went to sleep meanwhile."""

from __future__ import annotations

import time
from pathlib import Path


def ticks() -> int | None:
    """How often the ticking thread of this process went to sleep; None: there is none."""
    for thread in Path("/proc/self/task").iterdir():
        try:
            name, *lines = (thread / "status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            continue
        if name == "Name:\ttick":
            return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return None


def work(seconds: float) -> None:
    """So long on a processor, however long this thread waits for one."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
