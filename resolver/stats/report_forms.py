"""The report's forms: JSON for programs, CSV for spreadsheets, HTML for people.

Enters: a report. Leaves: text. Rules: all three say the same; the page needs no script and no other file; all text in
it is escaped.
"""

from __future__ import annotations

import csv
import io
import json
from html import escape
from typing import TYPE_CHECKING, Any

from resolver.stats.plots import bars, lines, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.stats.report import Report

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}"
    "caption,figcaption{text-align:left;font-weight:600}"
    "th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #8886;vertical-align:top}"
    "td,thead th:not(:first-child){text-align:right}svg{width:100%;height:auto}figure{margin:1rem 0}"
)


def as_json(report: Report) -> str:
    return json.dumps(report, indent=1, sort_keys=False, ensure_ascii=True) + "\n"


def as_csv(report: Report) -> str:
    """One number a row, found by up to four keys: `section,item,part,detail,value`."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["section", "item", "part", "detail", "value"])
    for path, value in _flat(report, ()):
        keys = [*path, "", "", ""][:4] if len(path) <= 4 else [*path[:3], " ".join(path[3:])]
        # a spreadsheet runs what begins so (CWE-1236)
        writer.writerow(
            [
                ("'" + cell if cell.startswith(("=", "+", "-", "@", "\t")) else cell)
                for cell in (*keys, "" if value is None else str(value))
            ]
        )
    return out.getvalue()


def as_html(report: Report) -> str:
    """One page."""
    title = f"Blocking at {report['hosts'][0]['origin'].partition('/')[0]}, {report['from']} to {report['to']}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><main><h1>{escape(title)}</h1>{body(report)}</main></html>\n"
    )


def body(report: Report) -> str:
    """The page's sections, to stand in another page."""
    return "".join(_sections(report))


def _sections(report: Report) -> Iterator[str]:
    hosts = ", ".join(
        f"{one['origin']} ({one['leaves']:,} leaves, root {one['root'][:16]}…)" for one in report["hosts"]
    )
    yield f"<p>Computed from the public log of {escape(hosts)}; anybody with a copy can compute it again.</p>"
    if missing := report.get("missing"):
        yield table("Not in these figures", ["log", "why"], [[one["origin"], one["why"]] for one in missing])
    yield from _blocks(report)
    yield from _entries(report)
    yield from _changes(report)
    yield from _appeals(report)
    yield from _judgement(report)


def _blocks(report: Report) -> Iterator[str]:
    by_day, names = report["blocks"]["by_day"], list(report["blocks"]["by_list"])
    yield f"<h2>Stopped queries: {report['blocks']['total']:,}</h2>"
    series = {name: [lists.get(name, 0) for lists in by_day.values()] for name in names}
    what = "Stopped queries by day and list"
    yield _figure(what, lines("blocks", what, list(by_day), series))
    rows = [[day, *(lists.get(name, 0) for name in names)] for day, lists in by_day.items()]
    yield _folded("The same as a table", table("Stopped queries by day", ["day", *names], rows))
    for month, by_list in report["bands"].items():
        bands: dict[str, int] = {}
        for told in by_list.values():
            bands["never"] = bands.get("never", 0) + told["never"]
            for band, count in told["bands"].items():
                bands[band] = bands.get(band, 0) + count
        what = f"Entries by how often they stopped a query in {month}"
        yield _figure(what, bars(f"bands-{month}", what, bands))
        yield _folded("The same as a table", table(f"Entries in {month}", ["stopped", "entries"], list(bands.items())))
        rows = [
            [f"{name}, {category}, {band}", count]
            for name, told in by_list.items()
            for category, of_category in told.get("by_category", {}).items()
            for band, count in of_category.items()
        ]
        if rows:
            what = f"Entries of sealed lists in {month}, by category and how often they stopped a query"
            yield _folded(what, table(what, ["list, category, stopped", "entries"], rows))


def _entries(report: Report) -> Iterator[str]:
    entries = report["entries"]
    yield f"<h2>Entries in force when this was computed: {entries['total']:,}</h2>"
    for key, what in (("by_category", "category"), ("by_age", "age"), ("by_issuer", "issuer")):
        yield _figure(f"Entries by {what}", bars(key, f"Entries by {what}", entries[key]))
        yield _folded("The same as a table", table(f"Entries by {what}", [what, "entries"], list(entries[key].items())))
    heads = ["basis", "law", "authority", "order", "of", "territory", "entries", "lapsed"]
    rows = [
        [name, *(told[key] for key in ("law", "authority", "order", "date", "territory")), told["entries"],
         entries["lapsed"].get(name, 0)]
        for name, told in entries["by_basis"].items()
    ]  # fmt: skip
    yield table("Entries by legal basis", heads, rows)


def _changes(report: Report) -> Iterator[str]:
    yield "<h2>Updates</h2>"
    rows = [
        [name, told.get("activations", 0), told.get("added", 0), told.get("removed", 0)]
        for name, told in report["changes"].items()
    ]
    yield table("Activated updates by list", ["list", "updates", "entries added", "withdrawn"], rows)
    for key, what in (("held", "Held, waiting for a person"), ("refused", "Refused")):
        rows = [[name, reason, count] for name, reasons in report[key].items() for reason, count in reasons.items()]
        yield table(f"{what}, by reason", ["list", "reason", "times"], rows)
    yield table(
        "Besides",
        ["what", "times"],
        [
            ["held updates approved by a person", report["approved"]],
            ["relief by an issuer applied", report["relief"]],
            ["overrides set", report["overrides"]["set"]],
            ["overrides lifted", report["overrides"]["lifted"]],
            ["off switch thrown", report["bypass"]],
            ["activations of a list whose metadata were stale", sum(report["staleness"].values())],
            ["hours with a leaf in the log", report["availability"]["hours_with_a_leaf"]],
            ["hours in the period", report["availability"]["hours"]],
        ],
    )


def _appeals(report: Report) -> Iterator[str]:
    appeals = report["appeals"]
    yield f"<h2>Appeals: {appeals['received']:,}</h2>"
    yield table("By ground", ["ground", "appeals"], list(appeals["grounds"].items()))
    yield table("By outcome", ["outcome", "appeals"], list(appeals["decided"].items()))
    yield table(
        "Time",
        ["what", "value"],
        [["median hours to a decision", appeals["median_hours"]], ["overdue", appeals["overdue"]]],
    )


def _judgement(report: Report) -> Iterator[str]:
    told = report["evaluation"]
    yield "<h2>Does it work?</h2>"
    rows: list[list[Any]] = [
        ["stopped queries a day", told["blocks_a_day"]],
        ["share of entries that nobody met", told["share_never_met"]],
        ["over-blocking found by appeals", told["overblocking_found"]],
        ["share of decided appeals that were right", told["appeals_that_were_right"]],
    ]
    if (resolving := report["resolving"])["asked"]:
        rows += [
            ["entries asked for at the upstream", resolving["asked"]],
            ["of those, names that no longer resolve", resolving["gone"]],
        ]
    yield table("Evaluation", ["figure", "value"], rows)


def _figure(title: str, plot: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{plot}</figure>"


def _folded(summary: str, inner: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def _flat(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, (*path, str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, (*path, str(number)))
    else:
        yield path, value
