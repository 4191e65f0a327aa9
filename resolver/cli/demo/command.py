"""`stopsign demo`: the whole circle on loopback, with no root and no internet.

Enters: options. Leaves: what was asked and what came back, or JSON; then, unless `--once`, a provider that
serves until Ctrl-C. Rules: it is no second implementation: the issuer's half is what `stopsign issuer` calls, the
provider's half what `stopsign run` starts; probes ask from outside. 0: every probe came out as expected; 1: one did
not; 2: it could not be started.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blocklists.counted import counted
from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Mapping, Sequence

    from resolver.cli.demo.probes import Probe, Prober
    from resolver.cli.demo.tree import Ports, Tree
    from resolver.config.schema import Config, Endpoint
    from resolver.host.sockets import Listeners

READY = 120.0  # seconds for the list to become active; a million names take a few
REJECTS_SHOWN = 5
USUAL = {"dns": 5353, "stop": 8451, "portal": 8080}


class DemoError(ResolverError):
    """The demo could not be brought up."""


@click.command()
@click.option("--once", is_flag=True, help="Probe, print, end: status 0 if all came out as expected, else 1.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option(
    "--names", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Block the names of this file (plain, gzip or zstd; again for more).  [default: a small sample]",
)  # fmt: skip
@click.option("--upstream", metavar="ADDR", help="Relay to this resolver.  [default: a built-in one on loopback]")
@click.option("--dns-port", type=click.IntRange(0, 65_535), help="0: any free port.  [default: 5353 if it is free]")
@click.option("--stop-port", type=click.IntRange(0, 65_535), help="0: any free port.  [default: 8451 if it is free]")
@click.option("--portal-port", type=click.IntRange(0, 65_535), help="0: any free port.  [default: 8080 if it is free]")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="DNS processes.")
@click.option(
    "--dir", "folder", type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything in this folder.  [default: a temporary one, removed at the end]",
)  # fmt: skip
@click.pass_context
def demo(
    ctx: click.Context, once: bool, as_json: bool, names: tuple[Path, ...], upstream: str | None, dns_port: int | None,
    stop_port: int | None, portal_port: int | None, workers: int, folder: Path | None,
) -> None:  # fmt: skip
    """Everything on loopback: two signers, a published list, a provider, and probes of each part."""
    import asyncio

    from resolver.cli.demo.tree import Ports
    from resolver.host.sockets import open_listeners, parse

    own_upstream = parse(upstream) if upstream else None
    ports = Ports(
        _endpoint(dns_port, USUAL["dns"]), _endpoint(stop_port, USUAL["stop"]), _endpoint(portal_port, USUAL["portal"])
    )
    # Held from here on: to sign a million names takes a while.
    listeners = open_listeners(dns=[ports.dns], workers=workers, stop_page=[ports.stop_page], portal=[ports.portal])
    with contextlib.closing(listeners), _folder(folder) as place:
        ctx.exit(asyncio.run(_demo(place, names, ports, listeners, own_upstream, workers, once=once, as_json=as_json)))


def _endpoint(port: int | None, usual: int) -> Endpoint:
    """The port that was asked for; where none was, the usual one, or any other if somebody has that."""
    from resolver.config.schema import Endpoint
    from resolver.host.sockets import SocketError, free_endpoint

    if port:
        return Endpoint("127.0.0.1", port)
    try:
        return free_endpoint(Endpoint("127.0.0.1", usual if port is None else 0))
    except SocketError:
        return free_endpoint(Endpoint("127.0.0.1", 0))


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    import tempfile

    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="stopsign-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)


async def _demo(
    folder: Path, names: Sequence[Path], ports: Ports, listeners: Listeners, own: Endpoint | None, workers: int, *,
    once: bool, as_json: bool,
) -> int:  # fmt: skip
    import asyncio

    from resolver.cli.demo import show
    from resolver.cli.demo.probes import Prober
    from resolver.cli.demo.tree import places, planted
    from resolver.cli.demo.upstream import Upstream
    from resolver.config.schema import accept
    from resolver.host.run import Provider
    from resolver.ipc.supervisor_lock import only_one

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as undo:
        upstream = own
        if upstream is None:
            built_in = await Upstream.open()
            undo.callback(built_in.close)
            upstream = built_in.address
        started = time.monotonic()
        with only_one(places(folder)):  # a demo that runs in this folder keeps its tree as it is
            tree = await planted(folder, names, ports=ports, upstream=upstream, workers=workers)
        for line in tree.rejected[:REJECTS_SHOWN]:
            _say(f"line {line.line} rejected, {line.reason}: {line.text}")
        if len(tree.rejected) > REJECTS_SHOWN:
            _say(f"and {len(tree.rejected) - REJECTS_SHOWN:,} more lines")
        _say(f"{counted(tree.taken, 'name')} signed by two and published ({time.monotonic() - started:.1f} s)")
        accepted = accept(tree.config.absolute())
        config = accepted.config
        output = undo.enter_context((folder / "processes.log").open("ab", buffering=0))
        provider = Provider(accepted, output=output.fileno(), part_of="stopsign demo", listeners=listeners)
        undo.push_async_callback(provider.stop)
        await provider.start()
        looking = asyncio.create_task(provider.look_around())
        undo.callback(looking.cancel)
        active = await _active(config, tree, stop)
        if active is None:
            return 130
        _say(f"{counted(active, 'entry')} active ({time.monotonic() - started:.1f} s)")
        prober = Prober(ports, upstream, tree.listed, tree.others, config.places.log_dir)
        probes = await asyncio.to_thread(_probe, prober)
        ok = all(probe.ok for probe in probes)
        screen = show.console()
        if as_json:
            said = {"ok": ok, "active": active, "rejected": len(tree.rejected), "probes": [p.as_dict() for p in probes]}
            sys.stdout.write(json.dumps(said, indent=1) + "\n")
            sys.stdout.flush()
        else:
            show.report(screen, tree, active, probes, prober)
        if not once:
            await show.count(screen, config.places, stop)
        return 0 if ok else 1


def _probe(prober: Prober) -> list[Probe]:
    return list(prober.run())


async def _active(config: Config, tree: Tree, stop: asyncio.Event) -> int | None:
    """Waits until every worker has the list that was published; how many entries it has. None: told to stop."""
    import asyncio

    from resolver.ipc import worker_counters

    deadline = time.monotonic() + READY
    workers = config.require_dns().workers
    while not stop.is_set():
        said = [worker.said for worker in worker_counters.workers(config.places)]
        if len(said) == workers and all(_version(one) == tree.version for one in said):
            return int(said[0]["entries"])
        why = await _held(config)
        if why or time.monotonic() > deadline:
            raise DemoError(
                f"the list did not become active: {why or f'not within {READY:g} s'}",
                hint=f"what the processes said last:\n{_last_words(tree.folder)}",
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await stop.wait()
    return None


def _version(said: Mapping[str, Any]) -> object:
    """Of the demo's list, as a worker has it; None: it has none yet."""
    from resolver.cli.demo.tree import LIST

    return next((one["version"] for one in said.get("lists", ()) if one["name"] == LIST), None)


async def _held(config: Config) -> str:
    """Why the steward does not let the list through; empty: it does, or does not say yet."""
    from resolver.ipc.control import ControlError, acall

    try:
        answer = await acall(config.places.control_socket, "status", timeout=5.0)
    except ControlError:
        return ""
    reasons: list[str] = []
    for one in answer.get("lists", ()):
        if one.get("held"):
            reasons += [str(reason["text"]) for reason in one["held"]["reasons"]]
        if one.get("refusal"):
            reasons.append(str(one["refusal"]["text"]))
    return "; ".join(reasons)


def _last_words(folder: Path) -> str:
    lines = (folder / "processes.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-15:])


def _say(text: str) -> None:
    click.echo(f"demo: {text}", err=True)
