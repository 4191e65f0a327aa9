"""The dialect of Knot Resolver 6: what its `local-data/rpz` reads, which is not RPZ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from resolver.config.schema import ConfigError, load
from resolver.rpz import knot6
from resolver.rpz.export import write
from resolver.rpz.zone import zone_of
from tests.rigs.dns_host import ROOT
from tests.rigs.rpz_world import World

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.rpz.zone import Zone

HEAD = 4  # lines before the first rule


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    config = load(World(tmp_path, {"zones": [{"origin": "rpz.stopsign", "dialect": "knot6"}]}).config)
    return zone_of(config, config.rpz.zones[0])


def said(zone: Zone, folder: Path, *rules: str) -> tuple[set[str], list[str]]:
    """The lines of the file after those of the apex and of the stop page, and the complaints."""
    path, output = folder / "rules", folder / "zone"
    path.write_text("".join(f"{rule}\n" for rule in rules))
    with output.open("w") as file:
        complaints = write(zone, 7, path, file)
    lines = output.read_text().splitlines()
    assert lines[:2] == ["$ORIGIN rpz.stopsign.", "$TTL 60"]
    assert lines[HEAD : HEAD + 2] == [
        f"stop-page.rpz.stopsign {what}" for what in ("A 192.0.2.66", "AAAA 2001:db8::66")
    ]
    return set(lines[HEAD + 2 :]), complaints


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        ("a.bet s-", {"a.bet A 192.0.2.66", "a.bet AAAA 2001:db8::66"}),
        ("a.bet -s", {"*.a.bet CNAME stop-page.rpz.stopsign."}),
        ("a.bet ss", {"a.bet A 192.0.2.66", "a.bet AAAA 2001:db8::66", "*.a.bet CNAME stop-page.rpz.stopsign."}),
        ("a.bet xx", {"a.bet CNAME .", "*.a.bet CNAME ."}),
        ("a.bet nn", {"a.bet CNAME *.", "*.a.bet CNAME *."}),
        ("a.bet n-", {"a.bet CNAME *."}),
        ("a.bet -n", {"*.a.bet CNAME *."}),
    ],
)
def test_a_rule_is_said_in_the_words_that_it_understands(
    zone: Zone, tmp_path: Path, rule: str, lines: set[str]
) -> None:
    assert said(zone, tmp_path, rule) == (lines, [])


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        ("a.bet x-", set()),
        ("a.bet -x", set()),
        ("a.bet rr", set()),  # drop
        ("a.bet xn", {"*.a.bet CNAME *."}),
    ],
)
def test_what_would_stop_more_than_was_meant_is_left_out_and_named(
    zone: Zone, tmp_path: Path, rule: str, lines: set[str]
) -> None:
    found, complaints = said(zone, tmp_path, rule)
    assert found == lines
    assert len(complaints) == 1
    assert complaints[0].startswith("a.bet: 1 owners cannot be said in dialect knot6")


def test_an_exception_takes_away_what_stops_it_and_is_named(zone: Zone, tmp_path: Path) -> None:
    rules = ("a.bet ss", "sub.a.bet ss", "good.sub.a.bet pp", "other.bet ss", "x.nx xx", "p.x.nx pp")
    found, complaints = said(zone, tmp_path, *rules)
    assert found == {
        *(
            f"{name} {what}"
            for name in ("a.bet", "sub.a.bet", "other.bet")
            for what in ("A 192.0.2.66", "AAAA 2001:db8::66")
        ),
        "*.other.bet CNAME stop-page.rpz.stopsign.",
    }
    (complaint,) = complaints
    assert complaint.startswith("a.bet, sub.a.bet, x.nx: 3 owners stop nothing below themselves while an exception")


def test_a_few_are_named_and_all_are_counted(zone: Zone, tmp_path: Path) -> None:
    _, (complaint,) = said(zone, tmp_path, *(f"n{at}.bet x-" for at in range(5)))
    assert complaint.startswith("n0.bet, n1.bet, n2.bet, …: 5 owners")


def test_the_example_names_the_file_and_the_dialect() -> None:
    example = (ROOT / "config" / "rpz" / "knot-resolver6.yaml").read_text()
    (zone,) = yaml.safe_load(next(line for line in example.splitlines() if "dialect" in line and "- {" in line)[1:])
    (read,) = yaml.safe_load(example)["local-data"]["rpz"]
    assert (zone["dialect"], zone["file"]) == ("knot6", read["file"])


def test_the_stop_page_has_a_name_of_the_zone(zone: Zone) -> None:
    assert knot6.target(zone) == "stop-page.rpz.stopsign"


def test_a_list_that_refuses_needs_words_that_it_has(tmp_path: Path) -> None:
    zones = [{"origin": "rpz.stopsign", "dialect": "knot6"}]
    world = World(tmp_path, {"zones": zones}, actions=["refused"])
    with pytest.raises(ConfigError, match="list-0 refuses, and dialect knot6 cannot say drop; nxdomain or nodata"):
        load(world.config)
    world.more = {"zones": [{**zones[0], "refused": "nodata"}]}
    world.write_config()
    load(world.config)
    world.more = {"zones": [{"origin": "rpz-x", "dialect": "knot6", "refused": "nodata"}]}
    world.write_config()
    with pytest.raises(ConfigError, match="passes over names under rpz-"):
        load(world.config)
