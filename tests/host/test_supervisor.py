"""The supervisor with real processes: small Python programs that serve, hang, die or refuse to go."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from resolver.base.wings import WINGS
from resolver.config.schema import accept
from resolver.host import supervisor as supervising
from resolver.host.run import services
from resolver.host.service import Pulse, Service
from resolver.host.shared_secrets import SharedSecrets
from resolver.host.sockets import open_listeners, parse
from resolver.host.supervisor import Supervisor, wait_before_restart
from tests.rigs.config_file import GOOD, write
from tests.rigs.dns_host import PATIENCE
from tests.rigs.limits import state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PRELUDE = """
import json, os, signal, socket, struct, sys, time
counters = sys.argv[1]
def beat(*more):
    new = f"{counters}.{os.getpid()}"
    open(new, "wb").write(struct.pack(f"<{1 + len(more)}Q", int(time.monotonic() * 1000), *more))
    os.replace(new, counters)
def ready():
    os.write(int(os.environ["STOPSIGN_READY"]), b"1")
sockets = {k: [socket.socket(fileno=fd) for fd in v] for k, v in json.loads(os.environ["STOPSIGN_SOCKETS"]).items()
           if k != "heartbeat"}
"""
# Answers each datagram with its process id.
SERVER = """
beat(7); ready()
udp = sockets["udp"][0]
udp.setblocking(True)
udp.settimeout(0.1)
going = []
signal.signal(signal.SIGTERM, lambda *_: going.append(1))
while not going:
    beat(7)
    try:
        data, peer = udp.recvfrom(100)
    except TimeoutError:
        continue
    udp.sendto(str(os.getpid()).encode(), peer)
"""


@pytest.fixture
def counters(tmp_path: Path) -> Path:
    return tmp_path / "0.counters"


def service(counters: Path, program: str, **more: Any) -> Service:
    text = PRELUDE + textwrap.dedent(program)
    return Service("one", (sys.executable, "-c", text, str(counters)), heartbeat=counters, says_ready=True, **more)


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def serving(supervisor: Supervisor) -> None:
    async with asyncio.timeout(PATIENCE):
        await supervisor.serving()


async def asked(address: tuple[str, int]) -> int:
    """The process that answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.connect(address)
        one.send(b"?")
        async with asyncio.timeout(PATIENCE):
            return int(await asyncio.get_running_loop().sock_recv(one, 100))


def test_a_process_that_dies_is_started_again_and_what_came_meanwhile_is_answered(counters: Path) -> None:
    async def scene() -> None:
        listeners = open_listeners(dns=[parse("127.0.0.1:0")])
        address = listeners.udp[0][0].getsockname()
        supervisor = Supervisor([service(counters, SERVER, sockets=listeners.of_worker(0, 1))])
        supervisor.start()
        await serving(supervisor)
        first = await asked(address)
        assert first == supervisor.pid("one")
        assert supervisor.died("one") is None
        supervisor.signal("one", signal.SIGKILL)
        second = await asked(address)  # sent to a port that nobody reads at this moment
        assert second == supervisor.pid("one") != first
        assert supervisor.restarts("one") == 1
        died = supervisor.died("one")
        assert died is not None
        assert died[1] == "was killed by SIGKILL"
        assert abs(died[0] - time.time()) < 60
        await supervisor.stop()
        listeners.close()

    play(scene)


def test_a_process_that_hangs_is_killed_and_replaced(counters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "_LOOK", 0.2)

    async def scene() -> None:
        listeners = open_listeners(dns=[parse("127.0.0.1:0")])
        address = listeners.udp[0][0].getsockname()
        supervisor = Supervisor([service(counters, SERVER, sockets=listeners.of_worker(0, 1), patience=1.0)])
        supervisor.start()
        await serving(supervisor)
        first = await asked(address)
        supervisor.signal("one", signal.SIGSTOP)
        second = await asked(address)
        assert second != first
        await supervisor.stop()
        listeners.close()

    play(scene)


