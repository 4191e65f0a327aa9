"""DNS over TLS (RFC 7858): the same connections under a seal; clients are OpenSSL's."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from dnslib import EDNS0, DNSRecord, EDNSOption

from resolver._core import CoreError
from tests.conftest import find_program
from tests.rigs.certificates import NAME, Files, made
from tests.rigs.plane import (
    HEALTH,
    PATIENCE,
    PROXY_HEADER,
    STREAM_LIMITS,
    Rig,
    Stream,
    Upstream,
    answer,
    compiled,
    query,
    rig,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = secrets.token_bytes(32)
FOREVER = (1 << 32) - 1  # seconds
ANSWERED = b"\x06health\x07example"  # as in the answer; openssl shows other octets in hexadecimal
PADDING = 12
BLOCK = 468


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return made(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def serving(files: Files | None, secret: bytes = SECRET, **more: Any) -> Iterator[tuple[Rig, Upstream]]:
    upstream = Upstream()
    settings: dict[str, Any] = {"health_name": HEALTH, "streams": STREAM_LIMITS} | more
    with rig(upstream, **settings) as r:
        if files is not None:
            use(r, files, secret)
        yield r, upstream


def use(r: Rig, files: Files, secret: bytes = SECRET, period: int = 0, rotation: int = FOREVER) -> None:
    r.plane.share(secret, period, rotation, secret)
    r.plane.set_identity(files.certificate.read_bytes(), files.key.read_bytes())


def trusting(files: Files, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.root))
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["dot"])
    return context


def secured(r: Rig, files: Files, **more: Any) -> Stream:
    stream = r.connect("tls")
    stream.secure(trusting(files, **more), NAME)
    return stream


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_questions_are_answered_at_once_and_later_under_one_seal(files: Files, version: ssl.TLSVersion) -> None:
    with serving(files) as (r, upstream):
        stream = secured(r, files, version=version)
        assert isinstance(stream.socket, ssl.SSLSocket)
        assert stream.socket.selected_alpn_protocol() == "dot"
        stream.send(query("one.example"))
        stream.send(query(HEALTH))
        assert str(stream.receive().q.qname) == HEALTH + "."
        question, source = r.until(lambda: (found := upstream.waiting()) and found[0])
        upstream.say(answer(question), source)
        assert str(stream.receive().rr[0].rdata) == "198.51.100.7"


def test_a_message_is_answered_however_its_records_are_cut(files: Files) -> None:
    with serving(files) as (r, _):
        stream = secured(r, files)
        for octet in Stream.framed(query(HEALTH)):
            stream.socket.send(bytes([octet]))
            r.plane.pump()
        assert stream.receive().header.rcode == 0


def test_answers_longer_than_a_record_come_whole_and_in_their_order(files: Files) -> None:
    with serving(files) as (r, _):
        stream = secured(r, files)
        asked = [query(HEALTH) for _ in range(2000)]
        for message in asked:
            stream.send(message)
        for message in asked:
            assert stream.receive().header.id == message.header.id


def padded(*, padding: bool, size: int = 0) -> DNSRecord:
    asked = query(HEALTH)
    asked.add_ar(EDNS0(udp_len=1232, opts=[EDNSOption(PADDING, bytes(size))] if padding else []))
    return asked


def test_who_pads_gets_padding_in_blocks_and_others_none(files: Files) -> None:
    with serving(files) as (r, _):
        stream = secured(r, files)
        for size in (0, 100):
            stream.send(padded(padding=True, size=size))
            reply = stream.receive()
            (option,) = reply.ar[0].rdata
            assert (option.code, len(reply.pack()) % BLOCK) == (PADDING, 0)
            assert not any(option.data), "RFC 7830, 3: octets of zero"
        stream.send(padded(padding=False))
        assert stream.receive().ar[0].rdata == []
        plain = r.connect()
        plain.send(padded(padding=True))
        assert plain.receive().ar[0].rdata == [], "nothing is hidden where everybody reads along"


def test_a_session_is_resumed_at_any_worker_with_the_same_secret_and_at_no_other(files: Files) -> None:
    with contextlib.ExitStack() as stack:
        first, same, other = (
            stack.enter_context(serving(files, secret))[0] for secret in (SECRET, SECRET, secrets.token_bytes(32))
        )
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context = trusting(files, version)
            begun = first.connect("tls").secure(context, NAME)
            stream = Stream(first, begun)
            stream.send(query(HEALTH))
            stream.receive()  # the tickets of TLS 1.3 come after the handshake
            session = begun.session
            assert session is not None
            for r, resumed in ((same, True), (other, False)):
                again = r.connect("tls").secure(context, NAME, session)
                assert again.session_reused is resumed
                asking = Stream(r, again)
                asking.send(query(HEALTH))
                assert asking.receive().header.rcode == 0


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_openssl_resumes_at_another_worker_until_the_secret_has_changed_twice(
    files: Files, tmp_path: Path, version: str
) -> None:
    """Each worker begins with the secret of period 0. How long the machine is up says how many periods ago that was."""
    up = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    with contextlib.ExitStack() as stack:
        # periods since -> how long one is; the next begins after a fifth of that time at the earliest
        workers = {0: FOREVER, 1: up * 2 // 3, 2: up * 2 // 5}
        rigs = {since: stack.enter_context(serving(None))[0] for since in workers}
        for since, rotation in workers.items():
            use(rigs[since], files, SECRET, 0, rotation)
        session = tmp_path / "session"
        assert "New, TLSv1." in s_client(rigs[0], version, "-sess_out", session)
        for since, said in ((0, "Reused"), (1, "Reused"), (2, "New"), (1, "Reused")):
            assert f"{said}, TLSv1." in s_client(rigs[since], version, "-sess_in", session), since


def s_client(r: Rig, version: str, *options: str | Path) -> str:
    """What openssl says of a connection on which one question was answered."""
    openssl, (host, port) = find_program("openssl"), r.stream_address("tls")
    assert openssl is not None
    command = [openssl, "s_client", "-connect", f"{host}:{port}", "-servername", NAME, version, *options]
    said, deadline = b"", time.monotonic() + PATIENCE
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        process.stdin.write(Stream.framed(query(HEALTH)))
        process.stdin.flush()
        while ANSWERED not in said:
            assert time.monotonic() < deadline, said
            r.pump()
            said += process.stdout.read() or b""
        process.stdin.close()
        while process.poll() is None:
            r.pump()
    return said.decode(errors="replace")


def test_a_new_certificate_is_for_new_connections_and_ends_none(files: Files, tmp_path: Path) -> None:
    with serving(files) as (r, _):
        before = secured(r, files)
        renewed = made(tmp_path)
        use(r, renewed)
        after = secured(r, renewed)
        with pytest.raises(ssl.SSLCertVerificationError):
            secured(r, files)
        for stream in (before, after):
            stream.send(query(HEALTH))
            assert stream.receive().header.rcode == 0


def test_a_certificate_that_cannot_be_used_is_refused_and_the_one_before_stays(files: Files, tmp_path: Path) -> None:
    with serving(files) as (r, _):
        other = made(tmp_path)
        chain, key = files.certificate.read_bytes(), files.key.read_bytes()
        for wrong in ((b"", key), (chain, b""), (chain, other.key.read_bytes()), (key, chain)):
            with pytest.raises(CoreError):
                r.plane.set_identity(*wrong)
        secured(r, files).send(query(HEALTH))


def test_without_a_certificate_nobody_is_kept_waiting(files: Files) -> None:
    with serving(None) as (r, _):
        assert r.connect("tls").has_ended()
        r.plane.tick()
        assert (r.count("streams_refused"), r.count("streams_now")) == (1, 0)


@pytest.mark.parametrize(
    "octets",
    [
        Stream.framed(query(HEALTH)),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + bytes(100),
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x10" + bytes(16),
    ],
    ids=["plain DNS", "HTTP", "a record too long", "an empty ClientHello", "an alert", "data before the handshake"],
)
def test_what_is_no_tls_ends_the_connection_and_costs_the_others_nothing(files: Files, octets: bytes) -> None:
    with serving(files) as (r, _):
        other = secured(r, files)
        stream = r.connect("tls")
        stream.socket.send(octets)
        heard = b""

        def ended() -> bool:
            nonlocal heard
            with contextlib.suppress(BlockingIOError):
                more = stream.socket.recv(4096)
                heard += more
                return more == b""
            return False

        with contextlib.suppress(ConnectionError):
            r.until(ended)
        assert heard == b"" or heard[0] == 21, "an alert, or nothing"
        assert r.count("queries_tls") == 0
        other.send(query(HEALTH))
        assert other.receive().header.rcode == 0


def test_a_client_that_speaks_another_protocol_hears_so(files: Files) -> None:
    with serving(files) as (r, _):
        context = trusting(files)
        context.set_alpn_protocols(["h2"])
        with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
            r.connect("tls").secure(context, NAME)


def test_handshakes_that_are_never_finished_give_way_and_end(files: Files) -> None:
    with serving(files, streams=STREAM_LIMITS | {"total": 3, "idle_ms": 300}) as (r, _):
        half_open = [r.connect("tls") for _ in range(5)]
        for stream in half_open[2:]:
            stream.socket.send(b"\x16\x03\x01")
        r.plane.pump()
        assert r.plane.streams == 3
        secured(r, files).send(query(HEALTH))
        r.until(lambda: r.plane.streams == 0)


def test_draining_says_that_the_end_is_meant(files: Files) -> None:
    with serving(files) as (r, upstream):
        stream = secured(r, files)
        stream.send(query("one.example"))
        question, source = r.until(lambda: (found := upstream.waiting()) and found[0])
        r.plane.stop_listening()
        upstream.say(answer(question), source)
        assert stream.receive().header.rcode == 0
        r.until(lambda: r.plane.streams == 0)
        stream.socket.setblocking(True)
        assert stream.socket.recv(1) == b"", "close_notify: else OpenSSL raises an error"


def test_a_client_that_closes_its_half_still_gets_its_answers(files: Files) -> None:
    with serving(files) as (r, upstream):
        stream = secured(r, files)
        stream.send(query("one.example"))
        question, source = r.until(lambda: (found := upstream.waiting()) and found[0])
        assert isinstance(stream.socket, ssl.SSLSocket)
        with contextlib.suppress(ssl.SSLWantReadError):
            stream.socket.unwrap()
        r.plane.pump()
        upstream.say(answer(question), source)
        r.until(lambda: r.plane.in_flight == 0)
        assert r.count("queries_tls") == 1
        r.until(lambda: r.plane.streams == 0)


def test_a_balancers_header_comes_before_the_handshake(files: Files) -> None:
    balanced: dict[str, Any] = {"allow_clients": ["192.0.2.7"], "proxy_from": ["127.0.0.0/8"]}
    with serving(files, **balanced) as (r, _):
        for cut in (5, len(PROXY_HEADER)):
            stream = r.connect("tls")
            stream.socket.send(PROXY_HEADER[:cut])
            r.plane.pump()
            stream.socket.send(PROXY_HEADER[cut:])
            stream.secure(trusting(files), NAME)
            stream.send(query(HEALTH))
            assert stream.receive().header.rcode == 0
        unnamed = r.connect("tls")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            unnamed.secure(trusting(files), NAME)


def test_a_client_that_does_not_read_is_cut_off(files: Files) -> None:
    with serving(files, streams=STREAM_LIMITS | {"stalled_ms": 500}) as (r, _):
        stream = r.connect("tls", receives=4096)
        stream.secure(trusting(files), NAME)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        asked = Stream.framed(padded(padding=True)) * 20
        with contextlib.suppress(ssl.SSLWantWriteError, ConnectionError):
            for _ in range(100_000):
                stream.socket.send(asked)
                r.plane.pump()
        r.until(lambda: r.plane.streams == 0)


def test_what_is_counted_and_recorded_says_by_which_transport_it_came(files: Files, tmp_path: Path) -> None:
    with serving(files, tap={"identity": "here", "version": "1", "client_addresses": False}) as (r, _):
        r.plane.set_list(compiled(tmp_path, ["slot.bet"]))
        r.ask(query("slot.bet"))
        for stream in (r.connect(), secured(r, files)):
            stream.send(query("slot.bet"))
            stream.receive()
        assert [r.count(f"queries_{name}") for name in ("udp4", "tcp", "tls", "https", "quic")] == [1, 1, 1, 0, 0]
        # Of `dnstap.Message`: CLIENT_RESPONSE, INET, then SocketProtocol: UDP, TCP, DOT.
        frames = r.plane.take_tap()
        assert [frames.count(bytes([8, 6, 16, 1, 24, number])) for number in (1, 2, 3)] == [1, 1, 1]
