"""Hostile Hosts, headers, forms and bodies against the running process: no 500, no reflection, no open redirect, and
nothing of a visitor in what is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rigs.hostile import MARK, check, check_markup
from tests.rigs.portal_world import REFERENCE
from tests.rigs.web_process import Running, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NASTY = [
    f"<script>{MARK}</script>", f'"><img src=x onerror={MARK}>', f"'{MARK}", f"{{{{7*7}}}}{MARK}", f"javascript:{MARK}",
    f"\r\nSet-Cookie: {MARK}=1",
    f"//{MARK}.example", f"https://{MARK}.example/",
    f"/\\{MARK}.example", f"../../{MARK}",
    f"%0d%0aLocation:%20http://{MARK}",
    f"\x00{MARK}", f"\u202e{MARK}", f"{MARK}" * 2000, "%s%n%(x)s" + MARK,
    f"{MARK}' OR 1=1 --",
    "\ud800" + MARK, f"{MARK}\u0130\u1e9e\u00df", "xn--" + MARK, "xn--a-ecp." + MARK + ".ru",
]  # fmt: skip
PATHS = ["/", "/appeal", "/receipt", "/receipt/" + "A" * 22, "/receipt/x", "/transparency", "/health",
         "/log/checkpoint", "/log/../../etc/passwd", "/log/tile/0/000", "/nothing", "/robots.txt"]  # fmt: skip

nasty = st.sampled_from(NASTY) | st.text(max_size=60).map(lambda text: text + MARK)
octets = st.binary(max_size=300)
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("hostile")) as process:
        yield process
        assert process.web._failures == 0, "a page failed"


def header(text: str) -> bytes:
    """As much of the text as fits in one header."""
    return re.sub(rb"[\r\n\x00]", b"", text.encode("utf-8", "surrogatepass"))[:4000]


@quick
@given(host=nasty, path=nasty, accept=nasty, language=nasty)
def test_the_stop_page_never_says_again_what_it_was_sent(
    web: Running, host: str, path: str, accept: str, language: str
) -> None:
    target = b"/" + re.sub(rb"[^!-~]", b"", header(path))
    for sent in (header(host), header(host)[:60] + b".example.com"):
        answer = web.ask(
            web.stop_page,
            b"GET %s HTTP/1.1\r\nHost: %s\r\nAccept: %s\r\nAccept-Language: %s\r\nCookie: %s\r\nReferer: %s\r\n"
            b"Connection: close\r\n\r\n" % (target, sent, header(accept), header(language), header(path), header(path)),
        )
        check(answer)
        assert MARK.encode() not in answer


@quick
@given(octets)
def test_the_stop_page_survives_any_octets(web: Running, sent: bytes) -> None:
    for tail in (b"", b"\r\n\r\n", b" HTTP/1.1\r\nHost: example.com\r\n\r\n"):
        answer = web.ask(web.stop_page, sent + tail, and_no_more=True)
        if answer:
            check(answer)


@quick
@given(path=st.sampled_from(PATHS), query=st.dictionaries(
    st.sampled_from(["name", "reference", "lang", "code", "new", "withdraw", "x"]), nasty, max_size=4,
))  # fmt: skip
def test_the_portal_shows_what_it_was_asked_as_text(web: Running, path: str, query: dict[str, str]) -> None:
    encoded = "&".join(f"{k}={quote_plus(v.encode('utf-8', 'surrogatepass'))}" for k, v in query.items())[:7000]
    request = f"GET {path}?{encoded} HTTP/1.1\r\nHost: stop.example\r\nConnection: close\r\n\r\n"
    answer = web.ask(web.portal, request.encode())
    check(answer)
    check_markup(answer)


@quick
@given(fields=st.dictionaries(
    st.sampled_from(["reference", "name", "role", "ground", "reason", "contact", "token", "lang", "website"]), nasty,
), path=st.sampled_from(["/appeal", "/receipt/" + "A" * 22, "/", "/transparency"]), origin=nasty)  # fmt: skip
def test_a_form_comes_back_as_text_and_leads_nowhere_else(
    web: Running, fields: dict[str, str], path: str, origin: str
) -> None:
    given_ = {"reference": REFERENCE, "reason": "good enough", **fields}
    body = urlencode({k: v.encode("utf-8", "surrogatepass") for k, v in given_.items()}).encode()
    for more in (b"", b"Origin: " + header(origin) + b"\r\n", b"Sec-Fetch-Site: cross-site\r\n"):
        answer = web.ask(
            web.portal,
            b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (path.encode(), more, len(body), body),
        )
        check(answer)
        check_markup(answer)


@quick
@given(octets, st.sampled_from([b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"a", b""]))
def test_the_portal_survives_any_octets(web: Running, sent: bytes, kind: bytes) -> None:
    head = b"POST /appeal HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    # aiohttp gives up a request whose sender ends the stream: what follows the octets ends the connection instead.
    for request in (
        sent + b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        head % (kind, len(sent)) + sent,
    ):
        check(web.ask(web.portal, request))


PLAIN = [
    (b"POST /appeal", b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 99999999\r\n", b"", 413),
    (b"POST /appeal", b"Content-Type: application/json\r\nContent-Length: 2\r\n", b"{}", 415),
    (b"POST /", b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n", b"", 405),
    (b"PUT /appeal", b"Content-Length: 0\r\n", b"", 405),
    (b"TRACE /", b"", b"", 405),
    (b"GET /%2e%2e/%2e%2e/etc/passwd", b"", b"", 404),
    (b"GET /log/..%2fstate", b"", b"", 404),
    (b"GET /log/../../etc/passwd", b"", b"", 404),
    (b"GET //evil.example", b"", b"", 404),
    (b"GET " + b"/" * 9000, b"", b"", 400),
    (b"HEAD /", b"", b"", 200),
    (b"GET /health", b"", b"", 200),
]


@pytest.mark.parametrize(("line", "headers", "body", "status"), PLAIN)
def test_the_portal_says_plainly_what_it_does_not_take(
    web: Running, line: bytes, headers: bytes, body: bytes, status: int
) -> None:
    request = b"%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n%s" % (line, headers, body)
    answer = web.ask(web.portal, request)
    check(answer)
    assert int(answer[9:12]) == status


def test_nothing_of_a_visitor_is_written_or_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    with running(folder) as web:
        visit = b"X-Forwarded-For: 203.0.113.77\r\nUser-Agent: odd-browser-1\r\nConnection: close\r\n\r\n"
        web.ask(web.stop_page, b"GET /secret-path HTTP/1.1\r\nHost: visited-label.example.com\r\n" + visit)
        web.ask(web.stop_page, b"GET / HTTP/1.1\r\nbroken\r\n" + visit)
        web.ask(web.portal, b"GET /?name=looked-up.example HTTP/1.1\r\nHost: x\r\n" + visit)
        web.ask(web.portal, b"GET \xff\xfe HTTP/9\r\nHost: broken-too\r\n" + visit)
        form = web.ask(web.portal, b"GET /appeal HTTP/1.1\r\nHost: x\r\n" + visit).decode()
        assert 'name="token"' in form
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    said = "".join(capfd.readouterr()).encode()
    for trace in (
        b"203.0.113.77",
        b"127.0.0.1",
        b"odd-browser",
        b"visited-label",
        b"secret-path",
        b"looked-up",
        b"broken",
    ):
        assert trace not in written + said, trace
