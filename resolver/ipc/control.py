"""Control sockets: how the command line and the web process speak to the steward, and the command line to the others.

Enters: a Unix stream, one JSON object in one line, `{"op": "approve", …}`. Leaves: one JSON object in one line,
`{"ok": true, …}` or `{"ok": false, "error": …, "hint": …}`, and the end of the stream.
Rules: the kernel says who is calling (SO_PEERCRED), the caller does not, but for the login behind root
(`resolver.ipc.peer_credentials`), which opens nothing; root and the process's own user may do everything, a reporter
only what is marked for reporters, and anyone may look; a line is bounded, and so is the time to send it. A request says
until when it has to be begun (`begin_by`, CLOCK_MONOTONIC): a process that hung, or was busy, does nothing later whose
caller was told that it failed, or is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import json
import os
import select
import socket
import stat
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from blocklists.errors import why
from blocklists.text import shown
from resolver.base.errors import ResolverError
from resolver.ipc import peer_credentials

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.config import schema

LONGEST = 1 << 22  # bytes of a line
MOST_LINES = 50  # of a refusal
PATIENCE = 10.0  # seconds for a caller to send its line
WAIT = 15.0  # seconds that a caller waits for its answer
_BEGIN = 0.8  # of them within which the work must begin
_KEPT: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}  # see `Served.close`

# By the name of its socket.
WHO = {
    "control.sock": "the steward",
    "supervisor.sock": "the supervisor",
    "web.sock": "the web process",
    "rpz.sock": "the process of the zones",
}

Reply = Mapping[str, Any]
Given = ParamSpec("Given")
Result = TypeVar("Result")
_wanted: ContextVar[Callable[[], None]] = ContextVar("wanted", default=lambda: None)


class ControlError(ResolverError):
    """A process refused; the text is its own."""


class UnreachableError(ControlError):
    """No process listens on the control socket."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, as the kernel knows it, and the login that it names."""

    pid: int
    uid: int
    gid: int
    login: object = None

    @property
    def user(self) -> str:
        return peer_credentials.named(self.uid)

    @property
    def who(self) -> str:
        """For the journal and the log."""
        return peer_credentials.who(self.uid, self.login)

    @property
    def groups(self) -> frozenset[str]:
        found: set[str] = set()
        for gid in os.getgrouplist(self.user, self.gid) if self.user != str(self.uid) else [self.gid]:
            with contextlib.suppress(KeyError):
                found.add(grp.getgrgid(gid).gr_name)
        return frozenset(found)


Handle = Callable[[Peer, Mapping[str, Any]], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Operation:
    """The handler of an `op`. `reporters`: the web process may call it too. `anyone`: any user may."""

    handle: Handle
    reporters: bool = False
    anyone: bool = False


@dataclass(frozen=True, slots=True)
class Callers:
    """Who may call."""

    operators: frozenset[str] = field(default_factory=frozenset)
    operator_groups: frozenset[str] = field(default_factory=frozenset)
    reporters: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, settings: schema.Control) -> Callers:
        return cls(frozenset(settings.operators), frozenset(settings.operator_groups), frozenset(settings.reporters))

    def refusal(self, peer: Peer, operation: Operation) -> str | None:
        """Why this peer may not call it; None: it may."""
        if operation.anyone:
            return None
        if peer.uid in {0, os.geteuid()} or peer.user in self.operators or peer.groups & self.operator_groups:
            return None
        if operation.reporters and peer.user in self.reporters:
            return None
        return f"user {peer.user} may not do this"


def has_socket(path: Path) -> bool:
    """Whether a process has its control socket there; it may be dead."""
    return path.exists()


def call(path: Path, op: str, *, timeout: float = WAIT, **arguments: Any) -> dict[str, Any]:
    """The answer of the process there. Raises `UnreachableError` where none is, `ControlError` where it refuses."""
    end = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        try:
            _patience(stream, end)
            stream.connect(str(path))
            stream.sendall(_request(op, timeout, arguments))
            return _answer(_received(stream, end))
        except OSError as error:
            raise _unreachable(path, error, timeout) from error


def _received(stream: socket.socket, end: float) -> bytes:
    """One line, in any number of pieces, until `end` (CLOCK_MONOTONIC). Raises OSError, TimeoutError."""
    held = bytearray()
    while not held.endswith(b"\n") and len(held) <= LONGEST:
        _patience(stream, end)
        if not (piece := stream.recv(1 << 16)):
            break
        held += piece
    return bytes(held)


def _patience(stream: socket.socket, end: float) -> None:
    if (left := end - time.monotonic()) <= 0:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    stream.settimeout(left)


async def acall(path: Path, op: str, *, timeout: float = WAIT, **arguments: Any) -> dict[str, Any]:  # noqa: ASYNC109
    """As `call`, for a process with an event loop."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=LONGEST)
            try:
                writer.write(_request(op, timeout, arguments))
                await writer.drain()
                return _answer(await reader.readline())
            finally:
                writer.close()
    except (OSError, ValueError) as error:
        raise _unreachable(path, error, timeout) from error


def while_wanted(what: Callable[Given, Result]) -> Callable[Given, Result]:
    """`what`, to be called later, as in another thread; there it raises `ControlError` if the caller of the operation
    no longer waits."""
    check = _wanted.get()

    def begin(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        check()
        return what(*args, **kwargs)

    return begin


@dataclass(frozen=True, slots=True)
class Served:
    """A control socket that is served."""

    server: asyncio.Server
    path: Path
    status: os.stat_result

    def close(self, *, ends: bool) -> None:
        """`ends`: the process does, and its socket is removed; over a re-exec it stays. It stays too where another user
        could then take its name: the steward's, in a folder that it shares with DNS."""
        with contextlib.suppress(FileNotFoundError):  # somebody emptied the folder
            if ends and os.path.samestat(self.path.stat(), self.status) and not _is_shared(self.path.parent):
                self.path.unlink()
        self.server.close()


