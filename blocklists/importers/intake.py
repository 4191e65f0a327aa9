"""What all importers share: a foreign name becomes a candidate, or is rejected with a reason.

Rules
- Upper case, a trailing dot and IDNs (UTS 46, then IDNA 2008) are converted to the form of entries.
- A bare name gets the import's own match, `subtree` unless said: a list names sites, and its owner makes names
  below it at will. Formats that say more are taken at their word: a line of a hosts file is that name alone.
- `.name` means the name and the names below it; `*.name` the names below it, or what `star` says: lists written for
  browsers mean the name too.
- IP addresses, networks, URLs, paths, ports and e-mail addresses are refused: a resolver blocks names, not pages.
- What can be an entry at no provider (`blocklists/admissible.py`) is refused. A public suffix by its bare name is taken
  as `exact`, with a notice: a list that names `github.io` means its front page.
- What a list lets pass is never stopped (`blocklists/importers/exceptions.py`).
- The same name, match and basis is imported once. Rejections and notices are counted; the first of them are kept, and
  `record` gets each as it comes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import idna

from blocklists import admissible, entry
from blocklists.admissible import is_public_suffix
from blocklists.importers.exceptions import Exceptions
from blocklists.importers.source import MAX_SIZE, Notice, Rejection, line_of, shown
from resolver._core import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from blocklists.admissible import Rule
    from blocklists.entry import Match
    from blocklists.head import Basis

KEPT = 1000
"""Rejections, and notices, that are kept to be shown."""
MAX_GROUNDS = 100_000
"""Of one import. A signed list has less room, by octets (`blocklists.head.check_bases`); a bridge has no head."""
Writing = Literal["bare", "hosts", "rule"]
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE).match
_PORT = re.compile(r"[^:]+:[0-9]{1,5}\Z").match
_CIDR = re.compile(r"[0-9a-f.:]+/[0-9]{1,3}\Z", re.IGNORECASE).match


class Candidate(NamedTuple):
    """A name that may become an entry. What is None comes from the terms of the import."""

    line: int
    name: str
    match: Match
    basis: str | None = None
    category: str | None = None
    expires: str | None = None
    issued: str | None = None
    withdrawn: str | None = None
    """In time to come: an entry ends then, whatever its terms."""


class Kind(NamedTuple):
    """What candidates have in common besides name and line."""

    match: Match
    basis: str | None = None
    category: str | None = None
    expires: str | None = None
    issued: str | None = None
    withdrawn: str | None = None
    """In time to come: an entry ends then, whatever its terms."""


Gathered = tuple[Names, list[Kind]]
"""Names with the numbers of their kinds, and these."""


def gathered(candidates: Iterable[Candidate]) -> Gathered:
    """Candidates that were made otherwise, for the core; every name is in the form of entries."""
    names, kinds = Names([], [], [], []), dict[Kind, int]()
    for one in candidates:
        kind = Kind(one.match, one.basis, one.category, one.expires, one.issued, one.withdrawn)
        names.add(one.name, one.line, kinds.setdefault(kind, len(kinds)))
    return names, list(kinds)


@dataclass(slots=True)
class Intake:
    """What an import has gathered so far; importers call `take`, `let_pass` and `reject`."""

    match: Match = "subtree"
    """For bare names."""
    star: Match = "below"
    """For `*.name`."""
    walls: frozenset[str] = frozenset()
    """Targets (addresses, names) of rules that count as a block."""
    size: int = MAX_SIZE
    """Octets of a file, uncompressed."""
    rule: Rule = field(default_factory=admissible.everywhere)
    record: Callable[[Rejection | Notice], None] | None = None
    file: str = ""
    """That is being read: for rejections and notices."""
    lines: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """How many were `rejected`, of these `passing`, `refused` and `nameless` (of a register: they stop no name);
    `noted`; `withdrawn`."""
    ground: Basis | None = None
    """What a row's own ground leaves unsaid."""
    grounds: dict[str, Basis] = field(default_factory=dict)
    """That the files bring, by key."""
    passing: Exceptions = field(default_factory=Exceptions)
    """What the files let pass."""
    passing_firmly: Exceptions = field(default_factory=Exceptions)
    """Also where the block is `firm`."""
    refused: list[str] = field(default_factory=list)
    """Names that can be an entry at no provider; the first of them."""
    _names: Names = field(init=False)
    """What was taken: names with their lines and kinds, which are numbers of `_kinds`."""
    _more: dict[tuple[str, Match, str | None], int] = field(default_factory=dict)
    """Of what a name has besides its first kind: the line."""
    _firm: set[tuple[str, Match]] = field(default_factory=set)
    _kinds: list[Kind] = field(default_factory=list)
    _numbers: dict[Kind, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = Names(self.rule.tops, self.rule.seconds, self.rule.near, self.rule.wildcards)

    @property
    def candidates(self) -> Sequence[Candidate]:
        """What was taken, less what the files let pass."""
        return list(self.each())

    def each(self) -> Iterator[Candidate]:
        """As `candidates`, one after the other."""
        self._settle()
        return self._each()

    def gathered(self) -> Gathered:
        """As `each`, for the core."""
        self._settle()
        return self._names, self._kinds

    def _each(self) -> Iterator[Candidate]:
        for line, name, kind in map(self._names.__getitem__, range(len(self._names))):
            yield Candidate(line, name, *self._kinds[kind])

    def __len__(self) -> int:
        self._settle()
        return len(self._names)

    def by_match(self) -> Counter[str]:
        """How many names were taken with each match."""
        self._settle()
        matches = Counter[str]()
        for kind, number in zip(self._kinds, self._names.kinds(), strict=False):
            matches[kind.match] += number
        return +matches

    def take(
        self,
        line: int,
        text: str,
        *,
        match: Match | None = None,
        bare: Match | None = None,
        basis: str | None = None,
        category: str | None = None,
        expires: str | None = None,
        issued: str | None = None,
        withdrawn: str | None = None,
        firm: bool = False,
        star: Match | None = None,
    ) -> None:
        """Take one name as written; `match` where the format says which, `bare` where it says so of a bare name alone.
        `firm`: no plain exception lets it pass."""
        name = text if text.islower() else text.lower()  # one string where the reader keeps its own too
        said = match is not None
        wanted: Match = match or bare or self.match
        if not entry.is_name(name):
            try:
                name, mended = mend(text, star or self.star)
            except ValueError as error:
                self.reject(line, text, str(error))
                return
            if mended is not None and match == "exact":
                self.reject(line, text, "names below a name, where one name alone is meant")
                return
            if mended is not None and not said:
                wanted, said = mended, True
        if "." not in name:
            self.reject(line, text, "a single label is a top-level domain or a machine's own name, not a site")
            return
        if (reason := self.rule.refusal(name, wanted)) is not None:
            if said or not is_public_suffix(name) or self.rule.refusal(name, "exact") is not None:
                self._refuse(line, text, reason)
                return
            self.note(line, name, f"a public suffix: taken as exact, not as {wanted}")
            wanted = "exact"
        self.put(line, name, Kind(wanted, basis, category, expires, issued, withdrawn))
        if firm:
            self._firm.add((name, wanted))

    def put(self, line: int, name: str, kind: Kind) -> None:
        """Keep a name that every rule above allows."""
        number = self._number(kind)
        if (before := self._names.put(name, line, number)) is None:
            return
        first, there = before
        if self._kinds[there][:2] != kind[:2]:
            more = name, kind.match, kind.basis
            if more not in self._more:
                self._more[more] = line
                self._names.add(name, line, number)
                return
            first = self._more[more]
        self.note(line, name, f"stands already in line {first}")

    def _number(self, kind: Kind) -> int:
        number = self._numbers.setdefault(kind, len(self._kinds))
        if number == len(self._kinds):
            self._kinds.append(kind)
        return number

    def take_block(
        self, first: int, block: bytes, match: Match, other: Callable[[int, str], None], *, writing: Writing = "bare"
    ) -> None:
        """Take whole lines that are a name and nothing else: `bare`, behind an address where nobody listens (`hosts`),
        or as `||name^` (`rule`). `other` gets the number of each that is not, and its text, in order."""
        kind, at, line = self._number(Kind(match)), 0, first
        while True:
            at, line = self._names.take(block, at=at, line=line, kind=kind, writing=writing)
            if at == len(block):
                break
            end = block.index(b"\n", at)
            found = line_of(line, block[at:end])
            if isinstance(found, Rejection):
                self.add_rejection(found)
            else:
                other(line, found)
            at, line = end + 1, line + 1
        self.lines += line - first

    def let_pass(
        self, line: int, text: str, *, match: Match, wins: bool, firm: bool = False, name: str | None = None,
        reason: str = "lets a name pass",
    ) -> None:  # fmt: skip
        """An exception: `wins` over narrower blocks too (ad blockers), or not (zones).

        Its line becomes no entry, so it is reported as rejected, and counted apart.
        """
        try:
            bare, _ = mend(name or text, self.star)
        except ValueError as error:
            self.reject(line, text, str(error))
            return
        for these in (self.passing, self.passing_firmly) if firm else (self.passing,):
            these.add(bare, match, wins=wins)
        self.counts["passing"] += 1
        self.reject(line, text, reason)

    def reject(self, line: int, text: str, reason: str) -> None:
        """Report a line or a name that does not become an entry."""
        self.add_rejection(Rejection(line, shown(text), reason))

    def add_rejection(self, item: Rejection) -> None:
        """As `reject`, for findings of the reader."""
        self.counts["rejected"] += 1
        item = replace(item, file=self.file)
        if len(self.rejected) < KEPT:
            self.rejected.append(item)
        if self.record is not None:
            self.record(item)

    def note(self, line: int, text: str, notice: str) -> None:
        """Report something that was taken, but not as written."""
        self.add_notice(Notice(line, text, notice))

    def add_notice(self, item: Notice) -> None:
        """As `note`, for findings of the reader."""
        self.counts["noted"] += 1
        if len(self.notices) >= KEPT and self.record is None:
            return
        item = replace(item, file=self.file)
        if len(self.notices) < KEPT:
            self.notices.append(item)
        if self.record is not None:
            self.record(item)

    def _settle(self) -> None:
        """Narrow what covers names that the files let pass."""
        if not self.passing.fresh:
            return
        self.passing.fresh = False
        candidates = list(self._each())
        self._names.clear()
        self._more.clear()
        for line, name, match, *rest in candidates:
            these = self.passing_firmly if (name, match) in self._firm else self.passing
            left, passing = these.judge(name, match)
            if left is None:
                self.reject(line, name, f"{match}: the list lets {passing} pass, and no entry says the rest")
                continue
            if left != match:
                self.note(line, name, f"taken as {left}, not as {match}: the list lets {passing} pass")
            self.put(line, name, Kind(left, *rest))

    def _refuse(self, line: int, text: str, reason: str) -> None:
        if len(self.refused) < KEPT:
            self.refused.append(reason)
        self.counts["refused"] += 1
        self.reject(line, text, reason)


def mend(text: str, star: Match) -> tuple[str, Match | None]:
    """A name in the form of entries, and the match that its writing says, if any. Raises ValueError with the reason."""
    name, match = text, None
    if name.startswith("*."):
        name, match = name[2:], star
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
        raise ValueError(_why_none(text) or entry.explain_name(shown(name)))
    return name, match


def _why_none(text: str) -> str | None:
    if _URL(text):
        return "a URL: a resolver stops names, not pages"
    if _CIDR(text):
        return "a network of addresses: a resolver stops names"
    if "@" in text:
        return "an e-mail address: a resolver stops names"
    if "/" in text:
        return "a path: a resolver stops names, not pages"
    if _PORT(text):
        return "a name with a port: a resolver stops names, whatever the port"
    if "*" in text:
        return "a wildcard inside a name: an entry is a name, or all names below it"
    return None
