"""What a try found: one thing that does not work here and now."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`fatal`: starting would fail, or a list could not be followed. `denied`: to the user who tried; the users of the
    processes may be others."""

    key: str
    message: str
    fatal: bool = True
    denied: bool = False

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" + ("" if self.fatal else " (a warning)")
