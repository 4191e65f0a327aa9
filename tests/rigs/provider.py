"""All of `stopsign run` as in production, over a tree that the demo planted, and the commands of its operator."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from resolver.cli.demo import tree
from resolver.cli.demo.upstream import Upstream
from resolver.cli.status import sample, status
from resolver.config.schema import Endpoint, load
from resolver.ipc.control import UnreachableError, call
from tests.rigs.dns_host import ROOT, Host, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Provider(Host):
    """All of `stopsign run` over a tree that the demo's code planted."""

    list_version: int = 1

    def write_config(self) -> None:
        """It is there already."""

    def serving(self) -> bool:
        """Every process: one that only just starts has not read the configuration yet, which a test may change."""
        if not super().serving() or not all(one["lists"] and one["lists"][0]["version"] for one in self.said()):
            return False
        places = load(self.config).places
        try:
            return bool(call(places.web_socket, "status") and call(places.control_socket, "status"))
        except UnreachableError:
            return False

    def children(self) -> dict[str, int]:
        """Process ids by name."""
        assert self.process is not None
        found: dict[str, int] = {}
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                continue
            modules = [
                word.decode() for word in words if word.startswith(b"resolver.") and word != b"resolver.host.child"
            ]
            if not modules:  # a dead one, or one that is only just coming up
                continue
            name = modules[0].rpartition(".")[2]
            number = f"-{words[words.index(b'--index') + 1].decode()}" if b"--index" in words else ""
            found[name + number] = int(pid)
        return found


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[tuple[Provider, str]]:
    """A provider with two workers, 59 names on its list, and the demo's upstream in a process of its own."""
    upstream = free_port()
    ports = tree.Ports(*(Endpoint("127.0.0.1", free_port()) for _ in range(3)))
    folder = tmp_path / "tree"
    tree.plant(folder, [], ports=ports, upstream=Endpoint("127.0.0.1", upstream), workers=2)
    program = "import sys; from tests.rigs.provider import outside; outside(int(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    world = subprocess.Popen([sys.executable, "-c", program, str(upstream)], env=environment)
    try:
        with running(Provider(folder, [], workers=2, only=None)) as host:
            yield host, f"127.0.0.1:{upstream}"
    finally:
        world.terminate()
        world.wait(20)


def outside(port: int) -> None:
    """The world outside, on a port that is known beforehand."""

    async def serve() -> None:
        await Upstream.open(port)
        await asyncio.Event().wait()

    asyncio.run(serve())


def command(host: Host, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "resolver.cli.main", *words, "--dir", str(host.folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def alarms(host: Host) -> list[str]:
    """Those of `status`."""
    config = load(host.config)
    now = sample(config.places)
    found: list[str] = status(config, now, now)["alarms"]
    return found


def change(host: Provider, **settings: dict[str, Any]) -> None:
    config = yaml.safe_load(host.config.read_text())
    for part, values in settings.items():
        config[part] = {**config.get(part, {}), **values}
    host.config.write_text(yaml.safe_dump(config))
