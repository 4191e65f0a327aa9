"""What a policy zone says of a name: an oracle by RFC 4592 and by the way of those that look at every ancestor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LETTERS = {"s": "stop-page", "x": "nxdomain", "n": "nodata", "r": "refused", "p": None}


def rules(path: Path) -> dict[str, str]:
    """Owners, and the letter of each."""
    owners: dict[str, str] = {}
    for line in path.read_text().splitlines():
        name, said = line.split(" ")
        for owner, letter in ((name, said[0]), (f"*.{name}", said[1])):
            if letter != "-":
                assert owner not in owners, f"{owner} stands twice"
                owners[owner] = letter
    return owners


def above(name: str) -> list[str]:
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(1, len(labels))]


def by_closest_encloser(owners: Mapping[str, str], name: str) -> str | None:
    """RFC 4592, 3.3.1: only the wildcard at the closest name that exists can match (BIND, Unbound)."""
    existing = {part for owner in owners for part in (owner, *above(owner))}
    if name in existing:
        return LETTERS[owners[name]] if name in owners else None
    closest = next((part for part in above(name) if part in existing), "")
    found = owners.get(f"*.{closest}")
    return None if found is None else LETTERS[found]


def by_every_ancestor(owners: Mapping[str, str], name: str) -> str | None:
    """The name, then a wildcard at each ancestor, the nearest first (PowerDNS, Knot Resolver)."""
    found = next((owners[key] for key in (name, *(f"*.{part}" for part in above(name))) if key in owners), None)
    return None if found is None else LETTERS[found]
