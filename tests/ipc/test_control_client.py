"""The control client against a process that is not ours any more: it drips, it nests, it says what is no status."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from resolver.cli import status
from resolver.ipc import control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def process(path: Path, talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[None]:
    over = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(4)

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                try:
                    talk(peer, over)
                except OSError:
                    return  # the client has gone, as it should

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def drip(peer: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.02):
        peer.sendall(b" ")


def says(text: str) -> Callable[[socket.socket, threading.Event], None]:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        peer.recv(1 << 16)  # what lies unread when a socket closes resets the connection
        peer.sendall(text.encode() + b"\n")

    return talk


def test_a_process_that_drips_octets_holds_nobody_beyond_the_deadline(tmp_path: Path) -> None:
    with (
        process(tmp_path / "web.sock", drip),
        pytest.raises(control.UnreachableError, match=r"no answer within 0\.5 s"),
    ):
        control.call(tmp_path / "web.sock", "status", timeout=0.5)


@pytest.mark.parametrize(
    "answer", ["[" * 100_000, '{"a":' * 100_000, "[]", "5", '"text"', '{"ok": 1}', "{}", "\N{SNOWMAN}"]
)
def test_what_is_no_answer_is_refused_with_a_type(tmp_path: Path, answer: str) -> None:
    with process(tmp_path / "web.sock", says(answer)), pytest.raises(control.ControlError):
        control.call(tmp_path / "web.sock", "status")


def test_foreign_words_reach_nobody_s_terminal_as_they_are(tmp_path: Path) -> None:
    said = json.dumps({"ok": False, "error": "\x1b[2Jgone" + "x" * 60_000, "hint": {"a": "\x1b]0;title\x07"}})
    with process(tmp_path / "web.sock", says(said)), pytest.raises(control.ControlError) as refused:
        control.call(tmp_path / "web.sock", "status")
    shown = f"{refused.value} {refused.value.hint}"
    assert "\x1b" not in shown
    assert "\ufffd[2Jgone" in shown
    assert len(shown) < 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"up": "long"},
        {"pid": []},
        {"version": 5},
        {"alarms": "one"},
        {"services": [1]},
        {"lists": [[]]},
        {"log": "big"},
    ],
)
def test_a_status_of_wrong_types_is_an_alarm_and_no_traceback(tmp_path: Path, wrong: dict[str, object]) -> None:
    with process(tmp_path / "web.sock", says(json.dumps({"ok": True, **wrong}))):
        answer = status._asked(tmp_path / "web.sock")
    assert answer["state"] == status.UNKNOWN
    assert "is no status" in answer["silent"]


def test_alarms_of_another_process_are_inert_short_and_bounded(tmp_path: Path) -> None:
    alarms = ["\x1b[31m" + "a" * 60_000] * 5_000
    with process(tmp_path / "web.sock", says(json.dumps({"ok": True, "alarms": alarms[:60]}))):
        answer = status._asked(tmp_path / "web.sock")
    assert all(len(one) < 400 and "\x1b" not in one for one in answer["alarms"])
