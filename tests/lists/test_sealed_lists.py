"""What a steward does with a sealed list: the guards work blind, and every step goes as with names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from blocklists.document import read_lines
from blocklists.errors import VerifyError
from resolver import _core
from resolver.base.hourly import LIMIT
from resolver.config.schema_rpz import RpzZone
from resolver.lists import withdrawn
from resolver.lists.questions import QuestionError, TooManyError
from resolver.policy import seals
from resolver.policy.explain import ExplainError, Explanation, Leads, is_sealed
from resolver.policy.in_force import Follower
from resolver.rpz.rules import sealed, write_rules
from resolver.rpz.zone import RpzError, zone_of
from tests.rigs.command_line import run
from tests.rigs.lists_world import World, make_entry, settings
from tests.rigs.sealed_lists import NAME_KEY, Provider, stopped
from tests.rigs.shadow_traffic import Traffic

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.entry import Entry

OTHER_KEY = bytes(range(0x60, 0x70))


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(tmp_path / "credentials" / "sealed.pem")


@pytest.fixture
def world(tmp_path: Path, provider: Provider) -> World:
    return World(tmp_path, lists={"sealed": {}}, more={"sealed_key": str(provider.key)})


def take(world: World, provider: Provider, version: int, entries: list[str | Entry], **more: object) -> str:
    return world.register.take(provider.candidate(world, version, entries, **more)).kind  # type: ignore[arg-type]


def test_additions_act_and_removals_are_gone_as_with_names(world: World, provider: Provider) -> None:
    take(world, provider, 1, ["a.example", "b.example"])
    assert stopped(world, provider, "a.example", "www.b.example", "c.example") == [True, True, False]
    take(world, provider, 2, ["b.example", "c.example"])
    assert stopped(world, provider, "a.example", "www.b.example", "c.example") == [False, True, True]
    take(world, provider, 3, ["b.example", "c.example"], suspended=[make_entry("b.example").reference])
    assert stopped(world, provider, "b.example", "c.example") == [False, True]


@pytest.mark.parametrize(("name", "match", "kind"), [
    ("stop.isp.example", "exact", "protected"),
    ("isp.example", "subtree", "protected"),
    ("co.uk", "subtree", "public-suffix"),
    ("uk", "below", "public-suffix"),
    ("com", "subtree", "public-suffix"),
])  # fmt: skip
def test_a_guard_sees_a_name_by_its_digest_and_speaks_of_a_reference(
    world: World, provider: Provider, name: str, match: str, kind: str
) -> None:
    take(world, provider, 1, ["a.example"])
    bad = make_entry(name, match=match)
    take(world, provider, 2, ["a.example", bad])
    held = world.register.fetching["sealed"].held
    assert held is not None
    assert {reason.kind for reason in held.reasons} >= {kind}
    assert not held.approvable
    text = " ".join(reason.text for reason in held.reasons)
    assert bad.reference in text
    assert name not in text.replace("public suffixes", "")
    assert stopped(world, provider, "a.example", name) == [True, False]


def test_the_issuer_s_scope_and_the_caps_count_as_with_names(tmp_path: Path, provider: Provider) -> None:
    rules = {"sealed": {"scope": {"categories": ["abuse"]}, "caps": {"update": {"number": 2, "share": "100%"}}}}
    world = World(tmp_path, lists=rules, more={"sealed_key": str(provider.key)})
    take(world, provider, 1, [make_entry("a.example", category="abuse")])
    kept = make_entry("a.example", category="abuse")
    outside = make_entry("b.example", category="gambling")
    take(world, provider, 2, [kept, outside])
    held = world.register.fetching["sealed"].held
    assert held is not None
    (reason,) = held.reasons
    assert (reason.kind, reason.approvable) == ("scope", False)
    assert "category gambling" in reason.text
    assert outside.reference in reason.text
    take(world, provider, 3, [kept, *(make_entry(f"n{at}.example", category="abuse") for at in range(3))])
    held = world.register.fetching["sealed"].held
    assert held is not None
    assert [reason.kind for reason in held.reasons] == ["cap-update"]


def test_under_a_new_key_references_are_compared(world: World, provider: Provider) -> None:
    """Nothing of one document is in the other, and yet one entry went and one came."""
    take(world, provider, 1, ["a.example", "b.example", "c.example"])
    bad = make_entry("stop.isp.example")
    take(world, provider, 2, ["b.example", "c.example", bad], name_key=OTHER_KEY, number=2)
    applied, held = world.register.applied["sealed"], world.register.fetching["sealed"].held
    assert held is not None
    assert held.added == 1
    assert (applied.version, applied.less, applied.entries) == (1, 2, 2)
    assert stopped(world, provider, "a.example", "b.example", "stop.isp.example") == [False, True, False]
    take(world, provider, 3, ["b.example", "c.example", "d.example"], name_key=OTHER_KEY, number=2)
    applied = world.register.applied["sealed"]
    assert (applied.version, applied.less, applied.added, applied.removed) == (3, None, 1, 0)
    assert stopped(world, provider, "a.example", "b.example", "d.example") == [False, True, True]


def test_a_shortened_entry_holds_no_longer_under_a_new_key(world: World, provider: Provider) -> None:
    take(world, provider, 1, ["a.example", "b.example"])
    short = make_entry("a.example", expires="2026-12-01T00:00:00Z")
    take(world, provider, 2, [short, make_entry("stop.isp.example")], name_key=OTHER_KEY, number=2)
    applied = world.register.applied["sealed"]
    (line,) = read_lines(world.config.places.list("sealed").applied / applied.document, size=applied.size)
    assert b'"expires":"2026-12-01T00:00:00Z"' in line
    assert _core.sealed_digest(NAME_KEY, "a.example").hex().encode() in line


@pytest.mark.parametrize("name_key", [NAME_KEY, OTHER_KEY], ids=["same key", "new key"])
def test_additions_meet_live_queries_before_they_act(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, name_key: bytes
) -> None:
    shadow = {"shadow": {"watch": "1h", "share": "1%"}}
    world = World(tmp_path, lists={"sealed": {}}, more={"sealed_key": str(provider.key), "guards": shadow})
    monkeypatch.setattr("resolver.lists.fetch.stored", lambda *_: world.last)
    number = 1 + (name_key != NAME_KEY)
    more = {"name_key": name_key, "number": number}
    take(world, provider, 1, ["a.example", "b.example"])
    take(world, provider, 2, ["a.example", "rare.example"], **more)
    assert stopped(world, provider, "a.example", "b.example", "rare.example") == [True, False, False]
    traffic = Traffic(world)
    traffic.take_up()
    traffic.flow(range(1_000), "elsewhere.example")
    traffic.flow(range(5), "rare.example")
    world.clock.forward(minutes=61)
    world.register.tick()
    assert stopped(world, provider, "a.example", "rare.example") == [True, True]
    third = {"name_key": name_key[::-1], "number": number + 1} if name_key == OTHER_KEY else more
    take(world, provider, 3, ["a.example", "rare.example", "popular.example"], **third)
    traffic.take_up()
    traffic.flow(range(1_000), "elsewhere.example")
    traffic.flow(range(100), "www.popular.example")
    world.clock.forward(minutes=61)
    world.register.tick()
    held = world.register.fetching["sealed"].held
    assert held is not None
    (reason,) = held.reasons
    reference = make_entry("popular.example").reference
    assert re.fullmatch(rf"the entry {reference} would stop (8|9|10|11|12)\.\d% of all clients", reason.text)
    assert stopped(world, provider, "a.example", "rare.example", "popular.example") == [True, True, False]


def test_without_the_key_nothing_changes(world: World, provider: Provider) -> None:
    take(world, provider, 1, ["a.example"])
    candidate = provider.candidate(world, 2, ["b.example"])
    provider.key.chmod(0o644)
    with pytest.raises(VerifyError, match="can be read by others") as refusal:
        world.register.take(candidate)
    assert refusal.value.reason == "seal-key"
    provider.key.chmod(0o600)
    assert stopped(world, provider, "a.example", "b.example") == [True, False]


def test_a_document_with_a_name_is_refused_and_the_name_is_in_no_message(world: World, provider: Provider) -> None:
    candidate = provider.candidate(world, 1, ["a.example"])
    plain = world.candidate(1, ["planted.example"], name="sealed")
    mixed = candidate.model_copy(update={"lines": plain.lines, "state": plain.state, "size": plain.size})
    with pytest.raises(VerifyError) as refusal:
        world.register.take(mixed)
    assert "planted" not in str(refusal.value)


def test_explain_asks_once_is_logged_and_limited(world: World, provider: Provider) -> None:
    take(world, provider, 1, ["planted.example"])
    assert is_sealed(world.config)
    asked = world.register.questions
    told = asked.explain("www.planted.example", None, Leads(), "anna")
    assert (told["verdict"], told["entries"][0]["name"]) == ("stopped", "")
    heard = Explanation.of(json.loads(json.dumps({"ok": True, **told})))  # as the control socket hands it on
    assert any("a sealed entry (subtree)" in line for line in heard.lines())
    assert asked.explain("other.example", None, Leads(), "anna")["verdict"] == "not listed"
    assert [kind for kind, _ in world.leaves()].count("explained") == 2
    with pytest.raises(ExplainError, match="its name is not known here"):
        asked.explain(told["entries"][0]["reference"], None, Leads(), "anna")
    for _ in range(LIMIT - 3):
        asked.explain("other.example", None, Leads(), "anna")
    with pytest.raises(TooManyError):
        asked.explain("other.example", None, Leads(), "anna")
    world.clock.forward(hours=1)
    assert asked.explain("other.example", None, Leads(), "anna")["verdict"] == "not listed"


def test_names_that_a_name_leads_to_are_asked_for_too_and_a_restart_gives_nothing_back(
    world: World, provider: Provider
) -> None:
    """Who calls the steward by itself says what the answers lead to, and could say a dictionary."""
    take(world, provider, 1, ["planted.example"])
    dictionary = tuple(f"n{number}.example" for number in range(LIMIT - 2))
    with pytest.raises(TooManyError):
        world.register.questions.explain("other.example", None, Leads((*dictionary, "a.example"), ("b.example",)), "x")
    told = world.register.questions.explain("other.example", None, Leads((*dictionary[1:], "planted.example")), "anna")
    assert (told["verdict"], len(told["entries"])) == ("trimmed", 1)
    assert [kind for kind, _ in world.leaves()].count("explained") == LIMIT - 1
    for _ in range(2):
        world.restart()
        with pytest.raises(TooManyError):
            world.register.questions.explain("other.example", None, Leads(("planted.example",)), "anna")
    assert world.register.questions.explain("planted.example", None, Leads(), "anna")["verdict"] == "stopped"
    world.clock.forward(minutes=-50)
    with pytest.raises(TooManyError):
        world.register.questions.explain("planted.example", None, Leads(), "anna")
    world.clock.forward(minutes=111)
    assert world.register.questions.explain("planted.example", None, Leads(), "anna")["verdict"] == "stopped"


def test_what_was_asked_is_kept_or_not_answered_and_unblocking_waits_for_no_disk(
    world: World, provider: Provider
) -> None:
    take(world, provider, 1, ["planted.example"])
    world.config.places.questions.mkdir()
    with pytest.raises(QuestionError, match="cannot be kept"):
        world.register.questions.explain("planted.example", None, Leads(), "anna")
    assert world.register.questions.holds("other.example", "anna") is None
    assert world.register.questions.holds("planted.example", "anna") == make_entry("planted.example").reference
    world.config.places.questions.rmdir()
    world.config.places.questions.write_text("[]")
    world.restart()
    assert world.register.questions.explain("planted.example", None, Leads(), "anna")["verdict"] == "stopped"


def test_a_suspended_entry_is_found_by_its_reference_alone(
    world: World, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = make_entry("b.example").reference
    take(world, provider, 1, ["a.example", "b.example"], suspended=[reference])
    assert withdrawn.find(world.config, "b.example", world.clock()) == ()
    assert withdrawn.find(world.config, "other.example", world.clock()) == ()
    (one,) = withdrawn.find(world.config, reference, world.clock())
    assert (one.name, one.list, one.reference) == ("", "sealed", reference)
    said = typed(world, capsys, "explain", reference)
    assert said.startswith("a sealed entry (subtree), list sealed version 1, ")
    assert "b.example" not in said


def test_was_blocked_says_that_a_sealed_list_cannot_be_searched(
    world: World, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    take(world, provider, 1, ["planted.example"])
    said = typed(world, capsys, "audit", "was-blocked", "planted.example", "--on", "2026-11-22")
    assert "planted.example was on no active list that can be read then" in said
    assert "List sealed is sealed: whether planted.example was on it cannot be said without its key." in said


def typed(world: World, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    file = world.folder / "stopsign.yaml"
    file.write_text(json.dumps({**settings(world.folder, **world.lists), **world.more}))
    status, out, err = run(capsys, *words, "--config", file)
    assert status == 0, err
    return out


def test_a_policy_zone_names_no_sealed_list(world: World, provider: Provider, tmp_path: Path) -> None:
    take(world, provider, 1, ["planted.example"])
    live = Follower(world.config.places, lambda compiled, lists: seals.unseal(provider.key, compiled, lists))
    live.poll()
    zone = zone_of(world.config, RpzZone(origin="rpz.isp.example"))
    assert sealed(live.now) == {"sealed"}
    with pytest.raises(RpzError, match="takes Stopsign in front"):
        write_rules(live.now, zone, frozenset({"sealed"}), tmp_path / "rules", world.clock())
    assert write_rules(live.now, zone, None, tmp_path / "rules", world.clock()).names == 0
