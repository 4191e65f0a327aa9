"""`stopsign run`: starts the three wings and keeps them running.

Enters: a configuration. Leaves: a provider that serves until SIGTERM. Rules: every mistake of the configuration and
every port that is taken is said before anything starts; the wings are processes of their own, so that none can take
another down; the sockets are opened here, or come from systemd, and are handed on by inheritance.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import resource
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resolver import watched
from resolver.config import FILE_NAME, STANDARD, Config, load
from resolver.control import Callers, Operation, serve
from resolver.dns.supervisor import Service, Supervisor, count_workers
from resolver.errors import ResolverError
from resolver.logs import to_standard_error
from resolver.notify import notify, watchdog_interval
from resolver.sockets import SOCKETS, Listeners, from_systemd, open_listeners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from resolver.control import Peer, Reply

# What belongs to sockets and folders that are held for as long as the supervisor lives.
_FIXED: dict[str, Callable[[Config], object]] = {
    "dns.listen": lambda config: config.dns.listen,
    "dns.workers": lambda config: config.dns.workers,
    "stop_page.listen": lambda config: config.stop_page.listen,
    "portal.listen": lambda config: config.portal.listen,
    "rpz.listen": lambda config: config.rpz.listen,
    "rpz.listen_tls": lambda config: config.rpz.listen_tls,
    "rpz.zones (none, or some)": lambda config: bool(config.rpz.zones),
    "state_dir": lambda config: config.state_dir,
    "run_dir": lambda config: config.run_dir,
}
log = logging.getLogger("stopsign.supervisor")
WINGS = ("dns", "steward", "web", "rpz")
MODULES = {
    "dns": "resolver.dns.worker",
    "steward": "resolver.lists.steward",
    "web": "resolver.portal.app",
    "rpz": "resolver.rpz.primary",
}


def command_of(wing: str, path: Path, *more: str) -> tuple[str, ...]:
    # -P: the folder that one happens to stand in is no place to import from.
    return (sys.executable, "-P", "-m", "resolver.child", MODULES[wing], "--config", str(path), *more)


def services(config: Config, path: Path, listeners: Listeners, wings: Iterable[str]) -> list[Service]:
    """The processes of this host. DNS and web end first, the steward last: it still logs what the others say."""
    found: list[Service] = []
    secret = {watched.KEY: secrets.token_hex(16)}  # in memory alone, and another at each start
    if "dns" in wings:
        found += [
            Service(
                name=f"dns-{index}",
                command=command_of("dns", path, "--index", str(index)),
                sockets=listeners.of_worker(index),
                heartbeat=config.places.counters(index),
                says_ready=True,
                environment=secret,
            )
            for index in range(count_workers(config.dns))
        ]
    if "steward" in wings:
        found.append(Service(name="steward", command=command_of("steward", path), order=1))
    if "web" in wings and (listeners.stop_page or listeners.portal):
        found.append(Service(name="web", command=command_of("web", path), sockets=listeners.of_web()))
    if "rpz" in wings and config.rpz.zones:
        found.append(Service(name="rpz", command=command_of("rpz", path), sockets=listeners.of_rpz()))
    return found


class Provider:
    """A provider's host, running: what `stopsign run` and `stopsign demo` both start.

    Raises `ResolverError` where a port is taken or another one already runs on the same `run_dir`.
    """

    def __init__(self, config: Config, path: Path, *, wings: Iterable[str] = WINGS, output: int | None = None) -> None:
        wings = tuple(wings)
        self._config, self._path = config, path
        self._control: asyncio.Server | None = None
        self._turn = asyncio.Lock()
        with contextlib.ExitStack() as undo:
            self._lock = undo.enter_context(only_one(config.places.run_dir))
            self.listeners = from_systemd(os.environ, os.getpid()) or open_listeners(
                dns=config.dns.listen if "dns" in wings else (),
                workers=count_workers(config.dns),
                stop_page=config.stop_page.listen if "web" in wings else (),
                portal=config.portal.listen if "web" in wings else (),
                rpz=config.rpz.listen if "rpz" in wings else (),
                rpz_tls=config.rpz.listen_tls if "rpz" in wings else (),
            )
            undo.callback(self.listeners.close)
            self._undo = undo.pop_all()
        self._sweep()
        environment = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", SOCKETS)}
        self.supervisor = Supervisor(
            services(config, path.resolve(), self.listeners, wings),
            retired=config.places.workers / "retired.counters",
            output=output,
            environment=environment,
        )

    async def start(self) -> None:
        self.supervisor.start()
        self._say_where()
        operations = {
            "status": Operation(self._status, reporters=True),
            "reload": Operation(lambda *_: self.reload()),
            "restart-workers": Operation(lambda *_: self.restart_workers()),
            "flush-cache": Operation(self._flush_cache),
        }
        places = self._config.places
        self._control = await serve(places.supervisor_socket, operations, Callers.of(self._config.control))

    async def stop(self) -> None:
        if self._control is not None:
            self._control.close()
        await self.supervisor.stop()
        self._config.places.addresses.unlink(missing_ok=True)
        self._undo.close()

    async def reload(self) -> dict[str, Any]:
        """Takes up the configuration file anew: every process is replaced, the workers one by one.

        Raises `ResolverError`, and nothing is changed, where the file has mistakes or needs other sockets.
        """
        async with self._turn:
            config = load(self._path)
            if wrong := [key for key, value in _FIXED.items() if value(config) != value(self._config)]:
                raise ResolverError(
                    f"{', '.join(wrong)} cannot change while the sockets are open", hint="restart instead of reload"
                )
            self._config = config
            replaced = await self._replace_workers()
            for name in ("web", "rpz", "steward"):
                if name in self.supervisor.names:
                    await self.supervisor.restart(name)
                    replaced.append(name)
            return {"replaced": replaced}

    async def restart_workers(self) -> dict[str, Any]:
        async with self._turn:
            return {"replaced": await self._replace_workers()}

    async def _replace_workers(self) -> list[str]:
        replaced = []
        for name in (name for name in self.supervisor.names if name.startswith("dns-")):
            if not await self.supervisor.replace(name):
                raise ResolverError(f"the successor of {name} did not come up; the rest goes on as it was")
            replaced.append(name)
        return replaced

    async def _status(self, _peer: Peer, _request: Mapping[str, Any]) -> Reply:
        names = self.supervisor.names
        services = [
            {"name": name, "pid": self.supervisor.pid(name), "restarts": self.supervisor.restarts(name)}
            for name in names
        ]
        return {"services": services, "alarms": [f"{one['name']} is down" for one in services if one["pid"] is None]}

    async def _flush_cache(self, _peer: Peer, _request: Mapping[str, Any]) -> Reply:
        told = [name for name in self.supervisor.names if name.startswith("dns-")]
        for name in told:
            self.supervisor.signal(name, signal.SIGUSR1)
        return {"told": told}

    def _sweep(self) -> None:
        """What workers of an earlier run said of themselves is no longer true."""
        folder = self._config.places.workers
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            left.unlink()

    def _say_where(self) -> None:
        """`run_dir/addresses.json`: who supervises, and where it really listens (port 0 resolved)."""
        said = {"pid": os.getpid(), "services": self.supervisor.names, **self.listeners.addresses()}
        path = self._config.places.addresses
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(said), encoding="utf-8")
        temporary.replace(path)


@contextlib.contextmanager
def only_one(run_dir: Path) -> Iterator[int]:
    """Holds `run_dir` for this process. Raises `ResolverError` where another holds it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(run_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResolverError(
                f"another Stopsign already runs with {run_dir}", hint="stop it first, or give this one its own run_dir"
            ) from None
        yield descriptor
    finally:
        os.close(descriptor)


async def provide(config: Config, path: Path, wings: Iterable[str]) -> None:
    """Serves until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    provider = Provider(config, path, wings=wings)
    await provider.start()
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGHUP, lambda: tasks.add(asyncio.create_task(_reload(provider)))
    )
    tasks: set[asyncio.Task[None]] = {asyncio.create_task(_say_ready(provider)), asyncio.create_task(_pat_watchdog())}
    try:
        await stop.wait()
    finally:
        notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        await provider.stop()


async def _reload(provider: Provider) -> None:
    """SIGHUP: as `stopsign reload`, but nobody hears the answer, so it is logged."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        answer = await provider.reload()
    except ResolverError as wrong:
        log.error("the new configuration is refused, the old one goes on: %s", wrong)  # noqa: TRY400
    else:
        log.info("the new configuration is taken up by %s", ", ".join(answer["replaced"]))
    notify("READY=1")


async def _say_ready(provider: Provider) -> None:
    await provider.supervisor.serving()
    notify("READY=1", f"STATUS=serving {', '.join(provider.listeners.addresses()['dns'])}")


async def _pat_watchdog() -> None:
    interval = watchdog_interval()
    while interval is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)


