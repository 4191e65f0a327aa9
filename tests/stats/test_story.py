"""Several hosts' stories as one: what each did adds up, what the provider did once counts once."""

from __future__ import annotations

import json
from datetime import date
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from resolver.log.reading import published_details
from resolver.log.source import Folder
from resolver.stats.report import of_story, report
from resolver.stats.story import Story, read_story
from tests.rigs.counted import at, month_of
from tests.rigs.index_world import HOSTS, Fleet, origin
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from pathlib import Path

START, END = date(2026, 10, 1), date(2026, 10, 31)


@pytest.fixture
def two(tmp_path: Path) -> list[World]:
    """Two hosts that did the same all month."""
    worlds = [World(tmp_path / host, origin(host), 1000 * number) for number, host in enumerate(HOSTS[:2])]
    for world in worlds:
        month_of(world)
    return worlds


def late(root: Path) -> World:
    """A host that began on the 20th: it took the whole list at once, and saw one more appeal and one more override."""
    world = World(root / "late", origin("ber-1"), 9_000)
    told: list[tuple[float, str, str, dict[str, Any]]] = [
        (at(20), "start", "", {}),
        (at(20), "list-activated", "gambling/2", {"list": "gambling", "version": 2, "added": 11, "removed": 0}),
        (at(21), "appeal-received", "A" * 16, {"appeal": "three", "ground": "mistake", "received": at(21)}),
        (at(22), "override-set", "", {"name": "florist.example"}),
        (at(23), "bypass", "", {"act": "on", "kind": "all", "of": "", "until": "2026-10-23T13:00:00Z"}),
        (at(31), "list-activated", "gambling/4", {"list": "gambling", "version": 4, "added": 2, "removed": 0}),
        (at(2, month=11), "counts", "2026-10-21", {"day": "2026-10-21", "lists": {"gambling": 7}}),
    ]
    with world.open() as log:
        for when, kind, reference, detail in told:
            world.now = when
            log.append(kind, reference, detail)
    return world


def story(world: World, *, private: bool = False) -> Story:
    source = Folder(world.log_dir)
    if not private:
        return read_story(source, published_details(source), START, END)
    with world.open() as log:
        return read_story(source, log.details.bundle, START, END)


@pytest.mark.parametrize("private", [False, True])
def test_two_hosts_that_did_the_same_count_once_but_for_what_each_did_itself(
    two: list[World], *, private: bool
) -> None:
    one, other = (story(world, private=private) for world in two)
    alone, both = of_story(one), of_story(one.joined(other))
    assert both["blocks"]["total"] == 2 * alone["blocks"]["total"] == 210
    assert both["blocks"]["by_day"]["2026-10-02"] == {"gambling": 120, "piracy": 10}
    assert both["availability"] == {"hours": 1488, "hours_with_a_leaf": 20, "starts": 2}
    assert [one["origin"] for one in both["hosts"]] == [origin("fra-1"), origin("fra-2")]
    same = ("lists", "changes", "refused", "held", "approved", "relief", "appeals", "overrides", "bypass", "bands")
    assert {key: both[key] for key in same} == {key: alone[key] for key in same}
    assert both["appeals"]["received"] == 2
    assert both["appeals"]["median_hours"] == (72.0 if private else None)


@pytest.mark.parametrize("private", [False, True])
def test_what_only_a_later_host_saw_is_added_and_its_first_load_is_no_update(
    two: list[World], tmp_path: Path, *, private: bool
) -> None:
    every = [story(world, private=private) for world in (*two, late(tmp_path))]
    figures = []
    for first, second, third in permutations(every):
        figures.append(first.joined(second).joined(third).figures())
    assert all({**one, "blocks": {}} == {**figures[0], "blocks": {}} for one in figures), "in any order"
    told = figures[0]
    assert told["changes"] == {"gambling": {"activations": 2, "added": 5, "removed": 0}}
    assert told["lists"]["gambling"]["version"] == 4
    assert told["blocks"]["total"] == 217
    assert told["overrides"]["set"] == 2
    assert told["bypass"] == 2
    # of an appeal only its entry is published: two against one entry, each at another host, are told apart by ids alone
    assert told["appeals"]["received"] == (3 if private else 2)


