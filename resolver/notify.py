"""sd_notify(3): what a service says to systemd. Without systemd every word is spoken into the void."""

from __future__ import annotations

import asyncio
import os
import socket


def notify(*words: str) -> None:
    """Sends `READY=1`, `STOPPING=1`, `STATUS=…`, `WATCHDOG=1` to the socket in NOTIFY_SOCKET, if there is one."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto("\n".join(words).encode(), f"\0{path[1:]}" if path.startswith("@") else path)


def watchdog_interval() -> float | None:
    """Seconds after which systemd wants to hear `WATCHDOG=1` (half of its patience), None where it does not ask."""
    microseconds = os.environ.get("WATCHDOG_USEC")
    return int(microseconds) / 2e6 if microseconds and microseconds.isdigit() else None


async def pat_watchdog() -> None:
    """Tells systemd for as long as the loop turns that it does; returns at once where systemd does not ask."""
    interval = watchdog_interval()
    while interval is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)
