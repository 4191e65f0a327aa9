"""The desk: what a change means, who may sign it, and publishing that survives being cut off at every step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from securesystemslib.signer import Signature
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from blocklists import durable, verify
from blocklists.entry import Entry, parse
from blocklists.errors import BlocklistError, VerifyError
from blocklists.fetch import Deadline, Directory
from blocklists.head import Relief
from blocklists.importers.intake import Candidate
from blocklists.issuer import history, propose, publish, renew, rotate, show, withdraw
from blocklists.issuer.command import issuer
from blocklists.issuer.desk import Desk, DeskError
from blocklists.issuer.keys import Card, KeyFileError, Keyring
from blocklists.issuer.publish import PublishError
from blocklists.issuer.rehearsal import PASSPHRASE
from blocklists.issuer.request import Request, RequestError, merge
from blocklists.issuer.review import Meaning, Review, ReviewError
from blocklists.issuer.sign import SignError, sign
from tests.rigs.issuer_world import (
    BASIS,
    LIST,
    NAMES,
    World,
    make_entry,
    meaning_of,
    published,
    request_for,
    respelled,
    signed_by,
    terms,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocklists.entry import Match
    from blocklists.importers.source import Rejection


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- what a change means -----------------------------------------------------------------------------------------------


def counts(meaning: Meaning) -> dict[str, int]:
    kinds = ("added", "removed", "widened", "narrowed", "prolonged", "shortened", "reworded", "withdrawn")
    return {kind: count for kind in kinds if (count := getattr(meaning, kind).count)}


OLD = make_entry("a.example", "A" * 16, "exact")


@pytest.mark.parametrize(
    ("gone", "come", "meaning"),
    [
        ([], [OLD], {"added": 1}),
        ([OLD], [], {"removed": 1}),
        ([OLD], [replace(OLD, match="subtree", reference="B" * 16)], {"widened": 1}),
        ([OLD], [replace(OLD, match="below", reference="B" * 16)], {"widened": 1}),
        ([replace(OLD, match="subtree")], [replace(OLD, reference="B" * 16)], {"narrowed": 1}),
        ([replace(OLD, match="subtree")], [replace(OLD, match="below", reference="B" * 16)], {"narrowed": 1}),
        ([OLD], [replace(OLD, expires="2028-01-01T00:00:00Z")], {"prolonged": 1}),
        ([OLD], [replace(OLD, expires="2027-01-01T00:00:00Z")], {"shortened": 1}),
        ([OLD], [replace(OLD, category="fraud")], {"reworded": 1}),
        ([OLD], [replace(OLD, reference="B" * 16)], {"added": 1, "removed": 1}),
        ([OLD], [replace(OLD, basis="order-18", reference="B" * 16)], {"added": 1, "removed": 1}),
    ],
)
def test_line_changes_are_told_by_what_they_mean(gone: list[Entry], come: list[Entry], meaning: dict[str, int]) -> None:
    steps = propose.changes([entry.line() for entry in gone], come)
    assert counts(meaning_of(steps)) == meaning


def test_a_review_shows_what_comes_what_goes_and_what_to_look_at(world: World) -> None:
    desk = world.rehearsal.desk
    candidates = [Candidate(1, "github.io", "subtree"), Candidate(2, "fresh.example", "subtree")]
    steps = propose.from_candidates(desk, LIST, candidates, terms(world), random=world.rehearsal.random)
    (dice,) = propose.by_hand(desk, LIST, remove=["dice.example"], terms=terms(world))
    request = propose.propose(
        desk, LIST, sorted([*steps, dice], key=propose.place), now=world.now, author="alice\u202e", note="n\x1b[31m"
    )
    reviewed = world.rehearsal.review(Request.from_bytes(request.to_bytes()), world.signer("bob"))
    assert counts(reviewed.meaning) == {"added": 2, "removed": 1}
    assert reviewed.meaning.by_basis == {"order-17": (2, 1)}
    assert {finding.kind for finding in reviewed.findings} == {"public-suffix", "shared-host"}
    text = "\n".join(show.as_text(reviewed))
    assert "version 2, 5 -> 6 entries" in text
    assert "fresh.example (subtree) order-17" in text
    assert all(line.isprintable() for line in text.splitlines())
    plain = show.as_json(reviewed)
    assert [entry["name"] for entry in plain["added"]] == ["fresh.example", "github.io"]
    assert plain["removed"][0]["name"] == "dice.example"


def test_a_signer_reads_all_that_is_signed_of_an_entry(world: World) -> None:
    desk, long = world.rehearsal.desk, "it touches the shop " * 19 + "and a hospital"
    casino, dice, poker, roulette, slots = world.entries(world.fetch())
    changed = [
        (casino, replace(casino, category="fraud", removal_requested="2026-11-20T00:00:00Z")),
        (dice, replace(dice, category="fraud", impact="category x -> y", expires="2028-01-01T00:00:00Z")),
        (poker, replace(poker, match="exact", reference="B" * 16, expires="2099-01-01T00:00:00Z", category="fraud")),
        (roulette, replace(roulette, issued="2026-11-21T00:00:00Z")),
        (slots, replace(slots, expires="2026-12-01T00:00:00Z")),
    ]
    steps = propose.changes(
        [old.line() for old, _ in changed],
        [
            *(new for _, new in changed),
            make_entry("one.example", "C" * 16, impact=long, issued="2026-11-01T00:00:00Z"),
            make_entry("two.example", "D" * 16, impact=long, removal_requested="2026-11-20T00:00:00Z"),
            make_entry("xxx.example", "E" * 16),
        ],
    )
    request = propose.propose(desk, LIST, steps, now=world.now, author="alice", note="")
    reviewed = world.rehearsal.review(request, world.signer("bob"))
    lines = [line.strip() for line in show.as_text(reviewed)]
    end = "2027-11-22T12:00:00Z"
    for change, reference in (
        (
            "casino.example (category gambling -> fraud, removal requested none -> 2026-11-20T00:00:00Z)",
            casino.reference,
        ),
        (f"dice.example ({end} -> 2028-01-01T00:00:00Z, category gambling -> fraud)", dice.reference),
        (
            f"poker.example (subtree -> exact, expires {end} -> 2099-01-01T00:00:00Z, category gambling -> fraud)",
            "B" * 16,
        ),
        ("roulette.example (issued 2026-11-22T12:00:00Z -> 2026-11-21T00:00:00Z)", roulette.reference),
        (f"slots.example ({end} -> 2026-12-01T00:00:00Z)", slots.reference),
    ):
        assert f"{change} order-17 {reference}" in lines
    at = lines.index(
        f"dice.example ({end} -> 2028-01-01T00:00:00Z, category gambling -> fraud) order-17 {dice.reference}"
    )
    assert lines[at + 1 : at + 3] == ["impact before: none", "impact after: category x -> y"]
    usual = "example (subtree) order-17 gambling until 2027-11-22"
    assert f"one.{usual} {'C' * 16}, issued 2026-11-01T00:00:00Z" in lines
    assert f"two.{usual} {'D' * 16}, removal requested 2026-11-20T00:00:00Z" in lines
    assert f"xxx.{usual} {'E' * 16}" in lines
    assert list(show.impacts(reviewed)) == [f"impact of 2 entries, first one.example: {long}"]
    assert list(show.impacts(reviewed, limit=0)) == []


def test_the_impact_of_new_entries_is_read_before_it_is_signed(world: World) -> None:
    steps = propose.changes([], [make_entry("new.example", "C" * 16, impact="it touches a hospital")])
    path, bob = world.folder / "new.request", world.signer("bob").folder
    propose.propose(world.rehearsal.desk, LIST, steps, now=world.now, author="a", note="").save(path)
    (world.folder / "passphrase").write_bytes(PASSPHRASE)
    options = [str(path), "--key", str(bob), "--repository", str(world.published)]
    said = "impact of 1 entry, first new.example: it touches a hospital\n"
    assert said in CliRunner().invoke(issuer, ["review", *options]).stderr
    assert "it touches a hospital" in CliRunner().invoke(issuer, ["review", *options, "--json"]).stdout
    signing = ["sign", *options, "--passphrase-file", str(world.folder / "passphrase")]
    before, asked, _ = CliRunner().invoke(issuer, signing, input="y\n").stderr.partition("Sign this as bob?")
    assert said in before
    assert asked
    assert len(Request.load(path).signatures("targets")) == 1


def test_widening_and_narrowing_take_a_new_reference(world: World) -> None:
    request = request_for(world, add=["dice.example"], match="exact")
    reviewed = world.rehearsal.review(request, world.signer("bob"))
    ((old, new),) = reviewed.meaning.narrowed.first
    assert (old.match, new.match) == ("subtree", "exact")
    assert old.reference != new.reference


def test_what_is_listed_already_stays_as_it_is_and_replace_takes_the_rest_off(world: World) -> None:
    desk, before = world.rehearsal.desk, {entry.name: entry for entry in world.entries(world.fetch())}
    candidates = [Candidate(1, "dice.example", "subtree"), Candidate(2, "new.example", "subtree")]
    world.later(days=1)
    steps = propose.from_candidates(desk, LIST, candidates, terms(world), replace=True, random=os.urandom)
    world.rehearsal.publish(propose.propose(desk, LIST, steps, now=world.now, author="a", note=""))
    after = {entry.name: entry for entry in world.entries(world.fetch())}
    assert set(after) == {"dice.example", "new.example"}
    assert after["dice.example"] == before["dice.example"]


def test_what_comes_is_spelt_and_sorted_as_entries_are(world: World) -> None:
    words: list[tuple[Match, str | None, str | None, str | None]] = [
        ("exact", None, None, None),
        ("below", "order-18", None, None),
        ("below", None, "fraud", "2030-01-01T00:00:00Z"),
    ]
    names = ["b.example", "a.b.example", "b-c.example", "z.example", "b.example", "a.net"]
    candidates = [Candidate(number, name, *more) for number, name in enumerate(names) for more in words]
    more = [Candidate(99, "-x.example", "exact"), Candidate(100, "x.example", "exact")]
    common = replace(terms(world), impact='"match":"exact","name":"b.example","reference":"7" \\ ä')
    rejected: list[Rejection] = []
    steps = propose.from_candidates(
        world.rehearsal.desk, LIST, [*candidates, *more], common, random=os.urandom, rejected=rejected
    )
    entries = [parse(line) for _, line in steps]
    assert [entry.line() for entry in entries] == [line for _, line in steps]
    assert entries == sorted(entries, key=Entry.order)
    assert {entry.impact for entry in entries} == {common.impact}
    asked = {
        (one.name, one.match, one.basis or "order-17", one.category or "gambling", one.expires or common.expires)
        for one in (*candidates, more[1])
    }
    assert {(one.name, one.match, one.basis, one.category, one.expires) for one in entries} == asked
    assert [item.line for item in rejected] == [99]


def test_no_request_is_made_where_nothing_changes_or_the_ground_is_unknown(world: World) -> None:
    desk = world.rehearsal.desk
    with pytest.raises(propose.ProposeError, match="nothing would change"):
        request_for(world, add=["dice.example"])
    with pytest.raises(propose.ProposeError, match=r"not on gambling: none\.example"):
        request_for(world, remove=["none.example"])
    with pytest.raises(propose.ProposeError, match="IP address"):
        request_for(world, add=["192.0.2.1"])
    with pytest.raises(propose.ProposeError, match="public suffix"):
        request_for(world, add=["co.uk"])
    steps = propose.changes([], [make_entry("x.example", basis="order-99")])
    with pytest.raises(propose.ProposeError, match="knows no basis 'order-99'"):
        propose.propose(desk, LIST, steps, now=world.now, author="a", note="")


def test_a_change_that_cannot_be_leaves_nothing_at_the_desk(world: World) -> None:
    desk = world.rehearsal.desk
    before = sorted((desk.folder / "drafts").iterdir())
    crowd = propose.changes([], [make_entry("crowd.example", f"{at:016d}") for at in range(17)])
    with pytest.raises(BlocklistError, match=r"crowd\.example has more than 16 entries"):
        propose.propose(desk, LIST, crowd, now=world.now, author="a", note="")
    with pytest.raises(BlocklistError, match="not there"):
        propose.propose(
            desk, LIST, propose.changes([make_entry("x.example").line()], []), now=world.now, author="a", note=""
        )
    assert sorted((desk.folder / "drafts").iterdir()) == before


# -- requests that lie -------------------------------------------------------------------------------------------------


def altered(world: World, change: Callable[[Request], Request]) -> Review:
    request = change(request_for(world, add=["new.example"], remove=["dice.example"]))
    return world.rehearsal.review(Request.from_bytes(request.to_bytes()), world.signer("bob"))


def other_head(request: Request, **fields: Any) -> Request:
    from tuf.api.metadata import TargetFile

    from blocklists.head import Head

    head = replace(Head.from_bytes(request.head or b""), **fields).to_bytes()
    assert request.targets is not None
    path = f"{LIST}.head.json"
    request.targets.signed.targets[path] = TargetFile.from_data(path, head, ["sha256"])
    return replace(request, head=head)


def bumped(request: Request, **fields: int) -> Request:
    assert request.targets is not None
    request.targets.signed.version += fields["targets"]
    return request


def smuggled(request: Request) -> Request:
    from tuf.api.metadata import TargetFile

    assert request.targets is not None
    path = "malware.head.json"
    request.targets.signed.targets[path] = TargetFile.from_data(path, b"x", ["sha256"])
    return request


def test_an_honest_request_is_understood(world: World) -> None:
    assert counts(altered(world, lambda request: request).meaning) == {"added": 1, "removed": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda request: replace(request, delta=b"x"), "does not match|damaged"),
        (lambda request: replace(request, delta=None), "without the step"),
        (lambda request: replace(request, head=b"x"), "damaged"),
        (lambda request: replace(request, head=None), "does not bring"),
        (lambda request: other_head(request, state="sha256:" + "0" * 64), "does not lead"),
        (lambda request: other_head(request, entries=7), "does not lead"),
        (lambda request: other_head(request, bases={}), "basis that the head does not know"),
        (lambda request: bumped(request, targets=1), "version"),
        (smuggled, "another list"),
        (lambda request: replace(request, about=replace(request.about, list="malware")), "another list|other files"),
        (lambda request: replace(request, relief_list=b"x"), "relief that nobody would sign"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused_by_the_signer_s_machine(
    world: World, change: Callable[[Request], Request], reason: str
) -> None:
    with pytest.raises(ReviewError, match=reason):
        altered(world, change)


def test_a_request_on_an_older_state_is_refused(world: World) -> None:
    request = request_for(world, add=["new.example"])
    world.rehearsal.change(LIST, add=["other.example"])
    with pytest.raises(ReviewError, match="this machine knows version 3"):
        world.rehearsal.review(request, world.signer("bob"))


def test_a_signer_whose_repository_stands_still_is_told(world: World) -> None:
    world.rehearsal.change(LIST, add=["new.example"])
    world.later(days=3)
    request = request_for(world, remove=["dice.example"])
    assert any("expired" in remark for remark in world.rehearsal.review(request, world.signer("bob")).remarks)


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 500])
def test_a_file_that_is_no_request_is_said(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.request").write_bytes(data)
    with pytest.raises(RequestError, match=r"x\.request: not a request"):
        Request.load(tmp_path / "x.request")
    with pytest.raises(RequestError, match="No such file"):
        Request.load(tmp_path / "none")


def test_a_damaged_request_is_never_another_one(world: World) -> None:
    request = request_for(world, add=["new.example"])
    data = request.to_bytes()
    for at in range(0, len(data), max(1, len(data) // 60)):
        try:
            altered_request = Request.from_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            reviewed = world.rehearsal.review(altered_request, world.signer("bob"))
        except BlocklistError:
            continue
        assert counts(reviewed.meaning) == {"added": 1}


@pytest.mark.parametrize("flag", [0x01, 0x20, 0x40], ids=["encrypted", "patched", "strongly encrypted"])
def test_a_request_that_no_archive_reader_can_open_is_refused(world: World, flag: int) -> None:
    data = bytearray(request_for(world, add=["new.example"]).to_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # a member's own header, and that in the directory
        data[data.index(mark) + flags] |= flag
    with pytest.raises(RequestError, match="not a request"):
        Request.from_bytes(bytes(data))


def test_a_request_with_a_compressed_or_unknown_part_is_refused(world: World, tmp_path: Path) -> None:
    import zipfile

    for name, method, reason in (
        ("request.json", zipfile.ZIP_DEFLATED, "compressed"),
        ("../../evil", zipfile.ZIP_STORED, "it has a part"),
    ):
        with zipfile.ZipFile(tmp_path / "r", "w", method) as archive:
            archive.writestr(name, b"{}" * 1000)
        with pytest.raises(RequestError, match=reason):
            Request.load(tmp_path / "r")


# -- signing -----------------------------------------------------------------------------------------------------------


def test_two_copies_signed_apart_are_one_signed_request(world: World) -> None:
    request = request_for(world, add=["new.example"])
    both = merge(signed_by(world, request, "alice", "bob"))
    assert len(both.signatures("targets")) == 2
    assert request.signatures("targets") == ()
    with pytest.raises(RequestError, match="not one change"):
        merge([request, request_for(world, add=["other.example"])])


def test_a_request_can_also_go_from_hand_to_hand(world: World) -> None:
    request = request_for(world, add=["new.example"])
    for name in ("alice", "bob"):
        (request,) = signed_by(world, request, name)
    published(world, [request])
    assert "new.example" in world.listed(world.fetch())


def test_a_stranger_s_keys_have_nothing_to_sign(world: World) -> None:
    mallory = Keyring.create(world.folder / "mallory", "mallory", PASSPHRASE)
    shutil.copytree(world.signer("alice").folder / "known", mallory.folder / "known", symlinks=True)
    reviewed = world.rehearsal.review(request_for(world, add=["new.example"]), mallory)
    with pytest.raises(SignError, match="no key of mallory decides"):
        sign(reviewed, mallory, lambda _: PASSPHRASE)


def test_a_machine_that_pinned_another_root_refuses(world: World) -> None:
    other = World(world.folder / "other")
    with pytest.raises(VerifyError) as refusal:
        other.rehearsal.review(
            request_for(other, add=["x.example"]),
            replace_known(other.signer("alice"), world.signer("alice")),
        )
    assert refusal.value.reason in {"signature-threshold", "hash-mismatch"}


def replace_known(keyring: Keyring, other: Keyring) -> Keyring:
    shutil.rmtree(keyring.folder / "known")
    shutil.copytree(other.folder / "known", keyring.folder / "known", symlinks=True)
    return keyring


@pytest.mark.parametrize("scheme", ["ed25519", "p256", "p384"])
def test_keys_lie_encrypted_and_sign_with_their_passphrase_alone(tmp_path: Path, scheme: str) -> None:
    keyring = Keyring.create(tmp_path / "k", "Alice", b"correct horse", scheme=scheme)
    for role in keyring.card.keys:
        path = tmp_path / "k" / f"{role}.pem"
        assert b"ENCRYPTED" in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
        signature = Keyring.open(tmp_path / "k").signer(role, lambda _: b"correct horse").sign(b"x")
        keyring.card.keys[role].verify_signature(signature, b"x")
        with pytest.raises(KeyFileError, match="passphrase is wrong"):
            keyring.signer(role, lambda _: b"wrong horse")
    assert b"PRIVATE" not in (tmp_path / "k" / "card.json").read_bytes()
    assert Card.from_bytes(keyring.card.to_bytes()) == keyring.card
    with pytest.raises(KeyFileError, match="has keys already"):
        Keyring.create(tmp_path / "k", "Alice", b"x")
    with pytest.raises(KeyFileError, match="no card"):
        Keyring.open(tmp_path / "none")


@pytest.mark.parametrize("scheme", ["p256", "p384"])
def test_a_repository_of_ecdsa_keys_is_verified_too(tmp_path: Path, scheme: str) -> None:
    from blocklists.issuer.rehearsal import Rehearsal
    from tests.rigs.issuer_world import ISSUER, NOW

    rehearsal = Rehearsal.create(tmp_path / "issuer", ISSUER, clock=lambda: NOW, scheme=scheme)
    rehearsal.add_basis(LIST, "order-17", BASIS)
    rehearsal.change(LIST, add=NAMES, basis="order-17", category="gambling")
    desk = rehearsal.desk
    verified = verify.refresh(str(desk.published), desk.trusted_root, tmp_path / "s", LIST, deadline=120, now=NOW)
    assert verified.head.entries == len(NAMES)


# -- publishing --------------------------------------------------------------------------------------------------------


def test_one_signature_short_is_not_published(world: World) -> None:
    request = request_for(world, add=["new.example"])
    with pytest.raises(PublishError, match="not enough signatures"):
        published(world, signed_by(world, request, "alice"))
    with pytest.raises(PublishError, match="not enough signatures"):
        published(world, [request])
    assert world.listed(world.fetch()) == set(NAMES)


@pytest.mark.parametrize("stranger", [False, True])
def test_a_signature_that_does_not_hold_is_neither_published_nor_recorded(tmp_path: Path, *, stranger: bool) -> None:
    world = World(tmp_path, names=("alice", "bob", "carol"))
    desk, carol = world.rehearsal.desk, world.signer("carol")
    dave = Keyring.create(world.folder / "dave", "dave", PASSPHRASE)
    changes: list[Callable[[], Request]] = [
        lambda: rotate.rotate(desk, come=[dave.card], now=world.now, author="alice"),
        lambda: request_for(world, add=["new.example"]),
    ]
    for proposed in changes:
        copies = signed_by(world, proposed(), "alice", "bob")
        for role in ("root", "targets", "relief"):
            metadata = getattr(copies[1], role)
            if metadata is not None:
                keyid = "0" * 64 if stranger else carol.card.keys[role].keyid
                metadata.signatures[keyid] = Signature(keyid, "00" * 64)
        published(world, copies)
    signed = {role: {world.signer(name).card.keys[role].keyid for name in ("alice", "bob")} for role in carol.card.keys}
    current = world.current()
    for role in ("root", "targets", "relief"):
        assert set(getattr(current, role).signatures) == signed[role]
    (reference,) = withdraw.find(desk, LIST, ["new.example"])
    assert history.signers(desk, LIST, reference) == signed["targets"]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_signature_that_does_not_hold_takes_no_valid_one_s_place(world: World, order: list[int]) -> None:
    """In a copy that somebody damaged, or that was made to hinder the others."""
    copies = signed_by(world, request_for(world, add=["new.example"]), "alice", "bob")
    metadata = copies[1].targets
    assert metadata is not None
    keyid = world.signer("alice").card.keys["targets"].keyid
    metadata.signatures[keyid] = Signature(keyid, "00" * 64)
    published(world, [copies[at] for at in order])
    assert world.listed(world.fetch()) == {*NAMES, "new.example"}


def test_a_change_that_another_has_overtaken_is_not_published(world: World) -> None:
    late = signed_by(world, request_for(world, add=["late.example"]), "alice", "bob")
    world.rehearsal.change(LIST, add=["early.example"])
    with pytest.raises(PublishError, match="version 3 is published"):
        published(world, late)


def test_the_document_is_made_again_where_the_draft_is_not_there(world: World) -> None:
    copies = signed_by(world, request_for(world, add=["new.example"]), "alice", "bob")
    for draft in (world.rehearsal.desk.folder / "drafts").iterdir():
        draft.unlink()
    published(world, copies)
    assert "new.example" in world.listed(world.fetch())


def test_a_version_whose_step_was_lost_on_the_way_is_not_published_without_it(world: World) -> None:
    desk, copies = world.rehearsal.desk, signed_by(world, request_for(world, add=["new.example"]), "alice", "bob")
    stripped = [replace(copy, delta=None) for copy in copies]
    with pytest.raises(PublishError, match=r"does not bring gambling\.delta-1-2\.zst") as refusal:
        published(world, stripped)
    assert "several copies" in (refusal.value.hint or "")
    assert world.listed(world.fetch()) == set(NAMES)
    published(world, [stripped[0], copies[1]])
    head = desk.head(LIST)
    assert head is not None
    assert history.document_of(desk, LIST, 2, world.folder / "made.zst") == head.summary()
    assert len(history.between(desk, LIST, 1, 2)) == 1


@pytest.mark.parametrize("planted", [None, b"a step that nobody signed"])
def test_the_record_of_a_version_is_made_of_what_was_signed(world: World, planted: bytes | None) -> None:
    desk = world.rehearsal.desk
    world.rehearsal.add_basis("other", "order-17", BASIS)
    steps = propose.from_candidates(
        desk, "other", [Candidate(1, "one.example", "subtree")], terms(world), random=world.rehearsal.random
    )
    request = propose.propose(desk, "other", steps, now=world.now, author="a", note="")
    copies = signed_by(world, request, "alice", "bob")
    published(world, [replace(copy, full=None if planted is None else copy.full, delta=planted) for copy in copies])
    head = desk.head("other")
    assert head is not None
    assert history.document_of(desk, "other", 1, world.folder / "made.zst") == head.summary()


def test_what_the_desk_s_own_client_refuses_is_not_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = signed_by(world, request_for(world, add=["new.example"]), "alice", "bob")

    def refuse(*_: Any, **__: Any) -> None:
        raise VerifyError("state-hash", "no")

    monkeypatch.setattr(verify, "refresh_from", refuse)
    with pytest.raises(VerifyError):
        published(world, copies)
    monkeypatch.undo()
    assert world.listed(world.fetch()) == set(NAMES)
    published(world, copies)
    assert "new.example" in world.listed(world.fetch())


def test_the_timestamp_is_refreshed_without_anybody_and_the_snapshot_when_it_nears_its_end(world: World) -> None:
    for _ in range(8):
        world.later(hours=23)
        world.rehearsal.refresh_timestamp()
        world.fetch()
    assert world.fetch().versions == (1, 10, 4, 2)


def test_the_ledger_is_on_the_disk_before_what_was_staged_goes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, fsync, rmtree = world.rehearsal.desk, os.fsync, shutil.rmtree
    synced: set[int] = set()
    at_the_end: list[set[int]] = []

    def noted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def gone(path: Path, **options: Any) -> None:
        if path == desk.folder / "staged" and path.exists():
            at_the_end.append(set(synced))
        rmtree(path, **options)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(shutil, "rmtree", gone)
    world.rehearsal.change(LIST, add=["new.example"])
    folder = desk.folder / "ledger" / LIST
    assert {path.stat().st_ino for path in (folder, folder / "2.zst", folder / "2.json")} <= at_the_end[-1]


def test_old_files_go_and_a_client_in_the_middle_of_a_fetch_still_finds_its_own(world: World) -> None:
    for number in range(publish.KEEP + 4):
        world.rehearsal.change(LIST, add=[f"n{number}.example"])
    documents = {path.name.partition(".")[2] for path in world.published.glob("targets/*.full-*.zst")}
    newest = range(6, publish.KEEP + 6)
    assert documents == {f"{LIST}.full-{version}.zst" for version in (1, *newest)}
    assert len(list(world.published.glob("metadata/*.snapshot.json"))) == publish.KEEP
    assert world.fetch().head.version == publish.KEEP + 5


def test_what_was_signed_stays_and_the_document_of_every_version_can_be_made_again(world: World) -> None:
    desk, signed = world.rehearsal.desk, {}
    client = world.fetch(state="ninety days old")
    for number in range(publish.KEEP + 3):
        world.rehearsal.change(LIST, add=[f"n{number}.example"], remove=["dice.example"] if number == 4 else [])
        head = desk.head(LIST)
        assert head is not None
        signed[head.version] = head
        world.later(days=8)
        published(world, signed_by(world, renew.roles(desk, now=world.now, author="a"), "alice", "bob"))
    for version, head in signed.items():
        assert history.document_of(desk, LIST, version, world.folder / "made.zst") == head.summary()
    assert world.fetch(state="ninety days old").head.version > client.head.version
    roles = {path.name for path in world.published.glob("metadata/*")}
    current = world.current()
    assert {f"{number}.targets.json" for number in range(1, current.targets.signed.version + 1)} <= roles
    assert {f"{number}.relief.json" for number in range(1, current.relief.signed.version + 1)} <= roles


class Step:
    """Kills this process at the n-th durable step, as `kill -9` would."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self) -> None:
        self._left -= 1
        if self._left < 0:
            os._exit(9)


