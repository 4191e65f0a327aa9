"""`make bench`: one table of what a DNS server costs, beside what the sockets alone cost.

Enters: names to block (the real lists where they are, else made-up ones), the servers that are installed. Leaves: a
table, CPU per query first, or JSON. The load and the limits are `core/load`; the upstream is too.

What makes two rows comparable:
- each server has processor 0 to itself, load and upstream share processor 1; rounds are interleaved, figures are the
  median over the rounds;
- CPU per query counts every process of the server's family, and leads: the load may run out before a server does (such
  rows say `load`), and then q/s says little;
- every server blocks the same names, answers them alike, and relays the rest to the same upstream; answers are checked.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.servers import ROOT, Server, every_server
from tests.bench.work import KINDS, Work, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER_CPU, LOAD_CPU = "0", "1"
SPARE = 0.93  # a server that used less of its processor than this was waiting for the load

Figures = dict[str, float]


def family(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    ticks = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Proportional: what several processes share is counted once."""
    kib = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


@contextlib.contextmanager
def running(command: list[str], cpu: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one processor, ended with all that it started."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["taskset", "-c", cpu, *command], stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def settle(pid: int) -> None:
    """Waits until the server has done what it does only once, after its start."""
    before = cpu_seconds(pid)
    for _ in range(20):
        time.sleep(1.0)
        now = cpu_seconds(pid)
        if now - before < 0.03:
            return
        before = now


def measure(tool: Path, server: Server, pid: int, work: Work, kind: str, seconds: float, skip: int) -> Figures:
    """One row: the load for so many seconds, and what the server's processes used meanwhile."""
    command = ["taskset", "-c", LOAD_CPU, str(tool), "ask", f"127.0.0.1:{server.port}", str(work.queries[kind])]
    command += ["--seconds", str(seconds), "--skip", str(skip)]
    if (expected := work.expected[kind]) and not server.is_limit:
        command += ["--expect", expected]
    before = cpu_seconds(pid)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: Figures = json.loads(done.stdout)
    spent = cpu_seconds(pid) - before
    figures["cpu_us"] = spent * 1e6 / max(figures["answered"], 1)
    figures["busy"] = spent / seconds
    figures["mib"] = memory_mib(pid)
    return figures


def one_round(tool: Path, server: Server, work: Work, seconds: float, number: int) -> dict[str, Figures]:
    """All kinds of work for one server, freshly started."""
    started = time.monotonic()
    rows = {}
    with running(server.command, SERVER_CPU, work.folder / f"{server.name}.log") as process:
        server.wait(work.probe, process)
        ready = time.monotonic() - started
        settle(process.pid)
        for kind in server.kinds:
            if kind in ("cached", "mix"):  # each name has been asked before
                measure(tool, server, process.pid, work, kind, seconds, 0)
            skip = number * 700_000 if kind == "miss" else 0
            rows[kind] = {**measure(tool, server, process.pid, work, kind, seconds, skip), "ready": ready}
    return rows


def medians(runs: list[Figures]) -> Figures:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def show(names: int, found: dict[str, dict[str, Figures]]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, title=f"{names:,} names blocked; a processor for each server")
    columns = ("work", "server", "CPU us/q", "of limit", "q/s", "of limit", "p50 us", "p99 us", "lost", "wrong",
               "servfail", "MiB", "ready s", "")  # fmt: skip
    for column in columns:
        table.add_column(column, justify="left" if column in ("work", "server", "") else "right")
    for kind, by_name in found.items():
        limit = next((figures for name, figures in by_name.items() if name.startswith("limit")), None)
        for number, (name, f) in enumerate(by_name.items()):
            cpu_share = f"{limit['cpu_us'] / f['cpu_us']:.2f}" if limit and f["cpu_us"] else "-"
            share = f"{f['qps'] / limit['qps']:.2f}" if limit else "-"
            table.add_row(
                "" if number else kind, name, f"{f['cpu_us']:.2f}", cpu_share, f"{f['qps']:,.0f}", share,
                f"{f['p50_us']:.0f}", f"{f['p99_us']:.0f}", f"{f['lost']:.0f}", f"{f['wrong']:.0f}",
                f"{f['servfail']:.0f}", f"{f['mib']:.0f}", f"{f['ready']:.1f}", "load" if f["busy"] < SPARE else "",
            )  # fmt: skip
        table.add_section()
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--names", type=Path, action="append", help="block these; again for more")
    parser.add_argument("--popular", type=Path, help="names that are asked, most popular first")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", action="append", help="this server alone (and the limits); again for more")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("needs two processors: one for the server, one for the load")
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "--package", "load"], cwd=ROOT / "core", check=True
    )
    tool = ROOT / "core/target/release/load"
    found: dict[str, dict[str, list[Figures]]] = {kind: {} for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="stopsign-bench-") as folder:
        work = prepare(Path(folder), options.names, options.popular)
        servers = [s for s in every_server(tool, work) if not options.only or s.is_limit or s.name in options.only]
        upstream = [str(tool), "answer", work.upstream, work.expected["miss"]]
        with running(upstream, LOAD_CPU, work.folder / "upstream.log"):
            for number in range(options.rounds):
                for server in servers:
                    print(f"round {number + 1} of {options.rounds}: {server.name}", file=sys.stderr)
                    for kind, figures in one_round(tool, server, work, options.seconds, number).items():
                        found[kind].setdefault(server.name, []).append(figures)
        result = {kind: {name: medians(runs) for name, runs in rows.items()} for kind, rows in found.items()}
        if options.json:
            print(json.dumps({"names": work.blocked, "rounds": options.rounds, "work": result}, indent=1))
        else:
            show(work.blocked, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