def test_a_story_that_is_not_joined_is_the_report_of_its_host(two: list[World]) -> None:
    source = Folder(two[0].log_dir)
    assert report(source, published_details(source), START, END) == of_story(story(two[0]))


def test_a_withdrawal_counts_once_also_where_its_entry_leaves_the_list(tmp_path: Path) -> None:
    world = World(tmp_path, origin("fra-1"), 0)
    withdrawn = [["A"], ["A", "B"], ["B"], [], ["C"]]
    with world.open() as log:
        for day, off in enumerate(withdrawn, 1):
            world.now = at(day)
            detail = {"list": "gambling", "suspended": len(off), "references": off}
            log.append("relief-applied", f"gambling/{day}", detail)
    assert story(world).figures()["relief"] == 3


# -- as typed


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fleet:
    made = Fleet(tmp_path, capsys)
    for number, (host, world) in enumerate(made.worlds.items()):
        with world.open() as log:
            world.now = at(24, month=11)
            log.append("appeal-received", "A" * 16, {"appeal": "one"})
            log.append("counts", "2026-11-22", {"day": "2026-11-22", "lists": {"gambling": 10**number}})
        made.publish(host)
    return made


def typed(fleet: Fleet, *more: object) -> tuple[int, str, str]:
    period = "--from", "2026-11-01", "--to", "2026-11-30"
    return fleet.typed(
        "report", "--all", fleet.published, "--key", fleet.key, "--seen", fleet.seen, *period, "--format", "json", *more
    )


def test_one_report_is_made_of_all_logs(fleet: Fleet) -> None:
    status, out, err = typed(fleet)
    told = json.loads(out)
    assert (status, err, "missing" in told) == (0, "", False)
    assert (told["blocks"]["total"], told["appeals"]["received"], told["availability"]["starts"]) == (11111, 1, 5)
    assert told["dsa"]["d"]["complaints"] == 1
    assert len(told["hosts"]) == 5


def test_a_host_that_is_missing_is_named_in_the_report_and_its_figures_are_not_in_it(fleet: Fleet) -> None:
    (fleet.published / "muc-1/checkpoint").unlink()
    status, out, err = typed(fleet)
    told = json.loads(out)
    assert (status, told["blocks"]["total"], len(told["hosts"])) == (2, 11011, 4)
    assert told["missing"][0]["origin"] == origin("muc-1")
    assert f"{origin('muc-1')} is missing in this report: " in err
    path = max((fleet.published / "muc-2/tile/entries/000.p").iterdir())
    path.write_bytes(path.read_bytes().replace(b"gambling", b"gamb1ing"))
    page = fleet.root / "report.html"
    status, _, err = typed(fleet, "--format", "html", "--output", page)
    assert (status, err.count("is missing in this report")) == (1, 2)
    assert "Not in these figures" in page.read_text()
    assert origin("muc-2") in page.read_text()


def test_a_retired_host_s_figures_stay(fleet: Fleet) -> None:
    assert fleet.retire("ber-1", "--dead")[0] == 0
    assert fleet.sign()[0] == 0
    assert json.loads(typed(fleet)[1])["blocks"]["total"] == 11111


def test_what_does_not_go_together_is_said(fleet: Fleet) -> None:
    for words in (("--log", fleet.published / "fra-1"), ("--dir", fleet.root), ("--add", fleet.root / "x.json")):
        assert typed(fleet, *words)[0] == 2, words
    assert fleet.typed("report", "--log", fleet.published / "fra-1", "--key", fleet.key)[0] == 2
    for host in HOSTS:
        (fleet.published / host / "checkpoint").unlink()
    status, out, err = typed(fleet)
    assert (status, out, "no log of this index" in err) == (2, "", True)
