"""What a query over a stream costs a processor: Stopsign, dnsdist and Unbound in one run.

`python -m tests.bench.streams [--queries N] [--modes tcp dot doh]`

Enters: dnsperf, and of the peers those that are installed. Leaves: a table of processor microseconds a query (user and
system, of the serving process alone, from `/proc/PID/stat`), and the ratios. Each server has one processor's worth of
threads and the same names in its cache; 20 connections with 10 questions in flight each, and 500 with one each.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import find_program
from tests.rigs.certificates import NAME, Files, made
from tests.rigs.dns_host import Host, free_port, running
from tests.rigs.resolvers import OUTSIDE, Outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = 500
SHAPES = {"tcp": ((20, 200), (500, 500)), "dot": ((20, 200), (500, 500)), "doh": ((20, 200),)}
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Serving:
    name: str
    pid: int
    ports: dict[str, int]

    def cpu(self) -> float:
        """Seconds, with all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


@contextlib.contextmanager
def stopsign(folder: Path, files: Files, upstream: str) -> Iterator[Serving]:
    encrypted = {"name": NAME, "certificate": str(files.certificate), "key": str(files.key), "tls": ["127.0.0.1:0"]}
    limits = {"tcp_connections": 4096, "tcp_per_client": 4096}
    more = {"dns": {"encrypted": {**encrypted, "https": {"listen": ["127.0.0.1:0"]}}, "limits": limits}}
    with running(Host(folder, [upstream], more=more)) as host:
        uses = {"tcp": "dns", "dot": "dns_tls", "doh": "dns_https"}
        ports = {mode: host.addresses(use)[0][1] for mode, use in uses.items()}
        yield Serving("Stopsign", host.said()[0]["pid"], ports)


@contextlib.contextmanager
def dnsdist(folder: Path, files: Files, upstream: str) -> Iterator[Serving]:
    ports = {mode: free_port() for mode in ("tcp", "dot")}
    folder.mkdir(parents=True)
    (folder / "dnsdist.conf").write_text(f"""
setLocal("127.0.0.1:{ports["tcp"]}", {{maxInFlight=64}})
addTLSLocal("127.0.0.1:{ports["dot"]}", "{files.certificate}", "{files.key}", {{maxInFlight=64}})
setACL("127.0.0.0/8")
setSecurityPollSuffix("")
setMaxTCPClientThreads(1)
setMaxTCPConnectionsPerClient(0)
newServer{{address="{upstream}", healthCheckMode="up"}}
getPool(""):setCache(newPacketCache(100000, {{maxTTL=86400, numberOfShards=1}}))
""")
    command = [find_program("dnsdist") or "", "--supervised", "--disable-syslog", "-C", str(folder / "dnsdist.conf")]
    with started("dnsdist", command, ports) as serving:
        yield serving


@contextlib.contextmanager
def dnsdist_before_unbound(folder: Path, files: Files, upstream: str) -> Iterator[Serving]:
    """dnsdist asks over TCP what it was asked over TCP: its upstream must answer both ways."""
    with unbound(folder / "unbound", files, upstream) as behind:
        deadline = time.monotonic() + 60
        while not is_open(behind.ports["tcp"]):
            assert time.monotonic() < deadline, "Unbound does not listen"
            time.sleep(0.1)
        with dnsdist(folder / "dnsdist", files, f"127.0.0.1:{behind.ports['tcp']}") as serving:
            yield serving


def is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def unbound(folder: Path, files: Files, upstream: str) -> Iterator[Serving]:
    ports = {mode: free_port() for mode in ("tcp", "dot", "doh")}
    folder.mkdir(parents=True)
    interfaces = "".join(f"  interface: 127.0.0.1@{port}\n" for port in ports.values())
    (folder / "unbound.conf").write_text(f"""
server:
{interfaces}  num-threads: 1
  tls-port: {ports["dot"]}
  https-port: {ports["doh"]}
  tls-service-key: "{files.key}"
  tls-service-pem: "{files.certificate}"
  incoming-num-tcp: 1000
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "iterator"
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
forward-zone:
  name: "."
  forward-addr: {upstream.replace(":", "@")}
""")
    command = [find_program("unbound") or "", "-d", "-c", str(folder / "unbound.conf")]
    with started("Unbound", command, ports) as serving:
        yield serving


@contextlib.contextmanager
def started(name: str, command: list[str], ports: dict[str, int]) -> Iterator[Serving]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Serving(name, process.pid, ports)
    finally:
        process.terminate()
        process.wait(30)


def asked(serving: Serving, mode: str, questions: Path, connections: int, in_flight: int, count: int) -> int:
    """Asks so many questions; how many had an answer."""
    port = serving.ports[mode]
    command = [find_program("dnsperf") or "", "-m", mode, "-s", "127.0.0.1", "-p", str(port), "-d", str(questions)]
    command += ["-c", str(connections), "-q", str(in_flight), "-n", str(max(count // NAMES, 1)), "-t", "3", "-l", "20"]
    command += ["-O", f"doh-uri=https://127.0.0.1:{port}/dns-query"] if mode == "doh" else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = re.search(r"Queries completed:\s+(\d+)", done.stdout)
    return int(found[1]) if found else 0


def measured(serving: Serving, questions: Path, modes: list[str], count: int) -> Iterator[tuple[str, float]]:
    deadline = time.monotonic() + 60
    while asked(serving, "tcp", questions, 1, 1, NAMES) < NAMES:  # it serves, and all names are in its cache
        assert time.monotonic() < deadline, f"{serving.name} does not answer"
        time.sleep(0.2)
    for mode in (mode for mode in modes if mode in serving.ports):
        for connections, in_flight in SHAPES[mode]:
            before = serving.cpu()
            answered = asked(serving, mode, questions, connections, in_flight, count)
            shape = f"{mode}, {connections} x {max(in_flight // connections, 1)}"
            yield shape, (serving.cpu() - before) * 1e6 / max(answered, 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=200_000)
    parser.add_argument("--modes", nargs="+", default=["tcp", "dot", "doh"])
    arguments = parser.parse_args()
    servers: list[tuple[str, Callable[..., contextlib.AbstractContextManager[Serving]]]] = [("stopsign", stopsign)]
    servers += [
        (name, start)
        for name, start in (("dnsdist", dnsdist_before_unbound), ("unbound", unbound))
        if find_program(name)
    ]
    outside = Outside(OUTSIDE, ttl=(86_400).to_bytes(4))
    upstream = f"127.0.0.1:{outside.port}"
    with tempfile.TemporaryDirectory() as temporary, contextlib.closing(outside):
        folder = Path(temporary)
        questions = folder / "questions"
        questions.write_text("".join(f"name-{number}.example A\n" for number in range(NAMES)))
        files = made(folder / "tls")
        own: dict[str, float] = {}
        for name, start in servers:
            with start(folder / name, files, upstream) as serving:
                for shape, cost in measured(serving, questions, arguments.modes, arguments.queries):
                    own.setdefault(shape, cost)
                    print(f"{serving.name:10} {shape:16} {cost:6.1f} us a query   ratio {own[shape] / cost:.2f}")


if __name__ == "__main__":
    main()
