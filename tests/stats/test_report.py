"""The transparency report: what it says, that hosts add up, and that its three forms say the same."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from blocklists import document
from blocklists.entry import Entry
from resolver.log.errors import AuditError
from resolver.log.reading import published_details
from resolver.log.source import Folder
from resolver.stats.plots import bars, lines, table
from resolver.stats.report import add, report
from resolver.stats.report_forms import as_csv, as_html, as_json
from tests.rigs.command_line import run
from tests.rigs.counted import month_of
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from pathlib import Path

START, END = date(2026, 10, 1), date(2026, 10, 31)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "world")
    month_of(world)
    return world


@pytest.fixture
def documents(tmp_path: Path) -> list[tuple[Path, dict[str, Any]]]:
    def entry(name: str, basis: str, category: str, issued: str, expires: str) -> Entry:
        days = f"{issued}T00:00:00Z", f"{expires}T23:59:59Z"
        return Entry(name, "subtree", basis, category, *days, name[0].upper() * 16)

    path = tmp_path / "full-2.zst"
    entries = (
        entry("a.example", "order-1", "gambling", "2026-10-20", "2027-10-20"),
        entry("b.example", "order-1", "gambling", "2026-08-20", "2027-10-20"),
        entry("c.example", "order-2", "fraud", "2025-01-01", "2027-10-20"),
        entry("d.example", "order-2", "fraud", "2025-01-01", "2026-10-15"),
    )
    document.write(path, entries)
    bases = {
        "order-1": {"law": "Act 1", "authority": "Regulator", "order": "17/26", "date": "2026-01-01", "territory": "DE"}
    }
    return [(path, {"issuer": {"name": "The <Regulator>"}, "bases": bases})]


def private(world: World) -> dict[str, Any]:
    with world.open() as log:
        return report(Folder(world.log_dir), log.details.bundle, START, END)


def test_it_tells_the_period_and_nothing_of_the_days_around_it(
    world: World, documents: list[tuple[Path, dict[str, Any]]]
) -> None:
    with world.open() as log:
        told = add([report(Folder(world.log_dir), log.details.bundle, START, END, documents)])
    assert told["blocks"] == {
        "total": 105,
        "by_list": {"gambling": 100, "piracy": 5},
        "by_day": {"2026-10-01": {"gambling": 40}, "2026-10-02": {"gambling": 60, "piracy": 5}},
    }
    assert told["changes"] == {"gambling": {"activations": 1, "added": 3, "removed": 1}}
    assert told["refused"] == {"gambling": {"rollback": 1}}
    assert told["held"] == {"gambling": {"cap-share": 1, "popular": 1}}
    assert (told["approved"], told["overrides"], told["bypass"]) == (1, {"set": 1, "lifted": 0}, 1)
    assert told["appeals"] == {
        "received": 2, "grounds": {"mistake": 1, "rights": 1}, "decided": {"granted": 1, "upheld": 1}, "overdue": 0,
        "median_hours": 72.0,
    }  # fmt: skip
    assert told["lists"]["gambling"] == {
        "version": 2, "entries": 11, "action": "stop-page", "threshold": 2, "signed_by": 2,
    }  # fmt: skip
    assert told["bands"]["2026-10"]["gambling"] == {
        "entries": 11, "met": 4, "never": 7, "bands": {"under 10": 2, "10-99": 2},
    }  # fmt: skip
    assert told["availability"] == {"hours": 744, "hours_with_a_leaf": 10, "starts": 1}
    assert told["evaluation"] == {
        "blocks_a_day": 52.5, "share_never_met": 0.6364, "overblocking_found": 1, "appeals_that_were_right": 0.5,
    }  # fmt: skip


def test_entries_are_told_by_issuer_basis_category_and_age(
    world: World, documents: list[tuple[Path, dict[str, Any]]]
) -> None:
    entries = report(Folder(world.log_dir), lambda _number: [], START, END, documents)["entries"]
    assert (entries["total"], entries["by_category"]) == (3, {"fraud": 1, "gambling": 2})
    assert entries["by_age"] == {"under 30 days": 1, "30 to 89 days": 1, "90 to 364 days": 0, "a year or more": 1}
    ground = {"law": "Act 1", "authority": "Regulator", "order": "17/26", "date": "2026-01-01", "territory": "DE"}
    assert entries["by_basis"]["The <Regulator>: order-1"] == {"entries": 2, **ground}
    assert entries["lapsed"] == {"The <Regulator>: order-2": 1}


def test_from_a_public_copy_it_says_what_it_does_not_know(world: World) -> None:
    source = Folder(world.log_dir)
    told = report(source, published_details(source), START, END)
    assert told["appeals"]["received"] == 2
    assert told["appeals"]["decided"] == {"not published": 2}
    assert told["not_published"] == {"appeal-decided": 2, "appeal-received": 2}
    assert told["blocks"]["total"] == 105


def test_hosts_add_up_in_what_each_did_and_not_in_what_all_follow(world: World) -> None:
    one = private(world)
    both = add([one, json.loads(as_json(one))])
    assert both["blocks"]["total"] == 210
    assert both["blocks"]["by_day"]["2026-10-02"] == {"gambling": 120, "piracy": 10}
    assert both["appeals"]["received"] == 4
    assert both["overrides"]["set"] == 2
    assert both["changes"] == one["changes"]
    assert both["lists"] == one["lists"]
    assert len(both["hosts"]) == 2


def test_reports_of_different_periods_do_not_add_up(world: World) -> None:
    other = report(Folder(world.log_dir), lambda _number: [], START, START)
    with pytest.raises(AuditError, match="do not add up"):
        add([private(world), other])


def test_a_period_that_ends_before_it_begins_is_refused(world: World) -> None:
    with pytest.raises(AuditError, match="ends before it begins"):
        report(Folder(world.log_dir), lambda _number: [], END, START)


class Page(HTMLParser):
    """Which elements there are, and whether each is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "html"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag != "html":
            assert self.open.pop() == tag


