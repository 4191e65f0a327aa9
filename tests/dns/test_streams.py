"""DNS over TCP (RFC 7766) and its upstream connections, over real sockets; what is decided comes from a fake plane."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from resolver.dns.streams import Limits, Streams
from resolver.dns.upstreams import EDE_NETWORK_ERROR, EDE_NO_REACHABLE_AUTHORITY, NoAnswer, Timing, Upstreams


@dataclass
class FakeForward:
    query: bytes
    upstreams: list[str]
    for_stream: bool = True
    told: tuple[str, ...] = ()
    header: bytes = b""


@dataclass
class FakePlane:
    """Messages that begin with `a` are answered, with `r` relayed; anything else ends the connection."""

    upstreams: list[str] = field(default_factory=list)
    told: list[tuple[str, bool]] = field(default_factory=list)
    answer_size: int = 0
    asked_by: list[tuple[str, int]] = field(default_factory=list)
    told_who: bool = False
    kept: bytes | None = None

    def decide(self, message: bytes, client: tuple[str, int], asked: tuple[str, int]) -> Any:
        self.asked_by.append(client)
        if message[:1] == b"a":
            return b"A" + message[1:] + bytes(self.answer_size)
        if message[:1] != b"r":
            return None
        header = b"from %s;" % client[0].encode() if self.told_who else b""
        return FakeForward(b"\x12\x34" + message[1:], self.upstreams, True, tuple(self.upstreams), header)

    def finish(self, forward: FakeForward, answer: bytes) -> bytes | None:
        return None if answer[2:] == b"lie" or answer[:2] != b"\x12\x34" else b"R" + answer[2:]

    def stale(self, forward: FakeForward) -> bytes | None:
        return self.kept

    def fail(self, forward: FakeForward, ede: int) -> bytes:
        return b"F%d" % ede

    def told_of(self, address: str, well: bool) -> None:
        self.told.append((address, well))


@dataclass
class House:
    plane: FakePlane
    streams: Streams
    upstreams: Upstreams
    port: int


Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(
    limits: Limits | None = None, clock: Callable[[], float] | None = None, balancers: tuple[str, ...] = ()
) -> AsyncIterator[House]:
    plane = FakePlane()
    upstreams = Upstreams(plane.told_of, timing=Timing(patience=1.0, attempt=0.3), rng=random.Random(1))
    behind = [ipaddress.ip_network(prefix) for prefix in balancers]
    streams = Streams(plane, upstreams, limits, clock, balancers=behind)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(streams.connection, "127.0.0.1", 0)
    async with server:
        yield House(plane, streams, upstreams, server.sockets[0].getsockname()[1])
        await streams.drain(1.0)
        upstreams.close()


@contextlib.asynccontextmanager
async def upstream(reply: Reply) -> AsyncIterator[str]:
    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reply(reader, writer)
        writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        send(writer, await receive(reader))


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs the scene on the loop that workers use, and lets what was closed come to its end."""

    async def to_the_end() -> None:
        await scene()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)
        await asyncio.sleep(0.02)

    uvloop.run(to_the_end())


def send(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(2) + message)


async def receive(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))