def after(count: Step, what: Callable[..., object]) -> Callable[..., object]:
    def counted(*given: object, **named: object) -> object:
        count()
        return what(*given, **named)

    return counted


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Whether a child that does `work` was killed at this step; False: it came to its end before."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in {0, 9}
        return code == 9
    try:
        count = Step(step)
        for owner, name in (
            (durable.Disk, "write"), (durable.Disk, "rename"), (durable.Disk, "sync_folder"), (durable, "sync"),
            (Path, "replace"),
        ):  # fmt: skip
            setattr(owner, name, after(count, getattr(owner, name)))
        work()
    except BaseException:  # noqa: BLE001 - a child must never return into pytest
        os._exit(1)
    os._exit(0)


def every_step(world: World, work: Callable[[World], None], check: Callable[[World], None]) -> int:
    """Do `work` on a fresh copy, killed at the first step, at the second, ... until it comes to its end."""
    origin = world.folder / "issuer"
    for step in range(1000):
        folder = world.folder / f"killed-{step}"
        shutil.copytree(origin, folder, symlinks=True)
        there = replace_folder(world, folder)
        killed = killed_at(step, lambda there=there: work(there))  # type: ignore[misc]
        check(there)
        shutil.rmtree(folder)
        if not killed:
            return step
    raise AssertionError("it never came to its end")


