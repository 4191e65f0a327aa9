"""Hosts files: an address, then names, `#` before a comment.

    0.0.0.0 ads.example.com tracker.example.net   # two of them

The machine's own names (`localhost`, `broadcasthost`, `ip6-allnodes` ...) at the start of such files are skipped with a
notice. The address means nothing (`0.0.0.0`, `127.0.0.1`, `::`): the stop page's address comes from the provider.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from blocklists.importers.intake import Notice
from blocklists.importers.source import Rejection, lines

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.importers.intake import Intake

_OWN = frozenset({
    "localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet",
    "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0",
})  # fmt: skip


def read(path: Path, intake: Intake) -> None:
    """Take every name of the file into `intake`. Raises SourceError when the file cannot be read."""
    for item in lines(path):
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.rejected.append(item)
            continue
        number, text = item
        words = text.partition("#")[0].split()
        if not words:
            continue
        if not is_address(words[0]):
            intake.reject(number, text, "does not begin with an address (a plain list? see --format)")
            continue
        if len(words) == 1:
            intake.reject(number, text, "an address without a name")
        for name in words[1:]:
            if name.lower() in _OWN:
                intake.notices.append(Notice(number, name, "the machine's own name: left out"))
            else:
                intake.take(number, name)


def is_address(word: str) -> bool:
    """Whether a word is an IPv4 or IPv6 address, with or without a zone (`fe80::1%lo0`)."""
    try:
        ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return False
    return True
