"""DNS over QUIC (RFC 9250): the same chain on streams of QUIC; the client is aioquic's."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from aioquic.quic import events
from dnslib import EDNS0, QTYPE, RR, TXT, DNSRecord, EDNSOption

from resolver._core import CoreError
from tests.rigs.certificates import NAME, Files, made
from tests.rigs.dns_host import wait_until
from tests.rigs.plane import HEALTH, STREAM_LIMITS, Rig, Upstream, answer, cut, query, rig
from tests.rigs.quic import EXCESSIVE_LOAD, NO_ERROR, PROTOCOL_ERROR, REQUEST_CANCELLED, QuicClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = secrets.token_bytes(32)
PADDING, KEEPALIVE = 12, 11
BLOCK = 468
NO_APPLICATION_PROTOCOL = 0x178  # CRYPTO_ERROR and the alert's number (RFC 9001, 4.8)
CONNECTION_REFUSED, STREAM_LIMIT_ERROR = 0x02, 0x04  # RFC 9000, 20.1


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return made(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def serving(files: Files, secret: bytes = SECRET, **more: Any) -> Iterator[tuple[Rig, Upstream]]:
    upstream = Upstream()
    settings: dict[str, Any] = {"health_name": HEALTH, "streams": STREAM_LIMITS} | more
    with rig(upstream, **settings) as r:
        use(r, files, secret)
        yield r, upstream


def use(r: Rig, files: Files, secret: bytes = SECRET) -> None:
    r.plane.share(secret, 0, (1 << 32) - 1, secret)
    r.plane.set_identity(files.certificate.read_bytes(), files.key.read_bytes())


def question(*options: EDNSOption) -> DNSRecord:
    asked = query(HEALTH)
    asked.add_ar(EDNS0(udp_len=1232, opts=list(options)))
    return asked


def test_questions_are_answered_at_once_and_later_each_on_its_stream(files: Files) -> None:
    with serving(files) as (r, upstream):
        client = QuicClient(r, files).shake_hands()
        relayed, own = client.ask(query("one.example")), client.ask(query(HEALTH))
        assert str(client.receive(own).q.qname) == HEALTH + "."
        asked, source = client.until(lambda: (found := upstream.waiting()) and found[0])
        upstream.say(answer(asked), source)
        reply = client.receive(relayed)
        assert (reply.header.id, str(reply.rr[0].rdata)) == (0, "198.51.100.7")
        again = client.answers(query("one.example"))
        assert str(again.rr[0].rdata) == "198.51.100.7"
        assert (r.count("queries_quic"), r.count("cache_hits"), r.plane.streams) == (3, 1, 1)


def test_a_message_is_answered_once_its_stream_ends_however_it_is_cut(files: Files) -> None:
    with serving(files) as (r, _):
        client = QuicClient(r, files).shake_hands()
        message = query(HEALTH)
        message.header.id = 0
        octets = bytes(message.pack())
        framed = len(octets).to_bytes(2) + octets
        stream = client.open(b"", ends=False)
        for octet in framed:
            client.quic.send_stream_data(stream, bytes([octet]))
            client.step()
        assert client.octets(stream) is None, "a client says by the stream's end that it has asked (RFC 9250, 4.2)"
        client.quic.send_stream_data(stream, b"", end_stream=True)
        assert client.receive(stream).header.rcode == 0


def test_more_questions_than_streams_are_open_at_a_time_all_have_their_answers(files: Files) -> None:
    with serving(files, streams=STREAM_LIMITS | {"in_flight": 8}) as (r, _):
        client = QuicClient(r, files).shake_hands()
        streams = [client.ask(query(HEALTH)) for _ in range(200)]
        client.until(lambda: all(client.octets(stream) for stream in streams))


def test_a_long_answer_arrives_whole(files: Files) -> None:
    with serving(files) as (r, upstream):
        client = QuicClient(r, files).shake_hands()
        stream = client.ask(query("long.example", "TXT"))
        asked, source = client.until(lambda: (found := upstream.waiting()) and found[0])
        upstream.say(cut(asked), source)
        (ask,) = client.until(r.tcp_asks)

        def long(of: DNSRecord) -> DNSRecord:
            reply = of.reply()
            reply.add_answer(*(RR(of.q.qname, QTYPE.TXT, ttl=60, rdata=TXT([bytes(250)])) for _ in range(240)))
            return reply

        assert r.say_tcp(ask, long)
        assert len(client.receive_octets(stream)) > 60_000


def test_who_pads_gets_padding_in_blocks_and_others_none(files: Files) -> None:
    with serving(files) as (r, _):
        client = QuicClient(r, files).shake_hands()
        reply = client.answers(question(EDNSOption(PADDING, bytes(20))))
        (option,) = reply.ar[0].rdata
        assert (option.code, len(reply.pack()) % BLOCK) == (PADDING, 0)
        assert client.answers(question()).ar[0].rdata == []


def test_a_session_is_resumed_at_any_worker_with_the_same_secret_and_at_no_other(files: Files) -> None:
    with contextlib.ExitStack() as stack:
        first, same, other = (
            stack.enter_context(serving(files, secret))[0] for secret in (SECRET, SECRET, secrets.token_bytes(32))
        )
        client = QuicClient(first, files).shake_hands()
        client.answers(query(HEALTH))
        ticket = client.until(lambda: client.tickets)[0]
        assert ticket.max_early_data_size in (None, 0), "what is replayed would be asked again: no early data"
        for r, resumed in ((same, True), (other, False)):
            again = QuicClient(r, files, ticket=ticket).shake_hands()
            (shaken,) = again.of(events.HandshakeCompleted)
            assert shaken.session_resumed is resumed
            assert again.answers(query(HEALTH)).header.rcode == 0


def test_a_new_certificate_is_for_new_connections_and_ends_none(files: Files, tmp_path: Path) -> None:
    with serving(files) as (r, _):
        before = QuicClient(r, files).shake_hands()
        renewed = made(tmp_path)
        use(r, renewed)
        after = QuicClient(r, renewed).shake_hands()
        for client in (before, after):
            assert client.answers(query(HEALTH)).header.rcode == 0


def test_a_connection_goes_on_from_another_port(files: Files) -> None:
    with serving(files) as (r, _):
        client = QuicClient(r, files).shake_hands()
        assert client.answers(query(HEALTH)).header.rcode == 0
        client.moved()
        assert client.answers(query(HEALTH)).header.rcode == 0
        assert r.plane.streams == 1


def test_what_is_said_to_come_from_another_address_is_answered_there_with_nothing(files: Files) -> None:
    with serving(files) as (r, _):
        client = QuicClient(r, files).shake_hands()
        assert client.answers(query(HEALTH)).header.rcode == 0
        other = client.moved("127.0.0.2")
        asked = client.ask(query(HEALTH))
        for _ in range(50):
            client.send_all()
            r.plane.pump()
        with pytest.raises(BlockingIOError):
            other.recv(4096)
        client.moved()
        assert client.receive(asked).header.rcode == 0


def test_a_client_that_is_not_served_hears_nothing_and_no_handshake_is_made(files: Files) -> None:
    with serving(files, allow_clients=["192.0.2.0/24"]) as (r, _):
        client = QuicClient(r, files)
        other = time.monotonic() + 0.2
        while time.monotonic() < other:
            client.step()
        assert (client.sent > 0, client.received, r.plane.streams) == (True, 0, 0)


def _id(client: QuicClient) -> int:
    message = query(HEALTH)
    return client.open(len(message.pack()).to_bytes(2) + bytes(message.pack()))


def _reset(client: QuicClient) -> int:
    stream = client.open(b"\0\x20\0", ends=False)
    client.step()
    client.quic.reset_stream(stream, REQUEST_CANCELLED)
    return stream


def _uni(client: QuicClient) -> None:
    stream = client.quic.get_next_available_stream_id(is_unidirectional=True)
    client.quic._remote_max_streams_uni = 1
    client.quic.send_stream_data(stream, b"x")


# What a client does on an open connection -> the code with which the connection ends.
VIOLATIONS: dict[str, tuple[Callable[[QuicClient], Any], int]] = {
    "a message id": (_id, PROTOCOL_ERROR),
    "an answer": (lambda c: c.ask(bytes(2) + b"\x81\x80" + bytes(8)), PROTOCOL_ERROR),
    "less than a header": (lambda c: c.ask(bytes(11)), PROTOCOL_ERROR),
    "the end without a message": (lambda c: c.open(b""), PROTOCOL_ERROR),
    "the end within the length": (lambda c: c.open(b"\0"), PROTOCOL_ERROR),
    "the end within the message": (lambda c: c.open(b"\0\x20" + bytes(20)), PROTOCOL_ERROR),
    "a message of length zero": (lambda c: c.open(b"\0\0"), PROTOCOL_ERROR),
    "more than the length says": (lambda c: c.open(b"\0\x0c" + bytes(20)), PROTOCOL_ERROR),
    "more, and no end": (lambda c: c.open(b"\0\x0c" + bytes(20), ends=False), PROTOCOL_ERROR),
    "two messages": (lambda c: c.open((b"\0\x0c" + bytes(12)) * 2), PROTOCOL_ERROR),
    "a keepalive": (lambda c: c.ask(question(EDNSOption(KEEPALIVE, b""))), PROTOCOL_ERROR),
    "a keepalive with a time": (lambda c: c.ask(question(EDNSOption(KEEPALIVE, b"\0\x64"))), PROTOCOL_ERROR),
    "a unidirectional stream": (_uni, STREAM_LIMIT_ERROR),
}


@pytest.mark.parametrize("what", VIOLATIONS)
def test_what_breaks_the_rules_ends_its_connection_and_costs_the_others_nothing(files: Files, what: str) -> None:
    does, code = VIOLATIONS[what]
    with serving(files) as (r, _):
        other, client = QuicClient(r, files).shake_hands(), QuicClient(r, files).shake_hands()
        does(client)
        assert client.ended() == code
        assert r.plane.streams == 1
        assert r.count("queries_quic") == 0
        assert other.answers(query(HEALTH)).header.rcode == 0


def test_a_stream_that_its_client_resets_or_stops_ends_alone(files: Files) -> None:
    with serving(files) as (r, upstream):
        client = QuicClient(r, files).shake_hands()
        assert client.reset(_reset(client)) == REQUEST_CANCELLED
        stream = client.ask(query("one.example"))
        asked, source = client.until(lambda: (found := upstream.waiting()) and found[0])
        client.quic.stop_stream(stream, REQUEST_CANCELLED)
        assert client.reset(stream) == REQUEST_CANCELLED
        upstream.say(answer(asked), source)
        client.until(lambda: r.plane.in_flight == 0)
        assert client.answers(query("one.example")).header.rcode == 0
        assert r.count("cache_hits") == 1, "its answer fills the cache"


def initial(client: QuicClient) -> bytes:
    ((data, _),) = client.quic.datagrams_to_send(now=time.monotonic())
    return bytes(data)


def version(data: bytes, number: int) -> bytes:
    return data[:1] + number.to_bytes(4) + data[5:]


# Datagrams of no connection -> whether something is answered (None: it depends). Never more than came.
STRANGERS: dict[str, tuple[Callable[[bytes], bytes], bool | None]] = {
    "another version": (lambda data: version(data, 0x1A2A3A4A), True),
    "another version in a short datagram": (lambda data: version(data, 0x1A2A3A4A)[:1199], False),
    "a first packet in a short datagram": (lambda data: data[:1199], False),
    "a first packet that was changed": (lambda data: data[:90] + bytes(20) + data[110:], False),
    "a version negotiation": (lambda data: version(data, 0), False),
    "an id longer than any": (lambda _: b"\xc0" + secrets.token_bytes(4) + b"\x15" + secrets.token_bytes(1194), False),
    # About one in a hundred is another version, with ids of a length that there is.
    "random octets as a long header": (lambda _: b"\xc0" + secrets.token_bytes(1199), None),
    "random octets as a short header": (lambda _: b"\x40" + secrets.token_bytes(1199), False),
    "one octet": (lambda _: b"\xc3", False),
    "plain DNS": (lambda _: bytes(query(HEALTH).pack()), False),
    "zeros": (lambda _: bytes(1200), False),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_what_no_connection_sent_gets_nothing_or_less_than_it_was(files: Files, what: str) -> None:
    makes, answered = STRANGERS[what]
    with serving(files) as (r, _):
        client = QuicClient(r, files)
        for _ in range(3):
            client.socket.send(makes(initial(QuicClient(r, files))))
        r.plane.pump()
        heard = []
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(client.socket.recv(4096))
        assert answered in (None, bool(heard))
        assert sum(map(len, heard)) < 3600
        assert r.plane.streams == 0
        assert client.shake_hands().answers(query(HEALTH)).header.rcode == 0


def test_a_client_with_another_protocol_or_none_hears_so(files: Files) -> None:
    with serving(files) as (r, _):
        for alpn in (["h3"], ["dot"], ["doq-i03"]):
            assert QuicClient(r, files, alpn).ended() == NO_APPLICATION_PROTOCOL, alpn
        assert QuicClient(r, files, ["h3", "doq"]).shake_hands().answers(query(HEALTH)).header.rcode == 0


def test_an_address_that_is_not_proven_is_sent_three_times_what_came_at_most(files: Files, tmp_path: Path) -> None:
    """However long the certificate is, and however often the handshake's time is over."""
    long = made(tmp_path, NAME, *(f"alias-{number}.of.a.long.certificate.example" for number in range(250)))
    with serving(long) as (r, _):
        received: dict[socket.socket, list[int]] = {}
        for length in (1200, 1201, 1290, 1399, 1452):
            client = QuicClient(r, long, max_datagram_size=length)
            first = initial(client)
            assert len(first) == length
            received[client.socket] = [length]
            client.socket.send(first)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            r.plane.pump()
            for one, octets in received.items():
                with contextlib.suppress(BlockingIOError):
                    octets.append(len(one.recv(4096)))
        for length, *octets in received.values():
            assert 2 * length < sum(octets) <= 3 * length, octets
        for length in (1200, 1201, 1290):
            client = QuicClient(r, long, max_datagram_size=length).shake_hands()
            assert client.answers(query(HEALTH)).header.rcode == 0


