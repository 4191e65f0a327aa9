"""`python -m tests.bench.page RUN.json`: the table and the picture of docs/capacity.md, from a run of `make bench`.

Enters: what `python -m tests.bench --json` printed. Leaves: the page with its table made anew between two comments, and
docs/pictures/capacity.svg: processor time a query, for each kind of work and server. Nothing else of the page changes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resolver.stats.plots import bars
from tests.bench.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = ROOT / "docs/capacity.md"
PICTURE = ROOT / "docs/pictures/capacity.svg"
BEGIN, END = "<!-- made by tests.bench.page -->\n", "<!-- end -->\n"
HEADS = ("work", "server", "CPU us/q", "of limit", "q/s", "p50 us", "p99 us", "lost", "wrong", "MiB", "ready s")


def table(run: Mapping[str, Any]) -> str:
    """The run as a table in Markdown."""
    lines = [f"| {' | '.join(HEADS)} |", f"|---|---|{'--:|' * (len(HEADS) - 2)}"]
    for kind, by_name in run["work"].items():
        limit = next(figures for name, figures in by_name.items() if name.startswith("limit"))
        for name, f in by_name.items():
            cells = (
                kind, name, f"{f['cpu_us']:.2f}", f"{limit['cpu_us'] / f['cpu_us']:.2f}", f"{f['qps']:,.0f}",
                f"{f['p50_us']:,.0f}", f"{f['p99_us']:,.0f}", f"{f['lost']:.0f}", f"{f['wrong']:.0f}",
                f"{f['mib']:,.0f}", f"{f['ready']:.1f}",
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    told = f"{run['names']:,} names blocked, medians of {run['rounds']} rounds, a processor for each server:"
    return "\n".join((told, "", *lines, ""))


def main() -> int:
    run = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{table(run)}{END}{after}", encoding="utf-8")
    spent = {
        f"{kind}: {name}": round(1000 * figures["cpu_us"])
        for kind, by_name in run["work"].items()
        for name, figures in by_name.items()
    }
    PICTURE.write_text(bars("capacity", "Processor time a query, in nanoseconds", spent) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
