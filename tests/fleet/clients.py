"""A city's clients: questions at a steady rate to the service's address, and what came of each.

`python -m tests.fleet.clients ADDRESS RATE [SOURCE …]` asks until its input ends, and then prints one line of JSON.
Enters: the names with the answer that each must have, on the first line of the input. Leaves: how many were asked,
answered, wrong, lost, and when each of the lost was sent (`time.monotonic`, which all processes of a machine share).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.rigs.dns_host import ROOT
from tests.rigs.load import Load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.fleet.network import Network


@dataclass(frozen=True)
class Came:
    """What came of a load."""

    sent: int
    answered: int
    wrong: list[str]
    lost_at: list[float]

    def __add__(self, other: Came) -> Came:
        return Came(
            self.sent + other.sent, self.answered + other.answered, self.wrong + other.wrong,
            sorted(self.lost_at + other.lost_at),
        )  # fmt: skip


class Clients:
    """The load of one city, from now until `end`. `sources`: the addresses that ask; none: the system chooses one."""

    def __init__(
        self, network: Network, address: str, rate: float, expected: Mapping[str, str], sources: Sequence[str] = ()
    ) -> None:
        self._process = subprocess.Popen(
            [*network.enter, sys.executable, "-P", "-m", "tests.fleet.clients", address, str(rate), *sources],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(dict(expected)) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "asking\n"

    def end(self) -> Came:
        out, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return Came(**json.loads(out))

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    address, rate = sys.argv[1], float(sys.argv[2])
    load = Load((address, 53), json.loads(sys.stdin.readline()), rate=rate)
    load.sources = sys.argv[3:] or load.sources
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    sys.stdout.write("asking\n")
    sys.stdout.flush()
    asyncio.run(load.run(ended.is_set))
    came = {"sent": load.sent, "answered": load.answered, "wrong": load.wrong[:20], "lost_at": load.lost_at}
    sys.stdout.write(json.dumps(came) + "\n")


if __name__ == "__main__":
    main()
