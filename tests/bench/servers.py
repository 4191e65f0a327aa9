"""The servers that are measured: how each is told to block the same names, and how one sees that it does.

A peer is configured as its documentation says for speed on one processor, and does the same work: the listed names and
all below them get the stop address, the rest is relayed to the upstream and cached.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.work import KINDS, STOP_ADDRESS
from tests.conftest import find_program
from tests.rigs.dns_host import free_port, question

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.bench.work import Work

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0


@dataclass(frozen=True)
class Server:
    """One row of the table. Limits do no work, so that nothing is expected of them."""

    name: str
    command: list[str]
    port: int
    kinds: tuple[str, ...] = KINDS
    is_limit: bool = False

    def wait(self, probe: str, process: subprocess.Popen[bytes]) -> None:
        """Returns when the server blocks `probe` (a limit: when it answers)."""
        wanted = b"" if self.is_limit else socket.inet_aton(STOP_ADDRESS)
        deadline = time.monotonic() + PATIENCE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(0.1)
            one.connect(("127.0.0.1", self.port))
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    raise SystemExit(f"{self.name} ended with status {process.returncode}: {shlex.join(self.command)}")
                with contextlib.suppress(OSError):
                    one.send(question(1, probe, 1))
                    if wanted in one.recv(4096):
                        return
                time.sleep(0.02)
        raise SystemExit(f"{self.name} does not block {probe} after {PATIENCE:g} s")


def every_server(tool: Path, work: Work) -> Iterator[Server]:
    """The limits, Stopsign, and the peers that are installed."""
    port = free_port()
    yield Server("limit: echo", [str(tool), "echo", f"127.0.0.1:{port}"], port, KINDS[:3], is_limit=True)
    port = free_port()
    relay = [str(tool), "relay", f"127.0.0.1:{port}", work.upstream]
    yield Server("limit: relay", relay, port, ("miss",), is_limit=True)
    port = free_port()
    demo = [sys.executable, "-P", "-m", "resolver.cli.main", "demo", "--names", str(work.names), "--workers", "1"]
    demo += ["--upstream", work.upstream, "--dns-port", str(port), "--stop-port", "0", "--portal-port", "0"]
    yield Server("Stopsign", demo, port)
    if program := find_program("dnsdist"):
        yield _dnsdist(program, work)
    if program := find_program("unbound"):
        yield _unbound(program, work)


def _dnsdist(program: str, work: Work) -> Server:
    port = free_port()
    table = work.folder / "names.lua"
    lines = work.names.read_text().split()
    table.write_text("return {" + ",".join(f'"{name}"' for name in lines) + "}\n")
    settings = work.folder / "dnsdist.conf"
    settings.write_text(f"""
setLocal("127.0.0.1:{port}")
setACL("127.0.0.0/8")
setSecurityPollSuffix("")
setMaxUDPOutstanding(65535)
setUDPMultipleMessagesVectorSize(64)
newServer{{address="{work.upstream}", sockets=4, healthCheckMode="up"}}
getPool(""):setCache(newPacketCache(500000, {{maxTTL=86400, numberOfShards=1}}))
listed = newSuffixMatchNode()
listed:add(dofile("{table}"))
addAction(SuffixMatchNodeRule(listed), SpoofAction("{STOP_ADDRESS}"))
""")
    return Server("dnsdist", [program, "--supervised", "--disable-syslog", "--config", str(settings)], port)


def _unbound(program: str, work: Work) -> Server:
    port = free_port()
    host, _, upstream = work.upstream.rpartition(":")
    zone = work.folder / "rpz.zone"
    records = "".join(f"{n} A {STOP_ADDRESS}\n*.{n} A {STOP_ADDRESS}\n" for n in work.names.read_text().split())
    zone.write_text("$TTL 60\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\n" + records)
    settings = work.folder / "unbound.conf"
    settings.write_text(f"""
server:
  num-threads: 1
  interface: 127.0.0.1@{port}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "respip iterator"
  username: ""
  chroot: ""
  directory: "{work.folder}"
  pidfile: ""
  use-syslog: no
  msg-cache-size: 256m
  rrset-cache-size: 512m
  so-rcvbuf: 8m
  so-sndbuf: 8m
  outgoing-range: 4096
  num-queries-per-thread: 4096
forward-zone:
  name: "."
  forward-addr: {host}@{upstream}
rpz:
  name: rpz.bench
  zonefile: "{zone}"
""")
    return Server("Unbound, RPZ", [program, "-d", "-c", str(settings)], port)
