"""A provider's host in a network of its own: all of `stopsign run`, BIRD, and the loop that announces it.

Enters: a network, a configuration. Leaves: a `Resolver` with what an operator and an accident do to it. What systemd
does for the guide's unit `stopsign-route.service` (`BindsTo=`, `ExecStart=`, `ExecStopPost=`) is done here: the loop
starts with the host and ends, with the unit's last commands, before the host is stopped or once it has died.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from resolver.config.schema import load
from resolver.log.writer import Log
from tests.conftest import find_program
from tests.fleet.network import HOLDS
from tests.fleet.routing import GUIDE, SERVICE, Bird
from tests.rigs.dns_host import ROOT
from tests.rigs.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fleet.network import Network

ANNOUNCE = "/etc/stopsign/announce"
FIRST = -15  # niceness


def loop_of_the_guide() -> str:
    text = GUIDE.read_text(encoding="utf-8")
    (block,) = re.findall(r"^    bad=0\n(?:    .*\n)*", text, re.MULTILINE)
    return textwrap.dedent(block)


def last_commands_of_the_guide() -> list[str]:
    """What the unit runs once the loop has ended."""
    text = GUIDE.read_text(encoding="utf-8")
    assert f"ExecStart=/bin/sh {ANNOUNCE}" in text
    assert "BindsTo=stopsign-dns.service" in text
    found = re.findall(r"^    ExecStopPost=-?(.*)$", text, re.MULTILINE)
    assert found
    return found


@dataclass
class Resolver(Provider):
    """`name`, and what of it runs beside its processes."""

    network: Network = field(kw_only=True)
    bird: Bird = field(kw_only=True)
    settings: dict[str, Any] = field(default_factory=dict, kw_only=True)
    _loop: subprocess.Popen[bytes] | None = None
    _put_first: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def unicast(self) -> str:
        return self.network.address

    def write_config(self) -> None:
        self.config.write_text(yaml.safe_dump(self.settings), encoding="utf-8")

    def install(self) -> None:
        """The programs that the guide's commands name, and the loop."""
        (self.folder / "bin").mkdir(parents=True, exist_ok=True)
        birdc = find_program("birdc")
        python = f"PYTHONPATH={ROOT} exec {shlex.quote(sys.executable)} -P -m resolver.cli.main"
        for name, text in (
            ("birdc", f'exec {birdc} -s {self.bird.control} "$@"'),
            ("stopsign", f'{python} "$@" --config {self.config}'),
        ):
            path = self.folder / "bin" / name
            path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            path.chmod(0o755)
        (self.folder / "announce").write_text(loop_of_the_guide(), encoding="utf-8")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`stopsign …` on this host."""
        program = [*self.network.enter, str(self.folder / "bin" / "stopsign"), *words]
        return subprocess.run(program, capture_output=True, text=True, check=False, timeout=300)

    def must(self, *words: str) -> str:
        done = self.command(*words)
        assert done.returncode == 0, f"{self.name}: stopsign {' '.join(words)}: {done.stdout}{done.stderr}\n{self.log}"
        return done.stdout

    def begin_log(self) -> None:
        """What its steward would do at its first start, so that the others can be given the key before theirs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_config()
        config = load(self.config)
        Log.open(config.places, origin=config.log_origin).close()

    @property
    def log_key(self) -> str:
        return load(self.config).places.log_vkey.read_text(encoding="utf-8").strip()

    def set_peers(self, keys: Sequence[str]) -> None:
        self.settings["log"] = {**self.settings.get("log", {}), "peers": list(keys)}
        self.write_config()

    # -- what systemd does

    def start(self, *, announced: bool = True) -> None:
        self.install()
        self.network.ip(f"address replace {SERVICE}/32 dev lo")
        self.prefix = self.network.enter
        super().start()
        if announced:
            self.announce()

    def serving(self) -> bool:
        assert self.process is not None
        if self._put_first is not self.process:
            self._put_first = self.process
            threading.Thread(target=_put_first, args=(self.process.pid,), daemon=True).start()
        return super().serving()

    def announce(self) -> None:
        """`systemctl start stopsign-route`; it ends when the host does."""
        assert self._loop is None
        assert self.process is not None
        with (self.folder / "announce.log").open("ab") as log:
            self._loop = subprocess.Popen(
                [*self.network.enter, "timeout", HOLDS, "/bin/sh", str(self.folder / "announce")],
                env={**os.environ, "PATH": self._path}, stdout=log, stderr=log, process_group=0,
            )  # fmt: skip
        bound = os.pidfd_open(self.process.pid)
        threading.Thread(target=self._when_it_ends, args=(bound,), daemon=True).start()

    def withdraw(self) -> None:
        """`systemctl stop stopsign-route`."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(loop.pid, signal.SIGTERM)
        loop.wait()
        for command in last_commands_of_the_guide():
            subprocess.run(
                shlex.split(command.replace("/usr/sbin/birdc", f"{self.folder}/bin/birdc")),
                capture_output=True,
                check=False,
            )

    @property
    def _path(self) -> str:
        return f"{self.folder}/bin:{os.environ['PATH']}"

    def _when_it_ends(self, bound: int) -> None:
        poll = select.poll()
        poll.register(bound, select.POLLIN)
        poll.poll()
        os.close(bound)
        self.withdraw()

    def stop(self) -> int:
        self.withdraw()
        return super().stop()

    def end(self) -> None:
        """Whatever state it is in."""
        self.withdraw()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    # -- what an accident does

    def die(self) -> None:
        """Every process of it at once, as when the machine is switched off."""
        assert self.process is not None
        every = [self.process.pid, *self.children().values()]
        for pid in every:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)


def _put_first(supervisor: int) -> None:
    """Until it ends, what yields to others on its host does not yield to what runs beside these hosts: each that is
    started, or begins again as the same process, says once more that it yields."""
    ended = os.pidfd_open(supervisor)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    while not poll.poll(100):
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
                os.setpriority(os.PRIO_PROCESS, int(pid), FIRST)
    os.close(ended)


@contextlib.contextmanager
def resolver(one: Resolver) -> Iterator[Resolver]:
    try:
        one.start()
        yield one
    finally:
        one.end()


def configuration(
    name: str, root: Path, *, repository: str, database: str, upstreams: Sequence[str], more: dict[str, Any]
) -> dict[str, Any]:
    """Of a host of the fleet: but for its name, and where its list is, all have the same."""
    settings: dict[str, Any] = {
        "host": name,
        "state_dir": "state",
        "run_dir": "run",
        "dns": {
            "listen": ["0.0.0.0:53"],
            "workers": 1,
            "upstreams": list(upstreams),
            "allow_clients": ["10.0.0.0/8"],
            "limits": {"per_client": 100_000},  # one address plays a whole city
        },
        "stop_page": {"listen": ["0.0.0.0:80"], "ipv4": "192.0.2.66"},
        "portal": {"listen": ["127.0.0.1:8080"], "url": "http://stop.isp.example", "database": database},
        "lists": [
            {
                "name": "fleet",
                "repository": repository,
                "trusted_root": str(root),
                "refresh": "2s",
                "approve_first": True,
            }
        ],
    }
    for part, values in more.items():
        settings[part] = {**settings.get(part, {}), **values}
    return settings
