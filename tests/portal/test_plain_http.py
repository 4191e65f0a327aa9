"""HTTP for the stop page, byte by byte: what is read of a request, what is left unread, and how a connection ends."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from resolver.portal import plain_http
from resolver.portal.plain_http import MAX_HEAD, BadRequestError, Head, PlainHttp, Reply, read_head
from tests.rigs.dns_host import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OK = Reply(b"HTTP/1.1 451 Blocked\r\nContent-Length: 2\r\n", b"ok")


class Site:
    """A stop page that says "ok" and remembers whom it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Head] = []
        self.failures = 0

    def answer(self, head: Head, client: str) -> Reply:
        assert client in ("127.0.0.1", "::1")
        self.asked.append(head)
        if head.host == b"raise.example":
            raise RuntimeError("a page that cannot be made")
        return OK

    def failed(self) -> None:
        self.failures += 1

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[str, int]]:
        plain = PlainHttp(self.answer, self.failed)
        server = await asyncio.get_running_loop().create_server(plain.protocol, "127.0.0.1", 0)
        try:
            host, port = server.sockets[0].getsockname()[:2]
            yield str(host), int(port)
        finally:
            plain.close()
            server.close()

    def say(self, *parts: bytes, until_end: bool = True) -> bytes:
        """What comes back for these bytes, sent one after the other."""

        async def run() -> bytes:
            async with self.open() as address:
                reader, writer = await asyncio.open_connection(*address)
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                try:
                    async with asyncio.timeout(PATIENCE):
                        return await reader.read() if until_end else await reader.readuntil(b"ok")
                finally:
                    writer.close()

        return asyncio.run(run())


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "POST /x HTTP/1.1", "PUT / HTTP/1.1", "OPTIONS * HTTP/1.1",
                                          "DELETE /?a=b HTTP/1.1", "PROPFIND / HTTP/1.1", "X-ODD~1 / HTTP/1.1",
                                          "CONNECT example.com:443 HTTP/1.1"])  # fmt: skip
def test_every_method_gets_the_page(request_line: str) -> None:
    site = Site()
    reply = site.say(f"{request_line}\r\nHost: example.com\r\nConnection: close\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 451")
    assert reply.endswith(b"\r\n\r\nok")
    assert site.asked[0].host == b"example.com"


def test_head_gets_the_headers_alone() -> None:
    reply = Site().say(b"HEAD / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 2\r\n" in reply
    assert reply.endswith(b"\r\n\r\n")


def test_every_answer_has_a_date_and_says_what_becomes_of_the_connection() -> None:
    reply = Site().say(b"GET / HTTP/1.0\r\n\r\n")
    assert b"\r\nDate: " in reply
    assert b"GMT\r\nConnection: close\r\n\r\n" in reply


@pytest.mark.parametrize(("request_", "kept"), [
    (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", True),
    (b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Close\r\n\r\n", False),
    (b"GET / HTTP/1.0\r\n\r\n", False), (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
    (b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\n", False),
    (b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", True),
    (b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", False),
    (b"PUT / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n\r\n", False),
    (b"GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", False),
])  # fmt: skip
def test_a_connection_is_kept_where_nothing_is_left_unread_in_it(request_: bytes, kept: bool) -> None:
    reply = Site().say(request_, until_end=False)
    assert (b"Connection: keep-alive" in reply) is kept


def test_requests_in_a_pipeline_are_answered_in_order() -> None:
    site = Site()
    many = b"".join(b"GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n" % n for n in range(50))
    reply = site.say(many, b"GET /last HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n")
    assert reply.count(b"HTTP/1.1 451") == 51
    assert [head.target for head in site.asked][-2:] == [b"/49", b"/last"]


def test_a_request_may_come_one_byte_at_a_time() -> None:
    site = Site()
    request = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
    assert site.say(*(request[at : at + 1] for at in range(len(request)))).endswith(b"ok")


def test_a_body_is_never_read() -> None:
    site = Site()
    body = b"password=secret&HTTP/1.1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    reply = site.say(b"POST /login HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    assert reply.count(b"HTTP/1.1") == 1
    assert [head.target for head in site.asked] == [b"/login"]


def test_an_endless_body_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_http, "MAX_UNREAD", 10_000)

    async def run() -> None:
        async with Site().open() as address:
            _, writer = await asyncio.open_connection(*address)
            writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                while True:
                    writer.write(b"x" * 5000)
                    await writer.drain()
                    await asyncio.sleep(0)

    with pytest.raises(ConnectionError):
        asyncio.run(run())


@pytest.mark.parametrize("request_", [
    b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
    b"G\xc3\xa4T / HTTP/1.1\r\nHost: a\r\n\r\n", b": / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
])  # fmt: skip
def test_what_is_no_request_is_answered_with_400_and_ended(request_: bytes) -> None:
    site = Site()
    reply = site.say(request_)
    assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Connection: close" in reply
    assert site.asked == []
    assert site.failures == 0


def test_a_head_that_is_too_large_is_answered_with_431() -> None:
    assert Site().say(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MAX_HEAD).startswith(b"HTTP/1.1 431 ")
    assert Site().say(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_a_page_that_fails_costs_one_visitor_a_page_and_is_counted() -> None:
    site = Site()
    reply = site.say(b"GET / HTTP/1.1\r\nHost: raise.example\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 500 ")
    assert b"raise" not in reply
    assert site.failures == 1


def test_who_dawdles_is_cut_and_then_no_timer_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_http, "IDLE_SECONDS", -1.0)

    async def run() -> None:
        plain = PlainHttp(Site().answer, lambda: None)
        server = await asyncio.get_running_loop().create_server(plain.protocol, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"GET / HT")
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                assert await reader.read() == b""
        assert not plain.open
        writer.close()
        server.close()

    asyncio.run(run())


def test_above_the_bound_the_connection_that_was_idle_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_http, "MAX_CONNECTIONS", 3)

    async def run() -> None:
        async with Site().open() as address:
            first, *others = [await asyncio.open_connection(*address) for _ in range(4)]
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(PATIENCE):
                    assert await first[0].read() == b""
            others[-1][1].write(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
            assert (await others[-1][0].read()).endswith(b"ok")
            for _, writer in (first, *others):
                writer.close()

    asyncio.run(run())


@pytest.mark.parametrize(("target", "host"), [
    (b"http://b.example/x", b"b.example"), (b"HTTPS://b.example:443", b"b.example:443"),
    (b"/http://b.example/", b"a.example"),
    (b"*", b"a.example"), (b"//b.example/", b"a.example"),
])  # fmt: skip
def test_a_target_in_absolute_form_names_the_host(target: bytes, host: bytes) -> None:
    """RFC 9112, 3.2.2"""
    assert read_head(b"GET " + target + b" HTTP/1.1\r\nHost: a.example").host == host


def test_headers_are_joined_and_read_whatever_their_case() -> None:
    head = read_head(b"GET / HTTP/1.1\r\nhOsT:  a.example \r\nACCEPT: a/b\r\naccept: c/d\r\nCookie: secret=1")
    assert (head.host, head.accept) == (b"a.example", "a/b,c/d")
    assert "secret" not in repr(head)


def test_http_1_0_needs_no_host() -> None:
    assert read_head(b"GET / HTTP/1.0").host == b""
    with pytest.raises(BadRequestError):
        read_head(b"GET / HTTP/1.1")
