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
import logging
import os
import signal
import time
from typing import TYPE_CHECKING

from blocklists.errors import why
from resolver.base import atomic
from resolver.base.journal import about
from resolver.host.service import LARGEST, START, WORD, Adopted, Process, Service, spawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LONGEST_WAIT, STABLE, GRACE = 10.0, 30.0, 8.0
_LOOK = 1.0

log = logging.getLogger("stopsign.supervisor")


def wait_before_restart(failures: int) -> float:
    """Seconds to wait after so many ends in a row, each before `STABLE` was reached."""
    return 0.0 if failures <= 1 else min(0.25 * 2.0 ** (failures - 2), LONGEST_WAIT)


class _Slot:
    """A service and its present process."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: Process | None = None
        self.failures = 0
        self.restarts = 0
        self.died: tuple[float, str] | None = None
        self.keeper: asyncio.Task[None] | None = None


class Supervisor:
    """Starts the services, keeps them alive, stops them. `output`: their standard output and error."""

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
        self._hang_detector: asyncio.Task[None] | None = None
        self._living: set[Process] = set()

    def start(self) -> None:
        """Starts all of them; returns at once."""
        for slot in self._slots.values():
            slot.process = self._start_process(slot.service)
            slot.keeper = asyncio.create_task(self._keep(slot))
        self._hang_detector = asyncio.create_task(self._detect_hangs())

    async def adopt(self, children: Mapping[str, int]) -> None:
        """Adopt the children of this process from before its re-exec; each is replaced, so that all run the installed
        program. `children`: process ids by name."""
        for name, pid in children.items():
            if name in self._slots:
                self._slots[name].process = Process(self._slots[name].service, Adopted(pid))
        self._living.update(slot.process for slot in self._slots.values() if slot.process is not None)
        self._hang_detector = asyncio.create_task(self._detect_hangs())
        for name, slot in self._slots.items():
            if slot.process is not None and slot.service.says_ready:
                await self.replace(name)
                continue
            await self.restart(name)

    async def restart(self, name: str) -> None:
        """End `name` and start it again: for a process of which only one can run at a time."""
        slot = self._slots[name]
        if slot.keeper is not None:
            slot.keeper.cancel()  # its end is no accident
        if slot.process is not None:
            await self._end(slot.process)
        slot.process = await self._start_at_last(slot)
        slot.keeper = asyncio.create_task(self._keep(slot))

    async def serving(self) -> None:
        """Return when every service serves."""
        for slot in self._slots.values():
            while slot.process is None or not slot.process.serving.is_set():  # noqa: ASYNC110 - it may be another by then
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End all processes in order; return when none runs."""
        for task in (self._hang_detector, *(slot.keeper for slot in self._slots.values())):
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
            slot.keeper.cancel()  # else it would start a third if the predecessor ended by itself now
        old = slot.process
        if old is not None:
            old.counters()  # opened before a successor's file has the name
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
        """Start each of them in this way from now on; this starts and stops none."""
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
        """Unix time and manner of its last unwanted end."""
        return self._slots[name].died

    def signal(self, name: str, number: signal.Signals) -> None:
        process = self._slots[name].process
        if process is not None:
            process.signal(number)

    # -- its own

    async def _start_at_last(self, slot: _Slot) -> Process:
        """Start it, as soon as that is possible."""
        while True:
            try:
                return self._start_process(slot.service)
            except OSError as wrong:
                log.error("%s cannot be started (%s); again in %.2g s", slot.service.name, why(wrong), LONGEST_WAIT)  # noqa: TRY400
            await asyncio.sleep(LONGEST_WAIT)

    async def _successor(self, service: Service) -> Process | None:
        """A new process that serves; None: it did not come up."""
        try:
            new = self._start_process(service)
        except OSError as wrong:
            log.error("%s cannot be started (%s)", service.name, why(wrong))  # noqa: TRY400
            return None
        waits = {asyncio.create_task(new.serving.wait()), asyncio.create_task(new.ended.wait())}
        await asyncio.wait(waits, timeout=START, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if new.serving.is_set() and not new.ended.is_set():
            return new
        await self._end(new)
        return None

    def _start_process(self, service: Service) -> Process:
        process = spawn(service, self._environment, self._output)
        log.info("%s started (pid %d)", service.name, process.popen.pid, extra=about(service=service.name))
        self._living.add(process)
        return process

    async def _keep(self, slot: _Slot) -> None:
        """Start the process of `slot` again whenever it ends."""
        while True:
            process = slot.process
            assert process is not None  # noqa: S101 - started before its keeper
            await process.ended.wait()
            slot.failures = 1 if time.monotonic() - process.started > STABLE else slot.failures + 1
            wait = wait_before_restart(slot.failures)
            how, name = process.how_it_ended(), slot.service.name
            log.error("%s (pid %d) %s; again in %.2g s", name, process.popen.pid, how, wait, extra=about(service=name))
            slot.died = time.time(), how
            self._retire(process)
            await asyncio.sleep(wait)
            slot.restarts += 1
            slot.process = await self._start_at_last(slot)

    async def _detect_hangs(self) -> None:
        """Kill processes that hang."""
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

    async def _end(self, process: Process) -> None:
        process.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE):
                await process.ended.wait()
        except TimeoutError:
            log.warning("%s (pid %d) did not go; it is killed", process.service.name, process.popen.pid)
            process.signal(signal.SIGKILL)
            await process.ended.wait()
        self._retire(process)

    def _retire(self, process: Process) -> None:
        """Add the last counters of a process to those of its dead predecessors, so that totals never fall; not if the
        last word says that another version of the program wrote those."""
        self._living.discard(process)
        counted = process.counters()
        process.close()
        if self._retired is None or not counted:
            return
        try:
            before = atomic.read(self._retired, LARGEST) if self._retired.exists() else b""
            if before[-WORD:] == counted[-WORD:] and len(before) == len(counted):
                words = zip(_words(before), _words(counted), strict=True)
                sums = b"".join(((a + b) % (1 << 64)).to_bytes(WORD, "little") for a, b in words)
                counted = sums + counted[-WORD:]
            atomic.replace(self._retired, counted)
        except OSError as wrong:  # a full tmpfs: totals fall, and the successor is started all the same
            log.warning("the last counts of %s are lost (%s)", process.service.name, wrong.strerror)


def _words(counted: bytes) -> list[int]:
    """All but the last."""
    return [int.from_bytes(counted[i : i + WORD], "little") for i in range(0, len(counted) - WORD, WORD)]