def _is_shared(folder: Path) -> bool:
    status = folder.stat()
    return status.st_uid == os.geteuid() and bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


async def serve(path: Path, operations: Mapping[str, Operation], callers: Callable[[], Callers]) -> Served:
    """Listen at `path`; `callers`: who may call just then. A handler that raises `ResolverError` refuses; any other
    exception is a fault of ours, is answered as such, and goes on to the loop's exception handler."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await _handle(reader, writer, operations, callers())
            with contextlib.suppress(ConnectionError):  # a caller that did not wait: nothing is lost
                writer.write(_line(reply))
                await writer.drain()
        finally:
            writer.close()

    listener, status = _bound(path)
    server = await asyncio.start_unix_server(on_connection, sock=listener, limit=LONGEST, **_KEPT)
    return Served(server, path, status)


def _bound(path: Path) -> tuple[socket.socket, os.stat_result]:
    """The listener, and its file. Raises `ControlError` where another process listens there: it would be out of reach
    for as long as it lives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(str(path)) in {0, errno.EAGAIN}:
            raise ControlError(f"another process already listens at {path}", hint="stop it first")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o666)  # a caller without the right gets a sentence that names it, not "permission denied"
        listener.listen(64)
        status = path.stat()
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener, status


async def _handle(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    operations: Mapping[str, Operation],
    callers: Callers,
) -> Reply:
    peer = _peer(writer)
    try:
        async with asyncio.timeout(PATIENCE):
            line = await reader.readline()
        request = json.loads(line)
    except (TimeoutError, ValueError, RecursionError):
        return {"ok": False, "error": "the request is not one line of JSON"}
    operation = operations.get(str(request.get("op"))) if isinstance(request, dict) else None
    if operation is None:
        return {"ok": False, "error": "no such operation", "hint": f"there are {', '.join(sorted(operations))}"}
    if refusal := callers.refusal(peer, operation):
        return {"ok": False, "error": refusal, "hint": "root may, and those named under control: in the configuration"}
    begin_by = request.pop("begin_by", None)
    peer = replace(peer, login=request.pop("login", None))
    _wanted.set(lambda: _check_wanted(writer, begin_by))
    try:
        return {"ok": True, **await while_wanted(operation.handle)(peer, request)}
    except ResolverError as error:
        return {"ok": False, "error": str(error), "hint": error.hint}
    except Exception as error:  # noqa: BLE001 - the caller must hear of it, and the process must go on
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"control operation {request['op']} failed", "exception": error}
        )
        return {"ok": False, "error": f"it failed at this ({type(error).__name__}: {error})"}


def _peer(writer: asyncio.StreamWriter) -> Peer:
    stream = writer.get_extra_info("socket")
    return Peer(*struct.unpack("3i", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))))


def _check_wanted(writer: asyncio.StreamWriter, begin_by: object) -> None:
    stream = writer.get_extra_info("socket").fileno()
    gone = stream < 0
    if not gone:
        look = select.poll()
        look.register(stream, 0)
        gone = any(events & select.POLLHUP for _, events in look.poll(0))
    if gone or (isinstance(begin_by, int | float) and time.monotonic() > begin_by):
        raise ControlError("it was not begun in time, and is not done any more")


def _request(op: str, timeout: float, arguments: Mapping[str, Any]) -> bytes:
    login = peer_credentials.login()
    behind = {} if login is None else {"login": login}
    return _line({"op": op, "begin_by": time.monotonic() + _BEGIN * timeout, **behind, **arguments})


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _answer(line: bytes) -> dict[str, Any]:
    if not line:  # it ended, or re-executed
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ControlError("the answer was not finished") from error
    if not isinstance(answer, dict) or answer.get("ok") is not True:
        said = answer if isinstance(answer, dict) else {}
        hint = said.get("hint")
        raise ControlError(
            _lines(said.get("error", "the answer is not one")), hint=None if hint is None else _lines(hint)
        )
    return answer


def _lines(said: object) -> str:
    """Another process's text, as lines that are safe for a terminal."""
    return "\n".join(shown(line) for line in str(said).splitlines()[:MOST_LINES])


def _unreachable(path: Path, error: Exception, timeout: float) -> UnreachableError:
    reason = why(error)
    hint = "does it start just now? once more in some seconds; who is dead says stopsign status"
    if isinstance(error, PermissionError):
        hint = "root may ask, and members of the group stopsign"
    elif isinstance(error, TimeoutError):
        reason = f"no answer within {timeout:g} s"
        undone = "what it has not begun by now it does not do any more"
        hint = f"it hangs or is busy; {undone}; stopsign status says which, docs/alarms.md what to do"
    who = WHO.get(path.name, "the process")
    return UnreachableError(f"{who} does not answer at {path} ({reason})", hint=hint)
