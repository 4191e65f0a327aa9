"""What a block would affect besides its target: public suffixes, popular names, names below, shared hosts.

Enters: names and entries. Leaves: findings. Nothing here decides; people and guards do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocklists.admissible import PROTECTED, is_public_suffix, refusal, suffixes
from blocklists.entry import at_or_above
from resolver._core import Attention

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from blocklists.entry import Entry


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
    """`public-suffix`, `never` (no provider lets it act), `shared-host` or `popular`."""
    entry: Entry
    against: tuple[str, ...]
    """What it would touch: a suffix, a host, or popular names (the first few)."""
    count: int
    """How many there are of them."""

    def sentence(self) -> str:
        """For a person."""
        more = f" and {self.count - len(self.against)} more" if self.count > len(self.against) else ""
        return {
            "never": f"no provider lets this act, and none can approve it: {', '.join(self.against)}",
            "public-suffix": f"{self.entry.name} ({self.entry.match}) is a public suffix: strangers' sites lie below",
            "shared-host": f"{self.entry.name} ({self.entry.match}) is a host that many share",
            "popular": f"{self.entry.name} ({self.entry.match}) stops popular names: {', '.join(self.against)}{more}",
        }[self.kind]


def attention(*, popular: Collection[str] = (), withdrawn: Collection[str] = (), limit: int | None) -> Attention:
    """What the core notes of entries that come: each of which `preview` could say anything, and some more. `limit`: how
    many of each kind of change people see."""
    rules = suffixes()
    return Attention(
        protected=[name for names in PROTECTED.values() for name in names],
        suffixes=[*rules.names, *(f"*.{name}" for name in rules.wildcards), *(f"!{name}" for name in rules.exceptions)],
        popular=[*(name.lower() for name in popular), *SHARED_HOSTS],
        withdrawn=list(withdrawn), limit=limit,
    )  # fmt: skip


def preview(entries: Iterable[Entry], *, popular: Collection[str] = (), shown: int = 5) -> Iterator[Finding]:
    """Findings on entries that are to come. `popular`: names, most popular first."""
    above: dict[str, list[Entry]] = {parent: [] for name in popular for parent in at_or_above(name.lower())}
    for entry in entries:
        name = entry.name
        if entry.match != "exact" and is_public_suffix(name):
            yield Finding("public-suffix", entry, (name,), 1)
        elif (why := refusal(name, entry.match)) is not None:
            yield Finding("never", entry, (why,), 1)
        if name in SHARED_HOSTS:
            yield Finding("shared-host", entry, (name,), 1)
        if name in above:
            above[name].append(entry)
    touched: dict[Entry, list[str]] = {}
    for name in popular:
        for distance, parent in enumerate(at_or_above(name.lower())):
            for entry in above[parent]:
                if covers(entry, distance):
                    touched.setdefault(entry, []).append(name)
    for entry, names in touched.items():
        yield Finding("popular", entry, tuple(names[:shown]), len(names))


def covers(entry: Entry, distance: int) -> bool:
    """Whether an entry stops a name that lies `distance` labels below it (0: the name itself)."""
    return entry.match == "subtree" or (entry.match == "exact") == (distance == 0)
