"""The steward: the one process that fetches lists, decides what of them is active, and writes the log.

    python -m resolver.lists.steward --config FILE

asyncio conducts: one task a list (refresh, jitter, back-off), one for what time brings, one server for the control
socket. Fetching runs in threads, each list for itself, so that one issuer's stalling host delays nobody else. All that
changes something runs in one further thread, in the order in which it was asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from blocklists.counted import counted
from blocklists.errors import why
from resolver.base.errors import ResolverError
from resolver.config.accepted import keep
from resolver.config.sealed import USE, unsealed
from resolver.host import metrics
from resolver.host.apply import OF_STEWARD, Held
from resolver.host.child import re_execute
from resolver.host.process import begin
from resolver.host.sockets import handed_over
from resolver.host.systemd import beat, notify
from resolver.ipc import control
from resolver.ipc.supervisor_lock import only_steward
from resolver.lists import fetch
from resolver.lists.fetch import VerifyError
from resolver.lists.ledger import Event, Ledger, LedgerError
from resolver.lists.metrics import Lists
from resolver.lists.operations import operations
from resolver.lists.pace import Pace
from resolver.lists.protected import own
from resolver.lists.register import Register
from resolver.log.writer import Log
from resolver.policy import exceptions, seals
from resolver.stats.publish import publish
from resolver.stats.resolving import Resolving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resolver.config.schema import Accepted
    from resolver.config.schema_lists import ListSource
    from resolver.lists.decide import Outcome
    from resolver.lists.fetch import Candidate

say = logging.getLogger("stopsign.steward")

TICK = 5.0  # seconds between looks at what time brought
REPORT = 3600.0  # seconds between two looks whether a day is over
SOON = 30.0  # seconds until one that failed is tried once more
SLOWEST = 3600.0  # seconds, or the list's own refresh where that is more
Given = ParamSpec("Given")
Result = TypeVar("Result")


def pause(refresh: float, failures: int, chance: float) -> float:
    """Seconds until the next refresh. `chance` is in 0..1: a thousand providers must not knock at the same second, and
    a host in trouble is asked ever more rarely; but once soon, since after a boot the network may come after us."""
    doubled = float(2 ** min(max(failures - 1, 0), 12))
    usual = min(refresh * doubled, max(refresh, SLOWEST))
    return min(usual, SOON if failures == 1 else usual) * (0.9 + 0.2 * chance)


class Steward:
    """See the module."""

    def __init__(
        self,
        accepted: Accepted,
        *,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.config = config = accepted.config
        self.held = Held(accepted, OF_STEWARD, self._apply)
        self._re_executes = asyncio.Event()  # it is to begin again, with the configuration that is in the file now
        self._clock, self._chance = clock, chance
        self._ledger = Ledger(partial(Log.open, config.places, clock, os.urandom, origin=config.log_origin))
        self.register = Register(config, self._ledger, clock, uptime, Pace(clock, uptime).look)
        self._one = ThreadPoolExecutor(1, thread_name_prefix="register")
        self._threads = ThreadPoolExecutor(max(len(config.lists), 1), thread_name_prefix="fetch")
        self.serving = asyncio.Event()
        names, key = dict(own(config)), seals.key_file(config)
        self._mirrors = {
            source.name: fetch.Mirror(source, config.places.list(source.name), names, key) for source in config.lists
        }
        self._turns = {source.name: asyncio.Lock() for source in config.lists}

    async def work(self, what: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """Run in the one thread that changes things."""
        return await asyncio.get_running_loop().run_in_executor(self._one, partial(what, *args, **kwargs))

    async def _apply(self, _new: Accepted) -> list[str]:
        asyncio.get_running_loop().call_later(0.05, self._re_executes.set)  # the answer goes out first
        return ["steward"]

    async def run(self, stop: asyncio.Event) -> bool:
        """Serve until `stop`: False; or until it is to re-execute: True."""
        beating = asyncio.create_task(beat())  # from the first moment to the last: both may take long
        await self.work(self.register.open)
        server = await control.serve(self.config.places.control_socket, operations(self), self.held.callers)
        exposition = self._expose()
        self.serving.set()
        notify("READY=1", f"STATUS=following {counted(len(self.config.lists), 'list')}")
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._follow(source)) for source in self.config.lists]
                running.append(tasks.create_task(self._tick()))
                running += [tasks.create_task(self._resolve()), tasks.create_task(self._report())]
                ends = [asyncio.create_task(event.wait()) for event in (stop, self._re_executes)]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for task in (*running, *ends):
                    task.cancel()
        finally:
            server.close(ends=stop.is_set())
            if exposition is not None:
                await asyncio.to_thread(exposition.close)
            await self.work(self._end)
            self._one.shutdown()
            self._threads.shutdown(wait=False, cancel_futures=True)
            beating.cancel()
        return self._re_executes.is_set() and not stop.is_set()

    async def refresh_all(self, names: Iterable[str]) -> list[Outcome]:
        """Refresh these lists now, side by side; what is damaged of them here is made again too."""
        names = tuple(names)
        await self.work(self.register.whole_again, names)
        return await asyncio.gather(*(self.refresh(name, complete=True) for name in names))

    async def refresh(self, name: str, *, complete: bool = False) -> Outcome:
        """Fetch, verify, guard, compile, activate one list."""
        source = next(source for source in self.config.lists if source.name == name)
        async with self._turns[name]:
            return await self._refresh(source, complete=complete)

    async def _refresh(self, source: ListSource, *, complete: bool) -> Outcome:
        look = partial(self._mirrors[source.name].fetch, self._clock(), complete=complete)
        try:
            candidate: Candidate = await asyncio.get_running_loop().run_in_executor(self._threads, look)
            outcome = await self.work(self.register.take, candidate)
        except VerifyError as error:
            outcome = await self.work(self.register.refuse, source.name, error)
        except Exception as error:  # noqa: BLE001 - not the list's fault but ours: all else must go on
            say.exception("list %s: refreshing failed", source.name)
            outcome = await self.work(self.register.refuse, source.name, VerifyError("storage", why(error)))
        await self.work(self.register.publish_lists)
        return outcome

    async def _follow(self, source: ListSource) -> None:
        failures = 0
        while True:
            outcome = await self.refresh(source.name)
            failures = failures + 1 if outcome.kind == "refused" else 0
            await asyncio.sleep(pause(source.refresh, failures, self._chance()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                await self.work(self.register.tick)
            except Exception as error:  # noqa: BLE001 - ours to mend: fetching and people's commands must go on
                say.exception("what time brings failed")
                await self.work(self.register.failed, f"{type(error).__name__}: {error}")
            else:
                await self.work(self.register.failed, None)

    def _expose(self) -> metrics.Exposition | None:
        try:
            return metrics.expose(self.config, Lists(self.register.status))
        except OSError as error:
            say.error("metrics are not served: %s", why(error))
            return None

    async def _resolve(self) -> None:
        """Now and then: does a name of the lists still resolve?"""
        pace = self.config.evaluation.resolve
        resolving = Resolving(self.config.places, self.config.upstreams, random.random)
        while pace and self.config.upstreams:
            await asyncio.sleep(pace)
            gone = await asyncio.to_thread(resolving.look)
            if gone is not None:
                await self.work(self.register.looked, gone=gone)

    async def _report(self) -> None:
        """Once a day, and as soon as a first list is in force: the report that everybody may read. It is computed
        beside everything else."""
        while True:
            pause_of = REPORT
            try:
                if not await asyncio.to_thread(publish, self.config.places, self._clock()):
                    pause_of = TICK
            except (ResolverError, OSError) as error:
                say.warning("the transparency report cannot be published: %s", why(error))
            await asyncio.sleep(pause_of)

    def _end(self) -> None:
        self.register.close()
        try:
            self._ledger.append([Event("stop", "", {})])
        except LedgerError as error:
            say.error("%s", error)
        self._ledger.close()


async def serve(accepted: Accepted) -> bool:
    """The steward, until SIGTERM or SIGINT; True: it is to re-execute."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await Steward(accepted).run(stop)


def main() -> None:
    """Fetch, verify, guard and activate the lists of a provider; write its log."""
    path, _ = begin(__doc__)
    sockets = handed_over(os.environ)
    accepted = unsealed(path, sockets)
    if accepted.config.dns is None and not sockets.get(USE):
        keep(accepted)  # units for policy zones alone have no supervisor that would
        exceptions.keep_room(accepted.config.places)
    with only_steward(accepted.config.places):
        if asyncio.run(serve(accepted)):
            re_execute()


if __name__ == "__main__":
    main()
