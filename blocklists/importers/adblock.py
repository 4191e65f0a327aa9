"""Rules in the syntax of ad blockers, as far as they name a host and nothing else.

    ||example.com^            the name and the names below it
    ||example.com^$important  the same; options that narrow a rule to pages, parties or types are no longer the same

Exceptions (`@@`), cosmetic rules (`##`), paths, wildcards inside a name and regular expressions are rejected: a
resolver sees names alone. Lines that are a plain name or a hosts line are taken as such files do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blocklists.importers import hosts
from blocklists.importers.source import Rejection, lines

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.importers.intake import Intake

_HOST = re.compile(r"\|\|(\*\.)?([^/^$|*\s]+)\^?\|?(?:\$(.*))?\Z").match
_HARMLESS = frozenset({"important", "all", "document", "doc", "popup"})
_COSMETIC = re.compile(r"#[@?$%]*#").search


def read(path: Path, intake: Intake) -> None:
    """Take every rule that names a host into `intake`. Raises SourceError when the file cannot be read."""
    for item in lines(path):
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.rejected.append(item)
            continue
        number, text = item[0], item[1].strip()
        if not text or text.startswith(("!", "[")) or (text.startswith("#") and not _COSMETIC(text)):
            continue
        reason = _refused(text)
        rule = _HOST(text)
        if reason:
            intake.reject(number, text, reason)
        elif rule:
            _take(number, text, rule, intake)
        elif len(words := text.partition("#")[0].split()) > 1 and hosts.is_address(words[0]):
            for name in words[1:]:
                intake.take(number, name)
        elif text.startswith("|") or len(words) != 1 or any(sign in text for sign in "/*^$|="):
            intake.reject(number, text, "a rule on addresses of pages: a resolver stops names")
        else:
            intake.take(number, words[0])


def _refused(text: str) -> str | None:
    if text.startswith("@@"):
        return "an exception: a list only stops"
    if _COSMETIC(text):
        return "a cosmetic rule: a resolver sees no pages"
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        return "a regular expression"
    return None


def _take(number: int, text: str, rule: re.Match[str], intake: Intake) -> None:
    narrowing = {option for option in (rule[3] or "").split(",") if option} - _HARMLESS
    if narrowing:
        intake.reject(number, text, f"holds only for {', '.join(sorted(narrowing))[:60]}: as a block it would be wider")
        return
    intake.take(number, rule[2], match="below" if rule[1] else "subtree")
