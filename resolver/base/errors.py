"""The one error root of `resolver`. Every message is a sentence that an operator can act on."""

from __future__ import annotations


class ResolverError(Exception):
    """Something at the provider's side is wrong; `hint` says what would be right."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
