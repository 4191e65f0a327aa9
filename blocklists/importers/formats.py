"""Which importer reads a file: by the format's name, or by the look of its rules.

Enters: a path. Leaves: the file's names in an `Intake`, or `SourceError`. Rules

- Detection looks at rules, never at comments: a comment quotes anything. A line that one format alone has decides.
- What no importer reads is named, with what to do about it: an HTML page is an error page, no importer reads PDF.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from blocklists.importers import adblock, csv, domains, hosts, mapped, resolvers, zone
from blocklists.importers.mapping import presets
from blocklists.importers.source import Rejection, SourceError, lines, mark, octets, readable_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from blocklists.importers.intake import Intake
    from blocklists.importers.mapping import Mapping, Preset

FORMATS: dict[str, Callable[[Path, Intake], None]] = {
    "domains": domains.read,
    "hosts": hosts.read,
    "rpz": zone.read,
    "adblock": adblock.read,
    "csv": csv.read,
    "dnsmasq": resolvers.read_dnsmasq,
    "unbound": resolvers.read_unbound,
    "squid": resolvers.read_squid,
}
TITLES = {
    "domains": "names, one a line",
    "hosts": "a hosts file: an address where nobody listens, then names",
    "rpz": "a response policy zone, as a master file",
    "adblock": "rules of ad blockers, as a DNS filter reads them (AdGuard)",
    "csv": "a table whose header has name, and match, basis, category, expires",
    "dnsmasq": "address=, server= and local= of dnsmasq",
    "unbound": "local-zone: and local-data: of Unbound",
    "squid": "dstdomain of Squid",
}
_LOOKED_AT = 200  # rules
_DECIDES = _LOOKED_AT  # as many votes: one such line goes before all lines that could be of several formats
_COMMENT = re.compile(r"#(?![@?$%]*#)|;|//(?!/)|!").match
_HEADER = re.compile(r"\[(?:adblock|adguard|ublock|ad ?guard ?home)[^\]]*\]\Z", re.IGNORECASE).match
_RECORD = r"\S+\s+(?:\d\w*\s+)?(?:IN\s+)?(?:\d\w*\s+)?"
_SIGNS: tuple[tuple[str, int, Callable[[str], object]], ...] = (
    ("adblock", _DECIDES, re.compile(r"(?:@@)?\|\||@@\|").match),
    ("rpz", _DECIDES, re.compile(rf"\$(?:TTL|ORIGIN)\b|{_RECORD}(?:SOA|CNAME)\s", re.IGNORECASE).match),
    ("dnsmasq", _DECIDES, re.compile(r"(?:address|server|local)\s*=\s*/").match),
    ("unbound", _DECIDES, re.compile(rf"{resolvers.CLAUSES}\s*:\Z|local-(?:zone|data)\s*:").match),
    ("squid", _DECIDES, re.compile(r"acl\s+\S+\s+[a-z]|http_access\s+(?:allow|deny)\s").match),
    ("adblock", 1, re.compile(r"\|\S+\^|@@|[^#\s]*#[@?$%]*#").match),
    ("rpz", 1, re.compile(r"\S*\s.*?\b(?:SOA|CNAME)\s|\S+\s+(?:\d+\s+)?IN\s", re.IGNORECASE).match),
    ("dnsmasq", 1, re.compile(r"[a-z][a-z0-9-]*=").match),
    ("unbound", 1, re.compile(r"[a-z][a-z0-9-]*:(?:\s|\Z)").match),
    ("squid", 1, re.compile(r"[a-z]+(?:_[a-z]+)+\s").match),
)
_MAGIC = (
    (b"%PDF", "a PDF", "ask the publisher for a table: CSV, XML or JSON"),
    (b"\xd0\xcf\x11\xe0", "an old Office file", "save it as .xlsx or CSV"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"), (b"Rar!", "a RAR archive", "unpack it"),
    (b"\x1f\x9d", "a file of compress(1)", "uncompress it"), (b"\x04\x22\x4d\x18", "an LZ4 file", "unlz4 it"),
    (b"-----BEGIN PGP", "a PGP message", "decrypt it: gpg --decrypt"),
)  # fmt: skip


def read(path: Path, intake: Intake, *, form: str = "auto", by: Mapping | None = None) -> None:
    """Take the file's names into `intake`, `by` a mapping where one is given. Raises SourceError."""
    intake.file = path.name
    with readable_again(path, size=intake.size) as file:
        if by is not None:
            mapped.read(file, by, intake)
            return
        chosen = guess(file) if form == "auto" else form
        if chosen in FORMATS:
            FORMATS[chosen](file, intake)
        else:
            mapped.read(file, preset(chosen), intake)


def preset(name: str) -> Preset:
    """The preset of this name. Raises SourceError."""
    found = presets().get(name)
    if found is None:
        raise SourceError(f"no format {name!r}", hint=f"one of {', '.join((*FORMATS, *presets()))}")
    return found


def guess(path: Path) -> str:
    """The format that the rules look like. Raises SourceError where it is none of them."""
    refuse_foreign(path)
    votes: Counter[str] = Counter()
    for number, text in _rules(path):
        if number == 0 and csv.heading(path) is not None:
            return "csv"
        if _HEADER(text):
            return "adblock"
        form, weight = _kind(text)
        votes[form] += weight
        if number + 1 == _LOOKED_AT:
            break
    if votes:
        return votes.most_common(1)[0][0]
    return "adblock" if next(octets(path), b"").lstrip().startswith(b"!") else "domains"


def refuse_foreign(path: Path) -> None:
    """Raise SourceError, which says what the file is, where no importer of text reads it."""
    head = next(octets(path), b"")[:4096]
    for magic, what, instead in _MAGIC:
        if head.startswith(magic):
            raise SourceError(f"{path}: {what}, not a list of names", hint=instead)
    bom, told = mark(head)
    if told != "utf-8":
        return
    begin = head.removeprefix(bom).lstrip().lower()
    if begin.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise SourceError(f"{path}: an HTML page, not a list of names", hint="an error page? else ask for a table")
    if begin.startswith((b"<?xml", b"<")) and b">" in begin:
        raise SourceError(f"{path}: XML", hint="a preset or a mapping says where its names are: docs/lists.md")
    if re.match(rb'[{[]\s*["{\[\]]', begin):
        raise SourceError(f"{path}: JSON", hint="a preset or a mapping says where its names are: docs/lists.md")
    if b"\0" in head:
        raise SourceError(f"{path}: a binary file, not a list of names")


def _rules(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are no comments, numbered from 0 among themselves."""
    readable = (item[1].strip() for item in lines(path) if not isinstance(item, Rejection))
    return enumerate(text for text in readable if text and not _COMMENT(text))


def _kind(text: str) -> tuple[str, int]:
    """The format that a line looks like, and how many votes it has."""
    for form, weight, sign in _SIGNS:
        if sign(text):
            return form, weight
    words = text.partition("#")[0].split()
    return "hosts" if len(words) > 1 and hosts.is_address(words[0]) else "domains", 1