def test_half_open_handshakes_are_bounded_others_prove_their_address_first_and_all_of_them_end(files: Files) -> None:
    limits = STREAM_LIMITS | {"total": 500, "per_client": 500, "stalled_ms": 1500}
    with serving(files, streams=limits) as (r, _):
        for _ in range(300):
            silent = QuicClient(r, files)
            silent.send_all()
            silent.socket.close()
            r.sockets.remove(silent.socket)
            r.plane.pump()
        assert r.plane.streams == 64
        client = QuicClient(r, files).shake_hands()
        assert client.quic._retry_source_connection_id is not None, "it was asked to prove its address"
        assert client.answers(query(HEALTH)).header.rcode == 0
        r.until(lambda: r.plane.streams == 1)


def test_connections_are_bounded_in_total_and_for_each_client(files: Files) -> None:
    with serving(files, streams=STREAM_LIMITS | {"total": 3, "per_client": 2}) as (r, upstream):
        kept = [QuicClient(r, files).shake_hands() for _ in range(2)]
        assert QuicClient(r, files).ended() == CONNECTION_REFUSED
        r.plane.tick()
        assert (r.plane.streams, r.count("streams_refused")) == (2, 1)
        for client in kept:
            assert client.answers(query(HEALTH)).header.rcode == 0
    with serving(files, streams=STREAM_LIMITS | {"total": 2}) as (r, upstream):
        busy, idle = (QuicClient(r, files).shake_hands() for _ in range(2))
        busy.ask(query("one.example"))
        busy.until(upstream.waiting)
        newest = QuicClient(r, files).shake_hands()
        assert idle.ended() == EXCESSIVE_LOAD, "the one that is idle gives way"
        newest.ask(query("two.example"))
        newest.until(upstream.waiting)
        assert QuicClient(r, files).ended() == CONNECTION_REFUSED, "there is none"


