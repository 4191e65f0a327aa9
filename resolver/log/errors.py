"""What can be wrong with a log, as types. `AuditError` is a `ResolverError`: the command line prints it and exits 2.

`UntrueError` is different: something was checked and found wanting, and the command line exits 1 on it.
"""

from __future__ import annotations

from blocklists.text import shown
from resolver.base.errors import ResolverError

MESSAGE = 1000
"""Characters at most: much of a message may come from a log that is not believed."""


class AuditError(ResolverError):
    """The log cannot be opened, read or written."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(shown(message, most=MESSAGE), hint=hint and shown(hint, most=MESSAGE))


class LogBusyError(AuditError):
    """Another process is the writer; there is only ever one."""


class MissingError(AuditError):
    """A file of the log is not there."""


class MalformedError(AuditError):
    """Bytes that do not have the form that the specification asks for."""


class UntrueError(AuditError):
    """Checked and found wanting: a hash, a signature or a proof says otherwise. `leaf`: the first bad one, if known."""

    def __init__(self, message: str, *, hint: str | None = None, leaf: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.leaf = leaf