def replace_folder(world: World, folder: Path) -> World:
    from copy import copy

    from blocklists.issuer.rehearsal import Rehearsal

    there = copy(world)
    there.rehearsal = Rehearsal.open(folder, clock=lambda: world.now, random=os.urandom)
    return there


def test_kill_9_at_every_step_of_publishing_leaves_the_old_or_the_new_list_and_the_next_run_goes_on(
    world: World,
) -> None:
    copies = signed_by(world, request_for(world, add=["new.example"]), "alice", "bob")
    seen: set[int] = set()

    def check(there: World) -> None:
        state = f"client-{there.rehearsal.desk.folder.name}"
        version = there.fetch(state=state).head.version
        seen.add(version)
        desk = there.rehearsal.desk
        publish.recover(desk)
        if desk.head(LIST) is not None and there.fetch(state=state).head.version == 1:
            publish.publish(desk, copies, lambda _: None, now=there.now)
        assert "new.example" in there.listed(there.fetch(state=state))
        there.rehearsal.refresh_timestamp()
        there.fetch(state=state)
        assert not (desk.folder / "staged").exists()

    steps = every_step(world, lambda there: published(there, copies), check)
    assert steps > 20
    assert seen == {1, 2}


def test_kill_9_at_every_step_of_a_timestamp_leaves_a_list_that_verifies(world: World) -> None:
    def check(there: World) -> None:
        state = f"client-{there.rehearsal.desk.folder.name}"
        there.fetch(state=state)
        there.rehearsal.refresh_timestamp()
        there.fetch(state=state)

    assert every_step(world, lambda there: there.rehearsal.refresh_timestamp(), check) > 4


