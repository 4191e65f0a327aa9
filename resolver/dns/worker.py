"""A DNS worker: one process, one thread, one event loop, its share of the clients.

`python -m resolver.dns.worker --config FILE --index N`

Enters: the sockets that the supervisor opened, what is in force (`resolver.dns.in_use`). Leaves: answers, counters (a
mapped file) and `workers/N.json`, which says what this worker runs with.

Rules:
- The native plane does everything that is done per query; this file gives it wake-ups, timers and lists.
- Without any list queries are forwarded, and that is an alarm.
- After a reboot the tmpfs is empty. Where a list was live before, a worker starts when the steward has brought it back,
  the exceptions before it; at the latest at `LIST_BY`, since the steward may be dead. Queries wait in its socket.
- SIGUSR1: the cache is emptied.
- SIGTERM: nothing new is taken from the sockets, what is in flight is answered, then the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Literal

import uvloop

from blocklists.errors import why
from resolver._core import LIFE, CoreError, Plane, set_latency_sensitive
from resolver.base.journal import about
from resolver.config.sealed import unsealed
from resolver.dns.identity import Identity
from resolver.dns.in_use import InUse
from resolver.dns.settings import plane_settings
from resolver.dns.tap import Tap, announce
from resolver.dns.transitions import Transitions
from resolver.dns.upstreams import UNPROVEN, Timing, Upstreams
from resolver.host.health import MARK
from resolver.host.process import begin
from resolver.host.service import LIST_BY, READY, count_workers
from resolver.host.shared_secrets import SECRETS, Shared, SharedSecrets, taken
from resolver.host.sockets import handed_over, open_listeners
from resolver.ipc import shadow_sketches
from resolver.ipc.worker_counters import ListInUse, State
from resolver.ipc.worker_files import WorkerFiles, shown
from resolver.policy import look_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver._core import PlaneSettings, TcpAsk, UpstreamState
    from resolver.base.paths import Places
    from resolver.config.schema import Config
    from resolver.dns.upstreams import Fault

BUSY_TICK, IDLE_TICK, POLL = 0.02, 1.0, 0.2
SWEEP = 0.5  # seconds between two looks at upstreams and at `workers/N.json`
DRAIN = 5.0
COUNT = 10.0  # seconds between two looks whether entry hits can be handed over

# What is spoken, by use of a socket.
STREAMS: Mapping[str, Literal["tcp", "tls", "https"]] = {"tcp": "tcp", "dns_tls": "tls", "dns_https": "https"}

log = logging.getLogger("stopsign.dns")


class Worker:
    """The plane, its timers and its lists. `shared`: with the other workers of this host."""

    def __init__(self, config: Config, index: int, workers: int, shared: Shared, health_mark: str = "") -> None:
        key = shadow_sketches.Key.from_octets(shared.sketches)
        self._index, self._key, self._health_mark = index, key, health_mark
        self._files, self._transitions = WorkerFiles(config.places, index), Transitions(index)
        self._alarms: dict[str, str] = {}
        self.plane = self._new_plane(plane_settings(config, workers, key, health_mark))
        self.plane.share(*shared[:4])
        self._in_use = InUse(config, index, self.plane, self._transitions)
        upstreams = config.require_dns().upstreams
        self.plane.set_upstreams([str(one) for one in upstreams])
        proofs = {str(one): one.proof for one in upstreams if one.proof is not None}
        limits = config.require_dns().limits
        timing = Timing(opening=limits.upstream_timeout, life=max(limits.patience, LIFE))
        self._upstreams = Upstreams(self, proofs=proofs, timing=timing)
        self._woken: asyncio.Handle | None = None
        self._identity: Identity | None = None
        if (encrypted := config.require_dns().encrypted) is not None:
            self._identity = Identity(encrypted, self.plane, self._alarm, index)
        self._tap: Tap | None = None
        if (recorder := config.require_dns().dnstap.socket) is not None:
            announce(config.require_dns().dnstap)
            self._tap = Tap(recorder, self.plane.take_tap)
        self._ticking: asyncio.TimerHandle | None = None
        self._busy = False  # the quick tick runs
        self._unclaimed: list[int] = []  # sockets of QUIC that a predecessor still serves

    def _new_plane(self, settings: PlaneSettings) -> Plane:
        """The plane. Without room for a counters file on the tmpfs, its counters are invisible."""
        try:
            plane = Plane({**settings, "counters_path": str(self._files.counters)})
            self._files.claim()
        except (CoreError, OSError) as wrong:
            self._files.counters.unlink(missing_ok=True)
            plane = Plane(settings)  # raises again if the reason is another
            self._alarm("counters", f"what worker {self._index} counts is seen by nobody: {why(wrong)}")
        return plane

    # -- serving

    async def start(self, sockets: Mapping[str, Sequence[int]]) -> None:
        """Serve the sockets; return when the first query can be answered."""
        await self.poll()
        if self._identity is not None:
            self._identity.look()
        for fd in sockets.get("udp", ()):
            self.plane.listen(fd)
        for use, kind in STREAMS.items():
            for fd in sockets.get(use, ()):
                self.plane.listen_stream(fd, kind)
        self._unclaimed = list(sockets.get("dns_quic", ()))
        self._claim()
        asyncio.get_running_loop().add_reader(self.plane.fileno(), self._pump)
        self._tick()

    def _claim(self) -> None:
        """Serve the sockets of QUIC that a predecessor does not serve any more: a connection is one process's."""
        trouble = None
        for fd in tuple(self._unclaimed):
            try:
                if self.plane.listen_quic(fd):
                    self._unclaimed.remove(fd)
            except CoreError as wrong:  # no descriptor, no memory: everything else is served
                trouble = f"DNS over QUIC is not served: {wrong}"
        self._alarm("quic", trouble)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow lists and exceptions until `stop`, then drain."""
        slow = counting = 0.0
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await stop.wait()
            await self.poll()
            self._claim()
            self.plane.note_starved(self._transitions.starved())
            if self._tap is not None:
                self._tap.pass_on()
            slow += POLL
            counting += POLL
            if counting >= COUNT:
                counting = 0.0
                await self._in_use.hand_over_hits()
            self._in_use.write_sketches(self._key, self._files.is_succeeded)
            if slow >= SWEEP:
                slow = 0.0
                self._upstreams.sweep()
                if self._identity is not None:
                    self._identity.look()
                self._transitions.upstreams(self._states())
                self._say()
        await self.drain()

    async def drain(self) -> None:
        """Take no new queries, answer those in flight, close."""
        loop = asyncio.get_running_loop()
        self.plane.stop_listening()
        deadline = loop.time() + DRAIN
        while self._is_busy() and loop.time() < deadline:  # noqa: ASYNC110 - the core has no event to wait for
            await asyncio.sleep(BUSY_TICK)
        loop.remove_reader(self.plane.fileno())
        if self._tap is not None:
            self._tap.close()
        if self._ticking is not None:
            self._ticking.cancel()
        self.plane.tick()  # the last counts reach the file
        self._in_use.close()
        self._upstreams.close()

    def _is_busy(self) -> bool:
        return self.plane.in_flight > 0 or self.plane.streams_busy

    def _pump(self) -> None:
        if self.plane.pump():
            self._hand_out()
        if self.plane.in_flight and not self._busy:
            self._tick()

    def _tick(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        if self.plane.tick():
            self._hand_out()
        self._busy = self.plane.in_flight > 0
        self._ticking = asyncio.get_running_loop().call_later(BUSY_TICK if self._busy else IDLE_TICK, self._tick)

    def _wake(self) -> None:
        """Soon hand out results of a call other than `pump` and `tick`."""
        if self._woken is None:
            self._woken = asyncio.get_running_loop().call_soon(self._carry_on)

    def _carry_on(self) -> None:
        self._woken = None
        self._hand_out()
        if self.plane.in_flight and not self._busy:
            self._tick()

    def _hand_out(self) -> None:
        """Send what the plane cannot: questions over TCP."""
        for number in self.plane.take_tcp_overdue():
            self._upstreams.overdue(number)
        for ask in self.plane.take_tcp_asks():
            self._upstreams.ask(ask)

    def answered(self, ask: TcpAsk, message: bytes) -> bool:
        self._wake()
        return self.plane.tcp_answered(ask, message)

    def failed(self, ask: TcpAsk, fault: Fault | None) -> None:
        self._wake()
        self.plane.tcp_failed(ask, fault)

    def _states(self) -> list[UpstreamState]:
        """Those of the upstreams; of one that does not prove itself the reason says what was wrong."""
        states = self.plane.upstreams()
        for one in states:
            if one["reason"] == UNPROVEN and (trouble := self._upstreams.troubles.get(one["address"])):
                one["reason"] = f"{UNPROVEN}: {trouble}"
        return states

    # -- lists and exceptions, and what it says of itself

    async def poll(self) -> None:
        """Use a new list and new exceptions, where there are any."""
        if not await self._in_use.poll():
            return
        live = self._in_use.now
        forwarded = "" if live.compiled is not None else ": everything is forwarded"
        self._alarm("list", live.list_trouble and f"{live.list_trouble}{forwarded}")
        self._alarm("exceptions", live.exceptions_trouble)
        self._say()

    def _alarm(self, about_what: str, what: str | None) -> None:
        if what is None:
            self._alarms.pop(about_what, None)
        elif self._alarms.get(about_what) != what:
            self._alarms[about_what] = what
            log.error("%s", what, extra=about(worker=self._index, alarm=about_what))

    def _say(self) -> None:
        """Write `workers/N.json` where something in it changed."""
        live = self._in_use.now
        state = State(
            pid=os.getpid(),
            index=self._index,
            generation=live.generation,
            entries=live.entries,
            lists=tuple(
                ListInUse(name=one.name, version=one.version, counter=counter)
                for one, counter in zip(live.lists, live.meta.counters, strict=True)
            ),
            passes=live.mark,
            health_mark=self._health_mark,
            alarms=tuple(self._alarms.values()),
            certificate_ends=None if self._identity is None else self._identity.ends,
            upstreams=tuple(map(shown, self._states())),
        )
        try:
            if self._files.say(state):
                self._transitions.written(str(self._files.state))
        except OSError as wrong:  # a full tmpfs: `status` is late, DNS is not
            self._transitions.written(str(self._files.state), wrong)


async def serve(config: Config, index: int, sockets: Mapping[str, Sequence[int]]) -> None:
    """One worker, from its sockets to its end by SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await list_is_back(config.places, float(os.environ.pop(LIST_BY, "0")), stop)
    shared = taken(*sockets[SECRETS]) if SECRETS in sockets else SharedSecrets().now()
    worker = Worker(config, index, count_workers(config.dns), shared, os.environ.pop(MARK, ""))
    loop.add_signal_handler(signal.SIGUSR1, worker.plane.flush_cache)
    await worker.start(sockets)
    # Objects of the start stay: the collector never looks at them again.
    gc.collect()
    gc.freeze()
    say_ready(os.environ)
    await worker.run(stop)


async def list_is_back(places: Places, by: float, stop: asyncio.Event) -> None:
    """Return when a list is live, or none can be expected. `by`: CLOCK_MONOTONIC."""
    while look_up.is_lost(places) and time.monotonic() < by and not stop.is_set():  # noqa: ASYNC110 - another's work
        await asyncio.sleep(BUSY_TICK)


def say_ready(environment: Mapping[str, str]) -> None:
    """Tell the supervisor, if there is one, that this process serves."""
    if READY in environment:
        fd = int(environment[READY])
        os.write(fd, b"1")
        os.close(fd)


def main() -> None:
    """Serve the sockets that the supervisor passed on, or, started alone, the configuration's addresses."""
    path, index = begin(__doc__)
    set_latency_sensitive()
    sockets = handed_over(os.environ)
    config = unsealed(path, sockets).config
    if not sockets:
        listeners = open_listeners(
            dns=config.dns_listen,
            dns_tls=config.dns_tls_listen,
            dns_https=config.dns_https_listen,
            dns_quic=config.dns_quic_listen,
        )
        sockets = listeners.of_worker(0, 1)
    uvloop.run(serve(config, index, sockets))


if __name__ == "__main__":
    main()
