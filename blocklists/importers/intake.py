"""What all importers share: a foreign name becomes a candidate, or is rejected with a reason.

Rules
- Upper case, a trailing dot and IDNs (UTS 46, then IDNA 2008) are converted to the form of entries.
- `*.name` means the names below it, `.name` the name and the names below it; a bare name gets the importer's own match.
- IP addresses and URLs are refused: many sites share an address, and a resolver blocks names, not pages.
- A name of one label is a top-level domain or a machine's own name, never a site: refused.
- A public suffix is imported as `exact` with a notice: a list that names `github.io` means its front page; as a subtree
  it would block thousands of other sites.
- The same name, match and basis is imported once, with a notice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import idna

from blocklists import entry
from blocklists.impact import is_public_suffix
from blocklists.importers.source import Rejection, shown

if TYPE_CHECKING:
    from blocklists.entry import Match

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE).match


class Candidate(NamedTuple):
    """A name that may become an entry. What is None comes from the terms of the import."""

    line: int
    name: str
    match: Match
    basis: str | None = None
    category: str | None = None
    expires: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was taken, but not as written."""

    line: int
    text: str
    notice: str


@dataclass(slots=True)
class Intake:
    """What an import has gathered so far; importers call `take` and `reject`."""

    match: Match = "subtree"
    """For bare names."""
    lines: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    _seen: dict[tuple[str, str, str | None], int] = field(default_factory=dict)

    def take(
        self,
        line: int,
        text: str,
        *,
        match: Match | None = None,
        basis: str | None = None,
        category: str | None = None,
        expires: str | None = None,
    ) -> None:
        """Take one name as written; `match` where the format says which."""
        name = text.lower()
        wanted: Match = match or self.match
        if not entry.is_name(name):
            try:
                name, wanted = _mend(text, wanted if match is None else match)
            except ValueError as error:
                self.reject(line, text, str(error))
                return
        if "." not in name:
            self.reject(line, text, "a single label is a top-level domain or a machine's own name, not a site")
            return
        if wanted != "exact" and is_public_suffix(name):
            self.notices.append(Notice(line, name, f"a public suffix: taken as exact, not as {wanted}"))
            wanted = "exact"
        if first := self._seen.get((name, wanted, basis)):
            self.notices.append(Notice(line, name, f"stands already in line {first}"))
            return
        self._seen[name, wanted, basis] = line
        self.candidates.append(Candidate(line, name, wanted, basis, category, expires))

    def reject(self, line: int, text: str, reason: str) -> None:
        """Report a line or a name that does not become an entry."""
        self.rejected.append(Rejection(line, shown(text), reason))


def _mend(text: str, match: Match) -> tuple[str, Match]:
    """A name in the form of entries, and its match. Raises ValueError with the reason."""
    if _URL(text):
        raise ValueError("a URL: a resolver stops names, not pages")
    name = text
    if name.startswith("*."):
        name, match = name[2:], "below"
    elif name.startswith("."):
        name, match = name[1:], "subtree"
    name = name.removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise ValueError(f"not an internationalised name: {shown(str(error))}") from None
    name = name.lower()
    if not entry.is_name(name):
        raise ValueError(entry.explain_name(shown(name)))
    return name, match
