"""Conditions that the log names twice: one line when they begin, one when they end, none in between."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Literal

import pytest

from resolver.dns.transitions import Transitions

if TYPE_CHECKING:
    from resolver._core import UpstreamState

State = Literal["up", "suspect", "down"]
NAME = "upstream 192.0.2.1:53"


def upstream(state: State = "up", *, failing: bool = False, tcp_closed: bool = False) -> UpstreamState:
    return {
        "address": "192.0.2.1:53", "state": state, "reason": "silent" if state != "up" else "", "failing": failing,
        "tcp_closed": tcp_closed, "rtt_us": 0, "answers": 1, "timeouts": 0, "mismatches": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("states", "lines"),
    [
        ([upstream(), upstream()], []),
        ([upstream("down"), upstream("down"), upstream("suspect"), upstream()],
         [f"{NAME} is down: silent", f"{NAME} is up again"]),
        ([upstream("suspect"), upstream()], []),
        ([upstream(failing=True), upstream(failing=True), upstream()],
         [f"{NAME} answers most questions with SERVFAIL or REFUSED", f"{NAME} answers most questions well again"]),
        ([upstream(tcp_closed=True), upstream()], [f"{NAME} answers no TCP", f"{NAME} answers TCP again"]),
        ([upstream(tcp_closed=True), upstream("down"), upstream()],
         [f"{NAME} answers no TCP", f"{NAME} is down: silent", f"{NAME} is up again", f"{NAME} answers TCP again"]),
    ],
)  # fmt: skip
def test_an_upstream_s_change_is_one_line(
    caplog: pytest.LogCaptureFixture, states: list[UpstreamState], lines: list[str]
) -> None:
    transitions = Transitions(0)
    for state in states:
        transitions.upstreams([state])
    assert caplog.messages == lines


def test_a_file_that_cannot_be_written_is_one_line_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    transitions = Transitions(0)
    full, denied = (OSError(code, os.strerror(code)) for code in (errno.ENOSPC, errno.EACCES))
    for wrong in (None, full, full, denied, None, None):
        transitions.written("a file", wrong)
    assert caplog.messages == [
        "a file: cannot be written (No space left on device)",
        "a file: cannot be written (Permission denied)",
        "a file: written again",
    ]


def test_a_lack_of_descriptors_is_an_alarm_until_there_is_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    transitions = Transitions(0)

    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "eventfd", none_left)
        assert [transitions.starved(), transitions.starved()] == [True, True]
    assert [transitions.starved(), transitions.starved()] == [False, False]
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", "no file descriptor is left: new connections over TCP are closed (Too many open files)"),
        ("WARNING", "there are file descriptors again"),
    ]
