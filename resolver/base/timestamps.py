"""Timestamps as this project writes them: to the second, in UTC, as `2026-11-22T12:00:00Z` (RFC 3339)."""

from __future__ import annotations

from datetime import UTC, datetime

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def as_text(moment: float) -> str:
    """The text of a Unix time. Fractions of a second are cut off."""
    return datetime.fromtimestamp(moment, UTC).strftime(_FORM)


def as_time(text: str) -> float:
    """Unix time of what `as_text` wrote. Raises `ValueError`."""
    return datetime.strptime(text, _FORM).replace(tzinfo=UTC).timestamp()