def test_one_that_has_no_counters_beats_in_memory_and_is_watched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steward and its like: their event loops say that they turn."""
    monkeypatch.setattr(supervising, "_LOOK", 0.2)
    program = "import asyncio; from resolver.host.systemd import beat; asyncio.run(beat())"
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}

    async def scene() -> None:
        one = Service("one", (sys.executable, "-c", program), environment=environment, patience=2.0)
        supervisor = Supervisor([one])
        supervisor.start()
        for _ in range(2):
            process = supervisor._slots["one"].process
            assert process is not None
            await until(lambda: process.pulse().ready)  # type: ignore[union-attr]  # noqa: B023
            process.signal(signal.SIGSTOP)
            await until(lambda: supervisor.pid("one") not in {None, process.popen.pid})  # noqa: B023
            assert process.killed
        await supervisor.stop()

    play(scene)


def test_one_that_re_executes_has_the_time_of_a_start_to_beat_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On busy processors its imports take longer than it may be silent once it serves."""
    monkeypatch.setattr(supervising, "_LOOK", 0.1)
    program = """if True:
        import asyncio, os, sys, time
        from resolver.host.child import re_execute
        from resolver.host.systemd import beat
        re_executed = os.environ.get("RE_EXECUTED")
        time.sleep(6 if re_executed else 0)
        async def life():
            heart = asyncio.create_task(beat())
            while re_executed or not os.path.exists(sys.argv[1]):
                await asyncio.sleep(0.02)
        asyncio.run(life())
        os.environ["RE_EXECUTED"] = "yes"
        re_execute()
    """
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}

    async def scene() -> None:
        seen = tmp_path / "seen"
        one = Service("one", (sys.executable, "-c", program, str(seen)), environment=environment, patience=4.0)
        supervisor = Supervisor([one])
        supervisor.start()
        process = supervisor._slots["one"].process
        assert process is not None

        def beats() -> bool:
            return process.pulse().ready  # type: ignore[union-attr]

        await until(beats)
        seen.touch()
        await until(lambda: not beats())
        await until(beats)
        assert (process.killed, supervisor.pid("one")) == (False, process.popen.pid)
        await supervisor.stop()

    play(scene)


