"""Plain domain lists: one name a line, `#` before a comment.

# casinos
example.com
*.example.net        # everything below
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklists.importers.source import blocks

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.importers.intake import Intake


_COMMENTS = ("!", ";", "//")
"""Of other formats, at the beginning of a line: no name begins so."""


def read(path: Path, intake: Intake) -> None:
    """Take every name of the file into `intake`. Raises SourceError when the file cannot be read."""
    for first, block in blocks(path, size=intake.size):
        intake.take_block(first, block, intake.match, lambda number, text: _take(number, text, intake))


def _take(number: int, text: str, intake: Intake) -> None:
    words = text.partition("#")[0].split() if not text.startswith(_COMMENTS) else []
    if len(words) == 1:
        intake.take(number, words[0])
    elif words:
        intake.reject(number, text, "more than one word on the line (a hosts file? see --format)")
