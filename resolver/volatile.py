"""Files on the tmpfs that are wholly old or wholly new: what one process says to all who look.

Enters: bytes. Leaves: a file under its name, gone with a reboot. Rules: written beside and renamed, and no disk is
waited for; where there is no room, the old file stays and nothing is left beside it; the temporary file's name is the
process's own, so that two may write under the same name. Whose it is, is as with what is durable.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from resolver.durable import belong

if TYPE_CHECKING:
    from pathlib import Path


def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """`data` under the name `path`."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            belong(descriptor, path.parent, mode)
            file.write(data)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
