"""The program exchanged under a running host, whose sockets somebody else holds: nothing that clients ask is lost.

As under systemd, but without it: the part of a socket unit is played by the test, and so is that of dpkg.
`python -m tests.bench.upgrade` does the same with the package, on a whole Debian.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from resolver.cli.demo import tree
from resolver.config.schema import Endpoint, load
from resolver.ipc.control import call
from tests.rigs.dns_host import PATIENCE, ROOT, free_port, question, roomy, running, wait_until
from tests.rigs.load import EXPECTED, Load, under_load
from tests.rigs.provider import Provider
from tests.rigs.socket_activation import LAUNCH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKERS = 2
NAMES = ("dns", "steward", "web")
BUFFER = 8 << 20  # as the socket unit has it


@dataclass
class Installed(Provider):
    """A provider whose program lies in a folder of its own, and whose sockets outlive it."""

    held: list[tuple[str, socket.socket]] = field(default_factory=list)

    @property
    def program(self) -> Path:
        return self.folder / "program"

    def install(self, version: str) -> None:
        """As dpkg does it: file by file, each written beside its place and renamed over what was there."""
        for package in ("resolver", "blocklists"):
            for source in sorted((ROOT / package).rglob("*")):
                if source.is_file() and "__pycache__" not in source.parts:
                    self._unpack(self.program / source.relative_to(ROOT), source.read_bytes())
        metadata = f"Metadata-Version: 2.1\nName: stopsign\nVersion: {version}\n"
        self._unpack(self.program / "stopsign.dist-info" / "METADATA", metadata.encode())

    def _unpack(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.dpkg-new")
        fresh.write_bytes(data)
        fresh.rename(path)

    def hold(self, use: str, kind: socket.SocketKind, port: int) -> None:
        one = socket.socket(socket.AF_INET, kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        roomy(one, BUFFER)
        one.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            one.listen(64)
        self.held.append((use, one))

    def start(self) -> None:
        descriptors = [one.fileno() for _, one in self.held]
        names = ":".join(use for use, _ in self.held)
        environment = self.environment | {"LISTEN_FDS": f"{len(self.held)}", "LISTEN_FDNAMES": names}
        launch = [sys.executable, "-c", LAUNCH, ",".join(map(str, descriptors))]
        command = [sys.executable, "-P", "-m", "resolver.cli.main", "run", "--config", str(self.config)]
        with (self.folder / "processes.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*launch, *command], env=environment, pass_fds=descriptors, stdout=log, stderr=log
            )
        wait_until(self.serving, "everything serves", 3 * PATIENCE)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.program)}

    def stopsign(self, *words: str) -> str:
        """The command, of what is installed now."""
        command = [sys.executable, "-P", "-m", "resolver.cli.main", *words, "--dir", str(self.folder)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def versions(self) -> list[str]:
        """Of the processes that run, as they say themselves."""
        places = load(self.config).places
        paths = (places.supervisor_socket, places.control_socket, places.web_socket)
        return [call(path, "status")["version"] for path in paths]

    def alarms(self) -> list[str]:
        found: dict[str, Any] = json.loads(self.stopsign("status", "--json"))
        return list(found["alarms"])


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Installed]:
    upstream = free_port()
    ports = tree.Ports(*(Endpoint("127.0.0.1", free_port()) for _ in range(3)))
    folder = tmp_path / "tree"
    tree.plant(folder, [], ports=ports, upstream=Endpoint("127.0.0.1", upstream), workers=WORKERS)
    host = Installed(folder, [], workers=WORKERS, only=None)
    for _ in range(WORKERS):
        host.hold("dns", socket.SOCK_DGRAM, ports.dns.port)
        host.hold("dns", socket.SOCK_STREAM, ports.dns.port)
    host.hold("stop-page", socket.SOCK_STREAM, ports.stop_page.port)
    host.hold("portal", socket.SOCK_STREAM, ports.portal.port)
    host.install("1.0")
    program = "import sys; from tests.rigs.provider import outside; outside(int(sys.argv[1]))"
    world = subprocess.Popen(
        [sys.executable, "-c", program, str(upstream)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        with running(host):
            yield host
    finally:
        world.terminate()
        world.wait(20)
        for _, one in host.held:
            one.close()


def test_what_is_unpacked_is_taken_up_by_a_restart_without_a_lost_query(host: Installed) -> None:
    assert host.process is not None
    before = host.children()
    assert host.versions() == ["1.0"] * 3

    async def scene() -> None:
        await asyncio.to_thread(host.install, "2.0")
        assert host.versions() == ["1.0"] * 3, "that alone changes nothing"
        old = [f"{name} runs version 1.0, installed is 2.0: stopsign restart runs it" for name in NAMES]
        assert await asyncio.to_thread(host.alarms) == old
        assert await asyncio.to_thread(host.stopsign, "restart") == "applied by dns-0, dns-1, steward, web\n"

    under_load(Load(host.address, EXPECTED), scene)
    assert host.versions() == ["2.0"] * 3
    assert host.alarms() == []
    assert not set(before.values()) & set(host.children().values())
    assert host.process.poll() is None, "the supervisor is the same process"


def test_what_comes_while_the_service_is_stopped_and_started_waits_in_the_sockets(host: Installed) -> None:
    """`systemctl restart`: nobody reads for a moment, and the sockets keep what comes, over UDP and TCP."""
    load = Load(host.address, EXPECTED, rate=100, patience=30.0)
    answers: list[bytes] = []

    async def scene() -> None:
        assert await asyncio.to_thread(host.stop) == 0
        await asyncio.to_thread(host.install, "2.0")
        reader, writer = await asyncio.open_connection(*host.held[0][1].getsockname())
        message = question(7, "aces-bets.example", 1)
        writer.write(len(message).to_bytes(2) + message)
        await asyncio.to_thread(host.start)
        answers.append(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
        writer.close()

    under_load(load, scene)
    assert socket.inet_ntoa(answers[0][-4:]) == tree.STOP_ADDRESS
    assert host.versions() == ["2.0"] * 3
