"""A finding: one thing that does not work here and now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resolver.config.reader import Lines, Problem


@dataclass(frozen=True, slots=True)
class Finding:
    """`fatal`: starting would fail, or a list could not be followed. `denied`: to the user who tried; the users of the
    processes may be others."""

    key: str
    message: str
    fatal: bool = True
    denied: bool = False

    def at(self, lines: Lines) -> Problem:
        """With the line of its key."""
        return lines.problem(self.key, self.message, "error" if self.fatal else "warning")