def become(wing: str, config: Config, path: Path) -> None:
    """Turns this process into the steward, the web process or that of the zones; under systemd each is a unit."""
    listeners = Listeners()
    if wing == "web":
        listeners = from_systemd(os.environ, os.getpid()) or open_listeners(
            stop_page=config.stop_page.listen, portal=config.portal.listen
        )
    elif wing == "rpz":
        listeners = from_systemd(os.environ, os.getpid()) or open_listeners(
            rpz=config.rpz.listen, rpz_tls=config.rpz.listen_tls
        )
    passed = listeners.of_rpz() if wing == "rpz" else listeners.of_web()
    for fd in (fd for fds in passed.values() for fd in fds):
        os.set_inheritable(fd, True)
    command = command_of(wing, path)
    os.execve(command[0], command, {**os.environ, SOCKETS: json.dumps(passed)})  # noqa: S606


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path, dir_okay=False), help="The configuration.")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="A tree that `demo` made.")
@click.option("--only", type=click.Choice(WINGS), help="One wing alone, as its own unit.")
def run(path: Path | None, directory: Path | None, only: str | None) -> None:
    """Start the provider's side and serve until SIGTERM: DNS, the steward, the stop page and the portal, the zones.

    DNS answers also with the others dead; each process that ends is started again.
    """
    if path is not None and directory is not None:
        raise click.UsageError("--config and --dir name two configurations; give one of them")
    path = path or (directory / FILE_NAME if directory else STANDARD)
    config = load(path)
    to_standard_error()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if only in ("steward", "web", "rpz"):
        become(only, config, path)
    asyncio.run(provide(config, path, WINGS if only is None else (only,)))
