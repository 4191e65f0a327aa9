"""The fetcher: octets within bounds and within one deadline, whatever the host does."""

from __future__ import annotations

import functools
import http.server
import os
import socket
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tuf.api.exceptions import DownloadHTTPError, DownloadLengthMismatchError

from blocklists.client import Fetcher
from blocklists.errors import VerifyError
from blocklists.fetch import Deadline, Directory, place
from tests.rigs.issuer_world import NAMES, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Handler = type[http.server.BaseHTTPRequestHandler]


@contextmanager
def host(handler: Callable[..., Any]) -> Iterator[str]:
    """A web host on a free port of this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, over connections that are kept."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        pass


@contextmanager
def speaking(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A host that, whatever it is asked, does `talk` on the raw connection."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    try:
                        connection.settimeout(5)
                        connection.recv(4096)
                        talk(connection)
                    except OSError:
                        pass  # the client hung up: what most of these tests are about

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            stop.set()
            thread.join()


def read(url: str, seconds: float = 10.0, limit: int = 1000) -> bytes:
    with closing(place(url, Deadline(seconds))) as where:
        return Fetcher(where).download_bytes("metadata/timestamp.json", limit)


def refused(url: str, reason: str, seconds: float = 10.0) -> VerifyError:
    with pytest.raises(VerifyError) as refusal:
        read(url, seconds)
    assert refusal.value.reason == reason, refusal.value
    return refusal.value


def test_a_list_comes_over_http_on_one_connection(tmp_path: Path) -> None:
    world, connections = World(tmp_path), []

    class Counting(Quiet):
        def setup(self) -> None:
            connections.append(self.client_address)
            super().setup()

    with host(functools.partial(Counting, directory=str(world.published))) as url:
        assert world.listed(world.fetch(url)) == set(NAMES)
        assert len(connections) == 1 + 1  # a 404 (no newer root) ends the first
        with pytest.raises(VerifyError) as refusal:
            world.fetch(f"{url}/elsewhere", state="other")
        assert refusal.value.reason == "missing"


def test_a_repository_may_lie_below_a_path(tmp_path: Path) -> None:
    world = World(tmp_path)
    with host(functools.partial(Quiet, directory=str(world.published.parent))) as url:
        assert world.fetch(f"{url}/published/").head.version == 1


def dribble(text: bytes, pause: float) -> Callable[[socket.socket], None]:
    """An octet at a time, then silence, for a minute or until the client hangs up."""

    def talk(connection: socket.socket) -> None:
        for octet in text:
            connection.sendall(bytes([octet]))
            time.sleep(pause)
        connection.settimeout(60)
        connection.recv(1)

    return talk


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "talk"),
    [
        ("an octet at a time in the body", dribble(OK + b"x" * 400, 0.1)),
        ("an octet at a time in the head", dribble(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 400, 0.1)),
        ("silence", dribble(b"", 0)),
        ("a head and then silence", dribble(OK, 0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_slow_host_meets_the_one_deadline(name: str, talk: Callable[[socket.socket], None]) -> None:
    with speaking(talk) as url:
        started = time.monotonic()
        refused(url, "deadline", seconds=0.4)
        assert time.monotonic() - started < 20, name


def test_slow_files_add_up_to_one_deadline(tmp_path: Path) -> None:
    world = World(tmp_path)

    class Slow(Quiet):
        def do_GET(self) -> None:
            time.sleep(0.3)
            super().do_GET()

    with host(functools.partial(Slow, directory=str(world.published))) as url, pytest.raises(VerifyError) as refusal:
        world.fetch(url, deadline=0.8)
    assert refusal.value.reason == "deadline"


def test_endless_data_is_cut_at_what_may_come() -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with speaking(endless) as url, pytest.raises(DownloadLengthMismatchError):
        read(url)


@pytest.mark.parametrize(
    ("said", "reason", "hint"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort", "unreachable", None),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "unreachable", None),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: https://b.example/\r\nContent-Length: 0\r\n\r\n",
            "unreachable",
            "b.example",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "unreachable", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "unreachable", None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "unreachable", None),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "unreachable", None),
        (b"GARBAGE\r\n\r\n", "unreachable", None),
        (b"", "unreachable", None),
    ],
)
def test_what_is_no_answer_is_said(said: bytes, reason: str, hint: str | None) -> None:
    with speaking(lambda connection: connection.sendall(said)) as url:
        refusal = refused(url, reason)
        assert hint is None or hint in (refusal.hint or "")


def test_chunks_are_read_as_they_come() -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with speaking(lambda connection: connection.sendall(said)) as url:
        assert read(url) == b"abcde"


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        refused(f"http://127.0.0.1:{taken.getsockname()[1]}/", "unreachable")


@pytest.mark.parametrize(
    "wrong", ["ftp://a.example/", "https://", "https://user:secret@a.example/", "https://a.example/?x=1", "https:///x"]
)
def test_what_is_no_repository_is_said_before_anything_is_asked(wrong: str) -> None:
    with pytest.raises(VerifyError, match="not a repository"):
        place(wrong, Deadline(1))


@pytest.mark.parametrize(
    "path", ["../secret", "metadata/../../secret", "metadata//x", "other/x", "metadata/.x", "metadata"]
)
def test_no_path_leaves_the_repository(tmp_path: Path, path: str) -> None:
    with pytest.raises(VerifyError, match="not a path"):
        Fetcher(Directory([tmp_path], Deadline(1))).download_bytes(path, 10)


def test_a_pipe_or_a_folder_where_a_file_should_be_does_not_stop_the_client(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    os.mkfifo(tmp_path / "metadata" / "timestamp.json")
    with pytest.raises(VerifyError, match="not a regular file"):
        read(str(tmp_path))
    with pytest.raises(DownloadHTTPError):
        Fetcher(Directory([tmp_path], Deadline(1))).download_bytes("metadata/none.json", 10)


def test_of_folders_that_lie_over_each_other_the_first_wins(tmp_path: Path) -> None:
    for name in ("upper", "lower"):
        (tmp_path / name / "metadata").mkdir(parents=True)
        (tmp_path / name / "metadata" / "a.json").write_text(name)
    (tmp_path / "lower" / "metadata" / "b.json").write_text("lower")
    both = Fetcher(Directory([tmp_path / "upper", tmp_path / "lower"], Deadline(1)))
    assert both.download_bytes("metadata/a.json", 10) == b"upper"
    assert both.download_bytes("metadata/b.json", 10) == b"lower"


def test_a_deadline_counts_from_its_making() -> None:
    times = iter([100.0, 100.5, 101.1])
    deadline = Deadline(1.0, lambda: next(times))
    assert deadline.left() == pytest.approx(0.5)
    with pytest.raises(VerifyError, match="not done within 1 s"):
        deadline.left()
