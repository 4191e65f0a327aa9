"""Where a log is read from, when the host does not mean well."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from resolver.log.errors import AuditError, MissingError
from resolver.log.source import Folder, Web
from tests.rigs.command_line import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def host(answer: bytes, *, drips: bytes = b"") -> Iterator[str]:
    """Says `answer` to every caller, then `drips` again and again until it is over."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(peer: socket.socket) -> None:
        with peer:
            try:
                peer.recv(1 << 16)
                peer.sendall(answer)
                while drips and not over.wait(0.02):
                    peer.sendall(drips)
            except OSError:
                return  # the reader has gone

    def serve() -> None:
        while not over.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(peer,)).start()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/log"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


SLOW = [
    (b"", b"H"),
    (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"a"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
]


@pytest.mark.parametrize(("answer", "drips"), SLOW)
def test_a_host_that_drips_octets_meets_the_one_deadline(answer: bytes, drips: bytes) -> None:
    with host(answer, drips=drips) as address, pytest.raises(AuditError, match="cannot be read"):
        Web(address, within=1).fetch("checkpoint", 1 << 20)


@pytest.mark.parametrize("command", ["verify", "show", "export"])
def test_no_command_hangs_on_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("resolver.log.source.TIMEOUT", 1.0)
    more = [tmp_path / "copy", "--log"] if command == "export" else []
    with host(*SLOW[2][:1], drips=SLOW[2][1]) as address:
        status, _, err = run(capsys, "audit", command, *more, address)
    assert status == 2
    assert "not done within" in err


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_a_host_does_not_have_is_missing(status: int) -> None:
    with host(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status) as address, pytest.raises(MissingError):
        Web(address).fetch("details/000.jsonl", 100)


def test_a_status_line_reaches_nobody_s_terminal_as_it_is() -> None:
    with (
        host(b"\x1b[2J\x1b]0;owned\x07 200 OK" + b"x" * 60_000 + b"\r\n\r\n") as address,
        pytest.raises(AuditError) as wrong,
    ):
        Web(address).fetch("checkpoint", 100)
    assert "\x1b" not in str(wrong.value)
    assert len(str(wrong.value)) < 1100


def test_what_is_longer_than_its_limit_is_not_read_to_its_end() -> None:
    with (
        host(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n" + b"a" * 1000) as address,
        pytest.raises(AuditError, match="longer than 100 bytes"),
    ):
        Web(address).fetch("checkpoint", 100)


def test_a_pipe_in_a_copy_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "checkpoint")
    with pytest.raises(MissingError, match="no regular file"):
        Folder(tmp_path).fetch("checkpoint", 100)
