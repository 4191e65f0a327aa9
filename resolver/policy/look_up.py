"""The entries of the live list for a name, or under a reference, from the file that the workers read.

Enters: `run_dir/current.list`, a name, a reference. Leaves: entries. Needs no process. Every reader of a compiled list
uses `opened`: another process may have put something else under that name.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from resolver._core import CompiledList, CoreError
from resolver.base import atomic
from resolver.base.errors import ResolverError
from resolver.policy.description import Generation

if TYPE_CHECKING:
    from pathlib import Path

    from resolver._core import Match
    from resolver.base.paths import Places


LARGEST = 2 << 30  # octets; some 28 a name


class ListedError(ResolverError):
    """There is no list to look at."""


def opened(path: Path) -> CompiledList:
    """The compiled list in a file. Raises `CoreError`."""
    try:
        with atomic.opened(path, LARGEST) as file:
            return CompiledList.open(f"/proc/self/fd/{file.fileno()}")  # the very file that was looked at
    except OSError as error:
        raise CoreError(f"unreadable: {error.strerror}") from error


def is_lost(places: Places) -> bool:
    """Whether a list was live that the tmpfs does not hold any more: after a reboot."""
    was_live, is_live = (os.access(path, os.F_OK) for path in (places.generation, places.current))
    return was_live and not is_live


def live(places: Places) -> tuple[CompiledList, Generation]:
    """The list, and what its `meta` says."""
    try:
        compiled = opened(places.current)
        return compiled, Generation.parse(compiled.meta)
    except (CoreError, ValueError) as error:
        hint = "without a compiled list everything is forwarded; `stopsign lists status` says more"
        raise ListedError(f"the live list cannot be read: {error}", hint=hint) from error


def covering(compiled: CompiledList, name: str, now: float) -> list[Match]:
    """The entries at or above the name that cover it, or all below it, and have not expired."""
    found = (match for match in compiled.look_up(name) if match.expires > now)
    return [match for match in found if match.match != "exact" or match.distance == 0]


def under(compiled: CompiledList, reference: str) -> Match | None:
    """The entry with this reference."""
    return next(iter(compiled.find({reference})), None)