def test_the_page_is_whole_needs_no_script_and_has_a_table_for_every_plot(
    world: World, documents: list[tuple[Path, dict[str, Any]]]
) -> None:
    with world.open() as log:
        page = as_html(add([report(Folder(world.log_dir), log.details.bundle, START, END, documents)]))
    read = Page(page)
    assert not read.open
    assert "script" not in read.seen
    assert not [value for name, value in read.attributes if name in {"src", "href"} or name.startswith("on")]
    assert read.seen.count("svg") == read.seen.count("title") - 1 == read.seen.count("desc")
    assert read.seen.count("table") > read.seen.count("svg")
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert "The <Regulator>" not in page
    assert "The &lt;Regulator&gt;" in page


def test_csv_has_the_same_numbers_and_no_cell_that_a_spreadsheet_runs(world: World) -> None:
    told = private(world)
    told["lists"]["=cmd()"] = {"version": 1}
    rows = list(csv.reader(io.StringIO(as_csv(told))))
    assert rows[0] == ["section", "item", "part", "detail", "value"]
    assert ["blocks", "by_day", "2026-10-02", "piracy", "5"] in rows
    assert all(len(row) == 5 for row in rows)
    assert not [cell for row in rows for cell in row if cell.startswith("=")]


@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_as_typed(world: World, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / f"report.{form}"
    status, _, err = run(
        capsys, "report", "--log", world.log_dir, "--from", START, "--to", END, "--format", form, "--output", output
    )
    assert (status, err) == (0, "")
    assert "105" in output.read_text()


def test_reports_of_other_hosts_are_added_as_typed(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    other.write_text(as_json(private(world)))
    period = ("--from", START, "--to", END, "--format", "json")
    _, out, _ = run(capsys, "report", "--log", world.log_dir, *period, "--add", other)
    assert json.loads(out)["blocks"]["total"] == 210
    other.write_text("[]")
    assert run(capsys, "report", "--log", world.log_dir, *period, "--add", other)[0] == 2
    assert run(capsys, "report", "--log", world.log_dir, "--from", "soon")[0] == 2


def test_plots_of_nothing_and_of_one_day_are_plots() -> None:
    for svg in (lines("n", "Nothing", [], {}), lines("n", "One", ["a"], {"x": [0]}), bars("n", "None", {})):
        assert not Page(svg).open
        assert "nan" not in svg.lower()
    assert "<script>" not in table("<script>", ["<script>"], [["<script>", "<script>"]])