def test_kill_9_at_every_step_of_a_change_of_keys_ends_with_the_new_keys(world: World) -> None:
    desk = world.rehearsal.desk
    request = rotate.rotate(desk, online=True, now=world.now, author="alice")
    copies = signed_by(world, request, "alice", "bob")

    def check(there: World) -> None:
        desk = there.rehearsal.desk
        publish.recover(desk)
        current = desk.current()
        assert current is not None
        if current.root.signed.version == 1:
            publish.publish(desk, copies, lambda _: None, now=there.now)
        assert there.fetch(state=f"client-{desk.folder.name}").versions[0] == 2
        there.rehearsal.refresh_timestamp()
        there.fetch(state=f"client-{desk.folder.name}")
        assert not (desk.folder / "online.next").exists()

    assert every_step(world, lambda there: published(there, copies), check) > 10


# -- withdrawing, appeals ----------------------------------------------------------------------------------------------


def test_one_person_withdraws_an_entry_by_name_or_reference(world: World) -> None:
    desk = world.rehearsal.desk
    (reference,) = withdraw.find(desk, LIST, ["dice.example"])
    for wanted in ("dice.example", reference):
        request = withdraw.suspend(desk, LIST, [wanted], reason="wrong folder", now=world.now, author="bob")
        assert list(world.rehearsal.review(request, world.signer("bob")).suspended) == [reference]
    published(world, signed_by(world, request, "bob"))
    verified = world.fetch()
    assert verified.relief is not None
    assert verified.relief.suspended[reference].reason == "wrong folder"
    assert verified.head.version == 1
    with pytest.raises(withdraw.WithdrawError, match="suspended already"):
        withdraw.suspend(desk, LIST, [reference], reason="again", now=world.now, author="bob")
    with pytest.raises(withdraw.WithdrawError, match=r"not on gambling: none\.example"):
        withdraw.suspend(desk, LIST, ["none.example"], reason="x", now=world.now, author="bob")
    with pytest.raises(withdraw.WithdrawError, match="no reason"):
        withdraw.suspend(desk, LIST, ["slots.example"], reason=" ", now=world.now, author="bob")


