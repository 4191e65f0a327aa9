"""Was this name blocked on that day, on whose word? Answered from what the provider keeps, checked by a stranger."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from blocklists import delta
from blocklists.document import read_lines
from resolver.lists.activate import NAMED
from resolver.lists.ledger import Event
from resolver.log.errors import AuditError
from resolver.log.leaf import canonical
from resolver.policy import exceptions
from resolver.policy.exceptions import FOR_EVER, Bypass
from resolver.stats.kept import STEPS, Kept
from tests.rigs.command_line import run
from tests.rigs.http_folder import served
from tests.rigs.lists_world import BASIS, ISSUER, World, make_entry, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from resolver.policy.exceptions import Kind, LiveExceptions

OLD, NEW = make_entry("old.example"), make_entry("new.example")
OTHER = BASIS.model_copy(update={"order": "18/2026"})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    (tmp_path / "stopsign.yaml").write_text(json.dumps(settings(tmp_path)))
    world.take(1, [OLD])
    world.clock.forward(days=1)
    world.take(2, [OLD, NEW])
    world.clock.forward(days=1)
    world.take(3, [NEW])
    yield world
    world.stop()


def ask(world: World, capsys: pytest.CaptureFixture[str], *words: Any) -> dict[str, Any]:
    status, out, err = run(capsys, "audit", "was-blocked", *words, "--config", world.folder / "stopsign.yaml", "--json")
    assert status == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


@pytest.mark.parametrize(
    ("name", "day", "versions"),
    [
        ("old.example", "2026-11-21", []),
        ("old.example", "2026-11-22", [1]),
        ("www.old.example", "2026-11-23", [1, 2]),
        ("old.example", "2026-11-25", []),
        ("new.example", "2026-11-22", []),
        ("new.example", "2026-11-25", [3]),
    ],
)
def test_it_says_which_version_held_on_a_day(
    world: World, capsys: pytest.CaptureFixture[str], name: str, day: str, versions: list[int]
) -> None:
    assert [one["version"] for one in ask(world, capsys, name, "--on", day)["found"]] == versions


@pytest.mark.parametrize("day", ["2026-11-31", "2026-13-01", "2026-W47-7", "٢٠٢٦-11-22"])
def test_a_day_that_is_in_no_calendar_is_refused(world: World, capsys: pytest.CaptureFixture[str], day: str) -> None:
    config = world.folder / "stopsign.yaml"
    status, out, err = run(capsys, "audit", "was-blocked", "old.example", "--on", day, "--config", config)
    assert (status != 0, out, "which days?" in err) == (True, "", True)


def test_a_day_after_the_end_of_the_log_is_said_to_be_open(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    config = world.folder / "stopsign.yaml"
    end = ask(world, capsys, "old.example", "--on", "2026-11-22")["log_ends"]
    for day, said in ((end[:10], False), ("2036-11-22", True)):
        _, out, _ = run(capsys, "audit", "was-blocked", "old.example", "--on", day, "--config", config)
        assert (f"The log ends at {end}: it says nothing of later hours." in out) == said


def test_a_stranger_checks_it_from_static_files_and_the_key_alone(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (one,) = ask(world, capsys, "old.example", "--on", "2026-11-22", "--output", tmp_path / "proof")["found"]
    assert (one["ground"]["order"], one["issuer"]["name"]) == (BASIS.order, ISSUER.name)
    (folder,) = (tmp_path / "proof").iterdir()
    typed = ("audit", "check-blocked", folder, "old.example", "--key", world.config.places.log_dir / "log.vkey")
    status, out, _ = run(capsys, *typed)
    assert (status, f"{OLD.reference}" in out, BASIS.order in out) == (0, True, True)
    head = folder / "head.json"
    head.write_bytes(head.read_bytes().replace(b"17/2026", b"99/2026"))
    assert run(capsys, *typed)[0] != 0


def test_a_proof_that_breaks_off_leaves_no_folder(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk; of a kept document that is damaged nothing is found in the first place."""
    output = tmp_path / "proof"
    day = ("old.example", "--on", "2026-11-22", "--config", world.folder / "stopsign.yaml")
    typed = ("audit", "was-blocked", *day, "--output")
    with monkeypatch.context() as patch:
        patch.setattr("resolver.stats.was_blocked.GROUNDS", "n" * 300)
        assert run(capsys, *typed, output)[0] == 2
    assert list(output.iterdir()) == []
    assert run(capsys, *typed, output)[0] == 0
    (folder,) = output.iterdir()
    assert len(list(folder.iterdir())) == 3
    status, _, err = run(capsys, *typed, output)
    assert (status, f"{folder} is there already" in err) == (2, True)
    (first,) = (world.config.places.kept("gambling") / "0001").glob("000-*")
    first.write_bytes(zstandard.compress(b""))
    assert run(capsys, *typed, tmp_path / "other")[0] == 2
    assert not (tmp_path / "other").exists()


