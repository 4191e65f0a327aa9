"""A provider's host for tests: real processes on free ports of loopback, and the sockets to ask them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop
import yaml

from resolver.config.schema import load
from resolver.ipc.worker_counters import totals
from tests.rigs.certificates import NAME

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Iterator, Sequence

Address = tuple[str, int]
AnyHost = TypeVar("AnyHost", bound="Host")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
SO_RCVBUFFORCE = 33  # socket(7); Python has no name for it


def _ports() -> list[int]:
    """Ports for servers, in an order that is another one each time: none that the kernel chooses for clients, and of
    the others this process's share where several run tests side by side."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    room = max(range(10_000, first), range(last + 1, 65_536), key=len)
    if len(room) < 1000:  # clients may have nearly any port here
        room = range(10_000, 65_536)
    share, shares = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    ports = [*room[int(share.removeprefix("gw")) :: int(shares)]]
    secrets.SystemRandom().shuffle(ports)
    return ports


_next_ports = itertools.cycle(_ports())  # one that was given away, and is not opened yet, comes last


def bound_sockets() -> tuple[socket.socket, socket.socket]:
    """Sockets for UDP and TCP, bound to one port of 127.0.0.1: for a server within the test."""
    while True:
        port = next(_next_ports)
        udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        try:
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
        except OSError:
            udp.close()
            tcp.close()
        else:
            return udp, tcp


def free_port() -> int:
    """A port of 127.0.0.1 that is free for both UDP and TCP: for a server that opens it later, and for one that is
    closed and opened again. No other test gets it meanwhile, and no client of any."""
    udp, tcp = bound_sockets()
    with udp, tcp:
        return int(udp.getsockname()[1])


