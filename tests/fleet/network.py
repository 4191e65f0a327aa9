"""Networks joined by cables, switches and routers, on one machine: each in a network namespace, held by a process.

Enters: names and addresses. Leaves: `Network`s in which programs run; cables that can be pulled, paths that can be cut
in silence. Needs root, as CI has it. A namespace has no name of its own on the machine, so that runs do not meet.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs.dns_host import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOLDS = "3600"  # seconds: what a killed test leaves behind ends by itself
_cables = itertools.count()


def run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass
class Network:
    """One machine's network. `address`: its first; `ports`: by the name of the network at the cable's other end."""

    name: str
    holder: int
    address: str = ""
    ports: dict[str, str] = field(default_factory=dict)

    @property
    def enter(self) -> tuple[str, ...]:
        """What runs a program in it, as the same process; before others, since a busy machine is no dead one."""
        return ("nice", "--adjustment=-15", "nsenter", f"--net=/proc/{self.holder}/ns/net")

    def run(self, *command: str) -> str:
        return run(*self.enter, *command)

    def ip(self, *lines: str) -> None:
        """Each line is what stands after `ip`."""
        run(*self.enter, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def forward(self) -> None:
        """It is a router, which chooses between equal ways by addresses and ports."""
        for setting in ("ip_forward", "fib_multipath_hash_policy"):
            self.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv4/{setting}")

    def pull(self, other: str) -> None:
        """The cable to that network."""
        self.ip(f"link set {self.ports[other]} down")

    def plug(self, other: str) -> None:
        self.ip(f"link set {self.ports[other]} up")

    @contextlib.contextmanager
    def silence(self, between: str, other: str) -> Iterator[None]:
        """What this router gets of these two addresses for each other vanishes; no sender hears of it."""
        ways = [f"rule {{}} from {a} to {b} blackhole" for a, b in ((between, other), (other, between))]
        self.ip(*(way.format("add") for way in ways))
        try:
            yield
        finally:
            self.ip(*(way.format("delete") for way in ways))


@dataclass
class Networks:
    """All of them; they end with the block of `networks`."""

    stack: contextlib.ExitStack
    every: dict[str, Network] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Network:
        return self.every[name]

    def add(self, name: str) -> Network:
        own = Path("/proc/self/ns/net").readlink()
        holder = subprocess.Popen(["unshare", "--net", "sleep", HOLDS])
        self.stack.callback(holder.wait)
        self.stack.callback(holder.kill)
        wait_until(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != own, f"network {name}")
        self.every[name] = made = Network(name, holder.pid)
        made.ip("link set lo up")
        return made

    def switch(self, name: str) -> Network:
        """A network that only joins the cables that end in it."""
        made = self.add(name)
        made.ip("link add switch type bridge", "link set switch up")
        return made

    def cable(self, machine: Network, switch: Network, address: str, routes: Sequence[str] = ()) -> None:
        """From the machine, which has this address (`10.1.0.11/24`) there, to the switch."""
        number = next(_cables)
        here, there = f"m{number}", f"s{number}"
        machine.ip(
            f"link add {here} type veth peer name {there} netns {switch.holder}",
            f"address add {address} dev {here}", f"link set {here} up",
        )  # fmt: skip
        switch.ip(f"link set {there} master switch", f"link set {there} up")
        machine.ports[switch.name], switch.ports[machine.name] = here, there
        machine.address = machine.address or address.partition("/")[0]
        if routes:
            machine.ip(*(f"route add {route}" for route in routes))


@contextlib.contextmanager
def networks() -> Iterator[Networks]:
    with contextlib.ExitStack() as stack:
        yield Networks(stack)


def may_make_networks() -> bool:
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return done.returncode == 0
