"""The one error root of `blocklists`. Every message is a sentence that a person at a desk can act on."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from blocklists.text import shown

if TYPE_CHECKING:
    from pathlib import Path

_CONNECT = re.compile(r"\[Errno (\d+)\] Connect call failed \([^)]*\)")  # asyncio's, in place of the system's words
MESSAGE = 600
"""Characters of a refusal at most: much of it was written by a host or a file that is not believed."""


class BlocklistError(Exception):
    """Something about a list is wrong; `hint`, where given, says what would be right."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class VerifyError(BlocklistError):
    """A list is refused; what was verified before stays. `reason` is a code for programs, the message for people.

    | reason | what it says |
    |---|---|
    | `unreachable`, `missing`, `deadline`, `too-large` | it could not be fetched: at all, in time, within its bounds |
    | `malformed`, `wrong-list` | what came is not in the form, or is another list |
    | `signature-threshold` | too few valid signatures |
    | `threshold-too-low`, `duplicate-key`, `key-reuse`, `key-type` | the keys are not what two distinct people hold |
    | `rollback`, `expired`, `hash-mismatch`, `state-hash` | older than known, too old, not what was signed |
    | `reference-reuse` | a reference stands for another name, match or basis than before |
    | `storage` | this machine's own disk |
    | `seal-key`, `not-a-recipient`, `seal-broken` | a sealed list does not open (`sealed.errors`) |
    | `sealing` | a list that was readable comes sealed, or the reverse |
    """

    def __init__(self, reason: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(shown(message, most=MESSAGE), hint=hint and shown(hint, most=MESSAGE))
        self.reason = reason


def why(error: Exception, of: Path | str | None = None) -> str:
    """The reason as part of a sentence: the system's words without its number, and the file where the sentence does not
    name it already (`of`)."""
    if not isinstance(error, OSError) or not error.strerror or _CONNECT.search(str(error)):
        text = _CONNECT.sub(lambda found: os.strerror(int(found[1])), str(error)) or type(error).__name__
        return text if of is None else text.removeprefix(f"{of}: ")
    files = [str(file) for file in (error.filename, error.filename2) if file is not None]
    return error.strerror if files in ([], [str(of)]) else f"{error.strerror}: {' -> '.join(files)}"
