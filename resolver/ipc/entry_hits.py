"""From a worker to the steward: how often each entry met a query, in a file that outlives the worker.

Enters: the core counts into a mapped file on tmpfs, one cell an entry of the compiled list. Leaves: batches, each
counted once. Rules:

- A file is locked (flock) for as long as its worker counts in it. A free lock proves that nothing is added any more,
  however the worker ended: a killed worker loses nothing that it had counted.
- A worker starts a new file with every compiled list, and regularly once the last one was collected. A dead steward
  costs two bounded files a worker and no worker's time.
- All pages of a file are allocated before it is mapped: a full tmpfs is an error here, never a signal there.
- Nothing here knows the client or the name it asked for.

A file is a line of JSON (`generation`, names of the `lists`, number of `entries`) padded with spaces, then little
endian: a u64 of all that was met, 64 u64 of what each list stopped, and a u32 an entry.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sys
import time
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.base import atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from resolver._core import CompiledList
    from resolver.base.paths import Places

SUFFIX, UNBORN = ".hits", ".part"
LISTS = 64
ALIGNED = 64
MAX_HEADER = 1 << 16
LARGEST = 1 << 30
TOTALS = 8 * (1 + LISTS)

Hit = tuple[str, str, int]
"""List, reference, how often."""


class Cells:
    """A file that this worker counts in, until `close`."""

    @classmethod
    def create(cls, places: Places, worker: int | str, *, generation: int, lists: Sequence[str], entries: int) -> Cells:
        """All zero; whole and locked before it has its name. Blocking. Raises `OSError`."""
        told = json.dumps({"generation": generation, "lists": list(lists), "entries": entries}).encode("ascii")
        header = told + b" " * (-(len(told) + 1) % ALIGNED) + b"\n"
        path = places.workers / f"{worker}-{os.getpid()}-{secrets.token_hex(8)}{SUFFIX}"
        beside = path.with_suffix(UNBORN)
        path.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            with os.fdopen(os.dup(held), "wb") as file:
                file.write(header)
                left = TOTALS + 4 * entries
                while left:
                    left -= file.write(bytes(min(left, 1 << 20)))
            beside.rename(path)
        except BaseException:
            os.close(held)
            beside.unlink(missing_ok=True)
            raise
        return cls(path, len(header), held)

    def __init__(self, path: Path, at: int, held: int) -> None:
        self.path, self.at = path, at
        self._held = held

    @property
    def met(self) -> int:
        """What was counted so far."""
        return int.from_bytes(os.pread(self._held, 8, self.at), "little")

    def put(self, hits: Mapping[tuple[int, int], int]) -> None:
        """Put counts by list and number of the entry into a file without counts."""
        lists = Counter[int]()
        for (of, number), count in hits.items():
            lists[of] += count
            os.pwrite(self._held, min(count, 0xFFFF_FFFF).to_bytes(4, "little"), self.at + TOTALS + 4 * number)
        for of, count in ((-1, lists.total()), *lists.items()):
            os.pwrite(self._held, count.to_bytes(8, "little"), self.at + 8 * (1 + of))

    def close(self) -> None:
        """Release the file; remove it if it counted nothing."""
        if not self.met:
            self.path.unlink(missing_ok=True)
        os.close(self._held)


@dataclass(frozen=True)
class Batch:
    """The counts of one file, to be removed once they are stored."""

    path: Path
    generation: int
    lists: Mapping[str, int]
    """Stopped queries by list."""
    cells: array[int]
    opened: CompiledList | None
    """The compiled list that the cells belong to; None: it is gone."""

    @property
    def id(self) -> str:
        return self.path.stem

    def hits(self, *, monitored: bool = True) -> Iterator[Hit]:
        """By entry, if the list is known. `monitored`: with entries that stop nothing."""
        if self.opened is None or self.opened.entries != len(self.cells):
            return
        names = list(self.lists)
        for number, count in enumerate(self.cells):
            if count:
                of = self.opened.entry(number)
                if monitored or of.action != "monitor":
                    yield names[of.list], of.reference, count

    @property
    def dropped(self) -> int:
        """Hits whose entries are unknown now."""
        known = self.opened is not None and self.opened.entries == len(self.cells)
        return 0 if known else sum(self.cells)


def waiting(places: Places, opened: Callable[[int], CompiledList | None]) -> Iterator[Batch]:
    """Finished files, one at a time. `opened`: the compiled list of a generation. A file that cannot be read is
    removed, since it would stay for ever."""
    folder = places.workers
    _remove_unborn(folder)
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            with atomic.opened(path, LARGEST) as file:
                if not _is_finished(file.fileno()):
                    continue
                data = file.read()
        except FileNotFoundError:
            continue
        try:
            yield _parse(path, data, opened)
        except (ValueError, TypeError, KeyError):
            path.unlink(missing_ok=True)


def generations(places: Places) -> set[int]:
    """The generations that files count for, finished or not."""
    found = set()
    for path in places.workers.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError), atomic.opened(path, LARGEST) as file:
            found.add(int(json.loads(file.readline(MAX_HEADER))["generation"]))
    return found


def tell_operator(places: Places, day: str, hits: Mapping[str, int]) -> None:
    """Replace `run_dir/hits.json`, the day's hits by reference. Raises `OSError`."""
    data = json.dumps({"day": day, "entries": hits}).encode()
    atomic.replace(places.run_dir / "hits.json", data, mode=0o600)


def _remove_unborn(folder: Path) -> None:
    """A worker that is killed while it makes a file leaves one without counts."""
    for path in folder.glob(f"*{UNBORN}"):
        with contextlib.suppress(FileNotFoundError), atomic.opened(path, LARGEST) as file:
            if path.stat().st_mtime < time.time() - 60 and _is_finished(file.fileno()):
                path.unlink()


def _is_finished(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse(path: Path, data: bytes, opened: Callable[[int], CompiledList | None]) -> Batch:
    header, newline, counted = data.partition(b"\n")
    about = json.loads(header)
    totals, cells = array("Q", counted[:TOTALS]), array("I", counted[TOTALS:])
    if sys.byteorder == "big":
        totals.byteswap()
        cells.byteswap()
    if not newline or len(totals) != 1 + LISTS or len(cells) != about["entries"] or len(about["lists"]) > LISTS:
        raise ValueError("not as long as it says")
    lists = {str(name): stopped for name, stopped in zip(about["lists"], totals[1:], strict=False)}
    generation = int(about["generation"])
    return Batch(path, generation, lists, cells, opened(generation))
