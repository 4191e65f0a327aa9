"""Documents for the tests of the compiled list, written by the issuer's half."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import zstandard

from blocklists import document
from blocklists.entry import Entry, Match, references

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

BASES = ["order-17", "order-18"]


def numbered(number: int) -> str:
    """A reference that is the same in every run."""
    return references(1, lambda count: hashlib.blake2b(str(number).encode(), digest_size=count).digest())[0]


def entry(
    name: str,
    number: int,
    match: Match = "subtree",
    *,
    expires: str = "2099-01-01T00:00:00Z",  # programs that serve it look at the real clock
    basis: str = "order-17",
    category: str = "gambling",
) -> Entry:
    return Entry(name, match, basis, category, "2026-11-22T00:00:00Z", expires, numbered(number))


def write(path: Path, entries: Iterable[Entry]) -> document.Summary:
    return document.write(path, document.in_order(entries))


def write_lines(path: Path, lines: Iterable[bytes]) -> str:
    """Whatever lines, as they are; their state."""
    text = b"".join(lines)
    path.write_bytes(zstandard.compress(text))
    return "sha256:" + hashlib.sha256(text).hexdigest()
