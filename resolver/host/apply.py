"""Applying a new configuration, or a new program: every process of a host, or none.

Enters: the configuration file. Leaves: the processes that applied it. Rules:

- The file is read here first, with all its mistakes in one report. Then each process reads it itself and says whether
  it could apply it; only where all agree is any of them told to.
- All are asked at once, so a hung one costs its own patience alone; then nothing is applied, and it is named.
- A process that does not run is not asked: it reads the file when it starts. One that ran here and is dead, or waits to
  be restarted, is named beside those that applied the file: the file itself may have killed it. One that is starting
  has read the file already, and is waited for.
- The agreement names the SHA-256 of the file's bytes: a process that finds other bytes refuses.
- Then the file is tried here and now, as by `check-config` (`resolver.config.preflight.host`): what does not work is
  refused in the same words, unless the caller skips the trial. What only this user may not do proves nothing where the
  processes have other users.
- DNS goes first: its workers are replaced one at a time, and all return to the old configuration where a new one does
  not come up. Then the steward, the web process and the zones re-execute themselves: same process, same sockets. On a
  restart the supervisor does so too, and adopts its workers until their successors serve.
- What belongs to open sockets and folders cannot change while they are open (`Held`).
- Each process that applies it writes that to its journal, with the caller.
- Two callers at the same time are both served: a process that re-executes meanwhile was told by the other, and is
  checked when it is back.
- A refusal goes to the steward, for an alarm and a leaf; the alarm ends with the next accepted configuration. A hung
  process is no refusal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from resolver.base.errors import ResolverError
from resolver.base.journal import about
from resolver.base.paths import Places, control_socket
from resolver.base.version import VERSION
from resolver.config.accepted import folder_named
from resolver.config.schema import ConfigError, accept
from resolver.ipc import supervisor_lock
from resolver.ipc.addresses import held
from resolver.ipc.control import Callers, ControlError, Operation, UnreachableError, acall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from resolver.config.schema import Accepted, Config, Problem
    from resolver.ipc.control import Peer, Reply

log = logging.getLogger("stopsign.reload")
TO_CHANGE_THEM = (
    "stop it and start it again; as units: stopsign units --output /etc/systemd/system, systemctl daemon-reload, "
    "systemctl restart stopsign.target"
)
_ENCRYPTED = {"dns.encrypted.tls": "tls", "dns.encrypted.https.listen": "https", "dns.encrypted.quic": "quic"}
AGREE, BUSY, APPLYING, COME_BACK = 5.0, 10.0, 600.0, 300.0  # seconds; `BUSY`: for a process known to live
START, _AGAIN = 60.0, 0.2  # seconds to wait for a process that starts
_BEGAN = time.monotonic_ns()  # differs after a re-exec

_FOLDERS: dict[str, Callable[[Config], object]] = {
    "state_dir": lambda config: config.state_dir,
    "run_dir": lambda config: config.run_dir,
}
OF_DNS: dict[str, Callable[[Config], object]] = {
    **_FOLDERS,
    "dns (none, or some)": lambda config: config.dns is None,
    "dns.listen": lambda config: config.dns_listen,
    "dns.encrypted.tls": lambda config: config.dns_tls_listen,
    "dns.encrypted.https.listen": lambda config: config.dns_https_listen,
    "dns.encrypted.quic": lambda config: config.dns_quic_listen,
    "dns.workers": lambda config: config.dns and config.dns.workers,
}
OF_RPZ: dict[str, Callable[[Config], object]] = {
    **_FOLDERS,
    "rpz.listen": lambda config: config.rpz.listen,
    "rpz.listen_tls": lambda config: config.rpz.listen_tls,
    "rpz.zones (none, or some)": lambda config: bool(config.rpz.zones),
}
OF_STEWARD = {**_FOLDERS, "log.dir": lambda config: config.places.log_dir}
OF_WEB: dict[str, Callable[[Config], object]] = {
    **_FOLDERS,
    "stop_page.listen": lambda config: config.stop_page.listen,
    "portal.listen": lambda config: config.portal.listen,
}


class ReloadError(ResolverError):
    """The new configuration is not applied; the old one goes on."""


class PartError(ReloadError):
    """A restart is refused; the configuration may be right."""

    def __init__(self, whole: str) -> None:
        hint = "end it and start it again; `stopsign reload` applies the configuration"
        super().__init__(f"what runs there is a part of `{whole}`, and cannot restart alone", hint=hint)


@dataclass
class Held:
    """The configuration of one process, and the keys that cannot change while it runs."""

    accepted: Accepted
    fixed: Mapping[str, Callable[[Config], object]]
    apply: Callable[[Accepted], Awaitable[list[str]]]
    """Returns the processes that applied it."""
    re_execute: Callable[[Accepted], Awaitable[list[str]]] | None = None
    """The same, for a restart; the process answers before its re-exec. None: a restart is an `apply`."""
    part_of: str | None = None
    """The program that this process is a part of; it cannot restart alone."""
    usable: Callable[[Config], object] | None = None
    """Raises `ResolverError` where a file that the configuration names cannot be used."""

    def operations(self) -> dict[str, Operation]:
        """The operations of this process's control socket."""
        return {
            "check-reload": Operation(self._check),
            "reload": Operation(self._reload),
            "restart": Operation(self._restart),
        }

    def callers(self) -> Callers:
        """Who may call this process, by its configuration."""
        return Callers.of(self.accepted.config.control)

    def status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "began": _BEGAN,
            "up": _up(),
            "version": VERSION,
            "configuration": self.accepted.digest,
            "part_of": self.part_of,
        }

    async def _check(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        self._agree(request)
        return {}

    async def _reload(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        return await self._by(self.apply, "reload", peer, request)

    async def _restart(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        if self.part_of is not None:
            raise PartError(self.part_of)
        return await self._by(self.re_execute or self.apply, "restart", peer, request)

    async def _by(
        self, way: Callable[[Accepted], Awaitable[list[str]]], op: str, peer: Peer, request: Mapping[str, Any]
    ) -> Reply:
        new = self._agree(request)
        replaced = await way(new)
        text = "%s, asked for by %s: configuration %s is applied by %s"
        log.info(text, op, peer.who, new.digest[:8], ", ".join(replaced), extra=about(person=peer.who))
        return {"replaced": replaced}

    def _agree(self, request: Mapping[str, Any]) -> Accepted:
        found = accept(self.accepted.path)
        if found.digest != request.get("digest"):
            raise ReloadError(f"{found.path} has changed since it was checked", hint="once more: stopsign reload")
        new, old = found.config, self.accepted.config
        if wrong := [key for key, value in self.fixed.items() if value(new) != value(old)]:
            why = "cannot change while the sockets and folders are held"
            hint = to_change({key: self.fixed[key](old) for key in wrong}, old.places)
            raise ReloadError("\n".join(str(found.lines.problem(key, why)) for key in wrong), hint=hint)
        if self.usable is not None:
            self.usable(new)
        return found


def to_change(was: Mapping[str, object], places: Places) -> str:
    """What to type where these keys change. `was`: their values until now. New ports of encrypted DNS need no other
    socket to be closed: docs/operator.md, Encrypted DNS."""
    if any(key not in _ENCRYPTED or value for key, value in was.items()):
        return TO_CHANGE_THEM
    at = f"@{places.instance}" if places.instance else ""
    sockets = " ".join(f"stopsign-dns-{_ENCRYPTED[key]}{at}.socket" for key in was)
    opens = f"systemctl daemon-reload, systemctl enable {sockets}, systemctl restart stopsign-dns{at}"
    return f"stop it and start it again; as units: stopsign units --output /etc/systemd/system, {opens}"


class TrialError(ReloadError):
    """The configuration has no mistake, but does not work on this machine now."""

    def __init__(self, found: Sequence[Problem]) -> None:
        self.problems = [one for one in found if one.level == "error"]
        hint = "mend that; or apply it as it is, with --no-trial"
        lines = [*self.problems, *(one for one in found if one.level != "error")]
        super().__init__("\n".join(map(str, lines)), hint=hint)


@dataclass(frozen=True)
class Applied:
    """What came of it."""

    replaced: list[str]
    """Returns the processes that applied it."""
    dead: list[str]
    """Processes that ran here and do not now."""


async def everywhere(
    path: Path, op: Literal["reload", "restart"], *, tries: bool = True, warn: Callable[[str], None]
) -> Applied:
    """The processes that applied it, and those that are dead. Raises `ResolverError`, with nothing changed.

    `tries`: try it on this machine first. `warn` gets what works only in part."""
    replaced: list[str] = []
    try:
        dead = await _apply(path, op, replaced, warn if tries else None)
    except UnreachableError as silent:
        so_far = f"{', '.join(replaced)} applied it; once more: stopsign {op}" if replaced else "nothing is applied"
        silent.hint = f"{so_far}; {silent.hint}"
        raise
    except ResolverError as refusal:
        if not replaced and not isinstance(refusal, PartError):
            await _tell(path, refusal)
        raise
    return Applied(replaced, dead)


async def _apply(
    path: Path, op: Literal["reload", "restart"], replaced: list[str], warn: Callable[[str], None] | None
) -> list[str]:
    """Add to `replaced` one by one; return the dead processes. `warn` None: try nothing first."""
    new = accept(path)
    places = new.config.places
    sockets = {
        "dns": places.supervisor_socket,
        "steward": places.control_socket,
        "web": places.web_socket,
        "rpz": places.rpz_socket,
    }
    living = await _living(sockets, new.digest, places)
    if not living:
        raise ReloadError(
            f"no process of this configuration runs with {places.run_dir}",
            hint="run_dir cannot change by a reload; otherwise: is `stopsign run` running?",
        )
    for whole in (status.get("part_of") for status in living.values()):
        if op == "restart" and whole is not None:
            raise PartError(whole)
    if warn is not None:
        await try_first(new, {sockets[name].stat().st_uid for name in living}, warn)
    for name, status in living.items():
        if name not in replaced:  # else a child of the supervisor, which replaced it with all others
            told = await _call_if_there(sockets[name], op, APPLYING if name == "dns" else BUSY, digest=new.digest)
            replaced += [name] if told is None else told["replaced"]
        await _has(name, sockets[name], new.digest, status["began"], stays=(name, op) == ("dns", "reload"))
    return _dead(living, sockets)


async def try_first(new: Accepted, users: set[int], warn: Callable[[str], None]) -> None:
    """Raises `TrialError` where something does not work. `users`: those of the processes."""
    from resolver.config.preflight.host import trial  # TUF and all: not for a process that has nothing to try

    findings = await asyncio.to_thread(trial, new.config, new.path, held)
    judge = os.geteuid() == 0 or users == {os.geteuid()}
    if any(one.fatal and (judge or not one.denied) for one in findings):
        raise TrialError([one.at(new.lines) for one in findings])
    for one in findings:
        warn(one.at(new.lines).sentence)


async def _tell(path: Path, refusal: ResolverError) -> None:
    """Report a refusal to the steward, if it runs; a failure to do so becomes part of the hint."""
    run_dir = folder_named(path, "run_dir")
    if run_dir is None:
        return
    mistakes = len(refusal.problems) if isinstance(refusal, ConfigError | TrialError) else 1
    try:
        await _call_if_there(
            control_socket(run_dir), "configuration-refused", text=str(refusal).partition("\n")[0], mistakes=mistakes
        )
    except ControlError as silent:
        refusal.hint = "; ".join(filter(None, (refusal.hint, f"the log does not say so: {silent}")))


async def _living(sockets: Mapping[str, Path], digest: str, places: Places) -> dict[str, dict[str, Any]]:
    """The status of each running process, once all agree. Raises `ReloadError` where one takes too long to start."""
    deadline = time.monotonic() + START
    while True:
        said = await asyncio.gather(*(_agrees(socket, digest) for socket in sockets.values()))
        living = {name: status for name, status in zip(sockets, said, strict=True) if status is not None}
        starting = _starting(living, sockets, places)
        if not starting:
            return living
        if time.monotonic() > deadline:
            raise ReloadError(f"{', '.join(starting)} did not come up within {START:g} s", hint="its log says why")
        await asyncio.sleep(_AGAIN)


def _starting(living: Mapping[str, Mapping[str, Any]], sockets: Mapping[str, Path], places: Places) -> list[str]:
    """Processes that run and do not listen yet: the supervisor by its lock, its children by its status."""
    if "dns" not in living:
        return ["the supervisor"] if supervisor_lock.is_held(places) else []
    children = living["dns"].get("services", ())
    return [one["name"] for one in children if one["pid"] and one["name"] in sockets and one["name"] not in living]


def _dead(living: Mapping[str, Mapping[str, Any]], sockets: Mapping[str, Path]) -> list[str]:
    """Processes that left a control socket and do not listen there, and children that wait to be started again. A
    process that is stopped removes its socket, but for a steward that shares its folder with DNS
    (`resolver.ipc.control.Served`)."""
    names = {"dns": "the supervisor", "steward": "the steward", "web": "the web process", "rpz": "that of the zones"}
    silent = [names[name] for name, path in sockets.items() if name not in living and path.exists()]
    children = living.get("dns", {}).get("services", ())
    return silent + [one["name"] for one in children if one["pid"] is None and one["name"] not in sockets]


def _up() -> int:
    """Seconds since this process was started, which a re-exec does not change (proc_pid_stat(5), starttime)."""
    started = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    return round(time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / os.sysconf("SC_CLK_TCK"))


async def _agrees(socket: Path, digest: str) -> dict[str, Any] | None:
    """Its status; `None`: there is no such process. Raises `ControlError` where it refuses, or hangs."""
    if await _call_if_there(socket, "check-reload", digest=digest) is None:
        return None
    return await _call_if_there(socket, "status", BUSY)


async def _call_if_there(
    socket: Path, op: str, patience: float | None = None, **arguments: Any
) -> dict[str, Any] | None:
    """The answer; `None`: there is no such process, or it is re-executing itself."""
    try:
        return await acall(socket, op, timeout=AGREE if patience is None else patience, **arguments)
    except UnreachableError as error:
        if isinstance(error.__cause__, FileNotFoundError | ConnectionError):
            return None
        raise


async def _has(name: str, socket: Path, digest: str, began: int, *, stays: bool) -> None:
    """Return when the process runs with that configuration, after a re-exec unless it `stays`."""
    said, deadline = "it does not answer", time.monotonic() + COME_BACK
    while time.monotonic() < deadline:
        try:
            status = await acall(socket, "status", timeout=BUSY)
            if status.get("configuration") == digest and (stays or status.get("began") != began):
                return
            said = "it goes on as it was"
        except ControlError as error:
            said = str(error)
        await asyncio.sleep(0.1)
    raise ReloadError(f"{name} did not come back: {said}", hint="its log says why")
