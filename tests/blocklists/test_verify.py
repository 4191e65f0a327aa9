"""The verifying client: what it takes, what it keeps, and every attack that the design names."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import DelegatedRole, Delegations, Root, TargetFile, Targets

from blocklists import delta, document, verify
from blocklists.errors import VerifyError
from blocklists.head import MAX_JUMP, MAX_RELIEF, Head, Relief, Suspension
from blocklists.issuer import propose, publish, rotate, withdraw
from blocklists.issuer.keys import Card, Keyring
from blocklists.issuer.rehearsal import PASSPHRASE
from blocklists.issuer.restore import restore
from blocklists.issuer.sign import sign
from tests.rigs.issuer_world import BASIS, LIST, NAMES, NOW, World, compressed, make_entry, respelled
from tests.rigs.limits import no_descriptor_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blocklists.verify import Verified


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refused(reason: str, world: World, **options: Any) -> VerifyError:
    """The refusal, which must have this reason and leave what was verified before as it was."""
    before = {path: path.read_bytes() for path in (world.folder / "provider" / "verified").glob("[!.]*")}
    with pytest.raises(VerifyError) as refusal:
        world.fetch(**options)
    assert refusal.value.reason == reason, refusal.value
    after = {path: path.read_bytes() for path in (world.folder / "provider" / "verified").glob("[!.]*")}
    assert after == before
    return refusal.value


# -- what it takes -----------------------------------------------------------------------------------------------------


def test_a_list_is_taken_with_who_signed_it(world: World) -> None:
    verified = world.fetch()
    assert world.listed(verified) == set(NAMES)
    assert verified.head.version == 1
    assert (len(verified.signed_by), verified.threshold) == (2, 2)
    assert verified.versions == (1, 2, 2, 2)
    assert verified.timestamp_expires == world.now + timedelta(days=1)
    assert verified.changed
    assert not world.fetch().changed


def test_what_was_verified_is_there_again_after_a_restart(world: World) -> None:
    state = world.folder / "provider"
    assert verify.stored(state) is None
    verified = world.fetch()
    assert verify.stored(state) == replace(verified, changed=False)


def test_what_was_verified_and_then_damaged_on_disk_is_noticed_and_fetched_anew(world: World) -> None:
    verified = world.fetch()
    verified.lines.write_bytes(b"x" + verified.lines.read_bytes())
    with pytest.raises(VerifyError, match="damaged") as refusal:
        verify.stored(world.folder / "provider")
    assert refusal.value.reason == "storage"
    assert str(refusal.value).count(str(verified.lines)) == 1
    with pytest.raises(VerifyError, match="is gone"):
        verify.stored(world.folder / "provider")
    assert world.listed(world.fetch()) == set(NAMES)


def test_a_document_that_cannot_be_read_for_now_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = world.fetch()
    check_state = document.check_state

    def without_a_descriptor(*args: Any, **options: Any) -> None:
        with no_descriptor_left():
            check_state(*args, **options)

    monkeypatch.setattr(document, "check_state", without_a_descriptor)
    with pytest.raises(VerifyError, match="Too many open files") as refusal:
        verify.stored(world.folder / "provider")
    assert refusal.value.reason == "storage"
    monkeypatch.undo()
    assert verify.stored(world.folder / "provider") == replace(verified, changed=False)


def suspended(world: World, name: str) -> Verified:
    """One person suspends an entry; what the provider then verifies."""
    desk = world.rehearsal.desk
    request = withdraw.suspend(desk, LIST, [name], reason="a slip", now=world.now, author="alice")
    world.rehearsal.publish(request)
    return world.fetch()


def cut(world: World, *files: str) -> None:
    """Files that were verified are cut short on the disk."""
    for file in files:
        path = world.folder / "provider" / "verified" / file
        path.write_bytes(path.read_bytes()[:10])


FILES = ("about.json", "head.json", "relief.json")


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_damaged_on_disk_keeps_no_withdrawal_out(world: World, file: str) -> None:
    before = suspended(world, "dice.example")
    cut(world, file)
    assert verify.stored(world.folder / "provider") == replace(before, changed=False)
    verified = suspended(world, "poker.example")
    assert verified.relief is not None
    assert len(verified.relief.suspended) == 2
    assert Relief.from_bytes((world.folder / "provider" / "verified" / "relief.json").read_bytes()) == verified.relief


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_damaged_on_disk_lets_no_older_list_and_no_older_relief_in(world: World, file: str) -> None:
    suspended(world, "dice.example")
    world.rehearsal.change(LIST, add=["new.example"])
    verified = suspended(world, "poker.example")
    assert verified.relief is not None
    cut(world, file)
    older = Relief(LIST, verified.relief.version - 1).to_bytes()
    path = f"{LIST}.relief.json"

    def lift(role: Targets) -> None:
        role.targets = {path: TargetFile.from_data(path, older, ["sha256"])}

    world.forge(relief=lift, files={path: older}, by=["alice"])
    again = world.fetch()
    assert "after version" in str(again.relief_refused)
    assert again.relief == verified.relief
    republish(world, lambda head: replace(head, version=1))
    cut(world, file)
    refused("rollback", world)


def test_without_what_was_written_about_a_version_it_is_fetched_again(world: World) -> None:
    verified = world.fetch()
    cut(world, "about.json", "about.json.copy")
    with pytest.raises(VerifyError, match="damaged") as refusal:
        verify.stored(world.folder / "provider")
    assert refusal.value.hint == "the next refresh fetches it again"
    world.fetch()
    assert verify.stored(world.folder / "provider") == replace(verified, changed=False)


@pytest.mark.parametrize("file", ["head.json", "relief.json"])
def test_where_no_file_says_any_more_what_was_seen_the_list_is_refused(world: World, file: str) -> None:
    suspended(world, "dice.example")
    cut(world, file, f"{file}.copy")
    refusal = refused("storage", world)
    assert refusal.hint == "restore it from a backup; docs/alarms.md says what to do without one"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "relief", "root"])
def test_a_role_that_is_damaged_on_disk_keeps_no_withdrawal_out(world: World, role: str) -> None:
    world.fetch()
    path = world.folder / "provider" / "tuf" / f"{role}.json"
    if path.exists():
        path.resolve().write_bytes(path.read_bytes()[:10])
    verified = suspended(world, "poker.example")
    assert verified.relief is not None
    assert len(verified.relief.suspended) == 1


def test_the_next_version_comes_as_a_step_and_the_full_file_is_not_asked_for(world: World) -> None:
    world.fetch()
    world.rehearsal.change(LIST, add=["new.example"], remove=["dice.example"])
    for path in world.published.glob("targets/*.full-2.zst"):
        path.unlink()
    verified = world.fetch()
    assert verified.head.version == 2
    assert world.listed(verified) == {*NAMES, "new.example"} - {"dice.example"}


def test_who_missed_a_version_gets_the_full_file(world: World) -> None:
    world.fetch()
    for number in range(3):
        world.rehearsal.change(LIST, add=[f"new{number}.example"])
    assert world.fetch().head.version == 4


def test_two_lists_lie_in_one_repository_and_do_not_touch_each_other(world: World) -> None:
    world.rehearsal.add_basis("malware", "order-1", BASIS)
    world.rehearsal.change("malware", add=["evil.example"], basis="order-1", category="malware")
    options: dict[str, Any] = {"deadline": 20.0, "now": world.now}
    root, published = world.rehearsal.desk.trusted_root, str(world.published)
    malware = verify.refresh(published, root, world.folder / "m", "malware", **options)
    assert world.listed(malware) == {"evil.example"}
    assert world.listed(world.fetch()) == set(NAMES)
    with pytest.raises(VerifyError, match="has no list 'phishing'") as refusal:
        verify.refresh(published, root, world.folder / "p", "phishing", **options)
    assert refusal.value.reason == "missing"
    assert refusal.value.hint == "it has: gambling, malware"


def test_a_suspension_arrives_and_stays_whatever_one_person_says_later(world: World) -> None:
    world.fetch()
    request = withdraw.suspend(
        world.rehearsal.desk, LIST, ["dice.example"], reason="wrong folder", now=world.now, author="alice"
    )
    world.rehearsal.publish(request)
    verified = world.fetch()
    (entry,) = (entry for entry in world.entries(verified) if entry.name == "dice.example")
    assert verified.relief is not None
    assert list(verified.relief.suspended) == [entry.reference]
    empty = Relief(LIST, verified.relief.version + 1).to_bytes()

    def lift(role: Targets) -> None:
        role.targets = {f"{LIST}.relief.json": TargetFile.from_data(f"{LIST}.relief.json", empty, ["sha256"])}

    world.forge(relief=lift, files={f"{LIST}.relief.json": empty}, by=["alice"])
    again = world.fetch()
    assert again.relief is not None
    assert list(again.relief.suspended) == [entry.reference]


# -- signatures and keys -----------------------------------------------------------------------------------------------


def nothing(_: Any) -> None:
    """Change nothing: only another version, signed by others."""


@pytest.mark.parametrize("by", [["alice"], ["bob"], []])
def test_one_signature_short_is_refused(world: World, by: list[str]) -> None:
    world.fetch()
    world.forge(targets=nothing, by=by)
    refused("signature-threshold", world)


def test_one_person_who_signs_twice_is_one_signature(world: World) -> None:
    world.fetch()
    world.forge(targets=nothing, by=["alice", "alice"])
    refused("signature-threshold", world)


@pytest.mark.parametrize("role", ["root", "targets"])
def test_the_same_key_under_two_key_ids_is_refused(world: World, role: str) -> None:
    world.fetch()

    def double(root: Root) -> None:
        first = root.keys[root.roles[role].keyids[0]]
        root.revoke_key(root.roles[role].keyids[1], role)
        root.add_key(respelled(first), role)

    alice = world.signer("alice")
    again = Keyring(alice.folder, Card("alice again", {role: respelled(alice.card.keys[role])}))
    by = ["alice", "bob", "again"] if role == "root" else ["alice", "bob"]
    world.forge(root=double, by=by, keys={"again": again})
    assert "one key under two key ids" in str(refused("duplicate-key", world))


@pytest.mark.parametrize("role", ["root", "targets"])
def test_a_threshold_below_what_the_provider_asks_for_is_refused(world: World, role: str) -> None:
    world.fetch()

    def lower(root: Root) -> None:
        root.roles[role].threshold = 1

    world.forge(root=lower)
    refused("threshold-too-low", world)


def test_a_pinned_root_is_held_to_the_same_rules(world: World) -> None:
    refused("threshold-too-low", world, min_threshold=3)


@pytest.mark.parametrize("online", ["snapshot", "timestamp"])
def test_an_offline_key_that_is_also_used_online_is_refused(world: World, online: str) -> None:
    world.fetch()

    def mix(root: Root) -> None:
        root.add_key(root.keys[root.roles["targets"].keyids[0]], online)

    world.forge(root=mix)
    refused("key-reuse", world)


def test_a_relief_key_that_is_also_a_list_key_is_refused(world: World) -> None:
    world.fetch()
    root = world.current().root.signed

    def mix(targets: Targets) -> None:
        key = root.keys[root.roles["targets"].keyids[0]]
        role = DelegatedRole("relief", [key.keyid], 1, terminating=True, paths=["*.relief.json"])
        targets.delegations = Delegations({key.keyid: key}, {"relief": role})

    world.forge(targets=mix)
    refused("key-reuse", world)


def test_a_type_of_key_that_nobody_checked_is_refused(world: World) -> None:
    world.fetch()

    def odd(root: Root) -> None:
        root.add_key(SSlibKey("e" * 64, "rsa", "rsassa-pss-sha256", {"public": "x"}), "targets")

    world.forge(root=odd)
    refused("key-type", world)


def test_a_key_that_was_revoked_signs_nothing_any_more(tmp_path: Path) -> None:
    world = World(tmp_path, names=("alice", "bob", "carol"))
    world.fetch()
    desk = world.rehearsal.desk
    request = rotate.rotate(desk, go=["bob"], now=world.now, author="alice")
    remaining = [signer for signer in world.rehearsal.signers if signer.card.name != "bob"]
    copies = [sign(world.rehearsal.review(request, signer), signer, lambda _: PASSPHRASE) for signer in remaining]
    publish.publish(desk, copies, lambda _: None, now=world.now)
    assert world.fetch().versions[0] == 2
    world.forge(targets=nothing, by=["alice", "bob"])
    refused("signature-threshold", world)
    # nor where the mirror withholds the root that revoked it: what was seen of roots is kept
    (world.published / "metadata" / "2.root.json").unlink()
    refused("signature-threshold", world)


@pytest.mark.parametrize("by", [["alice"], ["mallory", "trent"], ["alice", "mallory"]])
def test_a_root_that_the_old_signers_did_not_sign_is_refused(world: World, by: list[str]) -> None:
    world.fetch()
    strangers = {name: Keyring.create(world.folder / name, name, PASSPHRASE) for name in ("mallory", "trent")}

    def take_over(root: Root) -> None:
        for role in ("root", "targets"):
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            for stranger in strangers.values():
                root.add_key(stranger.card.keys[role], role)

    world.forge(root=take_over, by=by, keys=strangers)
    refused("signature-threshold", world)


def test_a_root_signed_by_the_old_but_not_by_the_new_signers_is_refused(world: World) -> None:
    world.fetch()
    strangers = {name: Keyring.create(world.folder / name, name, PASSPHRASE) for name in ("mallory", "trent")}

    def hand_over(root: Root) -> None:
        for keyid in list(root.roles["root"].keyids):
            root.revoke_key(keyid, "root")
        for stranger in strangers.values():
            root.add_key(stranger.card.keys["root"], "root")

    world.forge(root=hand_over, by=["alice", "bob"], keys=strangers)
    refused("signature-threshold", world)


def test_a_root_that_skips_a_version_is_refused(world: World) -> None:
    world.fetch()

    def skip(root: Root) -> None:
        root.version += 1

    world.forge(root=skip)
    metadata = world.published / "metadata"
    (metadata / "3.root.json").rename(metadata / "2.root.json")
    refused("rollback", world)


# -- older, frozen, mixed ----------------------------------------------------------------------------------------------


def snapshot_of(folder: Path, goal: Path) -> Path:
    shutil.copytree(folder, goal)
    return goal


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_an_older_version_of_a_role_is_refused(world: World, role: str) -> None:
    old = snapshot_of(world.published, world.folder / "old")
    world.rehearsal.change(LIST, add=["new.example"])
    world.fetch()
    current = world.current()
    if role == "timestamp":
        shutil.copy(old / "metadata" / "timestamp.json", world.published / "metadata" / "timestamp.json")
    elif role == "snapshot":
        world.seal(current.snapshot.signed.meta)
        signed = world.current().timestamp
        signed.signed.snapshot_meta.version = 1
        signed.signed.snapshot_meta.hashes = signed.signed.snapshot_meta.length = None
        signed.sign(world.rehearsal.desk.online().signer("timestamp", lambda _: None))
        (world.published / "metadata" / "timestamp.json").write_bytes(signed.to_bytes())
    else:
        meta = dict(current.snapshot.signed.meta)
        meta["targets.json"].version = 2
        meta["targets.json"].hashes = meta["targets.json"].length = None
        world.seal(meta)
    refused("rollback", world)


def republish(world: World, change: Callable[[Head], Head], lines: list[bytes] | None = None) -> None:
    """The two signers themselves sign another head (and document)."""
    head = world.rehearsal.desk.head(LIST)
    assert head is not None
    full = world.rehearsal.desk.document(head).read_bytes()
    if lines is not None:
        summary, full = compressed(lines, world.folder)
        head = replace(head, entries=summary.entries, full_size=summary.size, state=summary.state)
    head = change(replace(head, delta=None))
    head = replace(head, full_path=f"{LIST}.full-{head.version}.zst")
    world.forge_list({f"{LIST}.head.json": head.to_bytes(), head.full_path: full})


def test_a_lower_version_of_the_head_is_refused_though_it_is_signed(world: World) -> None:
    world.rehearsal.change(LIST, add=["new.example"])
    world.fetch()
    republish(world, lambda head: replace(head, version=1))
    refused("rollback", world)


def test_the_same_version_with_another_content_is_refused(world: World) -> None:
    world.fetch()
    lines = [make_entry("other.example").line()]
    republish(world, lambda head: head, lines)
    assert "another content" in str(refused("rollback", world))


def test_another_document_under_the_signed_name_is_refused(world: World) -> None:
    (path,) = world.published.glob("targets/*.full-1.zst")
    _, other = compressed([make_entry("other.example").line()], world.folder)
    path.write_bytes(other)
    refused("hash-mismatch", world)


@pytest.mark.parametrize("days", [2, 10, 20])
def test_a_mirror_that_stands_still_is_noticed(world: World, days: int) -> None:
    world.fetch()
    world.later(days=days)
    assert refused("expired", world).hint is not None


def test_a_clock_ten_days_ahead_refuses_and_one_ten_days_behind_takes_what_is_signed(world: World) -> None:
    refused("expired", world, now=world.now + timedelta(days=10))
    assert world.listed(world.fetch(now=world.now - timedelta(days=10))) == set(NAMES)


@pytest.mark.parametrize(("role", "days"), [("snapshot", 8), ("targets", 91), ("root", 366)])
def test_each_role_that_expired_is_refused_even_under_a_fresh_timestamp(world: World, role: str, days: int) -> None:
    world.fetch()
    if role == "snapshot":
        timestamp = world.current().timestamp
        timestamp.signed.version += 1
        timestamp.signed.expires = world.now + timedelta(days=30)
        timestamp.sign(world.rehearsal.desk.online().signer("timestamp", lambda _: None))
        (world.published / "metadata" / "timestamp.json").write_bytes(timestamp.to_bytes())
        world.later(days=days)
    else:
        world.later(days=days)
        world.seal(world.current().snapshot.signed.meta)
    assert role in str(refused("expired", world))


def test_versions_that_were_never_published_together_are_refused(world: World) -> None:
    old = snapshot_of(world.published, world.folder / "old")
    world.rehearsal.change(LIST, add=["new.example"])
    shutil.copy(old / "metadata" / "2.targets.json", world.published / "metadata" / "3.targets.json")
    refused("hash-mismatch", world)


def test_a_mirror_that_serves_another_list_to_one_provider_is_refused(world: World) -> None:
    other = World(world.folder / "other")
    other.rehearsal.change(LIST, add=["aimed-at-you.example"])
    world.fetch()
    with pytest.raises(VerifyError) as refusal:
        world.fetch(str(other.published))
    assert refusal.value.reason == "signature-threshold"


# -- documents ---------------------------------------------------------------------------------------------------------


def test_a_head_that_announces_another_state_than_the_document_has_is_refused(world: World) -> None:
    world.fetch()
    republish(world, lambda head: replace(head, version=2, state="sha256:" + "0" * 64))
    refused("state-hash", world)


def test_a_bomb_is_refused_within_the_announced_size(world: World) -> None:
    world.fetch()
    lines = [make_entry("bomb.example").line()] * 200_000
    republish(world, lambda head: replace(head, version=2, full_size=1000), lines)
    refused("too-large", world)


def test_each_entry_is_checked_where_that_is_asked_for_also_of_what_was_there_before(world: World) -> None:
    assert world.fetch(every_entry=True).head.version == 1
    assert not world.fetch(every_entry=True).changed
    lines = [
        make_entry(name, f"{at:016d}", basis="order-99").line() for at, name in enumerate(("a.example", "b.example"))
    ]
    republish(world, lambda head: replace(head, version=2), lines)
    assert "order-99" in str(refused("malformed", world, every_entry=True))
    assert world.fetch().head.version == 2
    assert "order-99" in str(refused("malformed", world, every_entry=True))


def test_a_compressed_file_larger_than_its_content_could_be_is_not_fetched(world: World) -> None:
    world.fetch()
    head = world.rehearsal.desk.head(LIST)
    assert head is not None
    head = replace(head, version=2, full_path=f"{LIST}.full-2.zst", delta=None)
    padding = world.rehearsal.desk.document(world.rehearsal.desk.head(LIST) or head).read_bytes() + b"\0" * 100_000
    world.forge_list({f"{LIST}.head.json": head.to_bytes(), head.full_path: padding})
    refused("too-large", world)


def test_a_reference_that_moves_to_another_name_is_refused_in_step_and_in_full(world: World) -> None:
    verified = world.fetch()
    entries = world.entries(verified)
    moved = [replace(entries[0], name="innocent.example"), *entries[1:]]
    republish(world, lambda head: replace(head, version=2), [entry.line() for entry in document.in_order(moved)])
    refused("reference-reuse", world)
    step = [*propose.changes([entries[0].line()], [moved[0]])]
    summary, data = compressed([sign + line for sign, line in step], world.folder)
    head = world.rehearsal.desk.head(LIST)
    assert head is not None
    _, full = compressed([entry.line() for entry in document.in_order(moved)], world.folder)
    from blocklists.head import Delta

    head = replace(head, delta=Delta(f"{LIST}.delta-1-2.zst", summary.size, 1))
    world.forge_list({f"{LIST}.head.json": head.to_bytes(), head.full_path: full, f"{LIST}.delta-1-2.zst": data})
    refused("reference-reuse", world)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_document_that_is_damaged_here_keeps_no_later_version_out(world: World, damage: str) -> None:
    verified = world.fetch()
    octets = verified.lines.read_bytes()
    flipped = octets[:40] + bytes([octets[40] ^ 1]) + octets[41:]
    verified.lines.write_bytes({"cut": octets[:-5], "flipped": flipped, "empty": b""}[damage])
    world.rehearsal.change(LIST, add=["new.example"])
    world.rehearsal.change(LIST, add=["newer.example"])  # so that the step of version 2 is of no use
    desk = world.rehearsal.desk
    slip = withdraw.suspend(desk, LIST, ["dice.example"], reason="a slip", now=world.now, author="alice")
    world.rehearsal.publish(slip)
    with pytest.raises(VerifyError) as refusal:
        world.fetch()
    assert refusal.value.reason == "storage"
    verified = world.fetch()
    assert verified.head.version == 3
    assert verified.relief is not None
    assert len(verified.relief.suspended) == 1


WRONG = {
    "none": [b"no line of a list\n"],
    "end": [make_entry("dice.example").line(), make_entry("poker.example", "1" * 16).line()[:-1]],
    "long": [b"x" * 5000 + b"\n" + b"y" * 300_000 + b"\n"],
    "basis": [make_entry("dice.example").line().replace(b'"basis"', b'"b0sis"')],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_first_version_that_was_wrong_keeps_no_later_version_out_nor_a_withdrawal(world: World, wrong: str) -> None:
    republish(world, lambda head: replace(head, version=2), WRONG[wrong])
    assert world.fetch().head.version == 2
    put_relief(world, Relief(LIST, 1, {f"{at}" * 16: ITEM for at in range(10)}))
    right = [make_entry("dice.example").line(), make_entry("poker.example", "1" * 16).line()]
    republish(world, lambda head: replace(head, version=3, state="sha256:" + "0" * 64), right)
    with pytest.raises(VerifyError) as refusal:
        world.fetch()
    assert refusal.value.reason == "state-hash"
    withdrawn = verify.relief_seen(world.folder / "provider")
    assert withdrawn is not None
    assert {"0" * 16, "1" * 16} <= withdrawn.suspended.keys()
    republish(world, lambda head: replace(head, version=4), right)
    verified = world.fetch()
    assert verified.head.version == 4
    assert verified.relief == Relief(LIST, 1, {"0" * 16: ITEM, "1" * 16: ITEM})


def test_a_wrong_step_is_no_reason_against_the_document(world: World) -> None:
    from blocklists.head import Delta

    verified = world.fetch()
    lines = [entry.line() for entry in world.entries(verified)]
    coming = make_entry("new.example", "A" * 16).line()
    elsewhere = make_entry("elsewhere.example", "A" * 16).line()  # goes by the step, and never was there
    changes = sorted([(b"-", elsewhere), (b"+", coming)], key=lambda change: delta.order(change[1]))
    summary, step = compressed([sign + line for sign, line in changes], world.folder)
    new, full = compressed(sorted([*lines, coming], key=delta.order), world.folder)
    head = replace(
        verified.head, version=2, entries=new.entries, full_size=new.size, state=new.state,
        full_path=f"{LIST}.full-2.zst", delta=Delta(f"{LIST}.delta-1-2.zst", summary.size, 1),
    )  # fmt: skip
    world.forge_list({f"{LIST}.head.json": head.to_bytes(), head.full_path: full, f"{LIST}.delta-1-2.zst": step})
    assert world.fetch().head.version == 2


def test_a_version_that_only_guards_would_refuse_keeps_no_later_one_out(world: World) -> None:
    crowded = [make_entry("a.com", f"{at:016d}", "exact" if at % 2 else "subtree") for at in range(17)]
    many, few = ([entry.line() for entry in document.in_order(entries)] for entries in (crowded, crowded[:9]))
    republish(world, lambda head: replace(head, version=2), many)
    assert world.fetch().head.version == 2
    republish(world, lambda head: replace(head, version=4), few)
    assert world.fetch().head.version == 4


def forged_step(world: World, data: bytes, size: int) -> None:
    """Version 2 with this step beside the honest document."""
    from blocklists.head import Delta

    world.rehearsal.change(LIST, add=["new.example"])
    head = world.rehearsal.desk.head(LIST)
    assert head is not None
    full = world.rehearsal.desk.document(head).read_bytes()
    head = replace(head, version=3, full_path=f"{LIST}.full-3.zst", delta=Delta(f"{LIST}.delta-2-3.zst", size, 2))
    world.fetch()
    files = {f"{LIST}.head.json": head.to_bytes(), head.full_path: full, f"{LIST}.delta-2-3.zst": data}
    world.forge_list(files)


def test_a_step_that_leads_elsewhere_is_left_for_the_full_file(world: World) -> None:
    summary, data = compressed([b"+" + make_entry("elsewhere.example").line()], world.folder)
    forged_step(world, data, summary.size)
    verified = world.fetch()
    assert verified.head.version == 3
    assert world.listed(verified) == {*NAMES, "new.example"}


@pytest.mark.parametrize("more", [0, 1])
def test_a_step_that_is_announced_as_more_than_both_documents_is_not_fetched(world: World, more: int) -> None:
    from blocklists.head import Delta

    verified = world.fetch()
    coming = make_entry("new.example", "A" * 16).line()
    _, step = compressed([b"+" + coming], world.folder)
    new, full = compressed(
        sorted([*(entry.line() for entry in world.entries(verified)), coming], key=delta.order), world.folder
    )
    longest = sum(one.size + one.entries for one in (verified.head.summary(), new))
    head = replace(
        verified.head, version=2, entries=new.entries, full_size=new.size, state=new.state,
        full_path=f"{LIST}.full-2.zst", delta=Delta(f"{LIST}.delta-1-2.zst", longest + more, 1),
    )  # fmt: skip
    world.forge_list({f"{LIST}.head.json": head.to_bytes(), head.full_path: full, f"{LIST}.delta-1-2.zst": step})
    for path in world.published.glob("targets/*.full-2.zst"):
        path.unlink()
    if more:
        with pytest.raises(VerifyError):
            world.fetch()
    else:
        assert world.fetch().head.version == 2


@pytest.mark.parametrize(
    "kind", ["bomb", "garbage", "no sign", "takes what is not there", "takes more than is there", "too large"]
)
def test_a_step_that_is_none_is_left_for_the_full_file(world: World, kind: str) -> None:
    line = make_entry("elsewhere.example").line()
    summary, data = compressed([b"+" + line] * (50_000 if kind == "bomb" else 1), world.folder)
    size = 300 if kind == "bomb" else summary.size
    if kind == "garbage":
        data = os.urandom(100)
    elif kind == "no sign":
        _, data = compressed([b" " + line], world.folder)
    elif kind == "takes what is not there":
        _, data = compressed([b"-" + line], world.folder)
    elif kind == "takes more than is there":
        summary, data = compressed([b"-" + line] * 5, world.folder)
        size = summary.size
    elif kind == "too large":
        data, size = data + b"\0" * 100_000, 10
    forged_step(world, data, size)
    assert world.listed(world.fetch()) == {*NAMES, "new.example"}


def test_a_missing_document_is_said_by_name(world: World) -> None:
    for path in world.published.glob("targets/*.full-1.zst"):
        path.unlink()
    assert "full-1.zst" in str(refused("missing", world))


def files_of(world: World) -> list[Path]:
    return sorted(path for path in world.published.rglob("*") if path.is_file())


@pytest.mark.parametrize("at", range(0, 100, 9))
def test_no_damaged_octet_of_any_file_ever_changes_what_is_taken(world: World, at: int) -> None:
    honest = world.fetch(state="honest")
    for path in files_of(world):
        data = path.read_bytes()
        here = at * len(data) // 100
        for number, damaged in enumerate((data[:here], data[:here] + bytes([data[here] ^ 0x20]) + data[here + 1 :])):
            path.write_bytes(damaged)
            try:
                verified = world.fetch(state=f"{path.name}-{number}")
                assert verified.head == honest.head
                assert world.entries(verified) == world.entries(honest)
            except VerifyError as refusal:
                assert refusal.reason in {  # noqa: PT017 - either outcome is right, depending on the file
                    "malformed", "signature-threshold", "hash-mismatch", "rollback", "expired", "missing", "too-large",
                }, refusal  # fmt: skip
        path.write_bytes(data)


# -- relief ------------------------------------------------------------------------------------------------------------


def test_a_relief_role_that_names_a_list_s_files_changes_nothing(world: World) -> None:
    world.fetch()
    summary, full = compressed([make_entry("added.example").line()], world.folder)
    head = world.rehearsal.desk.head(LIST)
    assert head is not None
    head = replace(
        head,
        version=9,
        entries=1,
        state=summary.state,
        full_size=summary.size,
        full_path=f"{LIST}.full-9.zst",
        delta=None,
    )
    files = {f"{LIST}.head.json": head.to_bytes(), head.full_path: full}

    def add(role: Targets) -> None:
        role.targets = {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()}

    world.forge(relief=add, files=files, by=["alice"])
    assert world.listed(world.fetch()) == set(NAMES)


def test_a_relief_with_words_that_could_add_is_refused(world: World) -> None:
    world.fetch()
    path = f"{LIST}.relief.json"
    data = b'{"added":["x.example"],"decisions":[],"format":1,"list":"gambling","suspended":{},"version":1}\n'

    def add(role: Targets) -> None:
        role.targets = {path: TargetFile.from_data(path, data, ["sha256"])}

    world.forge(relief=add, files={path: data}, by=["alice"])
    assert "unknown key 'added'" in (world.fetch().relief_refused or "")


def test_a_suspension_arrives_though_the_version_beside_it_is_refused(world: World) -> None:
    world.fetch()
    request = withdraw.suspend(world.rehearsal.desk, LIST, ["dice.example"], reason="x", now=world.now, author="bob")
    world.rehearsal.publish(request)
    republish(world, lambda head: replace(head, version=2, state="sha256:" + "0" * 64))
    with pytest.raises(VerifyError) as refusal:
        world.fetch()
    assert refusal.value.reason == "state-hash"
    stored = verify.stored(world.folder / "provider")
    assert stored is not None
    assert stored.relief is not None
    assert (stored.head.version, len(stored.relief.suspended)) == (1, 1)


def put_relief(world: World, relief: Relief | bytes, *, by: str = "bob", role: int | None = None, **more: Any) -> None:
    """Publish a relief as one who has a key for it and the desk's own keys."""
    path, data = f"{LIST}.relief.json", relief if isinstance(relief, bytes) else relief.to_bytes()

    def change(signed: Targets) -> None:
        signed.targets = {path: TargetFile.from_data(path, data, ["sha256"])}
        signed.version = role or signed.version
        for key, value in more.items():
            setattr(signed, key, value)

    world.forge(relief=change, files={path: data}, by=[by])


