"""The control socket: who may ask what, and that nonsense is answered in words."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from resolver.base.errors import ResolverError
from resolver.ipc import control
from resolver.ipc import peer_credentials as caller
from resolver.ipc.control import Callers, ControlError, Operation, Peer, UnreachableError, acall, call, while_wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


async def echo(peer: Peer, request: Mapping[str, Any]) -> dict[str, Any]:
    return {"uid": peer.uid, "said": request.get("said")}


async def refuse(_peer: Peer, _request: Mapping[str, Any]) -> dict[str, Any]:
    raise ResolverError("not today", hint="tomorrow")


async def fail(_peer: Peer, _request: Mapping[str, Any]) -> dict[str, Any]:
    raise KeyError("a bug")


async def who(peer: Peer, request: Mapping[str, Any]) -> dict[str, Any]:
    return {"who": peer.who, "request": request}


OPERATIONS = {"echo": Operation(echo), "who": Operation(who), "refuse": Operation(refuse), "fail": Operation(fail)}


def asked(tmp_path: Path, what: Any) -> Any:
    """What `what(path)`, run in a thread, comes to while the socket is served."""

    async def serve() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        path = tmp_path / "run" / "control.sock"
        server = await control.serve(path, OPERATIONS, Callers)
        async with server.server:
            return await asyncio.to_thread(what, path)

    return asyncio.run(serve())


def test_a_call_is_answered_and_the_kernel_says_who_called(tmp_path: Path) -> None:
    assert asked(tmp_path, lambda path: call(path, "echo", said="ä" * 5000)) == {
        "ok": True,
        "uid": os.getuid(),
        "said": "ä" * 5000,
    }


def test_a_second_process_leaves_the_socket_of_the_first_and_takes_that_of_a_dead_one(tmp_path: Path) -> None:
    def second(path: Path) -> Any:
        with pytest.raises(ControlError, match="another process already listens at"):
            asyncio.run(control.serve(path, OPERATIONS, Callers))
        return call(path, "echo", said="the first")

    path = tmp_path / "run" / "control.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert asked(tmp_path, second)["said"] == "the first"


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    ("ends", "mode", "stays"), [(True, 0o755, False), (False, 0o755, True), (True, 0o1771, True), (True, 0o777, True)]
)
def test_a_socket_goes_with_its_process_unless_that_re_executes_or_others_could_take_its_name(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], *, ends: bool, mode: int, stays: bool
) -> None:
    async def scene() -> None:
        (await control.serve(path, OPERATIONS, Callers)).close(ends=ends)
        assert path.exists() == stays
        async with (await control.serve(path, OPERATIONS, Callers)).server:  # whatever was left is in nobody's way
            assert (await acall(path, "echo", said=1))["said"] == 1

    path = tmp_path / "run" / "control.sock"
    path.parent.mkdir()
    path.parent.chmod(mode)
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scene())


def test_a_socket_that_took_the_place_of_one_s_own_stays(tmp_path: Path) -> None:
    """Somebody emptied `run_dir`, and it was put back."""

    async def scene() -> None:
        before = await control.serve(path, OPERATIONS, Callers)
        path.unlink()
        async with (await control.serve(path, OPERATIONS, Callers)).server:
            before.close(ends=True)
            assert (await acall(path, "echo", said=1))["said"] == 1
            path.unlink()
        before.close(ends=True)

    path = tmp_path / "control.sock"
    asyncio.run(scene())


def test_who_asks_is_the_user_whom_the_kernel_names_and_of_root_the_login_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def login(kept: Path) -> str:
        return caller.who(os.geteuid(), caller.login(kept))

    kept = tmp_path / "loginuid"
    kept.write_text("0")
    monkeypatch.setattr("resolver.ipc.peer_credentials.os.geteuid", lambda: 0)
    assert login(kept) == "root"
    kept.write_text("4000000000")
    assert login(kept) == "root (login 4000000000)"
    kept.write_text(str(0xFFFF_FFFF))
    monkeypatch.setenv("SUDO_USER", "alice")
    assert login(kept) == login(tmp_path / "none") == "root (login alice)"
    monkeypatch.delenv("SUDO_USER")
    assert login(kept) == "root"
    monkeypatch.setenv("SUDO_USER", "somebody else")
    monkeypatch.setattr("resolver.ipc.peer_credentials.os.geteuid", lambda: 4_000_000_000)
    assert login(kept) == "4000000000"
    assert Peer(1, 4_000_000_000, 1, "root").who == "4000000000", "only root's word on the login counts"
    assert Peer(1, 0, 0, {"a": "b"}).who == Peer(1, 0, 0, "root").who == Peer(1, 0, 0, "").who == "root"
    assert Peer(1, 0, 0, "\x1b[2J" + "x" * 100).who == f"root (login \ufffd[2J{'x' * 60})"


def test_the_login_behind_root_comes_with_each_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for login, who in ((None, ""), ("alice", " (login alice)")):
        monkeypatch.setattr("resolver.ipc.peer_credentials.login", lambda login=login: login)
        assert asked(tmp_path, lambda path: call(path, "who"))["who"] == caller.named(os.getuid()) + who
        assert asked(tmp_path, lambda path: asyncio.run(acall(path, "who")))["request"] == {"op": "who"}


def test_a_call_from_an_event_loop_is_the_same(tmp_path: Path) -> None:
    answer = asked(tmp_path, lambda path: asyncio.run(acall(path, "echo", said=1)))
    assert answer["said"] == 1


def test_a_refusal_comes_with_its_hint(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="not today") as caught:
        asked(tmp_path, lambda path: call(path, "refuse"))
    assert caught.value.hint == "tomorrow"


def test_a_bug_in_an_operation_is_said_and_the_next_call_is_answered(tmp_path: Path) -> None:
    def twice(path: Path) -> Any:
        with pytest.raises(ControlError, match=r"it failed at this \(KeyError"):
            call(path, "fail")
        return call(path, "echo", said=2)

    assert asked(tmp_path, twice)["said"] == 2


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"\n", b"not one line of JSON"),
        (b"[]\n", b"no such operation"),
        (b'{"op": "nothing"}\n', b"there are echo, fail, refuse, who"),
        (b"\xff\xff\n", b"not one line of JSON"),
        (b'{"op": "echo"', b"not one line of JSON"),
        (b"[" * 100_000 + b"\n", b"not one line of JSON"),
        (b"x" * (control.LONGEST + 2), b"not one line of JSON"),
    ],
)
def test_what_is_no_request_is_answered_in_words(tmp_path: Path, sent: bytes, expected: bytes) -> None:
    def send(path: Path) -> bytes:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(path))
            stream.sendall(sent)
            stream.shutdown(socket.SHUT_WR)
            with stream.makefile("rb") as answer:
                return answer.readline()

    assert expected in asked(tmp_path, send)


def test_nobody_there_is_said_with_what_to_look_for(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="does not answer") as caught:
        call(tmp_path / "control.sock", "echo")
    assert caught.value.hint == "does it start just now? once more in some seconds; who is dead says stopsign status"
    with pytest.raises(UnreachableError):
        asyncio.run(acall(tmp_path / "control.sock", "echo"))


def test_a_socket_left_by_a_dead_steward_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert asked(tmp_path, lambda path: call(path, "echo"))["ok"]


@pytest.mark.parametrize("queued", [False, True], ids=["hung", "busy"])
@pytest.mark.parametrize(
    ("late", "gone", "expected"), [(False, False, ["done"]), (True, False, []), (False, True, [])], ids=str
)
def test_nothing_is_begun_for_a_caller_who_waits_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queued: bool, late: bool, gone: bool, expected: list[str]
) -> None:
    """A process that hung finds such requests when it wakes; one that was busy, in its own queue."""
    done: list[str] = []
    now = 1000.0
    monkeypatch.setattr(control, "time", SimpleNamespace(monotonic=lambda: now))

    async def scene() -> None:
        nonlocal now
        asked, free = asyncio.Event(), asyncio.Event()

        async def act(_peer: Peer, _request: Mapping[str, Any]) -> dict[str, Any]:
            begin = while_wanted(done.append)
            asked.set()
            await free.wait()
            begin("done")
            return {}

        path = tmp_path / "control.sock"
        server = await control.serve(path, {"act": Operation(act)}, Callers)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            caller.sendall(json.dumps({"op": "act", "begin_by": 1010.0}).encode() + b"\n")
            if queued:
                await asked.wait()
            if late:
                now = 1011.0
            if gone:
                caller.close()
            free.set()
            with pytest.raises(ControlError, match="no such operation"):
                await acall(path, "another")  # answered after that one
            if not gone:
                caller.setblocking(False)
                answer = await asyncio.get_running_loop().sock_recv(caller, 1000)
                assert (b"not done any more" in answer) == (not expected)
        server.close(ends=True)

    asyncio.run(scene())
    assert done == expected


@pytest.mark.parametrize(
    ("user", "groups", "reporters_may", "expected"),
    [
        ("alice", set(), False, True),
        ("bob", {"noc"}, False, True),
        ("bob", set(), False, False),
        ("stopsign-web", set(), False, False),
        ("stopsign-web", set(), True, True),
        ("mallory", {"users"}, True, False),
    ],
)
def test_operators_may_everything_reporters_only_report_and_others_nothing(
    monkeypatch: pytest.MonkeyPatch, user: str, groups: set[str], reporters_may: bool, expected: bool
) -> None:
    monkeypatch.setattr(Peer, "user", property(lambda _: user))
    monkeypatch.setattr(Peer, "groups", property(lambda _: frozenset(groups)))
    callers = Callers(frozenset({"alice"}), frozenset({"noc"}), frozenset({"stopsign-web"}))
    refusal = callers.refusal(Peer(1, 54321, 54321), Operation(echo, reporters=reporters_may))
    assert (refusal is None) is expected


def test_root_and_the_own_user_are_never_refused() -> None:
    for uid in (0, os.geteuid()):
        assert Callers().refusal(Peer(1, uid, uid), Operation(echo)) is None
