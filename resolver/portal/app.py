"""The web process: the stop page on one set of sockets, the portal on the other.

`python -m resolver.portal.app --config FILE`. Enters: listening sockets from the supervisor (STOPSIGN_SOCKETS), or the
configuration's addresses. Leaves: pages, until SIGTERM. Rules: it reads the live list and the exceptions and writes
nothing but the appeals database; without that database, without a list and without the steward the stop page goes on;
when nobody asks it sleeps, but for two stats five times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop
from aiohttp import web

from blocklists.counted import counted
from blocklists.text import shown
from resolver.base.errors import ResolverError
from resolver.base.file_watch import Changed
from resolver.base.timestamps import as_text
from resolver.base.version import VERSION
from resolver.config.sealed import unsealed
from resolver.host.apply import OF_WEB, Held
from resolver.host.child import re_execute
from resolver.host.process import begin
from resolver.host.sockets import bound_to, handed_over, open_listeners
from resolver.host.systemd import beat, notify
from resolver.ipc import control, issuer_decisions
from resolver.log.errors import AuditError
from resolver.log.note import MAX_NOTE, parse_vkey
from resolver.log.source import Folder
from resolver.policy import seals
from resolver.policy.views import Views
from resolver.portal.abuse import client_address
from resolver.portal.clock import Exchange, deliver, hear_stages, learn, round_of
from resolver.portal.database import StoreError
from resolver.portal.fleet import report_of
from resolver.portal.listening import listen
from resolver.portal.live import Live
from resolver.portal.logs import Logs
from resolver.portal.pages import Pages
from resolver.portal.plain_http import PlainHttp
from resolver.portal.site import Portal
from resolver.portal.stop_page import StopPage
from resolver.portal.store import Store
from resolver.portal.transparency import Transparency
from resolver.portal.web import QuietServer, UnreadableError, ask_of, respond

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from resolver.config.schema import Accepted, Config

log = logging.getLogger("stopsign.portal")

POLL_SECONDS = 0.2
ROUND_SECONDS = 10.0  # a decision shows on its receipt within that
ERASE_SECONDS = 600.0  # what is kept for half a year ends within that


class Web:
    """The running process."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._config, self._clock = config, clock
        places, clocks = config.places, config.portal.clocks
        self.live = Live(places, partial(seals.unseal, seals.key_file(config)))
        pages, views = Pages(config), Views.of(config)
        self.portal = Portal(
            pages, self.live, Transparency(self.live, places.log_dir, config.host_name), clock, time.monotonic,
            os.urandom, (int(clocks.fact), int(clocks.decide)), config.host_name, config.provider.language,
            views, logs_of(config),
        )  # fmt: skip
        self._stop_page = StopPage(pages, self.live, clock, views, brands_of(config, pages))
        self._failures = 0
        self._erases = -ERASE_SECONDS  # when deletions are looked for again, by the clock that no one sets
        self._away: float | None = None  # since when the database cannot be used
        self._trouble = "the database is not open yet"  # why appeals wait; empty: they do not
        self._words = Changed()
        self._exchange = Exchange(config.host_name)
        self.unknown: list[str] = []  # hosts on our database whose word does not count here
        self._wake = asyncio.Event()
        self.stored = asyncio.Event()  # the database is there
        self._tasks: list[asyncio.Task[None]] = []
        self._undo = contextlib.AsyncExitStack()

    def alarms(self) -> list[str]:
        """What a person should look at."""
        stored = [] if self.stored.is_set() else [f"{self._trouble}: appeals wait"]
        if self.stored.is_set() and self._away is not None:
            since = as_text(self._away)
            stored = [f"the database cannot be used since {since}: appeals and what other hosts say wait"]
        index = [self.portal.logs.trouble] if self.portal.logs.trouble else []
        return (
            index
            + stored
            + [
                f"host {shown(name)} shares the appeals database, and log.peers lacks the key of its log"
                for name in self.unknown
            ]
        )

    async def start(self, stop_page: Sequence[socket.socket], portal: Sequence[socket.socket]) -> None:
        self.live.poll()
        loop = asyncio.get_running_loop()
        plain = PlainHttp(self._stop_page.reply, self._failed)
        self._undo.callback(plain.close)
        for one in stop_page:
            server = await loop.create_server(plain.protocol, sock=one, backlog=4096)
            self._undo.callback(server.close)
        runner = web.ServerRunner(QuietServer(self._answer, self._failed), shutdown_timeout=5.0)
        await runner.setup()
        self._undo.push_async_callback(runner.cleanup)
        for one in portal:
            await web.SockSite(runner, one, backlog=1024).start()
        self.portal.wake = self._wake.set
        hears = listen(self._config.database_url, self._wake.set)
        self._tasks = [asyncio.create_task(work) for work in (self._follow(), self._keep_time(), beat(), hears)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._undo.aclose()
        if self.portal.store is not None:
            await self.portal.store.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        config = self._config.portal
        origin = self.portal.pages.origin
        try:
            ask = await ask_of(request, origin, lambda peer, forwarded: client_address(peer, forwarded, config.behind))
        except UnreadableError as wrong:
            response = respond(self.portal.unreadable(wrong.status))
            response.force_close()
            return response
        return respond(await self.portal.answer(ask))

    def _failed(self) -> None:
        """A page could not be made: counted and said, without a word of who asked for what."""
        self._failures += 1
        log.error("a page failed (number %d since the start)", self._failures)

    async def _follow(self) -> None:
        while True:
            changed, said = self.live.poll(), self._words.look(self._config.places.words)
            if changed or said:
                self._wake.set()
            await asyncio.sleep(POLL_SECONDS)

    async def _keep_time(self) -> None:
        """Opens the database as soon as it can be; then rounds of the clocks, at once where something is to be said."""
        while True:
            self._wake.clear()  # before the round: what is said during it is for the next
            try:
                if self.portal.store is None:
                    self.portal.store = await Store.open(self._config.database_url)
                    self.stored.set()
                await self._round(self.portal.store)
                self._trouble, self._away = "", None
            except StoreError as error:
                self._away = self._away or self._clock()
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    log.error("%s; appeals wait, the stop page goes on", error)  # noqa: TRY400 - the sentence says it all
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS if not self._trouble else 5.0):
                    await self._wake.wait()

    async def _round(self, store: Store) -> None:
        """What hosts and stewards say to each other first: no text of an issuer may keep it waiting."""
        now = int(self._clock())

        async def steward(op: str, **arguments: Any) -> Mapping[str, Any]:
            return await control.acall(self._config.places.control_socket, op, timeout=30.0, **arguments)

        await self._exchange.round(store, steward)
        name = self._config.host_name
        await deliver(store, steward, name, now)
        await self.look_at_others(store, now, await self._report(steward), await hear_stages(store, steward, name, now))
        if overdue := await learn(store, steward, now):
            log.warning("%s overdue: what it is about is suspended, or waits for a person", counted(overdue, "appeal"))
        await self._end_appeals(store, now)

    async def _end_appeals(self, store: Store, now: int) -> None:
        decided = issuer_decisions.read(self._config.places)
        erases = time.monotonic() >= self._erases
        keep = int(self._config.portal.clocks.keep) if erases else None
        closed, erased = await round_of(store, decided, now, keep)
        self._erases = time.monotonic() + ERASE_SECONDS if erases else self._erases
        if closed:
            log.info("%s decided by those who keep the lists", counted(closed, "appeal"))
        if erased:
            log.info("the words of %s deleted, as long after the end as was promised", counted(erased, "appeal"))

    async def _report(self, steward: Callable[..., Awaitable[Mapping[str, Any]]]) -> str:
        """What this host runs, for `stopsign status --all` at any host."""
        try:
            told = await steward("status")
        except control.ControlError:
            told = None
        return report_of(VERSION, told, self.alarms(), self._checkpoint())

    def _checkpoint(self) -> str:
        """The newest of this host's log, for the other hosts' pages."""
        try:
            return Folder(self._config.places.log_dir).fetch("checkpoint", MAX_NOTE).decode()
        except (AuditError, UnicodeDecodeError):
            return ""  # the steward has not begun its log, or it alarms of it

    async def look_at_others(self, store: Store, now: int, report: str, stages: str = "") -> None:
        """Say what this host runs and which logs there are; see whether those of the others are known here."""
        try:
            vkey = self._config.places.log_vkey.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return  # the steward has not begun its log
        there = await store.present(self._config.host_name, vkey, now, report, stages)
        known = {vkey, *self._config.log.peers}
        self.unknown = sorted(name for name, key in there.items() if key not in known)


