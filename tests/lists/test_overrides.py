"""What a person lets pass: overrides, the off switch, entries suspended here while an appeal is overdue."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from resolver import passes
from resolver.errors import ResolverError
from resolver.lists.explain import explain
from resolver.lists.overrides import OverrideError
from resolver.lists.suspensions import SuspensionError
from resolver.passes import FOR_EVER, Pass, Passes
from tests.lists.world import BASIS, World, make_entry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, lists={"gambling": {}, "piracy": {"action": "nxdomain"}})
    world.take(1, ["a.example", "b.example"])
    world.take(1, ["a.example", make_entry("c.example", match="below")], name="piracy")
    return world


def verdict(world: World, name: str) -> str:
    return explain(world.config, name, now=world.clock()).verdict


def test_an_override_passes_the_name_and_all_below_it_until_its_end(world: World) -> None:
    assert verdict(world, "www.a.example") == "stopped"
    new = world.register.people.allow("A.example.", "subtree", "a hospital's", "root", 3600.0)
    assert verdict(world, "www.a.example") == "passes"
    assert verdict(world, "b.example") == "stopped"
    assert world.leaves()[-1] == ("override-set", "")
    world.clock.now = new.until
    assert verdict(world, "www.a.example") == "stopped"
    assert world.register.people.holding().overrides == ()


def test_an_override_is_renewed_not_doubled_and_is_lifted_with_a_leaf(world: World) -> None:
    world.register.people.allow("a.example", "subtree", "one", "root", 3600.0)
    world.register.people.allow("a.example", "exact", "two", "root", 7200.0)
    assert [entry.reason for entry in world.register.people.holding().overrides] == ["two"]
    assert verdict(world, "www.a.example") == "stopped"
    world.register.people.lift("a.example", "root")
    assert verdict(world, "a.example") == "stopped"
    assert world.leaves()[-1] == ("override-lifted", "")


def test_overrides_survive_a_restart_and_a_reboot(world: World) -> None:
    import shutil

    world.register.people.allow("a.example", "subtree", "one", "root", 3600.0)
    world.restart()
    assert verdict(world, "a.example") == "passes"
    world.stop()
    shutil.rmtree(world.config.places.run_dir)
    world.start()
    assert verdict(world, "a.example") == "passes"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "1.2.3.4"}, "is not a domain name"),
        ({"reason": "  "}, "needs a reason"),
        ({"seconds": 0.0}, "ends within"),
        ({"seconds": 400 * 86400.0}, "ends within"),
    ],
)
def test_an_override_without_name_reason_or_end_is_refused(world: World, wrong: dict[str, Any], sentence: str) -> None:
    right: dict[str, Any] = {"name": "a.example", "match": "subtree", "reason": "x", "by": "root", "seconds": 60.0}
    with pytest.raises(OverrideError, match=sentence):
        world.register.people.allow(**{**right, **wrong})
    with pytest.raises(OverrideError, match="there is no override"):
        world.register.people.lift("b.example", "root")


def test_the_off_switch_is_in_the_log_although_it_works_without_the_steward(world: World) -> None:
    passes.change(world.config.places, lambda live: Passes(all=True, names=live.names))
    assert verdict(world, "a.example") == "passes"
    world.register.tick()
    assert world.leaves()[-2:] == [("bypass", ""), ("heartbeat", "2026-11-22T12Z")]
    assert any("off switch" in alarm for alarm in world.register.status()["alarms"])
    passes.change(world.config.places, lambda live: Passes(names=live.names))
    world.register.tick()
    assert world.leaves()[-1] == ("bypass", "")
    assert verdict(world, "a.example") == "stopped"


def test_a_configuration_that_is_refused_again_for_the_same_mistake_is_one_leaf(world: World) -> None:
    for text, mistakes in (("x.yaml:3: dns: is missing", 3), ("x.yaml:3: dns: is missing", 3), ("cannot be read", 1)):
        world.register.people.configuration_refused(text, {"mistakes": mistakes, "goes_on": "sha256:0"})
        alarm = world.register.status()["alarms"][-1]
        more = " (and 2 more)" if mistakes == 3 else ""
        assert alarm == f"the new configuration is refused, the old one goes on: {text}{more}"
    assert world.leaves()[-2:] == [("configuration-refused", "")] * 2
    assert world.leaves()[-3] != ("configuration-refused", "")


def test_a_list_that_is_switched_off_leaves_the_others_on(world: World) -> None:
    passes.change(world.config.places, lambda _: Passes(lists=("gambling",)))
    assert verdict(world, "b.example") == "not listed"
    found = explain(world.config, "a.example", now=world.clock())
    assert (found.verdict, found.entries[0].why_not) == ("stopped", "its list is switched off (bypass)")
    assert found.entries[1].list == "piracy"


def test_a_bypassed_name_passes_without_an_end_and_overrides_stay_beside_it(world: World) -> None:
    world.register.people.allow("b.example", "subtree", "one", "root", 3600.0)
    switched = (Pass("a.example", "subtree", FOR_EVER, "bypass"),)
    passes.change(world.config.places, lambda live: live.with_names("bypass", switched))
    world.register.people.lift("b.example", "root")
    assert [verdict(world, name) for name in ("a.example", "b.example")] == ["passes", "stopped"]


def test_explain_says_which_entry_decides_and_why_the_others_do_not(world: World) -> None:
    found = explain(world.config, "x.a.example", now=world.clock())
    assert found.verdict == "stopped"
    assert [(entry.list, entry.why_not) for entry in found.entries] == [
        ("gambling", None),
        ("piracy", "the entry of list gambling comes first"),
    ]
    assert "Act 12" in "\n".join(found.lines())
    assert verdict(world, "c.example") == "not listed"
    assert verdict(world, "x.c.example") == "stopped"
    assert verdict(world, "example") == "not listed"
    world.clock.forward(days=400)
    late = explain(world.config, "a.example", now=world.clock())
    assert late.verdict == "not listed"
    assert all(entry.why_not == "expired 2027-11-01T00:00:00Z" for entry in late.entries)


def test_explain_names_the_signers_where_the_issuer_s_root_does(world: World) -> None:
    candidate = replace(world.candidate(2, ["a.example", "b.example"]), holders={"a" * 64: "Alice, registrar"})
    world.register.take(candidate)
    found = explain(world.config, "a.example", now=world.clock()).entries[0]
    assert (found.list, found.holders) == ("gambling", {"a" * 64: "Alice, registrar"})
    line = "     signed by  Alice, registrar (key aaaaaaaaaaaaaaaa), key bbbbbbbbbbbbbbbb"
    assert line in explain(world.config, "a.example", now=world.clock()).lines()
    written = [path.read_bytes() for path in world.config.places.log_dir.rglob("*") if path.is_file()]
    assert any(b"b" * 64 in text for text in written)
    assert not any(b"Alice" in text for text in written), "the log names keys alone"


def test_explain_knows_for_whom_a_list_holds(tmp_path: Path) -> None:
    views = [
        {"name": "wide", "clients": ["10.0.0.0/8"], "lists": []},
        {"name": "narrow", "clients": ["10.1.0.0/16"], "lists": ["gambling"]},
    ]
    world = World(tmp_path, more={"views": views})
    world.take(1, ["a.example"])

    def seen(client: str) -> str:
        return explain(world.config, "a.example", now=world.clock(), client=client).verdict

    assert [seen(client) for client in ("10.1.2.3", "10.2.0.1", "192.0.2.1")] == ["stopped", "not listed", "stopped"]


def test_an_overdue_appeal_takes_the_entry_off_until_somebody_decides(world: World) -> None:
    reference = make_entry("a.example").reference
    detail = {"appeal": "A1", "reference": reference}
    assert world.register.appeal_overdue(reference, "a.example", "A1", detail)
    assert world.active("a.example") == ["piracy"]
    assert world.leaves()[-1][0] == "appeal-overdue"
    world.restart()
    assert world.active("a.example") == ["piracy"]
    world.register.people.appeal_decided(reference, {**detail, "outcome": "upheld"})
    assert world.active("a.example") == ["gambling", "piracy"]


def test_a_block_comes_back_only_when_every_overdue_appeal_is_decided(world: World) -> None:
    reference = make_entry("a.example").reference
    details = [{"appeal": appeal, "reference": reference} for appeal in ("A1", "A2", "A3")]
    for detail in details[:2]:
        assert world.register.appeal_overdue(reference, "a.example", detail["appeal"], detail)
    for detail, outcome in zip((details[2], details[0]), ("withdrawn", "upheld"), strict=True):
        world.register.people.appeal_decided(reference, {**detail, "outcome": outcome})
        assert world.active("a.example") == ["piracy"], f"{detail['appeal']} is not what it waits for"
    world.restart()
    world.register.people.appeal_decided(reference, {**details[1], "outcome": "upheld"})
    assert world.active("a.example") == ["gambling", "piracy"]


def test_a_ground_can_say_that_an_overdue_appeal_suspends_nothing(world: World) -> None:
    firm = BASIS.model_copy(update={"overdue_suspends": False})
    world.take(2, ["a.example", "b.example"], bases={"order-17": firm})
    with pytest.raises(SuspensionError, match="suspends nothing"):
        world.register.appeal_overdue(make_entry("b.example").reference, "b.example", "A1", {})
    assert world.active("b.example") == ["gambling"]


def test_an_appeal_against_what_is_not_listed_changes_nothing(world: World) -> None:
    assert not world.register.appeal_overdue("0000000000000000", "b.example", "A1", {})
    assert world.active("b.example") == ["gambling"]


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"format": 2}', b"\xff", b'{"format":1,"all":0,"lists":3,"names":[]}']
)
def test_passes_that_cannot_be_understood_are_refused_and_overwritten_by_the_next_change(
    world: World, data: bytes
) -> None:
    path = world.config.places.passes
    path.write_bytes(data)
    with pytest.raises(ResolverError, match="passes cannot be understood"):
        passes.read(path)
    passes.change(world.config.places, lambda live: Passes(all=True, names=live.names))
    assert passes.read(path).all


@pytest.mark.parametrize(
    ("match", "name", "expected"),
    [
        ("exact", "a.example", True),
        ("exact", "x.a.example", False),
        ("subtree", "a.example", True),
        ("subtree", "x.a.example", True),
        ("subtree", "xa.example", False),
        ("below", "a.example", False),
        ("below", "x.a.example", True),
    ],
)
def test_a_pass_covers_what_its_match_says(match: Any, name: str, expected: bool) -> None:
    assert passes.covers(Pass("a.example", match, 0), name) is expected
