"""The supervisor: keeps every process of a provider's host alive, and the ports open meanwhile.

Enters: services, each a command with the sockets it inherits. Leaves: running processes, until it is stopped.

Rules:
- A process that ends is restarted: at once the first time, then after a pause that doubles up to `LONGEST_WAIT`. After
  `STABLE` seconds of running the pause is reset. A process that cannot be started (no memory, or the program is being
  replaced) is tried again likewise.
- A process whose heartbeat is older than its service's `patience` gets SIGABRT (faulthandler prints where it hangs), is
  killed, and is restarted. A worker's heartbeat is in its counters file, that of the others in memory that they inherit
  (`resolver.host.systemd.beat`); one that re-executes itself has the time of a start to beat again. Where the
  supervisor itself was not scheduled in between, an old heartbeat proves nothing.
- The sockets belong to the supervisor: what reaches the port of a dead worker waits in the kernel's queue for the next.
- `replace` starts the successor first, waits until it serves, and only then lets the predecessor drain.
- Stopping goes by `order`: lower numbers first, equal numbers together. A process that has not ended within `GRACE`
  seconds is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from resolver.base import atomic
from resolver.base.journal import about
from resolver.host.child import PARENT
from resolver.host.sockets import SOCKETS
from resolver.host.systemd import HEARTBEAT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from resolver.config.schema import Dns

READY = "STOPSIGN_READY"
LIST_BY = "STOPSIGN_LIST_BY"
TICKETS = "STOPSIGN_TICKETS"  # the secret of TLS session tickets, in hexadecimal
"""In CLOCK_MONOTONIC: until then a worker waits for a list that was live before (`resolver.dns.worker`)."""
LONGEST_WAIT, STABLE, GRACE = 10.0, 30.0, 8.0
START = 60.0  # seconds until the first heartbeat; more for the more patient, which start behind all others
_LOOK = 1.0
_WORD = 8
_LARGEST = 1 << 16  # octets of a counters file

log = logging.getLogger("stopsign.supervisor")


@dataclass(frozen=True)
class Service:
    """One process to keep alive. `heartbeat`: a file that begins with CLOCK_MONOTONIC in ms (u64, little endian); None:
    it is handed memory for that. `patience`: seconds without a heartbeat until it hangs."""

    name: str
    command: tuple[str, ...]
    sockets: Mapping[str, Sequence[int]] = field(default_factory=dict)
    heartbeat: Path | None = None
    patience: float = 5.0
    says_ready: bool = False
    order: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    """For it alone, beside what all get."""


def count_workers(dns: Dns | None) -> int:
    """`auto` is one for each processor that this process may use. Without DNS: none."""
    if dns is None:
        return 0
    return len(os.sched_getaffinity(0)) if dns.workers == "auto" else dns.workers


def wait_before_restart(failures: int) -> float:
    """Seconds to wait after so many ends in a row, each before `STABLE` was reached."""
    return 0.0 if failures <= 1 else min(0.25 * 2.0 ** (failures - 2), LONGEST_WAIT)


@dataclass(frozen=True)
class Pulse:
    """What is known of a process that should have a heartbeat, all in seconds of CLOCK_MONOTONIC."""

    started: float
    ready: bool
    beat: float  # 0: none yet

    def hung(self, now: float, patience: float) -> bool:
        if not self.ready:
            return now - self.started > max(START, 4 * patience)
        return now - max(self.beat, self.started) > patience


class _Adopted:
    """A child that was started before this process re-executed itself; as much of `Popen` as is needed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode = 0

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


class _Process:
    """One incarnation of a service."""

    def __init__(
        self,
        service: Service,
        popen: subprocess.Popen[bytes] | _Adopted,
        ready: int | None = None,
        heart: int | None = None,
    ) -> None:
        self.service, self.popen, self.started = service, popen, time.monotonic()
        self._starts, self._has_beaten = self.started, False  # it starts once more where it re-executes itself
        self.ended = asyncio.Event()
        self.serving = asyncio.Event()
        self.killed = False
        self._ready_end, self._heart = ready, heart
        self._pidfd = os.pidfd_open(popen.pid)
        self._counters: BinaryIO | None = None
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self._has_ended)
        if ready is None:
            self.serving.set()
        else:
            loop.add_reader(ready, self._has_spoken)

    def counters(self) -> bytes:
        """The counters file as it is now; kept open, since a successor makes one of the same name."""
        if self._counters is None and self.service.heartbeat is not None and self.serving.is_set():
            with contextlib.suppress(OSError):
                self._counters = atomic.opened(self.service.heartbeat, _LARGEST)
        if self._counters is None:
            return b""
        return os.pread(self._counters.fileno(), _LARGEST, 0)

    def pulse(self) -> Pulse | None:
        """`None` if liveness is unknown: no heartbeat file (a full tmpfs), or an adopted child."""
        if self.service.heartbeat is None:
            if self._heart is None:
                return None
            beat = int.from_bytes(os.pread(self._heart, _WORD, 0), "little") / 1000
            if self._has_beaten and not beat:
                self._starts = time.monotonic()
            self._has_beaten = beat > 0
            return Pulse(self._starts, self._has_beaten, beat)
        counted = self.counters()
        if self.serving.is_set() and not counted:
            return None
        return Pulse(self.started, self.serving.is_set(), int.from_bytes(counted[:_WORD], "little") / 1000)

    def signal(self, number: signal.Signals) -> None:
        if not self.ended.is_set():
            self.popen.send_signal(number)

    def _has_spoken(self) -> None:
        assert self._ready_end is not None  # noqa: S101 - the reader is registered with it
        if os.read(self._ready_end, 16):
            self.serving.set()
        self._close_ready()

    def _close_ready(self) -> None:
        if self._ready_end is not None:
            asyncio.get_running_loop().remove_reader(self._ready_end)
            os.close(self._ready_end)
            self._ready_end = None

    def _has_ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.popen.wait()
        self._close_ready()
        self.ended.set()

    def close(self) -> None:
        if self._counters is not None:
            self._counters.close()
        if self._heart is not None:
            os.close(self._heart)
            self._heart = None