def reference_of(world: World, name: str) -> str:
    (reference,) = withdraw.find(world.rehearsal.desk, LIST, [name])
    return reference


ITEM = Suspension("2026-11-22T12:00:00Z", "x")


@pytest.mark.parametrize(
    ("relief", "more", "reason"),
    [
        (Relief(LIST, 1), {}, "version 1 after version 2"),
        (Relief(LIST, 9007199254740992), {}, "leaves too few"),
        (Relief("malware", 3), {}, "relief of 'malware'"),
        (b"{}", {}, "no decisions"),
        (b"[" * 100_000, {}, "not JSON"),
        (Relief(LIST, 3).to_bytes() + b" " * MAX_RELIEF, {}, "no more than"),
        (Relief(LIST, 3), {"expires": NOW - timedelta(days=1)}, "expired"),
        (Relief(LIST, 3), {"delegations": Delegations(keys={}, roles={})}, "delegates to others"),
    ],
    ids=["older", "counted up", "another list's", "no relief", "deep", "too large", "expired", "delegates"],
)
def test_a_relief_that_cannot_be_applied_leaves_the_list_and_the_earlier_relief_as_they_were(
    world: World, relief: Relief | bytes, more: dict[str, Any], reason: str
) -> None:
    dice = reference_of(world, "dice.example")
    put_relief(world, Relief(LIST, 2, {dice: ITEM}))
    assert world.fetch().relief_refused is None
    put_relief(world, relief, **more)
    world.forge(targets=lambda role: None)
    verified = world.fetch()
    assert reason in (verified.relief_refused or "")
    assert verified.relief == Relief(LIST, 2, {dice: ITEM})
    assert verified.versions[3] == 3, "the list goes on"
    stored = verify.stored(world.folder / "provider")
    assert stored is not None
    assert stored.relief_refused == verified.relief_refused
    put_relief(world, Relief(LIST, 3, {dice: ITEM}), expires=NOW + timedelta(days=9), delegations=None)
    after = world.fetch()
    assert (after.relief_refused, after.relief) == (None, Relief(LIST, 3, {dice: ITEM}))


