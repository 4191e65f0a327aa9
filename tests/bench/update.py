"""`python -m tests.bench.update`: a list of a million names gets a thousand more while a provider serves.

Enters: nothing; the names are drawn from one fixed seed. Leaves: a table or JSON: how long from the refresh that
fetches the new version until every worker answers by it, step by step; what a steady load saw before and meanwhile
(lost, wrong, 99th percentile); the steward's memory. It is everything of `stopsign run`, as in production: an issuer's
published folder, a steward, a worker for each processor, the upstream of `core/load`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from blocklists.issuer.rehearsal import Rehearsal
from resolver.cli.demo import tree
from resolver.config.schema import Endpoint
from resolver.config.schema import load as load_config
from resolver.ipc import control
from tests.bench.work import PASS_ADDRESS, SYLLABLES
from tests.rigs.dns_host import ROOT, Host, free_port, question, running

PATIENCE = 120.0
STEWARD = "resolver.lists.steward"


def invented(rng: random.Random, count: int) -> list[str]:
    """So many different names of two words, below a few thousand registries' names."""
    syllables = SYLLABLES.split()
    words = ["".join(rng.choices(syllables, k=rng.randrange(2, 5))) for _ in range(20_000)]
    found: dict[str, None] = {}
    while len(found) < count:
        found[f"{rng.choice(words)}-{rng.choice(words)}.{rng.choice(('com', 'net', 'org', 'info', 'bet'))}"] = None
    return list(found)


class Provider(Host):
    """Over a tree that the demo's code planted, fetching when it is told to and not before."""

    def write_config(self) -> None:
        settings = yaml.safe_load(self.config.read_text())
        settings["lists"][0]["refresh"] = "1h"
        settings["dns"] |= {"upstreams": list(self.upstreams), "workers": self.workers}
        self.config.write_text(yaml.safe_dump(settings))

    def generation(self, entries: int) -> int:
        """Which all workers have, with so many entries; 0: not all have the same, or fewer."""
        said = {worker["generation"] if worker["entries"] >= entries else 0 for worker in self.said()}
        return said.pop() or 0 if len(said) == 1 else 0


def steward(host: Provider) -> int:
    """Its process id."""
    assert host.process is not None
    for pid in Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split():
        if STEWARD.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    raise SystemExit("there is no steward")


