"""DNS over TCP (RFC 7766): connections of clients to a plane, over real sockets; the upstream is played."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, RR, TXT, DNSRecord, EDNSOption

from tests.rigs.plane import (
    HEALTH,
    PROXY_HEADER,
    PROXY_LOCAL,
    PROXY_SIGNATURE,
    STREAM_LIMITS,
    Rig,
    Stream,
    Upstream,
    answer,
    query,
    rig,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEEPALIVE = 11


@contextlib.contextmanager
def serving(**limits: int) -> Iterator[tuple[Rig, Upstream]]:
    upstream = Upstream()
    with rig(upstream, health_name=HEALTH, streams=STREAM_LIMITS | limits) as r:
        yield r, upstream


def at_once() -> DNSRecord:
    """A question that the plane answers by itself."""
    return query(HEALTH)


def say(upstream: Upstream, count: int, r: Rig, *, backwards: bool = False) -> list[str]:
    """Answers so many questions, when all of them have come; their names."""
    asked: list[tuple[DNSRecord, Any]] = []

    def all_asked() -> bool:
        asked.extend(upstream.waiting())
        return len(asked) >= count

    r.until(all_asked)
    for question, source in asked[:: -1 if backwards else 1]:
        upstream.say(answer(question), source)
    return [str(question.q.qname) for question, _ in asked]


def name(message: DNSRecord) -> str:
    return str(message.q.qname)


def test_a_message_is_answered_however_its_octets_are_cut() -> None:
    with serving() as (r, _):
        stream = r.connect()
        first = at_once()
        for octet in Stream.framed(first) + Stream.framed(at_once()):
            stream.socket.send(bytes([octet]))
            r.plane.pump()
        assert stream.receive().header.id == first.header.id
        assert name(stream.receive()) == HEALTH + "."


@pytest.mark.parametrize("message", [b"", b"\x07malformed"])
def test_what_the_core_drops_ends_the_connection(message: bytes) -> None:
    with serving() as (r, _):
        stream = r.connect()
        stream.send(message)
        assert stream.has_ended()
        assert r.plane.streams == 0


@pytest.mark.parametrize("message", [b"", b"\x07malformed"])
def test_what_is_in_flight_is_answered_before_what_the_core_drops_ends_the_connection(message: bytes) -> None:
    with serving() as (r, upstream):
        stream = r.connect()
        for one in (query("one.example"), message, at_once()):
            stream.send(one)
        say(upstream, 1, r)
        assert name(stream.receive()) == "one.example."
        assert stream.has_ended(), "what came after it is not decided"


def test_a_message_as_long_as_two_octets_can_say_is_taken() -> None:
    with serving() as (r, _):
        stream = r.connect()
        message = at_once()
        stream.send(bytes(message.pack()) + bytes(65_535 - len(message.pack())))
        assert stream.receive().header.id == message.header.id


def test_answers_come_when_they_are_ready_and_not_in_the_order_of_the_questions() -> None:
    with serving() as (r, upstream):
        stream = r.connect()
        for one in (query("one.example"), query("two.example"), at_once()):
            stream.send(one)
        assert name(stream.receive()) == HEALTH + "."
        asked = say(upstream, 2, r, backwards=True)
        assert [name(stream.receive()) for _ in range(2)] == asked[::-1]


def test_each_answer_goes_to_its_own_connection() -> None:
    with serving() as (r, upstream):
        streams = [r.connect() for _ in range(3)]
        for number, stream in enumerate(streams):
            stream.send(query(f"{number}.example"))
        say(upstream, 3, r, backwards=True)
        assert [name(stream.receive()) for stream in streams] == ["0.example.", "1.example.", "2.example."]


def test_no_more_than_the_allowed_number_of_a_connections_queries_is_in_flight() -> None:
    with serving(in_flight=4) as (r, upstream):
        stream = r.connect()
        for number in range(10):
            stream.send(query(f"{number}.example"))
        got: list[str] = []
        for expected in (4, 4, 2):
            asked = say(upstream, expected, r)
            assert len(asked) == expected
            got += [name(stream.receive()) for _ in asked]
        assert sorted(got) == sorted(f"{number}.example." for number in range(10))


def test_a_client_that_closes_its_half_still_gets_its_answers() -> None:
    with serving() as (r, upstream):
        stream = r.connect()
        for one in (query("one.example"), at_once()):
            stream.send(one)
        stream.socket.shutdown(socket.SHUT_WR)
        assert name(stream.receive()) == HEALTH + "."
        say(upstream, 1, r)
        assert name(stream.receive()) == "one.example."
        assert stream.has_ended()
        assert r.plane.streams == 0


def test_a_client_that_goes_before_its_answer_leaves_nothing_behind_and_fills_the_cache() -> None:
    with serving() as (r, upstream):
        stream = r.connect()
        stream.send(query("one.example"))
        r.plane.pump()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
        stream.socket.close()
        r.until(lambda: r.plane.streams == 0)
        other = r.connect()
        say(upstream, 1, r)
        r.until(lambda: r.plane.in_flight == 0)
        other.send(query("two.example"))
        other.send(query("one.example"))
        assert name(other.receive()) == "one.example.", "from the cache; not the answer of the one that is gone"


def test_an_idle_connection_ends_and_single_octets_do_not_keep_it() -> None:
    with serving(idle_ms=300) as (r, _):
        stream, kept = r.connect(), r.connect()
        stream.send(at_once())
        stream.receive()

        def ended() -> bool:
            with contextlib.suppress(ConnectionError):
                stream.socket.send(b"\x00")
            kept.send(at_once())
            kept.receive()
            return r.plane.streams == 1

        r.until(ended)
        assert stream.has_ended()


def test_a_connection_that_waits_for_its_answer_is_not_idle() -> None:
    with serving(idle_ms=100) as (r, upstream):
        stream, idle = r.connect(), r.connect()
        stream.send(query("slow.example"))
        r.until(lambda: idle.has_ended() and r.plane.streams == 1)
        say(upstream, 1, r)
        assert name(stream.receive()) == "slow.example."


def long(question: DNSRecord) -> DNSRecord:
    reply = question.reply()
    reply.header.ad = 0
    for number in range(18):
        reply.add_answer(RR(question.q.qname, QTYPE.TXT, ttl=300, rdata=TXT(f"{number:0220}")))
    return reply


def remembered(r: Rig, upstream: Upstream) -> DNSRecord:
    """A question whose answer of more than 4,000 octets is in the cache."""
    stream = r.connect()
    stream.send(query("long.example", "TXT"))
    question, source = r.until(lambda: (found := upstream.waiting()) and found[0])
    reply = question.reply()
    reply.header.tc, reply.header.ad = 1, 0
    upstream.say(reply, source)
    assert r.say_tcp(r.until_tcp(), long)
    assert len(stream.receive().rr) == 18
    return query("long.example", "TXT")


def test_a_client_that_does_not_read_is_not_read_costs_bounded_memory_and_is_cut_off() -> None:
    with serving(stalled_ms=600, idle_ms=60_000) as (r, upstream):
        asked = Stream.framed(remembered(r, upstream))
        stream = r.connect(receives=4096)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 1 << 26:
                sent += stream.socket.send(asked * 100)
                r.plane.pump()
        assert sent < 1 << 25, "the kernel's buffers alone hold what it asks"
        assert r.count("queries_tcp") < 10_000, "nor are its questions decided"
        r.until(lambda: r.plane.streams == 1)


def test_a_client_that_reads_slowly_gets_every_answer() -> None:
    with serving() as (r, upstream):
        asked = remembered(r, upstream)
        stream = r.connect(receives=4096)
        for _ in range(3000):
            stream.send(asked)
            r.plane.pump()
        assert r.plane.streams_busy
        for _ in range(3000):
            assert len(stream.receive().rr) == 18
        assert not r.plane.streams_busy


def test_one_address_gets_no_more_than_its_share_of_the_connections() -> None:
    with serving(per_client=2) as (r, _):
        first, second, third = [r.connect() for _ in range(3)]
        assert third.has_ended()
        for stream in (first, second):
            stream.send(at_once())
            assert stream.receive().header.rcode == 0
        r.plane.tick()
        assert (r.count("streams_now"), r.count("streams_refused")) == (2, 1)
        first.socket.close()
        r.until(lambda: r.plane.streams == 1)
        again = r.connect()
        again.send(at_once())
        assert again.receive().header.rcode == 0


def test_at_the_total_the_connection_that_is_idle_longest_gives_way_and_where_none_is_the_new_one() -> None:
    with serving(total=2) as (r, _):
        first, second = r.connect(), r.connect()
        for stream in (second, first):  # the first is the one that spoke last
            stream.send(at_once())
            stream.receive()
        third = r.connect()
        third.send(at_once())
        assert third.receive().header.rcode == 0
        assert second.has_ended()
        for number, stream in enumerate((first, third)):
            stream.send(query(f"{number}.example"))
            r.plane.pump()
        assert r.connect().has_ended()
        r.plane.tick()
        assert r.count("streams_refused") == 1


def test_draining_answers_what_is_in_flight_and_takes_nothing_more() -> None:
    with serving() as (r, upstream):
        stream, idle = r.connect(), r.connect()
        stream.send(query("one.example"))
        r.plane.pump()
        r.plane.stop_listening()
        assert idle.has_ended()
        assert r.plane.streams_busy
        stream.send(at_once())
        say(upstream, 1, r)
        assert name(stream.receive()) == "one.example."
        assert stream.has_ended()
        assert (r.plane.streams, r.plane.streams_busy) == (0, False)
        late = socket.create_connection(r.stream_address())
        r.plane.pump()
        assert r.plane.streams == 0, "it waits for the successor"
        late.close()


def with_option(code: int, value: bytes = b"") -> DNSRecord:
    asked = query(HEALTH)
    asked.add_ar(EDNS0(udp_len=1232, opts=[EDNSOption(code, value)]))
    return asked


def options(message: DNSRecord) -> dict[int, bytes]:
    (opt,) = message.ar
    return {option.code: bytes(option.data) for option in opt.rdata}


def test_a_client_that_asks_for_how_long_it_may_be_idle_hears_it() -> None:
    with serving(idle_ms=12_300) as (r, _):
        stream = r.connect()
        stream.send(with_option(KEEPALIVE))
        assert options(stream.receive())[KEEPALIVE] == (123).to_bytes(2)
        stream.send(query(HEALTH, edns=True))
        assert options(stream.receive()) == {}, "who does not ask is not told"
        stream.send(with_option(KEEPALIVE, b"\0\1"))
        assert options(stream.receive()) == {}, "a client says no time (RFC 7828, 3.2.1)"
        assert r.ask(with_option(KEEPALIVE)).ar[0].rdata == [], "never over UDP (RFC 7828, 3.1)"


@contextlib.contextmanager
def behind_a_balancer(**limits: int) -> Iterator[Rig]:
    upstream = Upstream()
    settings: dict[str, Any] = {"allow_clients": ["192.0.2.7"], "proxy_from": ["127.0.0.0/8"], "health_name": HEALTH}
    with rig(upstream, **settings, streams=STREAM_LIMITS | limits) as r:
        yield r


def test_behind_a_balancer_the_client_is_the_one_it_names() -> None:
    with behind_a_balancer() as r:
        for header, rcode in ((PROXY_HEADER, RCODE.SERVFAIL), (PROXY_LOCAL, None)):
            for cut in range(0, len(header), 9):
                stream = r.connect()
                stream.socket.send(header[:cut])
                r.plane.pump()
                stream.socket.send(header[cut:])
                stream.send(at_once())
                assert stream.receive().header.rcode == 0
                stream.send(query("version.bind", "AXFR"))
                if rcode is None:
                    assert stream.has_ended(), "a balancer that speaks for itself is no client"
                else:
                    assert stream.receive().header.rcode == RCODE.REFUSED
                stream.socket.close()
                r.until(lambda: r.plane.streams == 0)
        other = r.connect()
        other.socket.send(PROXY_HEADER.replace(bytes([192, 0, 2, 7]), bytes([192, 0, 2, 8])))
        other.send(at_once())
        assert other.has_ended(), "one that is not served"


def test_behind_a_balancer_the_limits_are_the_clients_own() -> None:
    with behind_a_balancer(per_client=2) as r:
        waiting = [r.connect() for _ in range(5)]
        r.plane.pump()
        assert r.plane.streams == 5, "until the header comes it is nobody's"
        for number, stream in enumerate(waiting[:3]):
            stream.socket.send(PROXY_HEADER)
            stream.send(at_once())
            assert stream.has_ended() if number == 2 else stream.receive()
        r.plane.tick()
        assert r.count("streams_refused") == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"\x00\x02a1",
        PROXY_SIGNATURE + b"\x31" + PROXY_HEADER[13:],
        b"\r\nGET",
        PROXY_SIGNATURE + b"\x21\x11\xff\xff" + bytes(3000),
    ],
)
def test_a_balancer_that_does_not_say_for_whom_it_speaks_is_cut_off(octets: bytes) -> None:
    with behind_a_balancer() as r:
        stream = r.connect()
        stream.socket.send(octets)
        assert stream.has_ended()
        assert r.count("queries_tcp") == 0


def test_where_no_descriptor_is_left_a_client_hears_it_at_once_and_the_others_go_on() -> None:
    with serving() as (r, _):
        stream = r.connect()
        stream.send(at_once())
        stream.receive()
        held = [socket.socket()]
        waits = socket.create_connection(r.stream_address())
        waits.settimeout(5)
        with without_descriptors(held):
            r.plane.pump()
            stream.send(at_once())
            assert stream.receive().header.rcode == 0
        assert waits.recv(1) == b"", "accepted and closed"
        waits.close()
        again = r.connect()
        again.send(at_once())
        assert again.receive().header.rcode == 0


@contextlib.contextmanager
def without_descriptors(held: list[socket.socket]) -> Iterator[None]:
    """No file can be opened by this process meanwhile."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = held[-1].fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest, soft), hard))
    try:
        taken: list[socket.socket] = []
        with contextlib.suppress(OSError):
            while True:
                taken.append(socket.socket())
        yield
    finally:
        for one in (*taken, *held):
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_connections_at_once_with_ten_questions_each() -> None:
    """All the ways in at once: what is cached, what is answered here, what is relayed."""
    with serving() as (r, upstream):
        streams = [r.connect() for _ in range(10)]
        wanted: Callable[[int], list[str]] = lambda n: [f"{n}.{k}.example." for k in range(5)] + [HEALTH + "."] * 5  # noqa: E731
        for number, stream in enumerate(streams):
            for one in wanted(number):
                stream.send(query(one))
        say(upstream, 50, r)
        for number, stream in enumerate(streams):
            assert sorted(name(stream.receive()) for _ in range(10)) == sorted(wanted(number))
