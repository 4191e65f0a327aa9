"""Sixty an hour: the bound on what says of a name whether a sealed list holds it.

Enters: the time of each answer, as the caller's clock has it. Leaves: how many more there may be. Rule: a clock that
is set back gives nothing back, and one that was far ahead costs nothing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT, HOUR = 60, 3600.0


class Hourly:
    """What was taken within the hour."""

    def __init__(self, taken: Iterable[float] = ()) -> None:
        self._taken = deque(taken, maxlen=LIMIT)

    @property
    def taken(self) -> tuple[float, ...]:
        """When; what a restart is to know."""
        return tuple(self._taken)

    def room(self, now: float) -> int:
        """How many more there may be now."""
        return LIMIT - sum(abs(now - at) < HOUR for at in self._taken)

    def take(self, now: float, count: int = 1) -> None:
        self._taken.extend([now] * count)