def test_a_relief_suspends_entries_alone_however_much_is_signed(world: World) -> None:
    """Two of them, each as large as a relief may be: what is kept stays as small as the list is."""
    dice = reference_of(world, "dice.example")
    for version in (1, 2):
        long = Suspension(ITEM.since, 2000 * "x")
        many = {f"{number:016}": long for number in range(version * 15_000, version * 15_000 + 15_000)}
        put_relief(world, Relief(LIST, version, {dice: ITEM, **many}))
        verified = world.fetch()
        assert verified.relief is not None
        assert list(verified.relief.suspended) == [dice]
    assert (world.folder / "provider" / "verified" / "relief.json").stat().st_size < 1000
    world.rehearsal.change(LIST, remove=["dice.example"])
    assert world.fetch().relief == Relief(LIST, 2)


def test_who_signed_a_withdrawal_is_known_to_those_who_saw_it_come(world: World) -> None:
    dice, slots = (reference_of(world, f"{name}.example") for name in ("dice", "slots"))
    key = {name: world.signer(name).card.keys["relief"].keyid[:16] for name in ("alice", "bob")}
    world.fetch()
    put_relief(world, Relief(LIST, 1, {dice: ITEM}), by="bob")
    assert world.fetch().relieved_by == {dice: f"bob (key {key['bob']})"}
    put_relief(world, Relief(LIST, 2, {dice: ITEM, slots: ITEM}), by="alice")
    for _ in range(2):
        assert world.fetch().relieved_by == {dice: f"bob (key {key['bob']})", slots: f"alice (key {key['alice']})"}
    assert verify.relieved_by(world.folder / "provider") == world.fetch().relieved_by
    assert world.fetch(state="late").relieved_by == {}, "who signed version 1 is not known here"
    (world.folder / "provider" / "verified" / "relieved_by.json").write_text("[7]")
    assert world.fetch().relieved_by == {}


