"""`python -m tests.bench.stop_page`: how many requests a second the stop page answers on one processor, by wrk.

Enters: nothing; the demo's list on the real processes of `stopsign run`. Leaves: a table, or JSON. The web process has
processor 0 to itself and wrk processor 1; both talk over loopback. `CPU us` is what the web process itself used for a
request; where it used less than its processor, wrk was the limit and the row says `load`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from resolver.cli.demo import tree
from resolver.config.schema import Endpoint
from tests.bench.__main__ import LOAD_CPU, SERVER_CPU, SPARE, cpu_seconds, settle
from tests.rigs.dns_host import free_port, running
from tests.rigs.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Sequence

BROWSER = (
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
    "Accept-Language: de-DE,de;q=0.9,en;q=0.8",
    "User-Agent: Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36",
    "Cookie: session=0123456789abcdef",
)
# What is asked, and with which headers; `{name}` is a listed name.
KINDS: dict[str, Sequence[str]] = {
    "page, kept connection": ("Host: www.{name}", *BROWSER),
    "page, a connection each": ("Host: www.{name}", "Connection: close", *BROWSER),
    "JSON, kept connection": ("Host: www.{name}", "Accept: application/json"),
    "421, kept connection": ("Host: not-on-any-list.example", *BROWSER),
}
LATENCY = re.compile(r"\s+(50|99)%\s+([0-9.]+)(us|ms|s)")
UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


def measure(url: str, headers: Sequence[str], pid: int, seconds: int) -> dict[str, float]:
    """One row: requests a second, microseconds of the web process for each, latency, and answers that failed."""
    command = ["taskset", "-c", LOAD_CPU, "wrk", "-t1", "-c64", f"-d{seconds}s", "--latency"]
    for header in headers:
        command += ["-H", header]
    before = cpu_seconds(pid)
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(pid) - before
    number = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    assert number is not None, said
    assert rate is not None, said
    failed = re.search(r"Socket errors: (.*)", said)
    latency = {f"p{share}_us": float(time) * UNITS[unit] for share, time, unit in LATENCY.findall(said)}
    errors = sum(int(count) for count in re.findall(r"\d+", failed[1])) if failed else 0
    return {"rps": float(rate[1]), "cpu_us": spent * 1e6 / max(int(number[1]), 1), "busy": spent / seconds,
            "errors": errors, **latency}  # fmt: skip


def rows(seconds: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="stopsign-bench-") as folder:
        ports = tree.Ports(*(Endpoint("127.0.0.1", free_port()) for _ in range(3)))
        planted = tree.plant(Path(folder) / "tree", [], ports=ports, upstream=Endpoint("127.0.0.1", 9), workers=1)
        with running(Provider(planted.folder, [], workers=1, only=None)) as host:
            pid = host.children()["app"]
            os.sched_setaffinity(pid, {int(SERVER_CPU)})
            settle(pid)
            url = "http://{}:{}/".format(*host.addresses("stop_page")[0])
            return {
                kind: measure(url, [header.format(name=planted.listed[0]) for header in headers], pid, seconds)
                for kind, headers in KINDS.items()
            }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stop_page", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = rows(options.seconds)
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("stop page", "requests/s", "CPU us", "p50 us", "p99 us", "errors", ""):
        table.add_column(column, justify="left" if column in ("stop page", "") else "right")
    for kind, f in found.items():
        table.add_row(kind, f"{f['rps']:,.0f}", f"{f['cpu_us']:.1f}", f"{f['p50_us']:.0f}", f"{f['p99_us']:.0f}",
                      f"{f['errors']:.0f}", "load" if f["busy"] < SPARE else "")  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 110, highlight=False).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
