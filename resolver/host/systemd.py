"""What a service reports to systemd (sd_notify(3)) and to the supervisor (a heartbeat in memory).

Without either, every call does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time

from resolver.host.sockets import handed_over

HEARTBEAT = "heartbeat"
"""An inherited descriptor, for CLOCK_MONOTONIC in ms (u64, little endian)."""
NOT_YET = bytes(8)
"""What the supervisor reads there while a process starts or re-executes."""
_BEAT = 1.0  # seconds


def notify(*words: str) -> None:
    """Sends `READY=1`, `STOPPING=1`, `STATUS=…`, `WATCHDOG=1` to the socket in NOTIFY_SOCKET, if there is one. A
    failure is ignored: a supervisor acts when the message is missing."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.sendto("\n".join(words).encode(), f"\0{path[1:]}" if path.startswith("@") else path)


def watchdog_interval() -> float | None:
    """Seconds between two `WATCHDOG=1` (half of systemd's timeout); None: it wants none."""
    microseconds = os.environ.get("WATCHDOG_USEC")
    return int(microseconds) / 2e6 if microseconds and microseconds.isdigit() else None


async def beat() -> None:
    """Says for as long as the loop turns that it does, as often as who watches wants to hear it; returns at once where
    nobody does."""
    hearts = handed_over(os.environ).get(HEARTBEAT, [])
    interval = _BEAT if hearts else watchdog_interval()
    while interval is not None:
        notify("WATCHDOG=1")
        for heart in hearts:
            os.pwrite(heart, (time.monotonic_ns() // 1_000_000).to_bytes(8, "little"), 0)
        await asyncio.sleep(interval)
