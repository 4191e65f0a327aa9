"""A zone as a file, for resolvers that read files: written whole or not at all, then a command is run.

Enters: the rules of a zone and its serial. Leaves: a zone file under its name (RFC 1035, 5), and the command's success.
Rules: a reader sees the old file or the new one; a command that fails or hangs is said and changes nothing.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, TextIO

from blocklists import durable
from blocklists.errors import why
from resolver.rpz import knot6
from resolver.rpz.zone import RpzError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from resolver.rpz.zone import Zone

LONGEST = 120.0  # seconds for the command
_SOA = re.compile(rb"^@ SOA \S+ \S+ (\d+) ", re.MULTILINE)


def write(zone: Zone, serial: int, rules: Path, file: TextIO) -> list[str]:
    """The zone file, line by line, in the zone's dialect. A sentence on what that cannot say."""
    if zone.dialect == "knot6":
        unsaid = knot6.unsaid(zone, rules)
        file.writelines(knot6.lines(zone, serial, rules, frozenset(unsaid.lifted)))
        return unsaid.complaints()
    with rules.open("rb") as lines:
        file.writelines(zone.lines(serial, lines))
    return []


def put(zone: Zone, serial: int, rules: Path, path: Path) -> list[str]:
    """The zone file under the name `path`, as `write`. `RpzError` where it cannot be written."""
    try:
        with durable.replaced(path) as temporary, temporary.open("w", encoding="ascii") as file:
            unsaid = write(zone, serial, rules, file)
    except OSError as error:
        raise RpzError(f"{path} cannot be written ({error.strerror})") from error
    return unsaid


def run_after(command: Sequence[str]) -> None:
    """Runs the command and waits for it. `RpzError` says what it said, where it fails."""
    if not command:
        return
    shown = " ".join(command)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RpzError(f"the zone file is written, but {shown!r} cannot be run ({why(error)})") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-200:]
        raise RpzError(f"the zone file is written, but {shown!r} ended with {done.returncode}: {said}")


def serial_in(path: Path) -> int:
    """The serial of the zone file that is there already; 0: there is none."""
    try:
        with path.open("rb") as file:
            found = _SOA.search(file.read(4096))
    except OSError:
        return 0
    return int(found[1]) if found else 0
