"""Compiled lists that are no longer live, kept until their counts have arrived.

Enters: the live list, before another replaces it. Leaves: the compiled list of a generation, by its number. Rule: a
worker counts by an entry's number, which only that compiled list can resolve. So the list stays under a second name (a
hard link on the tmpfs) until no file of counts refers to it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from resolver._core import CoreError
from resolver.policy import look_up
from resolver.policy.description import Generation

if TYPE_CHECKING:
    from pathlib import Path

    from resolver._core import CompiledList
    from resolver.base.paths import Places

GRACE = 120.0  # seconds in which a worker that starts may still open the list before


def keep(places: Places, generation: int) -> None:
    """The live list is about to be replaced. One that cannot be kept costs the month's bands some counts, no more."""
    with contextlib.suppress(OSError):
        places.generations.mkdir(exist_ok=True)
        _path(places, generation).hardlink_to(places.current)


class Generations:
    """Opens them, each once. Not for several threads at a time."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._live: tuple[tuple[int, int], int] | None = None
        self._opened: dict[int, CompiledList] = {}

    def open(self, generation: int) -> CompiledList | None:
        """That generation's compiled list; `None`: it is gone."""
        self._look_at_live()
        if generation not in self._opened:
            with contextlib.suppress(OSError, CoreError):
                self._opened[generation] = look_up.opened(_path(self._places, generation))
        return self._opened.get(generation)

    def drop_unused(self, used: set[int], now: float) -> None:
        """Lets go of all that nobody counts for any more."""
        wanted = used | ({self._live[1]} if self._live else set())
        self._opened = {number: opened for number, opened in self._opened.items() if number in wanted}
        for path in self._places.generations.glob("*.list"):
            with contextlib.suppress(OSError):  # the next look will do
                if int(path.stem) not in used and path.stat().st_ctime < now - GRACE:
                    path.unlink()

    def _look_at_live(self) -> None:
        with contextlib.suppress(OSError, CoreError, ValueError, KeyError, TypeError):
            status = self._places.current.stat()
            seen = (status.st_ino, status.st_mtime_ns)
            if self._live is None or seen != self._live[0]:
                opened = look_up.opened(self._places.current)
                number = Generation.parse(opened.meta).generation
                self._opened[number], self._live = opened, (seen, number)


def _path(places: Places, generation: int) -> Path:
    return places.generations / f"{generation}.list"
