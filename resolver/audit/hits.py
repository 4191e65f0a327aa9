"""From a worker to the steward: how often which entry stopped a query since the last batch.

Enters: (list, reference, hits), a few at a time, and how often each list stopped one. Leaves: batches, each counted
once. Rules: a worker appends lines to a file on tmpfs, which costs it next to nothing, and hands the file over by a
rename once the one before it was taken; so a dead steward costs two bounded files and never a worker's time. A worker
that ends hands over the rest; one that is killed loses what it had not handed over. What finds no place is counted as
dropped. Nothing here knows who asked.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MOST = 16 << 20  # bytes of lines that wait in one worker
MAX_FILE = MOST + (1 << 20)
SUFFIX = ".hits"

Hit = tuple[str, str, int]
"""List, reference, how often."""


class Spool:
    """One worker's waiting hits."""

    def __init__(self, folder: Path, worker: int) -> None:
        self._path = folder / f"{worker}-{os.getpid()}{SUFFIX}"
        self._file: TextIO | None = None
        self._size = 0
        self._lists: Counter[str] = Counter()
        self._dropped = 0

    def add(self, hits: Iterable[Hit]) -> None:
        """Hits by entry. Raises `OSError`; what was not written is counted as dropped."""
        hits = list(hits)
        lines = "".join(f"{name} {reference} {count}\n" for name, reference, count in hits)
        if self._size + len(lines) > MOST:
            self._dropped += sum(count for _, _, count in hits)
            return
        try:
            self._opened().write(lines)
        except OSError:
            self._dropped += sum(count for _, _, count in hits)
            raise
        self._size += len(lines)

    def total(self, lists: Mapping[str, int], dropped: int = 0) -> None:
        """Blocks by list, those included whose entries found no place (`dropped`)."""
        self._lists.update({name: count for name, count in lists.items() if count})
        self._dropped += dropped

    def flush(self, *, last: bool = False) -> None:
        """Hands over what waits, if what was handed over before is gone; `last`: in any case, the worker ends."""
        path = self._path
        if not self._lists or (path.exists() and not last):
            return
        if path.exists():
            path = path.with_name(f"last-{path.name}")
        file = self._opened()
        about = {"id": secrets.token_hex(8), "lists": self._lists, "dropped": self._dropped}
        file.write(json.dumps(about) + "\n")
        file.close()
        self._part.replace(path)
        self._file, self._size, self._dropped = None, 0, 0
        self._lists.clear()

    @property
    def _part(self) -> Path:
        return self._path.with_suffix(".part")

    def _opened(self) -> TextIO:
        if self._file is None:
            self._file = self._part.open("w", encoding="ascii")
        return self._file


@dataclass(frozen=True)
class Batch:
    """What one worker handed over. Its file is to be removed once it is counted for good."""

    path: Path
    id: str
    hits: tuple[Hit, ...]
    lists: Mapping[str, int]
    dropped: int


def waiting(folder: Path) -> list[Batch]:
    """What all workers handed over and nobody has counted. What cannot be read is removed: it can only be a file cut
    short by a full tmpfs, and would be there for ever."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found.append(_read(path))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, KeyError, AttributeError):
            path.unlink(missing_ok=True)
    return found


def _read(path: Path) -> Batch:
    with path.open("rb") as file:
        lines = file.read(MAX_FILE).decode("ascii").splitlines()
    about = json.loads(lines.pop() if lines else "")
    counted: Counter[tuple[str, str]] = Counter()
    for line in lines:
        name, reference, count = line.split(" ")
        counted[name, reference] += int(count)
    hits = tuple((name, reference, count) for (name, reference), count in counted.items())
    lists = {str(name): int(count) for name, count in about["lists"].items()}
    return Batch(path, str(about["id"]), hits, lists, int(about["dropped"]))