def logs_of(config: Config) -> Logs:
    """All hosts' logs, where the configuration has an index of them."""
    index = config.log.index
    return Logs() if index is None else Logs(index.dir, parse_vkey(index.key))


def brands_of(config: Config, pages: Pages) -> Mapping[str, Pages]:
    """The stop page's pages by the name of each view with a brand of its own."""
    return {
        view.name: pages.branded(config.model_copy(update={"provider": config.provider.branded(view.brand)}))
        for view in config.views
        if view.brand is not None
    }


def listening(config: Config) -> tuple[list[socket.socket], list[socket.socket]]:
    """The supervisor's sockets, or our own where it gave none."""
    given = handed_over(os.environ)
    if "stop_page" in given:
        # Duplicates: what was given stays open for this process after a re-exec.
        return tuple([socket.socket(fileno=os.dup(fd)) for fd in given.get(use, [])] for use in ("stop_page", "portal"))  # type: ignore[return-value]
    opened = open_listeners(stop_page=config.stop_page.listen, portal=config.portal.listen)
    return opened.stop_page, opened.portal


async def serve(accepted: Accepted) -> bool:
    """The web process, until SIGTERM or SIGINT; True: it is to re-execute, with the configuration in the file."""
    config, stop, re_executes = accepted.config, asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    process = Web(config)
    stop_page, portal = listening(config)
    await process.start(stop_page, portal)

    async def apply(_new: Accepted) -> list[str]:
        loop.call_later(0.05, re_executes.set)  # the answer goes out first
        return ["web"]

    held = Held(accepted, OF_WEB, apply)
    said = {
        "stop_page": [str(bound_to(one)) for one in stop_page],
        "portal": [str(bound_to(one)) for one in portal],
    }

    async def status(_peer: control.Peer, _request: Mapping[str, Any]) -> control.Reply:
        return {**held.status(), **said, "alarms": process.alarms()}

    operations = {"status": control.Operation(status, anyone=True), **held.operations()}
    server = await control.serve(config.places.web_socket, operations, held.callers)
    gc.freeze()
    notify("READY=1")
    ends = [asyncio.create_task(event.wait()) for event in (stop, re_executes)]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        notify("STOPPING=1" if stop.is_set() else "RELOADING=1")
        server.close(ends=stop.is_set())
        await process.stop()
    return not stop.is_set()


def main() -> None:
    """The web process of `stopsign run`."""
    path, _ = begin(__doc__)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        if uvloop.run(serve(unsealed(path, handed_over(os.environ)))):
            re_execute()
    except ResolverError as wrong:
        log.error("%s", wrong)  # noqa: TRY400 - the sentence says it all
        sys.exit(2)


if __name__ == "__main__":
    main()
