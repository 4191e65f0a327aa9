"""How the demo shows itself: the probes, where everything is, and a line that counts.

Enters: probes, a tree, counters. Leaves: text on standard output. Rules: without a terminal there are no colours and
nothing that moves; the live line is written at most once a second and reads one small file a worker.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from blocklists.counted import counted
from resolver.ipc import worker_counters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver.base.paths import Places
    from resolver.cli.demo.probes import Probe, Prober
    from resolver.cli.demo.tree import Tree

MEANING = {
    "on the list": "the stop page's address, or nothing",
    "any other name": "what the upstream says",
    "the stop page": "who ordered it, and why",
    "the portal": "look-up and appeal",
    "the log": "what the provider committed to",
}
WIDEST = 60  # columns for what was asked; a longer name moves its own line
EVERY = 1.0  # seconds between two looks at the counters


def console() -> Console:
    """The terminal; a file or a pipe is as wide as the longest line may want."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=160)


def report(screen: Console, tree: Tree, active: int, probes: Sequence[Probe], prober: Prober) -> None:
    """Probe by probe, and below it what one can try."""
    lines = Text()
    width = min(max(len(probe.ask) for probe in probes), WIDEST)
    for what, group in itertools.groupby(probes, key=lambda probe: probe.what):
        lines.append(f"{what}", "bold").append(f"  {MEANING[what]}\n", "dim")
        for probe in group:
            lines.append(*(("     ok", "green") if probe.ok else ("  WRONG", "bold red")))
            lines.append(f"  {probe.ask:{width}}  {probe.got}{'' if probe.ok else f', expected {probe.expect}'}\n")
    screen.print(f"{counted(active, 'entry')} active, {counted(len(tree.rejected), 'line')} rejected", style="bold")
    screen.print(lines, soft_wrap=True)
    ports, folder = prober.ports, tree.folder
    started_as = Path(sys.argv[0])
    command = started_as if started_as.name == "stopsign" else "stopsign"
    name = tree.listed[0].asked[0]
    dig = f"dig @{ports.dns.host} -p {ports.dns.port}"
    rows = (
        ("ask", f"{dig} {name}"),
        ("stop page", f"curl -i -H 'Host: {name}' http://{ports.stop_page}/"),
        (
            "",
            f"chromium --host-resolver-rules='MAP {name} {ports.stop_page.host}' http://{name}:{ports.stop_page.port}/",
        ),
        ("portal", f"http://{ports.portal}/"),
        ("appeal", prober.appeal_link),
        ("receipt", f"http://{ports.portal}{prober.receipt.partition('?')[0]}"),
        ("why", f"{command} explain {name} --dir {folder}"),
        ("log", f"{command} audit verify {folder / 'log'}"),
    )
    for label, text in rows:
        screen.print(Text.assemble((f"{label:>10}  ", "bold"), text), soft_wrap=True)


async def count(screen: Console, places: Places, stop: asyncio.Event) -> None:
    """Counts live until `stop`; without a terminal it only waits."""
    screen.print(Text("serving; Ctrl-C ends it", "dim"))
    if not screen.is_terminal:
        sys.stdout.flush()
        await stop.wait()
        return
    before, then = worker_counters.totals(places), time.monotonic()
    with Live(_line(before, {}, 1.0), console=screen, auto_refresh=False, transient=False) as live:
        while not stop.is_set():
            try:
                async with asyncio.timeout(EVERY):
                    await stop.wait()
            except TimeoutError:
                sums, now = worker_counters.totals(places), time.monotonic()
                live.update(_line(sums, before, now - then), refresh=True)
                before, then = sums, now


def _line(sums: Mapping[str, int], before: Mapping[str, int], seconds: float) -> Group:
    asked = worker_counters.queries(sums)
    rate = (asked - worker_counters.queries(before)) / seconds if before else 0.0
    parts = (
        ("questions", asked),
        ("blocked", sums["blocked"]),
        ("from the cache", sums["cache_hits"]),
        ("relayed", sums["relayed"]),
        ("dropped", sums["dropped_client"] + sums["dropped_malformed"] + sums["dropped_source"]),
    )
    text = Text.assemble((f"{rate:>9,.0f} q/s", "bold"))
    for label, number in parts:
        text.append(f"   {label} ", "dim")
        text.append(f"{number:,}")
    return Group(text)
