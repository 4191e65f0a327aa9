"""`python -m tests.bench.restart`: what it costs the clients when every worker is replaced under load.

Enters: how many queries a second, and for how long. Leaves: one line of JSON for each way to replace the workers: sent,
lost, wrong, latencies. The load is `core/load` with an open loop (a window that is never full), from as many ports as
reach every worker; a query that is not answered within a second is lost. Half of the names are blocked, half relayed or
cached.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from resolver.cli.demo import tree
from resolver.config.schema import Endpoint
from tests.rigs.dns_host import ROOT, free_port, running
from tests.rigs.provider import Provider, change, command

WAYS = (("workers", "restart"), ("reload",), ("restart",))
SOCKETS, WINDOW = 32, 60_000


def measure(rate: int, seconds: float, workers: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    build = ["cargo", "build", "--release", "--locked", "--quiet", "--package", "load"]
    subprocess.run(build, cwd=ROOT / "core", check=True)
    tool = str(ROOT / "core/target/release/load")
    with tempfile.TemporaryDirectory(prefix="stopsign-restart-") as made:
        folder, upstream = Path(made), Endpoint("127.0.0.1", free_port())
        ports = tree.Ports(*(Endpoint("127.0.0.1", free_port()) for _ in range(3)))
        tree.plant(folder / "tree", [], ports=ports, upstream=upstream, workers=workers)
        # All of the load is one client.
        change(Provider(folder / "tree", []), dns={"limits": {"per_client": WINDOW}})
        queries = folder / "queries"
        lines = [f"www{n}.lucky-wheel.example A\nwww.zone{n}.example{n % 50}.net A" for n in range(2_000)]
        queries.write_text("\n".join(lines) + "\n")
        answering = subprocess.Popen([tool, "answer", str(upstream), "198.51.100.7"])
        try:
            with running(Provider(folder / "tree", [], workers=workers, only=None)) as host:
                for way in WAYS:
                    ask = [tool, "ask", str(ports.dns), str(queries), "--rate", f"{rate}", "--seconds", f"{seconds:g}"]
                    ask += ["--sockets", f"{SOCKETS}", "--window", f"{WINDOW}"]
                    load = subprocess.Popen(ask, stdout=subprocess.PIPE, text=True)
                    time.sleep(seconds / 10)
                    began = time.monotonic()
                    done = command(host, *way)
                    took = time.monotonic() - began
                    assert done.returncode == 0, done.stderr
                    said, _ = load.communicate(timeout=seconds + 60)
                    assert took < seconds, "the load ended before the last worker was replaced"
                    found.append({"way": " ".join(way), "replaced_in_s": round(took, 1), **json.loads(said)})
        finally:
            answering.kill()
            answering.wait()
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rate", type=int, default=50_000, help="queries a second")
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    for one in measure(given.rate, given.seconds, given.workers):
        print(json.dumps(one))


if __name__ == "__main__":
    main()
