"""The process of the response policy zones: makes them of what is live, serves them, tells the secondaries.

    python -m resolver.rpz.primary --config FILE

Enters: the generation and the exceptions, looked at five times a second; what the control socket is asked. Leaves:
editions, durable before they are served; zone files; NOTIFY; what it says of itself (`resolver.ipc.rpz_status`). Rules:
a zone is made again when the generation or an exception changes, and at the second at which the next entry or
exception ends, with or without an update; it is served only once it was made of what is live; what cannot be made
or written is an alarm, and what is served goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop

from resolver.base.errors import ResolverError
from resolver.config.sealed import unsealed
from resolver.host.apply import OF_RPZ, Held
from resolver.host.child import re_execute
from resolver.host.process import begin
from resolver.host.sockets import bound_to, handed_over, open_listeners
from resolver.host.systemd import beat, notify
from resolver.ipc import control, rpz_status
from resolver.policy.in_force import Follower
from resolver.rpz import export, keys
from resolver.rpz.answer import Refusal, Secondary, Served
from resolver.rpz.counting import Counting
from resolver.rpz.history import Edition, advance, sweep
from resolver.rpz.notify import tell
from resolver.rpz.rules import left_out, lists_of, write_rules
from resolver.rpz.serve import Server, Tls
from resolver.rpz.zone import RpzError, Zone, zone_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from resolver._core import Policies
    from resolver.config.schema import Accepted, Config
    from resolver.config.schema_rpz import RpzSecondary, RpzZone
    from resolver.config.values import Endpoint
    from resolver.policy.in_force import InForce

POLL, AGAIN, LATER = 0.2, 5.0, 60.0
SET_BACK = 60.0

log = logging.getLogger("stopsign.rpz")


@dataclass(frozen=True)
class Made:
    """A zone that was made; `trouble`: why it is not durable."""

    written: Policies
    edition: Edition
    trouble: str | None


@dataclass
class Kept:
    """One zone while the process lives."""

    source: RpzZone
    zone: Zone
    folder: Path
    spare: Path
    """Where it is made while `folder` cannot be written."""
    lists: frozenset[str] | None
    edition: Edition | None = None
    written: Policies | None = None
    exceptions: str | None = None
    """The mark of those that it was made of."""
    due: float = 0.0
    """When it is made again, whatever else happens; 0: never."""
    again: float | None = None
    """The uptime at which it is made again after trouble."""
    made: float = 0.0
    """The time at which it was made; what had ended by a clock that is set back since holds again."""
    telling: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    given: dict[str, tuple[int, str]] = field(default_factory=dict)
    """What each secondary was given last, by its name: a serial, and by which kind of transfer."""
    transfers: Counter[str] = field(default_factory=Counter)
    without: Sequence[str] = ()
    """Sealed lists, each with why the zone goes without it."""

    def is_due(self, now: float, uptime: float) -> bool:
        over = self.due and now >= self.due
        return bool(over) or (self.again is not None and uptime >= self.again) or now < self.made - SET_BACK

    def make(self, live: InForce, now: float) -> Made:
        """The zone of what is live, durable. A full disk must not keep an entry in force that was withdrawn: then the
        zone is made on the tmpfs. Blocking; `RpzError` where it cannot be made at all."""
        try:
            return self._make_in(self.folder, live, now, None)
        except RpzError as wrong:
            if live.compiled is None:
                raise
            return self._make_in(self.spare, live, now, str(wrong))

    def _make_in(self, folder: Path, live: InForce, now: float, trouble: str | None) -> Made:
        fresh = folder / "rules.next"
        written = write_rules(live, self.zone, self.lists, fresh, now)
        served = 0 if self.edition is None else self.edition.serial
        edition = advance(folder, self.zone, fresh, written.names, now, last=served)
        return Made(written, edition, trouble)


class Primary:
    """See the module."""

    def __init__(self, config: Config) -> None:
        self._config, self._places = config, config.places
        self._follower = Follower(config.places)
        origins = frozenset(zone.origin for zone in config.rpz.zones)
        self._zones = {
            source.origin: Kept(
                source,
                zone_of(config, source),
                config.places.rpz(source.origin),
                config.places.run_dir / "rpz" / source.origin,
                lists_of(config, source),
            )
            for source in config.rpz.zones
        }
        self._secondaries = [(secondary_of(one, origins), one.notify) for one in config.rpz.secondaries]
        self._alarms: dict[str, str] = {}
        self._refused: Counter[Refusal] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = Server(
            [secondary for secondary, _ in self._secondaries],
            self._served,
            transfers=config.rpz.transfers,
            has=self._has,
            refused=self._refuse,
        )
        about = {origin: (kept.zone, kept.lists) for origin, kept in self._zones.items()}
        known = [secondary for secondary, _ in self._secondaries]
        counting = partial(Counting, config.places, about, known, lambda: self._follower.now)
        self._counting = counting() if config.rpz.counts else None

    async def run(self, sockets: Mapping[str, Sequence[int]], stop: asyncio.Event) -> None:
        rpz = self._config.rpz
        udp, tcp, over_tls = ([_own(fd) for fd in sockets.get(use, ())] for use in ("rpz_udp", "rpz_tcp", "rpz_tls"))
        await self._server.start(udp, tcp, over_tls, tls_of(self._config))
        if self._counting is not None:
            await self._counting.start(rpz.counts)
            self._start(self._counting.run())
        self._start(beat())
        notify("READY=1", f"STATUS=primary of {len(self._zones)} zones")
        try:
            said = time.monotonic()
            while not stop.is_set():
                await self.look(time.time())
                if time.monotonic() - said >= rpz_status.BEAT:
                    said = time.monotonic()
                    self._say()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await stop.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.stop()

    async def look(self, now: float) -> None:
        """Makes what is due."""
        changed = await asyncio.to_thread(self._follower.poll)
        live = self._follower.now
        self._alarm("live", live.trouble)
        for kept in self._zones.values():
            if changed or kept.is_due(now, time.monotonic()):
                await self._make(kept, live, now)
        if changed:
            self._say()

    async def _make(self, kept: Kept, live: InForce, now: float) -> None:
        origin = kept.zone.origin
        try:
            made = await asyncio.to_thread(kept.make, live, now)
        except RpzError as wrong:
            kept.due, kept.again = 0.0, time.monotonic() + AGAIN
            self._alarm(origin, str(wrong))
            return
        written, edition = made.written, made.edition
        ends = (written.next, live.exceptions.next_end(now) or 0)
        kept.written, kept.due, kept.made = written, float(min(filter(None, ends), default=0)), now
        kept.exceptions = live.exceptions.mark
        for line in [line for line in left_out(live) if line not in kept.without]:
            log.warning("%s: made without %s", origin, line)
        kept.without = left_out(live)
        kept.again = None if made.trouble is None else time.monotonic() + LATER
        self._alarm(origin, made.trouble)
        if edition == kept.edition:
            return
        kept.edition = edition
        log.info("%s: serial %d, %d owners", origin, edition.serial, written.owners)
        sweep(edition)
        self._start(self._write_file(kept, edition))
        for secondary, addresses in self._secondaries:
            if origin in secondary.zones:
                for address in addresses:
                    self._tell(kept, edition, secondary, address)
        self._say()

    async def _write_file(self, kept: Kept, edition: Edition) -> None:
        path = kept.source.file
        if path is None or export.serial_in(path) == edition.serial:
            return
        async with kept.writing:
            if edition is not kept.edition:
                return  # a newer one waits for its turn
            try:
                unsaid = await asyncio.to_thread(export.put, kept.zone, edition.serial, edition.rules, path)
                self._alarm(f"{kept.zone.origin} dialect", f"{path}: {'; '.join(unsaid)}" if unsaid else None)
                await asyncio.to_thread(export.run_after, kept.source.run)
            except RpzError as wrong:
                self._alarm(f"{kept.zone.origin} file", str(wrong))
            else:
                self._alarm(f"{kept.zone.origin} file", None)

    def _tell(self, kept: Kept, edition: Edition, secondary: Secondary, address: Endpoint) -> None:
        name = f"{secondary.name} {address}"
        if (older := kept.telling.pop(name, None)) is not None:
            older.cancel()

        async def telling() -> None:
            heard = await tell(kept.zone, edition.serial, address, secondary.key)
            what = None if heard else f"{secondary.name}: {address} does not acknowledge serial {edition.serial}"
            self._alarm(f"{kept.zone.origin} {name}", what)

        kept.telling[name] = self._start(telling())

    def _start(self, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _served(self) -> Mapping[str, Served]:
        return {origin: Served(kept.zone, kept.edition) for origin, kept in self._zones.items()}

    def _has(self, secondary: str, origin: str, serial: int, how: str) -> None:
        self._zones[origin].given[secondary] = serial, how
        self._zones[origin].transfers[how] += 1
        for about in [about for about in self._alarms if about.startswith(f"{origin} {secondary} ")]:
            self._alarm(about, None)  # who never acknowledged has come by itself
        self._say()

    def _refuse(self, refusal: Refusal) -> None:
        """Counts it, and logs the first of its kind. An address that is no secondary's is nobody's business."""
        if not self._refused[refusal]:
            log.warning("%s asks for a zone and is refused: %s", refusal.who or "somebody", refusal.why)
        self._refused[refusal] += 1

    def _alarm(self, about: str, what: str | None) -> None:
        if self._alarms.get(about) == what:
            return
        if what is None:
            del self._alarms[about]
        else:
            self._alarms[about] = what
            log.error("%s", what)
        self._say()

    def _say(self) -> None:
        try:
            refused = [{"secondary": one.who, "why": one.why, "times": n} for one, n in self._refused.items()]
            rpz_status.write(self._places, [self._said(kept) for kept in self._zones.values()], self.alarms, refused)
        except OSError as wrong:  # a full tmpfs: `rpz status` is late, transfers are not
            log.warning("%s cannot be written (%s)", self._places.rpz_said, wrong.strerror)

    def _said(self, kept: Kept) -> dict[str, Any]:
        origin, edition, written = kept.zone.origin, kept.edition, kept.written
        return {
            "origin": origin,
            "ttl": kept.zone.ttl,
            "serial": 0 if edition is None else edition.serial,
            "steps": 0 if edition is None else len(edition.steps),
            "names": 0 if written is None else written.names,
            "owners": 0 if written is None else written.owners,
            "unsayable": 0 if written is None else written.unsayable,
            "told": [] if written is None else written.told,
            "passes": kept.exceptions,
            "without": list(kept.without),
            "transfers": {kind: kept.transfers[kind] for kind in ("AXFR", "IXFR")},
            "secondaries": [
                {"name": one.name, "serial": serial, "by": by}
                for one, _ in self._secondaries
                if origin in one.zones
                for serial, by in [kept.given.get(one.name, (None, None))]
            ],
        }

    @property
    def alarms(self) -> list[str]:
        return list(self._alarms.values())


def secondary_of(source: RpzSecondary, origins: frozenset[str]) -> Secondary:
    """Who may ask, with the key read from its file. `RpzError` where that cannot be used."""
    key = None if source.key is None else keys.read(source.key)
    return Secondary(source.name, tuple(source.addresses), key, frozenset(source.zones) or origins)


def tls_of(config: Config) -> Tls | None:
    """The certificate for transfers over TLS, where there is one."""
    rpz = config.rpz
    if rpz.certificate is None or rpz.private_key is None:
        return None
    return Tls(rpz.certificate, rpz.private_key)


def usable(config: Config) -> None:
    """Raises `RpzError` where a key or a certificate cannot be used."""
    for source in config.rpz.secondaries:
        secondary_of(source, frozenset())
    tls = tls_of(config)
    if tls is not None:
        tls.context()


def _own(descriptor: int) -> socket.socket:
    # A duplicate: what was handed over stays open for this process after a re-exec.
    one = socket.socket(fileno=os.dup(descriptor))
    one.setblocking(False)
    return one


def _addresses(descriptors: Sequence[int]) -> list[str]:
    found = []
    for descriptor in descriptors:
        with _own(descriptor) as one:
            found.append(str(bound_to(one)))
    return found


async def serve(accepted: Accepted, sockets: Mapping[str, Sequence[int]]) -> bool:
    """The zones, until SIGTERM or SIGINT; True: it is to re-execute, with the configuration in the file."""
    loop, stop, re_executes = asyncio.get_running_loop(), asyncio.Event(), False

    def end(*, re_execute: bool) -> None:
        nonlocal re_executes
        re_executes = re_execute
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(end, re_execute=False))
    primary = Primary(accepted.config)

    async def apply(_new: Accepted) -> list[str]:
        loop.call_later(0.05, partial(end, re_execute=True))  # the answer goes out first
        return ["rpz"]

    held = Held(accepted, OF_RPZ, apply, usable=usable)
    said = {"rpz": _addresses(sockets.get("rpz_tcp", ())), "rpz_tls": _addresses(sockets.get("rpz_tls", ()))}

    async def status(_peer: control.Peer, _request: Mapping[str, Any]) -> control.Reply:
        return {**held.status(), **said, "alarms": primary.alarms}

    operations = {"status": control.Operation(status, anyone=True), **held.operations()}
    server = await control.serve(accepted.config.places.rpz_socket, operations, held.callers)
    try:
        await primary.run(sockets, stop)
    finally:
        server.close(ends=stop.is_set() and not re_executes)
    return re_executes


def main() -> None:
    """Serve the response policy zones of a provider."""
    path, _ = begin(__doc__)
    sockets = handed_over(os.environ)
    try:
        accepted = unsealed(path, sockets)
        if not sockets:
            rpz = accepted.config.rpz
            listeners = open_listeners(rpz=rpz.listen, rpz_tls=rpz.listen_tls)
            sockets = listeners.of_rpz()
        if uvloop.run(serve(accepted, sockets)):
            re_execute()
    except ResolverError as wrong:
        log.error("%s", wrong)  # noqa: TRY400 - the sentence says it all
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
