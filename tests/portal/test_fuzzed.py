"""Well-formed requests with bits flipped by zzuf, against the running process. Every finding can be repeated: the seeds
are fixed, and a failure names the octets."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from tests.conftest import find_program
from tests.rigs.hostile import MARK, check, check_markup
from tests.rigs.portal_world import REFERENCE
from tests.rigs.web_process import Running, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("zzuf")

SEEDS = 120
BROWSER = (
    f"Host: {MARK}.example.com\r\nUser-Agent: {MARK}\r\nAccept: text/html,*/*;q=0.8\r\nAccept-Language: de,en;q=0.5\r\n"
    f"Cookie: {MARK}=1\r\nReferer: http://{MARK}.example/\r\nConnection: close\r\n"
)
FORM = urlencode(
    {
        "reference": REFERENCE,
        "name": "example.com",
        "role": "owner",
        "ground": "lawful",
        "lang": "fr",
        "reason": f"<b>{MARK}</b> good enough",
        "contact": f"{MARK}@shop.example",
        "token": "A" * 54,
    }
)


def posted(path: str) -> str:
    return (
        f"POST {path} HTTP/1.1\r\n{BROWSER}Origin: https://stop.nordlicht.example\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(FORM)}\r\n\r\n{FORM}"
    )


REQUESTS = {
    "a page": f"GET /{MARK}?lang=ar HTTP/1.1\r\n{BROWSER}\r\n",
    "an absolute target": f"GET http://www.example.com/{MARK} HTTP/1.0\r\n{BROWSER}\r\n",
    "a look-up": f"GET /?name={MARK}.example.com&lang=pl HTTP/1.1\r\n{BROWSER}\r\n",
    "a receipt": f"GET /receipt/AAAAAAAAAAAAAAAAAAAAAA?new=1 HTTP/1.1\r\n{BROWSER}\r\n",
    "an appeal": posted("/appeal"),
    "a withdrawal": posted("/receipt/AAAAAAAAAAAAAAAAAAAAAA"),
}


THE_END = b"\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch, running(tmp_path_factory.mktemp("fuzzed")) as process:
        patch.setattr("resolver.portal.web.FORM_SECONDS", 1.0)  # a length that grew is waited for
        yield process
        assert process.web._failures == 0, "a page failed"


def flipped(request: bytes, folder: Path) -> Iterator[bytes]:
    """The request with 0.05% to 1% of its bits flipped, once for each seed; flipping changes no length."""
    program = find_program("zzuf")
    assert program
    path = folder / "request"
    path.write_bytes(request)
    command = [program, "--seed", f"0:{SEEDS}", "--ratio", "0.0005:0.01", "cat", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert len(done.stdout) == SEEDS * len(request)
    for at in range(0, len(done.stdout), len(request)):
        yield done.stdout[at : at + len(request)]


@pytest.mark.parametrize("kind", REQUESTS)
def test_flipped_bits_find_no_failure_no_echo_and_no_way_elsewhere(web: Running, tmp_path: Path, kind: str) -> None:
    answers = {web.stop_page: 0, web.portal: 0}
    for sent in flipped(REQUESTS[kind].encode(), tmp_path):
        for where in (web.stop_page, web.portal):
            # aiohttp gives up a request whose sender ends the stream: a last request ends the connection instead.
            answer = web.ask(where, sent + THE_END) if where == web.portal else web.ask(where, sent, and_no_more=True)
            answers[where] += bool(answer)
            if not answer:  # the head never ended
                continue
            try:
                check(answer)
                if where == web.stop_page:
                    assert MARK.encode() not in answer
                elif b"text/html" in answer.partition(b"\r\n\r\n")[0]:
                    check_markup(answer)
            except AssertionError as found:
                raise AssertionError(f"{found}: sent {sent!r}, got {answer[:2000]!r}") from found
    assert min(answers.values()) > SEEDS / 3, f"flipping leaves many of them a request: {answers}"