def open_here() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_cannot_be_started_just_now_is_started_as_soon_as_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As while a package is being replaced, or without memory for one more process."""
    monkeypatch.setattr(supervising, "LONGEST_WAIT", 0.05)
    program, away = tmp_path / "program", tmp_path / "away"
    program.write_text("#!/bin/sh\nexec sleep 100\n")
    program.chmod(0o755)

    async def scene() -> None:
        supervisor = Supervisor([Service("one", (str(program),))])
        supervisor.start()
        first, left = supervisor.pid("one"), open_here()
        program.rename(away)
        supervisor.signal("one", signal.SIGKILL)
        await until(lambda: caplog.text.count("one cannot be started") > 2)
        assert open_here() <= left, "a start that fails leaves nothing open"
        away.rename(program)
        await until(lambda: supervisor.pid("one") not in {None, first})
        program.rename(away)
        second = supervisor.pid("one")
        assert not await supervisor.replace("one")
        assert supervisor.pid("one") == second
        away.rename(program)
        supervisor.signal("one", signal.SIGKILL)
        await until(lambda: supervisor.pid("one") not in {None, second})
        await supervisor.stop()

    play(scene)


def test_every_process_of_a_host_has_a_heart(tmp_path: Path) -> None:
    more = 'stop_page: {listen: ["127.0.0.1:0"]}\nrpz: {listen: ["127.0.0.1:0"], zones: [{}]}\n'
    accepted = accept(write(tmp_path, GOOD.replace("dns: {", "dns: {workers: 1, ") + more))
    listeners = open_listeners(dns=accepted.config.require_dns().listen, stop_page=accepted.config.stop_page.listen)
    found = services(accepted, 0, listeners, WINGS, SharedSecrets())
    listeners.close()
    assert {one.name: (one.heartbeat is None, one.patience) for one in found} == {
        "dns-0": (False, 5.0), "steward": (True, 30.0), "web": (True, 30.0), "rpz": (True, 30.0),
    }  # fmt: skip


def test_a_replacement_serves_before_its_predecessor_goes(counters: Path) -> None:
    async def scene() -> None:
        listeners = open_listeners(dns=[parse("127.0.0.1:0")])
        address = listeners.udp[0][0].getsockname()
        supervisor = Supervisor([service(counters, SERVER, sockets=listeners.of_worker(0, 1))])
        supervisor.start()
        await serving(supervisor)
        first = supervisor.pid("one")
        replacing = asyncio.create_task(supervisor.replace("one"))
        answered = []
        while not replacing.done():
            answered.append(await asked(address))
        assert await replacing
        assert await asked(address) == supervisor.pid("one") != first
        assert set(answered) <= {first, supervisor.pid("one")}
        assert supervisor.restarts("one") == 0
        await supervisor.stop()
        listeners.close()

    play(scene)


def test_a_successor_that_does_not_come_up_leaves_the_predecessor_in_place(counters: Path, tmp_path: Path) -> None:
    once = tmp_path / "once"
    program = f"""
    if os.path.exists({str(once)!r}):
        sys.exit(2)
    open({str(once)!r}, "w").close()
    beat(); ready()
    while True:
        beat(); time.sleep(0.1)
    """

    async def scene() -> None:
        supervisor = Supervisor([service(counters, program)])
        supervisor.start()
        await serving(supervisor)
        first = supervisor.pid("one")
        assert not await supervisor.replace("one")
        assert supervisor.pid("one") == first
        await supervisor.stop()

    play(scene)


def test_totals_of_the_dead_are_kept(counters: Path, tmp_path: Path) -> None:
    retired = tmp_path / "retired.counters"

    async def scene() -> None:
        supervisor = Supervisor([service(counters, "beat(7, 9, 77); ready(); time.sleep(100)")], retired=retired)
        supervisor.start()
        for deaths in (1, 2):
            await serving(supervisor)
            await until(lambda: supervisor._slots["one"].process.pulse().beat > 0)  # type: ignore[union-attr]
            supervisor.signal("one", signal.SIGKILL)
            await until(lambda n=deaths: supervisor.restarts("one") == n)  # type: ignore[misc]
        await supervisor.stop()

    play(scene)
    _, *words, mark = struct.unpack("<4Q", retired.read_bytes())
    assert words[0] >= 14
    assert words[1] >= 18
    assert mark == 77


def test_what_another_version_counted_is_not_taken_for_what_this_one_counts(counters: Path, tmp_path: Path) -> None:
    retired = tmp_path / "retired.counters"
    retired.write_bytes(struct.pack("<5Q", 1, 100, 200, 300, 76))

    async def scene() -> None:
        supervisor = Supervisor([service(counters, "beat(7, 9, 77); ready(); time.sleep(100)")], retired=retired)
        supervisor.start()
        await serving(supervisor)
        await until(lambda: supervisor._slots["one"].process.pulse().beat > 0)  # type: ignore[union-attr]
        await supervisor.stop()

    play(scene)
    assert struct.unpack("<4Q", retired.read_bytes())[1:] == (7, 9, 77)


def test_a_process_that_does_not_go_is_killed(counters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "GRACE", 0.2)

    async def scene() -> None:
        program = "signal.signal(signal.SIGTERM, signal.SIG_IGN); beat(); ready(); time.sleep(100)"
        supervisor = Supervisor([service(counters, program)])
        supervisor.start()
        await serving(supervisor)
        pid = supervisor.pid("one")
        await supervisor.stop()
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    play(scene)


def test_services_stop_in_their_order(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    program = f"""
    def go(*_):
        open({str(ends)!r}, "a").write(sys.argv[2])
        sys.exit(0)
    signal.signal(signal.SIGTERM, go)
    ready(); time.sleep(100)
    """
    text = PRELUDE + textwrap.dedent(program)

    async def scene() -> None:
        supervisor = Supervisor(
            [
                Service(name, (sys.executable, "-c", text, str(tmp_path / name), name), says_ready=True, order=order)
                for name, order in (("c", 2), ("a", 0), ("b", 1))
            ]
        )
        supervisor.start()
        await serving(supervisor)
        await supervisor.stop()

    play(scene)
    assert ends.read_text() == "abc"


def test_who_stands_behind_gets_less_of_a_processor(tmp_path: Path) -> None:
    (tmp_path / "tells.py").write_text("import os, sys\nprint(os.getpriority(os.PRIO_PROCESS, 0), *sys.argv[1:])")
    command = [sys.executable, "-m", "resolver.host.child", "--background", "7", "tells", "--config", "x"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "7 --config x\n"


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (1, 0), (2, 0.25), (3, 0.5), (5, 2.0), (50, 10.0)])
def test_who_keeps_dying_is_started_ever_later(failures: int, seconds: float) -> None:
    assert wait_before_restart(failures) == seconds


@pytest.mark.parametrize(
    ("pulse", "now", "hung"),
    [
        (Pulse(started=100, ready=False, beat=0), 150, False),
        (Pulse(started=100, ready=False, beat=0), 161, True),
        (Pulse(started=100, ready=True, beat=149), 150, False),
        (Pulse(started=100, ready=True, beat=144), 150, True),
        (Pulse(started=149, ready=True, beat=100), 150, False),  # the beat is its predecessor's
    ],
)
def test_a_process_hangs_when_its_heart_stood_still_for_too_long(pulse: Pulse, now: float, hung: bool) -> None:
    assert pulse.hung(now, 5.0) is hung


def test_who_is_given_more_patience_has_more_time_to_start_too() -> None:
    starting = Pulse(started=100, ready=False, beat=0)
    assert [starting.hung(now, 30.0) for now in (219, 221)] == [False, True]


def test_a_child_goes_when_its_parent_is_killed(tmp_path: Path) -> None:
    """Through `resolver.host.child`, as every service is started."""
    (tmp_path / "grandchild.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(100)\n"
    )
    parent = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-m", "resolver.host.child", "grandchild"],
                 env={**os.environ, "STOPSIGN_PARENT": str(os.getpid())})
time.sleep(100)
"""
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, str(tmp_path)])}
    with subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path, env=environment) as process:
        deadline = time.monotonic() + PATIENCE
        said = tmp_path / "pid"
        while not said.exists() or not said.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    pid = int(said.read_text())
    while state_of(pid) not in ("", "Z"):  # Z: nobody is left to wait for it; it ended
        assert time.monotonic() < deadline
        time.sleep(0.01)
