"""The sockets of the zones: who takes a place, who is closed as it comes in, and what is no message."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from contextlib import ExitStack, asynccontextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import dns.message
import dns.tsig
import pytest
import uvloop

from resolver.rpz import answer, keys
from resolver.rpz.answer import Refusal, Secondary, Served
from resolver.rpz.serve import MOST_CONNECTIONS, OF_ONE_ADDRESS, Server, Tls
from resolver.rpz.zone import Zone
from tests.rigs.certificates import NAME, made

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

ORIGIN = "rpz.example"
QUERY = dns.message.make_query(ORIGIN, "SOA").to_wire()
SECONDARIES = [Secondary("some", (ip_network("127.0.0.0/30"),), None, frozenset({ORIGIN}))]
STRANGER, FIRST, SECOND = "127.0.0.9", "127.0.0.1", "127.0.0.2"


class Zones:
    """A server of one zone that is not made yet, and what it refused."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        self.refused: list[Refusal] = []
        zone = Zone(ORIGIN, 60, 60, 600, f"hostmaster.{ORIGIN}", {})
        self.server = Server(
            SECONDARIES, lambda: {ORIGIN: Served(zone, None)}, transfers=4,
            has=lambda *_: None, refused=self.refused.append,
        )  # fmt: skip

    @asynccontextmanager
    async def serving(self, about: Tls | None = None) -> AsyncIterator[None]:
        await self.server.start([], [] if about else [self.listener], [self.listener] if about else [], about)
        try:
            yield
        finally:
            await self.server.stop()

    async def connected(self, source: str) -> socket.socket:
        one = socket.socket()
        one.bind((source, 0))
        one.setblocking(False)
        await asyncio.get_running_loop().sock_connect(one, self.address)
        return one

    async def said(self, source: str, octets: bytes = b"") -> bytes:
        """What comes back on a connection; nothing: it was closed."""
        loop = asyncio.get_running_loop()
        with await self.connected(source) as one:
            try:
                await loop.sock_sendall(one, octets)
                return await asyncio.wait_for(loop.sock_recv(one, 4096), 10)
            except ConnectionError:
                return b""

    async def answers(self, source: str) -> bool:
        return (await self.said(source, struct.pack("!H", len(QUERY)) + QUERY))[2:4] == QUERY[:2]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    runner: Callable[[Coroutine[Any, Any, None]], None] = request.param
    return runner


def test_silent_strangers_take_no_place_of_a_secondary(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def scene() -> None:
        zones = Zones()
        async with zones.serving():
            with ExitStack() as held:
                for _ in range(MOST_CONNECTIONS):
                    held.enter_context(await zones.connected(STRANGER))
                assert await zones.answers(FIRST)
            assert await zones.said(STRANGER) == b"", "closed without a word"
            assert set(zones.refused) == {answer.STRANGER}

    run(scene())


def test_one_address_leaves_room_for_others(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def scene() -> None:
        zones = Zones()
        async with zones.serving():
            with ExitStack() as held:
                for _ in range(OF_ONE_ADDRESS):
                    held.enter_context(await zones.connected(FIRST))
                assert not await zones.answers(FIRST)
                assert await zones.answers(SECOND)
                assert zones.refused == []

    run(scene())


def test_a_stranger_is_closed_before_tls(run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path) -> None:
    async def scene() -> None:
        zones, files = Zones(), made(tmp_path)
        async with zones.serving(Tls(files.certificate, files.key)):
            assert await zones.said(STRANGER, b"no handshake") == b""
            context = ssl.create_default_context(cafile=files.root)
            reader, writer = await asyncio.open_connection(
                *zones.address, ssl=context, server_hostname=NAME, local_addr=(FIRST, 0)
            )
            writer.write(struct.pack("!H", len(QUERY)) + QUERY)
            assert (await reader.readexactly(4))[2:] == QUERY[:2]
            writer.close()

    run(scene())


KEY = dns.tsig.Key("good.example.", b"x" * 32, "hmac-sha256")


def signed(name: str, at: float, secret: bytes = KEY.secret) -> bytes:
    """A question that was signed under this name at a time."""
    key = dns.tsig.Key(name, secret, KEY.algorithm)
    blank = keys._record(key.algorithm, int.from_bytes(QUERY[:2]), 0, b"")
    record, _ = dns.tsig.sign(QUERY, key, blank, int(at), b"")  # type: ignore[no-untyped-call]
    return keys._with(QUERY, key.name, record)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (signed("who.example.", time.time()), "unknown key"),
        (signed("good.example.", 1.0), "the clocks differ"),
        (signed("good.example.", time.time(), b"y" * 32), "wrong signature"),
    ],
    ids=["unknown", "untimely", "wrong"],
)
@pytest.mark.parametrize("extra", [b"x", b"x" * 40])
def test_octets_behind_a_signature_are_as_any_malformed_message(message: bytes, why: str, extra: bytes) -> None:
    secondaries = [Secondary("one", (ip_network("192.0.2.1/32"),), KEY, frozenset({ORIGIN}))]

    def decided(data: bytes) -> object:
        return answer.decide(data, "192.0.2.1", stream=False, secondaries=secondaries, zones={})

    refused = decided(message)
    assert isinstance(refused, answer.Reply)
    assert refused.refusal == Refusal(why, "one")
    assert decided(message + extra) is None