def test_a_forged_document_proves_nothing(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask(world, capsys, "old.example", "--on", "2026-11-22", "--output", tmp_path / "one")
    ask(world, capsys, "new.example", "--on", "2026-11-25", "--output", tmp_path / "two")
    (one,), (two,) = ((tmp_path / name).iterdir() for name in ("one", "two"))
    (one / "document.zst").write_bytes((two / "document.zst").read_bytes())
    key = world.config.places.log_dir / "log.vkey"
    status, _, err = run(capsys, "audit", "check-blocked", one, "new.example", "--key", key)
    assert (status, "the leaf names" in err) == (1, True)


def test_other_grounds_for_the_same_document_are_a_leaf(world: World) -> None:
    before = len(world.leaves())
    world.take(4, [NEW], bases={"order-17": OTHER})
    assert ("list-activated", "gambling/4") in world.leaves()[before:]


def pauses(told: dict[str, Any]) -> list[tuple[Any, ...]]:
    (one,) = told["found"]
    return [(p["what"], p["since"], p["until"], p["perhaps"]) for p in one["pauses"]]


def switch(world: World, how: Callable[[LiveExceptions, int], LiveExceptions]) -> None:
    """The off switch, with the steward dead: its next look at the file writes the leaves."""
    exceptions.change(world.config.places, lambda live: how(live, int(world.clock())))


def test_what_was_suspended_is_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.take(3, [NEW], suspended=[NEW.reference])
    assert pauses(ask(world, capsys, "new.example", "--on", "2026-11-25")) == [
        ("suspended", "2026-11-24T12Z", None, False)
    ]


def test_a_suspension_holds_in_the_next_version_of_which_no_leaf_says_it_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.take(3, [NEW], suspended=[NEW.reference])
    world.clock.forward(hours=2)
    world.take(4, [NEW, OLD])
    told = ask(world, capsys, "new.example", "--on", "2026-11-25")
    assert [one["version"] for one in told["found"]] == [4]
    assert pauses(told) == [("suspended", "2026-11-24T12Z", None, False)]


def test_the_copy_of_a_log_proves_the_end_and_the_suspensions(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Set, taken back and set again; the same to the provider, and to a stranger with the proof and the log."""
    here = {"list": "gambling", "generation": 9}
    world.clock.forward(hours=1)
    world.ledger.append(
        [Event("suspended-here", "gambling/3", {**here, "suspended": 1, "references": [NEW.reference]})]
    )
    world.clock.forward(hours=1)
    world.ledger.append([Event("suspended-here", "gambling/3", {**here, "suspended": 0, "references": []})])
    world.clock.forward(hours=1)
    world.ledger.append([Event("relief-applied", "gambling/3", {**here, "suspended": NAMED + 1})])
    world.clock.forward(days=1)
    world.take(4, [OLD])
    told = ask(world, capsys, "new.example", "--on", "2026-11-25", "--output", tmp_path / "proof")
    paused = [
        ("suspended", "2026-11-24T13Z", "2026-11-24T14Z", False),
        ("suspended", "2026-11-24T15Z", None, True),
    ]
    assert pauses(told) == paused
    assert (told["found"][0]["until"], told["found"][0]["version"]) == ("2026-11-25T15Z", 3)
    (folder,) = (tmp_path / "proof").iterdir()
    places = world.config.places
    typed = ("audit", "check-blocked", folder, "new.example", "--key", places.log_dir / "log.vkey")
    status, out, _ = run(capsys, *typed, "--log", places.log_dir, "--json")
    checked = json.loads(out)
    assert (status, checked["found"]) == (0, told["found"])
    status, out, _ = run(capsys, *typed)
    assert (status, "Not proved: until when" in out, "until 2026" in out) == (0, True, False)
    with served(places.log_dir) as address:
        status, out, _ = run(capsys, *typed, "--log", address)
    assert (status, "active     from 2026-11-24T12Z until 2026-11-25T15Z" in out) == (0, True)
    assert "Not proved: what is marked `perhaps`" in out


def test_a_log_that_hides_the_end_is_found(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copy of before the end does not continue the proof's checkpoint; one without the detail is not whole."""
    places = world.config.places
    shutil.copytree(places.log_dir, tmp_path / "before")
    shutil.copytree(places.log_dir, tmp_path / "poor")
    world.clock.forward(days=1)
    world.take(4, [OLD])
    ask(world, capsys, "new.example", "--on", "2026-11-24", "--output", tmp_path / "proof")
    folder = next((tmp_path / "proof").iterdir())
    typed = ("audit", "check-blocked", folder, "new.example", "--key", places.log_dir / "log.vkey", "--log")
    assert run(capsys, *typed, places.log_dir)[0] == 0
    assert run(capsys, *typed, tmp_path / "before")[0] == 1
    details = next(places.log_dir.glob("details/*.jsonl"))
    details.write_bytes(b"".join(details.read_bytes().splitlines(keepends=True)[:-1]))
    status, _, err = run(capsys, *typed, places.log_dir)
    assert (status, "missing" in err) == (1, True)


def test_overrides_and_the_off_switch_are_said_by_the_provider_and_hinted_at_in_public(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.register.people.allow("new.example", "exact", "a hospital", "alice", 7200.0)
    world.register.people.allow("other.example", "exact", "no matter", "alice", 7200.0)
    switch(world, lambda live, now: live.on(Bypass("list", "gambling", now, now + 3600, "root")))
    world.register.people.note_bypass()
    told = ask(world, capsys, "new.example", "--on", "2026-11-25", "--output", tmp_path / "proof")
    assert pauses(told) == [
        ("let pass", "2026-11-24T12Z", "2026-11-24T14Z", False),
        ("switched off", "2026-11-24T12Z", "2026-11-24T13Z", False),
    ]
    assert [one[0] for one in pauses(ask(world, capsys, "www.new.example", "--on", "2026-11-25"))] == ["switched off"]
    (folder,) = (tmp_path / "proof").iterdir()
    places = world.config.places
    typed = ("audit", "check-blocked", folder, "new.example", "--key", places.log_dir / "log.vkey")
    status, out, _ = run(capsys, *typed, "--log", places.log_dir, "--json")
    perhaps = ("let pass", "2026-11-24T12Z", None, True)
    assert (status, pauses(json.loads(out))) == (
        0,
        [perhaps, perhaps, ("switched off", "2026-11-24T12Z", "2026-11-24T13Z", False)],
    )
    status, out, _ = run(capsys, *typed, "--log", places.log_dir)
    assert "let pass   perhaps, logged 2026-11-24T12Z, its hours are not known here, by an override: leaf " in out


@pytest.mark.parametrize(("kind", "of"), [("all", ""), ("list", "gambling"), ("name", "new.example")])
def test_what_was_switched_off_while_the_steward_was_dead_is_said_with_its_own_hours(
    world: World, capsys: pytest.CaptureFixture[str], kind: Kind, of: str
) -> None:
    """Its leaves come late: after that of a version that was active only when the switch was on no more."""
    world.clock.forward(hours=2)
    switch(world, lambda live, now: live.on(Bypass(kind, of, now, FOR_EVER, "root")))
    world.clock.forward(hours=6)
    switch(world, lambda live, now: live.off(kind, of, now=now, by="root"))
    world.clock.forward(hours=1)
    world.take(4, [NEW, OLD])
    world.register.people.note_bypass()
    found = {one["version"]: one["pauses"] for one in ask(world, capsys, "new.example", "--on", "2026-11-24")["found"]}
    (pause,) = found[3]
    assert (pause["since"], pause["until"], found[4]) == ("2026-11-24T14Z", "2026-11-24T20Z", [])


def test_an_override_of_a_sealed_entry_lets_that_entry_pass_alone(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    until = {"since": "2026-11-24T12:00:00Z", "until": "2026-11-24T20:00:00Z"}
    for of_list, reference in (("secret", NEW.reference), ("gambling", OLD.reference)):
        sealed = {"name": "", "match": "subtree", "list": of_list, "reference": reference}
        world.ledger.append([Event("override-set", "", {**sealed, **until})])
    assert pauses(ask(world, capsys, "new.example", "--on", "2026-11-25")) == []
    sealed = {"name": "", "match": "subtree", "list": "gambling", "reference": NEW.reference}
    world.ledger.append([Event("override-set", "", {**sealed, **until})])
    world.clock.forward(hours=3)
    world.ledger.append([Event("override-lifted", "", {**sealed, "by": "root"})])
    assert pauses(ask(world, capsys, "new.example", "--on", "2026-11-25")) == [
        ("let pass", "2026-11-24T12Z", "2026-11-24T15Z", False)
    ]


def test_an_override_ends_where_another_of_the_same_name_replaces_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.register.people.allow("new.example", "subtree", "a hospital", "alice", 36_000.0)
    world.clock.forward(hours=2)
    world.register.people.allow("new.example", "exact", "its home page alone", "alice", 36_000.0)
    assert pauses(ask(world, capsys, "www.new.example", "--on", "2026-11-25")) == [
        ("let pass", "2026-11-24T12Z", "2026-11-24T14Z", False)
    ]


def test_a_name_that_the_document_does_not_hold_is_not_proved(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(world, capsys, "old.example", "--on", "2026-11-22", "--output", tmp_path / "proof")
    (folder,) = (tmp_path / "proof").iterdir()
    typed = ("check-blocked", folder, "other.example", "--key", world.config.places.log_dir / "log.vkey")
    status, out, err = run(capsys, "audit", *typed)
    assert (status, out, "no entry of this document covers other.example" in err) == (1, "", True)


def test_documents_are_kept_as_steps_and_forgotten_by_segments(tmp_path: Path) -> None:
    world, kept, grounds = World(tmp_path), Kept(tmp_path / "kept"), {"list": "gambling"}
    texts: dict[str, bytes] = {}
    for version in range(1, 2 * STEPS + 5):
        candidate = world.candidate(version, [f"n{number}.example" for number in range(version, version + 3)])
        told = kept.keep(candidate.lines, grounds, now=1000.0 * version, for_seconds=None)
        assert told["applied"] == candidate.state
        texts[candidate.state] = b"".join(kept.lines(candidate.state))
    world.stop()
    assert len(list((tmp_path / "kept").glob("0*"))) == 3
    assert all(b"".join(kept.lines(state)) == text and text.count(b"\n") == 3 for state, text in texts.items())
    kept.keep(candidate.lines, grounds, now=10.0**9, for_seconds=10.0)
    assert [path.name for path in (tmp_path / "kept").glob("0*")] == ["0003"]


def test_a_damaged_segment_is_left_and_the_next_begins(tmp_path: Path) -> None:
    world, kept, grounds = World(tmp_path), Kept(tmp_path / "kept"), {"list": "gambling"}
    for version in range(1, 6):
        candidate = world.candidate(version, [f"n{number}.example" for number in range(version, version + 3)])
        if version == 4:
            (step,) = (tmp_path / "kept" / "0001").glob("001-*")
            step.write_bytes(zstandard.compress(b""))  # whole, and it leads elsewhere
        kept.keep(candidate.lines, grounds, now=1000.0 * version, for_seconds=None)
        assert b"".join(kept.lines(candidate.state)) == b"".join(read_lines(candidate.lines, size=candidate.size))
    world.stop()
    assert {path.name: len(list(path.iterdir())) for path in (tmp_path / "kept").glob("0*")} == {"0001": 3, "0002": 2}


def test_a_step_looks_at_lines_where_it_changes_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version waits for it: thirty steps of a million names took half a minute."""
    world, kept, names = World(tmp_path), Kept(tmp_path / "kept"), [f"n{number}.example" for number in range(3_000)]
    for version in range(1, 7):
        candidate = world.candidate(version, [*names, *(f"v{number}.example" for number in range(version))])
        kept.keep(candidate.lines, {"list": "gambling"}, now=1000.0 * version, for_seconds=None)
    world.stop()
    looked: list[bytes] = []
    order = delta.order

    def seen(line: bytes) -> delta.Order:
        looked.append(line)
        return order(line)

    monkeypatch.setattr(delta, "order", seen)
    assert len(list(kept.lines(candidate.state))) == 3_006
    assert len(looked) < 500


@pytest.mark.parametrize("damage", ["flipped", "empty", "another", "folder"])
def test_a_file_that_is_kept_is_believed_by_its_hash_alone(tmp_path: Path, damage: str) -> None:
    world, kept, grounds = World(tmp_path), Kept(tmp_path / "kept"), {"list": "gambling"}
    candidates = [world.candidate(version, [f"n{version}.example", "m.example"]) for version in (1, 2, 3)]
    world.stop()
    texts = [b"".join(read_lines(one.lines, size=one.size)) for one in candidates]
    for version, one in enumerate(candidates[:2]):
        kept.keep(one.lines, grounds, now=1000.0 * version, for_seconds=None)
    (first,) = (tmp_path / "kept" / "0001").glob("000-*")
    if damage == "folder":
        first.unlink()
        first.mkdir()
    else:
        other = {"flipped": texts[0].replace(b"n1.", b"n7."), "empty": b"", "another": texts[2]}[damage]
        first.write_bytes(zstandard.compress(other))
    for one in candidates[:2]:
        with pytest.raises(AuditError):
            list(kept.lines(one.state))
    (tmp_path / "kept" / "0001.bak").mkdir()
    (head,) = (tmp_path / "kept").glob("*.head.json")
    head.write_bytes(b"")
    kept.keep(candidates[2].lines, grounds, now=3000.0, for_seconds=None)
    assert b"".join(kept.lines(candidates[2].state)) == texts[2]
    assert head.read_bytes() == canonical(grounds)
