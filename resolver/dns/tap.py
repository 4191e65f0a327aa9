"""dnstap: blocked answers over Frame Streams, to a recorder on this host.

Enters: frames of the core (`Plane.take_tap`). Leaves: the same on a unix socket that a recorder (`fstrm_capture`,
`dnstap`, a SIEM's agent) listens on. Rules:
- Nothing here waits: what the recorder does not take stays in the core's bounded buffer, and what finds no room there
  is dropped and counted (`stopsign_tap_dropped_total`). No recorder: another attempt every few seconds.
- The handshake is the bidirectional one of Frame Streams (READY, ACCEPT, START, at the end STOP); any other answer ends
  the connection.
- The core leaves client addresses out unless the configuration says otherwise; then the log says so at each start.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resolver.config.schema_dns import Dnstap

CONTENT_TYPE = b"protobuf:dnstap.Dnstap"
ACCEPT, START, STOP, READY = 1, 2, 3, 4  # control frames (Frame Streams, fstrm/control.h)
AGAIN = 3.0  # seconds until another attempt
LONGEST_CONTROL = 512

log = logging.getLogger("stopsign.dnstap")


def control(kind: int) -> bytes:
    """A control frame: an escape of four zero octets, its length, its kind, and the content type as its one field."""
    body = kind.to_bytes(4)
    if kind != STOP:
        body += (1).to_bytes(4) + len(CONTENT_TYPE).to_bytes(4) + CONTENT_TYPE
    return bytes(4) + len(body).to_bytes(4) + body


def announce(settings: Dnstap) -> None:
    """Says in the log what is sent where."""
    if settings.client_addresses:
        log.error(
            "CLIENT ADDRESSES LEAVE THIS PROCESS: every blocked answer is sent to %s together with the subscriber who"
            " asked, because dns.dnstap.client_addresses is true",
            settings.socket,
        )
    else:
        log.info("blocked answers are sent to %s, without who asked", settings.socket)


class Tap:
    """One worker's stream. `take` is the core's; `pass_on` is called by the worker's timer."""

    def __init__(self, path: Path, take: Callable[[], bytes]) -> None:
        self._path, self._take = path, take
        self._stream: _Stream | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._next = 0.0
        self._failing = False

    def pass_on(self) -> None:
        """Send waiting frames if the recorder takes them; without a recorder try to connect."""
        stream = self._stream
        if stream is not None and not stream.ended:
            if stream.takes and (frames := self._take()):
                stream.write(frames)
            return
        now = asyncio.get_running_loop().time()
        if now >= self._next and (self._attempt is None or self._attempt.done()):
            self._next = now + AGAIN
            self._attempt = asyncio.create_task(self._connect())

    def close(self) -> None:
        """The last frames, and the end of the stream."""
        self.pass_on()
        if self._attempt is not None:
            self._attempt.cancel()
        if self._stream is not None:
            self._stream.finish()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(AGAIN):
                _, self._stream = await asyncio.get_running_loop().create_unix_connection(
                    lambda: _Stream(self.pass_on), str(self._path)
                )
        except OSError as wrong:
            if not self._failing:
                log.warning("nobody records blocked answers at %s (%s)", self._path, wrong.strerror or "no answer")
            self._failing = True
        else:
            self._failing = False


class _Stream(asyncio.Protocol):
    """A connection to a recorder."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self.ended = False
        self._accepted = self._paused = False
        self._ready = ready
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    @property
    def takes(self) -> bool:
        """The recorder has accepted the stream, and the last write has left."""
        return self._accepted and not self._paused and not self.ended

    def write(self, frames: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frames)

    def finish(self) -> None:
        if self._transport is not None and not self.ended:
            if self._accepted:
                self._transport.write(control(STOP))
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.set_write_buffer_limits(high=0)  # one hand-over at a time: the rest waits in the core
        self._transport.write(control(READY))

    def data_received(self, data: bytes) -> None:
        """ACCEPT, with our content type among its fields; FINISH follows STOP."""
        self._received += data
        if self._accepted or len(self._received) < 12:
            return
        length = int.from_bytes(self._received[4:8])
        if self._received[:4] != bytes(4) or not 4 <= length <= LONGEST_CONTROL:
            self._refuse()
        elif len(self._received) >= 8 + length:
            frame = bytes(self._received[8 : 8 + length])
            if int.from_bytes(frame[:4]) != ACCEPT or CONTENT_TYPE not in frame:
                self._refuse()
                return
            self._accepted = True
            self.write(control(START))
            self._ready()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._ready()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own signature
        self.ended = True

    def _refuse(self) -> None:
        log.warning("what listens there does not take %s", CONTENT_TYPE.decode())
        if self._transport is not None:
            self._transport.abort()