def test_an_appeal_is_decided_by_somebody_who_did_not_sign_the_entry(world: World) -> None:
    desk = world.rehearsal.desk
    judge = Keyring.create(world.folder / "judge", "Judge", PASSPHRASE, roles=["relief"])
    request = rotate.rotate(desk, come=[judge.card], now=world.now, author="alice")
    published(world, signed_by(world, request, "alice", "bob"))
    (reference,) = withdraw.find(desk, LIST, ["dice.example"])
    with pytest.raises(withdraw.WithdrawError, match="alice signed"):
        withdraw.decide(
            desk, LIST, appeal="A-1", reference=reference, outcome="granted", reasons="an error", now=world.now,
            officer=world.signer("alice").card,
        )  # fmt: skip
    request = withdraw.decide(
        desk, LIST, appeal="A-1", reference=reference, outcome="granted", reasons="an error", officer=judge.card,
        now=world.now,
    )  # fmt: skip
    with pytest.raises(SignError, match="is Judge's; alice cannot sign it"):
        signed_by(world, request, "alice")
    shutil.copytree(world.signer("alice").folder / "known", judge.folder / "known", symlinks=True)
    reviewed = world.rehearsal.review(request, judge)
    assert any("granted, by Judge: an error" in line for line in show.as_text(reviewed))
    signed = sign(reviewed, judge, lambda _: PASSPHRASE)
    alice = world.signer("alice")
    assert signed.relief is not None
    forged = Metadata(Targets.from_dict(signed.relief.signed.to_dict()))
    forged.sign(alice.signer("relief", lambda _: PASSPHRASE))
    with pytest.raises(withdraw.WithdrawError, match="not signed by Judge"):
        published(world, [replace(signed, relief=forged)])
    posing = replace(reviewed.decided[0], by="alice")
    carried = Relief.from_bytes(signed.relief_list or b"")
    claimed = replace(carried, decisions=(posing,))
    forged.signed.targets = {f"{LIST}.relief.json": TargetFile.from_data("x", claimed.to_bytes(), ["sha256"])}
    forged.sign(alice.signer("relief", lambda _: PASSPHRASE))
    with pytest.raises(withdraw.WithdrawError, match="alice signed"):
        published(world, [replace(signed, relief=forged, relief_list=claimed.to_bytes())])
    published(world, [signed])
    relief = world.fetch().relief
    assert relief is not None
    assert reference in relief.suspended
    assert (relief.decisions[0].outcome, relief.decisions[0].by) == ("granted", "Judge")