async def connect(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", house.port)


async def ended(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            return await reader.read(1) == b""
    return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_a_stale_answer_comes_before_the_end_of_patience_and_the_question_goes_on() -> None:
    async def scene() -> None:
        late = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            message = await receive(reader)
            await late.wait()
            send(writer, message)
            await reader.read()

        async with serving(Limits(stale=0.01)) as house, upstream(slow) as address:
            house.plane.upstreams, house.plane.kept = [address], b"stale"
            reader, writer = await connect(house)
            send(writer, b"rfirst")
            writer.write_eof()
            assert await receive(reader) == b"stale"
            assert await ended(reader), "nothing else is due to it"
            assert house.streams.relayed == 1
            late.set()
            await until(lambda: house.streams.relayed == 0)
            assert house.plane.told == [(address, True)]
            writer.close()

    play(scene)


def test_without_a_stale_answer_the_client_waits_on() -> None:
    async def scene() -> None:
        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            message = await receive(reader)
            await asyncio.sleep(0.05)
            send(writer, message)
            await reader.read()

        async with serving(Limits(stale=0.01)) as house, upstream(slow) as address:
            house.plane.upstreams = [address]
            reader, writer = await connect(house)
            send(writer, b"rfirst")
            assert await receive(reader) == b"Rfirst"
            writer.close()

    play(scene)


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
    go = asyncio.Event()

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await receive(reader)
        await go.wait()
        send(writer, asked)
        await reader.read()

    async def scene() -> None:
        async with serving() as house, upstream(later) as address:
            house.plane.upstreams = [address]
            reader, writer = await connect(house)
            for query in (b"rone", message, b"atwo"):
                send(writer, query)
            await until(lambda: house.streams.relayed == 1)
            send(writer, b"athree")
            go.set()
            assert await receive(reader) == b"Rone"
            assert await ended(reader), "what came after it is not decided"
            writer.close()

    play(scene)


def test_answers_come_when_they_are_ready_and_not_in_the_order_of_the_questions() -> None:
    async def slow_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, second = await receive(reader), await receive(reader)
        send(writer, second)
        send(writer, first)
        await reader.read()

    async def scene() -> None:
        async with serving() as house, upstream(slow_first) as address:
            house.plane.upstreams = [address]
            reader, writer = await connect(house)
            for message in (b"rone", b"rtwo", b"athree"):
                send(writer, message)
            assert [await receive(reader) for _ in range(3)] == [b"Athree", b"Rtwo", b"Rone"]
            writer.close()

    play(scene)


def test_pipelined_queries_share_one_connection_to_the_upstream() -> None:
    connections = []

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await echo(reader, writer)

    async def scene() -> None:
        async with serving(Limits(in_flight=25)) as house, upstream(counted) as address:
            house.plane.upstreams = [address]
            reader, writer = await connect(house)
            for number in range(25):
                send(writer, b"r%d" % number)
            assert sorted([await receive(reader) for _ in range(25)]) == sorted(b"R%d" % n for n in range(25))
            for number in range(25):
                send(writer, b"r%d" % number)
            for _ in range(25):
                await receive(reader)
            writer.close()
        assert len(connections) == 1

    play(scene)


def test_no_more_than_the_allowed_number_of_a_connections_queries_is_in_flight() -> None:
    waiting: list[bytes] = []
    go = asyncio.Event

    async def scene() -> None:
        release = go()

        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async def later() -> None:
                await release.wait()
                while waiting:
                    send(writer, waiting.pop())

            task = asyncio.create_task(later())
            while True:
                message = await receive(reader)
                if release.is_set():
                    send(writer, message)
                else:
                    waiting.append(message)
                assert not task.done() or release.is_set()

        async with serving(Limits(in_flight=4)) as house, upstream(hold) as address:
            house.plane.upstreams = [address]
            reader, writer = await connect(house)
            for number in range(10):
                send(writer, b"r%d" % number)
            await until(lambda: len(waiting) == 4)
            assert house.streams.relayed == 4
            release.set()
            assert sorted([await receive(reader) for _ in range(10)]) == sorted(b"R%d" % n for n in range(10))
            writer.close()

    play(scene)


def test_a_client_that_closes_its_half_still_gets_its_answers() -> None:
    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await receive(reader)
        await asyncio.sleep(0.05)
        send(writer, message)
        await reader.read()

    async def scene() -> None:
        async with serving() as house, upstream(later) as address:
            house.plane.upstreams = [address]
            reader, writer = await connect(house)
            send(writer, b"rone")
            send(writer, b"atwo")
            writer.write_eof()
            assert [await receive(reader), await receive(reader)] == [b"Atwo", b"Rone"]
            assert await ended(reader)
            await until(lambda: len(house.streams) == 0)
            writer.close()

    play(scene)


def test_a_client_that_goes_before_its_answer_leaves_nothing_behind() -> None:
    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await receive(reader)
        await asyncio.sleep(0.05)
        send(writer, message)
        await reader.read()

    async def scene() -> None:
        async with serving() as house, upstream(later) as address:
            house.plane.upstreams = [address]
            _, writer = await connect(house)
            send(writer, b"rone")
            await until(lambda: house.streams.relayed == 1)
            writer.transport.abort()
            await until(lambda: len(house.streams) == 0)
            await until(lambda: house.streams.relayed == 0)
            assert house.plane.told == [(address, True)]

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
    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await receive(reader)
        await asyncio.sleep(0.05)
        send(writer, message)
        await reader.read()

    async def scene() -> None:
        async with serving() as house, upstream(later) as address:
            house.plane.upstreams = [address]
            reader, writer = await connect(house)
            idle, idle_writer = await connect(house)
            send(writer, b"rone")
            await until(lambda: house.streams.relayed == 1)
            await house.streams.drain(2.0)
            assert await receive(reader) == b"Rone"
            assert await ended(reader)
            assert await ended(idle)
            writer.close()
            idle_writer.close()

    play(scene)


# -- the upstreams


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await receive(reader)


async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        send(writer, (await receive(reader))[:2] + b"lie")


def closed_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


@pytest.mark.parametrize("first", [silent, hang_up, lie, None], ids=["silent", "hangs-up", "lies", "not-there"])
def test_the_next_upstream_is_asked_where_the_first_does_not_do(first: Reply | None) -> None:
    async def scene() -> None:
        async with serving() as house, upstream(first or silent) as bad, upstream(echo) as good:
            wrong = bad if first else closed_port()
            house.plane.upstreams = [wrong, good]
            reader, writer = await connect(house)
            send(writer, b"rone")
            assert await receive(reader) == b"Rone"
            assert house.plane.told == [(wrong, False), (good, True)]
            writer.close()

    play(scene)


@pytest.mark.parametrize(
    ("behaviour", "ede"),
    [(silent, EDE_NO_REACHABLE_AUTHORITY), (hang_up, EDE_NETWORK_ERROR), (lie, EDE_NETWORK_ERROR)],
    ids=["silent", "hangs-up", "lies"],
)
def test_without_an_answer_the_client_is_told_which_way_it_went_wrong(behaviour: Reply, ede: int) -> None:
    async def scene() -> None:
        async with serving() as house, upstream(behaviour) as address:
            house.plane.upstreams = [address]
            reader, writer = await connect(house)
            send(writer, b"rone")
            assert await receive(reader) == b"F%d" % ede
            writer.close()

    play(scene)


def test_an_upstream_that_closed_a_kept_connection_is_asked_again_on_a_fresh_one() -> None:
    connections = []

    async def one_answer_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        send(writer, await receive(reader))
        await receive(reader)  # the next query on this connection meets its end

    async def scene() -> None:
        async with serving() as house, upstream(one_answer_each) as address:
            house.plane.upstreams = [address]
            reader, writer = await connect(house)
            for text in (b"one", b"two", b"three"):
                send(writer, b"r" + text)
                assert await receive(reader) == b"R" + text
            assert len(connections) == 3
            assert all(well for _, well in house.plane.told)
            writer.close()

    play(scene)


def test_one_deadline_covers_all_attempts() -> None:
    async def scene() -> None:
        upstreams = Upstreams(lambda *_: None, timing=Timing(patience=0.2, attempt=10.0))
        async with upstream(silent) as first, upstream(echo) as second:
            with pytest.raises(NoAnswer):
                await upstreams.ask(FakeForward(b"\x00\x01query", [first, second]), lambda answer: answer)
        upstreams.close()

    play(scene)


def test_idle_connections_to_upstreams_are_closed_and_busy_ones_kept() -> None:
    async def scene() -> None:
        upstreams = Upstreams(lambda *_: None, timing=Timing(idle=0.0))
        async with upstream(echo) as address:
            await upstreams.ask(FakeForward(b"\x00\x01query", [address]), lambda answer: answer)
            (known,) = upstreams._known.values()
            assert len(known.connections) == 1
            await asyncio.sleep(0.01)
            upstreams.close_idle()
            await until(lambda: not known.connections)

    play(scene)


def test_a_connection_that_is_being_opened_when_all_are_closed_is_not_left_behind() -> None:
    async def scene() -> None:
        upstreams = Upstreams(lambda *_: None)
        async with upstream(silent) as address:
            asked = asyncio.create_task(upstreams.ask(FakeForward(b"\x00\x01query", [address]), lambda answer: answer))
            await asyncio.sleep(0)  # it has asked for a connection
            await asyncio.sleep(0)
            upstreams.close()
            with pytest.raises((NoAnswer, asyncio.CancelledError)):
                await asked
            (known,) = upstreams._known.values()
            assert not known.connections


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


def test_an_upstream_that_is_told_who_asks_gets_one_connection_a_client_with_the_header_first() -> None:
    first: list[bytes] = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.append(await reader.readuntil(b";"))
        await echo(reader, writer)

    async def scene() -> None:
        async with serving(balancers=("127.0.0.0/8",)) as house, upstream(reply) as address:
            house.plane.upstreams, house.plane.told_who = [address], True
            for last in (7, 8):
                reader, writer = await connect(house)
                writer.write(HEADER.replace(bytes([192, 0, 2, 7]), bytes([192, 0, 2, last])))
                for _ in range(3):
                    send(writer, b"rx")
                for _ in range(3):
                    assert await receive(reader) == b"Rx"
                writer.close()
            assert set(first) == {b"from 192.0.2.7;", b"from 192.0.2.8;"}
            await until(lambda: not house.streams.relayed)
            house.upstreams.close_idle()
            await until(lambda: not any(one.connections for one in house.upstreams._known.values()))
            house.upstreams.close_idle()
            assert not house.upstreams._known  # a client that is gone leaves nothing behind

    play(scene)
