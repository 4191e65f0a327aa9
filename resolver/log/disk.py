"""What the log asks of a file system beyond `blocklists.durable`: reading, removing, locking.

Enters: paths. Leaves: bytes, names, locks. `Disk` is the whole surface by which the log touches the file system, so
that a test can stop the machine between any two of its operations.
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING

from blocklists import durable
from resolver.log.errors import AuditError, LogBusyError, MissingError

if TYPE_CHECKING:
    from pathlib import Path


class Disk(durable.Disk):
    """The machine's own file system. Each operation may fail with `OSError`; none retries."""

    def read(self, path: Path, limit: int) -> bytes:
        """At most `limit` bytes; longer is an error, absence is `MissingError`."""
        try:
            # O_NONBLOCK: opening a pipe that somebody left in a copy would wait for ever
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise MissingError(f"{path} is no regular file")
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise MissingError(f"{path} is missing") from None
        if len(data) > limit:
            raise AuditError(f"{path} is longer than {limit} bytes")
        return data

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def names(self, path: Path) -> list[str]:
        """What a folder holds; nothing where it is missing."""
        try:
            return sorted(entry.name for entry in path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


def lock(path: Path, *, wait: bool = False) -> int:
    """An exclusive lock on a file, held until `unlock`; raises `LogBusyError` unless it may wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        durable.inherit_owner(descriptor, path.parent, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        raise LogBusyError(
            f"{path} is held by another process", hint="the steward writes the log while it runs"
        ) from None
    return descriptor


def unlock(descriptor: int) -> None:
    """Gives a lock back."""
    os.close(descriptor)
