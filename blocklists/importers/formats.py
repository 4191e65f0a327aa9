"""Which importer reads a file: by the format's name, or by a look at its first lines."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from blocklists.importers import domains, hosts
from blocklists.importers.source import Rejection, SourceError, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blocklists.importers.intake import Intake

FORMATS: dict[str, Callable[[Path, Intake], None]] = {"domains": domains.read, "hosts": hosts.read}


def read(path: Path, intake: Intake, *, form: str = "auto") -> None:
    """Take the file's names into `intake`. Raises SourceError."""
    chosen = guess(path) if form == "auto" else form
    if chosen not in FORMATS:
        raise SourceError(f"no format {form!r}", hint=f"one of {', '.join(FORMATS)}")
    FORMATS[chosen](path, intake)


def guess(path: Path) -> str:
    """The format that the first lines look like."""
    for item in islice(lines(path), 200):
        if isinstance(item, Rejection):
            continue
        words = item[1].partition("#")[0].split()
        if len(words) > 1 and hosts.is_address(words[0]):
            return "hosts"
        if words:
            return "domains"
    return "domains"
