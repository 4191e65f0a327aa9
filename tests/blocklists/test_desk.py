"""The desk, as the second signer, the newcomer, the officer and the one who lost it meet it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tuf.api.metadata import Metadata

from blocklists import bundle, delta, document, durable, verify
from blocklists.document import Summary
from blocklists.entry import parse
from blocklists.errors import VerifyError
from blocklists.head import HeadError, Relief, read_bases
from blocklists.importers.intake import Candidate
from blocklists.issuer import appeals, history, propose, renew, rotate, sealing, show, withdraw
from blocklists.issuer.command import issuer
from blocklists.issuer.desk import Desk, DeskError
from blocklists.issuer.keys import Card, Keyring
from blocklists.issuer.known import at_desk, look_up
from blocklists.issuer.publish import PublishError
from blocklists.issuer.reader import reader_key
from blocklists.issuer.rehearsal import PASSPHRASE
from blocklists.issuer.request import Request, merge
from blocklists.issuer.restore import RestoreError, restore
from blocklists.issuer.review import Known, Meaning, Review, ReviewError, review
from blocklists.issuer.schemes import PERSONAL
from blocklists.issuer.show import KINDS
from blocklists.issuer.sign import sign
from blocklists.relief import entries_among
from blocklists.repository import fingerprint
from blocklists.sealed import keys as sealed_keys
from resolver import _core
from tests.rigs.appeal_bundle import APPEAL, SENDER
from tests.rigs.issuer_world import (
    BASIS,
    LIST,
    NAMES,
    World,
    compressed,
    make_entry,
    meaning_of,
    published,
    request_for,
    signed_by,
    terms,
)  # fmt: skip
from tests.rigs.sealed_world import SECRET, cheap

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuf.api.metadata import Root

    from blocklists.delta import Made


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def counts(meaning: Meaning) -> dict[str, int]:
    return {kind: count for kind in KINDS if (count := getattr(meaning, kind).count)}


# -- in force: the document less relief --------------------------------------------------------------------------------


def withdraw_names(world: World, *names: str) -> None:
    request = withdraw.suspend(world.rehearsal.desk, LIST, names, reason="a slip", now=world.now, author="bob")
    published(world, signed_by(world, request, "bob"))


def test_a_withdrawn_name_that_is_proposed_again_is_an_addition_to_everybody(world: World) -> None:
    desk = world.rehearsal.desk
    (old,) = withdraw.find(desk, LIST, ["dice.example"])
    withdraw_names(world, "dice.example")
    request = request_for(world, add=["dice.example", "new.example"])
    known = known_to(world, request, "bob")
    reviewed = review(request, known, popular=["www.dice.example"])
    assert counts(reviewed.meaning) == {"added": 2, "withdrawn": 1}
    assert [finding.entry.name for finding in reviewed.findings] == ["dice.example"]
    assert any("withdrawn: 1, without effect" in line for line in show.as_text(reviewed))
    narrower = request_for(world, add=["dice.example"], match="exact")
    assert counts(world.rehearsal.review(narrower, world.signer("bob")).meaning) == {"added": 1, "withdrawn": 1}
    world.later(hours=1)
    world.rehearsal.publish(request)
    (entry,) = [entry for entry in world.entries(world.fetch()) if entry.name == "dice.example"]
    assert entry.reference != old
    withdraw_names(world, "dice.example")
    replaced = propose.from_candidates(
        desk, LIST, [Candidate(1, "dice.example", "subtree")], terms(world), replace=True, random=os.urandom
    )
    assert sum(line.startswith(b"{") and sign == b"+" for sign, line in replaced) == 1


def test_what_is_withdrawn_is_not_due_and_a_diff_says_it_once(world: World) -> None:
    desk = world.rehearsal.desk
    withdraw_names(world, "dice.example")
    found = renew.due(desk, now=world.now, within=timedelta(days=400))
    assert "dice.example" not in {entry.name for _, entry in found.entries}
    world.later(hours=1)
    world.rehearsal.change(LIST, add=["new.example"])
    withdraw_names(world, "slots.example")
    assert counts(meaning_of(history.between(desk, LIST, 1, 2))) == {"added": 1, "removed": 1}
    names = [parse(line).name for _, line in history.between(desk, LIST, 0, 2)]
    assert "dice.example" not in names
    assert "slots.example" not in names
    world.later(hours=1)
    world.rehearsal.change(LIST, add=["newer.example"])
    assert counts(meaning_of(history.between(desk, LIST, 2, 3))) == {"added": 1}


def known_to(world: World, request: Request, name: str) -> Known:
    return look_up(world.signer(name), request, str(world.published), now=world.now)


# -- what the second signer sees ---------------------------------------------------------------------------------------


def seen_by(world: World, request: Request, name: str) -> Review:
    keyring = world.signer(name)
    knowledge = look_up(keyring, request, str(world.published), now=world.now)
    return review(Request.from_bytes(request.to_bytes()), knowledge, own=keyring.card)


def test_every_key_of_a_set_up_is_seen_those_of_relief_too_and_one_that_was_swapped_is_refused(tmp_path: Path) -> None:
    keyrings = [Keyring.create(tmp_path / name, name, PASSPHRASE) for name in ("alice", "bob", "carol")]
    stolen = Keyring.create(tmp_path / "mallory", "bob", PASSPHRASE)
    desk = Desk.create(tmp_path / "desk", World(tmp_path / "w").rehearsal.desk.issuer)
    cards = [one.card for one in keyrings]
    request = propose.setup(desk, cards, now=datetime(2026, 11, 22, tzinfo=UTC))
    reviewed = review(request, Known(None, None), own=cards[1])
    text, plain = "\n".join(show.as_text(reviewed)), show.as_json(reviewed)
    for card in cards:
        for role, key in card.keys.items():
            assert f"{role}: key {key.keyid[:16]} of {card.name} comes" in text
            seen = {"role": role, "change": "comes", "keyid": key.keyid, "holder": card.name}
            assert seen in plain["keys"]
    swapped = Card("bob", {**cards[1].keys, "relief": stolen.card.keys["relief"]})
    request = propose.setup(desk, [cards[0], swapped, cards[2]], now=datetime(2026, 11, 22, tzinfo=UTC))
    with pytest.raises(ReviewError, match="a key for relief comes under the name bob"):
        review(request, Known(None, None), own=cards[1])
    text = "\n".join(show.as_text(review(request, Known(None, None), own=cards[2])))
    assert f"relief: key {stolen.card.keys['relief'].keyid[:16]} of bob comes" in text


def test_a_changed_ground_is_seen_field_by_field_with_what_it_touches(world: World) -> None:
    desk = world.rehearsal.desk
    withdraw_names(world, "dice.example")
    new = replace(BASIS, court="Higher Court", overdue_suspends=False)
    world.rehearsal.add_basis(LIST, "order-17", new)
    world.rehearsal.add_basis(LIST, "order-18", replace(BASIS, order="18"))
    request = propose.propose(desk, LIST, [], now=world.now, author="alice", note="")
    reviewed = seen_by(world, request, "bob")
    text = "\n".join(show.as_text(reviewed))
    assert "basis order-17 changes its words: 4 entries stand on it; readers of their stop pages see this" in text
    assert "court: Administrative Court -> Higher Court" in text
    assert "an overdue appeal suspends: yes -> no" in text
    assert "law: Example Act" in text, "all of a ground that comes"
    assert "territory: DE" in text
    changed, come = show.as_json(reviewed)["grounds"]
    assert (changed["before"]["court"], changed["after"]["court"], changed["entries"]) == (
        "Administrative Court", "Higher Court", 4,
    )  # fmt: skip
    assert (come["key"], come["before"], come["after"]["order"], come["entries"]) == ("order-18", None, "18", 0)


def test_a_request_that_delegates_more_than_relief_is_not_signed(world: World) -> None:
    request = request_for(world, add=["new.example"])
    assert request.targets is not None
    delegations = request.targets.signed.delegations
    assert delegations is not None
    assert delegations.roles is not None
    delegations.roles["relief"].paths = ["*"]
    with pytest.raises(ReviewError, match="delegates more than relief"):
        seen_by(world, request, "bob")


# -- signers who come later --------------------------------------------------------------------------------------------


def fresh_machine(world: World, name: str) -> Keyring:
    """The same person's keys where nothing else is known."""
    folder = world.folder / f"fresh {name}"
    shutil.copytree(world.signer(name).folder, folder)
    shutil.rmtree(folder / "known")
    return Keyring.open(folder)


