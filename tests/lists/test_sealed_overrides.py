"""What a person lets pass of a sealed list: by its reference, so that no name reaches the disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resolver.base.errors import ResolverError
from resolver.base.hourly import LIMIT
from resolver.cli.lists import _note_others
from resolver.lists import withdrawn
from resolver.lists.ledger import LedgerError
from resolver.lists.questions import TooManyError
from resolver.policy import bypass, overrides
from resolver.policy.exceptions import LiveExceptions
from tests.rigs.command_line import run
from tests.rigs.lists_world import World, make_entry, received, settings
from tests.rigs.sealed_lists import Provider, stopped
from tests.rigs.steward import serving

if TYPE_CHECKING:
    from pathlib import Path

NAME, OTHER = "planted.example", "other.example"
REFERENCE = make_entry(NAME).reference


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(tmp_path / "credentials" / "sealed.pem")


@pytest.fixture
def world(tmp_path: Path, provider: Provider) -> World:
    world = World(tmp_path, lists={"sealed": {}, "gambling": {}}, more={"sealed_key": str(provider.key)})
    world.register.take(provider.candidate(world, 1, [NAME, OTHER]))
    world.take(1, ["casino.example"])
    return world


def allow(world: World, name: str, reference: str = "", seconds: float = 3600.0) -> overrides.Override:
    return world.register.people.allow(name, "subtree", "a hospital's", "anna", seconds, reference).new


def written(world: World) -> list[str]:
    """Files that hold the name."""
    folders = world.config.places.state_dir, world.config.places.run_dir
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    return [str(path) for path in files if b"planted" in path.read_bytes()]


def test_a_name_of_a_sealed_list_is_not_let_pass_by_name_and_its_reference_is_said(world: World) -> None:
    for name in (NAME, f"www.{NAME}"):
        with pytest.raises(ResolverError) as refusal:
            allow(world, name)
        assert f"stopsign override allow {REFERENCE}" in str(refusal.value.hint)
    assert [kind for kind, _ in world.leaves()].count("explained") == 2
    assert written(world) == []
    assert allow(world, "casino.example").name == "casino.example"
    assert allow(world, "unlisted.example").name == "unlisted.example"


def test_an_entry_passes_by_its_reference_until_its_end(world: World, provider: Provider) -> None:
    new = allow(world, "", REFERENCE)
    assert (new.name, new.match, new.list) == ("", "subtree", "sealed")
    assert stopped(world, provider, f"www.{NAME}", OTHER, "casino.example") == [False, True, True]
    (told,) = withdrawn.find(world.config, REFERENCE, world.clock())
    assert told.why == "a person lets it pass until 2026-11-22T13:00:00Z: a hospital's"
    world.restart()
    assert stopped(world, provider, NAME, OTHER) == [False, True]
    again = world.register.people.allow("", "exact", "still", "bob", 7200.0, REFERENCE)
    assert again.before is not None
    assert again.before.reason == "a hospital's"
    assert len(world.register.people.holding().overrides) == 1
    world.clock.forward(hours=1, minutes=1)
    world.register.tick()
    assert stopped(world, provider, NAME) == [False]
    world.clock.forward(hours=1)
    world.register.tick()
    assert stopped(world, provider, NAME, OTHER) == [True, True]
    assert withdrawn.find(world.config, REFERENCE, world.clock()) == ()
    assert written(world) == []


def test_it_is_lifted_by_its_reference_and_no_other_with_it(world: World, provider: Provider) -> None:
    allow(world, "", REFERENCE)
    allow(world, "", make_entry(OTHER).reference)
    allow(world, "casino.example")
    with pytest.raises(overrides.OverrideError, match="there is no override"):
        world.register.people.lift("", "anna", "0" * 16)
    gone, trouble = world.register.people.lift("", "anna", REFERENCE)
    assert (gone.reference, trouble) == (REFERENCE, None)
    assert stopped(world, provider, NAME, OTHER) == [True, False]
    assert world.leaves()[-2][0] == "override-lifted"


def test_a_reference_that_no_sealed_list_holds_is_refused(world: World) -> None:
    for reference in ("", "0" * 16, make_entry("casino.example").reference):
        with pytest.raises(overrides.OverrideError, match="no active list holds an entry"):
            allow(world, "", reference)


def test_a_bypass_by_the_reference_of_a_sealed_entry_is_refused_and_does_not_open_everything(world: World) -> None:
    with pytest.raises(bypass.SealedEntryError) as refusal:
        bypass.meant(world.config, LiveExceptions(), REFERENCE, on=True)
    assert f"stopsign override allow {REFERENCE}" in str(refusal.value.hint)


def test_with_the_steward_dead_the_off_switch_works_and_says_where_the_name_is_written(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    file = world.folder / "stopsign.yaml"
    file.write_text(json.dumps({**settings(world.folder, **world.lists), **world.more}))
    world.stop()
    _, _, err = run(capsys, "bypass", "on", NAME, "--config", file)
    assert f"{NAME} is written to {world.config.places.bypass}" in err
    assert "whether a sealed list holds it is not known" in err
    assert "no list holds" not in err
    _, _, err = run(capsys, "bypass", "on", REFERENCE, "--config", file)
    assert "that entry is of a sealed list" in err


def test_without_the_key_nobody_knows_what_sealed_lists_hold_and_unblocking_works(
    world: World, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    file = world.folder / "stopsign.yaml"
    file.write_text(json.dumps({**settings(world.folder, **world.lists), **world.more}))
    provider.key.unlink()
    assert allow(world, NAME).name == NAME
    world.stop()
    with serving(file):
        _, _, err = run(capsys, "bypass", "on", NAME, "--config", file)
    assert "whether a sealed list holds it is not known: list sealed is sealed, and does not open here" in err
    assert "no list holds" not in err


def test_names_cannot_be_tested_in_bulk_by_overrides_and_references_still_work(world: World) -> None:
    for number in range(LIMIT):
        allow(world, f"n{number}.example")
    with pytest.raises(TooManyError):
        allow(world, "one-more.example")
    assert allow(world, "", REFERENCE).reference == REFERENCE


def test_without_the_key_a_name_still_passes(world: World, provider: Provider) -> None:
    provider.key.unlink()
    assert allow(world, "casino.example").name == "casino.example"


def test_a_reference_is_explained_from_this_disk_at_any_time(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The steward is not asked: it is dead here, and counts nothing."""
    file = world.folder / "stopsign.yaml"
    file.write_text(json.dumps({**settings(world.folder, **world.lists), **world.more}))
    world.stop()
    code, out, err = run(capsys, "explain", make_entry("casino.example").reference, "--config", file)
    assert (code, "casino.example: stopped" in out) == (0, True)
    assert "what sealed lists say of casino.example is not looked at: stopsign explain casino.example" in err
    code, _, err = run(capsys, "explain", REFERENCE, "--config", file)
    assert (code, f"{REFERENCE} is of a sealed list" in err) == (2, True)
    code, _, err = run(capsys, "explain", "casino.example", "--config", file)
    assert (code, "is not looked at" in err) == (2, False)


