"""Which importer reads a file: by the format's name, or by its first lines."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from blocklists.importers import adblock, csv, domains, hosts, rpz
from blocklists.importers.source import Rejection, SourceError, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blocklists.importers.intake import Intake

FORMATS: dict[str, Callable[[Path, Intake], None]] = {
    "domains": domains.read,
    "hosts": hosts.read,
    "rpz": rpz.read,
    "adblock": adblock.read,
    "csv": csv.read,
}
_ZONE = re.compile(r"\$(?:TTL|ORIGIN)\b|.*\s(?:SOA|CNAME)\s", re.IGNORECASE).match
_RULE = re.compile(r"\[Adblock|!|\|\||@@").match


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
        text = item[1].strip()
        if _RULE(text):
            return "adblock"
        if _ZONE(text):
            return "rpz"
        columns = [column.strip().lower() for column in re.split("[,;\t]", text)]
        if len(columns) > 1 and any(name in columns for name in csv.NAMES):
            return "csv"
        words = text.partition("#")[0].partition(";")[0].split()
        if len(words) > 1 and hosts.is_address(words[0]):
            return "hosts"
        if words:
            return "domains"
    return "domains"