def test_a_machine_that_knows_no_root_takes_the_published_one_when_its_owner_agrees_and_no_other(world: World) -> None:
    request, bob = request_for(world, add=["new.example"]), fresh_machine(world, "bob")
    asked: list[str] = []

    def refuse(text: str) -> bool:
        asked.append(text)
        return False

    with pytest.raises(VerifyError, match="no root pinned") as refusal:
        look_up(bob, request, str(world.published), now=world.now, agree=refuse)
    assert "--trusted-root FILE" in (refusal.value.hint or "")
    mark = fingerprint(world.rehearsal.desk.trusted_root.read_bytes())
    assert mark in asked[0]
    with pytest.raises(VerifyError, match=r"1\.root\.json: no such file"):
        look_up(bob, request, str(world.folder), now=world.now, agree=refuse)
    assert not (bob.folder / "known" / "root.json").exists()
    knowledge = look_up(bob, request, str(world.published), now=world.now, agree=lambda _: True)
    assert any(mark in line for line in show.as_text(review(request, knowledge, own=bob.card)))
    assert look_up(bob, request, str(world.published), now=world.now).pinned is None
    stranger = Keyring.create(world.folder / "stranger", "stranger", PASSPHRASE)
    with pytest.raises(VerifyError, match="does not name you"):
        look_up(stranger, request, str(world.published), now=world.now, agree=lambda _: True)