class _Slot:
    """A service and its present process."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: _Process | None = None
        self.failures = 0
        self.restarts = 0
        self.died: tuple[float, str] | None = None
        self.keeper: asyncio.Task[None] | None = None


class Supervisor:
    """Starts the services, keeps them alive, stops them. `output`: where their standard output and error go."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        retired: Path | None = None,
        output: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._slots = {service.name: _Slot(service) for service in services}
        self._retired, self._output = retired, output
        self._environment = dict(os.environ if environment is None else environment)
        self._watcher: asyncio.Task[None] | None = None
        self._living: set[_Process] = set()

    def start(self) -> None:
        """Starts all of them; returns at once."""
        for slot in self._slots.values():
            slot.process = self._spawn(slot.service)
            slot.keeper = asyncio.create_task(self._keep(slot))
        self._watcher = asyncio.create_task(self._watch())

    async def adopt(self, children: Mapping[str, int]) -> None:
        """Adopt the children of this process from before its re-exec; each is replaced, so that all run the installed
        program. `children`: process ids by name."""
        for name, pid in children.items():
            if name in self._slots:
                self._slots[name].process = _Process(self._slots[name].service, _Adopted(pid))
        self._living.update(slot.process for slot in self._slots.values() if slot.process is not None)
        self._watcher = asyncio.create_task(self._watch())
        for name, slot in self._slots.items():
            if slot.process is not None and slot.service.says_ready:
                await self.replace(name)
                continue
            await self.restart(name)

    async def restart(self, name: str) -> None:
        """Ends `name` and starts it again: for a process of which there can be only one at a time."""
        slot = self._slots[name]
        if slot.keeper is not None:
            slot.keeper.cancel()  # its end is no accident
        if slot.process is not None:
            await self._end(slot.process)
        slot.process = await self._started(slot)
        slot.keeper = asyncio.create_task(self._keep(slot))

    async def serving(self) -> None:
        """Returns when every service has said that it serves (or was restarted until it did)."""
        for slot in self._slots.values():
            while slot.process is None or not slot.process.serving.is_set():  # noqa: ASYNC110 - it may be another by then
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Ends everything in order; returns when nothing runs any more."""
        for task in (self._watcher, *(slot.keeper for slot in self._slots.values())):
            if task is not None:
                task.cancel()
        for order in sorted({process.service.order for process in self._living}):
            going = [process for process in self._living if process.service.order == order]
            await asyncio.gather(*(self._end(process) for process in going))

    async def replace(self, name: str) -> bool:
        """Replace the process `name`; at every moment one of the two serves. False: the new one did not come up, and
        the old one goes on."""
        slot = self._slots[name]
        if slot.keeper is not None:
            slot.keeper.cancel()  # else it would start a third, should the predecessor end by itself now
        old = slot.process
        if old is not None:
            old.counters()  # opened before a successor's file stands under the name
        new = await self._successor(slot.service)
        if new is None:
            log.error("the successor of %s did not come up; the predecessor goes on", name)
            slot.keeper = asyncio.create_task(self._keep(slot))
            return False
        new.counters()  # opened while the name is its own
        slot.process = new
        slot.keeper = asyncio.create_task(self._keep(slot))
        if old is not None:
            await self._end(old)
        return True

    def update(self, services: Sequence[Service]) -> None:
        """How each of them is started from now on; none is started or stopped by this."""
        for service in services:
            self._slots[service.name].service = service

    @property
    def names(self) -> list[str]:
        return list(self._slots)

    def pid(self, name: str) -> int | None:
        process = self._slots[name].process
        return None if process is None or process.ended.is_set() else process.popen.pid

    def restarts(self, name: str) -> int:
        return self._slots[name].restarts

    def died(self, name: str) -> tuple[float, str] | None:
        """When, in Unix time, and how it last came to an end that nobody wanted."""
        return self._slots[name].died

    def signal(self, name: str, number: signal.Signals) -> None:
        process = self._slots[name].process
        if process is not None:
            process.signal(number)

    # -- its own

    async def _started(self, slot: _Slot) -> _Process:
        """As soon as it can be started."""
        while True:
            try:
                return self._spawn(slot.service)
            except OSError as wrong:
                log.error("%s cannot be started (%s); again in %.2g s", slot.service.name, wrong, LONGEST_WAIT)  # noqa: TRY400
            await asyncio.sleep(LONGEST_WAIT)

    async def _successor(self, service: Service) -> _Process | None:
        """One that serves; None: it does not come up."""
        try:
            new = self._spawn(service)
        except OSError as wrong:
            log.error("%s cannot be started (%s)", service.name, wrong)  # noqa: TRY400
            return None
        waits = {asyncio.create_task(new.serving.wait()), asyncio.create_task(new.ended.wait())}
        await asyncio.wait(waits, timeout=START, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if new.serving.is_set() and not new.ended.is_set():
            return new
        await self._end(new)
        return None

    def _spawn(self, service: Service) -> _Process:
        """Raises `OSError` where the kernel has no room for it, or the program is not there."""
        with contextlib.ExitStack() as undo:
            process = self._spawned(service, undo)
            undo.pop_all()
        log.info("%s started (pid %d)", service.name, process.popen.pid, extra=about(service=service.name))
        self._living.add(process)
        return process

    def _spawned(self, service: Service, undo: contextlib.ExitStack) -> _Process:
        handed = dict(service.sockets)
        heart = None
        if service.heartbeat is None:
            heart = os.memfd_create(f"heartbeat of {service.name}", os.MFD_CLOEXEC)
            undo.callback(os.close, heart)
            handed[HEARTBEAT] = [heart]
        passed = [fd for fds in handed.values() for fd in fds]
        environment = {**self._environment, **service.environment, PARENT: str(os.getpid())}
        environment[SOCKETS] = json.dumps(handed)
        ready = None
        with contextlib.ExitStack() as its_own:
            if service.says_ready:
                ready, says = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                undo.callback(os.close, ready)
                its_own.callback(os.close, says)
                environment[READY] = str(says)
                passed.append(says)
            popen = subprocess.Popen(
                service.command,
                env=environment,
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=self._output if self._output is not None else 2,
                stderr=self._output,
                # A Ctrl-C at the terminal is the supervisor's to pass on, in its order.
                process_group=0,
            )
        return _Process(service, popen, ready, heart)

    async def _keep(self, slot: _Slot) -> None:
        """Starts `slot` again whenever it ends."""
        while True:
            process = slot.process
            assert process is not None  # noqa: S101 - started before its keeper
            await process.ended.wait()
            slot.failures = 1 if time.monotonic() - process.started > STABLE else slot.failures + 1
            wait = wait_before_restart(slot.failures)
            log.error(
                "%s (pid %d) %s; again in %.2g s",
                slot.service.name, process.popen.pid, _how(process), wait, extra=about(service=slot.service.name),
            )  # fmt: skip
            slot.died = time.time(), _how(process)
            self._retire(process)
            await asyncio.sleep(wait)
            slot.restarts += 1
            slot.process = await self._started(slot)

    async def _watch(self) -> None:
        """Kills what hangs."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK)
            now = time.monotonic()
            late, last = now - last > 2 * _LOOK, now
            if late:
                continue
            for slot in self._slots.values():
                process = slot.process
                if process is None or process.killed or process.ended.is_set():
                    continue
                pulse = process.pulse()
                if pulse is not None and pulse.hung(now, process.service.patience):
                    log.error("%s (pid %d) hangs; it is killed", slot.service.name, process.popen.pid)
                    process.killed = True
                    process.signal(signal.SIGABRT)
                    asyncio.get_running_loop().call_later(0.5, process.signal, signal.SIGKILL)

    async def _end(self, process: _Process) -> None:
        process.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE):
                await process.ended.wait()
        except TimeoutError:
            log.warning("%s (pid %d) did not go; it is killed", process.service.name, process.popen.pid)
            process.signal(signal.SIGKILL)
            await process.ended.wait()
        self._retire(process)

    def _retire(self, process: _Process) -> None:
        """Adds the last counters of a process to those of its dead predecessors, so that totals never fall; but not
        where the last word says that another version of the program counted those."""
        self._living.discard(process)
        counted = process.counters()
        process.close()
        if self._retired is None or not counted:
            return
        try:
            before = atomic.read(self._retired, _LARGEST) if self._retired.exists() else b""
            if before[-_WORD:] == counted[-_WORD:] and len(before) == len(counted):
                words = zip(_words(before), _words(counted), strict=True)
                sums = b"".join(((a + b) % (1 << 64)).to_bytes(_WORD, "little") for a, b in words)
                counted = sums + counted[-_WORD:]
            atomic.replace(self._retired, counted)
        except OSError as wrong:  # a full tmpfs: totals fall, and the successor is started all the same
            log.warning("the last counts of %s are lost (%s)", process.service.name, wrong.strerror)


def _words(counted: bytes) -> list[int]:
    """All but the last."""
    return [int.from_bytes(counted[i : i + _WORD], "little") for i in range(0, len(counted) - _WORD, _WORD)]


def _how(process: _Process) -> str:
    code = process.popen.returncode
    if process.killed:
        return "hung and was killed"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
