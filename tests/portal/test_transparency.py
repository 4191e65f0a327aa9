"""What everybody may see: the report of the last thirty days, as plots and tables, and the same for programs."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from typing import TYPE_CHECKING

from resolver.log.writer import Log
from resolver.portal.web import Answer, Ask
from resolver.stats.publish import publish
from tests.rigs import lists_world
from tests.rigs.portal_world import META, NOW, World

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400


def get(world: World, path: str, accept: str = "") -> Answer:
    return asyncio.run(world.portal.answer(Ask("GET", path, {}, accept=accept)))


def test_the_page_has_the_report_with_its_plots_as_tables_and_programs_get_the_same(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.config is not None
    places = world.config.places
    page = get(world, "/transparency")
    assert (page.status, b"<figure>" in page.body) == (200, False)
    with Log.open(places, lambda: NOW - 3 * DAY) as log:
        log.append("counts", "2026-11-15", {"day": "2026-11-15", "lists": {"gambling": 105, "<b>": 7}})
    publish(places, NOW)
    written = places.report.stat().st_ino
    publish(places, NOW + 3600)
    assert places.report.stat().st_ino == written, "once a day"
    text = get(world, "/transparency").body.decode()
    report = json.loads(get(world, "/log/report.json").body)
    assert (report["from"], report["to"], report["blocks"]["total"]) == ("2026-10-18", "2026-11-16", 112)
    assert "blocks,by_day,2026-11-15,gambling,105\r\n" in get(world, "/log/report.csv").body.decode()
    figures = re.findall(r"<figure>.*?</figure><details>.*?</details>", text, re.DOTALL)
    assert len(figures) >= 3
    assert all('role="img"' in one and "<caption>" in one and "<title" in one for one in figures)
    assert '<th scope="row">2026-11-15</th><td>7</td><td>105</td>' in text
    assert "&lt;b&gt;" in text
    assert "style=" not in text, "the policy allows no style but the page's own"
    publish(places, NOW + DAY)
    assert json.loads(get(world, "/log/report.json").body)["to"] == "2026-11-17"


def test_the_page_says_what_is_in_force_now_and_from_when_to_when_its_figures_are(tmp_path: Path) -> None:
    one = {**META["lists"][0], "entries": 1200, "suspended": 3, "here": 2}
    world = World(tmp_path, meta={**META, "lists": [one]})
    assert world.config is not None
    places = world.config.places
    with Log.open(places, lambda: NOW - 3 * DAY) as log:
        log.append("counts", "2026-11-15", {"day": "2026-11-15", "lists": {"gambling": 1105}})
        log.append("list-activated", "gambling/3", {"list": "gambling", "version": 3, "added": 12, "removed": 4})
    publish(places, NOW)
    text = get(world, "/transparency").body.decode()
    rows = dict(re.findall(r'<div class="row"><dt>([^<]*)</dt><dd>([^<]*)</dd>', text))
    assert (rows["Entries in force now"], rows["Suspended, so not enforced"]) == ("1,195", "5")
    assert "From 18 October 2026 to 16 November 2026" in text
    told = (rows["Queries stopped"], rows["Entries added by updates"], rows["Entries withdrawn"])
    assert told == ("1,105", "12", "4")
    assert "Entries in force at the end" not in text, "what is in force stands above, as of now"
    assert json.loads(get(world, "/transparency", "application/json").body)["lists"][0]["entries"] == 1195


def test_a_report_that_was_made_before_the_first_list_is_made_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.config is not None
    places = world.config.places
    with Log.open(places, lambda: NOW - 3 * DAY) as log:
        log.append("start", "", {})
    assert not publish(places, NOW), "no list is in force: the steward asks again soon"
    lists = lists_world.World(tmp_path / "provider", clock=lists_world.Clock(NOW))
    lists.take(1, ["a.example", "b.example"])
    lists.stop()
    shutil.copytree(lists.config.places.state_dir / "lists", places.state_dir / "lists")
    assert publish(places, NOW + 3600)
    assert json.loads(get(world, "/log/report.json").body)["entries"]["total"] == 2
    written = places.report.stat().st_ino
    assert publish(places, NOW + 7200)
    assert places.report.stat().st_ino == written


def test_a_log_is_served_under_the_name_of_its_host_and_no_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.config is not None
    with Log.open(world.config.places, lambda: NOW) as log:
        log.append("start", "", {})
    (world.config.places.log_dir / "checkpoint.cosigned").write_bytes(world.config.places.checkpoint.read_bytes())
    found = {path: get(world, path).status for path in (
        "/log/a/checkpoint.cosigned", "/log/checkpoint", "/log/a/checkpoint", "/log/a/log.vkey",
        "/log/a/tile/entries/000.p/1", "/log/b/checkpoint", "/log/a/checkpoint.new",
        "/log/a/a/checkpoint", "/log/a/../checkpoint", "/log/a/",
    )}  # fmt: skip
    assert [path for path, status in found.items() if status == 200] == list(found)[:5]


def test_a_report_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.config is not None
    for told in ("", "[]", '{"hosts": 1}'):
        world.config.places.report.parent.mkdir(parents=True, exist_ok=True)
        world.config.places.report.write_text(told)
        assert get(world, "/transparency").status == 200
