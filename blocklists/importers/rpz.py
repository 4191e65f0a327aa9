"""Response policy zones (draft-vixie-dnsop-dns-rpz), as master files (RFC 1035 5).

    $ORIGIN rpz.example.
    example.com     CNAME .        ; the name: exact
    *.example.com   CNAME .        ; the names below; both together: subtree

Every action that blocks a name is imported as a block (the provider's configuration says what is answered). A rule that
excepts a name (`rpz-passthru.`), and triggers by address or name server, are rejected: no list can express them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocklists.importers.source import Rejection, lines, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocklists.importers.intake import Intake

_TRIGGERS = ("rpz-ip", "rpz-client-ip", "rpz-nsip", "rpz-nsdname")
_CLASSES = frozenset({"in", "ch", "hs"})
_OWN = frozenset({"soa", "ns", "txt", "dnskey", "rrsig", "nsec", "nsec3", "nsec3param", "zonemd"})


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    owner: str
    kind: str
    data: str


def read(path: Path, intake: Intake) -> None:
    """Take every blocking rule of the zone into `intake`. Raises SourceError when the file cannot be read."""
    origin: str | None = None
    rules: dict[str, dict[bool, int]] = {}
    for item in _records(path, intake):
        if item.kind == "$origin" or (item.kind == "soa" and origin is None):
            origin = (item.data if item.kind == "$origin" else item.owner).lower()
            continue
        reason = _refused(item)
        if reason:
            intake.reject(item.line, f"{item.owner} {item.kind} {item.data}", reason)
            continue
        name = _relative(item.owner.lower(), origin)
        if item.kind not in _OWN and name:
            below = name.startswith("*.")
            rules.setdefault(name.removeprefix("*."), {}).setdefault(below, item.line)
    for name, matches in rules.items():
        first = min(matches.values())
        intake.take(first, name, match="subtree" if len(matches) == 2 else "below" if True in matches else "exact")


def _refused(record: _Record) -> str | None:
    """Why a record is no rule that a list could carry; None where it is one, or the zone's own."""
    if any(f".{trigger}." in f".{record.owner.lower()}." for trigger in _TRIGGERS):
        return "a trigger by address or name server: lists stop names"
    if record.kind == "cname" and record.data.lower().rstrip(".") == "rpz-passthru":
        return "lets a name pass: a list only stops"
    if record.kind not in _OWN and record.kind not in {"cname", "a", "aaaa", "dname"}:
        return f"a record of type {record.kind.upper()} is no rule"
    return None


def _records(path: Path, intake: Intake) -> Iterator[_Record]:
    """The zone's records; a line that is none is rejected, and the rest goes on."""
    owner, held, held_at = "", "", 0
    for item in lines(path):
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.rejected.append(item)
            continue
        number, text = item
        text = _without_comment(text)
        if held:
            text, number = f"{held} {text.strip()}", held_at
        if text.count("(") > text.count(")"):
            held, held_at = text, number
            continue
        held = ""
        words = text.replace("(", " ").replace(")", " ").split()
        if not words:
            continue
        if words[0].lower() == "$origin" and len(words) > 1:
            yield _Record(number, "", "$origin", words[1])
            continue
        if words[0].startswith("$"):
            if words[0].lower() != "$ttl":
                intake.reject(number, text, f"{shown(words[0])} is not read")
            continue
        if not text[0].isspace():
            owner = words.pop(0)
        while words and (words[0].lower() in _CLASSES or words[0][0].isdigit()):
            words.pop(0)
        if len(words) < 2 or not owner:
            intake.reject(number, text, "not a record of a zone")
            continue
        yield _Record(number, owner, words[0].lower(), " ".join(words[1:]))


def _without_comment(text: str) -> str:
    return text.partition(";")[0] if '"' not in text else text


def _relative(owner: str, origin: str | None) -> str:
    """The owner without the zone's name; empty for the zone itself."""
    if owner == "@":
        return ""
    if not owner.endswith("."):
        return owner
    if origin is None:
        return owner.removesuffix(".")
    zone = origin if origin.endswith(".") else f"{origin}."
    return "" if owner == zone else owner.removesuffix(f".{zone}").removesuffix(".")
