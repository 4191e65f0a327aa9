"""`stopsign run`: the provider's side, or one of its processes as a unit of its own."""

from __future__ import annotations

import resource
import signal
from typing import TYPE_CHECKING

import click

from resolver.base.wings import WINGS
from resolver.cli.options import located

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@located
@click.option("--only", type=click.Choice(WINGS), help="One wing alone, as its own unit.")
def run(path: Path | None, directory: Path | None, only: str | None) -> None:
    """Start the provider's side and serve until SIGTERM: DNS, the steward, the stop page and the portal, the zones.

    DNS answers also with the others dead; each process that ends is started again.
    """
    import asyncio

    from resolver.base.journal import to_standard_error
    from resolver.config.schema import accept, located_at
    from resolver.host.run import become, hold_hangups, provide

    if only in (None, "dns"):
        hold_hangups(signal.SIG_BLOCK)
    path = located_at(path, directory)
    accepted = accept(path.absolute())
    to_standard_error()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if only == "dns":
        accepted.config.require_dns()
    if only in ("steward", "web", "rpz"):
        become(only, accepted.config, accepted.path)
    asyncio.run(provide(accepted, WINGS if only is None else (only,)))
