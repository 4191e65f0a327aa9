"""A new key at the provider: a version under another names' key, and the provider's own key exchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blocklists import document
from blocklists.issuer import sealing, withdraw
from blocklists.sealed import keys, lines
from tests.rigs.lists_world import received
from tests.rigs.sealed_provider import Scene
from tests.rigs.sealed_world import LIST, NAMES, cheap

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO, THREE = NAMES


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    cheap(monkeypatch)
    return Scene(tmp_path)


def somebody_leaves(scene: Scene) -> None:
    """The desk takes a subscriber off: the next version has a new names' key."""
    scene.issuer.subscribe("south")
    scene.issuer.version()
    assert scene.refresh() == "active"
    sealing.unsubscribe(scene.issuer.desk, LIST, "south")


def fortnight(scene: Scene) -> None:
    """Two weeks and a day, after which the list is confirmed once more."""
    scene.later(days=15)
    scene.issuer.rehearsal.refresh_timestamp()
    scene.refresh()
    scene.isp.register.tick()


def reference_of(scene: Scene, name: str) -> str:
    match = scene.judge(name).stop
    assert match is not None
    return match.reference


def number(scene: Scene) -> int:
    seal = scene.isp.register.applied[LIST].seal
    assert seal is not None
    return seal.number


def test_a_version_under_a_new_names_key_opens_and_its_verdicts_hold(scene: Scene) -> None:
    assert scene.refresh() == "active"
    somebody_leaves(scene)
    scene.issuer.rehearsal.change(LIST, add=["planted-new.example"], remove=[THREE])
    assert scene.stopped(*NAMES) == set(NAMES)
    assert scene.refresh() == "active"
    assert number(scene) == 2
    assert scene.stopped(*NAMES, "planted-new.example", "harmless.example") == {ONE, TWO, "planted-new.example"}
    applied = scene.isp.register.applied[LIST]
    assert (applied.added, applied.removed, applied.less) == (1, 1, None)
    scene.isp.restart()
    assert scene.stopped(*NAMES) == {ONE, TWO}


def test_a_names_key_that_goes_alone_changes_every_digest_and_no_verdict(scene: Scene) -> None:
    """Nobody leaves, and no name comes or goes (`issuer reseal names`)."""

    def digests() -> set[bytes]:
        applied = scene.isp.register.applied[LIST]
        path = scene.isp.config.places.list(LIST).applied / applied.document
        return {lines.fields(line)[2] for line in document.read_lines(path, size=applied.size)}

    scene.refresh()
    passed = reference_of(scene, THREE)
    scene.isp.register.people.allow("", "subtree", "a hospital's", "anna", 86400.0, passed)
    old, key, leaves = digests(), scene.key.read_bytes(), len(scene.isp.leaves())
    assert sealing.retire(scene.issuer.desk, LIST) == 1
    scene.issuer.version()
    assert scene.refresh() == "active"
    applied = scene.isp.register.applied[LIST]
    assert (number(scene), applied.added, applied.removed, applied.entries) == (2, 0, 0, len(NAMES))
    assert len(digests()) == len(NAMES)
    assert not old & digests()
    assert scene.stopped(*NAMES, "harmless.example") == {ONE, TWO}
    assert [kind for kind, _ in scene.isp.leaves()[leaves:]] == ["list-activated"]
    assert scene.opened_now()
    scene.isp.restart()
    assert scene.stopped(*NAMES, "harmless.example") == {ONE, TWO}
    assert scene.key.read_bytes() == key


