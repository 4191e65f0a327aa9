"""`stopsign run`: starts the processes and keeps them running.

Enters: a configuration. Leaves: a provider that serves until SIGTERM. Rules: every mistake of the configuration and
every occupied port is reported before anything starts. DNS, steward, web and zones are processes of their own, so none
can take another down. The sockets are opened here, or come from systemd, and are inherited.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from blocklists.errors import why
from resolver.base.errors import ResolverError
from resolver.base.journal import about
from resolver.base.wings import WINGS
from resolver.config.accepted import keep
from resolver.config.sealed import USE, seal
from resolver.host import health
from resolver.host.apply import OF_DNS, OF_RPZ, Held, everywhere
from resolver.host.child import re_execute
from resolver.host.foreign import Foreign, foreign, programs
from resolver.host.service import LIST_BY, Service, count_workers
from resolver.host.shared_secrets import SharedSecrets
from resolver.host.sockets import OF_WORKERS, SOCKETS, Listeners, taken_or_opened
from resolver.host.supervisor import Supervisor
from resolver.host.systemd import beat, notify
from resolver.host.take_over import devices
from resolver.ipc import addresses, worker_files
from resolver.ipc.control import Operation, Served, UnreachableError, has_socket, serve
from resolver.ipc.supervisor_lock import is_lost, only_one, only_steward
from resolver.ipc.worker_counters import retired_file
from resolver.policy import exceptions, in_force

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from resolver.config.schema import Accepted, Config
    from resolver.ipc.control import Peer, Reply

log = logging.getLogger("stopsign.supervisor")
LEFT = "STOPSIGN_LEFT"  # what a supervisor passes to itself over a re-exec
SLOW = 30.0  # seconds without a heartbeat, for processes no query waits for; long work is done in threads
REBOOTED = 10.0  # seconds that workers wait for the list after a reboot
OTHERS, LEAVING = 60.0, 5.0  # seconds between two looks for other listeners on DNS ports; while there is one
LOOK = 2.0  # seconds between two looks whether `run_dir` is whole
# Niceness of the others: people wait for the web process, nobody for the rest.
BACKGROUND = {"web": 5, "steward": 10, "rpz": 10}
MODULES = {
    "dns": "resolver.dns.worker",
    "steward": "resolver.lists.steward",
    "web": "resolver.portal.app",
    "rpz": "resolver.rpz.primary",
}


def command_of(wing: str, path: Path, *more: str) -> tuple[str, ...]:
    background = ("--background", str(BACKGROUND[wing])) if wing in BACKGROUND else ()
    # -P: do not import from the current folder.
    return (sys.executable, "-P", "-m", "resolver.host.child", *background, MODULES[wing], "--config", str(path), *more)


def services(
    accepted: Accepted, sealed: int, listeners: Listeners, wings: Iterable[str], shared: SharedSecrets
) -> list[Service]:
    """The processes of this host. DNS and web end first, the steward last: it logs what the others report.

    `sealed`: the bytes of the accepted configuration, which they read instead of the file. `shared`: by workers.
    """
    config, path = accepted.config, accepted.path
    found: list[Service] = []

    def other(name: str, sockets: Mapping[str, Sequence[int]], order: int = 0) -> Service:
        sockets = {**sockets, USE: [sealed]}
        return Service(name, command_of(name, path), sockets, patience=SLOW, order=order)

    of_workers = {LIST_BY: f"{time.monotonic() + REBOOTED}"}
    if "dns" in wings:
        found += [
            Service(
                name=f"dns-{index}",
                command=command_of("dns", path, "--index", str(index)),
                sockets={**listeners.of_worker(index, count_workers(config.dns)), USE: [sealed]},
                heartbeat=config.places.counters(index),
                says_ready=True,
                environment=of_workers,
                secrets=shared,
            )
            for index in range(count_workers(config.dns))
        ]
    if "steward" in wings:
        found.append(other("steward", {}, order=1))
    if "web" in wings and (listeners.stop_page or listeners.portal):
        found.append(other("web", listeners.of_web()))
    if "rpz" in wings and config.rpz.zones:
        found.append(other("rpz", listeners.of_rpz()))
    return found


class Provider:
    """A provider's host, running: what `stopsign run` and `stopsign demo` both start.

    Raises `ResolverError` where a port is taken or another one already runs with this `run_dir` or `state_dir`.
    """

    def __init__(
        self,
        accepted: Accepted,
        *,
        wings: Iterable[str] = WINGS,
        output: int | None = None,
        part_of: str | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        """`listeners`: sockets that are open already; by default those of systemd, or new ones."""
        config = accepted.config
        self._config, self._wings = config, tuple(wing for wing in wings if wing != "dns" or config.dns is not None)
        fixed = {**OF_DNS, **OF_RPZ} if "rpz" in self._wings else OF_DNS
        self._held = Held(accepted, fixed, self._apply, self._re_execute, part_of=part_of)
        left = json.loads(os.environ.pop(LEFT, "null"))
        self._children: dict[str, int] | None = left and left["children"]
        # It stays the same over a re-exec, while any worker of this run lives: `stopsign health` compares it.
        self._health_mark = (left or {}).get("health_mark") or secrets.token_hex(16)
        self._sealed = seal(accepted.data)
        self._secrets = SharedSecrets((left or {}).get("secrets"))
        self._control: Served | None = None
        self._turn = asyncio.Lock()
        self.foreign: list[Foreign] = []
        self._since = time.monotonic()
        with contextlib.ExitStack() as undo:
            self._lock = undo.enter_context(only_one(config.places, left and left["lock"]))
            if left is None and "steward" in wings:
                with only_steward(config.places):  # else its own would never come up
                    pass
            if left is not None:
                self.listeners = Listeners.of_descriptors(left["listeners"])
            else:
                self.listeners = listeners or taken_or_opened(
                    os.environ,
                    dns=config.dns_listen if "dns" in wings else (),
                    dns_tls=config.dns_tls_listen if "dns" in wings else (),
                    dns_https=config.dns_https_listen if "dns" in wings else (),
                    dns_quic=config.dns_quic_listen if "dns" in wings else (),
                    workers=count_workers(config.dns),
                    stop_page=config.stop_page.listen if "web" in wings else (),
                    portal=config.portal.listen if "web" in wings else (),
                    rpz=config.rpz.listen if "rpz" in wings else (),
                    rpz_tls=config.rpz.listen_tls if "rpz" in wings else (),
                )
            undo.callback(self.listeners.close)
            self._undo = undo.pop_all()
        if self._children is None:
            worker_files.sweep(config.places)
        environment = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", SOCKETS)}
        environment[health.MARK] = self._health_mark
        self.supervisor = Supervisor(
            services(accepted, self._sealed, self.listeners, self._wings, self._secrets),
            retired=retired_file(config.places),
            output=output,
            environment=environment,
        )

    async def start(self) -> None:
        if self._children is None:
            self.supervisor.start()
        else:
            await self.supervisor.adopt(self._children)
        await self._open_up()

    async def _open_up(self) -> None:
        """Write this process's files in `run_dir`, and listen on its control socket."""
        self._say_where()
        exceptions.keep_room(self._config.places)
        keep(self._held.accepted)
        operations = {
            "status": Operation(self._status, anyone=True),
            **self._held.operations(),
            "restart-workers": Operation(self._restart_workers),
            "flush-cache": Operation(self._flush_cache),
        }
        before = self._control
        self._control = await serve(self._config.places.supervisor_socket, operations, self._held.callers)
        if before is not None:
            before.close(ends=True)

    async def stop(self) -> None:
        if self._control is not None:
            self._control.close(ends=True)
        await self.supervisor.stop()
        addresses.remove(self._config.places)
        os.close(self._sealed)
        self._undo.close()

    async def look_after_run_dir(self) -> None:
        """Restore an emptied `run_dir` by new processes in turn, once the steward has written list and exceptions:
        a worker that starts without the list would forward everything, without the exceptions block what a person
        excepted."""
        places = self._config.places
        while True:
            await asyncio.sleep(LOOK)
            if has_socket(places.supervisor_socket) or not in_force.is_there(places):
                continue
            log.error("%s was emptied: what belongs there is put back", places.run_dir)
            try:
                if is_lost(places):
                    self._lock = self._undo.enter_context(only_one(places))
                await self._open_up()
                await self.restart_workers()
                for name in (name for name in self.supervisor.names if not name.startswith("dns-")):
                    await self.supervisor.restart(name)
            except (OSError, ResolverError) as wrong:
                log.error("%s is not whole: %s", places.run_dir, why(wrong))  # noqa: TRY400

    async def look_around(self) -> None:
        """As long as this host runs."""
        await asyncio.gather(self.look_after_run_dir(), self.look_for_others(), self._secrets.forget_old())

    async def look_for_others(self) -> None:
        """Report other listeners on DNS ports once a change: in the log, by `status`, in the metrics."""
        while True:
            found = await asyncio.to_thread(foreign, *self.listeners.of_dns())
            if found != self.foreign:
                held = await asyncio.to_thread(programs, [one.inode for one in found])
                for one in found:
                    log.error("%s", one.alarm(held.get(one.inode)), extra=about(alarm="foreign"))
                if not found:
                    log.warning("nobody else listens on the ports of DNS any more")
                self.foreign = found
                try:
                    self._say_where()
                except OSError as wrong:  # a full tmpfs: `status` asks this process itself
                    log.warning("%s cannot be written (%s)", self._config.places.addresses, wrong.strerror)
            await asyncio.sleep(LEAVING if found else OTHERS)

    async def _apply(self, new: Accepted) -> list[str]:
        """Replace workers one at a time with workers running `new`. Where one does not come up, those before it
        return to the old configuration, and `ResolverError` is raised."""
        async with self._turn:
            old, kept = self._held.accepted, self._sealed
            self._sealed = seal(new.data)
            self.supervisor.update(services(new, self._sealed, self.listeners, self._wings, self._secrets))
            replaced: list[str] = []
            try:
                await self._replace_workers(replaced)
            except ResolverError:
                os.close(self._sealed)
                self._sealed = kept
                self.supervisor.update(services(old, kept, self.listeners, self._wings, self._secrets))
                await self._put_back(replaced)
                raise
            os.close(kept)
            self._held.accepted = new
            keep(new)
            return replaced or ["supervisor"]

    async def _re_execute(self, new: Accepted) -> list[str]:
        """Execute the installed program in this process; sockets, lock and children stay. Raises `ResolverError` where
        the installed program does not accept the configuration."""
        trying = [sys.executable, "-P", "-m", "resolver.cli.main", "check-config", "--no-trial", str(new.path)]
        done = await asyncio.to_thread(subprocess.run, trying, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ResolverError(f"the program as it is installed now refuses: {done.stderr.strip()}")
        asyncio.get_running_loop().call_later(0.05, self._leave_all)  # the answer goes out first
        return self.supervisor.names

    def _leave_all(self) -> None:
        children = {name: pid for name in self.supervisor.names if (pid := self.supervisor.pid(name)) is not None}
        secrets_left = self._secrets.handed()
        for kept in (self._lock, secrets_left):
            os.set_inheritable(kept, True)
        os.environ[LEFT] = json.dumps(
            {
                "listeners": self.listeners.descriptors(),
                "lock": self._lock,
                "children": children,
                "health_mark": self._health_mark,
                "secrets": secrets_left,
            }
        )
        hold_hangups(signal.SIG_BLOCK)
        re_execute()

    async def _put_back(self, replaced: Iterable[str]) -> None:
        for name in replaced:
            if not await self.supervisor.replace(name):
                log.error("%s goes on with the configuration that was refused", name)

    async def restart_workers(self) -> list[str]:
        async with self._turn:
            replaced: list[str] = []
            await self._replace_workers(replaced)
            return replaced

    async def _restart_workers(self, peer: Peer, _request: Mapping[str, Any]) -> Reply:
        replaced = await self.restart_workers()
        text = "workers restart, asked for by %s: %s are replaced"
        log.info(text, peer.who, ", ".join(replaced), extra=about(person=peer.who))
        return {"replaced": replaced}

    async def _replace_workers(self, replaced: list[str]) -> None:
        """Add to `replaced` one by one. Raises `ResolverError` at the first whose successor does not come up."""
        for name in (name for name in self.supervisor.names if name.startswith("dns-")):
            if not await self.supervisor.replace(name):
                raise ResolverError(
                    f"the successor of {name} did not come up; {name} goes on as it was", hint="its log says why"
                )
            replaced.append(name)

    async def _status(self, _peer: Peer, _request: Mapping[str, Any]) -> Reply:
        names = self.supervisor.names
        services = [
            {
                "name": name,
                "pid": self.supervisor.pid(name),
                "restarts": self.supervisor.restarts(name),
                "died": self.supervisor.died(name),
            }
            for name in names
        ]
        up = round(time.monotonic() - self._since)
        return {
            **self._held.status(),
            **self.listeners.addresses(),
            "up": up,
            "services": services,
            "foreign": [asdict(one) for one in self.foreign],
            "alarms": [
                *(f"{one['name']} is down" for one in services if one["pid"] is None),
                *(f"DNS hears {name} alone, and no client: stopsign take-over" for name in self._devices()),
            ],
        }

    def _devices(self) -> list[str]:
        """The interfaces to which sockets of DNS are bound."""
        return devices(one for use in OF_WORKERS for group in getattr(self.listeners, use) for one in group)

    async def _flush_cache(self, peer: Peer, _request: Mapping[str, Any]) -> Reply:
        told = [name for name in self.supervisor.names if name.startswith("dns-")]
        for name in told:
            self.supervisor.signal(name, signal.SIGUSR1)
        text = "cache flush, asked for by %s: %s forget every cached answer"
        log.info(text, peer.who, ", ".join(told), extra=about(person=peer.who))
        return {"told": told}

    def _say_where(self) -> None:
        """`run_dir/addresses.json`: this process, its addresses (port 0 resolved), and other listeners there."""
        said = {
            "pid": os.getpid(),
            "services": self.supervisor.names,
            "foreign": [asdict(one) for one in self.foreign],
            **self.listeners.addresses(),
        }
        addresses.write(self._config.places, said)


async def provide(accepted: Accepted, wings: Iterable[str]) -> None:
    """Serves until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    provider = Provider(accepted, wings=wings)
    # Before any wait: adopting workers takes until their successors serve.
    tasks: set[asyncio.Task[None]] = {asyncio.create_task(beat())}
    await provider.start()
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGHUP, lambda: tasks.add(asyncio.create_task(_reload(accepted.path)))
    )
    hold_hangups(signal.SIG_UNBLOCK)
    tasks |= {asyncio.create_task(_say_ready(provider)), asyncio.create_task(provider.look_around())}
    try:
        await stop.wait()
    finally:
        notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        await provider.stop()


def hold_hangups(how: int) -> None:
    """Block SIGHUP while this process starts, also over a re-exec, or unblock it. Children do not inherit the block
    (`resolver.host.child`)."""
    signal.pthread_sigmask(how, {signal.SIGHUP})


async def _reload(path: Path) -> None:
    """SIGHUP: as `stopsign reload`; the answer goes to the log."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        came = await everywhere(path, "reload", warn=log.warning)
    except UnreachableError as silent:
        log.error("whether every process can apply the configuration is unknown: %s", silent)  # noqa: TRY400
    except ResolverError as wrong:
        log.error("the new configuration is refused, the old one goes on: %s", wrong)  # noqa: TRY400
    else:
        log.info("the new configuration is applied by %s", ", ".join(came.replaced))
        for name in came.dead:
            log.error("%s is dead: it reads the new configuration when it starts again", name)
    notify("READY=1")


async def _say_ready(provider: Provider) -> None:
    await provider.supervisor.serving()
    notify("READY=1", f"STATUS=serving {', '.join(provider.listeners.addresses()['dns']) or 'policy zones alone'}")


def become(wing: str, config: Config, path: Path) -> None:
    """Execute the steward, the web process or that of the zones in this process; under systemd each is a unit."""
    listeners = Listeners()
    if wing == "web":
        listeners = taken_or_opened(os.environ, stop_page=config.stop_page.listen, portal=config.portal.listen)
    elif wing == "rpz":
        listeners = taken_or_opened(os.environ, rpz=config.rpz.listen, rpz_tls=config.rpz.listen_tls)
    elif wing == "steward":
        with only_steward(config.places):  # refused in words, before it begins
            pass
    passed = listeners.of_rpz() if wing == "rpz" else listeners.of_web()
    for fd in (fd for fds in passed.values() for fd in fds):
        os.set_inheritable(fd, True)
    command = command_of(wing, path)
    os.execve(command[0], command, {**os.environ, SOCKETS: json.dumps(passed)})  # noqa: S606
