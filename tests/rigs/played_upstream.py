"""Upstreams that are played on real sockets, and a fake core that keeps what it hears of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resolver.dns.upstreams import Timing, Upstreams
from tests.rigs.dns_host import free_port, receive, send, until

if TYPE_CHECKING:
    import ssl

    from resolver.base.proven import Proof

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
IDS = b"\x12\x34"
LIE = b"lie"


@dataclass
class FakeAsk:
    """As the core would hand it over."""

    number: int
    question: int
    upstream: str
    message: bytes
    header: bytes = b""


@dataclass
class Core:
    """Takes every answer but a lie."""

    upstreams: Upstreams = field(init=False)
    timing: Timing = field(default_factory=lambda: Timing(opening=5.0))
    connections: int = 8
    heard: list[tuple[int, bytes]] = field(default_factory=list)
    faults: dict[int, str | None] = field(default_factory=dict)
    proofs: dict[str, Proof] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        rng = random.Random(1)
        self.upstreams = Upstreams(
            self,  # type: ignore[arg-type]
            timing=self.timing, proofs=self.proofs, connections=self.connections, crowded=4, rng=rng,
        )  # fmt: skip

    def failed(self, ask: FakeAsk, fault: str | None) -> None:
        self.faults[ask.number] = fault

    def answered(self, ask: FakeAsk, message: bytes) -> bool:
        assert message[:2] == IDS, "under the core's own id"
        if message[2:] == LIE:
            return False
        self.heard.append((ask.number, message[2:]))
        return True

    def ask(self, upstream: str, text: bytes, question: int | None = None, header: bytes = b"") -> int:
        number = next(self.numbers)
        ask = FakeAsk(number, number if question is None else question, upstream, IDS + text, header)
        self.upstreams.ask(ask)  # type: ignore[arg-type]
        return number

    async def hears(self, text: bytes) -> None:
        await until(lambda: any(said == text for _, said in self.heard))

    async def said(self, count: int) -> list[bytes]:
        await until(lambda: len(self.heard) >= count)
        return [text for _, text in self.heard]


@dataclass
class Played:
    address: str
    connections: list[asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def upstream(reply: Reply, port: int | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Played]:
    """`port`: that of one that has ended; none: one that stays free for such."""
    connections: list[asyncio.StreamWriter] = []
    over = False

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if over:  # it came in the moment of the end
            writer.transport.abort()
            return
        connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reply(reader, writer)
        writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", port or free_port(), ssl=tls)
    try:
        yield Played(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", connections)
    finally:
        over = True
        server.close()
        for writer in connections:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def asking(reply: Reply, **settings: Any) -> AsyncIterator[tuple[Core, Played]]:
    core = Core(**settings)
    async with upstream(reply) as played:
        yield core, played
        core.upstreams.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        send(writer, await receive(reader))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await receive(reader)


async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        send(writer, (await receive(reader))[:2] + LIE)


async def first_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(2):
        send(writer, await receive(reader))