def roomy(one: socket.socket, octets: int) -> None:
    """Room for what waits to be read, if need be beyond what the machine gives to everybody, as systemd and the core
    take it where they may."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
    with contextlib.suppress(PermissionError):
        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, octets)


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {patience:g} s"
        time.sleep(0.02)
    return found


def written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below it, and what is in it, while processes write there: a file that one renames or removes meanwhile
    is none."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                yield path, path.read_bytes()


@dataclass
class Host:
    """`stopsign run` in a folder of its own."""

    folder: Path
    upstreams: Sequence[str]
    workers: int = 1
    only: str | None = "dns"
    listen: Sequence[str] = ("127.0.0.1:0",)
    more: dict[str, Any] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    """What the program is started by: `nsenter --net=…`."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "stopsign.yaml"

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    @property
    def log(self) -> str:
        return (self.folder / "processes.log").read_text(encoding="utf-8", errors="replace")

    def write_config(self) -> None:
        settings: dict[str, Any] = {
            "state_dir": "state",
            "run_dir": "run",
            "dns": {
                "listen": list(self.listen),
                "workers": self.workers,
                "upstreams": list(self.upstreams),
                "allow_clients": ["127.0.0.0/8", "::1/128"],
            },
            "stop_page": {"ipv4": "192.0.2.66"},
            "portal": {"url": "http://127.0.0.1:8080"},
        }
        for key, value in self.more.items():
            settings[key] = {**settings[key], **value} if isinstance(value, dict) and key in settings else value
        settings = {key: value for key, value in settings.items() if value is not None}  # None: without that section
        self.config.write_text(yaml.safe_dump(settings))

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_config()
        command = [*self.prefix, sys.executable, "-P", "-m", "resolver.cli.main", "run", "--config", str(self.config)]
        command += ["--only", self.only] if self.only else []
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self.folder / "processes.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_until(self.serving, "the workers serve", 3 * PATIENCE)  # several interpreters at once
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.log}") from None

    def serving(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
        return (self.run_dir / "addresses.json").exists() and len(self.said()) == self.workers

    def stop(self) -> int:
        """Ends it as systemd would; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def said(self) -> list[dict[str, Any]]:
        """What each worker says of itself."""
        found = []
        for path in sorted((self.run_dir / "workers").glob("[0-9]*.json")):
            with contextlib.suppress(OSError, ValueError):
                found.append(json.loads(path.read_bytes()))
        return found

    def addresses(self, use: str = "dns") -> list[tuple[str, int]]:
        said = json.loads((self.run_dir / "addresses.json").read_bytes())
        pairs = [text.rpartition(":") for text in said[use]]
        return [(host.strip("[]"), int(port)) for host, _, port in pairs]

    def counters(self) -> dict[str, int]:
        """Summed over the workers."""
        return totals(load(self.config).places)

    @property
    def address(self) -> tuple[str, int]:
        return self.addresses()[0]


@contextlib.contextmanager
def running(host: AnyHost) -> Iterator[AnyHost]:
    """Starts it; ends it and everything it started, whatever happens."""
    try:
        host.start()
        yield host
    finally:
        if host.process is not None and host.process.poll() is None:
            host.process.terminate()
            try:
                host.process.wait(30)
            except subprocess.TimeoutExpired:
                host.process.kill()
                host.process.wait()


@contextlib.contextmanager
def nsd(folder: Path, zones: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Debian's nsd with these zones (name -> zone file's text); its address."""
    from tests.conftest import find_program

    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    lines = [
        f'server:\n server-count: 1\n ip-address: 127.0.0.1@{port}\n username: ""\n chroot: ""\n zonesdir: "{folder}"',
        f' pidfile: "{folder}/nsd.pid"\n xfrdfile: "{folder}/xfrd"\n zonelistfile: "{folder}/zones"',
        f' xfrdir: "{folder}"\n rrl-ratelimit: 0\n rrl-whitelist-ratelimit: 0\n tcp-query-count: 0\n tcp-timeout: 120',
        "remote-control:\n control-enable: no",
    ]
    for number, (name, text) in enumerate(zones.items()):
        (folder / f"{number}.zone").write_text(text)
        lines.append(f'zone:\n name: "{name}"\n zonefile: "{number}.zone"')
    (folder / "nsd.conf").write_text("\n".join(lines) + "\n")
    program = find_program("nsd")
    assert program
    log = (folder / "nsd.log").open("wb")
    process = subprocess.Popen([program, "-d", "-c", str(folder / "nsd.conf")], stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(("127.0.0.1", port)), f"nsd does not answer: {(folder / 'nsd.log').read_text()}")
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(20)
        log.close()


@contextlib.contextmanager
def unbound(folder: Path, *ports: int, wildcard: Sequence[int] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Debian's Unbound as an old resolver that knows every name (203.0.113.77): on these ports of loopback and of every
    address, each with SO_REUSEPORT, as it comes."""
    from tests.conftest import find_program

    folder.mkdir(parents=True, exist_ok=True)
    interfaces = "".join(f" interface: 127.0.0.1@{port}\n" for port in ports)
    interfaces += "".join(f" interface: 0.0.0.0@{port}\n" for port in wildcard)
    (folder / "unbound.conf").write_text(
        f'server:\n{interfaces} so-reuseport: yes\n username: ""\n chroot: ""\n directory: "{folder}"\n pidfile: ""\n'
        ' do-daemonize: no\n use-syslog: no\n module-config: "iterator"\n access-control: 0.0.0.0/0 allow\n'
        ' local-zone: "." redirect\n local-data: ". 60 IN A 203.0.113.77"\n local-data: ". 60 IN NS ns.old.example."\n'
        "remote-control:\n control-enable: no\n"
    )
    program = find_program("unbound")
    assert program
    with (folder / "unbound.log").open("ab") as log:
        process = subprocess.Popen([program, "-d", "-c", str(folder / "unbound.conf")], stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(("127.0.0.1", ports[-1])), f"Unbound: {(folder / 'unbound.log').read_text()}")
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _answers(address: tuple[str, int]) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.2)
        one.connect(address)
        with contextlib.suppress(OSError):
            one.send(question(1, ".", 6))
            return len(one.recv(4096)) > 12
    return False


# -- scenes on the loop that workers use


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs the scene on the loop that workers use, and lets what was closed come to its end."""

    async def to_the_end() -> None:
        await scene()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)
        await asyncio.sleep(0.02)

    uvloop.run(to_the_end())


def send(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(2) + message)


async def receive(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


# -- messages by hand: what is tested must not be what builds the test


def wire_name(name: str) -> bytes:
    labels = [label.encode("latin-1") for label in name.strip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(
    number: int, name: str, qtype: int, *, rd: bool = True, cd: bool = False, edns: int | None = None, do: bool = False
) -> bytes:
    """A query; `edns`: the payload size of its OPT record."""
    flags = (0x0100 if rd else 0) | (0x0010 if cd else 0)
    counts = b"\0\1\0\0\0\0" + (b"\0\0" if edns is None else b"\0\1")
    message = number.to_bytes(2) + flags.to_bytes(2) + counts + wire_name(name) + qtype.to_bytes(2) + b"\0\1"
    if edns is not None:
        message += b"\0\0\x29" + edns.to_bytes(2) + (0x8000 if do else 0).to_bytes(4) + b"\0\0"
    return message


async def ask_udp(address: tuple[str, int], queries: Sequence[bytes], window: int = 64) -> list[bytes]:
    """The answer to each query, by id; a datagram that got lost is asked again."""
    loop = asyncio.get_running_loop()
    answers: list[bytes | None] = [None] * len(queries)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.connect(address)
        todo, waiting = list(range(len(queries) - 1, -1, -1)), dict[int, tuple[int, float]]()
        deadline = loop.time() + PATIENCE + len(queries) / 500
        while todo or waiting:
            while todo and len(waiting) < window:
                index = todo.pop()
                waiting[index & 0xFFFF] = index, loop.time()
                await loop.sock_sendall(one, (index & 0xFFFF).to_bytes(2) + queries[index][2:])
            try:
                async with asyncio.timeout(1.0):
                    answer = await loop.sock_recv(one, 65_535)
            except TimeoutError:
                assert loop.time() < deadline, f"{len(waiting)} queries are never answered"
                todo += [index for index, _ in waiting.values()]
                waiting.clear()
                continue
            index, _ = waiting.pop(int.from_bytes(answer[:2]), (-1, 0.0))
            if index >= 0:
                answers[index] = answer
    assert all(answer is not None for answer in answers)
    return [answer for answer in answers if answer is not None]


async def ask_tcp(
    address: tuple[str, int], queries: Sequence[bytes], window: int = 32, tls: ssl.SSLContext | None = None
) -> list[bytes]:
    """The same over one pipelined connection, under `tls` if given; one that the server ended is opened again."""
    answers: dict[int, bytes] = {}
    todo = list(range(len(queries)))
    while todo:
        reader, writer = await asyncio.open_connection(*address, ssl=tls, server_hostname=NAME if tls else None)
        waiting: set[int] = set()
        try:
            async with asyncio.timeout(PATIENCE + len(queries) / 500):
                while todo or waiting:
                    while todo and len(waiting) < window:
                        index = todo.pop(0)
                        waiting.add(index)
                        writer.write(
                            len(queries[index]).to_bytes(2) + (index & 0xFFFF).to_bytes(2) + queries[index][2:]
                        )
                    await writer.drain()
                    answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                    (index,) = [i for i in waiting if i & 0xFFFF == int.from_bytes(answer[:2])]
                    waiting.remove(index)
                    answers[index] = answer
        except (asyncio.IncompleteReadError, ConnectionError):
            todo = sorted(waiting) + todo
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return [answers[index] for index in range(len(queries))]
