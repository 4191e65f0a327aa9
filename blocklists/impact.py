"""What a block would affect besides its target: public suffixes, popular names, names below, shared hosts.

Enters: names and entries. Leaves: findings. Nothing here decides; people and guards do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import idna
from publicsuffixlist import PSLFILE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from blocklists.entry import Entry


@dataclass(frozen=True, slots=True)
class Suffixes:
    """The public suffix list, ICANN and private section, as A-labels (https://publicsuffix.org/list/)."""

    names: frozenset[str]
    wildcards: frozenset[str]
    """Names whose every child is a suffix (`*.ck`), without the `*.`."""
    exceptions: frozenset[str]
    """Names that a wildcard covers and that are no suffixes all the same (`!www.ck`)."""


@lru_cache(maxsize=1)
def suffixes() -> Suffixes:
    """The list that the package `publicsuffixlist` ships."""
    lines = Path(PSLFILE).read_text(encoding="utf-8").splitlines()
    rules = [line.split()[0] for line in lines if line.strip() and not line.startswith("//")]
    rules = [rule if rule.isascii() else _a_labels(rule) for rule in rules]
    return Suffixes(
        frozenset(rule for rule in rules if rule[0] not in "*!"),
        frozenset(rule[2:] for rule in rules if rule.startswith("*.")),
        frozenset(rule[1:] for rule in rules if rule.startswith("!")),
    )


def is_public_suffix(name: str) -> bool:
    """Whether strangers register names directly below this one (ICANN and private suffixes).

    An unknown top-level domain is none here: a list with `example` means that name.
    """
    known = suffixes()
    if name in known.names:
        return True
    return name.partition(".")[2] in known.wildcards and name not in known.exceptions


def _a_labels(rule: str) -> str:
    mark = rule[: len(rule) - len(rule.lstrip("*.!"))]
    return mark + idna.encode(rule[len(mark) :], uts46=True).decode("ascii")


SHARED_HOSTS = frozenset({
    "blob.core.windows.net", "blogspot.com", "cdn.cloudflare.net", "cloudfront.net", "discordapp.com",
    "docs.google.com", "drive.google.com", "drive.usercontent.google.com", "dropbox.com", "fastly.net",
    "firebaseapp.com", "github.com", "github.io", "githubusercontent.com", "googleusercontent.com", "mediafire.com",
    "mega.nz", "mooo.com", "onedrive.live.com", "pages.dev", "r2.dev", "s3.amazonaws.com", "sharepoint.com",
    "sites.google.com", "t.me", "telegra.ph", "wetransfer.com", "wordpress.com", "workers.dev", "youtube.com",
})  # fmt: skip
"""Names under which many strangers keep things. Short and well known, not complete: a reminder, never a permission."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an entry that a person should look at before it stands."""

    kind: str
    """`public-suffix`, `shared-host` or `popular`."""
    entry: Entry
    against: tuple[str, ...]
    """What it would touch: a suffix, a host, or popular names (the first few)."""
    count: int
    """How many there are of them."""

    def sentence(self) -> str:
        """For a person."""
        more = f" and {self.count - len(self.against)} more" if self.count > len(self.against) else ""
        return {
            "public-suffix": f"{self.entry.name} ({self.entry.match}) is a public suffix: strangers' sites lie below",
            "shared-host": f"{self.entry.name} ({self.entry.match}) is a host that many share",
            "popular": f"{self.entry.name} ({self.entry.match}) stops popular names: {', '.join(self.against)}{more}",
        }[self.kind]


def preview(entries: Iterable[Entry], *, popular: Collection[str] = (), shown: int = 5) -> Iterator[Finding]:
    """Findings on entries that are to come. `popular`: names, most popular first."""
    above: dict[str, list[Entry]] = {parent: [] for name in popular for parent in _at_or_above(name)}
    for entry in entries:
        name = entry.name
        if entry.match != "exact" and is_public_suffix(name):
            yield Finding("public-suffix", entry, (name,), 1)
        if name in SHARED_HOSTS:
            yield Finding("shared-host", entry, (name,), 1)
        if name in above:
            above[name].append(entry)
    touched: dict[Entry, list[str]] = {}
    for name in popular:
        for distance, parent in enumerate(_at_or_above(name)):
            for entry in above[parent]:
                if covers(entry, distance):
                    touched.setdefault(entry, []).append(name)
    for entry, names in touched.items():
        yield Finding("popular", entry, tuple(names[:shown]), len(names))


def _at_or_above(name: str) -> list[str]:
    """The name and those above it."""
    labels = name.lower().split(".")
    return [".".join(labels[at:]) for at in range(len(labels))]


def covers(entry: Entry, distance: int) -> bool:
    """Whether an entry stops a name that lies `distance` labels below it (0: the name itself)."""
    return entry.match == "subtree" or (entry.match == "exact") == (distance == 0)
