"""The error of sealed things. No message of it holds a name, a digest or a key: it travels to logs and tickets."""

from __future__ import annotations

from blocklists.errors import BlocklistError


class SealError(BlocklistError):
    """What is sealed cannot be opened, made or believed; the message never says what is in it.

    | reason | what it says |
    |---|---|
    | `seal-key` | there is no key, it is none, or others can read it |
    | `not-a-recipient` | the list is sealed for others |
    | `seal-broken` | a stanza, a chunk or the names' key was changed, cut off or put elsewhere |
    """

    def __init__(self, reason: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
