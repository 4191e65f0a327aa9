"""What the demo makes before a provider starts: an issuer with two signers, a published list, a configuration.

Enters: a folder, the files of names, ports. Leaves: a `Tree`:

    DIR/  issuer/        the desk and its two signers, Alice and Bob (their passphrase is no secret)
          published      what a web host would serve
          stopsign.yaml  the provider's configuration
          state/ run/    the provider's own
          log/           what it commits to in public

Everything that is made of a million names is made in a process of its own (`planted`), which gives its memory back.
A folder that a demo made before is used again: same keys, same log, the new names as the list's next version. The
configuration is written at each start, and says so.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

import yaml

from blocklists.entry import at_or_above
from blocklists.head import Basis, Issuer
from blocklists.importers import formats
from blocklists.importers.intake import Intake
from blocklists.issuer.propose import ProposeError
from blocklists.issuer.rehearsal import Rehearsal
from resolver.base.errors import ResolverError
from resolver.base.paths import Places
from resolver.config.schema import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from blocklists.entry import Match
    from blocklists.importers.source import Rejection
    from resolver.config.schema import Endpoint

LIST, CATEGORY, GROUND = "demo", "demonstration", "order-1"
STATE, RUN, LOG = "state", "run", "log"
STOP_ADDRESS = "192.0.2.66"
REFRESH = "2s"
OTHERS = ("debian.org", "wikipedia.org", "python.org", "example.com", "iana.org")

ISSUER = Issuer("Authority for Demonstrations", "list@authority.example", "appeals@authority.example")
BASIS = Basis(
    law="Demonstration Act, section 1",
    authority="Authority for Demonstrations",
    order="1/2026",
    date="2026-11-22",
    territory="DE",
    court="Administrative Court of Example",
    overdue_suspends=True,
)


@dataclass(frozen=True)
class Ports:
    """Where the demo listens on 127.0.0.1."""

    dns: Endpoint
    stop_page: Endpoint
    portal: Endpoint


@dataclass(frozen=True)
class Listed:
    """A name on the list, and what to ask to meet it."""

    name: str
    match: Match

    @property
    def asked(self) -> tuple[str, ...]:
        """Names that the entry stops: its own where it does, and one below it where it does."""
        own = () if self.match == "below" else (self.name,)
        below = () if self.match == "exact" or len(self.name) >= 240 else (f"www.{self.name}",)
        return (*own, *below)


@dataclass(frozen=True)
class Tree:
    """What was made."""

    folder: Path
    config: Path
    taken: int
    """Names that are on the list now."""
    listed: tuple[Listed, ...]
    """Of them the first, one from the middle, and the last."""
    others: tuple[str, ...]
    """Well-known names that neither are on it nor lie below one that is."""
    rejected: tuple[Rejection, ...]
    """Lines that were not."""
    version: int
    """Of the list, as it is published now."""


def places(folder: Path) -> Places:
    """Where the demo's provider keeps its things, as `_configuration` names them."""
    return Places(folder / STATE, folder / RUN, folder / LOG)


async def planted(folder: Path, files: Sequence[Path], *, ports: Ports, upstream: Endpoint, workers: int) -> Tree:
    """`plant`, in another process."""
    work = partial(plant, folder, files, ports=ports, upstream=upstream, workers=workers)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_leave_interrupts) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def _leave_interrupts() -> None:
    """A Ctrl-C at the terminal reaches both; one of them is to act on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def plant(folder: Path, files: Sequence[Path], *, ports: Ports, upstream: Endpoint, workers: int) -> Tree:
    """Makes the tree. Raises `BlocklistError` where a file cannot be read, `ResolverError` where no line is a name."""
    intake = Intake("subtree")
    if files:
        for file in files:
            formats.read(file, intake, form="auto")
    else:
        with importlib.resources.as_file(importlib.resources.files("resolver.cli.demo") / "sample.domains") as sample:
            formats.read(sample, intake, form="auto")
    if not intake.candidates:
        why = f"line {intake.rejected[0].line}: {intake.rejected[0].reason}" if intake.rejected else "they are empty"
        raise ResolverError(
            f"no line of {', '.join(str(f) for f in files)} can be listed ({why})",
            hint="one name a line, as in example.com",
        )
    folder.mkdir(parents=True, exist_ok=True)
    version = _publish(folder, intake)
    config = folder / FILE_NAME
    config.write_text(_configuration(folder, ports, upstream, workers), encoding="utf-8")
    names = [candidate.name for candidate in intake.candidates]
    chosen = (intake.candidates[at] for at in (0, len(names) // 2, -1))
    listed = tuple(dict.fromkeys(Listed(candidate.name, candidate.match) for candidate in chosen))
    others = tuple(name for name in OTHERS if set(names).isdisjoint(at_or_above(name)))
    return Tree(folder, config, len(names), listed, others, tuple(intake.rejected), version)


def _publish(folder: Path, intake: Intake) -> int:
    desk = folder / "issuer"
    if (desk / "desk.json").exists():
        rehearsal = Rehearsal.open(desk)
    else:
        rehearsal = Rehearsal.create(desk, ISSUER)
        rehearsal.add_basis(LIST, GROUND, BASIS)
    try:
        rehearsal.put(LIST, intake.candidates, basis=GROUND, category=CATEGORY, replace=True)
    except ProposeError:  # the same names as last time
        rehearsal.refresh_timestamp()
    published = folder / "published"
    if not published.is_symlink():
        published.symlink_to("issuer/published", target_is_directory=True)
    head = rehearsal.desk.head(LIST)
    return head.version if head else 0


def _configuration(folder: Path, ports: Ports, upstream: Endpoint, workers: int) -> str:
    settings = {
        "state_dir": STATE,
        "run_dir": RUN,
        "provider": {"name": "Example Net", "url": f"http://{ports.portal}/"},
        "dns": {
            "listen": [str(ports.dns)],
            "workers": workers,
            "upstreams": [str(upstream)],
            "allow_clients": ["127.0.0.0/8"],
        },
        "stop_page": {"listen": [str(ports.stop_page)], "ipv4": STOP_ADDRESS},
        "portal": {"listen": [str(ports.portal)], "url": f"http://{ports.portal}"},
        "lists": [
            {
                "name": LIST,
                "repository": "published",
                "trusted_root": "issuer/root.json",
                "refresh": REFRESH,
                # Nobody sits at the demo's desk to approve the first load; a provider's first load waits for a person.
                "approve_first": True,
            }
        ],
        "log": {"dir": LOG},
    }
    made = f"# Made by `stopsign demo` in {folder}, {datetime.now(UTC):%Y-%m-%d}; each start writes it again.\n"
    edit = "# To change it, copy the folder and start `stopsign run --config` with the copy.\n"
    return made + edit + yaml.safe_dump(settings, sort_keys=False)
