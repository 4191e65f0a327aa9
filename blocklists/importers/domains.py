"""Plain domain lists: one name a line, `#` before a comment.

# casinos
example.com
*.example.net        # everything below
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklists.importers.source import Rejection, lines

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.importers.intake import Intake


def read(path: Path, intake: Intake) -> None:
    """Take every name of the file into `intake`. Raises SourceError when the file cannot be read."""
    for item in lines(path):
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.rejected.append(item)
            continue
        number, text = item
        words = text.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 1:
            intake.reject(number, text, "more than one word on the line (a hosts file? see --format)")
            continue
        intake.take(number, words[0])
