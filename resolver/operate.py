"""The commands of the person on call: `status`, `health`, `reload`, `workers restart`, `cache flush`.

Enters: the command line. Leaves: results on standard output; 1 where something was checked and found wanting. `status`
and `health` read files and work with every process dead; the others are done by the supervisor, through its socket.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.live import Live

from resolver import control
from resolver.config import locate
from resolver.health import reasons
from resolver.lists.command import as_json, located
from resolver.status import sample, screen
from resolver.status import status as gathered

if TYPE_CHECKING:
    from pathlib import Path

EVERY = 1.0  # seconds between two samples
LONG = 600.0  # seconds for the supervisor to replace all processes


@click.command()
@located
@as_json
@click.option("--watch", is_flag=True, help="Go on, once a second, until Ctrl-C.")
def status(path: Path | None, directory: Path | None, in_json: bool, watch: bool) -> None:
    """One screen: workers, load, upstreams, lists, log, alarms."""
    config = locate(path, directory)
    console = Console(highlight=False)
    before = sample(config.places)
    time.sleep(EVERY / 4 if not watch else EVERY)
    now = sample(config.places)
    said = gathered(config, before, now)
    if not watch:
        _print(said) if in_json else console.print(screen(said))
        return
    if in_json:
        while True:
            print(json.dumps(said), flush=True)  # one line a second, for whatever reads along
            time.sleep(EVERY)
            before, now = now, sample(config.places)
            said = gathered(config, before, now)
    with Live(screen(said), console=console, auto_refresh=False, screen=sys.stdout.isatty()) as live:
        while True:
            time.sleep(EVERY)
            before, now = now, sample(config.places)
            live.update(screen(gathered(config, before, now)), refresh=True)


@click.command()
@located
@as_json
@click.option("--name", default=".", show_default=True, help="The name to ask for (its NS records).")
@click.pass_context
def health(ctx: click.Context, path: Path | None, directory: Path | None, in_json: bool, name: str) -> None:
    """Should this host get queries? 0: yes; 1: no, and why. For BIRD, keepalived, load balancers."""
    found = reasons(locate(path, directory), name)
    if in_json:
        _print({"ok": not found, "reasons": found})
    else:
        click.echo("\n".join(found) if found else "healthy")
    ctx.exit(1 if found else 0)


@click.command()
@located
@as_json
def reload(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Take up the configuration anew, all of it or nothing of it. No query is lost."""
    answer = control.call(locate(path, directory).places.supervisor_socket, "reload", timeout=LONG)
    _print(answer) if in_json else click.echo(f"taken up by {', '.join(answer['replaced'])}")


@click.group()
def workers() -> None:
    """The DNS workers."""


@workers.command()
@located
@as_json
def restart(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Replace every worker, one by one; each successor serves before its predecessor drains."""
    answer = control.call(locate(path, directory).places.supervisor_socket, "restart-workers", timeout=LONG)
    _print(answer) if in_json else click.echo(f"replaced: {', '.join(answer['replaced'])}")


@click.group()
def cache() -> None:
    """The cache of the DNS workers."""


@cache.command()
@located
@as_json
def flush(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Forget every cached answer, on every worker."""
    answer = control.call(locate(path, directory).places.supervisor_socket, "flush-cache")
    _print(answer) if in_json else click.echo(f"told: {', '.join(answer['told'])}")


def _print(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))
