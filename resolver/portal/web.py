"""aiohttp, made quiet: a request in, an answer out, and nothing said or kept about who asked.

Enters: a request to the portal. Leaves: an `Ask`, the frozen value that handlers see, and from their `Answer` the
response. Rules: no access log; aiohttp's own complaints, which would name the client's address and quote what it sent,
are replaced by a count and a fixed text; only GET, HEAD and POST; a form is bounded before it is read; every answer
carries the headers that keep a page harmless.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

MAX_BODY = 160 * 1024  # 8,000 characters of four octets, percent-encoded, are 96,000
MAX_FIELDS = 20
HEAD_SECONDS = 20.0
FORM_SECONDS = 20.0

_silent = logging.getLogger("stopsign.portal.http")
_silent.disabled = True


@dataclass(frozen=True)
class Ask:
    """What a handler sees of a request. `household` is for the buckets in memory, and for nothing else."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    accept: str = ""
    accept_language: str = ""
    same_origin: bool = True
    address: str = field(default="", repr=False)


@dataclass(frozen=True)
class Answer:
    """What a handler says."""

    status: int
    body: bytes
    kind: str = "text/html; charset=utf-8"
    language: str = ""
    policy: str = "default-src 'none'; frame-ancestors 'none'"
    # A page with a form sends its origin along (same-origin); under no-referrer a browser would send `Origin: null`.
    referrer: str = "no-referrer"
    cache: str = "no-store"
    location: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


class UnreadableError(Exception):
    """A body that is no form of ours; carries the status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class QuietServer(web.Server):
    """aiohttp's server with handlers that never complain aloud."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], failed: Callable[[], None]
    ) -> None:
        super().__init__(handler)
        self._failed = failed

    def __call__(self) -> RequestHandler:
        return QuietHandler(self, self._failed)


class QuietHandler(RequestHandler):
    __slots__ = ("_failed", "_patience")

    def __init__(self, manager: QuietServer, failed: Callable[[], None]) -> None:
        super().__init__(
            manager, loop=asyncio.get_running_loop(), keepalive_timeout=30.0, access_log=None,  # type: ignore[arg-type]
            logger=_silent, lingering_time=2.0, max_headers=100,
        )  # fmt: skip
        self._failed = failed
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # aiohttp waits for ever for the head of the first request; between requests it has a limit of its own.
        self._patience = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._lapsed)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _lapsed(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        if status >= 500:
            self._failed()
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        response = respond(Answer(status, b"This request cannot be answered.\n", "text/plain; charset=utf-8"))
        response.force_close()
        return response


def respond(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body, headers={
        "Content-Type": answer.kind,
        "Cache-Control": answer.cache,
        "Content-Security-Policy": answer.policy,
        "Referrer-Policy": answer.referrer,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": "Accept, Accept-Language",
        "Server": "stopsign",
        **answer.more,
    })  # fmt: skip
    if answer.language:
        response.headers["Content-Language"] = answer.language
    if answer.location:
        response.headers["Location"] = answer.location
    return response


async def ask_of(
    request: web.BaseRequest,
    origin: str,
    address: Callable[[str, Sequence[str]], str],
) -> Ask:
    """The request as a value. Raises UnreadableError for a body that is no form."""
    return Ask(
        method=request.method,
        path=request.path,
        query=first_of(request.query_string),
        fields=await _form(request) if request.method == "POST" else {},
        accept=request.headers.get("Accept", ""),
        accept_language=request.headers.get("Accept-Language", ""),
        same_origin=from_here(request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site"), origin),
        address=address(request.remote or "", request.headers.getall("X-Forwarded-For", [])),
    )


async def _form(request: web.BaseRequest) -> Mapping[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise UnreadableError(415)
    if (request.content_length or 0) > MAX_BODY:
        raise UnreadableError(413)
    body = b""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            while chunk := await request.content.read(MAX_BODY + 1 - len(body)):
                body += chunk
                if len(body) > MAX_BODY:
                    raise UnreadableError(413)
    except TimeoutError:
        raise UnreadableError(408) from None
    return first_of(body.decode("ascii", "replace"))


def first_of(encoded: str) -> dict[str, str]:
    """Fields by name; of one that is given twice the first counts; more fields than any form of ours has: none."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError:
        return {}
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def from_here(origin: str | None, fetch_site: str | None, own: str) -> bool:
    """Whether a form was sent from this site; a client that says neither (no browser of today) is believed."""
    if fetch_site is not None and fetch_site not in ("same-origin", "none"):
        return False
    return origin is None or origin == own
