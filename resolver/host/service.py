"""A service of this host, and the process that runs it at the moment.

Enters: a command, the sockets and the environment that it inherits. Leaves: a `Process`, which knows whether it serves,
hangs or has ended. Rules: a process writes one octet to a pipe when it is ready. Its heartbeat is CLOCK_MONOTONIC in ms
at the beginning of its counters file, or of memory that it inherits. Its pidfd reports its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from resolver.base import atomic
from resolver.host.child import PARENT
from resolver.host.shared_secrets import SECRETS
from resolver.host.sockets import SOCKETS
from resolver.host.systemd import HEARTBEAT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from resolver.config.schema_dns import Dns
    from resolver.host.shared_secrets import SharedSecrets

READY = "STOPSIGN_READY"
LIST_BY = "STOPSIGN_LIST_BY"
"""In CLOCK_MONOTONIC: until then a worker waits for a list that was live before (`resolver.dns.worker`)."""
START = 60.0  # seconds until the first heartbeat; more for background processes
WORD = 8
LARGEST = 1 << 16  # octets of a counters file


@dataclass(frozen=True)
class Service:
    """One process to keep alive. `heartbeat`: a file that begins with CLOCK_MONOTONIC in ms (u64, little endian); None:
    it inherits memory for that. `patience`: a process without a heartbeat for so many seconds hangs."""

    name: str
    command: tuple[str, ...]
    sockets: Mapping[str, Sequence[int]] = field(default_factory=dict)
    heartbeat: Path | None = None
    patience: float = 5.0
    says_ready: bool = False
    order: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    """For this service, added to the environment of all."""
    secrets: SharedSecrets | None = None
    """Handed to each process as they are when it starts."""


def count_workers(dns: Dns | None) -> int:
    """`auto` is one for each processor that this process may use. Without DNS: none."""
    if dns is None:
        return 0
    return len(os.sched_getaffinity(0)) if dns.workers == "auto" else dns.workers


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


class Adopted:
    """A child from before this process's re-exec; as much of `Popen` as is needed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode = 0

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


class Process:
    """One incarnation of a service."""

    def __init__(
        self,
        service: Service,
        popen: subprocess.Popen[bytes] | Adopted,
        ready: int | None = None,
        heart: int | None = None,
    ) -> None:
        self.service, self.popen, self.started = service, popen, time.monotonic()
        self._starts, self._has_beaten = self.started, False  # a re-exec is a start too
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
        """The counters file as it is now; it stays open, since a successor makes another under its name."""
        if self._counters is None and self.service.heartbeat is not None and self.serving.is_set():
            with contextlib.suppress(OSError):
                self._counters = atomic.opened(self.service.heartbeat, LARGEST)
        if self._counters is None:
            return b""
        return os.pread(self._counters.fileno(), LARGEST, 0)

    def pulse(self) -> Pulse | None:
        """`None` if liveness is unknown: no heartbeat file (a full tmpfs), or an adopted child."""
        if self.service.heartbeat is None:
            if self._heart is None:
                return None
            beat = int.from_bytes(os.pread(self._heart, WORD, 0), "little") / 1000
            if self._has_beaten and not beat:
                self._starts = time.monotonic()
            self._has_beaten = beat > 0
            return Pulse(self._starts, self._has_beaten, beat)
        counted = self.counters()
        if self.serving.is_set() and not counted:
            return None
        return Pulse(self.started, self.serving.is_set(), int.from_bytes(counted[:WORD], "little") / 1000)

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

    def how_it_ended(self) -> str:
        code = self.popen.returncode
        if self.killed:
            return "hung and was killed"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


def spawn(service: Service, environment: Mapping[str, str], output: int | None) -> Process:
    """Start it. Raises `OSError` where the kernel has no room for it, or the program is not there."""
    with contextlib.ExitStack() as undo:
        handed = dict(service.sockets)
        heart = None
        if service.heartbeat is None:
            heart = os.memfd_create(f"heartbeat of {service.name}", os.MFD_CLOEXEC)
            undo.callback(os.close, heart)
            handed[HEARTBEAT] = [heart]
        ready = None
        with contextlib.ExitStack() as its_own:
            if service.secrets is not None:
                handed[SECRETS] = [service.secrets.handed()]
                its_own.callback(os.close, *handed[SECRETS])
            passed = [fd for fds in handed.values() for fd in fds]
            full = {**environment, **service.environment, PARENT: str(os.getpid())}
            full[SOCKETS] = json.dumps(handed)
            if service.says_ready:
                ready, says = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                undo.callback(os.close, ready)
                its_own.callback(os.close, says)
                full[READY] = str(says)
                passed.append(says)
            popen = subprocess.Popen(
                service.command,
                env=full,
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=output if output is not None else 2,
                stderr=output,
                # A Ctrl-C at the terminal is the supervisor's to pass on, in its order.
                process_group=0,
            )
        process = Process(service, popen, ready, heart)
        undo.pop_all()
    return process