@pytest.mark.parametrize("behind", [False, True], ids=["at the desk", "on a web host that the desk is behind"])
def test_a_relief_that_somebody_counted_up_starts_again_when_their_key_leaves(tmp_path: Path, behind: bool) -> None:
    """A stolen key and the desk's own: the signers take both away, and nothing has to be pinned again. Where that
    happened on the web host alone, the desk begins with what the host has."""
    world = World(tmp_path, names=("alice", "bob", "carol"))
    desk, dice = world.rehearsal.desk, reference_of(world, "dice.example")
    put_relief(world, Relief(LIST, 1, {dice: ITEM}))
    world.fetch()
    put_relief(world, Relief(LIST, MAX_JUMP + 1, {}), by="bob", role=1 << 60)
    assert world.fetch().relief_refused is None
    put_relief(world, Relief(LIST, 2 * MAX_JUMP + 1, {}), by="bob")
    assert world.fetch().relief_refused is None
    many = {f"{number:016}": ITEM for number in range(2_000)}
    put_relief(world, Relief(LIST, 2 * MAX_JUMP + 2, {dice: ITEM, **many}), by="bob")
    assert world.fetch().relief_refused is None
    if behind:
        desk = restore(tmp_path / "again", world.published, desk.trusted_root, now=world.now)
        world.rehearsal = replace(world.rehearsal, desk=desk)
    request = rotate.rotate(desk, go=["bob"], online=True, now=world.now, author="alice")
    alice, carol = world.signer("alice"), world.signer("carol")
    signed = [sign(world.rehearsal.review(request, one), one, lambda _: PASSPHRASE) for one in (alice, carol)]
    publish.publish(desk, signed, lambda _: None, now=world.now)
    for _ in range(2):
        assert world.fetch().relief_refused is None, "providers refresh before anybody signs another relief"
    request = withdraw.suspend(desk, LIST, ["slots.example"], reason="x", now=world.now, author="alice")
    signed = [sign(world.rehearsal.review(request, alice), alice, lambda _: PASSPHRASE)]
    publish.publish(desk, signed, lambda _: None, now=world.now)
    verified = world.fetch()
    assert verified.relief_refused is None
    assert verified.relief is not None
    assert verified.relief.version == 1
    assert set(verified.relief.suspended) == {dice, reference_of(world, "slots.example")}, "what was off stays off"
    current = world.current()
    assert current.relief.signed.version < 10


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda relief: replace(relief, version=7), "makes version 7"),
        (lambda relief: replace(relief, suspended={"0" * 16: ITEM}), "no entry of gambling"),
    ],
)
def test_the_desk_publishes_no_relief_that_goes_beyond_its_step(
    world: World, change: Callable[[Relief], Relief], reason: str
) -> None:
    desk, bob = world.rehearsal.desk, world.signer("bob")
    request = withdraw.suspend(desk, LIST, ["dice.example"], reason="x", now=world.now, author="bob")
    assert request.relief is not None
    assert request.relief_list is not None
    data = change(Relief.from_bytes(request.relief_list)).to_bytes()
    request.relief.signed.targets = {
        f"{LIST}.relief.json": TargetFile.from_data(f"{LIST}.relief.json", data, ["sha256"])
    }
    request.relief.sign(bob.signer("relief", lambda _: PASSPHRASE))
    with pytest.raises(withdraw.WithdrawError, match=reason):
        publish.publish(desk, [replace(request, relief_list=data)], lambda _: None, now=world.now)


