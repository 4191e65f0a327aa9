"""What the workers of one host share: the secrets of TLS, of QUIC and of their sketches, in memory alone.

Enters: the kernel's randomness, or what this supervisor held before it executed itself again. Leaves: a pipe with them
for each worker that starts; the worker reads it once and closes it. An environment could be read by programs that a
process starts, and a file by a backup. A pipe has room on a full disk too.

Rules:
- The secret of session tickets lasts `ROTATION`. The next one is derived from it, one way: supervisor and workers go on
  to it by themselves, and cannot go back. So a ticket is resumed at any worker, and old tickets are nobody's.
- Periods are counted from the machine's start (CLOCK_BOOTTIME), so a clock that is set moves none.
- What is held and handed over is the secret of the period before: a worker that starts now opens its tickets too.
- The secret of QUIC stays for as long as this supervisor: connection ids and resets outlive a period. So does the
  key of the sketches of clients: those under different keys cannot be joined.
- What a program of another version left is not read: everything is drawn again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import struct
import time
from typing import NamedTuple

from resolver._core import later_secret

SECRETS = "secrets"
"""The use of the descriptor, among the sockets that a worker inherits."""
ROTATION = 6 * 3600  # seconds
LOOK = 60.0
_FORM = struct.Struct("<32sII32s16s")


class Shared(NamedTuple):
    """The first four are what `Plane.share` takes."""

    tickets: bytes
    period: int
    rotation: int
    quic: bytes
    sketches: bytes


def period_before() -> int:
    """In the first period after the machine's start there is none; the first one itself is taken then."""
    return max(int(time.clock_gettime(time.CLOCK_BOOTTIME)) // ROTATION - 1, 0)


class SharedSecrets:
    """`left`: a descriptor of `handed`, which is closed."""

    def __init__(self, left: int | None = None) -> None:
        self._tickets, self._period = secrets.token_bytes(32), period_before()
        self._quic, self._sketches = secrets.token_bytes(32), secrets.token_bytes(16)
        if left is not None:
            with contextlib.suppress(struct.error):
                self._tickets, self._period, _, self._quic, self._sketches = taken(left)

    def now(self) -> Shared:
        """For a worker that starts now."""
        self._go_on()
        return Shared(self._tickets, self._period, ROTATION, self._quic, self._sketches)

    def handed(self) -> int:
        """A new descriptor that holds them; for the caller to close."""
        reads, writes = os.pipe2(os.O_CLOEXEC)
        try:
            os.write(writes, _FORM.pack(*self.now()))
        finally:
            os.close(writes)
        return reads

    async def forget_old(self) -> None:
        """As long as this process runs."""
        while True:
            self._go_on()
            await asyncio.sleep(LOOK)

    def _go_on(self) -> None:
        before = period_before()
        if before > self._period:
            self._tickets = later_secret(self._tickets, before - self._period)
            self._period = before


def taken(fd: int) -> Shared:
    """What `handed` put into that descriptor, which is closed. Raises `struct.error` where it is of another form."""
    try:
        return Shared(*_FORM.unpack(os.read(fd, _FORM.size + 1)))
    finally:
        os.close(fd)
