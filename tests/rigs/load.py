"""A steady load of questions, each answered once, correctly and in time; and one question at a time."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resolver.cli.demo import tree
from resolver.cli.demo.upstream import ADDRESS
from tests.rigs.dns_host import question, roomy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.rigs.dns_host import Address

STOPPED, PASSED = tree.STOP_ADDRESS, ADDRESS
A = 1


MOST_AT_ONCE = 64


@dataclass
class Load:
    """Questions for listed and other names, from several sockets (so that every worker gets some), at a steady rate."""

    address: Address
    expected: dict[str, str]
    """By name; "": any answer will do."""
    rate: float = 1500.0
    patience: float = 5.0
    sources: list[str] = field(default_factory=lambda: [""] * 8)
    """The address of each socket; "": the system chooses."""
    sent: int = 0
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    lost_at: list[float] = field(default_factory=list)
    """When each of these was sent (`time.monotonic`)."""

    async def run(self, until: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in self.sources]
        waiting: list[dict[int, tuple[str, float]]] = [{} for _ in sockets]
        for number, one in enumerate(sockets):
            one.setblocking(False)
            # what waited in the kernel for a worker that was replaced is answered all at once
            roomy(one, 4 << 20)
            one.bind((self.sources[number], 0))
            one.connect(self.address)
            loop.add_reader(one.fileno(), self._receive, one, waiting[number])
        names = itertools.cycle(self.expected)
        start = loop.time()
        while not until():
            due = max(int((loop.time() - start) * self.rate) - self.sent, 0)
            if due > MOST_AT_ONCE:  # held up by other tests: no flood now, whose answers the caps would make SERVFAIL
                start += (due - MOST_AT_ONCE) / self.rate
            for _ in range(min(due, MOST_AT_ONCE)):
                at, number = self.sent % len(sockets), self.sent // len(sockets) & 0xFFFF
                name = next(names)
                self._give_up(waiting[at].pop(number, None))  # 65,536 later on the same socket
                waiting[at][number] = name, loop.time()
                query = question(number, name, A)
                try:
                    sockets[at].send(query)
                except ConnectionError:  # what an earlier query met: nobody listens there
                    sockets[at].send(query)
                self.sent += 1
            await asyncio.sleep(0.005)
        deadline = loop.time() + self.patience
        while any(waiting) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for one in sockets:
            loop.remove_reader(one.fileno())
            one.close()
        for left in waiting:
            for unanswered in left.values():
                self._give_up(unanswered)

    def _give_up(self, one: tuple[str, float] | None) -> None:
        if one is not None:
            self.lost.append(one[0])
            self.lost_at.append(one[1])

    def _receive(self, one: socket.socket, waiting: dict[int, tuple[str, float]]) -> None:
        try:
            while True:
                message = one.recv(4096)
                name, _ = waiting.pop(int.from_bytes(message[:2]), ("", 0.0))
                self.answered += 1
                if name and (got := first_address(message)) != (self.expected[name] or got):
                    self.wrong.append(f"{name}: {got} instead of {self.expected[name]}")
        except (BlockingIOError, ConnectionError):
            return

    def check(self) -> None:
        assert not self.wrong, self.wrong[:5]
        assert not self.lost, f"{len(self.lost)} of {self.sent} lost: {self.lost[:5]}"
        assert self.answered == self.sent > 100


def first_address(message: bytes) -> str:
    """The first A record, or what there is instead of one."""
    if message[3] & 15 or message[6:8] == b"\0\0":
        return f"rcode {message[3] & 15}, {int.from_bytes(message[6:8])} answers"
    return socket.inet_ntoa(message[-4:]) if message[10:12] == b"\0\0" else "more than an answer"


def under_load(load: Load, scene: Callable[[], Awaitable[None]]) -> None:
    """Plays the scene while the load goes on, and a moment longer."""

    async def both() -> None:
        ended = asyncio.Event()

        async def act() -> None:
            await asyncio.sleep(0.3)
            try:
                await scene()
                await asyncio.sleep(0.3)
            finally:
                ended.set()

        await asyncio.gather(load.run(ended.is_set), act())

    asyncio.run(both())
    load.check()


def ask(address: Address, name: str, patience: float = 30.0) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(patience)
        one.connect(address)
        one.send(question(7, name, A))
        return first_address(one.recv(4096))


def first_answer(address: Address, name: str) -> str:
    """Of whoever comes up there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask(address, name)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


async def until(condition: Callable[[], bool], what: str, patience: float) -> float:
    """How long it took, in seconds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < patience, f"{what}: not within {patience:g} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


EXPECTED = {"aces-bets.example": STOPPED, "debian.org": PASSED, "wild-wheel.example.org": PASSED}


EXPECTED |= {f"www{n}.lucky-wheel.example": STOPPED for n in range(100)}


EXPECTED |= {f"www{n}.example.net": PASSED for n in range(100)}
