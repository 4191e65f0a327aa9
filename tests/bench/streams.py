"""What a query over a stream costs a processor: Stopsign, dnsdist, Unbound and Knot Resolver in one run.

`python -m tests.bench.streams [--queries N] [--rounds N] [--modes tcp dot doh] [--connections N]`

Enters: dnsperf, `core/load`, and of the peers those that are installed. Leaves: a table of processor microseconds a
query (user and system, of the serving process alone, from `/proc/PID/stat`) and the ratio to each peer: medians over
rounds in which the servers are asked in turns. Each server has one processor's worth of threads, the same names in its
cache and the same names to block. 20 connections have 10 questions in flight each, by dnsperf; 500 have one each, by
`load`, which counts from when they are open: dnsperf has a window over all of them, so that some have two questions and
some none. There a server costs one time half more than the other, as the two processors share the work: twice the
rounds. `limit: echo` only reads and writes: it is what the kernel takes. Then what connections cost:
`tests.bench.connections`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from resolver import _core
from tests.bench.connections import Serving, costs
from tests.conftest import find_program
from tests.rigs.certificates import NAME, Files, made
from tests.rigs.dns_host import ROOT, Host, free_port, running
from tests.rigs.resolvers import OUTSIDE, Outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = 500
SHAPES = {"tcp": ((20, 200), (500, 500)), "dot": ((20, 200), (500, 500)), "doh": ((20, 200),)}
WORK = ("cached", "blocked")


@contextlib.contextmanager
def stopsign(folder: Path, files: Files, upstream: str) -> Iterator[Serving]:
    encrypted = {"name": NAME, "certificate": str(files.certificate), "key": str(files.key), "tls": ["127.0.0.1:0"]}
    limits = {"tcp_connections": 20_000, "tcp_per_client": 20_000, "tcp_idle": "10m"}
    (folder / "run").mkdir(parents=True)
    block(folder, [f"blocked-{number}.example" for number in range(NAMES)])
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
setMaxTCPQueuedConnections(0)
setTCPRecvTimeout(600)
listed = newSuffixMatchNode()
for number = 0, {NAMES - 1} do listed:add("blocked-" .. number .. ".example.") end
addAction(SuffixMatchNodeRule(listed), SpoofAction("192.0.2.66"))
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


def block(folder: Path, names: list[str]) -> None:
    """The names as the live list of the host in that folder."""
    always = {"expires": "2099-01-01T00:00:00Z", "issued": "2026-01-01T00:00:00Z"}
    entries = [
        {"basis": "order-1", "category": "test", **always, "match": "subtree", "name": name, "reference": f"{at:016}"}
        for at, name in enumerate(sorted(names))
    ]
    lines = "".join(json.dumps(one, sort_keys=True, separators=(",", ":")) + "\n" for one in entries)
    document = folder / "full.zst"
    document.write_bytes(zstandard.compress(lines.encode()))
    source: _core.Source = {
        "document": str(document), "action": "stop-page", "ede": 16, "bases": ["order-1"], "suspended": [],
    }  # fmt: skip
    meta = {"generation": 1, "lists": [{"name": "bench", "version": 1}]}
    _core.compile([source], folder / "run" / "current.list", json.dumps(meta).encode())


@contextlib.contextmanager
def echo(load: Path) -> Iterator[Serving]:
    ports = {"tcp": free_port()}
    with started("limit: echo", [str(load), "echo-stream", f"127.0.0.1:{ports['tcp']}"], ports) as serving:
        yield serving


def is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def unbound(folder: Path, files: Files, upstream: str) -> Iterator[Serving]:
    ports = {mode: free_port() for mode in ("tcp", "dot", "doh")}
    folder.mkdir(parents=True)
    interfaces = "".join(f"  interface: 127.0.0.1@{port}\n" for port in ports.values())
    blocked = "".join(f'  local-data: "blocked-{number}.example. A 192.0.2.66"\n' for number in range(NAMES))
    (folder / "unbound.conf").write_text(f"""
server:
{interfaces}  num-threads: 1
  tls-port: {ports["dot"]}
  https-port: {ports["doh"]}
  tls-service-key: "{files.key}"
  tls-service-pem: "{files.certificate}"
  incoming-num-tcp: 1000
  tcp-idle-timeout: 600000
{blocked}  access-control: 127.0.0.0/8 allow
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
def knot(folder: Path, files: Files, upstream: str) -> Iterator[Serving]:
    ports = {mode: free_port() for mode in ("tcp", "dot", "doh")}
    kinds = {"tcp": "dns", "dot": "tls", "doh": "doh2"}
    folder.mkdir(parents=True)
    listens = "".join(
        f"net.listen('127.0.0.1', {port}, {{ kind = '{kinds[mode]}' }})\n" for mode, port in ports.items()
    )
    blocked = ", ".join(f"'blocked-{number}.example.'" for number in range(NAMES))
    (folder / "kresd.conf").write_text(f"""
{listens}net.tls('{files.certificate}', '{files.key}')
trust_anchors.remove('.')
cache.size = 100 * MB
stop = policy.ANSWER({{ [kres.type.A] = {{ rdata = kres.str2ip('192.0.2.66'), ttl = 60 }} }})
policy.add(policy.suffix(stop, policy.todnames({{ {blocked} }})))
policy.add(policy.all(policy.STUB('{upstream.replace(":", "@")}')))
""")
    command = [find_program("kresd") or "", "-n", "-c", str(folder / "kresd.conf"), str(folder)]
    with started("Knot", command, ports) as serving:
        yield serving


