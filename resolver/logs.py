"""What the processes say to the journal, or to a terminal.

Enters: log records. Leaves: lines on standard error. Rules: under journald each line carries its priority
(sd-daemon(3)), so that `journalctl -p err` works; what is said is about this host, its lists and its upstreams, never
about a client.
"""

from __future__ import annotations

import logging
import os
import sys

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))


class Journal(logging.Formatter):
    """`<3>stopsign.dns: the text`; one record is one line, whatever stands in it."""

    def __init__(self, *, priorities: bool) -> None:
        super().__init__("%(name)s: %(message)s" if priorities else "%(asctime)s %(name)s: %(levelname)s: %(message)s")
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._priorities:
            return text
        number = next(priority for level, priority in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{number}>{line}" for line in text.splitlines())


def to_standard_error(level: int = logging.INFO) -> None:
    """Sends every record of this process to standard error; called once, when a process starts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Journal(priorities="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=level, handlers=[handler], force=True)
