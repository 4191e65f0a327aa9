"""What is said to systemd and heard by nobody."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from resolver.host.systemd import notify

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_word_that_nobody_hears_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heart that ended with it would end the whole service; so would the way down, before its children are told."""
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    notify("STOPPING=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        notify("READY=1", "STATUS=serving")
        assert systemd.recv(100) == b"READY=1\nSTATUS=serving"
    notify("WATCHDOG=1")
