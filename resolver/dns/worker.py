"""A DNS worker: one process, one thread, one event loop, its share of the clients.

`python -m resolver.dns.worker --config FILE --index N`

Enters: the sockets that the supervisor opened, the compiled list and the passes that lie in `run_dir`. Leaves: answers,
counters (a mapped file) and `workers/N.json`, which says what this worker runs with.

Rules:
- The native plane does everything that is done per datagram; this file gives it wake-ups, timers, lists and streams.
- `current.list` and `passes.json` are looked at five times a second, and so is whether a bypass is over. A new list is
  opened beside the loop, in a thread, and handed over between two batches: no query waits for it or meets half of it.
- A list that cannot be opened is refused and alarmed, and the one there is goes on; without any list queries are
  forwarded, and that is an alarm too. The same for passes: the last good ones hold until their own end. Both are tried
  again every other second: it may be this process that had no descriptor or no memory.
- A reboot empties the tmpfs. Where a list was live before, a worker begins only when the steward has brought it back,
  the passes before it; at the latest at `LIST_BY`, since the steward may be dead. What comes meanwhile waits in its
  socket.
- An upstream that goes down, fails most questions or answers no TCP, and one that is well again, is a line in the log;
  so is a file that cannot be written, once.
- SIGUSR1: the cache is emptied.
- SIGTERM: nothing new is taken from the sockets, what is in flight is answered, then the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import math
import os
import secrets
import signal
import socket
import time
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING

import uvloop

from resolver._core import LIFE, CoreError, Plane, give_way, go_first
from resolver.base import atomic
from resolver.base.errors import ResolverError
from resolver.base.file_watch import Changed
from resolver.base.journal import about
from resolver.config.discovery import own_answers
from resolver.config.sealed import unsealed
from resolver.dns.streams import SWEEP, Limits, Streams
from resolver.dns.tap import Tap, announce
from resolver.dns.upstreams import Timing, Upstreams
from resolver.host.health import MARK
from resolver.host.process import begin
from resolver.host.sockets import BACKLOG, handed_over, open_listeners
from resolver.host.supervisor import LIST_BY, READY, count_workers
from resolver.ipc import shadow_sketches
from resolver.ipc.worker_counters import NOT_ASKED
from resolver.policy import exceptions as passes
from resolver.policy import look_up
from resolver.policy.verdict import list_names, names_of, switched_off
from resolver.stats.entry_hits import Cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from resolver._core import CompiledList, PlaneSettings, TcpAsk, UpstreamState
    from resolver.base.paths import Places
    from resolver.config.schema import Config

BUSY_TICK, IDLE_TICK, POLL = 0.02, 1.0, 0.2
OPENING = 5  # how far the thread that opens a list stands behind
DRAIN = 5.0
COUNT = 10.0  # seconds between two looks whether what was counted can be handed over
LONGEST = 0xFFFF_FFFF  # seconds that the core can count
TELL, TELLING = 1.0, 0.02  # seconds between two tellings of what is watched, and the share of time that may take

log = logging.getLogger("stopsign.dns")


@dataclass(frozen=True)
class State:
    """What a worker says of itself in `workers/N.json`, for `status` and for tests."""

    pid: int
    index: int
    generation: int | None
    entries: int
    lists: tuple[Mapping[str, object], ...]
    passes: str
    """The mark of those that it took up."""
    health_mark: str
    """What TXT of `dns.health_name` answers; empty: nothing."""
    alarms: tuple[str, ...]
    upstreams: tuple[Mapping[str, object], ...]


def plane_settings(
    config: Config, index: int, workers: int, key: shadow_sketches.Key, health_mark: str = ""
) -> PlaneSettings:
    """The core's settings for one of `workers` workers, which share `key`."""
    dns = config.require_dns()
    limits = dns.limits
    order = [source.name for source in config.lists]
    return {
        "allow_clients": [str(prefix) for prefix in dns.allow_clients],
        "stop_ipv4": None if config.stop_page.ipv4 is None else str(config.stop_page.ipv4),
        "stop_ipv6": None if config.stop_page.ipv6 is None else str(config.stop_page.ipv6),
        "portal_url": config.portal.url,
        "health_name": dns.health_name,
        "health_mark": health_mark,
        "own_answers": own_answers(config),
        "views": [
            {
                "clients": [str(prefix) for prefix in view.clients],
                "lists": sum(1 << order.index(name) for name in view.lists),
            }
            for view in config.views
        ],
        "cache_bytes": dns.cache.size // workers,
        "cache_stale_s": min(math.ceil(dns.cache.stale), LONGEST),
        "counters_path": str(config.places.counters(index)),
        "rate": None
        if dns.rate is None
        else {"queries_per_second": float(dns.rate.queries_per_second), "burst": float(dns.rate.burst)},
        "patience_ms": int(limits.patience * 1000),
        "upstream_timeout_ms": int(limits.upstream_timeout * 1000),
        "max_in_flight": limits.in_flight,
        "per_client_in_flight": limits.per_client,
        "per_zone_in_flight": limits.per_zone,
        "udp_gso": dns.udp_gso,
        "proxy_from": [str(prefix) for prefix in dns.proxy_protocol.accept_from],
        "proxy_to": [str(endpoint) for endpoint in dns.proxy_protocol.send_to],
        "tap": None
        if dns.dnstap.socket is None
        else {
            "identity": socket.gethostname(),
            "version": _version(),
            "client_addresses": dns.dnstap.client_addresses,
        },
        "watch_key": key.words,
    }


