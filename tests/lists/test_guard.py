"""What an update may do by itself: the guards, one table each, and the accidents on record played again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resolver.config.schema import Config
from resolver.config.schema_lists import Caps
from resolver.lists.guard import DAY, Facts, Finding, judge, outside_scope
from resolver.lists.protected import ProtectedNames, popular_names, protected_names, suffix_rules
from tests.rigs.lists_world import NOW, World, make_entry, settings

if TYPE_CHECKING:
    from pathlib import Path

WATCHED = ProtectedNames({"ntp.org": "time"}, (), (), frozenset({"drive.usercontent.google.com"}))
TIME = NOW.timestamp()


def source(folder: Path, **more: Any) -> Any:
    return Config.model_validate(settings(folder, gambling=more)).lists[0]


def kinds(facts: Facts, settings_: Any, *, active: int = 1000, additions: Any = ()) -> list[str]:
    judged = judge(facts, settings_, WATCHED, active=active, additions=additions, now=TIME)
    return [reason.kind for reason in judged.reasons]


def update(added: int, **more: Any) -> Facts:
    return Facts(**{"first": False, "entries": 1000 + added, "added": added, "removed": 0, **more})


@pytest.mark.parametrize(
    ("added", "active", "additions", "expected"),
    [
        (10, 1000, [], []),
        (100, 1000, [], []),
        (101, 1000, [], ["cap-update"]),
        (25, 10, [], []),  # a short list may grow by a few
        (26, 10, [], ["cap-update", "cap-day", "cap-week"]),
        (5_001, 1_000_000, [], ["cap-update"]),
        (1_000, 1_000_000, [], []),
        (100, 1100, [(TIME - 3600, 100)], []),
        (100, 1101, [(TIME - 3600, 101)], ["cap-day"]),
        (100, 1101, [(TIME - 25 * 3600, 101)], []),
        (100, 1300, [(TIME - 6 * DAY, 150), (TIME - 5 * DAY, 150)], []),
        (100, 1301, [(TIME - 6 * DAY, 150), (TIME - 5 * DAY, 150), (TIME - 1, 1)], ["cap-week"]),
        (100, 1400, [(TIME - 8 * DAY, 300)], []),
        (4_000, 1_000_000, [(TIME - 3600, 6_001)], ["cap-day"]),
        (4_000, 1_000_000, [(TIME - 2 * DAY, 16_001)], ["cap-week"]),
        (0, 1000, [(TIME, 9_999)], []),  # removals alone are never held
    ],
)
def test_the_caps_count_by_number_and_share_in_one_update_and_over_rolling_windows(
    tmp_path: Path, added: int, active: int, additions: list[tuple[float, int]], expected: list[str]
) -> None:
    assert kinds(update(added), source(tmp_path), active=active, additions=additions) == expected


def test_the_first_load_waits_for_a_person(tmp_path: Path) -> None:
    assert kinds(Facts(first=True, entries=3, added=3, removed=0), source(tmp_path), active=0) == ["first-load"]


@pytest.mark.parametrize(
    ("finding", "kind", "approvable"),
    [
        (Finding("protected", "org", "subtree", "ntp.org"), "protected", False),
        (Finding("protected", "a.pool.ntp.org", "exact", "ntp.org"), "protected", False),
        (Finding("public-suffix", "co.uk", "subtree", "co.uk"), "public-suffix", False),
        (Finding("popular", "example.com", "exact", "example.com"), "popular", True),
        (
            Finding("popular", "drive.usercontent.google.com", "exact", "drive.usercontent.google.com"),
            "shared-host",
            True,
        ),
    ],
)
def test_a_person_may_let_a_popular_name_through_but_never_a_protected_one(
    tmp_path: Path, finding: Finding, kind: str, approvable: bool
) -> None:
    judged = judge(update(1, found=[finding]), source(tmp_path), WATCHED, active=1000, additions=(), now=TIME)
    assert [(reason.kind, reason.approvable) for reason in judged.reasons] == [(kind, approvable)]
    assert finding.name in judged.reasons[0].text


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({}, []),
        ({"matches": ["exact"]}, ["match subtree (a.example)"]),
        ({"categories": ["piracy"]}, ["category gambling (a.example)"]),
        ({"territories": ["DE"]}, []),
        ({"territories": ["AT"]}, ["territory DE-BY (a.example)"]),
        ({"below": ["example"]}, []),
        ({"below": ["ample"]}, ["names not below ample (a.example)"]),
    ],
)
def test_an_issuer_cannot_reach_beyond_the_scope_that_the_provider_gave_it(
    tmp_path: Path, scope: dict[str, Any], expected: list[str]
) -> None:
    given = source(tmp_path, scope=scope).scope
    assert list(outside_scope(given, [("a.example", "subtree", "gambling", "DE-BY")])) == expected


def test_the_names_to_look_after_come_from_the_configuration(tmp_path: Path) -> None:
    plain = settings(tmp_path, gambling={"repository": "https://lists.regulator.example/x"})
    plain["guards"] = {"protected": ["Hospital.example."]}
    plain["provider"]["help_lines"] = [{"name": "Help", "url": "https://help.example"}]
    names = protected_names(Config.model_validate(plain)).protected
    for name in ("hospital.example", "stop.isp.example", "isp.example", "lists.regulator.example", "help.example"):
        assert name in names
    assert {"arpa", "localhost", "root-servers.net", "letsencrypt.org", "ntp.org"} <= names.keys()


def test_the_public_suffixes_are_both_sections_in_a_labels() -> None:
    rules = set(suffix_rules())
    assert {"com", "co.uk", "github.io", "*.ck", "!www.ck", "xn--p1ai"} <= rules
    assert all(rule.isascii() for rule in rules)


def test_popular_names_are_read_as_the_world_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "popular.csv"
    path.write_text("# top\n1,Google.com\n2,youtube.com\nnot a name\n\nbücher.example\n4,fourth.example\n")
    assert popular_names(path, 3) == ("google.com", "youtube.com", "xn--bcher-kva.example")


# -- the accidents


def held(world: World) -> list[str]:
    known = world.register.fetching["gambling"].held
    return [reason.kind for reason in known.reasons] if known else []


def test_denmark_2012_eight_thousand_sites_from_a_wrong_folder(tmp_path: Path) -> None:
    """1 March 2012: an officer put a file of 8,000 sites, Google and Facebook among them, into the wrong folder; every
    provider blocked them. Correctly delivered, correctly signed."""
    world = World(tmp_path)
    listed = [f"listed-{number}.example" for number in range(400)]
    world.take(1, listed)
    wrong = [f"site-{number}.example" for number in range(8_000)] + ["google.com", "facebook.com"]
    outcome = world.take(2, [*listed[1:], *wrong])
    assert outcome.kind == "held"
    assert {"cap-update", "protected", "shared-host"} <= set(held(world))
    assert world.active("www.google.com") == []
    assert world.active("site-1.example") == []
    assert world.active("listed-0.example") == []  # the removal in the same update holds all the same
    assert world.active("listed-1.example") == ["gambling"]


def test_mooo_com_2011_one_name_eighty_four_thousand_sites(tmp_path: Path) -> None:
    """February 2011: mooo.com, a shared domain of a dynamic DNS provider, seized for one page."""
    world = World(tmp_path)
    world.take(1, ["listed.example"])
    world.take(2, ["listed.example", "mooo.com"])
    assert held(world) == ["shared-host"]
    assert world.active("somebody-else.mooo.com") == []


def test_italy_2024_drive_usercontent_google_com(tmp_path: Path) -> None:
    """19 October 2024: Piracy Shield stopped drive.usercontent.google.com, and Google Drive with it, for hours."""
    world = World(tmp_path)
    world.take(1, ["listed.example"])
    world.take(2, ["listed.example", make_entry("drive.usercontent.google.com", match="exact")])
    assert held(world) == ["shared-host"]
    assert world.active("drive.usercontent.google.com") == []


@pytest.mark.parametrize(
    ("name", "match", "kind"),
    [
        ("com", "subtree", "protected"),
        ("co.uk", "subtree", "public-suffix"),
        ("github.io", "below", "public-suffix"),
        ("foo.ck", "subtree", "public-suffix"),
        ("stop.isp.example", "exact", "protected"),
        ("x.stop.isp.example", "exact", "protected"),
        ("isp.example", "subtree", "protected"),
        ("1.0.0.127.in-addr.arpa", "exact", "protected"),
        ("printer.local", "exact", "protected"),
        ("r3.o.lencr.org", "exact", "protected"),
    ],
)
def test_what_nobody_may_stop_is_held_and_cannot_be_approved(tmp_path: Path, name: str, match: str, kind: str) -> None:
    world = World(tmp_path)
    world.take(1, ["listed.example"])
    outcome = world.take(2, ["listed.example", make_entry(name, match=match)])
    known = world.register.fetching["gambling"].held
    assert outcome.kind == "held"
    assert name in outcome.text
    assert known is not None
    assert kind in held(world)
    assert not known.approvable


@pytest.mark.parametrize(
    ("name", "match"), [("github.io", "exact"), ("www.ck", "subtree"), ("somebody.github.io", "subtree")]
)
def test_a_name_that_touches_nobody_else_passes_the_guards(tmp_path: Path, name: str, match: str) -> None:
    world = World(tmp_path)
    world.take(1, ["listed.example"])
    world.take(2, ["listed.example", make_entry(name, match=match)])
    assert held(world) == []


def test_ten_updates_of_a_tenth_are_one_of_the_whole(tmp_path: Path) -> None:
    world = World(tmp_path)
    names = [f"n{number}.example" for number in range(1000)]
    world.take(1, names)
    for version in range(2, 12):
        world.clock.forward(hours=1)
        names += [f"v{version}-{number}.example" for number in range(90)]
        world.take(version, names)
    assert held(world) == ["cap-update", "cap-day", "cap-week"] or "cap-day" in held(world)
    assert len([name for name in names if name.startswith("v") and world.active(name)]) <= 0.2 * 1000


def test_what_is_held_waits_for_a_person_and_not_for_a_window_to_pass(tmp_path: Path) -> None:
    world = World(tmp_path, lists={"gambling": {"caps": {"day": {"number": 30, "share": "100%"}}}})
    names = [f"n{number}.example" for number in range(100)]
    world.take(1, names)
    world.take(2, [*names, *(f"a{number}.example" for number in range(10))])
    offered = world.candidate(3, [*names, *(f"b{number}.example" for number in range(25))])
    assert world.register.take(offered).kind == "held"
    world.clock.forward(days=3)
    world.restart()
    assert world.register.take(offered).kind == "held"
    assert world.active("b1.example") == []


def test_caps_are_what_the_configuration_says() -> None:
    assert Caps().update.number == 5_000
