"""`stopsign audit witness`, on the wire: aiohttp around `Memory`, which decides and stores.

Enters: requests. Leaves: what the specification says (c2sp.org/tlog-witness): `POST add-checkpoint`, and for those who
monitor, `GET <sha256 of the origin>/checkpoint`. Rules: nothing is kept or said about who asked; head and body have a
time limit and a size; where the state cannot be stored the answer is 500 and holds no cosignature.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from typing import TYPE_CHECKING

from aiohttp import web

from resolver.log.errors import AuditError, MalformedError
from resolver.log.witness_http import MAX_REQUEST, PATH, TEXT, parse_request
from resolver.portal.web import QuietServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.log.witness_store import Memory

BODY_SECONDS = 20.0
_CHECKPOINT = re.compile(r"/([0-9a-f]{64})/checkpoint").fullmatch


async def serve(
    memory: Memory,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    ready: Callable[[int], None],
    tell: Callable[[str], None],
) -> None:
    """Answers until `stop`; `ready` gets the port, `tell` a sentence for each thing that went wrong."""
    witness = Witness(memory, tell)
    runner = web.ServerRunner(
        QuietServer(witness.answer, lambda: tell("a request could not be answered")), shutdown_timeout=5.0
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as wrong:
            raise AuditError(f"{host}, port {port}: {wrong.strerror}") from wrong
        ready(runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()


class Witness:
    """Requests in, answers out."""

    def __init__(self, memory: Memory, tell: Callable[[str], None]) -> None:
        self._memory, self._tell = memory, tell

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if found := _CHECKPOINT(request.path):
                return await self._checkpoint(found[1])
            if request.path != f"/{PATH}":
                return _text(404, "there is no such file here\n")
            if request.method != "POST":
                return _text(405, "add-checkpoint is a POST\n", headers={"Allow": "POST"})
            return await self._add(request)
        except sqlite3.Error as wrong:
            self._tell(f"the state cannot be read or stored, nothing was cosigned: {wrong}")
            return _text(500, "what was seen cannot be stored now\n")

    async def _add(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await _body(request)
            told = await asyncio.to_thread(self._memory.answer, parse_request(body))
        except (MalformedError, TimeoutError) as wrong:
            refused = _text(400, f"{wrong or 'the request did not come in time'}\n")
            refused.force_close()
            return refused
        if told.status != 200 and told.note:
            self._tell(f"a signed checkpoint contradicts what was seen, and is kept: {told.note.decode()!r}")
        return _text(told.status, told.body, kind=told.kind)

    async def _checkpoint(self, folder: str) -> web.Response:
        note = await asyncio.to_thread(self._memory.checkpoint, folder)
        return _text(404, "nothing was cosigned under this name\n") if note is None else _text(200, note.decode())


async def _body(request: web.BaseRequest) -> bytes:
    body = b""
    async with asyncio.timeout(BODY_SECONDS):
        while len(body) <= MAX_REQUEST and (chunk := await request.content.read(MAX_REQUEST + 1 - len(body))):
            body += chunk
    return body


def _text(status: int, body: str, *, kind: str = TEXT, headers: dict[str, str] | None = None) -> web.Response:
    said = {"Content-Type": kind, "Server": "stopsign", "Cache-Control": "no-store", **(headers or {})}
    return web.Response(status=status, body=body.encode(), headers=said)
