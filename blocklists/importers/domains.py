"""Plain domain lists: one name a line, `#` before a comment.

# casinos
example.com
*.example.net        # everything below
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklists.importers.source import Rejection, chunks

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.importers.intake import Intake


_COMMENTS = ("!", ";", "//")
"""Of other formats, at the beginning of a line: no name begins so."""


def read(path: Path, intake: Intake) -> None:
    """Take every name of the file into `intake`. Raises SourceError when the file cannot be read."""
    for item in chunks(path, size=intake.size):
        if isinstance(item, Rejection):
            intake.lines += 1
            intake.add_rejection(item)
            continue
        _take_all(*item, intake)


def _take_all(first: int, texts: list[str], intake: Intake) -> None:
    intake.lines += len(texts)

    def take(number: int) -> None:
        text = texts[number - first]
        words = text.partition("#")[0].split() if not text.startswith(_COMMENTS) else []
        if len(words) == 1:
            intake.take(number, words[0])
        elif words:
            intake.reject(number, text, "more than one word on the line (a hosts file? see --format)")

    intake.take_plain(first, texts, intake.match, take)
