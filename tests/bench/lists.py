"""`python -m tests.bench.lists`: what reading a list costs, one row a form: names a second, and the most memory.

Enters: nothing; a million invented names are written in each form. Leaves: a table, or JSON. Each form is read in a
process of its own that does nothing else, so that its peak memory is that form's.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from blocklists import admissible
from blocklists.importers import formats, mapping
from blocklists.importers.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
NAMES = 1_000_000
GROUND = "{order: '17/2026', date: '2026-06-01', authority: Board, law: Act, court: Court, territory: DE}"
# Form -> what comes before, each name's line, what comes after, the mapping
FORMS: dict[str, tuple[str, str, str, str | None]] = {
    "domains": ("", "{}\n", "", None),
    "hosts": ("", "0.0.0.0 {}\n", "", None),
    "adblock": ("", "||{}^\n", "", None),
    "dnsmasq": ("", "address=/{}/0.0.0.0\n", "", None),
    "unbound": ("server:\n", 'local-zone: "{}" always_null\n', "", None),
    "rpz": ("$TTL 300\n@ SOA a. b. 1 2 3 4 5\n@ NS a.\n", "{} CNAME .\n", "", None),
    "csv": ("name;category\n", "{};gambling\n", "", None),
    "csv, mapped": (
        "domain;added\n", "{};2026-06-01\n", "",
        "{read: {kind: csv}, name: {field: domain}, since: {field: added}, ground: " + GROUND + "}",
    ),
    "xml, mapped": (
        "<r>\n", '<e since="2026-06-01"><d>{}</d></e>\n', "</r>\n",
        "{read: {kind: xml}, rows: e, name: {field: d}, since: {field: '@since'}, ground: " + GROUND + "}",
    ),
    "json, mapped": (
        "[\n", '{{"d": "{}", "since": "2026-06-01"}},\n', '{{"d": "last.example", "since": "2026-06-01"}}]\n',
        "{read: {kind: json}, name: {field: d}, since: {field: since}, ground: " + GROUND + "}",
    ),
}  # fmt: skip


def written(form: str, count: int) -> Iterator[str]:
    before, line, after, _ = FORMS[form]
    yield before
    for number in range(count):
        yield line.format(f"site{number * 7919 % count}.name{number % 977}.example")
    yield after.replace("{{", "{").replace("}}", "}")


def read(form: str, path: Path) -> dict[str, float]:
    """In a process of its own: seconds, names, the most memory in MiB."""
    by = mapping.parse(text, form) if (text := FORMS[form][3]) is not None else None
    admissible.everywhere()
    intake, begun, used = Intake(), time.perf_counter(), time.process_time()
    formats.read(path, intake, form=form, by=by)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"names": len(intake), "seconds": round(seconds, 2), "cpu": round(cpu, 2), "mib": round(peak)}


def measured(count: int, forms: list[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="stopsign-bench-") as folder:
        path = Path(folder) / "list"
        for form in forms:
            with path.open("w") as file:
                file.writelines(written(form, count))
            command = [sys.executable, "-m", "tests.bench.lists", "--read", form, str(path)]
            done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=900)
            found[form] = json.loads(done.stdout)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--names", type=int, default=NAMES)
    options.add_argument("--forms", nargs="*", default=list(FORMS))
    options.add_argument("--json", action="store_true")
    options.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.read:
        print(json.dumps(read(given.read[0], Path(given.read[1]))))
        return
    found = measured(given.names, given.forms)
    if given.json:
        print(json.dumps(found, indent=1))
        return
    # Here: what reads a list needs none of it, and its memory is measured
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("form", "names/s", "seconds", "CPU seconds", "peak MiB", box=box.SIMPLE, title="Reading a list")
    for form, row in found.items():
        rate = f"{row['names'] / row['seconds']:,.0f}"
        table.add_row(form, rate, f"{row['seconds']:.1f}", f"{row['cpu']:.1f}", f"{row['mib']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
