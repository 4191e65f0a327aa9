"""The lock that one supervisor holds on `run_dir` from its first moment to its last.

Enters: the paths of a host. Leaves: the lock's descriptor, which survives a re-exec; whether a supervisor holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.base.paths import Places


def is_lost(places: Places) -> bool:
    """Whether the lock's file is gone: a second supervisor could then start."""
    return not places.supervisor_lock.exists()


@contextlib.contextmanager
def only_one(places: Places, left: int | None = None) -> Iterator[int]:
    """Hold the lock. `left`: its descriptor from before a re-exec. Raises `ResolverError` where another holds it."""
    places.run_dir.mkdir(parents=True, exist_ok=True)
    if left is not None:
        os.set_inheritable(left, False)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = left if left is not None else os.open(places.supervisor_lock, flags, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResolverError(
                f"another Stopsign already runs with {places.run_dir}",
                hint="stop it first, or give this one its own run_dir",
            ) from None
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(places: Places) -> bool:
    """By proc_locks(5): to try the lock could keep a supervisor from taking it."""
    try:
        inode = places.supervisor_lock.stat().st_ino
        held = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    except OSError:
        return False
    return any("FLOCK" in words and words[-3].endswith(f":{inode}") for words in held)
