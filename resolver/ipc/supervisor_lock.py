"""The locks that one supervisor holds on `run_dir`, and one steward on `state_dir`, from its first moment to its last.

Enters: the paths of a host. Leaves: the supervisor's lock, whose descriptor survives a re-exec; whether it is held; the
steward's, which ends with the program that holds it. Rule: a disk that takes no file keeps no steward from starting.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from blocklists import durable
from blocklists.errors import why
from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.base.paths import Places

log = logging.getLogger("stopsign.supervisor")

ENDING = 3.0  # seconds for a steward that ends just now


def is_lost(places: Places) -> bool:
    """Whether the lock's file is gone: a second supervisor could then start."""
    return not places.supervisor_lock.exists()


@contextlib.contextmanager
def only_one(places: Places, left: int | None = None) -> Iterator[int]:
    """Hold the lock. `left`: its descriptor from before a re-exec. Raises `ResolverError` where another holds it."""
    places.run_dir.mkdir(parents=True, exist_ok=True)
    if left is not None:
        os.set_inheritable(left, False)
    descriptor = left if left is not None else _opened(places.supervisor_lock)
    try:
        _lock(descriptor, places.run_dir, "run_dir")
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def only_steward(places: Places) -> Iterator[None]:
    """Hold the steward's lock. Raises `ResolverError` where another holds it."""
    try:
        durable.make_folder(places.state_dir)
        descriptor = os.open(places.steward_lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        log.warning("%s is not locked against a second steward: %s", places.state_dir, why(error))
        yield
        return
    try:
        durable.inherit_owner(descriptor, places.state_dir, 0o644)
        _lock(descriptor, places.state_dir, "state_dir", patience=ENDING)
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    """Where the folder has the sticky bit, not even root may open another user's file with O_CREAT (proc(5),
    protected_regular)."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)


def _lock(descriptor: int, folder: Path, key: str, patience: float = 0.0) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                hint = f"stop it first, or give this one its own {key}"
                raise ResolverError(f"another Stopsign already runs with {folder}", hint=hint) from None
            time.sleep(0.05)
        else:
            return


def is_held(places: Places) -> bool:
    """By proc_locks(5): to try the lock could keep a supervisor from taking it. The kernel hands the table over page by
    page, so that one look may miss a row."""
    try:
        inode = places.supervisor_lock.stat().st_ino
        lines = [line for _ in range(2) for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
        held = [line.split() for line in lines]
    except OSError:
        return False
    return any("FLOCK" in words and words[-3].endswith(f":{inode}") for words in held)