def test_a_root_can_be_named_and_another_never_takes_its_place(world: World) -> None:
    request, bob = request_for(world, add=["new.example"]), fresh_machine(world, "bob")
    root, other = world.rehearsal.desk.trusted_root, World(world.folder / "other").rehearsal.desk.trusted_root
    knowledge = look_up(bob, request, str(world.published), now=world.now, trusted_root=root)
    assert knowledge.pinned == fingerprint(root.read_bytes())
    assert look_up(bob, request, str(world.published), now=world.now, trusted_root=root).pinned is None
    with pytest.raises(VerifyError, match="has taken another root"):
        look_up(bob, request, str(world.published), now=world.now, trusted_root=other)
    with pytest.raises(VerifyError, match="deserialize"):
        look_up(bob, request, str(world.published), now=world.now, trusted_root=bob.folder / "card.json")


def test_a_newcomer_signs_the_request_that_brings_them_and_the_next_order(tmp_path: Path) -> None:
    world = World(tmp_path, names=("alice", "bob", "carol"))
    dora = Keyring.create(tmp_path / "dora", "dora", PASSPHRASE)
    request = rotate.rotate(world.rehearsal.desk, come=[dora.card], go=["carol"], now=world.now, author="alice")
    with pytest.raises(VerifyError, match="does not name you"):
        look_up(dora, request, str(world.published), now=world.now, agree=lambda _: True)
    request = merge(signed_by(world, request, "alice", "bob"))
    knowledge = look_up(dora, request, str(world.published), now=world.now, agree=lambda _: True)
    request = sign(review(request, knowledge, own=dora.card), dora, lambda _: PASSPHRASE)
    published(world, [request])
    request = request_for(world, add=["new.example"])
    knowledge = look_up(dora, request, str(world.published), now=world.now)
    own = sign(review(request, knowledge, own=dora.card), dora, lambda _: PASSPHRASE)
    published(world, [own, *signed_by(world, request, "alice")])
    assert set(world.fetch().holders.values()) == {"alice", "dora"}


def test_a_first_version_that_was_reviewed_here_is_not_fetched(world: World) -> None:
    request, (path,) = request_for(world, add=["new.example"]), [*world.published.glob("targets/*.full-1.zst")]
    document_, kept = path.read_bytes(), {}
    for name in ("alice", "bob"):
        kept[name] = world.signer(name).folder / "known" / "lists" / LIST / "reviewed.zst"
        assert kept[name].read_bytes() == document_
    path.unlink()
    knowledge = known_to(world, request, "alice")
    assert knowledge.list is not None
    assert world.listed(knowledge.list) == set(NAMES)
    assert not list(kept["alice"].parent.glob("reviewed*"))
    assert counts(review(request, knowledge).meaning) == {"added": 1}
    # what is kept is damaged, or another document: it counts as nothing
    octets = kept["bob"].read_bytes()
    others = compressed([make_entry("other.example").line()], world.folder)[1]
    for wrong in (octets[:-1] + bytes([octets[-1] ^ 1]), others):
        kept["bob"].write_bytes(wrong)
        if wrong is others:
            _core.summary(kept["bob"], size=10_000, marks=kept["bob"].with_suffix(".marks"))
        with pytest.raises(VerifyError) as refusal:
            known_to(world, request, "bob")
        assert refusal.value.reason == "missing"
    path.write_bytes(document_)
    knowledge = known_to(world, request, "bob")
    assert knowledge.list is not None
    assert world.listed(knowledge.list) == set(NAMES)
    assert not list(kept["bob"].parent.glob("reviewed*"))


def test_a_document_of_another_length_than_was_signed_is_not_published(world: World) -> None:
    request = request_for(world, add=["new.example"])
    assert request.targets is not None
    (info,) = [info for path, info in request.targets.signed.targets.items() if "full-2" in path]
    info.length += 7
    with pytest.raises(PublishError, match="another file"):
        published(world, signed_by(world, request, "alice", "bob"))
    assert world.fetch().head.version == 1


def test_the_desks_client_has_what_the_desk_has_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Made | None] = []

    def apply(*asked: Any, same_as: Made | None, **more: Any) -> None:
        given.append(same_as)
        assert same_as is not None
        found = _core.marked(same_as.path, same_as.marks)
        assert found is not None
        assert Summary(*found) == asked[-1]
        assert hashlib.sha256(same_as.path.read_bytes()).digest() == same_as.sha256
        delta.apply(*asked, same_as=same_as, **more)

    monkeypatch.setattr(verify, "apply", apply)
    world.rehearsal.change(LIST, add=["new.example"])
    assert len(given) == 1
    monkeypatch.undo()
    assert world.listed(world.fetch()) == {*NAMES, "new.example"}


def test_the_desks_client_hashes_no_first_version_that_the_desk_has_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    check = document.check_state

    def check_state(path: Path, **more: Any) -> None:
        looked.append(path)
        check(path, **more)

    monkeypatch.setattr(document, "check_state", check_state)
    marks, client = world.rehearsal.desk.folder / "marks", world.rehearsal.desk.folder / "client" / "lists"
    for name, without in (("other", False), ("third", True)):
        world.rehearsal.add_basis(name, "order-17", BASIS)
        request = first_of(world, name)
        if without:
            shutil.rmtree(marks)
        world.rehearsal.publish(request)
        assert (client / name / "verified" / "full-1.marks").exists()
    assert [path.parts[-3] for path in looked] == ["third"]
    # marks that cannot be kept keep nobody from publishing
    monkeypatch.setattr(verify, "shutil", SimpleNamespace(copyfile=unwritable))
    world.rehearsal.add_basis("fourth", "order-17", BASIS)
    world.rehearsal.publish(first_of(world, "fourth"))
    assert not (client / "fourth" / "verified" / "full-1.marks").exists()
    assert world.rehearsal.desk.lists() == ["fourth", LIST, "other", "third"]


