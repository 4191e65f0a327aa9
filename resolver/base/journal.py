"""Log records, to the journal or to a terminal.

Enters: log records. Leaves: structured entries of systemd's journal where this process writes to one, else lines on
standard error. Rules:
- An entry has the text (MESSAGE), its priority, the place in the code, LOGGER, and the fields of `about(...)` as
  STOPSIGN_LIST, STOPSIGN_GENERATION and so on, so that `journalctl -p err STOPSIGN_LIST=gambling` works.
- An entry is about this host, its lists and its upstreams, never about a client.
- Logging never waits: an entry that the journal does not accept at once is dropped, and the next one counts the dropped
  ones (STOPSIGN_LOST).
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
JOURNAL = "/run/systemd/journal/socket"
_LONGEST = 48 * 1024  # octets of a message; journald takes a longer one only as a file


def about(**fields: object) -> dict[str, Any]:
    """For `extra` of a log call: fields of the entry beside its text, `list="gambling"` as STOPSIGN_LIST=gambling."""
    return {"stopsign": fields}


def _priority(record: logging.LogRecord) -> int:
    return next(priority for level, priority in _PRIORITIES if record.levelno >= level)


class Journal(logging.Handler):
    """Entries by journald's native protocol (systemd.journal-fields(7), "Native Journal Protocol")."""

    def __init__(self, path: str = JOURNAL) -> None:
        super().__init__()
        self._lost = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {
            "MESSAGE": self.format(record)[:_LONGEST],
            "PRIORITY": _priority(record),
            "SYSLOG_IDENTIFIER": "stopsign",
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,
            "CODE_FUNC": record.funcName,
        }
        more: Mapping[str, object] = getattr(record, "stopsign", {})
        fields |= {f"STOPSIGN_{name.upper()}": value for name, value in more.items()}
        if self._lost:
            fields["STOPSIGN_LOST"] = self._lost
        try:
            self._socket.send(b"".join(_field(name, str(value)) for name, value in fields.items()))
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    def close(self) -> None:
        self._socket.close()
        super().close()


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    if b"\n" in data:
        return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


def is_journal(environment: Mapping[str, str], descriptor: int = 2) -> bool:
    """`descriptor` is the stream that systemd connected to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    given = environment.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return given == f"{status.st_dev}:{status.st_ino}"


def to_standard_error(level: int = logging.INFO) -> None:
    """Send every record of this process to the journal if standard error leads there, else to standard error; called
    once, when a process starts."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(levelname)s: %(message)s"))
    if is_journal(os.environ):
        try:
            handler = Journal()
        except OSError as wrong:
            sys.stderr.write(f"<4>stopsign: {JOURNAL} cannot be used ({wrong.strerror})\n")
    logging.basicConfig(level=level, handlers=[handler], force=True)
