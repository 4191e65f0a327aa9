"""Whose turn it is: ticks are given while threads that gave way work, and only then.

What they are good for is a matter of time, and so in `tests/bench/update.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from resolver._core import Ticker, give_way

WORKING, IDLE = 250, 120  # ticks: a tenth of those in half a second; those of two rounds, which counting may cost


def ticks() -> int | None:
    """How often the ticking thread of this process went to sleep; None: there is none."""
    for thread in Path("/proc/self/task").iterdir():
        try:
            name, *lines = (thread / "status").read_text().splitlines()
        except FileNotFoundError:
            continue
        if name == "Name:\ttick":
            return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return None


def work(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_a_process_behind_is_ticked_while_it_works(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(
        "import time\nfrom tests.core.test_turns import ticks, work\n"
        "before = ticks(); work(0.5); worked = ticks(); time.sleep(0.3)\n"
        "rested = ticks(); time.sleep(0.5); print(worked - before, ticks() - rested)\n"
    )
    command = [sys.executable, "-m", "resolver.child", "--behind", "1", "told"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    working, idle = map(int, told.stdout.split())
    assert working > WORKING
    assert idle <= IDLE


def test_a_ticker_ticks_as_long_as_it_is_entered() -> None:
    seen: list[int | None] = []

    def behind() -> None:
        give_way(1)
        seen.append(ticks())
        work(0.5)
        seen.append(ticks())

    with Ticker():
        thread = threading.Thread(target=behind)
        thread.start()
        thread.join()
    first, last = seen
    assert first is not None
    assert last is not None
    assert last - first > WORKING
    until = time.monotonic() + 10
    while ticks() is not None:
        assert time.monotonic() < until
        time.sleep(0.01)
