"""What should be live is brought up; what cannot be is tried again, ever more rarely.

Enters: a `Plan`. Leaves: the live generation, and an alarm for as long as it is another one than planned. Rules: what
was live goes on whatever fails; an entry that is to block again, and cannot, keeps none that is to be off from it; the
next attempt waits by the uptime, so that a clock that is set back does not hold it up.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from blocklists.errors import why
from resolver._core import CoreError
from resolver.base.journal import about
from resolver.lists import activate
from resolver.lists.ledger import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resolver.base.paths import Places
    from resolver.lists.compile import Off, Plan
    from resolver.lists.ledger import Ledger

say = logging.getLogger("stopsign.lists")

FIRST_RETRY, LAST_RETRY = 5.0, 600.0


class Settling:
    """Called from the register's thread alone."""

    def __init__(
        self,
        places: Places,
        ledger: Ledger,
        alarm: Callable[[str, str | None], None],
        uptime: Callable[[], float],
    ) -> None:
        self._places, self._ledger, self._alarm, self._uptime = places, ledger, alarm, uptime
        self._live: activate.Live | None = None
        """What is live and durable; None: not known, or not so."""
        self.generation, self.compiled = 0, ""
        self.off: Mapping[str, Off] = {}
        """What is suspended in what is live, by list."""
        self.running: dict[str, tuple[int, str]] = {}
        """Version and state of each list, as it is live."""
        self._retry_at, self._patience = 0.0, FIRST_RETRY

    def is_due(self) -> bool:
        """Compiling a million entries against a full disk every few seconds would help nobody."""
        return self._live is not None or self._uptime() >= self._retry_at

    @property
    def is_settled(self) -> bool:
        """Whether what is live is what should be, and durable."""
        return self._live is not None

    def settle(self, make_plan: Callable[[Mapping[str, Off] | None], Plan], now: float) -> bool:
        """Make live what should be live now. What cannot be done is an alarm. `make_plan` is given what is to stay off
        that is to block again. Whether documents can be compiled."""
        try:
            planned = make_plan(None)
            done = activate.bring_up(planned, self._places, self._ledger, now=now, live=self._live)
        except (LedgerError, CoreError, OSError) as error:
            self._live = None
            self._alarm("activation", f"the new generation is not active: {why(error)}")
            self._wait()
            with contextlib.suppress(LedgerError, CoreError, OSError):  # the alarm is there
                planned, less = make_plan(None), make_plan(self.off)
                if less.lists != planned.lists:
                    self._is_live(less, activate.bring_up(less, self._places, self._ledger, now=now))
            return not isinstance(error, CoreError)
        self._alarm("activation", done.trouble and f"active, but not for after a reboot: {done.trouble}")
        self._live = None if done.trouble else done.live
        if done.trouble:
            self._wait()
        else:
            self._patience = FIRST_RETRY
        self._is_live(planned, done)
        return True

    def _is_live(self, planned: Plan, done: activate.Outcome) -> None:
        self.generation, self.compiled = done.live.generation, done.live.compiled
        self.off = planned.off
        self.running = {part.name: (part.version, part.state) for part in done.live.lists}
        if done.changed:
            extra = about(generation=done.live.generation, entries=planned.entries)
            say.info("generation %d is live: %d entries", done.live.generation, planned.entries, extra=extra)

    def _wait(self) -> None:
        self._retry_at, self._patience = self._uptime() + self._patience, min(self._patience * 2, LAST_RETRY)
