"""Hosts files (hosts(5)): an address, then names, `#` before a comment.

    0.0.0.0 ads.example.com tracker.example.net   # two of them

Rules
- A name is that name alone, never the names below it: so every resolver reads such a line.
- The address blocks where nobody listens (`0.0.0.0`, `127.0.0.1`, `::`, `::1`). Any other leads elsewhere, for example
  to a search engine's own filter, and is a block only where the import names it as a wall.
- The machine's own names (`localhost`, `broadcasthost`, `ip6-allnodes` ...) are skipped with a notice.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from blocklists.importers.source import blocks

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.importers.intake import Intake

_OWN = frozenset({
    "localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet",
    "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0",
})  # fmt: skip


def read(path: Path, intake: Intake) -> None:
    """Take every name of the file into `intake`. Raises SourceError when the file cannot be read."""
    for first, block in blocks(path, size=intake.size):
        # Most lines are one wall and one name: those go at once, the others word by word
        intake.take_block(first, block, "exact", lambda number, text: take(number, text, intake), writing="hosts")


def take(number: int, text: str, intake: Intake) -> None:
    """Take the names of one line."""
    words = text.partition("#")[0].split()
    if not words:
        return
    if not is_address(words[0]):
        intake.reject(number, text, "does not begin with an address (a plain list? see --format)")
        return
    if len(words) == 1:
        intake.reject(number, text, "an address without a name")
    wall = is_wall(words[0], intake.walls)
    for name in words[1:]:
        if name.lower() in _OWN:
            intake.note(number, name, "the machine's own name: left out")
        elif not wall:
            intake.reject(number, text, f"leads to {words[0]}, which is no wall unless --walls names it")
        else:
            intake.take(number, name, match="exact")


@lru_cache(maxsize=4096)
def is_address(word: str) -> bool:
    """Whether a word is an IPv4 or IPv6 address, with or without a zone (`fe80::1%lo0`)."""
    try:
        ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def is_wall(word: str, walls: frozenset[str]) -> bool:
    """Whether an address blocks who is sent there: nobody listens, or the import names it."""
    if word in walls:
        return True
    address = ipaddress.ip_address(word.partition("%")[0])
    return address.is_unspecified or address.is_loopback or address.compressed in walls
