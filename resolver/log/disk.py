"""How bytes reach the disk so that they are there after a crash, and the few operations that this takes.

Enters: paths and bytes. Leaves: a file that is wholly the old one or wholly the new one. Rules: temporary file, fsync,
rename, fsync of the folder. `Disk` is the whole surface that touches the file system, so that a test can stop the
machine between any two of its operations.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Protocol

from resolver.base import durable
from resolver.base.errors import naming
from resolver.log.errors import AuditError, LogBusyError, MissingError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TEMPORARY = ".new"


class Disk(Protocol):
    """What the log asks of a file system. Each operation may fail with `OSError`; none retries."""

    def read(self, path: Path, limit: int) -> bytes: ...
    def write(self, path: Path, data: bytes, mode: int) -> None: ...
    def sync(self, path: Path) -> None: ...
    def rename(self, old: Path, new: Path) -> None: ...
    def sync_folder(self, path: Path) -> None: ...
    def make_folder(self, path: Path, mode: int) -> None: ...
    def remove(self, path: Path) -> None: ...
    def names(self, path: Path) -> list[str]: ...


class RealDisk:
    """The machine's own file system."""

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

    def write(self, path: Path, data: bytes, mode: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            view = memoryview(data)
            with naming(path):
                while view:
                    view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)

    def sync(self, path: Path) -> None:
        durable.sync(path, os.O_RDWR)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def sync_folder(self, path: Path) -> None:
        durable.sync(path, os.O_RDONLY | os.O_DIRECTORY)

    def make_folder(self, path: Path, mode: int) -> None:
        """Makes one folder, if it is not there."""
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=mode)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def names(self, path: Path) -> list[str]:
        """What a folder holds; nothing where it is missing."""
        try:
            return sorted(entry.name for entry in path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


class Durable:
    """Writes files so that each is wholly the old one or wholly the new one, and there to stay on return."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self._folders: set[Path] = set()

    def replace(self, path: Path, data: bytes, *, mode: int = 0o644) -> None:
        """One file."""
        self.replace_all([(path, data)], mode=mode)

    def replace_all(self, files: Iterable[tuple[Path, bytes]], *, mode: int = 0o644) -> None:
        """Many files; their folders are synced once, at the end."""
        folders: dict[Path, None] = {}
        for path, data in files:
            self.make_folder(path.parent)
            temporary = path.with_name(path.name + TEMPORARY)
            self.disk.write(temporary, data, mode)
            self.disk.sync(temporary)
            self.disk.rename(temporary, path)
            folders[path.parent] = None
        for folder in folders:
            self.disk.sync_folder(folder)

    def make_folder(self, path: Path, *, mode: int = 0o755) -> None:
        """A folder and its parents. A name is durable only once the folder above it is synced, and a folder found
        there may be left by a process that died before it synced: so each is synced once in a life."""
        if path in self._folders or path.parent == path:
            return
        try:
            self.disk.make_folder(path, mode)
        except FileNotFoundError:
            self.make_folder(path.parent)
            self.disk.make_folder(path, mode)
        self.disk.sync_folder(path.parent)
        self._folders.add(path)


def lock(path: Path, *, wait: bool = False) -> int:
    """An exclusive lock on a file, held until `unlock`; raises `LogBusyError` unless it may wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
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