def other_relief(request: Request, change: Callable[[Relief], Relief]) -> Request:
    """Somebody exchanges the relief on its way, before it is signed."""
    assert request.relief is not None
    data = change(Relief.from_bytes(request.relief_list or b"")).to_bytes()
    role, path = Metadata(Targets.from_dict(request.relief.signed.to_dict())), f"{LIST}.relief.json"
    role.signed.targets[path] = TargetFile.from_data(path, data, ["sha256"])
    return replace(request, relief=role, relief_list=data)


def unread(world: World, request: Request, name: str) -> Request:
    """The relief signed by one who did not look."""
    assert request.relief is not None
    request.relief.sign(world.signer(name).signer("relief", lambda _: PASSPHRASE), append=True)
    return request


@pytest.mark.parametrize("stripped", [False, True])
def test_a_decision_that_something_else_has_overtaken_is_refused_and_not_dropped(
    tmp_path: Path, *, stripped: bool
) -> None:
    world = World(tmp_path, names=("alice", "bob", "carol"))
    desk, carol = world.rehearsal.desk, world.signer("carol")
    published(world, signed_by(world, request_for(world, add=["new.example"]), "alice", "bob"))
    (reference,) = withdraw.find(desk, LIST, ["new.example"])
    (decision,) = signed_by(
        world,
        withdraw.decide(
            desk, LIST, appeal="A-1", reference=reference, outcome="upheld", reasons="x", officer=carol.card,
            now=world.now,
        ),
        "carol",
    )  # fmt: skip
    late = withdraw.suspend(desk, LIST, ["slots.example"], reason="x", now=world.now, author="bob")
    (late,) = signed_by(world, late, "bob")
    world.rehearsal.add_basis("other", "order-17", BASIS)
    world.rehearsal.change("other", add=["bet.example"], basis="order-17", category="gambling")
    first = withdraw.suspend(desk, "other", ["bet.example"], reason="x", now=world.now, author="alice")
    published(world, signed_by(world, first, "alice"))
    for overtaken in (decision, late):
        with pytest.raises(withdraw.WithdrawError, match="relief version 2; version 2 is published") as refusal:
            published(world, [replace(overtaken, relief_list=None) if stripped else overtaken])
        assert "proposed again" in (refusal.value.hint or "")
    assert desk.relief(LIST) is None


def test_a_version_whose_renewed_relief_was_overtaken_is_published_without_it(world: World) -> None:
    world.later(days=50)
    published(world, signed_by(world, renew.roles(world.rehearsal.desk, now=world.now, author="a"), "alice", "bob"))
    world.later(days=50)
    copies = signed_by(world, request_for(world, add=["new.example"]), "alice", "bob")
    assert copies[0].relief is not None
    request = withdraw.suspend(world.rehearsal.desk, LIST, ["dice.example"], reason="x", now=world.now, author="alice")
    published(world, signed_by(world, request, "alice"))
    published(world, copies)
    verified = world.fetch()
    assert verified.relief is not None
    assert (len(verified.relief.suspended), "new.example" in world.listed(verified)) == (1, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda relief: replace(relief, suspended={k: v for k, v in relief.suspended.items() if v.reason == "second"}),
        lambda relief: replace(
            relief, suspended={k: replace(v, reason="other words") for k, v in relief.suspended.items()}
        ),
        lambda relief: replace(relief, decisions=()),
        lambda relief: replace(relief, decisions=tuple(replace(one, outcome="upheld") for one in relief.decisions)),
    ],
)
def test_one_person_cannot_take_back_what_the_published_relief_says(
    tmp_path: Path, change: Callable[[Relief], Relief]
) -> None:
    world = World(tmp_path, names=("alice", "bob", "carol"))
    desk, carol = world.rehearsal.desk, world.signer("carol")
    published(world, signed_by(world, request_for(world, add=["new.example"]), "alice", "bob"))
    (reference,) = withdraw.find(desk, LIST, ["new.example"])
    granted = withdraw.decide(
        desk, LIST, appeal="A-1", reference=reference, outcome="granted", reasons="x", officer=carol.card, now=world.now
    )
    published(world, signed_by(world, granted, "carol"))
    honest = withdraw.suspend(desk, LIST, ["dice.example"], reason="second", now=world.now, author="bob")
    with pytest.raises(ReviewError, match="takes back, or changes"):
        world.rehearsal.review(other_relief(honest, change), world.signer("bob"))
    with pytest.raises(withdraw.WithdrawError, match="takes back, or changes"):
        published(world, [unread(world, other_relief(honest, change), "bob")])
    published(world, signed_by(world, honest, "bob"))
    relief = world.fetch().relief
    assert relief is not None
    assert (len(relief.suspended), len(relief.decisions)) == (2, 1)


