"""The take-over from an old Unbound, typed as it stands in the guide, under a load of which no query may be lost.

What systemd does is done here: units are processes, a socket unit is sockets that are opened with SO_REUSEPORT.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from resolver.cli.demo import tree
from resolver.config.values import Endpoint
from tests.rigs.dns_host import PATIENCE, ROOT, free_port, question, unbound, wait_until
from tests.rigs.namespace import beside, in_a_network
from tests.rigs.socket_activation import LAUNCH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVICE = ("192.0.2.53", 53)
CLIENT = 5.0  # seconds until the usual client asks again (resolv.conf(5))
OLD = "203.0.113.77"
DROP_IN = "/run/systemd/system/stopsign-dns.socket.d"
LISTED, OTHER = "aces-bets.example", "popular.example"


def typed() -> list[str]:
    """The commands of that chapter of the guide, in their order."""
    guide = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    chapter = guide.partition("## Take over from a running resolver\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^ {7}(\S.*)$", chapter, re.MULTILINE)
    return [line.partition("#")[0].strip() for line in lines]


@dataclass
class Clients:
    """Each asks one question after the other from another host, from a new port each time, and waits for its answer as
    long as clients do."""

    move: Callable[[], None]
    """The calling thread to that host."""
    names: tuple[str, ...] = (OTHER, LISTED)
    ended: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[float, str, str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Clients:
        self.threads = [threading.Thread(target=self._ask, args=(at,)) for at in range(8)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, at: int) -> None:
        self.move()
        while not self.ended.wait(0.01):
            at += 1
            name = self.names[at % len(self.names)]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.settimeout(CLIENT)
                one.connect(SERVICE)
                try:
                    one.send(question(at & 0xFFFF, name, 1))
                    answer = one.recv(4096)
                except OSError:
                    self.lost.append(name)
                    continue
            self.answers.append((time.monotonic(), name, socket.inet_ntoa(answer[-4:])))


@dataclass
class Machine:
    """The host: what its units are, and what they do at a word of systemctl."""

    folder: Path
    undo: contextlib.ExitStack
    clients: Clients
    old: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    restarts: int = 0
    device: str = ""

    def type(self, line: str) -> None:
        known: dict[str, Callable[[], None]] = {
            "systemctl restart unbound": self.restart_unbound,
            "systemctl start stopsign-steward stopsign-web.socket stopsign-web": lambda: self.unit("steward"),
            "systemctl start stopsign-dns.socket stopsign-dns.service": self.dns,
            "systemctl daemon-reload": lambda: None,
            f"mkdir -p {DROP_IN}": lambda: None,
            f"printf '[Socket]\\nBindToDevice=lo\\n' > {DROP_IN}/lo.conf": lambda: setattr(self, "device", "lo"),
            f"rm -r {DROP_IN}": lambda: setattr(self, "device", ""),
            "stopsign take-over": self.take_over,
            "systemctl enable --now stopsign-dns.socket stopsign-web.socket stopsign.target": lambda: None,
            "stopsign check-config": self.check,
            "stopsign units --output /etc/systemd/system": self.units,
            "stopsign lists status": self.list_is_there,
            "stopsign health": self.is_healthy,
            "stopsign status": self.look,
        }
        known[line]()

    def stopsign(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "resolver.cli.main", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE)

    def restart_unbound(self) -> None:
        """First it takes the port of the upstream too, then it gives up port 53."""
        self.old.close()
        wildcard = (53,) if self.restarts == 0 else ()
        self.old.enter_context(unbound(self.folder / "old", 5335, wildcard=wildcard))
        self.restarts += 1

    def unit(self, wing: str, *launch: str, held: list[socket.socket] | None = None, notify: str = "") -> None:
        config = str(self.folder / "tree" / "stopsign.yaml")
        command = [sys.executable, "-P", "-m", "resolver.cli.main", "run", "--only", wing, "--config", config]
        sockets = held or []
        descriptors = [one.fileno() for one in sockets]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT)}
        environment |= {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(["dns"] * len(sockets))}
        environment |= {"NOTIFY_SOCKET": notify} if notify else {}
        with (self.folder / f"{wing}.log").open("ab") as log:
            process = subprocess.Popen(
                [*launch, *command], env=environment, pass_fds=descriptors, stdout=log, stderr=log
            )

        def end() -> None:
            process.terminate()
            process.wait(30)

        self.undo.callback(end)

    def dns(self) -> None:
        held = []
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            one = socket.socket(socket.AF_INET, kind)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self.device:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.device.encode())
            one.bind(SERVICE)
            if kind is socket.SOCK_STREAM:
                one.listen(64)
            held.append(one)
            self.undo.callback(one.close)
        numbers = ",".join(str(one.fileno()) for one in held)
        with socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM
        ) as notified:  # systemctl returns when the service is ready
            notified.bind("")  # an abstract name that the kernel chooses
            notified.settimeout(2 * PATIENCE)
            name = "@" + notified.getsockname()[1:].decode()
            self.unit("dns", sys.executable, "-c", LAUNCH, numbers, held=held, notify=name)
            while b"READY=1" not in notified.recv(4096):
                pass

    def check(self) -> None:
        """What the machine lacks that this test gives it (folders of root, a web port) is none of this."""
        done = self.stopsign("check-config", "--json", *self.dir())
        assert done.returncode == 1, done.stderr
        errors = [one for one in json.loads(done.stdout)["findings"] if one["level"] == "error"]
        assert {one["key"] for one in errors} == {"dns.listen[0]"}, errors
        assert all("cannot be opened (Address already in use)" in one["text"] for one in errors)

    def units(self) -> None:
        done = self.stopsign("units", "--output", str(self.folder / "units"), *self.dir())
        assert done.returncode == 0, done.stderr

    def dir(self) -> list[str]:
        return ["--dir", str(self.folder / "tree")]

    def list_is_there(self) -> None:
        wait_until((self.folder / "tree" / "run" / "current.list").exists, "the list is live", 2 * PATIENCE)
        assert self.stopsign("lists", "status", *self.dir()).returncode == 0

    def is_healthy(self) -> None:
        wait_until(lambda: self.stopsign("health", *self.dir()).stdout == "healthy\n", "healthy", 2 * PATIENCE)

    def alarms(self, what: str) -> list[str]:
        said: dict[str, Any] = json.loads(self.stopsign("status", "--json", *self.dir()).stdout)
        return [alarm for alarm in said["alarms"] if what in alarm]

    def others(self) -> list[str]:
        return self.alarms("another program listens")

    def take_over(self) -> None:
        assert self.alarms("DNS hears lo alone") == ["DNS hears lo alone, and no client: stopsign take-over"]
        assert {answer for _, _, answer in self.clients.answers} == {OLD}
        done = self.stopsign("take-over", *self.dir())
        assert done.stdout == "hears everybody now: TCP 192.0.2.53:53, UDP 192.0.2.53:53\n", done.stderr
        assert self.stopsign("take-over", *self.dir()).stdout == "hears everybody already\n"
        assert not self.alarms("DNS hears")

    def look(self) -> None:
        """Before the old resolver gives the port up it is named; then nobody is."""
        if self.restarts == 1:
            found = self.others()
            assert len(found) == 2, found
            assert all(": unbound (pid " in alarm for alarm in found), found
        else:
            wait_until(lambda: not self.others(), "nobody else listens", PATIENCE)


@pytest.mark.needs("unbound", "ip")
def test_no_query_is_lost_while_stopsign_takes_over_from_an_old_unbound(tmp_path: Path) -> None:
    commands = typed()
    assert len(commands) == 18

    def scene() -> None:
        ports = tree.Ports(Endpoint(*SERVICE), *(Endpoint("127.0.0.1", free_port()) for _ in range(2)))
        plan = tree.plant(tmp_path / "tree", [], ports=ports, upstream=Endpoint("127.0.0.1", 5335), workers=1)
        settings = yaml.safe_load(plan.config.read_text())
        settings["dns"]["allow_clients"] = ["192.0.2.0/24"]
        plan.config.write_text(yaml.safe_dump(settings))
        with contextlib.ExitStack() as undo:
            clients = Clients(undo.enter_context(beside(f"{SERVICE[0]}/24", "192.0.2.1/24")))
            machine = Machine(tmp_path, undo, clients)
            undo.callback(machine.old.close)
            machine.type(commands[0])  # a restart of the old one, with no Stopsign yet, costs what it costs
            with clients:
                for command in commands[1:]:
                    machine.type(command)
                taken, clients.answers = clients.answers, []
                wait_until(lambda: len(clients.answers) > 100, "they go on asking")
            assert not clients.lost, f"{len(clients.lost)} of {len(taken)}"
            assert len(taken) > 500
            assert {answer for _, name, answer in taken if name == OTHER} == {OLD}
            assert {answer for _, name, answer in clients.answers if name == LISTED} == {tree.STOP_ADDRESS}

    in_a_network(scene)
