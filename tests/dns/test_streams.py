"""DNS over TCP (RFC 7766), over real sockets; what is decided comes from a fake plane."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from resolver.dns.streams import Limits, Streams
from tests.rigs.dns_host import play, receive, send, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass
class FakePlane:
    """Messages that begin with `a` are answered, with `r` wait for `House.say`; anything else ends the connection."""

    waiting: list[tuple[int, bytes]] = field(default_factory=list)
    answer_size: int = 0
    asked_by: list[tuple[str, int]] = field(default_factory=list)

    def decide(self, message: bytes, client: tuple[str, int], asked: tuple[str, int], stream: int) -> bytes | bool:
        self.asked_by.append(client)
        if message[:1] == b"a":
            return b"A" + message[1:] + bytes(self.answer_size)
        if message[:1] != b"r":
            return False
        self.waiting.append((stream, b"R" + message[1:]))
        return True


@dataclass
class House:
    plane: FakePlane
    streams: Streams
    port: int
    woken: list[None]

    async def asked(self, count: int) -> None:
        await until(lambda: len(self.plane.waiting) == count)

    def say(self, *, backwards: bool = False) -> None:
        """Answers all that waits."""
        answers, self.plane.waiting = self.plane.waiting[:: -1 if backwards else 1], []
        for stream, message in answers:
            self.streams.answer(stream, message)


@contextlib.asynccontextmanager
async def serving(
    limits: Limits | None = None, clock: Callable[[], float] | None = None, balancers: tuple[str, ...] = ()
) -> AsyncIterator[House]:
    plane = FakePlane()
    behind = [ipaddress.ip_network(prefix) for prefix in balancers]
    woken: list[None] = []
    streams = Streams(plane, lambda: woken.append(None), limits, clock, balancers=behind)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(streams.connection, "127.0.0.1", 0)
    async with server:
        yield House(plane, streams, server.sockets[0].getsockname()[1], woken)
        await streams.drain(1.0)


async def connect(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", house.port)


async def ended(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            return await reader.read(1) == b""
    return True


def test_a_message_is_answered_however_its_octets_are_cut() -> None:
    async def scene() -> None:
        async with serving() as house:
            reader, writer = await connect(house)
            for octet in b"\x00\x03abc\x00\x02ad":
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0)
            assert [await receive(reader), await receive(reader)] == [b"Abc", b"Ad"]
            writer.close()

    play(scene)


@pytest.mark.parametrize("size", [1, 12, 65_535])
def test_messages_up_to_the_longest_that_two_octets_can_say_are_taken_and_given(size: int) -> None:
    async def scene() -> None:
        async with serving() as house:
            reader, writer = await connect(house)
            send(writer, b"a" * size)
            assert await receive(reader) == b"A" + b"a" * (size - 1)
            writer.close()

    play(scene)


@pytest.mark.parametrize("message", [b"", b"malformed"])
def test_what_the_core_drops_ends_the_connection(message: bytes) -> None:
    async def scene() -> None:
        async with serving() as house:
            reader, writer = await connect(house)
            send(writer, message)
            assert await ended(reader)
            writer.close()

    play(scene)


@pytest.mark.parametrize("message", [b"", b"malformed"])
def test_what_is_in_flight_is_answered_before_what_the_core_drops_ends_the_connection(message: bytes) -> None:
    async def scene() -> None:
        async with serving() as house:
            reader, writer = await connect(house)
            for query in (b"rone", message, b"atwo"):
                send(writer, query)
            await house.asked(1)
            send(writer, b"athree")
            house.say()
            assert await receive(reader) == b"Rone"
            assert await ended(reader), "what came after it is not decided"
            writer.close()

    play(scene)


def test_answers_come_when_they_are_ready_and_not_in_the_order_of_the_questions() -> None:
    async def scene() -> None:
        async with serving() as house:
            reader, writer = await connect(house)
            for message in (b"rone", b"rtwo", b"athree"):
                send(writer, message)
            await house.asked(2)
            assert len(house.woken) == 2
            house.say(backwards=True)
            assert [await receive(reader) for _ in range(3)] == [b"Athree", b"Rtwo", b"Rone"]
            writer.close()

    play(scene)


def test_each_answer_goes_to_its_own_connection() -> None:
    async def scene() -> None:
        async with serving() as house:
            connections = [await connect(house) for _ in range(3)]
            for number, (_, writer) in enumerate(connections):
                send(writer, b"r%d" % number)
            await house.asked(3)
            house.say(backwards=True)
            for number, (reader, writer) in enumerate(connections):
                assert await receive(reader) == b"R%d" % number
                writer.close()

    play(scene)


def test_no_more_than_the_allowed_number_of_a_connections_queries_is_in_flight() -> None:
    async def scene() -> None:
        async with serving(Limits(in_flight=4)) as house:
            reader, writer = await connect(house)
            for number in range(10):
                send(writer, b"r%d" % number)
            await house.asked(4)
            assert house.streams.in_flight == 4
            answered: list[bytes] = []
            while len(answered) < 10:
                await until(lambda: bool(house.plane.waiting))
                assert len(house.plane.waiting) <= 4
                count = len(house.plane.waiting)
                house.say()
                answered += [await receive(reader) for _ in range(count)]
            assert sorted(answered) == sorted(b"R%d" % n for n in range(10))
            writer.close()

    play(scene)


def test_a_client_that_closes_its_half_still_gets_its_answers() -> None:
    async def scene() -> None:
        async with serving() as house:
            reader, writer = await connect(house)
            send(writer, b"rone")
            send(writer, b"atwo")
            writer.write_eof()
            assert await receive(reader) == b"Atwo"
            house.say()
            assert await receive(reader) == b"Rone"
            assert await ended(reader)
            await until(lambda: len(house.streams) == 0)
            writer.close()

    play(scene)


def test_a_client_that_goes_before_its_answer_leaves_nothing_behind() -> None:
    async def scene() -> None:
        async with serving() as house:
            _, writer = await connect(house)
            send(writer, b"rone")
            await house.asked(1)
            own: socket.socket = writer.get_extra_info("socket")
            own.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )  # RST: a FIN may be half a close
            writer.transport.abort()
            await until(lambda: len(house.streams) == 0)
            assert house.streams.in_flight == 0
            reader, other = await connect(house)
            house.say()
            send(other, b"aother")
            assert await receive(reader) == b"Aother", "not the answer of the one that is gone"
            other.close()

    play(scene)


def test_an_idle_connection_ends_and_single_octets_do_not_keep_it() -> None:
    async def scene() -> None:
        now = [100.0]
        async with serving(Limits(idle=10.0), lambda: now[0]) as house:
            reader, writer = await connect(house)
            send(writer, b"a")
            await receive(reader)
            now[0] += 9.0
            writer.write(b"\x00")
            await writer.drain()
            await asyncio.sleep(0.02)
            house.streams.sweep()
            assert len(house.streams) == 1
            now[0] += 2.0
            house.streams.sweep()
            assert await ended(reader)
            writer.close()

    play(scene)


def test_a_client_that_does_not_read_is_cut_off_and_costs_bounded_memory() -> None:
    async def scene() -> None:
        now = [100.0]
        limits = Limits(stalled=5.0, unwritten=1 << 22)
        async with serving(limits, lambda: now[0]) as house:
            house.plane.answer_size = 60_000
            stream = socket.create_connection(("127.0.0.1", house.port))
            stream.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(10_000):
                    stream.send(b"\x00\x01a" * 100)
                    await asyncio.sleep(0)
            (connection,) = list(house.streams._connections)
            await until(lambda: connection.stalled_since is not None)
            transport = connection._transport
            assert transport is not None
            assert transport.get_write_buffer_size() <= limits.unwritten
            now[0] += 6.0
            house.streams.sweep()
            await until(lambda: len(house.streams) == 0)
            stream.close()

    play(scene)


def test_one_address_gets_no_more_than_its_share_of_the_connections() -> None:
    async def scene() -> None:
        async with serving(Limits(per_client=2)) as house:
            first, second, third = [await connect(house) for _ in range(3)]
            assert await ended(third[0])
            for reader, writer in (first, second):
                send(writer, b"a")
                assert await receive(reader) == b"A"
            assert house.streams.refused == 1
            for _, writer in (first, second, third):
                writer.close()

    play(scene)


def test_at_the_total_the_connection_that_is_idle_longest_gives_way() -> None:
    async def scene() -> None:
        async with serving(Limits(total=2)) as house:
            first, second = await connect(house), await connect(house)
            for reader, writer in (second, first):  # the first is the one that spoke last
                send(writer, b"a")
                await receive(reader)
            third = await connect(house)
            send(third[1], b"athird")
            assert await receive(third[0]) == b"Athird"
            assert await ended(second[0])
            send(first[1], b"astill")
            assert await receive(first[0]) == b"Astill"
            for _, writer in (first, second, third):
                writer.close()

    play(scene)


def test_draining_answers_what_is_in_flight_and_takes_nothing_more() -> None:
    async def scene() -> None:
        async with serving() as house:
            reader, writer = await connect(house)
            idle, idle_writer = await connect(house)
            send(writer, b"rone")
            await house.asked(1)
            draining = asyncio.create_task(house.streams.drain(5.0))
            assert await ended(idle)
            house.say()
            assert await receive(reader) == b"Rone"
            assert await ended(reader)
            await draining
            writer.close()
            idle_writer.close()

    play(scene)


# PROXY protocol, version 2: TCP over IPv4, 192.0.2.7:4711 to 198.51.100.1:53, and a value of five octets to be skipped.
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ENDS = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + b"\x12\x67\0\x35"
HEADER = SIGNATURE + b"\x21\x11\0\x11" + ENDS + b"\x04\0\x02ab"
LOCAL = SIGNATURE + b"\x20\0\0\0"


def test_behind_a_balancer_the_client_is_the_one_it_names_and_the_limits_are_that_clients() -> None:
    async def scene() -> None:
        async with serving(Limits(per_client=2), balancers=("127.0.0.0/8",)) as house:
            for octets in (HEADER, LOCAL):
                for cut in range(0, len(octets), 9):
                    reader, writer = await connect(house)
                    writer.write(octets[:cut])
                    await asyncio.sleep(0.001)
                    writer.write(octets[cut:])
                    send(writer, b"a1")
                    assert await receive(reader) == b"A1"
                    writer.close()
                    await until(lambda: not len(house.streams))
            assert {client for client, _ in house.plane.asked_by} == {"192.0.2.7", "127.0.0.1"}
            kept = []
            for number in range(3):
                reader, writer = await connect(house)
                writer.write(HEADER)
                send(writer, b"a1")
                assert await ended(reader) if number == 2 else await receive(reader)
                kept.append(writer)
            # Another client has a place of its own.
            reader, writer = await connect(house)
            writer.write(HEADER.replace(bytes([192, 0, 2, 7]), bytes([192, 0, 2, 8])))
            send(writer, b"a1")
            assert await receive(reader) == b"A1"
            for one in (*kept, writer):
                one.close()

    play(scene)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x00\x02a1",
        SIGNATURE + b"\x31" + HEADER[13:],
        b"\r\nGET",
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(3000),
    ],
)
def test_a_balancer_that_does_not_say_for_whom_it_speaks_is_cut_off(octets: bytes) -> None:
    async def scene() -> None:
        async with serving(balancers=("127.0.0.0/8",)) as house:
            reader, writer = await connect(house)
            writer.write(octets)
            assert await ended(reader)
            assert house.plane.asked_by == []
            writer.close()

    play(scene)