def unwritable(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_document_that_was_not_signed_is_not_published(world: World) -> None:
    world.rehearsal.add_basis("other", "order-17", BASIS)
    request = first_of(world, "other")
    assert request.targets is not None
    del request.targets.signed.targets["other.full-1.zst"]
    for name in ("alice", "bob"):
        request.targets.sign(world.signer(name).signer("targets", lambda _: PASSPHRASE), append=True)
    with pytest.raises(PublishError, match=r"other.full-1.zst is not among the files that were signed"):
        published(world, [request])


def test_what_spares_work_stops_none(world: World) -> None:
    # no folder for marks can be made, and no document can be kept
    marks = world.rehearsal.desk.folder / "marks"
    shutil.rmtree(marks)
    marks.write_bytes(b"")
    world.rehearsal.change(LIST, add=["new.example"])
    for signer in world.rehearsal.signers:
        (signer.folder / "known" / "lists" / "other").write_bytes(b"")
    world.rehearsal.add_basis("other", "order-17", BASIS)
    request = first_of(world, "other")
    assert len(signed_by(world, request, "alice")[0].signatures("targets")) == 1
    for path in (*(signer.folder / "known" / "lists" / "other" for signer in world.rehearsal.signers), marks):
        path.unlink()
    world.rehearsal.publish(request)
    world.rehearsal.change(LIST, add=["newer.example"])
    assert len(list(marks.glob("*.marks"))) == 1
    assert world.fetch().head.version == 3


def first_of(world: World, name: str) -> Request:
    """The request for a list's first version."""
    candidates = [Candidate(1, "one.example", "subtree")]
    desk = world.rehearsal.desk
    steps = propose.from_candidates(desk, name, candidates, terms(world), random=os.urandom)
    return propose.propose(desk, name, steps, now=world.now, author="alice", note="a first version")


def test_a_relief_is_reviewed_without_the_list(world: World) -> None:
    desk = world.rehearsal.desk
    withdraw_names(world, "dice.example")
    bob = world.signer("bob")
    shutil.rmtree(bob.folder / "known" / "lists")
    request = withdraw.suspend(desk, LIST, ["slots.example"], reason="an error", now=world.now, author="bob")
    (path,) = world.published.glob("targets/*.full-1.zst")
    document_ = path.read_bytes()
    path.unlink()
    knowledge = look_up(bob, request, str(world.published), now=world.now)
    assert knowledge.list is None
    assert knowledge.relief is not None
    assert len(knowledge.relief.suspended) == 1
    reviewed = review(request, knowledge, own=bob.card)
    assert list(reviewed.suspended) == list(withdraw_reference(request) - knowledge.relief.suspended.keys())
    path.write_bytes(document_)
    published(world, [sign(reviewed, bob, lambda _: PASSPHRASE)])
    relief = world.fetch().relief
    assert relief is not None
    assert len(relief.suspended) == 2


def test_entries_are_found_near_a_name_and_elsewhere(world: World) -> None:
    verified = world.fetch()
    by_name = {entry.name: entry.reference for entry in world.entries(verified)}
    wanted = {by_name["dice.example"], by_name["slots.example"], "0" * 16}
    for near in ((), ["dice.example"], ["dice.example", "slots.example"], ["other.example"]):
        found = entries_among(wanted, verified.lines, verified.head.full_size, near)
        assert found == {by_name["dice.example"], by_name["slots.example"]}


def withdraw_reference(request: Request) -> set[str]:
    assert request.relief_list is not None
    return set(Relief.from_bytes(request.relief_list).suspended)


@pytest.mark.parametrize("kept", [("root.json",), ("root.sha256",), ("root.json", "root.sha256")])
def test_a_machine_that_knows_a_first_root_signs_no_other_one(
    world: World, tmp_path: Path, kept: tuple[str, ...]
) -> None:
    bob, folder = world.signer("bob"), world.signer("bob").folder / "known"
    for name in {"root.json", "root.sha256"} - {*kept}:
        (folder / name).unlink()
    before = {path: path.read_bytes() for path in folder.glob("root.*")}
    assert len(before) == len(kept)
    mallory = Keyring.create(tmp_path / "mallory", "Mallory", PASSPHRASE)
    with Desk.made(tmp_path / "other", world.rehearsal.desk.issuer) as desk:
        request = propose.setup(desk, [bob.card, mallory.card], now=world.now)
    with pytest.raises(VerifyError, match="knows another one already") as refusal:
        look_up(bob, request, None, now=world.now)
    assert f"move {folder} away" in (refusal.value.hint or "")
    with pytest.raises(VerifyError, match="knows another one already"):
        sign(review(request, Known(None, None)), bob, lambda _: PASSPHRASE)
    assert {path: path.read_bytes() for path in folder.glob("root.*")} == before
    first = Metadata.from_bytes((world.published / "metadata" / "1.root.json").read_bytes())
    request = replace(request, root=first, targets=None, relief=None)
    sign(review(request, look_up(bob, request, None, now=world.now)), bob, lambda _: PASSPHRASE)


def test_a_stick_that_is_old_is_said_to_be(world: World) -> None:
    shutil.copytree(world.published, world.folder / "stick")
    world.rehearsal.change(LIST, add=["new.example"])
    request, bob = request_for(world, add=["newer.example"]), fresh_machine(world, "bob")
    stick = str(world.folder / "stick")
    with pytest.raises(ReviewError, match="this machine knows version 2") as refusal:
        review(request, look_up(bob, request, stick, now=world.now, agree=lambda _: True))
    assert "copy `published` again" in (refusal.value.hint or "")
    world.rehearsal.review(request, world.signer("bob"))
    with pytest.raises(VerifyError) as old:
        look_up(world.signer("bob"), request, stick, now=world.now)
    assert old.value.reason == "rollback"
    assert "copy `published` again" in (old.value.hint or "")


# -- a desk from the web host alone ------------------------------------------------------------------------------------


def test_a_desk_comes_back_from_what_the_web_host_has(world: World, tmp_path: Path) -> None:
    desk = world.rehearsal.desk
    judge = Keyring.create(world.folder / "judge", "Judge", PASSPHRASE, roles=["relief"])
    published(
        world, signed_by(world, rotate.rotate(desk, come=[judge.card], now=world.now, author="a"), "alice", "bob")
    )
    world.rehearsal.change(LIST, add=["new.example"], remove=["dice.example"])
    withdraw_names(world, "slots.example")
    world.fetch()
    kept, root = tmp_path / "copy", tmp_path / "pinned.json"
    shutil.copytree(world.published, kept)
    shutil.copyfile(desk.trusted_root, root)
    before = history.between(desk, LIST, 0, 2)
    (reference,) = withdraw.find(desk, LIST, ["poker.example"])
    for part in (*world.published.rglob("*"), *desk.folder.glob("*")):
        if part.is_file():
            part.unlink()
    world.later(days=2)
    again = restore(tmp_path / "again", kept, root, now=world.now)
    assert again.bases(LIST) == {"order-17": BASIS}
    assert (again.issuer, again.lists()) == (desk.issuer, [LIST])
    assert history.between(again, LIST, 0, 2) == before
    object.__setattr__(world.rehearsal, "desk", again)
    with pytest.raises(PublishError, match="online keys") as refusal:
        world.rehearsal.refresh_timestamp()
    assert "keys change --online" in (refusal.value.hint or "")
    published(world, signed_by(world, rotate.rotate(again, online=True, now=world.now, author="a"), "alice", "bob"))
    decision = {"appeal": "A-1", "reference": reference, "outcome": "granted", "reasons": "an error"}
    with pytest.raises(withdraw.WithdrawError, match="alice signed"):
        withdraw.decide(again, LIST, **decision, officer=world.signer("alice").card, now=world.now)
    request = withdraw.decide(again, LIST, **decision, officer=judge.card, now=world.now)
    knowledge = at_desk(again, judge, request, now=world.now)
    published(world, [sign(review(request, knowledge, own=judge.card), judge, lambda _: PASSPHRASE)])
    world.rehearsal.change(LIST, add=["newer.example"])
    verified = world.fetch()
    assert verified.head.version == 3
    assert verified.relief is not None
    assert reference in verified.relief.suspended


def test_a_desk_is_made_of_nothing_that_is_not_proven(world: World, tmp_path: Path) -> None:
    root = world.rehearsal.desk.trusted_root
    with pytest.raises(RestoreError, match="not what a desk publishes"):
        restore(tmp_path / "again", tmp_path, root, now=world.now)
    (path,) = world.published.glob("targets/*.full-1.zst")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(VerifyError):
        restore(tmp_path / "again", world.published, root, now=world.now)
    path.write_bytes(data)
    with pytest.raises(VerifyError):
        restore(tmp_path / "again", world.published, World(tmp_path / "o").rehearsal.desk.trusted_root, now=world.now)
    world.rehearsal.change(LIST, add=["new.example"])
    (step,) = world.published.glob("targets/*.delta-1-2.zst")
    step.unlink()
    with pytest.raises(history.HistoryError, match="delta-1-2"):
        restore(tmp_path / "again", world.published, root, now=world.now)
    assert not list((tmp_path / "again").iterdir())


def forged(path: Path, goal: Path, change: Callable[[Any], None], *by: Keyring) -> None:
    """Other metadata of the same role, signed by these."""
    copy: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    change(copy.signed)
    copy.signatures.clear()
    for keyring in by:
        copy.sign(keyring.signer(copy.signed.type, lambda _: PASSPHRASE), append=True)
    goal.write_bytes(copy.to_bytes())


def test_a_desk_comes_back_by_its_own_chain_of_roots_and_by_no_other_root(world: World, tmp_path: Path) -> None:
    evil = [Keyring.create(tmp_path / name, name, PASSPHRASE) for name in ("Mallory", "Trudy")]
    pinned, metadata = world.rehearsal.desk.trusted_root, world.published / "metadata"

    def exchange(root: Root) -> None:
        root.version = 9
        for role in ("root", "targets"):
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            for keyring in evil:
                root.add_key(keyring.card.keys[role], role)

    forged(metadata / "1.root.json", metadata / "9.root.json", exchange, *evil)
    desk = Desk.open(world.rehearsal.desk.folder)
    assert desk.current() == world.current()
    assert world.current().root.signed.version == 1, "clients do not come to the other one either"
    assert "Mallory" not in rotate.holders(desk).values()
    with pytest.raises(RestoreError, match=r"does not lead to 9\.root\.json: 2\.root\.json is missing") as refusal:
        restore(tmp_path / "again", world.published, pinned, now=world.now)
    assert "delete it" in (refusal.value.hint or "")
    (metadata / "9.root.json").unlink()
    world.rehearsal.change(LIST, add=["new.example"])
    whole = (metadata / "2.targets.json").read_bytes()
    forged(metadata / "2.targets.json", metadata / "2.targets.json", lambda _: None, *evil)
    with pytest.raises(history.HistoryError, match="version 2 of the targets role is not signed by enough people"):
        restore(tmp_path / "again", world.published, pinned, now=world.now)
    (metadata / "2.targets.json").write_bytes(whole)
    assert restore(tmp_path / "again", world.published, pinned, now=world.now).lists() == [LIST]


def test_at_a_restored_desk_keys_that_have_left_prove_nothing_later(world: World, tmp_path: Path) -> None:
    desk, metadata = world.rehearsal.desk, world.published / "metadata"
    new = [Keyring.create(tmp_path / name, name, PASSPHRASE) for name in ("Carol", "Dora")]
    world.later(days=1)
    request = rotate.rotate(desk, come=[one.card for one in new], go=["alice", "bob"], now=world.now, author="a")
    published(
        world,
        [
            sign(review(request, at_desk(desk, one, request, now=world.now)), one, lambda _: PASSPHRASE)
            for one in (*world.rehearsal.signers, *new)
        ],
    )
    object.__setattr__(world.rehearsal, "signers", tuple(new))
    world.later(days=1)
    world.rehearsal.change(LIST, add=["new.example"])
    world.rehearsal.change(LIST, add=["newer.example"])
    again = restore(tmp_path / "again", world.published, desk.trusted_root, now=world.now)
    (reference,) = withdraw.find(again, LIST, ["new.example"])
    assert history.signers(again, LIST, reference) == history.signers(desk, LIST, reference)
    old = [Keyring.open(desk.folder / "signers" / name) for name in ("alice", "bob")]
    forged(metadata / "4.targets.json", metadata / "4.targets.json", lambda _: None, *old)
    with pytest.raises(history.HistoryError, match=r"version 4 .* by enough people of root 2"):
        restore(tmp_path / "other", world.published, desk.trusted_root, now=world.now)


def test_who_signed_an_entry_signed_it_also_after_others_renewed_it(tmp_path: Path) -> None:
    world = World(tmp_path, names=("alice", "bob", "carol"))
    desk, span = world.rehearsal.desk, timedelta(days=400)
    steps = renew.prolong(desk, LIST, now=world.now, within=span, span=2 * span)
    request = propose.propose(desk, LIST, steps, now=world.now, author="x", note="renewal")
    published(world, signed_by(world, request, "alice", "carol"))
    reference = withdraw.reference_of(desk, LIST, "casino.example")
    names = rotate.holders(desk)
    assert {names[keyid] for keyid in history.signers(desk, LIST, reference)} == {"alice", "bob", "carol"}
    decision = {"appeal": "A-1", "reference": reference, "outcome": "upheld", "reasons": "I was right"}
    with pytest.raises(withdraw.WithdrawError, match="bob signed"):
        withdraw.decide(desk, LIST, **decision, officer=world.signer("bob").card, now=world.now)


@pytest.mark.parametrize("after", [0, 4, 7])
def test_a_desk_is_made_though_an_earlier_try_was_cut_off_while_it_was_put_in_place(
    world: World, tmp_path: Path, after: int
) -> None:
    folder, desk = tmp_path / "again", world.rehearsal.desk
    if not (process := os.fork()):
        rename, done = durable.DISK.rename, 0

        def cut_off(old: Path, new: Path) -> None:
            nonlocal done
            if new.parent == folder:
                done += 1
                if done > after:
                    os.kill(os.getpid(), signal.SIGKILL)
            rename(old, new)

        durable.DISK.rename = cut_off  # type: ignore[method-assign]
        restore(folder, world.published, desk.trusted_root, now=world.now)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    assert not (folder / "desk.json").exists()
    with Desk.made(folder, desk.issuer) as made:
        assert made.current() is None
    assert {path.name for path in folder.iterdir()} == {
        "bases", "desk.json", "drafts", "online", "published", "requests",
    }  # fmt: skip


def test_a_new_desk_takes_the_place_of_nothing_that_somebody_keeps_there(world: World, tmp_path: Path) -> None:
    folder, kept = tmp_path / "again", tmp_path / "again" / "ledger" / "kept"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"names")
    with pytest.raises(DeskError, match="ledger is there already"):
        restore(folder, world.published, world.rehearsal.desk.trusted_root, now=world.now)
    assert [path.name for path in folder.iterdir()] == ["ledger"]
    assert kept.read_bytes() == b"names"


