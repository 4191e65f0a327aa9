"""The steward's hand on the log: opened when it can be, and never a reason for DNS to stop.

Enters: events. Leaves: durable leaves, or `LedgerError`; then its change must not happen. Rules: a log
that cannot be opened now (a full disk, another writer) is tried again at the next event. What is only noted (`note`)
and could not be written waits in memory, and comes before the next leaf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blocklists.errors import why
from resolver.base.errors import ResolverError
from resolver.log.writer import Event, Log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Event", "Ledger", "LedgerError"]


MOST_LATE = 10_000
"""Events that wait for a log that cannot be written; what comes beyond is lost."""


class LedgerError(ResolverError):
    """Nothing can be added to the log; what depends on a leaf does not happen."""


class Ledger:
    """Appends to the log, from one thread at a time."""

    def __init__(self, open_log: Callable[[], Log]) -> None:
        self._open, self._log = open_log, None  # type: tuple[Callable[[], Log], Log | None]
        self.trouble: str | None = None
        """Why the last append failed; None since one succeeded."""
        self._late: list[Event] = []

    def append(self, events: Sequence[Event]) -> range:
        """Indexes of the leaves, which are durable on return."""
        try:
            log = self._caught_up()
            indexes = log.append_many(events)
        except (ResolverError, OSError) as error:
            self.trouble = _unwritten(error)
            raise LedgerError(self.trouble, hint=getattr(error, "hint", None)) from error
        self.trouble = None
        return indexes

    def note(self, events: Sequence[Event], alarm: Callable[[str, str | None], None]) -> None:
        """Leaves about what blocks nothing: a log out of order is an alarm, stops nothing, and gets them later."""
        try:
            self.append(events)
        except LedgerError as error:
            alarm("log", str(error))
            self._late = [*self._late, *events][:MOST_LATE]

    def erase(self, index: int, reason: str) -> int:
        """Forget the detail of a leaf; the index of the leaf that says so."""
        try:
            return self._opened().erase(index, reason)
        except OSError as error:
            raise LedgerError(_unwritten(error)) from error

    def proof(self, index: int) -> bytes:
        """That a leaf is in the log, with its detail (`resolver.log.proof`)."""
        try:
            return self._opened().proof(index)
        except (ResolverError, OSError) as error:
            raise LedgerError(f"leaf {index} cannot be proved: {why(error)}") from error

    def signed(self, heading: str, text: str) -> bytes:
        """A note under the log's key that is no leaf and no checkpoint (`Log.signed`)."""
        try:
            return self._opened().signed(heading, text)
        except (ResolverError, OSError) as error:
            raise LedgerError(f"nothing can be signed: {why(error)}") from error

    def heartbeat(self, detail: Mapping[str, Any]) -> None:
        """A leaf an hour, however often it is called; and one as soon as the log can be written again."""
        try:
            self._caught_up().heartbeat(detail, again=self.trouble is not None)
        except (ResolverError, OSError) as error:
            self.trouble = _unwritten(error)
        else:
            self.trouble = None

    @property
    def size(self) -> int | None:
        """Leaves under the newest checkpoint; None while the log is not open."""
        return None if self._log is None else int(self._log.checkpoint.split(b"\n")[1])

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _caught_up(self) -> Log:
        """The log, with what was noted while it could not be written."""
        log = self._opened()
        if self._late:
            log.append_many(self._late)
            self._late = []
        return log

    def _opened(self) -> Log:
        if self._log is None:
            self._log = self._open()
        return self._log


def _unwritten(error: Exception) -> str:
    return f"the log cannot be written: {why(error)}"
