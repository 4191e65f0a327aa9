"""The accepted configuration as the supervisor hands it to the processes: bytes that nobody can change any more.

A process that is started again at night must not read a file that somebody was editing in the evening: the last
accepted configuration counts, from the start or from `stopsign reload`. So its bytes are inherited, in a sealed
memfd(2).
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from resolver.config.schema import Accepted, accept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

USE = "configuration"


def seal(data: bytes) -> int:
    """A descriptor that holds `data` for ever; for who opened it to close."""
    sealed = os.memfd_create("stopsign.yaml", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(sealed, "wb", closefd=False) as file:
        file.write(data)
    fcntl.fcntl(
        sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    )
    return sealed


def unsealed(path: Path, handed: Mapping[str, Sequence[int]]) -> Accepted:
    """What the supervisor handed over as the content of `path`; the file itself where it handed over none."""
    if not handed.get(USE):
        return accept(path)
    (sealed,) = handed[USE]
    return accept(path, os.pread(sealed, os.fstat(sealed).st_size, 0))
