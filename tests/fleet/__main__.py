"""`make fleet`: five hosts in two cities, in network namespaces, and all that happens to them under load.

`python -m tests.fleet [--rate 5000] [SCENARIO …]` prints a row a scenario: questions asked, lost while routers still
sent them to a host that had just died, lost otherwise (which may be none), wrong answers (none either), and figures.
Exits 1 where something may not be. Needs root, and the Debian packages that the gate brings.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.fleet import scenarios, waves
from tests.fleet.provider import Fleet, fleet
from tests.fleet.sixth import sixth_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fleet.scenarios import Row

CITIES = {"a": 3, "b": 2}
MORE = {"portal": {"clocks": {"fact": "2s"}}}
EVERY: dict[str, Callable[[Fleet, float], Row]] = {
    "drained": scenarios.drained,
    "stopped": scenarios.stopped,
    "worker": partial(scenarios.process_killed, process="worker-0"),
    "steward": partial(scenarios.process_killed, process="steward"),
    "supervisor": scenarios.supervisor_killed,
    "off": scenarios.switched_off,
    "upgraded": scenarios.upgraded,
    "upstream": scenarios.cut_from_upstream,
    "upstreams": scenarios.cut_from_all_upstreams,
    "damaged": scenarios.damaged_list,
    "said": scenarios.said_of_all,
    "database": scenarios.cut_from_database,
    "fail-over": scenarios.database_fails_over,
    "waves": waves.waves_follow,
    "canary": waves.canary_goes_wrong,
    "sixth": sixth_host,
}


def play(made: Fleet, names: list[str], rate: float) -> list[Row]:
    rows = []
    for name in names:
        row = EVERY[name](made, rate)
        figures = ", ".join(f"{value:.2f} {what}" for what, value in row.figures.items())
        click.echo(f"{row.name:<40} {row.came.sent:>9,} {row.in_window:>8,} "
                   f"{len(row.came.lost_at) - row.in_window:>6,} {len(row.came.wrong):>6,}  {figures}")  # fmt: skip
        for complaint in [*row.complaints, *row.late]:
            click.echo(f"    {complaint}")
        rows.append(row)
    return rows


@click.command()
@click.option("--rate", type=float, default=5000.0, show_default=True, help="Questions a second of each city.")
@click.argument("names", nargs=-1, type=click.Choice(list(EVERY)), metavar="[SCENARIO]...")
def main(rate: float, names: tuple[str, ...]) -> None:
    """Everything that happens to a provider's hosts; exit 1 where a question was lost that may not be."""
    with tempfile.TemporaryDirectory(prefix="stopsign-fleet-") as folder, fleet(Path(folder), CITIES, MORE) as made:
        click.echo(f"{'':<40} {'asked':>9} {'in time':>8} {'lost':>6} {'wrong':>6}")
        rows = play(made, list(names or EVERY), rate)
    sys.exit(1 if any(row.complaints or row.late for row in rows) else 0)


if __name__ == "__main__":
    main()
