"""Files on the tmpfs that are always wholly old or wholly new.

Enters: bytes, or a path. Leaves: a file under its name, which a reboot deletes; or the content of one. Rules:

- A file is written beside its name and renamed. There is no fsync. Without room the old file stays, and no temporary
  file is left. What `kill -9` leaves stays until a reboot: files that are large are not written in this way.
- The temporary file's name is random: two processes may write the same name, and who may write in the folder cannot
  put anything in the way.
- Owner and group are set as in `durable`.
- Processes that parse strangers' packets write to `run_dir`, and root reads it: a pipe there must not hang a reader, a
  link must not redirect it, and an endless file must not fill its memory.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING, BinaryIO

from blocklists.durable import inherit_owner

if TYPE_CHECKING:
    from pathlib import Path


def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """`data` under the name `path`."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            inherit_owner(descriptor, path.parent, mode)
            file.write(data)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def update(path: Path, data: bytes) -> None:
    """As `replace`, where the file holds something else or is not there."""
    try:
        known = read(path, len(data))
    except OSError:  # none, or another
        known = b""
    if known != data:
        replace(path, data)


def opened(path: Path, largest: int) -> BinaryIO:
    """The file under the name `path`, to be read. `OSError` where there is none, or something else than a file of
    `largest` octets at most."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"No regular file of {largest:,} octets at most", str(path))
    return os.fdopen(descriptor, "rb")


def read(path: Path, largest: int) -> bytes:
    """What it holds; no more than `largest` octets, though it may grow meanwhile."""
    with opened(path, largest) as file:
        return file.read(largest)
