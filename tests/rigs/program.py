"""Another's server as a child process, ended with its test."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def program(folder: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    path = find_program(str(command[0]))
    assert path
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen([path, *map(str, command[1:])], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
