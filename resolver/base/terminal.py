"""Foreign text for a terminal: it cannot move the cursor, change colours or reorder letters."""

from __future__ import annotations

import unicodedata

_SHOWN = {"Zs": " ", **dict.fromkeys(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"), "\ufffd")}


def visible(text: str) -> str:
    """What would do so is shown as a sign."""
    return "".join(_SHOWN.get(unicodedata.category(character), character) for character in text)