def memory(pid: int) -> dict[str, float]:
    """MiB: what it holds now, and the most it ever held; both with the pages of mapped files."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {key: int(lines[name].split()[0]) / 1024 for key, name in (("now", "VmRSS"), ("peak", "VmHWM"))}


def load(tool: Path, host: Provider, queries: Path, rate: int, seconds: float) -> subprocess.Popen[str]:
    address = "{}:{}".format(*host.address)
    command = [str(tool), "ask", address, str(queries), "--seconds", str(seconds), "--rate", str(rate)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def report(process: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = process.communicate(timeout=PATIENCE)
    figures: dict[str, float] = json.loads(output)
    return figures


def is_stopped(host: Provider, name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(5)
        one.connect(host.address)
        one.send(question(1, name, 1))
        return socket.inet_aton(tree.STOP_ADDRESS) in one.recv(4096)


def prepare(folder: Path, names: int, more: int) -> None:
    """In `folder`: a tree with an issuer, and what it publishes before (`v1`) and after (`v2`); what will be asked."""
    rng = random.Random(20261122)
    drawn = invented(rng, names + more)
    listed, coming = drawn[:names], drawn[names:]
    (folder / "names").write_text("\n".join(listed) + "\n")
    (folder / "coming").write_text("\n".join(coming) + "\n")
    asked = [f"{rng.choice(listed)} A" if rng.random() < 0.1 else f"www{rng.randrange(2000)}.passed.example A"
             for _ in range(100_000)]  # fmt: skip
    (folder / "queries").write_text("\n".join(asked) + "\n")
    ports = tree.Ports(*(Endpoint("127.0.0.1", free_port()) for _ in range(3)))
    tree.plant(folder / "tree", [folder / "names"], ports=ports, upstream=Endpoint("127.0.0.1", free_port()), workers=1)
    published = folder / "tree" / "issuer" / "published"
    shutil.copytree(published, folder / "v1")
    Rehearsal.open(folder / "tree" / "issuer").change(tree.LIST, add=coming)
    shutil.copytree(published, folder / "v2")


def serve(folder: Path, version: str) -> None:
    """What the mirror serves from now on."""
    link = folder / "tree" / "published"
    link.with_suffix(".new").symlink_to(folder / version, target_is_directory=True)
    link.with_suffix(".new").rename(link)


def measure(folder: Path, tool: Path, rate: int, seconds: float) -> dict[str, Any]:
    listed, coming = ((folder / name).read_text().split() for name in ("names", "coming"))
    upstream, workers = free_port(), len(os.sched_getaffinity(0))
    for old in ("state", "run", "log"):
        shutil.rmtree(folder / "tree" / old, ignore_errors=True)
    serve(folder, "v1")
    world = subprocess.Popen([str(tool), "answer", f"127.0.0.1:{upstream}", PASS_ADDRESS])
    try:
        with running(Provider(folder / "tree", [f"127.0.0.1:{upstream}"], workers=workers, only=None)) as host:
            began = time.monotonic()
            first = wait(host, 0, len(listed))
            found: dict[str, Any] = {"names": len(listed), "more": len(coming), "workers": workers}
            found["first_load_s"] = time.monotonic() - began
            pid = steward(host)
            found["memory_first"] = memory(pid)
            serve(folder, "v2")
            # what the first load left to do, and what was never asked for before, is not what is measured
            report(load(tool, host, folder / "queries", rate, 2))
            found["before"] = report(load(tool, host, folder / "queries", rate, seconds))
            running_load = load(tool, host, folder / "queries", rate, seconds)
            began = time.monotonic()
            answer = control.call(load_config(host.config).places.control_socket, "refresh", timeout=PATIENCE, lists=[])
            assert answer["outcomes"][0]["outcome"] == "active", answer
            found["steward_s"] = time.monotonic() - began
            wait(host, first, len(listed) + len(coming))
            found["active_s"] = time.monotonic() - began
            found["stopped"] = all(is_stopped(host, name) for name in coming[:: max(len(coming) // 20, 1)])
            found["during"] = report(running_load)
            found["memory"] = memory(pid)
    finally:
        world.terminate()
        world.wait(20)
    return found


def wait(host: Provider, beyond: int, entries: int) -> int:
    """The generation that all workers have, once it is a later one with so many entries."""
    deadline = time.monotonic() + PATIENCE
    while (number := host.generation(entries)) <= beyond:
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing newer than generation {beyond} after {PATIENCE:g} s:\n{host.log}")
        time.sleep(0.01)
    return number


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.update", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--more", type=int, default=1_000)
    parser.add_argument("--rate", type=int, default=2_000, help="queries a second all the while")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--folder", type=Path, help="where the lists are made, or were made before")
    parser.add_argument("--prepare", action="store_true", help="make the lists in --folder and measure nothing")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "--package", "load"], cwd=ROOT / "core", check=True
    )
    tool = ROOT / "core/target/release/load"
    with tempfile.TemporaryDirectory(prefix="stopsign-update-") as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "v2").exists():
            folder.mkdir(parents=True, exist_ok=True)
            prepare(folder, options.names, options.more)
        found = {} if options.prepare else measure(folder, tool, options.rate, options.seconds)
    if options.prepare:
        return 0
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    before, during = found["before"], found["during"]
    print(f"{found['more']:,} entries more in {found['names']:,}, {found['workers']} workers")
    print(
        f"active on all workers after   {found['active_s']:.2f} s ({'stopped' if found['stopped'] else 'NOT STOPPED'})"
    )
    print(f"of that, the steward          {found['steward_s']:.2f} s")
    print(f"lost, wrong                   {during['lost']:.0f}, {during['wrong']:.0f} of {during['sent']:,.0f}")
    print(f"p99 before, meanwhile         {before['p99_us']:.0f} us, {during['p99_us']:.0f} us "
          f"({during['p99_us'] / max(before['p99_us'], 1):.2f})")  # fmt: skip
    print(f"steward, MiB                  {found['memory_first']['peak']:.0f} at most for the first load, "
          f"{found['memory']['peak']:.0f} at most, {found['memory']['now']:.0f} now")  # fmt: skip
    print(f"first load                    {found['first_load_s']:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
