"""The commands of the person on call: `status`, `health`, `reload`, `workers restart`, `cache flush`.

Enters: the command line. Leaves: results on standard output; 1 where something was checked and found wanting. `status`
and `health` read files and work with every process dead; the others are done by the supervisor, through its socket, or
as `take-over` to it.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

import click

from resolver.base.errors import ResolverError
from resolver.cli.options import as_json, legible, located, print_json, say, warn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console, Group

    from resolver.config.schema import Config

EVERY = 1.0  # seconds between two samples
CURVE = 60  # of them are shown as a curve
LONG = 600.0  # seconds for the supervisor to replace all workers
PATIENCE = 5.0  # seconds for it to say that it does not hang


@click.command()
@located
@as_json
@click.option("--watch", is_flag=True, help="Go on, once a second, until Ctrl-C.")
@click.option("--all", "at_all", is_flag=True, help="All hosts that share the appeals database, as they report there.")
@click.pass_context
def status(
    ctx: click.Context, path: Path | None, directory: Path | None, in_json: bool, watch: bool, at_all: bool
) -> None:
    """One screen: workers, load, upstreams, lists, log, alarms. Exits 1 where no process lives or answers at all.

    With --all: each host's version, lists, alarms, and whether it is silent or behind. Exits 1 where one is silent.
    """
    from rich.console import Console
    from rich.live import Live

    from resolver.cli.screen import screen
    from resolver.cli.status import anybody

    config = legible(path, directory)
    console = Console(highlight=False)
    if at_all:
        if watch:
            raise click.UsageError("--watch looks at one host; --all is asked again")
        ctx.exit(_all_hosts(config, console, in_json=in_json))
    looks = _looks(config, EVERY if watch else EVERY / 4)
    if not watch:
        said = next(looks)
        print_json(said) if in_json else console.print(_fitting(console, screen(said)))
        ctx.exit(0 if anybody(said) else 1)
    if in_json:
        for said in looks:
            print(json.dumps(said), flush=True)  # one line a second, for whatever reads along
        return
    screens = _screens(looks)
    if sys.stdout.isatty():
        with Live(console=console, auto_refresh=False, screen=True) as live:
            for one in screens:
                live.update(one, refresh=True)
        return
    for one in screens:  # nothing to draw over: each below the one before
        with console.capture() as drawn:
            console.print(_fitting(console, one))
        click.echo(drawn.get())


def _screens(looks: Iterator[dict[str, Any]]) -> Iterator[Group]:
    from resolver.cli.screen import screen

    curve: deque[float] = deque(maxlen=CURVE)
    for said in looks:
        curve.append(said["queries"]["per_second"])
        yield screen(said, curve)


def _fitting(console: Console, shown: Group) -> Group:
    """A file or a pipe becomes as wide as the longest line wants; a terminal is as wide as it is."""
    from rich.measure import Measurement

    if not console.is_terminal:
        unbounded = console.options.update(max_width=1 << 16)
        console.width = max(console.width, Measurement.get(console, unbounded, shown).maximum)
    return shown


def _all_hosts(config: Config, console: Console, *, in_json: bool) -> int:
    from resolver.cli import fleet

    every = fleet.hosts(config)
    if not every:
        raise ResolverError("no host has reported to this database", hint="the web process reports every ten seconds")
    print_json(fleet.as_json(every)) if in_json else console.print(fleet.screen(every, time.time()))
    return 1 if any(host.silent for host in every) else 0


def _looks(config: Config, every: float) -> Iterator[dict[str, Any]]:
    """The status over and over, each over the time since the one before, or where nothing was asked in it over all
    that are shown as a curve."""
    from resolver.cli.status import sample
    from resolver.cli.status import status as gathered

    past = deque([sample(config.places)], maxlen=CURVE)
    while True:
        time.sleep(every)
        now = sample(config.places)
        yield gathered(config, past[-1], now, past[0])
        past.append(now)


@click.command()
@located
@as_json
@click.option("--name", help="The name to ask for (its NS records).  [default: dns.health_name]")
@click.pass_context
def health(ctx: click.Context, path: Path | None, directory: Path | None, in_json: bool, name: str | None) -> None:
    """Should this host get queries? 0: yes; 1: no, and why; 2: unknown. For BIRD, keepalived, balancers."""
    from resolver.host.health import of_zones, reasons

    config = legible(path, directory)
    found = reasons(config, name) if config.dns is not None else of_zones(config)
    if in_json:
        print_json({"ok": not found, "reasons": found})
    else:
        say(*(found or ["healthy"]))
    ctx.exit(1 if found else 0)


untried = click.option(
    "--no-trial",
    is_flag=True,
    help="Do not try ports, upstreams, roots, files and folders first, as check-config does.",
)


@click.command()
@located
@untried
@as_json
def reload(path: Path | None, directory: Path | None, no_trial: bool, in_json: bool) -> None:
    """Apply the configuration: every process or none. No query is lost."""
    _everywhere("reload", path, directory, tries=not no_trial, in_json=in_json)


@click.command("restart")
@located
@untried
@as_json
def restart_program(path: Path | None, directory: Path | None, no_trial: bool, in_json: bool) -> None:
    """Restart every process with the installed program. Each re-executes itself; no query is lost.

    It applies the configuration too: every process or none. Addresses and the number of workers stay as they are.
    """
    _everywhere("restart", path, directory, tries=not no_trial, in_json=in_json)


def _everywhere(
    op: Literal["reload", "restart"], path: Path | None, directory: Path | None, *, tries: bool, in_json: bool
) -> None:
    import asyncio

    from resolver.config.schema import located_at
    from resolver.host.apply import everywhere

    came = asyncio.run(everywhere(located_at(path, directory).absolute(), op, tries=tries, warn=warn))
    if in_json:
        print_json({"replaced": came.replaced, "dead": came.dead})
    else:
        say(f"applied by {', '.join(came.replaced)}")
    for name in came.dead:
        warn(f"{name} is dead: it reads the file when it starts again; if it stays dead, its journal says why")
    click.get_current_context().exit(1 if came.dead else 0)


@click.command("take-over")
@located
@as_json
def take_over(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Let clients ask: sockets of DNS that heard one interface alone hear everybody, at once and without a restart.

    For a socket unit that was started with BindToDevice=lo, while another resolver still answers. As root.
    """
    from resolver.host.take_over import hear_everybody
    from resolver.ipc import control

    config = legible(path, directory)
    supervisor = control.call(config.places.supervisor_socket, "status", timeout=PATIENCE)
    encrypted = (*config.dns_tls_listen, *config.dns_https_listen, *config.dns_quic_listen)
    freed = hear_everybody(int(supervisor["pid"]), [*config.dns_listen, *encrypted])
    if in_json:
        print_json({"freed": freed})
    else:
        click.echo(f"hears everybody now: {', '.join(freed)}" if freed else "hears everybody already")


@click.group()
def workers() -> None:
    """The DNS workers."""


@workers.command()
@located
@as_json
def restart(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Replace every worker, one by one; each successor serves before its predecessor drains."""
    from resolver.ipc import control

    supervisor = legible(path, directory).places.supervisor_socket
    control.call(supervisor, "status", timeout=PATIENCE)  # one that hangs is not given the time that work may take
    answer = control.call(supervisor, "restart-workers", timeout=LONG)
    print_json(answer) if in_json else say(f"replaced: {', '.join(answer['replaced'])}")


@click.group()
def cache() -> None:
    """The cache of the DNS workers."""


@cache.command()
@located
@as_json
def flush(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Forget every cached answer, on every worker."""
    from resolver.ipc import control

    answer = control.call(legible(path, directory).places.supervisor_socket, "flush-cache", timeout=PATIENCE)
    print_json(answer) if in_json else say(f"told: {', '.join(answer['told'])}")