def _version() -> str:
    try:
        return f"stopsign {metadata.version('stopsign')}"
    except metadata.PackageNotFoundError:  # run from its source tree
        return "stopsign"


def stream_limits(config: Config) -> Limits:
    limits = config.require_dns().limits
    return Limits(
        total=limits.tcp_connections,
        per_client=limits.tcp_per_client,
        in_flight=limits.tcp_in_flight,
        idle=limits.tcp_idle,
    )


class Worker:
    """The plane, its timers, its lists and its streams."""

    def __init__(
        self, config: Config, index: int, workers: int, key: shadow_sketches.Key, health_mark: str = ""
    ) -> None:
        self._health_mark = health_mark
        self._config, self._places, self._index = config, config.places, index
        self._places.workers.mkdir(parents=True, exist_ok=True)
        self._alarms: dict[str, str] = {}
        self._unwritten: dict[str, str] = {}  # what cannot be written, and why: said once
        self._down: set[str] = set()  # upstreams of which the log says so
        self._failing: set[str] = set()  # and those that fail
        self._tcp_closed: set[str] = set()  # and those that answer no TCP
        self._said: State | None = None
        self.plane, self._inode = self._new_plane(plane_settings(config, index, workers, key, health_mark))
        self.plane.set_upstreams([str(endpoint) for endpoint in config.require_dns().upstreams])
        limits = config.require_dns().limits
        timing = Timing(opening=limits.upstream_timeout, life=max(limits.patience, LIFE))
        self._upstreams = Upstreams(self._tcp_done, timing=timing)
        self._woken: asyncio.Handle | None = None
        self.streams = Streams(
            self.plane,
            self._wake,
            stream_limits(config),
            balancers=config.require_dns().proxy_protocol.accept_from,
        )
        self._tap: Tap | None = None
        if (recorder := config.require_dns().dnstap.socket) is not None:
            announce(config.require_dns().dnstap)
            self._tap = Tap(recorder, self.plane.take_tap)
        self._servers: list[asyncio.Server] = []
        self._ticking: asyncio.TimerHandle | None = None
        self._starved = False  # no descriptor is left
        self._busy = False  # the quick tick runs
        self._changed = Changed()
        self._list: CompiledList | None = None
        self._meta: dict[str, object] = {}
        self._passes = passes.Passes()
        self._passes_mark = self._passes.mark
        self._bypass_ends: int | None = None  # the plane knows the ends of names alone
        self._cells: Cells | None = None
        self._given: Path | None = None  # what was handed over last
        self._key, self._watches, self._telling_until = key, False, 0.0

    def _new_plane(self, settings: PlaneSettings) -> tuple[Plane, int | None]:
        """The plane, and the inode of the file that it counts in; None where the tmpfs has no room for one: then nobody
        sees what it counts."""
        path = self._places.counters(self._index)
        # A new file: a predecessor that still drains has the old one mapped.
        path.unlink(missing_ok=True)
        try:
            return Plane(settings), path.stat().st_ino
        except (CoreError, OSError) as wrong:
            what = f"what worker {self._index} counts is seen by nobody: {wrong}"
        path.unlink(missing_ok=True)
        plane = Plane({**settings, "counters_path": None})  # raises again where something else is wrong
        self._alarms["counters"] = what
        log.error("%s", what, extra=about(worker=self._index, alarm="counters"))
        return plane, None

    # -- serving

    async def start(self, udp: Sequence[int], tcp: Sequence[int]) -> None:
        """Serves the sockets; returns when the first query can be answered."""
        await self.poll()
        for fd in udp:
            self.plane.listen(fd)
        loop = asyncio.get_running_loop()
        loop.add_reader(self.plane.fileno(), self._pump)
        for fd in tcp:
            listener = socket.socket(fileno=os.dup(fd))
            self._servers.append(await loop.create_server(self.streams.connection, sock=listener, backlog=BACKLOG))
        self._tick()

    async def run(self, stop: asyncio.Event) -> None:
        """Looks after lists and passes until `stop`, then drains."""
        slow = counting = 0.0
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL)
            await self.poll()
            self.plane.note_streams(len(self.streams), self.streams.refused, self._is_starved())
            if self._tap is not None:
                self._tap.pass_on()
            slow += POLL
            counting += POLL
            if counting >= COUNT:
                counting = 0.0
                await self._hand_over()
            self._tell_watched()
            if slow >= SWEEP:
                slow = 0.0
                if len(self.streams):
                    self.streams.sweep()
                self._upstreams.sweep()
                self._log_upstreams()
                self._say()
        await self.drain()

    async def drain(self) -> None:
        """Takes nothing new, answers what is in flight, closes."""
        loop = asyncio.get_running_loop()
        for server in self._servers:
            server.close()
        self.plane.stop_listening()
        deadline = loop.time() + DRAIN
        await self.streams.drain(DRAIN)
        while self.plane.in_flight and loop.time() < deadline:  # noqa: ASYNC110 - the core has no event to wait for
            await asyncio.sleep(BUSY_TICK)
        loop.remove_reader(self.plane.fileno())
        if self._tap is not None:
            self._tap.close()
        if self._ticking is not None:
            self._ticking.cancel()
        self.plane.tick()  # the last of what was counted reaches the file
        self._count_in(None)
        self._upstreams.close()

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
        """Soon hands out what comes of a call other than `pump` and `tick`."""
        if self._woken is None:
            self._woken = asyncio.get_running_loop().call_soon(self._carry_on)

    def _carry_on(self) -> None:
        self._woken = None
        self._hand_out()
        if self.plane.in_flight and not self._busy:
            self._tick()

    def _hand_out(self) -> None:
        """What the plane cannot send itself: answers on streams, questions over TCP."""
        for stream, message in self.plane.take_answers():
            self.streams.answer(stream, message)
        for number in self.plane.take_tcp_overdue():
            self._upstreams.overdue(number)
        for ask in self.plane.take_tcp_asks():
            self._upstreams.ask(ask)

    def _tcp_done(self, ask: TcpAsk, message: bytes | None) -> bool:
        """What came of a question over TCP; None: nothing."""
        self._wake()
        if message is not None:
            return self.plane.tcp_answered(ask, message)
        self.plane.tcp_failed(ask)
        return False

    # -- lists and passes

    async def poll(self) -> None:
        """Takes up a new list and new passes, where there are any."""
        if self._changed.look(self._places.current):
            await self._take_list()
        if self._changed.look(self._places.passes):
            self._take_passes()
        elif self._bypass_ends is not None and time.time() >= self._bypass_ends:
            self._hand_over_passes()

    async def _take_list(self) -> None:
        path = self._places.current
        if not self._changed.there(path):
            if self._list is None:
                self._alarm("list", "there is no compiled list yet: everything is forwarded")
            else:
                self._alarm("list", f"{path} is gone; the list that is loaded goes on")
            return
        try:
            opened = await asyncio.to_thread(_opened, path)
            meta = json.loads(opened.meta)
        except (CoreError, ValueError) as wrong:
            kept = (
                "the list before it goes on" if self._list is not None else "there is no other: everything is forwarded"
            )
            self._alarm("list", f"the compiled list is refused ({wrong}); {kept}")
            self._changed.unread(path)
            return
        self._changed.read(path)
        cells = await self._new_cells(opened, meta)
        self.plane.set_list(opened)
        self._list, self._meta = opened, meta
        self._count_in(cells)
        self._watch()
        self._hand_over_passes()
        self._alarm("list", None)
        extra = about(worker=self._index, generation=meta.get("generation"), entries=opened.entries)
        log.info("generation %s is active: %d entries", meta.get("generation"), opened.entries, extra=extra)
        self._say()

    def _take_passes(self) -> None:
        path = self._places.passes
        if not self._changed.there(path) and self._passes != passes.Passes():
            self._alarm("passes", f"{path} is gone; those before them go on")
            return
        try:
            self._passes = passes.read(self._places.passes)
        except ResolverError as wrong:
            self._alarm("passes", f"{wrong}; those before them go on")
            self._changed.unread(path)
            return
        self._changed.read(path)
        self._hand_over_passes()
        self._passes_mark = self._passes.mark
        self._alarm("passes", None)

    def _hand_over_passes(self) -> None:
        now = time.time()
        self.plane.set_passes(names_of(self._passes), *switched_off(self._passes, list_names(self._meta), now))
        self._bypass_ends = self._passes.next_end(now)

    def _lists(self) -> list[Mapping[str, object]]:
        """Of the compiled list in use, in the order of the core's indices."""
        return _lists(self._meta)

    # -- what it counts

    async def _hand_over(self) -> None:
        """A new file to count in, if the steward took the last one; the one before is the steward's to read."""
        if self._list is None or (self._given is not None and self._given.exists()):
            return
        if self._cells is None or self._cells.met:
            opened = self._list
            cells = await self._new_cells(opened, self._meta)
            if cells is not None:
                self._count_in(cells)

    async def _new_cells(self, opened: CompiledList, meta: Mapping[str, object]) -> Cells | None:
        lists, generation = _lists(meta), meta.get("generation")
        create = partial(
            Cells.create,
            self._places.workers,
            self._index,
            generation=generation if isinstance(generation, int) else 0,
            lists=[str(one.get("name")) for one in lists],
            entries=opened.entries,
        )
        try:
            cells = await asyncio.to_thread(create)
        except OSError as wrong:  # a full tmpfs: DNS goes on, and so do the counters
            self._log_written("what is counted by entry", wrong)
            return None
        self._log_written("what is counted by entry", None)
        return cells

    def _count_in(self, cells: Cells | None) -> None:
        """From the next query on; what was counted until now is handed over."""
        try:
            if cells is not None:
                self.plane.count_in(cells.path, cells.at)
        except CoreError as wrong:
            log.warning("nothing is counted by entry (%s)", wrong)
        if self._cells is not None:
            self._given = self._cells.path
            self._cells.close()
        self._cells = cells

    # -- additions that are only watched

    def _watch(self) -> None:
        watches = shadow_sketches.watches(self._lists())
        self.plane.watch(watches)
        self._watches = self._watches or bool(watches)

    def _tell_watched(self) -> None:
        """Hands over sketches, as often as a small share of the time allows; after a watch, that there are none."""
        now = time.monotonic()
        if not self._watches or now < self._telling_until or self._is_succeeded():
            return
        try:
            seen = self.plane.watched()
            shadow_sketches.write(self._places.watched(self._index), self._key, seen)
        except OSError as wrong:  # a full tmpfs: they are told a little later
            self._log_written("what is watched", wrong)
        else:
            self._log_written("what is watched", None)
            self._watches = bool(seen)
        self._telling_until = now + max(TELL, (time.monotonic() - now) / TELLING)

    # -- what it says of itself

    def _alarm(self, about_what: str, what: str | None) -> None:
        if what is None:
            self._alarms.pop(about_what, None)
        elif self._alarms.get(about_what) != what:
            self._alarms[about_what] = what
            log.error("%s", what, extra=about(worker=self._index, alarm=about_what))
        self._say()

    def _log_upstreams(self) -> None:
        """Once a change, whoever asked what."""
        for upstream in self.plane.upstreams():
            address, state, extra = upstream["address"], upstream["state"], about(worker=self._index)
            if state == "down" and address not in self._down:
                self._down.add(address)
                log.warning("upstream %s is down: %s", address, upstream["reason"], extra=extra)
            elif state == "up" and address in self._down:
                self._down.remove(address)
                log.warning("upstream %s is up again", address, extra=extra)
            if upstream["failing"] and address not in self._failing:
                self._failing.add(address)
                log.warning("upstream %s answers most questions with SERVFAIL or REFUSED", address, extra=extra)
            elif not upstream["failing"] and address in self._failing:
                self._failing.remove(address)
                log.warning("upstream %s answers most questions well again", address, extra=extra)
            if upstream["tcp_closed"] and address not in self._tcp_closed:
                self._tcp_closed.add(address)
                log.warning("upstream %s answers no TCP", address, extra=extra)
            elif not upstream["tcp_closed"] and address in self._tcp_closed and state != "down":
                self._tcp_closed.remove(address)
                log.warning("upstream %s answers TCP again", address, extra=extra)

    def _is_starved(self) -> bool:
        """No file descriptor is left for a connection; once a change that is a line in the log. libuv then accepts and
        closes what comes, and tells nobody."""
        try:
            os.close(os.eventfd(0))
        except OSError as wrong:
            if not self._starved:
                log.error(  # noqa: TRY400 - the reason is all there is to say
                    "no file descriptor is left: new connections over TCP are closed (%s)",
                    wrong.strerror, extra=about(worker=self._index, alarm="descriptors"),
                )  # fmt: skip
            self._starved = True
        else:
            if self._starved:
                log.warning("there are file descriptors again", extra=about(worker=self._index))
            self._starved = False
        return self._starved

    def _log_written(self, what: str, wrong: OSError | None) -> None:
        """Once a change: a tmpfs that is full stays so for a while. None: it is written."""
        why = None if wrong is None else wrong.strerror or str(wrong)
        if why == self._unwritten.get(what):
            return
        if why is None:
            del self._unwritten[what]
            log.warning("%s: written again", what, extra=about(worker=self._index))
        else:
            self._unwritten[what] = why
            log.warning("%s: cannot be written (%s)", what, why, extra=about(worker=self._index))

    def _is_succeeded(self) -> bool:
        """The counters file of this number is another's: a successor speaks for it, this process only drains."""
        try:
            return self._places.counters(self._index).stat().st_ino != self._inode
        except OSError:
            return self._inode is not None

    def _say(self) -> None:
        """Writes `workers/N.json` where something in it changed."""
        number = self._meta.get("generation")
        state = State(
            pid=os.getpid(),
            index=self._index,
            generation=number if isinstance(number, int) else None,
            entries=0 if self._list is None else self._list.entries,
            lists=tuple({"name": one.get("name"), "version": one.get("version")} for one in self._lists()),
            passes=self._passes_mark,
            health_mark=self._health_mark,
            alarms=tuple(self._alarms.values()),
            upstreams=tuple(_shown(upstream) for upstream in self.plane.upstreams()),
        )
        if state == self._said or self._is_succeeded():
            return
        path = self._places.workers / f"{self._index}.json"
        try:
            atomic.replace(path, json.dumps(asdict(state)).encode())
        except OSError as wrong:  # a full tmpfs: `status` is late, DNS is not
            self._log_written(str(path), wrong)
        else:
            self._log_written(str(path), None)
            self._said = state