@contextlib.contextmanager
def started(name: str, command: list[str], ports: dict[str, int]) -> Iterator[Serving]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Serving(name, process.pid, ports)
    finally:
        process.terminate()
        process.wait(30)


@dataclass(frozen=True)
class Load:
    """Who asks where each connection has one question in flight, and whom it believes."""

    tool: Path
    files: Files

    def cost(self, serving: Serving, mode: str, questions: Path, connections: int, count: int) -> float:
        """Processor seconds for each answer, without what the connections cost."""
        command = [str(self.tool), "stream", f"127.0.0.1:{serving.ports[mode]}", str(questions)]
        command += ["--connections", str(connections), "--count", str(count)]
        command += ["--authorities", str(self.files.root), "--name", NAME] if mode == "dot" else []
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
            assert asking.stdin is not None
            assert asking.stdout is not None
            if asking.stdout.readline() != "ready\n":
                raise ConnectionError(f"{serving.name} does not take {connections} connections")
            before = serving.cpu()
            asking.stdin.close()
            answered: int = json.loads(asking.stdout.read())["answered"]
            return (serving.cpu() - before) / max(answered, 1)


def asked(serving: Serving, mode: str, questions: Path, connections: int, in_flight: int, count: int) -> int:
    """Asks so many questions; how many had an answer."""
    port = serving.ports[mode]
    command = [find_program("dnsperf") or "", "-m", mode, "-s", "127.0.0.1", "-p", str(port), "-d", str(questions)]
    command += ["-c", str(connections), "-q", str(in_flight), "-n", str(max(count // NAMES, 1)), "-t", "3", "-l", "20"]
    command += ["-O", f"doh-uri=https://127.0.0.1:{port}/dns-query"] if mode == "doh" else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = re.search(r"Queries completed:\s+(\d+)", done.stdout)
    return int(found[1]) if found else 0


def until_warm(serving: Serving, questions: dict[str, Path]) -> None:
    deadline = time.monotonic() + 60
    while any(asked(serving, "tcp", one, 1, 1, NAMES) < NAMES for one in questions.values()):
        assert time.monotonic() < deadline, f"{serving.name} does not answer"
        time.sleep(0.2)


def cost(serving: Serving, mode: str, questions: Path, connections: int, in_flight: int, count: int) -> float:
    """Processor seconds for each answer of dnsperf's."""
    before = serving.cpu()
    answered = asked(serving, mode, questions, connections, in_flight, count)
    return (serving.cpu() - before) / max(answered, 1)


def measured(
    servers: list[Serving], load: Load, questions: dict[str, Path], modes: list[str], count: int, rounds: int
) -> None:
    """Prints one line for each kind of work."""
    for mode in modes:
        for connections, in_flight in SHAPES[mode]:
            for work, asking in questions.items():
                found: dict[str, list[float]] = {}
                turns = 2 * rounds if in_flight == connections else rounds
                for serving in (one for _ in range(turns) for one in servers if mode in one.ports):
                    if in_flight == connections:
                        each = load.cost(serving, mode, asking, connections, count)
                    else:
                        each = cost(serving, mode, asking, connections, in_flight, count)
                    found.setdefault(serving.name, []).append(each * 1e6)
                costs = {name: statistics.median(every) for name, every in found.items()}
                own = next(iter(costs.values()))
                shape = f"{mode}, {connections} x {max(in_flight // connections, 1)}, {work}"
                said = [f"{name} {cost:5.1f} us ({own / cost:.2f})" for name, cost in costs.items()]
                print(f"{shape:24} {'   '.join(said)}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", nargs="*", default=["tcp", "dot", "doh"])
    parser.add_argument("--connections", type=int, default=10_000, help="idle ones over TLS; 0: none are measured")
    arguments = parser.parse_args()
    starts: list[tuple[str, Callable[..., contextlib.AbstractContextManager[Serving]]]] = [("stopsign", stopsign)]
    starts += [
        (name, start)
        for name, start in (("dnsdist", dnsdist_before_unbound), ("unbound", unbound), ("kresd", knot))
        if find_program(name)
    ]
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "--package", "load"], cwd=ROOT / "core", check=True
    )
    tool = ROOT / "core/target/release/load"
    outside = Outside(OUTSIDE, ttl=(86_400).to_bytes(4))
    upstream = f"127.0.0.1:{outside.port}"
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(outside))
        folder = Path(temporary)
        questions = {work: folder / work for work in WORK}
        for work, path in questions.items():
            path.write_text("".join(f"{work}-{number}.example A\n" for number in range(NAMES)))
        files = made(folder / "tls")
        servers = [stack.enter_context(start(folder / name, files, upstream)) for name, start in starts]
        for serving in servers:
            until_warm(serving, questions)
        limit = stack.enter_context(echo(tool))
        load = Load(tool, files)
        measured([*servers, limit], load, questions, arguments.modes, arguments.queries, arguments.rounds)
        if arguments.connections:
            for serving in servers:
                # Unbound has a buffer of 64 KiB for each of the connections that it is configured for.
                idle = 0 if serving.name == "Unbound" else arguments.connections
                for line in costs(serving, files, idle):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
