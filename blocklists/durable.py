"""Files that survive `kill -9` and a power cut, each wholly the old one or wholly the new one.

Enters: bytes, a writer that takes a path, or a file that its writer has synced. Leaves: a file under its name; or
`OSError`, which names a file. Rules:

- Temporary file, fsync, rename, fsync of the folder. The temporary file has a fixed name, so that any number of deaths
  leaves at most one. When a write fails it is deleted, which gives a full disk its room back.
- fsync goes to the descriptor that wrote, or that was open before a writer was given the path. Linux reports a failed
  write-back once to each descriptor that was open at that time; one that is opened later may hear nothing of it.
- A failed fsync is final for that file. The kernel may have marked the lost pages clean, so that a second fsync
  succeeds although nothing reached the disk. Nothing here tries it again: the old file stays, the new one is deleted,
  and a caller that tries again writes all of it again.
- A failed fsync of the folder is an error too, after the rename: readers see the new file, and after a power cut either
  may be there. Both are whole, so a start can read what it finds; but nothing may follow from the new one.
- A file that root writes (the person on call) gets the folder's owner and group, because processes run as other users.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TEMPORARY = ".new"


class Disk:
    """The operations on a file system that durability takes; a test's disk fails between any two of them."""

    def __init__(self) -> None:
        self.folders: set[Path] = set()
        """Whose names are durable in the folder above, as far as this process knows."""

    def write(self, path: Path, data: bytes, mode: int) -> None:
        """A new file at `path`, synced."""
        with _created(path, mode) as descriptor, _naming(path):
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def sync_folder(self, path: Path) -> None:
        sync(path, os.O_DIRECTORY)

    def make_folder(self, path: Path, mode: int) -> bool:
        """One folder; whether it was made. `FileNotFoundError` where the one above is missing."""
        try:
            path.mkdir(mode=mode)
        except FileExistsError:
            return False
        return True


DISK = Disk()


def replace(path: Path, data: bytes, *, mode: int = 0o644, disk: Disk = DISK) -> None:
    """`data` under the name `path`."""
    replace_all([(path, data)], mode=mode, disk=disk)


def replace_all(files: Iterable[tuple[Path, bytes]], *, mode: int = 0o644, disk: Disk = DISK) -> None:
    """Many files; their folders are synced once, at the end."""
    folders: dict[Path, None] = {}
    for path, data in files:
        make_folder(path.parent, disk=disk)
        temporary = _beside(path)
        disk.write(temporary, data, mode)
        disk.rename(temporary, path)
        folders[path.parent] = None
    for folder in folders:
        disk.sync_folder(folder)


@contextmanager
def replaced(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """A temporary file that takes its place as `path` when the block ends without an error. The block writes into it;
    it does not put another file in its place."""
    make_folder(path.parent)
    temporary = _beside(path)
    with _created(temporary, mode) as descriptor:
        yield temporary
        with _naming(path):
            os.fsync(descriptor)
        if not os.path.samestat(os.fstat(descriptor), temporary.stat()):
            raise OSError(errno.ESTALE, "Another process writes this file too", str(path))
        DISK.rename(temporary, path)
    DISK.sync_folder(path.parent)


def copy(source: Path, path: Path) -> None:
    """A copy of `source` under the name `path`. Never a link: what damages one of them must not damage the other."""
    with replaced(path) as temporary:
        shutil.copyfile(source, temporary)


def rename(finished: Path, path: Path) -> None:
    """A file that its writer has synced, under the name `path` of the same file system."""
    make_folder(path.parent)
    DISK.rename(finished, path)
    DISK.sync_folder(path.parent)


def make_folder(path: Path, *, mode: int = 0o755, disk: Disk = DISK) -> None:
    """A folder and its parents. A folder that is there may be left by a process that died before it synced its name: so
    each is synced once in the life of a process, where the folder above can be read."""
    if path.parent == path:
        return
    try:
        made = disk.make_folder(path, mode)
    except FileNotFoundError:
        make_folder(path.parent, disk=disk)
        made = disk.make_folder(path, mode)
    if made or path not in disk.folders:
        try:
            disk.sync_folder(path.parent)
        except PermissionError:  # a state directory that systemd made: its name was durable before we began
            if made:
                raise
        disk.folders.add(path)


def sync(path: Path, flags: int = 0) -> None:
    """Make what other software wrote survive a power cut: a file, or with `O_DIRECTORY` the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        with _naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def inherit_owner(descriptor: int, folder: Path, mode: int) -> None:
    """As root: gives a new file to the folder's owner and group, with just this mode whatever root's umask."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fchmod(descriptor, mode)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + TEMPORARY)


@contextmanager
def _created(path: Path, mode: int) -> Iterator[int]:
    """The descriptor of a new file; after an error the file is gone."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        inherit_owner(descriptor, path.parent, mode)
        yield descriptor
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Within, an error of the system names this file: write(2) and fsync(2) name none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
