"""From a worker to the steward: how often each entry met a query, in a file that outlives the worker.

Enters: the core counts into a mapped file on tmpfs, one cell an entry of the compiled list. Leaves: batches, each
counted once. Rules:

- A file is locked (flock) for as long as its worker counts in it. A free lock proves that nothing is added any more,
  however the worker ended: a killed worker loses nothing that it had counted.
- A worker starts a new file with every compiled list, and regularly once the last one was collected. A dead steward
  costs two bounded files a worker and no worker's time.
- All pages of a file are allocated before it is mapped: a full tmpfs is an error here, never a signal there.
- Nothing here knows the client or the name it asked for.
- A worker parses strangers' packets: a file that no worker of ours can have written is removed and complained of; one
  that cannot be opened is complained of, and stays. The others count all the same.

A file is a line of JSON (`Header`) padded with spaces, then little endian: a u64 of all that was met, 64 u64 of what
each list stopped, and a u32 an entry.
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
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from blocklists.text import shown
from resolver.base import atomic
from resolver.ipc.told import Count, Told, parse
from resolver.policy.description import Generation

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
MOST = (1 << 53) - 1
"""What a file, a day or a month counts at most: every reader of JSON has it exactly, and SQLite the sum of two."""

Hit = tuple[str, str, int]
"""List, reference, how often."""
_ListName = Annotated[str, Field(pattern=r"^[a-z0-9+-]{1,80}$")]


class Header(Told):
    """What a file says of itself. `lists`: their names, by the core's indices."""

    generation: Count
    lists: Annotated[tuple[_ListName, ...], Field(max_length=LISTS)]
    entries: Annotated[int, Field(ge=0, le=LARGEST // 4)]


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
    """The compiled list that the cells belong to; None: it is gone, or another has its number."""

    @property
    def id(self) -> str:
        return self.path.stem

    def hits(self, *, monitored: bool = True) -> Iterator[Hit]:
        """By entry, if the list is known. `monitored`: with entries that stop nothing."""
        if self.opened is None:
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
        return sum(self.cells) if self.opened is None else 0


class WrongFileError(ValueError):
    """No worker of ours can have written that."""


def waiting(
    places: Places, opened: Callable[[int], CompiledList | None], complain: Callable[[Exception], None]
) -> Iterator[Batch]:
    """Finished files, one at a time. `opened`: the compiled list of a generation. `complain` hears of each file that
    cannot be read (`OSError`), and of each that was removed (`WrongFileError`)."""
    folder = places.workers
    _remove_unborn(folder)
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            with atomic.opened(path, LARGEST) as file:
                if not _is_finished(file.fileno()):
                    continue
                data = file.read(LARGEST)
        except FileNotFoundError:
            continue
        except OSError as error:
            complain(error)
            continue
        try:
            batch = _parse(path, data, opened)
        except ValueError as error:
            path.unlink(missing_ok=True)
            worker = shown(path.stem.partition("-")[0], most=20)
            complain(WrongFileError(f"worker {worker}: {error} ({shown(path.name)})"))
        else:
            yield batch


def generations(places: Places) -> set[int]:
    """The generations that files count for, finished or not."""
    found = set()
    for path in places.workers.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError, ValueError), atomic.opened(path, LARGEST) as file:
            found.add(parse(file.readline(MAX_HEADER), Header).generation)
    return found


def tell_operator(places: Places, day: str, hits: Mapping[str, int]) -> None:
    """Replace `run_dir/hits.json`, the day's hits by reference. Raises `OSError`."""
    data = json.dumps({"day": day, "entries": hits}).encode()
    atomic.replace(places.run_dir / "hits.json", data, mode=0o600)


def _remove_unborn(folder: Path) -> None:
    """A worker that is killed while it makes a file leaves one without counts."""
    for path in folder.glob(f"*{UNBORN}"):
        with contextlib.suppress(OSError), atomic.opened(path, LARGEST) as file:  # what is no file of ours may stay
            if path.stat().st_mtime < time.time() - 60 and _is_finished(file.fileno()):
                path.unlink()


def _is_finished(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse(path: Path, data: bytes, opened: Callable[[int], CompiledList | None]) -> Batch:
    line, newline, counted = data.partition(b"\n")
    if not newline or len(line) >= MAX_HEADER:
        raise ValueError("it has no header")
    header = parse(line, Header)
    if len(counted) != TOTALS + 4 * header.entries:
        raise ValueError("it is not as long as it says")
    if len(set(header.lists)) != len(header.lists):
        raise ValueError("it names a list twice")
    totals, cells = array("Q", counted[:TOTALS]), array("I", counted[TOTALS:])
    if sys.byteorder == "big":
        totals.byteswap()
        cells.byteswap()
    if max(totals) > MOST or sum(cells) > MOST:
        raise ValueError("it counts more than can have been asked")
    found = opened(header.generation)
    if found is not None and (found.entries != header.entries or Generation.parse(found.meta).names != [*header.lists]):
        found = None
    return Batch(path, header.generation, dict(zip(header.lists, totals[1:], strict=False)), cells, found)
