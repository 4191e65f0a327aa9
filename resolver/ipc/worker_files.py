"""A worker's own side of `run_dir/workers`: the file that its plane counts in, and `N.json`, what it says of itself.

Enters: a worker's number, what it runs with. Leaves: files that `resolver.ipc.worker_counters` reads. Rule: a number
belongs to the worker whose counters file stands there; a predecessor that drains says nothing more.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from resolver.base import atomic
from resolver.ipc.worker_counters import NOT_ASKED, UpstreamSeen

if TYPE_CHECKING:
    from pathlib import Path

    from resolver._core import UpstreamState
    from resolver.base.paths import Places
    from resolver.ipc.worker_counters import State


class WorkerFiles:
    """The files of one number, from the moment that this process counts."""

    def __init__(self, places: Places, index: int) -> None:
        self.state = places.workers / f"{index}.json"
        self.counters: Path = places.counters(index)
        self.folder = places.workers
        self._inode: int | None = None
        self._said: State | None = None
        self.folder.mkdir(parents=True, exist_ok=True)

    def claim(self) -> None:
        """The plane counts now. Raises `OSError` where there is no such file."""
        self._inode = self.counters.stat().st_ino

    def is_succeeded(self) -> bool:
        """Whether the counters file of this number is another process's."""
        try:
            return self.counters.stat().st_ino != self._inode
        except OSError:
            return self._inode is not None

    def say(self, state: State) -> bool:
        """Write what changed; True if something was written. Raises `OSError`."""
        if state == self._said or self.is_succeeded():
            return False
        atomic.replace(self.state, state.model_dump_json().encode())
        self._said = state
        return True


def sweep(places: Places) -> None:
    """Remove what workers of an earlier run left, whatever it is."""
    places.workers.mkdir(parents=True, exist_ok=True)
    for left in places.workers.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def shown(upstream: UpstreamState) -> UpstreamSeen:
    """For `State`. To two digits, so that it changes when something did. The plane counts an upstream of which nothing
    is known as up, so that it is asked; here it is `NOT_ASKED`."""
    known = upstream["state"] != "up" or upstream["answers"] > 0
    rtt = float(f"{upstream['rtt_us']:.1e}")
    return UpstreamSeen(
        address=upstream["address"],
        state=upstream["state"] if known else NOT_ASKED,
        reason=upstream["reason"],
        failing=upstream["failing"],
        tcp_closed=upstream["tcp_closed"],
        rtt_us=int(rtt),
    )