# -- two people at one desk --------------------------------------------------------------------------------------------


def is_locked(desk: Desk) -> bool:
    with (desk.folder / ".lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_proposal_is_made_while_nobody_else_proposes_or_publishes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, stepped = world.rehearsal.desk, delta.stepped
    steps: list[Path] = []

    def noted(*parts: Any, delta: Path, **options: Any) -> Any:
        assert is_locked(desk)
        steps.append(delta)
        return stepped(*parts, delta=delta, **options)

    monkeypatch.setattr(delta, "stepped", noted)
    request_for(world, add=["new.example"])
    assert not is_locked(desk)
    assert [path.name for path in steps] == [f"{LIST}-2.delta.zst"]
    assert not steps[0].exists()


def test_a_ground_that_somebody_adds_during_an_import_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, compare = world.rehearsal.desk, propose.from_candidates
    names = world.folder / "names"
    names.write_text("new.example\n")
    usual = ["--dir", str(desk.folder), "--list", LIST]
    words = [word for option in ("law", "authority", "order", "territory", "court") for word in (f"--{option}", "DE")]

    def meanwhile(*parts: Any, **options: Any) -> Any:
        done = CliRunner().invoke(issuer, ["basis", "order-18", *usual, *words, "--date", "2026-11-02"])
        assert done.exit_code == 0, done.output
        return compare(*parts, **options)

    monkeypatch.setattr(propose, "from_candidates", meanwhile)
    output = ["--output", str(world.folder / "import.request")]
    typed = ["import", str(names), *usual, "--basis", "order-17", "--category", "gambling", *output]
    done = CliRunner().invoke(issuer, typed, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert set(desk.bases(LIST)) == {"order-17", "order-18"}


@pytest.mark.parametrize(
    "kind", ["ground comes", "ground goes", "seal", "subscribe", "unsubscribe", "provider", "appeal"]
)
def test_what_is_read_and_written_back_is_changed_by_one_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    cheap(monkeypatch)
    desk = replace(world.rehearsal.desk, ask=lambda: SECRET)
    north, south = (sealed_keys.card_of(X25519PrivateKey.generate(), name) for name in ("north", "south"))
    sealing.begin(desk, "first")
    sealing.subscribe(desk, "first", north)
    desk.set_bases("second", {"order-17": BASIS})
    appeals.trust(desk, "isp", bundle.public_line(SENDER))
    bundled = bundle.seal(
        [replace(APPEAL, appeal="A-7ZK3M9Q2XW4T")], provider="isp", portal="p", made="2026-11-22T12:00:00Z",
        sender=SENDER, reader=bundle.public_line(reader_key(desk)),
    )  # fmt: skip
    written, store = list[Path](), durable.replace

    def noted(path: Path, data: bytes, **options: Any) -> None:
        assert is_locked(desk)
        written.append(path)
        store(path, data, **options)

    monkeypatch.setattr(durable, "replace", noted)
    changes: dict[str, Callable[[], object]] = {
        "ground comes": lambda: desk.add_bases(LIST, {"order-18": BASIS}),
        "ground goes": lambda: propose.remove_basis(desk, "second", "order-17"),
        "seal": lambda: sealing.begin(desk, "second"),
        "subscribe": lambda: sealing.subscribe(desk, "first", south),
        "unsubscribe": lambda: sealing.unsubscribe(desk, "first", "north"),
        "provider": lambda: appeals.trust(desk, "isp", bundle.public_line(SENDER)),
        "appeal": lambda: appeals.take_in(desk, bundled),
    }
    changes[kind]()
    assert len(written) == 1
    assert not is_locked(desk)


# -- smaller -----------------------------------------------------------------------------------------------------------


def test_a_card_for_relief_alone_is_an_officer_s_and_leaves_no_half_made_desk(tmp_path: Path) -> None:
    cards = []
    for name, roles in (("alice", PERSONAL), ("bob", PERSONAL), ("judge", ("relief",))):
        Keyring.create(tmp_path / name, name, PASSPHRASE, roles=roles)
        cards.append(str(tmp_path / name / "card.json"))
    (tmp_path / "pass").write_text("correct horse battery\n")
    usual = ["init", "--dir", str(tmp_path / "desk"), "--name", "A", "--contact", "c", "--appeals", "a"]
    few = CliRunner().invoke(issuer, [*usual, "--card", cards[0], "--card", cards[2]])
    assert "1 card(s) of signers for a threshold of 2" in str(few.exception)
    assert not list((tmp_path / "desk").iterdir())
    again = CliRunner().invoke(issuer, [*usual, *(part for card in cards for part in ("--card", card))])
    assert again.exit_code == 0, again.output
    request = Request.load(tmp_path / "desk" / "requests" / "setup.request")
    reviewed = review(request, Known(None, None))
    assert [change.role for change in reviewed.keys if change.holder == "judge"] == ["relief"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["propose", "--bases", "{none}"], "does not exist"),
        (["adopt", "x", "--from", "a", "--ground", "o", "--root", "{none}"], "does not exist"),
        (["import", "{names}", "--basis", "order-17", "--category", "x", "--expires", "999999w"], "the year 9999"),
        (["import", "{names}", "--basis", "order-17", "--category", "x", "--rejects", "{none}/x"], "open file"),
        (["renew", "--within", "999999w"], "the year 9999"),
    ],
)
def test_what_cannot_be_read_or_written_or_meant_is_said(world: World, words: list[str], said: str) -> None:
    folder = world.rehearsal.desk.folder
    (folder.parent / "names").write_text("a.example\n")
    words = [word.format(none=folder.parent / "none", names=folder.parent / "names") for word in words]
    done = CliRunner().invoke(issuer, [*words, "--dir", str(folder), "--list", LIST])
    assert isinstance(done.exception, SystemExit), done.exception
    assert said in done.output