def test_the_head_of_another_list_is_refused(world: World) -> None:
    head = world.rehearsal.desk.head(LIST)
    assert head is not None
    other = replace(head, list="malware", full_path="malware.full-1.zst")
    world.forge_list({f"{LIST}.head.json": other.to_bytes()})
    refused("wrong-list", world)


# -- the state on this machine -----------------------------------------------------------------------------------------


def test_a_root_that_is_not_there_is_this_machine_s_own_trouble(world: World) -> None:
    with pytest.raises(VerifyError) as refusal:
        verify.refresh(
            str(world.published), world.folder / "none.json", world.folder / "s", LIST, deadline=5, now=world.now
        )
    assert refusal.value.reason == "storage"


def test_a_crash_before_the_head_is_written_leaves_the_version_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fetch()
    world.rehearsal.change(LIST, add=["new.example"])

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "_keep", crash)
    with pytest.raises(KeyboardInterrupt):
        world.fetch()
    monkeypatch.undo()
    stored = verify.stored(world.folder / "provider")
    assert stored is not None
    assert stored.head.version == 1
    assert world.fetch().head.version == 2


def test_the_steps_of_the_real_difference_are_what_the_ledger_kept(world: World) -> None:
    before = world.entries(world.fetch())
    world.rehearsal.change(LIST, add=["new.example"], remove=["dice.example"])
    after = world.entries(world.fetch())
    lines = ([entry.line() for entry in before], [entry.line() for entry in after])
    kept = list(delta.read(world.rehearsal.desk.folder / "ledger" / LIST / "2.zst", size=1 << 20))
    assert kept == list(delta.difference(*lines))