def test_the_other_list_that_holds_the_entry_too_is_named(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path, lists={"source": {}, "adopter": {}}, more={"sealed_key": str(provider.key)})
    for name in world.lists:
        world.register.take(provider.candidate(world, 1, [NAME], name=name))
    assert allow(world, "", REFERENCE).list == "source"
    assert stopped(world, provider, NAME) == [True]
    _note_others(world.config, "source", REFERENCE)
    err = capsys.readouterr().err
    assert "list adopter holds the entry too, and goes on blocking: stopsign bypass on adopter" in err
    _note_others(world.config, "adopter", REFERENCE)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("of", ["sealed", "gambling", ""])
def test_a_mistake_of_fact_on_a_sealed_list_has_the_clock_of_merits_whatever_list_is_reported(
    world: World, provider: Provider, of: str
) -> None:
    received(world, "A1", REFERENCE, "", "mistake", list=of)
    for hours, fates in ((49, {}), (14 * 24 - 50, {}), (2, {"A1": "suspended"})):
        world.clock.forward(hours=hours)
        world.register.take(provider.candidate(world, 1, [NAME, OTHER]))
        world.register.tick()
        assert world.register.appeals.fates(["A1"]) == fates
    assert stopped(world, provider, NAME, OTHER) == [False, True]


def test_an_appeal_that_comes_due_while_its_entry_passes_waits_for_the_override_s_end(
    world: World, provider: Provider
) -> None:
    received(world, "A1", REFERENCE, "", "lawful", list="sealed")
    world.clock.forward(days=14, hours=1)
    allow(world, "", REFERENCE, 7200.0)
    world.register.tick()
    assert world.register.appeals.fates(["A1"]) == {}
    world.clock.forward(hours=3)
    world.register.take(provider.candidate(world, 1, [NAME, OTHER]))
    world.register.tick()
    assert world.register.appeals.fates(["A1"]) == {"A1": "suspended"}
    assert stopped(world, provider, NAME, OTHER) == [False, True]


def test_an_entry_that_is_held_for_a_person_stays_held_while_it_passes(tmp_path: Path, provider: Provider) -> None:
    more = {"sealed_key": str(provider.key), "guards": {"overdue": {"day": 0}}}
    world = World(tmp_path, lists={"sealed": {}}, more=more)
    world.register.take(provider.candidate(world, 1, [NAME, OTHER]))
    received(world, "A1", REFERENCE, "", "lawful", list="sealed")
    world.clock.forward(days=15)
    world.register.tick()
    allow(world, "", REFERENCE)
    assert world.register.appeals.let_go([REFERENCE], "Ms Day") == []
    assert world.register.appeals.fates(["A1"]) == {"A1": "held"}
    world.clock.forward(hours=2)
    world.register.tick()
    assert world.register.appeals.let_go([REFERENCE], "Ms Day") == [REFERENCE]


@pytest.mark.parametrize(("is_due", "restarts"), [(False, False), (True, False), (True, True)])
def test_an_override_s_end_waits_for_its_leaf_and_keeps_no_overdue_appeal_waiting(
    world: World, provider: Provider, monkeypatch: pytest.MonkeyPatch, is_due: bool, restarts: bool
) -> None:
    def full(*_: object) -> None:
        raise LedgerError("the log cannot be written: No space left on device")

    if is_due:
        received(world, "A1", make_entry(OTHER).reference, "", "lawful", list="sealed")
    world.forward(days=14, hours=-1)
    world.register.take(provider.candidate(world, 1, [NAME, OTHER]))
    allow(world, "", REFERENCE)
    if restarts:
        world.restart()
    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "append", full)
        for _ in range(2):
            world.forward(hours=1, minutes=1)
            world.register.tick()
        assert stopped(world, provider, NAME, OTHER) == [False, not is_due]
        assert "the new generation is not active" in world.register.alarms["activation"]
    world.forward(hours=1)
    world.register.tick()
    assert stopped(world, provider, NAME, OTHER) == [True, not is_due]
    assert world.leaves()[-1][0] in ("suspended-here", "heartbeat")
    assert "activation" not in world.register.alarms