def test_two_proposals_on_one_state_are_two_files(world: World) -> None:
    desk = world.rehearsal.desk
    usual = ["propose", "--dir", str(desk.folder), "--list", LIST, "--basis", "order-17", "--category", "gambling"]
    made = [CliRunner().invoke(issuer, [*usual, "--add", name]).stdout.strip() for name in ("a.example", "b.example")]
    assert len(set(made)) == 2
    assert [Path(path).exists() for path in made] == [True, True]


def test_a_ground_is_removed_when_nothing_stands_on_it(world: World) -> None:
    desk = world.rehearsal.desk
    world.rehearsal.add_basis(LIST, "order-18", BASIS)
    usual = ["basis", "--dir", str(desk.folder), "--list", LIST, "--remove"]
    refusal = CliRunner().invoke(issuer, [*usual, "order-17"])
    assert "5 entries of gambling stand on order-17" in str(refusal.exception)
    assert CliRunner().invoke(issuer, [*usual, "order-18"]).exit_code == 0
    assert set(desk.bases(LIST)) == {"order-17"}
    unknown = CliRunner().invoke(issuer, [*usual, "order-19"])
    assert "knows no basis 'order-19'" in str(unknown.exception)


@pytest.mark.parametrize("day", ["2026-W47-7", "20261122", "2026-11-31", "22.11.2026"])
def test_the_day_of_an_order_is_a_day(day: str) -> None:
    with pytest.raises(HeadError, match="is not a day such as"):
        read_bases(json.dumps({"order-17": {**asdict(BASIS), "date": day}}).encode())


