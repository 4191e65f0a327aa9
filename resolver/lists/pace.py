"""Whether the clock may be believed: one that went ahead against the uptime is not, for some minutes.

Enters: the clock and the uptime, at each tick. Leaves: why what cannot be undone waits, or None. Rules: a clock that
goes back to what it was within `DOUBT` has changed nothing for good; one that stays ahead is right from then on, as
after a machine slept or its clock was set. A clock that goes back makes nothing due, so nothing waits: neither then
nor when it returns within `DOUBT`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.base.timestamps import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

AHEAD = 300.0  # seconds that a clock may be set ahead, as NTP does at a start, without a word
DOUBT = 300.0


class Pace:
    """For one thread."""

    def __init__(self, clock: Callable[[], float], uptime: Callable[[], float]) -> None:
        self._clock, self._uptime = clock, uptime
        self._usual = clock() - uptime()
        self._until: float | None = None
        self._doubt: str | None = None

    def look(self) -> str | None:
        """Why the clock is not believed now; None: it is."""
        now, uptime = self._clock(), self._uptime()
        ahead = now - uptime - self._usual
        if abs(ahead) <= AHEAD or (self._until is not None and uptime >= self._until):
            self._usual, self._until, self._doubt = now - uptime, None, None
        elif ahead < 0:
            self._until, self._doubt = self._until or uptime + DOUBT, None
        elif self._doubt is None:
            self._until = uptime + DOUBT
            self._doubt = (
                f"the clock went ahead by {ahead / 60:,.0f} minutes to {as_text(now)}: what comes due by it waits "
                f"{DOUBT / 60:.0f} minutes, in case it goes back: see timedatectl"
            )
        return self._doubt