def test_a_relief_leaves_those_of_other_lists_as_they_are(world: World) -> None:
    desk = world.rehearsal.desk
    world.rehearsal.add_basis("other", "order-17", BASIS)
    world.rehearsal.change("other", add=["bet.example"], basis="order-17", category="gambling")
    request = withdraw.suspend(desk, "other", ["bet.example"], reason="x", now=world.now, author="alice")
    published(world, signed_by(world, request, "alice"))
    honest = withdraw.suspend(desk, LIST, ["dice.example"], reason="x", now=world.now, author="bob")
    forged = other_relief(honest, lambda relief: relief)
    assert forged.relief is not None
    del forged.relief.signed.targets["other.relief.json"]
    with pytest.raises(ReviewError, match="relief of another list"):
        world.rehearsal.review(forged, world.signer("bob"))
    with pytest.raises(withdraw.WithdrawError, match="relief of another list"):
        published(world, [unread(world, forged, "bob")])
    moved = replace(honest, about=replace(honest.about, list="other"))
    with pytest.raises(ReviewError, match="does not sign it"):
        world.rehearsal.review(moved, world.signer("bob"))


def test_what_is_withdrawn_stays_so_when_its_entry_has_gone(world: World) -> None:
    desk = world.rehearsal.desk
    for names in (["dice.example"], ["slots.example"]):
        request = withdraw.suspend(desk, LIST, names, reason="x", now=world.now, author="bob")
        published(world, signed_by(world, request, "bob"))
        world.rehearsal.change(LIST, remove=names)
    relief = desk.relief(LIST)
    assert relief is not None
    assert len(relief.suspended) == 2


def test_a_relief_that_counts_from_the_beginning_says_what_it_leaves_out(world: World) -> None:
    desk = world.rehearsal.desk
    request = withdraw.suspend(desk, LIST, ["dice.example"], reason="x", now=world.now, author="bob")
    published(world, signed_by(world, request, "bob"))
    honest = withdraw.suspend(desk, LIST, ["slots.example"], reason="second", now=world.now, author="bob")
    forged = other_relief(
        honest,
        lambda relief: replace(
            relief, version=1, suspended={k: v for k, v in relief.suspended.items() if v.reason == "second"}
        ),
    )
    remarks = world.rehearsal.review(forged, world.signer("bob")).remarks
    assert any("from the beginning, without 1 suspension and 0 decisions" in remark for remark in remarks)


# -- renewal, history --------------------------------------------------------------------------------------------------


def test_what_lapses_is_listed_and_renewed_under_its_reference_but_not_what_is_suspended(world: World) -> None:
    desk, month = world.rehearsal.desk, timedelta(days=30)
    assert renew.due(desk, now=world.now, within=month) == renew.Due((), ())
    request = withdraw.suspend(desk, LIST, ["slots.example"], reason="x", now=world.now, author="bob")
    published(world, signed_by(world, request, "bob"))
    before = {entry.name: entry for entry in world.entries(world.fetch())}
    for _ in range(5):
        world.later(days=69)
        published(world, signed_by(world, renew.roles(desk, now=world.now, author="a"), "alice", "bob"))
    due = renew.due(desk, now=world.now, within=month)
    assert {entry.name for _, entry in due.entries} == set(NAMES) - {"slots.example"}
    steps = renew.prolong(desk, LIST, now=world.now, within=month, span=timedelta(days=365))
    request = propose.propose(desk, LIST, steps, now=world.now, author="a", note="renewal")
    reviewed = world.rehearsal.review(request, world.signer("bob"))
    assert counts(reviewed.meaning) == {"prolonged": 4}
    world.rehearsal.publish(request)
    after = {entry.name: entry for entry in world.entries(world.fetch())}
    assert after["dice.example"].reference == before["dice.example"].reference
    assert after["dice.example"].expires > before["dice.example"].expires
    assert after["slots.example"] == before["slots.example"]
    assert world.fetch().versions[0] > 1, "the root was renewed too"


def test_roles_that_lapse_are_due(world: World) -> None:
    found = renew.due(world.rehearsal.desk, now=world.now, within=timedelta(days=100))
    assert [role for role, _ in found.roles] == ["targets", "relief"]


def test_the_difference_between_any_two_versions_is_kept(world: World) -> None:
    world.rehearsal.change(LIST, add=["x.example", "y.example"])
    world.rehearsal.change(LIST, remove=["x.example", "dice.example"])
    steps = history.between(world.rehearsal.desk, LIST, 1, 3)
    assert counts(meaning_of(steps)) == {"added": 1, "removed": 1}
    assert len(history.between(world.rehearsal.desk, LIST, 0, 3)) == len(NAMES)
    with pytest.raises(history.HistoryError, match="no record of gambling version 4"):
        history.between(world.rehearsal.desk, LIST, 1, 4)


# -- keys that come and go ---------------------------------------------------------------------------------------------


def test_a_lost_key_is_replaced_by_the_two_that_are_left(tmp_path: Path) -> None:
    world = World(tmp_path, names=("alice", "bob", "carol"))
    world.fetch()
    desk, dora = world.rehearsal.desk, Keyring.create(tmp_path / "dora", "dora", PASSPHRASE)
    shutil.rmtree(world.signer("carol").folder)
    request = rotate.rotate(desk, come=[dora.card], go=["carol"], now=world.now, author="alice")
    text = "\n".join(show.as_text(world.rehearsal.review(request, world.signer("alice"))))
    assert f"root: key {dora.card.keys['root'].keyid[:16]} of dora comes" in text
    assert "of carol goes" in text
    assert f"relief: key {dora.card.keys['relief'].keyid[:16]} of dora comes" in text
    published(world, signed_by(world, request, "alice", "bob"))
    assert set(rotate.holders(desk).values()) == {"alice", "bob", "carol", "dora", "the desk"}
    shutil.copytree(world.signer("alice").folder / "known", dora.folder / "known", symlinks=True)
    request = request_for(world, add=["new.example"])
    dora_s = sign(world.rehearsal.review(request, dora), dora, lambda _: PASSPHRASE)
    published(world, [dora_s, *signed_by(world, request, "bob")])
    verified = world.fetch()
    assert verified.head.version == 2
    assert dora.card.keys["targets"].keyid in verified.signed_by
    assert sorted(verified.holders) == list(verified.signed_by)
    assert set(verified.holders.values()) == {"bob", "dora"}


