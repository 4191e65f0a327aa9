"""DNS over HTTPS (RFC 8484): frames of HTTP/2 written by hand, so that a client can do what no library would."""

from __future__ import annotations

import base64
import contextlib
import secrets
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from dnslib import EDNS0, DNSRecord, EDNSOption

from tests.rigs.certificates import NAME, Files, made
from tests.rigs.plane import HEALTH, STREAM_LIMITS, Rig, Stream, Upstream, answer, query, rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATH = "/dns-query"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
STATUS = {0x88: 200, 0x8C: 400, 0x8D: 404}  # where a header block begins with one of the static table (RFC 7541, A)
CALM = 11  # ENHANCE_YOUR_CALM


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return made(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def serving(files: Files, **limits: int) -> Iterator[tuple[Rig, Upstream]]:
    upstream = Upstream()
    settings: dict[str, Any] = {"health_name": HEALTH, "https_path": PATH, "streams": STREAM_LIMITS | limits}
    with rig(upstream, **settings) as r:
        r.plane.set_identity(files.certificate.read_bytes(), files.key.read_bytes())
        yield r, upstream


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def literal(name: str, value: str) -> bytes:
    """A header field that is never indexed, in plain octets (RFC 7541, 6.2.3)."""

    def text(octets: bytes) -> bytes:
        if len(octets) < 127:
            return bytes([len(octets)]) + octets
        rest, length = len(octets) - 127, b"\x7f"
        while rest >= 128:
            length += bytes([rest % 128 + 128])
            rest //= 128
        return length + bytes([rest]) + octets

    return b"\x10" + text(name.encode()) + text(value.encode())


def block(method: str, path: str, **more: str) -> bytes:
    fields = {":method": method, ":scheme": "https", ":authority": NAME, ":path": path}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return b"".join(literal(name, value) for name, value in fields.items())


@dataclass
class Client:
    """`answers`: by stream, status and body."""

    stream: Stream
    received: bytes = b""
    answers: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    goaway: int | None = None
    number: int = 1

    def send(self, octets: bytes) -> None:
        while octets:
            try:
                octets = octets[self.stream.socket.send(octets[:16384]) :]
            except ssl.SSLWantWriteError:
                self.stream.rig.plane.pump()
                self.read()

    def get(self, message: DNSRecord | bytes, path: str = PATH) -> int:
        octets = message if isinstance(message, bytes) else bytes(message.pack())
        text = base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
        return self.ask(block("GET", f"{path}?dns={text}", accept="application/dns-message"))

    def ask(self, head: bytes) -> int:
        number, self.number = self.number, self.number + 2
        self.send(frame(HEADERS, END_HEADERS | END_STREAM, number, head))
        return number

    def post(self, body: bytes, kind: str = "application/dns-message", cut: int = 16384) -> int:
        number, self.number = self.number, self.number + 2
        self.send(frame(HEADERS, END_HEADERS, number, block("POST", PATH, content_type=kind)))
        parts = [body[at : at + cut] for at in range(0, len(body), cut)] or [b""]
        for part in parts[:-1]:
            self.send(frame(DATA, 0, number, part))
        self.send(frame(DATA, END_STREAM, number, parts[-1]))
        return number

    def read(self) -> bool:
        """What has come; false once the connection has ended."""
        try:
            while octets := self.stream.socket.recv(1 << 16):
                self.received += octets
                self._take()
        except ssl.SSLWantReadError:
            return True
        except (ConnectionError, ssl.SSLError):
            pass
        return False

    def _take(self) -> None:
        while len(self.received) >= 9 and len(self.received) >= 9 + int.from_bytes(self.received[:3]):
            size, kind, flags = int.from_bytes(self.received[:3]), self.received[3], self.received[4]
            number, payload = int.from_bytes(self.received[5:9]), self.received[9 : 9 + size]
            self.received = self.received[9 + size :]
            if kind == HEADERS:
                self.answers[number] = (STATUS.get(payload[0], 0), b"")
            elif kind == DATA:
                status, body = self.answers[number]
                self.answers[number] = (status, body + payload)
                self.reply(frame(WINDOW_UPDATE, 0, 0, max(size, 1).to_bytes(4)))
            elif kind == SETTINGS and not flags & ACK:
                self.reply(frame(SETTINGS, ACK, 0))
            elif kind == GOAWAY:
                self.goaway = int.from_bytes(payload[4:8])
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                self.ended.append(number)

    def reply(self, octets: bytes) -> None:
        """To what came last from one who may be gone by now."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self.stream.socket.send(octets)

    def until(self, happened: Callable[[], Any]) -> Any:
        def read() -> Any:
            self.read()
            return happened()

        return self.stream.rig.until(read)

    def answer(self, number: int) -> tuple[int, bytes]:
        self.until(lambda: number in self.ended)
        return self.answers[number]

    def has_ended(self) -> bool:
        return bool(self.stream.rig.until(lambda: not self.read()))


def connected(r: Rig, files: Files, settings: bytes = b"", **more: Any) -> Client:
    context = ssl.create_default_context(cafile=str(files.root))
    context.set_alpn_protocols(["h2"])
    stream = r.connect("https", **more)
    assert stream.secure(context, NAME).selected_alpn_protocol() == "h2"
    client = Client(stream)
    client.send(PREFACE + frame(SETTINGS, 0, 0, settings))
    return client


def works(r: Rig, files: Files) -> bool:
    """Another client is served."""
    client = connected(r, files)
    return client.answer(client.get(query(HEALTH)))[0] == 200


def test_get_and_post_are_answered_at_once_and_later_and_in_whatever_order(files: Files) -> None:
    with serving(files) as (r, upstream):
        client = connected(r, files)
        later = client.get(query("one.example"))
        first, second = query(HEALTH), query(HEALTH)
        got, posted = client.get(first), client.post(bytes(second.pack()), cut=5)
        for number, asked in ((got, first), (posted, second)):
            status, body = client.answer(number)
            assert (status, DNSRecord.parse(body).header.id) == (200, asked.header.id)
        assert later not in client.answers
        question, source = r.until(lambda: (found := upstream.waiting()) and found[0])
        upstream.say(answer(question), source)
        status, body = client.answer(later)
        assert (status, str(DNSRecord.parse(body).rr[0].rdata)) == (200, "198.51.100.7")
        assert client.stream.rig.plane.streams == 1


def test_many_requests_on_one_connection(files: Files) -> None:
    with serving(files) as (r, upstream):
        client = connected(r, files)
        for turn in range(5):
            asked = {client.get(query(f"{turn}.{n}.example")): n for n in range(30)}
            asked |= {client.post(bytes(query(HEALTH).pack())): -1 for _ in range(30)}
            found: list[Any] = []

            def all_asked(found: list[Any] = found) -> bool:
                found.extend(upstream.waiting())
                return len(found) == 30

            client.until(all_asked)
            for question, source in found:
                upstream.say(answer(question), source)
            for number, n in asked.items():
                status, body = client.answer(number)
                assert status == 200
                assert str(DNSRecord.parse(body).q.qname) == (f"{turn}.{n}.example." if n >= 0 else HEALTH + ".")


def test_who_pads_gets_padding_and_no_time_of_a_connection(files: Files) -> None:
    with serving(files) as (r, _):
        client = connected(r, files)
        asked = query(HEALTH)
        asked.add_ar(EDNS0(udp_len=1232, opts=[EDNSOption(12, bytes(4)), EDNSOption(11, b"")]))
        _, body = client.answer(client.get(asked))
        assert len(body) % 468 == 0
        assert [option.code for option in DNSRecord.parse(body).ar[0].rdata] == [12]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (block("GET", "/"), 404),
        (block("GET", PATH + "/"), 404),
        (block("GET", PATH), 400),
        (block("GET", PATH + "?dns="), 400),
        (block("GET", PATH + "?dns=%%"), 400),
        (block("GET", PATH + "?dns=AAAA=="), 400),
        (block("GET", PATH + "?dns=AAAA"), 400),
        (block("GET", PATH + "?name=example.com"), 400),
        (block("GET", PATH + "?dns=" + base64.urlsafe_b64encode(b"\0\1\x80" + bytes(9)).decode()), 400),
    ],
)
def test_a_request_that_is_none_is_refused_and_the_connection_goes_on(files: Files, head: bytes, status: int) -> None:
    with serving(files) as (r, _):
        client = connected(r, files)
        assert client.answer(client.ask(head)) == (status, b"")
        assert client.answer(client.get(query(HEALTH)))[0] == 200
        assert r.count("queries_https") == 1


def test_a_body_beyond_the_longest_message_is_refused_however_it_comes(files: Files) -> None:
    with serving(files) as (r, _):
        client = connected(r, files)
        whole = bytes(query(HEALTH).pack())
        assert client.answer(client.post(whole + bytes(65_535 - len(whole))))[0] == 200
        number = client.post(bytes(65_536))
        assert client.answer(number) == (0, b""), "413, which the static table has not"
        assert client.answer(client.post(b""))[0] == 400
        assert client.answer(client.get(query(HEALTH)))[0] == 200


def floods() -> dict[str, Callable[[Client], None]]:
    def headers(client: Client) -> None:
        client.ask(block("GET", PATH, more="x" * 15_000)[:16_000])
        for _ in range(20):
            client.ask(b"".join(literal(f"x-{n}", "y" * 3000) for n in range(5)))

    def continuations(client: Client) -> None:
        client.send(frame(HEADERS, END_STREAM, 1, block("GET", PATH)))
        for _ in range(500):
            client.send(frame(CONTINUATION, 0, 1, literal("x", "y" * 8000)))

    def empty_continuations(client: Client) -> None:
        client.send(frame(HEADERS, END_STREAM, 1, block("GET", PATH)))
        for _ in range(20_000):
            client.send(frame(CONTINUATION, 0, 1))

    def empty_data(client: Client) -> None:
        client.send(frame(HEADERS, END_HEADERS, 1, block("POST", PATH, content_type="application/dns-message")))
        for _ in range(200):
            client.send(frame(DATA, 0, 1) * 500)

    def garbage(client: Client) -> None:
        client.send(secrets.token_bytes(5000))

    return {one.__name__: one for one in (headers, continuations, empty_continuations, empty_data, garbage)}


@pytest.mark.parametrize("flood", floods().values(), ids=floods().keys())
def test_a_flood_ends_its_connection_alone(files: Files, flood: Callable[[Client], None]) -> None:
    with serving(files, idle_ms=1000) as (r, _):
        client = connected(r, files)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            flood(client)
        assert client.has_ended()
        assert works(r, files)


def test_requests_that_are_reset_by_the_thousand_cost_no_more_than_questions(files: Files) -> None:
    with serving(files) as (r, _):
        client = connected(r, files)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            for _ in range(200):
                burst = b""
                for _ in range(50):
                    burst += frame(HEADERS, END_HEADERS | END_STREAM, client.number, block("GET", PATH + "?dns=AAAA"))
                    burst += frame(RESET, 0, client.number, CALM.to_bytes(4))
                    client.number += 2
                client.send(burst)
        assert client.has_ended()
        assert client.goaway == CALM
        assert works(r, files)


def test_a_client_that_opens_no_window_is_not_waited_for(files: Files) -> None:
    with serving(files, idle_ms=500) as (r, _):
        client = connected(r, files, settings=b"\0\4" + bytes(4))  # SETTINGS_INITIAL_WINDOW_SIZE: 0
        number = client.get(query(HEALTH))
        client.until(lambda: number in client.answers)
        assert client.answers[number] == (200, b"")
        assert client.has_ended()
        assert r.plane.streams == 0


def test_http_of_before_is_refused_in_its_own_words(files: Files) -> None:
    with serving(files) as (r, _):
        context = ssl.create_default_context(cafile=str(files.root))
        context.set_alpn_protocols(["http/1.1"])
        stream = r.connect("https")
        stream.secure(context, NAME)
        stream.socket.send(b"POST /dns-query HTTP/1.1\r\nhost: dns.isp.example\r\n\r\n")
        client = Client(stream)
        said = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            r.plane.pump()
            said = stream.socket.recv(4096)
        assert said.startswith(b"HTTP/1.1 505 ")
        assert client.has_ended()


def test_draining_says_goaway_and_answers_what_is_in_flight(files: Files) -> None:
    with serving(files) as (r, upstream):
        client = connected(r, files)
        number = client.get(query("one.example"))
        question, source = r.until(lambda: (found := upstream.waiting()) and found[0])
        r.plane.stop_listening()
        client.until(lambda: client.goaway is not None)
        upstream.say(answer(question), source)
        assert client.answer(number)[0] == 200
        assert client.has_ended()
        assert not r.plane.streams_busy


def test_who_is_not_served_hears_so(files: Files) -> None:
    upstream = Upstream()
    with rig(upstream, https_path=PATH, allow_clients=["192.0.2.0/24"], streams=STREAM_LIMITS) as r:
        r.plane.set_identity(files.certificate.read_bytes(), files.key.read_bytes())
        client = connected(r, files)
        assert client.answer(client.get(query("example.com"))) == (0, b""), "403, which the static table has not"
        assert r.count("dropped_client") == 1
