"""The one error root of `blocklists`. Every message is a sentence that a person at a desk can act on."""

from __future__ import annotations


class BlocklistError(Exception):
    """Something about a list is wrong; `hint`, where given, says what would be right."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
