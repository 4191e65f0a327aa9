"""Ticks are given while background threads work, and only then.

What they are good for is a matter of time, and so in `tests/bench/update.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WORKING, IDLE = 200, 100  # ticks: a tenth of those in half a second; those of two rounds, which counting may cost


def test_a_background_process_is_ticked_while_it_works(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(
        "import time\nfrom tests.rigs.turns import ticks, work\n"
        "before = ticks() or 0; work(0.5); print(ticks() - before)\n"
        "for _ in range(20):\n"
        "    time.sleep(0.3); rested = ticks(); time.sleep(0.5); idle = ticks() - rested\n"
        f"    if idle <= {IDLE}: break\n"
        "print(idle)\n"
    )
    command = [sys.executable, "-m", "resolver.host.child", "--background", "1", "told"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 0, told.stderr
    working, idle = map(int, told.stdout.split())
    assert working > WORKING
    assert idle <= IDLE