def test_a_client_that_is_idle_or_never_ends_its_question_is_closed(files: Files) -> None:
    # Held up for as long as this, the client would end it by its own clock, and say so differently.
    with serving(files, streams=STREAM_LIMITS | {"idle_ms": 2500}) as (r, _):
        idle, dripping = (QuicClient(r, files).shake_hands() for _ in range(2))
        dripping.open(b"\0", ends=False)

        def dripped() -> list[Any]:
            dripping.quic.send_ping(1)
            r.plane.tick()
            return dripping.of(events.ConnectionTerminated)

        dripping.until(dripped)
        assert dripping.ended() == NO_ERROR
        idle.ended()  # by its own clock: both sides know the time (RFC 9000, 10.1)
        r.until(lambda: r.plane.streams == 0)


def test_a_client_that_does_not_read_is_cut_off(files: Files) -> None:
    with serving(files, streams=STREAM_LIMITS | {"stalled_ms": 500}) as (r, _):
        client = QuicClient(r, files, max_data=1000).shake_hands()
        client.quic._write_connection_limits = lambda **_: None  # type: ignore[method-assign]
        for _ in range(4):
            client.ask(question(EDNSOption(PADDING, b"")))
        client.until(lambda: r.plane.tick() or client.of(events.ConnectionTerminated))
        assert client.ended() == EXCESSIVE_LOAD


