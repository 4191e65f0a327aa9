"""`python -m tests.bench.desk OLD NEW`: what the desk's work on a long list costs, two builds in turn on one machine.

    python -m tests.bench.desk ../before/.venv/bin/stopsign .venv/bin/stopsign --names 1000000 --rounds 5

Enters: the programs to compare (one alone is measured by itself). Leaves: a table or JSON: for each step the medians of
processor time (user and system, so that others on the machine count little), of time by the clock, and of peak memory;
then the ratios of the second to the first. Each round plays a desk and two signers in a new folder: import, sign,
publish, verify, and the same for one name more; then one name is withdrawn. Nothing is shared but the file of names,
which are drawn from one fixed seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST, SECRET = "names", "a bench has no secrets"
SEED = 20261122
INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Modules are compiled once, as where a program is installed."""
STEPS = (
    "import", "sign", "publish", "verify", "propose one", "sign one", "publish one", "withdraw one", "--help",
)  # fmt: skip


def invented(count: int) -> Iterator[str]:
    """So many names, no two alike: two words and a number below a few registries' names."""
    rng = random.Random(SEED)
    letters = "bcdfghklmnprstvz", "aeiou"
    words = ["".join(rng.choice(letters[at % 2]) for at in range(rng.randrange(4, 9))) for _ in range(3_000)]
    for number in range(count):
        # the number makes it unique; every third has no need of one: its words are counted through instead
        first, second = (number // 3) % 3_000, (number // 9_000) % 3_000
        if number % 3 == 0:
            name = f"{words[first][:4]}{first}-{words[second][:4]}{second}"
        else:
            name = f"{rng.choice(words)}-{rng.choice(words)}{number}"
        yield f"{name}.{rng.choice(('com', 'net', 'org', 'info', 'bet', 'co.uk'))}"


@dataclass
class Build:
    """One program, and what it took: by step a list of `(processor s, clock s, MiB)`."""

    program: Path
    took: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)

    def run(self, step: str | None, *arguments: str) -> str:
        """Standard output; what it cost is kept under `step`."""
        began = time.monotonic()
        process = subprocess.Popen(
            [str(self.program), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=INSTALLED
        )
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.read().decode()
        wrong = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{self.program} {' '.join(arguments[:3])}: {wrong}")
        if step is not None:
            cost = used.ru_utime + used.ru_stime, time.monotonic() - began, used.ru_maxrss / 1024
            self.took.setdefault(step, []).append(cost)
        return said.strip()

    def steps(self, folder: Path, names: Path) -> Iterator[None]:
        """One round, stopping after each step so that builds can take turns."""
        desk, secret = folder / "desk", folder / "secret"
        folder.mkdir()
        secret.write_text(f"{SECRET}\n")
        by = ("--passphrase-file", str(secret))
        keys = {name: folder / name for name in ("alice", "bob")}
        for name, key in keys.items():
            self.run(None, "issuer", "keys", "new", str(key), "--name", name, *by)
        cards = [option for key in keys.values() for option in ("--card", str(key / "card.json"))]
        said = ("--name", "A bench", "--contact", "list@bench.example", "--appeals", "appeals@bench.example")
        request = self.run(None, "issuer", "init", "--dir", str(desk), *said, *cards)
        ground = ("--law", "Act 1", "--authority", "Court", "--order", "17", "--date", "2026-11-22", "--court", "Court")
        at = ("--dir", str(desk), "--list", LIST)
        self.run(None, "issuer", "basis", "order-17", *at, *ground, "--territory", "DE")

        def signed(step: str | None, request: str) -> list[str]:
            copies = []
            for name, key in keys.items():
                copies.append(f"{request}.{name}")
                known = () if "setup" in request else ("--repository", str(desk / "published"))
                arguments = ("--key", str(key), "--yes", "--output", copies[-1], *known, *by)
                self.run(step if name == "alice" else None, "issuer", "sign", request, *arguments)
            return copies

        new = ("--basis", "order-17", "--category", "gambling")
        self.run(None, "issuer", "publish", *signed(None, request), "--dir", str(desk))
        request = self.run("import", "issuer", "import", str(names), *at, *new, "--format", "domains")
        yield
        copies = signed("sign", request)
        yield
        self.run("publish", "issuer", "publish", *copies, "--dir", str(desk))
        yield
        pinned = ("--list", LIST, "--root", str(desk / "root.json"))
        self.run("verify", "issuer", "verify", str(desk / "published"), *pinned)
        yield
        request = self.run("propose one", "issuer", "propose", *at, "--add", "one-name-more.example.net", *new)
        yield
        copies = signed("sign one", request)
        yield
        self.run("publish one", "issuer", "publish", *copies, "--dir", str(desk))
        yield
        with names.open() as file:
            wanted = next(line.strip() for number, line in enumerate(file) if number == 1000)
        alone = ("--reason", "a bench", "--key", str(keys["alice"]), *by)
        self.run("withdraw one", "issuer", "withdraw", wanted, *at, *alone)
        self.run("--help", "issuer", "sign", "--help")

    def medians(self) -> dict[str, tuple[float, float, float]]:
        """By step: processor s, clock s, MiB."""
        return {
            step: (
                statistics.median(cost[0] for cost in costs), statistics.median(cost[1] for cost in costs),
                statistics.median(cost[2] for cost in costs),
            )
            for step, costs in self.took.items()
        }  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("programs", nargs="+", type=Path, help="one or two `stopsign` to run")
    options.add_argument("--names", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    builds = [Build(program.absolute()) for program in asked.programs]
    with tempfile.TemporaryDirectory(prefix="stopsign-bench-") as scratch:
        names = Path(scratch) / "names.txt"
        with names.open("w") as file:
            file.writelines(f"{name}\n" for name in invented(asked.names))
        for turn in range(asked.rounds):
            folders = [Path(scratch) / f"{turn}-{at}" for at in range(len(builds))]
            rounds = [build.steps(folder, names) for build, folder in zip(builds, folders, strict=True)]
            while rounds:
                # the next step of each build, one after the other
                rounds = [one for one in rounds if next(one, one) is not one]
            for folder in folders:
                subprocess.run(["rm", "-rf", str(folder)], check=True)
    found = [build.medians() for build in builds]
    if asked.json:
        print(json.dumps({"names": asked.names, "rounds": asked.rounds, "builds": found}, indent=1))
        return
    ratios = "; ratios of processor, clock, memory" if len(builds) == 2 else ""
    print(f"{asked.names:,} names, medians of {asked.rounds}: processor s, clock s, MiB{ratios}")
    for step in STEPS:
        costs = [one[step] for one in found]
        row = " | ".join(f"{used:7.2f} {clock:7.2f} {memory:6.0f}" for used, clock, memory in costs)
        ratio = ""
        if len(costs) == 2:
            ratio = "".join(f" | 1/{before / now:.1f}" for before, now in zip(*costs, strict=True))
        print(f"| {step:13} | {row}{ratio} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
