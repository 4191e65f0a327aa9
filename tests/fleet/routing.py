"""BIRD at each host and in each city: a host announces the service's address to its city's router, a route reflector.

Enters: the networks. Leaves: running routers, and what each of them knows. The route itself, and the loop that enables
and disables it, are the guide's (docs/operator.md, "Health, anycast, balancers"), typed as they stand there.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.conftest import find_program
from tests.rigs.dns_host import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.network import Network

GUIDE = ROOT / "docs" / "operator.md"
SERVICE = "192.0.2.53"
AS = 64500
# BIRD's own interval and number; the log says which session ended, and why.
BFD = """log stderr all;
debug protocols { states };
protocol bfd { interface "*" { min rx interval 100 ms; min tx interval 100 ms; multiplier 5; }; }"""


def route_of_the_guide() -> str:
    (line,) = re.findall(r"^    (protocol static stopsign .*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert f"{SERVICE}/32" in line
    return str(line)


def of_host(address: str, router: str) -> str:
    return f"""router id {address};
protocol device {{}}
{BFD}
{route_of_the_guide()}
protocol bgp city {{
  local {address} as {AS};
  neighbor {router} as {AS};
  direct; bfd on; connect retry time 1; error wait time 1, 2;
  ipv4 {{ import none; export where proto = "stopsign"; next hop self; }};
}}
"""


def of_city(address: str, hosts: str, backbone: str, others: dict[str, str]) -> str:
    """`address` faces the hosts, `backbone` the other cities; `others`: their routers, by the network behind each."""
    ways = "".join(f"  route {behind} via {router};\n" for behind, router in others.items())
    peers = "".join(
        f"""protocol bgp other{number} {{
  local {backbone} as {AS};
  neighbor {router} as {AS};
  direct; bfd on; connect retry time 1; error wait time 1, 2;
  ipv4 {{ import where net = {SERVICE}/32; export where net = {SERVICE}/32; add paths on; gateway recursive; }};
}}
"""
        for number, router in enumerate(others.values())
    )
    return f"""router id {backbone};
protocol device {{}}
protocol direct {{ ipv4; }}
protocol static {{
  ipv4;
{ways}}}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP || source = RTS_STATIC; }}; merge paths yes; }}
{BFD}
protocol bgp hosts {{
  local {address} as {AS};
  neighbor range {hosts} as {AS};
  dynamic name "host";
  rr client; direct; bfd on; passive; error wait time 1, 2;
  ipv4 {{ import where net = {SERVICE}/32; export none; }};
}}
{peers}"""


@dataclass
class Bird:
    """A running router."""

    folder: Path
    network: Network

    @property
    def control(self) -> str:
        return str(self.folder / "bird.ctl")

    def asked(self, *words: str) -> str:
        program = find_program("birdc")
        assert program
        done = subprocess.run([program, "-s", self.control, *words], capture_output=True, text=True, check=True)
        return done.stdout

    def hosts(self) -> set[str]:
        """The addresses of the hosts that announce the service here, by what the kernel forwards to."""
        shown = self.network.run("ip", "route", "show", f"{SERVICE}/32")
        return set(re.findall(r"via (\S+)", shown))


@contextlib.contextmanager
def bird(folder: Path, network: Network, text: str) -> Iterator[Bird]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bird.conf").write_text(text, encoding="utf-8")
    program = find_program("bird")
    assert program
    made = Bird(folder, network)
    files = ["-c", str(folder / "bird.conf"), "-s", made.control, "-P", str(folder / "bird.pid")]
    with (folder / "bird.log").open("wb") as log:
        process = subprocess.Popen([*network.enter, program, "-f", *files], stdout=log, stderr=log)
        try:
            wait_until((folder / "bird.ctl").exists, f"BIRD in {network.name}: {folder}/bird.log")
            yield made
        finally:
            process.terminate()
            process.wait(20)