def test_draining_answers_what_was_asked_then_says_that_the_end_is_meant(files: Files) -> None:
    with serving(files) as (r, upstream):
        idle, busy = (QuicClient(r, files).shake_hands() for _ in range(2))
        stream = busy.ask(query("one.example"))
        asked, source = busy.until(lambda: (found := upstream.waiting()) and found[0])
        r.plane.stop_listening()
        assert idle.ended() == NO_ERROR
        late = busy.ask(query(HEALTH))
        busy.step()
        assert r.plane.streams_busy is True
        upstream.say(answer(asked), source)
        assert busy.receive(stream).header.rcode == 0
        assert busy.ended() == NO_ERROR
        assert busy.octets(late) is None
        assert not bool(r.plane.streams_busy)
        new = QuicClient(r, files)
        new.step()
        assert new.received == 0, "it is left to a successor"


def test_questions_that_come_in_pieces_leave_nothing_behind(files: Files) -> None:
    """Two pieces before the plane looks: the library tells of the second one when the stream is at its end."""
    with serving(files) as (r, upstream):
        client = QuicClient(r, files).shake_hands()
        message = query(HEALTH)
        message.header.id = 0
        octets = bytes(message.pack())
        for _ in range(4):
            stream = client.open(len(octets).to_bytes(2), ends=False)
            client.send_all()
            client.quic.send_stream_data(stream, octets, end_stream=True)
            client.send_all()
            assert client.receive(stream).header.rcode == 0
        last = client.ask(query("one.example"))
        asked, source = client.until(lambda: (found := upstream.waiting()) and found[0])
        r.plane.stop_listening()
        upstream.say(answer(asked), source)

        def is_written() -> bool:
            r.pump()
            return r.plane.in_flight == 0

        wait_until(is_written, "the answer is written")
        assert r.plane.streams_busy, "it has not arrived: a stream that is over counts as none that comes"
        assert client.receive(last).header.rcode == 0