def test_a_name_travels_signed_with_its_key_and_only_where_it_is_one(world: World) -> None:
    verified = world.fetch()
    by_name = {world.signer(name).card.keys["targets"].keyid: name for name in ("alice", "bob")}
    assert verified.holders == by_name
    stored = verify.stored(world.folder / "provider")
    assert stored is not None
    assert stored.holders == by_name

    def rename(root: Root) -> None:
        for name, said in (("alice", "alice\u202eecila"), ("bob", ["bob"])):
            root.keys[world.signer(name).card.keys["targets"].keyid].unrecognized_fields["x-stopsign-holder"] = said

    world.forge(root=rename)
    assert world.fetch().holders == {}
    with pytest.raises(KeyFileError, match="cannot be the name"):
        Keyring.create(world.folder / "nobody", "two\nlines", PASSPHRASE)


def test_a_lost_key_of_two_cannot_be_replaced_by_one(world: World) -> None:
    dora = Keyring.create(world.folder / "dora", "dora", PASSPHRASE)
    request = rotate.rotate(world.rehearsal.desk, come=[dora.card], go=["bob"], now=world.now, author="alice")
    shutil.copytree(world.signer("alice").folder / "known", dora.folder / "known", symlinks=True)
    copies = signed_by(world, request, "alice")
    copies.append(sign(world.rehearsal.review(request, dora), dora, lambda _: PASSPHRASE))
    with pytest.raises(PublishError, match="not enough signatures"):
        published(world, copies)


def test_the_threshold_can_rise_and_the_desk_s_own_keys_change(tmp_path: Path) -> None:
    world = World(tmp_path, names=("alice", "bob", "carol"))
    desk = world.rehearsal.desk
    world.fetch()
    before = {key.keyid for key in desk.online().card.keys.values()}
    request = rotate.rotate(desk, threshold=3, online=True, now=world.now, author="alice")
    published(world, signed_by(world, request, "alice", "bob", "carol"))
    assert not before & {key.keyid for key in desk.online().card.keys.values()}
    verified = world.fetch()
    assert (verified.threshold, len(verified.signed_by)) == (3, 3)
    world.later(hours=20)
    world.rehearsal.refresh_timestamp()
    world.fetch()
    with pytest.raises(VerifyError, match="root 1 lets 2 signature"):
        world.fetch(min_threshold=3)
    desk.trusted_root.write_bytes((world.published / "metadata" / "2.root.json").read_bytes())
    world.fetch(min_threshold=3, state="pinned anew")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"go": ["nobody"]}, "nobody called"),
        ({"go": ["bob"]}, "would be left"),
        ({"threshold": 5}, "would be left"),
    ],
)
def test_keys_that_cannot_be_are_refused(world: World, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(rotate.RotateError, match=reason):
        rotate.rotate(world.rehearsal.desk, now=world.now, author="a", **options)


def test_a_person_may_not_count_twice_by_two_cards(world: World) -> None:
    desk, alice = world.rehearsal.desk, world.signer("alice").card
    again = Card("Alice again", {role: respelled(key) for role, key in alice.keys.items()})
    with pytest.raises(VerifyError) as refusal:
        rotate.rotate(desk, come=[again], now=world.now, author="alice")
    assert refusal.value.reason == "duplicate-key"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda card, _: card["keys"]["relief"].update(keyid="0" * 64), "card of bob gives the id 000000000000"),
        (lambda card, other: card["keys"].update(relief=other["keys"]["relief"]), "card of bob has a key of alice for"),
        (lambda card, other: card["keys"]["relief"].update(keyval=other["keys"]["root"]["keyval"]), "card of bob"),
        (lambda card, _: card.update(name="mallory"), "card of mallory has a key of bob for"),
    ],
)  # fmt: skip
def test_a_card_whose_ids_or_holder_do_not_fit_its_keys_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None], refusal: str
) -> None:
    """The desk took such a card without a word, under an id that nobody had compared."""
    made = (Keyring.create(tmp_path / name, name, None) for name in ("bob", "alice"))
    bob, alice = (json.loads(keyring.card.to_bytes()) for keyring in made)
    change(bob, alice)
    with pytest.raises(KeyFileError, match=refusal):
        Card.from_bytes(json.dumps(bob).encode())


def test_a_key_under_an_id_that_is_not_its_own_is_signed_by_nobody(world: World) -> None:
    dora = Keyring.create(world.folder / "dora", "dora", PASSPHRASE).card
    request = rotate.rotate(world.rehearsal.desk, come=[dora], now=world.now, author="alice")
    assert request.root is not None
    root = request.root.signed
    (own,) = (keyid for keyid in root.roles["root"].keyids if root.keys[keyid].to_dict() == dora.keys["root"].to_dict())
    root.keys["0" * 64] = type(dora.keys["root"]).from_dict("0" * 64, root.keys.pop(own).to_dict())
    root.roles["root"].keyids = ["0" * 64 if keyid == own else keyid for keyid in root.roles["root"].keyids]
    with pytest.raises(ReviewError, match="the key of dora that comes for root stands under the id 0000000000000000"):
        world.rehearsal.review(request, world.signer("alice"))


# -- the desk's folder -------------------------------------------------------------------------------------------------


def test_a_desk_that_is_none_or_damaged_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(DeskError, match="is no desk"):
        Desk.open(tmp_path / "none")
    with pytest.raises(DeskError, match="is a desk already"):
        Desk.create(world.rehearsal.desk.folder, world.rehearsal.desk.issuer)
    with pytest.raises(propose.ProposeError, match="set up already"):
        propose.setup(world.rehearsal.desk, [], now=world.now)
    (world.published / "metadata" / "timestamp.json").write_bytes(b"x")
    with pytest.raises(DeskError, match="damaged"):
        world.rehearsal.desk.current()


def test_a_signer_needs_no_more_of_the_desk_than_what_is_published(world: World) -> None:
    where = Directory([world.published], Deadline(5))
    alice = world.signer("alice").folder / "known"
    roles = verify.roles(where, alice / "root.json", world.folder / "fresh", now=world.now)
    assert roles.root.version == 1
    assert roles.relief is not None


def test_a_key_id_is_the_hash_of_the_key_with_its_holder_s_name_which_is_in_nfc(tmp_path: Path) -> None:
    """TUF 1.0.34, 4.2; and clients whose canonical form normalises texts sign and check the same octets as ours."""
    world = World(tmp_path, names=("Ame\u0301lie", "bob"))
    current = world.current()
    for keys in (current.root.signed.keys, current.targets.signed.delegations.keys):
        for keyid, key in keys.items():
            canonical = json.dumps(key.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            canonical = canonical.replace("\\n", "\n")  # OLPC's canonical JSON escapes quotes and backslashes alone
            assert keyid == hashlib.sha256(canonical.encode()).hexdigest()
    assert set(world.fetch().holders.values()) == {"Am\u00e9lie", "bob"}
    assert not [path for path in current.targets.signed.targets if "/" in path]
