"""A worker whose upstream says TC to every datagram: what its connections do to those who ask over TCP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from tests.rigs.dns_host import Host, ask_tcp, free_port, play, question, receive, running, send

if TYPE_CHECKING:
    from pathlib import Path

TXT = 16
Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def cut(query: bytes) -> bytes:
    return query[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + query[12:-11]


def whole(query: bytes) -> bytes:
    record = b"\xc0\x0c\0\x10\0\1\0\0\0\0\0\x05\x04long"
    return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:-11] + record


class Upstream(asyncio.DatagramProtocol):
    """Truncated datagrams, and connections by number from one on."""

    def __init__(self, reply: Callable[[int], Reply]) -> None:
        self.reply = reply
        self.connections: list[asyncio.StreamWriter] = []
        self.over = False

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(cut(data), addr)

    async def on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.over:  # it came in the moment of the end
            writer.transport.abort()
            return
        self.connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            await self.reply(len(self.connections))(reader, writer)
        writer.close()

    @contextlib.asynccontextmanager
    async def at(self, port: int) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", port))
        server = await asyncio.start_server(self.on_connection, "127.0.0.1", port)
        try:
            yield
        finally:
            self.over = True
            self.transport.close()
            server.close()
            for writer in self.connections:
                writer.transport.abort()


def answers(count: int, *, then_silent: bool = False) -> Reply:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(count):
            send(writer, whole(await receive(reader)))
        if then_silent:
            await reader.read()

    return reply


def ends_after_two(number: int) -> Reply:
    return answers(2)


def dies_without_a_word(number: int) -> Reply:
    """The first two, after the worker's own question and one of a client's."""
    return answers(2, then_silent=True) if number <= 2 else answers(1000)


@pytest.mark.parametrize("behaviour", [ends_after_two, dies_without_a_word])
def test_what_becomes_of_the_connections_to_the_upstream_costs_no_client_its_answer(
    tmp_path: Path, behaviour: Callable[[int], Reply]
) -> None:
    port = free_port()

    async def scene() -> None:
        async with Upstream(behaviour).at(port):
            for turn in range(8):
                queries = [question(number, f"n{number}.turn{turn}.example", TXT) for number in range(10)]
                told = await ask_tcp(host.address, queries, window=5)
                assert {(answer[3] & 15, answer[-4:]) for answer in told} == {(0, b"long")}

    limits = {"dns": {"limits": {"upstream_timeout": "300ms", "patience": "10s"}}}
    with running(Host(tmp_path / "host", [f"127.0.0.1:{port}"], more=limits)) as host:
        play(scene)
        assert host.counters()["answered_servfail"] == 0
        assert host.counters()["over_tcp"] >= 80


def test_a_lone_upstream_that_takes_two_seconds_over_tcp_is_waited_for(tmp_path: Path) -> None:
    port = free_port()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await receive(reader)
            await asyncio.sleep(2.0)
            send(writer, whole(message))

    async def scene() -> None:
        async with Upstream(lambda _: slowly).at(port):
            (told,) = await ask_tcp(host.address, [question(0, "slow.example", TXT)])
            assert (told[3] & 15, told[-4:]) == (0, b"long")

    limits = {"dns": {"limits": {"upstream_timeout": "700ms", "patience": "20s"}}}
    with running(Host(tmp_path / "host", [f"127.0.0.1:{port}"], more=limits)) as host:
        play(scene)