def test_the_next_worker_at_the_socket_says_that_connections_are_gone_and_one_elsewhere_cannot(files: Files) -> None:
    with serving(files) as (r, _), serving(files) as (successor, _), serving(files) as (elsewhere, _):
        clients = [QuicClient(r, files).shake_hands() for _ in range(2)]
        for client in clients:
            client.answers(query(HEALTH))
        assert r.quic is not None
        successor.quic = r.quic
        assert successor.plane.listen_quic(r.quic.fileno())
        clients[0].rig = successor  # its worker is dead: nobody pumps it
        # aioquic heeds no stateless reset, so that the token is looked for here.
        token = clients[0].quic._peer_cid.stateless_reset_token
        clients[0].ask(query(HEALTH))
        clients[0].until(lambda: clients[0].last[-16:] == token)
        stranger = clients[1]
        stranger.rig, stranger.address = elsewhere, elsewhere.quic_address()
        stranger.moved()
        stranger.ask(query(HEALTH))
        received, until = stranger.received, time.monotonic() + 0.3
        while time.monotonic() < until:
            stranger.step()
        assert stranger.received == received, "else who saw an id could end its connection (RFC 9000, 21.11)"


@pytest.mark.parametrize(("everywhere", "asked"), [("0.0.0.0", "127.0.0.7"), ("::", "::1")])
def test_a_socket_of_every_address_answers_from_the_one_that_was_asked(
    files: Files, everywhere: str, asked: str
) -> None:
    with serving(files, host=asked) as (r, _):
        r.quic = socket.socket(r.listener.family, socket.SOCK_DGRAM)
        r.sockets.append(r.quic)
        if everywhere == "::":
            r.quic.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        r.quic.bind((everywhere, 0))
        assert r.plane.listen_quic(r.quic.fileno())
        assert QuicClient(r, files).shake_hands().answers(query(HEALTH)).header.rcode == 0


def test_without_a_certificate_nobody_is_answered(files: Files) -> None:
    with rig(Upstream(), health_name=HEALTH, streams=STREAM_LIMITS) as r:
        client = QuicClient(r, files)
        client.step()
        assert (client.received, r.plane.streams) == (0, 0)
        use(r, files)
        assert client.shake_hands().answers(query(HEALTH)).header.rcode == 0


def test_a_socket_is_one_process_s_until_that_ends(files: Files) -> None:
    with serving(files) as (r, _), socket.socket(type=socket.SOCK_DGRAM) as shared:
        shared.bind(("127.0.0.1", 0))
        claim = f"import fcntl; fcntl.lockf({shared.fileno()}, fcntl.LOCK_EX); print(flush=True); input()"
        command = [sys.executable, "-c", claim]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[shared.fileno()]
        ) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdout.readline()
            assert r.plane.listen_quic(shared.fileno()) is False
            other.stdin.write(b"\n")
        assert r.plane.listen_quic(shared.fileno()) is True


def test_a_socket_of_streams_is_refused(files: Files) -> None:
    wrong = socket.create_server(("127.0.0.1", 0))
    with contextlib.closing(wrong), serving(files) as (r, _), pytest.raises(CoreError, match="datagram"):
        r.plane.listen_quic(wrong.fileno())
