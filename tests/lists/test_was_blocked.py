"""Was this name blocked on that day, on whose word? Answered from what the provider keeps, checked by a stranger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from resolver.stats.kept import STEPS, Kept
from tests.rigs.command_line import run
from tests.rigs.lists_world import BASIS, ISSUER, World, make_entry, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def test_what_was_suspended_is_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.take(3, [NEW], suspended=[NEW.reference])
    (one,) = ask(world, capsys, "new.example", "--on", "2026-11-25")["found"]
    assert one["suspended"] == "2026-11-24T12Z"


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