def test_an_appeal_that_nobody_received_is_decided_only_when_that_is_said(world: World) -> None:
    desk = world.rehearsal.desk
    judge = Keyring.create(world.folder / "judge", "Judge", PASSPHRASE, roles=["relief"])
    published(
        world, signed_by(world, rotate.rotate(desk, come=[judge.card], now=world.now, author="a"), "alice", "bob")
    )
    (reference,) = withdraw.find(desk, LIST, ["dice.example"])
    usual = ["appeals", "decide", "A-000000000000", "--dir", str(desk.folder), "--outcome", "upheld", "--reasons", "r"]
    usual += ["--key", str(judge.folder), "--list", LIST, "--reference", reference, "--output", str(world.folder / "d")]
    refusal = CliRunner().invoke(issuer, usual)
    assert "no appeal 'A-000000000000' in the inbox" in str(refusal.exception)
    (world.folder / "pass").write_bytes(PASSPHRASE + b"\n")
    done = CliRunner().invoke(issuer, [*usual, "--unreceived", "--passphrase-file", str(world.folder / "pass")])
    assert "no appeal" not in str(done.exception)


def test_expired_roles_say_what_renews_them(world: World) -> None:
    world.later(days=91)
    with pytest.raises(VerifyError, match="expired") as refusal:
        world.rehearsal.refresh_timestamp()
    assert "renew --roles" in (refusal.value.hint or "")


@pytest.mark.parametrize("what", ["timestamp.json", "1.root.json"])
def test_what_is_malformed_is_named_with_the_reason(world: World, what: str) -> None:
    data = b"{}" if what == "1.root.json" else b"<html>"
    path = world.rehearsal.desk.trusted_root if what == "1.root.json" else world.published / "metadata" / what
    path.write_bytes(data)
    with pytest.raises(VerifyError) as refusal:
        world.fetch()
    assert refusal.value.reason == "malformed"
    wanted = {
        "1.root.json": "the pinned root metadata cannot be read: 'signed'",
        "timestamp.json": f"the timestamp metadata from {world.published} cannot be read: it is no JSON, "
        "and begins with '<html>'",
    }[what]
    assert wanted in str(refusal.value)