def test_what_a_person_decided_about_a_reference_holds_under_a_new_key(scene: Scene) -> None:
    scene.refresh()
    relieved, mended = reference_of(scene, ONE), reference_of(scene, TWO)
    scene.issuer.rehearsal.publish(
        withdraw.suspend(
            scene.issuer.desk, LIST, [relieved], reason="a slip", now=scene.issuer.now, author="alice"
        )
    )  # fmt: skip
    assert scene.refresh() == "active"
    register = scene.isp.register
    received(scene.isp, "A-1", mended, "", list=LIST)
    register.appeals.decide({"A-1": mended}, "mended", "anna", seconds=86400.0)
    passed = reference_of(scene, THREE)
    register.people.allow("", "subtree", "a hospital's", "anna", 86400.0, passed)
    assert scene.stopped(*NAMES) == set()
    somebody_leaves(scene)
    scene.issuer.version()
    assert scene.refresh() == "active"
    assert number(scene) == 2
    assert scene.stopped(*NAMES) == set()
    register.people.lift("", "anna", passed)
    assert scene.stopped(*NAMES) == {THREE}
    scene.later(hours=25)
    scene.issuer.rehearsal.refresh_timestamp()
    register.tick()
    assert scene.stopped(*NAMES) == {TWO, THREE}


def test_an_overdue_appeal_suspends_an_entry_by_its_reference_before_and_after_a_new_key(scene: Scene) -> None:
    scene.refresh()
    early, late = reference_of(scene, ONE), reference_of(scene, TWO)
    received(scene.isp, "A-1", early, "", list=LIST)
    fortnight(scene)
    assert scene.isp.register.appeals.fates(["A-1"]) == {"A-1": "suspended"}
    assert scene.stopped(*NAMES) == {TWO, THREE}
    somebody_leaves(scene)
    scene.issuer.version()
    assert scene.refresh() == "active"
    received(scene.isp, "A-2", late, "", list=LIST)
    fortnight(scene)
    assert scene.stopped(*NAMES) == {THREE}


def test_a_list_that_only_monitors_does_so_under_a_new_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cheap(monkeypatch)
    scene = Scene(tmp_path, {"action": "monitor"})
    scene.refresh()
    somebody_leaves(scene)
    scene.issuer.version()
    scene.refresh()
    assert number(scene) == 2
    judgement = scene.judge(ONE)
    assert judgement.stop is None
    assert judgement.monitored is not None


def test_additions_held_under_a_new_key_act_once_they_are_approved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap(monkeypatch)
    scene = Scene(tmp_path, {"caps": {"update": {"number": 1, "share": "100%"}}})
    scene.refresh()
    somebody_leaves(scene)
    scene.issuer.rehearsal.change(LIST, add=["planted-4.example", "planted-5.example"], remove=[ONE])
    assert scene.refresh() == "held"
    assert number(scene) == 1
    assert scene.stopped(*NAMES, "planted-4.example") == {TWO, THREE}
    held = scene.isp.register.fetching[LIST].held
    assert held is not None
    scene.isp.register.approve(LIST, held.version, held.state, "anna")
    assert number(scene) == 2
    assert scene.stopped(*NAMES, "planted-4.example") == {TWO, THREE, "planted-4.example"}


@pytest.mark.parametrize("is_held", [False, True], ids=["applied", "beside held additions"])
def test_a_provider_exchanges_its_own_key_without_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    cheap(monkeypatch)
    scene = Scene(tmp_path, {"caps": {"update": {"number": 1, "share": "100%"}}})
    scene.refresh()
    old = scene.key.read_bytes()
    scene.key.unlink()
    scene.issuer.south = keys.create(scene.key)
    new = scene.key.read_bytes()
    scene.key.write_bytes(old)
    scene.issuer.subscribe("south")
    if is_held:
        scene.issuer.rehearsal.change(LIST, add=["planted-4.example", "planted-5.example"])
    else:
        scene.issuer.version()
    assert scene.refresh() == ("held" if is_held else "active")
    scene.key.write_bytes(new)
    assert scene.refresh() == ("held" if is_held else "active")
    assert scene.stopped(*NAMES) == set(NAMES)
    assert scene.opened_now()
    scene.isp.restart()
    assert scene.opened_now()
    sealing.unsubscribe(scene.issuer.desk, LIST, "north")
    scene.issuer.version()
    assert scene.refresh() == ("held" if is_held else "active")
    assert scene.opened_now()
    assert scene.stopped(*NAMES) == set(NAMES)
