"""Faults put into processes that run: no room for a file, no descriptor left. The kernel makes them, nothing is mocked.

A file-size limit of nothing fails every write to a file, on whatever file system, with EFBIG where a full disk says
ENOSPC: the same branch, without a right to mount. Sockets, and maps of files that are there, go on.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def full_disk(*pids: int) -> Iterator[None]:
    """Nothing can be written by these processes, nor by those that they start meanwhile."""
    with limited(resource.RLIMIT_FSIZE, 0, *pids):
        yield


@contextlib.contextmanager
def limited(what: int, most: int, *pids: int) -> Iterator[None]:
    before = {pid: resource.prlimit(pid, what) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, what, (most, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, what, limits)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """In this process."""
    free = os.dup(0)
    os.close(free)
    with limited(resource.RLIMIT_NOFILE, free, os.getpid()):
        yield


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def state_of(pid: int) -> str:
    """Its letter in proc_pid_stat(5): `Z` for one that ended, `T` for one that stands still; empty: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def resident(pid: int) -> int:
    """Octets of memory that are its own: pages of files (lists, code) do not count."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def can_mount() -> bool:
    """Whether this machine lets a test have a file system of its own."""
    with tempfile.TemporaryDirectory(prefix="stopsign-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        if mounted:
            unmount(Path(folder))
    return mounted


@contextlib.contextmanager
def small_tmpfs(folder: Path, size: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        yield
    finally:
        unmount(folder)


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Takes all room that there is."""
    path = folder / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return path