def _opened(path: Path) -> CompiledList:
    """The compiled list, opened by a thread that hinders no query."""
    give_way(OPENING)
    return look_up.opened(path)


def _lists(meta: Mapping[str, object]) -> list[Mapping[str, object]]:
    lists = meta.get("lists")
    return lists if isinstance(lists, list) else []


def _shown(upstream: UpstreamState) -> Mapping[str, object]:
    """To two digits, so that what is said changes when something did. The plane asks whom nothing is known of, and so
    calls it up; here it says so."""
    known = upstream["state"] != "up" or upstream["answers"] > 0
    rtt = float(f"{upstream['rtt_us']:.1e}")
    return {
        "address": upstream["address"],
        "state": upstream["state"] if known else NOT_ASKED,
        "reason": upstream["reason"],
        "failing": upstream["failing"],
        "tcp_closed": upstream["tcp_closed"],
        "rtt_us": int(rtt),
    }


async def serve(config: Config, index: int, sockets: Mapping[str, Sequence[int]]) -> None:
    """One worker, from its sockets to its end by SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await list_is_back(config.places, float(os.environ.pop(LIST_BY, "0")), stop)
    key = shadow_sketches.Key.from_text(os.environ.pop(shadow_sketches.KEY, secrets.token_hex(16)))
    worker = Worker(config, index, count_workers(config.dns), key, os.environ.pop(MARK, ""))
    loop.add_signal_handler(signal.SIGUSR1, worker.plane.flush_cache)
    await worker.start(sockets.get("udp", ()), sockets.get("tcp", ()))
    # What start-up made stays: the collector never looks at it again.
    gc.collect()
    gc.freeze()
    say_ready(os.environ)
    await worker.run(stop)


async def list_is_back(places: Places, by: float, stop: asyncio.Event) -> None:
    """Returns when a list is live, or none can be expected. `by`: of CLOCK_MONOTONIC."""

    def waits() -> bool:
        was_live, is_live = (os.access(path, os.F_OK) for path in (places.generation, places.current))
        return was_live and not is_live and time.monotonic() < by

    while waits() and not stop.is_set():  # noqa: ASYNC110 - another process brings it
        await asyncio.sleep(BUSY_TICK)


def say_ready(environment: Mapping[str, str]) -> None:
    """Tells the supervisor, where there is one, that this process serves."""
    if READY in environment:
        fd = int(environment[READY])
        os.write(fd, b"1")
        os.close(fd)


def main() -> None:
    """Serve the sockets that the supervisor passed on, or, started alone, the configuration's addresses."""
    path, index = begin(__doc__)
    go_first()
    sockets = handed_over(os.environ)
    config = unsealed(path, sockets).config
    if not sockets:
        listeners = open_listeners(dns=config.require_dns().listen)
        sockets = listeners.of_worker(0, 1)
    uvloop.run(serve(config, index, sockets))


if __name__ == "__main__":
    main()
