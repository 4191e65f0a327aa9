"""Files that are always wholly old or wholly new, and survive a power cut.

Enters: bytes, or a finished file. Leaves: a file under its name. Rules: temporary file, fsync, rename, fsync of the
folder. The temporary file's name is fixed, so that any number of deaths leaves at most one. A file that root writes
(the person on call) gets the folder's owner and group, because the processes run as other users.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from resolver.base.errors import naming

if TYPE_CHECKING:
    from pathlib import Path


def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """`data` under the name `path`."""
    make_folder(path.parent)
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with naming(path), os.fdopen(descriptor, "wb") as file:
        belong(descriptor, path.parent, mode)
        file.write(data)
    put(temporary, path)


def copy(source: Path, path: Path) -> None:
    """A copy of `source` under the name `path`. Never a link: what damages one of them must not damage the other."""
    make_folder(path.parent)
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    shutil.copyfile(source, temporary)
    put(temporary, path)


def belong(descriptor: int, folder: Path, mode: int) -> None:
    """As root: gives a file just made to the folder's owner and group, whatever root's own umask."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fchmod(descriptor, mode)


def put(finished: Path, path: Path) -> None:
    """The file `finished`, written by somebody else, under the name `path` of the same folder's file system."""
    sync(finished, os.O_RDONLY)
    finished.rename(path)
    sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def make_folder(path: Path, *, mode: int = 0o755) -> None:
    """A folder and those above it, each durable in the one above."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=mode, exist_ok=True)
    sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def sync(path: Path, flags: int) -> None:
    """Make a file, or with `O_DIRECTORY` the names in a folder, survive a power cut. Raises `OSError` with the path."""
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
