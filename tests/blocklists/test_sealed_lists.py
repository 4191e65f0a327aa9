"""A sealed list from the desk to a provider's disk: what is opened, what is refused, and where no name stands."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import zstandard
from click.testing import CliRunner

from blocklists import bundle, delta, verify
from blocklists.errors import VerifyError
from blocklists.issuer import appeals, history, names, propose, renew, sealing, vault, withdraw
from blocklists.issuer.publish import PublishError, publish
from blocklists.issuer.reader import reader_key
from blocklists.issuer.rehearsal import PASSPHRASE
from blocklists.issuer.restore import restore
from blocklists.issuer.review import ReviewError
from blocklists.issuer.sign import sign
from resolver.cli.main import stopsign
from tests.rigs.appeal_bundle import APPEAL, SENDER
from tests.rigs.issuer_world import BASIS
from tests.rigs.sealed_world import LIST, NAMES, SECRET, SealedWorld, cheap, lines_of

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.issuer.request import Request

TERMS = propose.Terms("order-17", "abuse", "2026-11-22T12:00:00Z", "2027-11-22T12:00:00Z")
"""Of what is proposed by hand."""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> SealedWorld:
    with pytest.MonkeyPatch.context() as patch:
        cheap(patch)
        return SealedWorld(tmp_path_factory.mktemp("first") / "world")


@pytest.fixture
def world(first: SealedWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealedWorld:
    cheap(monkeypatch)
    return first.copied(tmp_path / "world")


def test_a_subscriber_opens_the_list_and_enforces_each_name(world: SealedWorld) -> None:
    verified = world.fetch()
    assert verified.head.entries == len(NAMES)
    assert world.listed(verified) == set(NAMES)
    assert not world.fetch().changed


def test_a_step_and_a_new_subscriber_come_with_the_next_version(world: SealedWorld) -> None:
    world.fetch()
    world.subscribe("south")
    assert world.listed(world.fetch()) == set(NAMES)
    with pytest.raises(VerifyError) as refusal:
        world.fetch(state="at-south")
    assert refusal.value.reason == "not-a-recipient"
    world.rehearsal.change(LIST, add=["planted-new.example"], remove=[NAMES[0]], basis="order-17", category="abuse")
    head = world.head
    assert head.delta is not None
    _lose(world, head.full_path)  # the step leads there alone
    assert world.listed(world.fetch()) == {*NAMES[1:], "planted-new.example"}
    with pytest.raises(VerifyError, match="no such file"):
        world.fetch(state="at-south")


def test_a_subscriber_removed_cannot_open_the_next_version_or_compare_with_it(world: SealedWorld) -> None:
    world.subscribe("south")
    world.version()
    before = world.fetch(state="at-south")
    assert world.listed(before, "south") == set(NAMES)
    lines = lines_of(before)
    old = {line[line.index(b'"digest"') :][:45] for line in lines}
    sealing.unsubscribe(world.desk, LIST, "south")
    world.version()
    with pytest.raises(VerifyError) as refusal:
        world.fetch(state="at-south")
    assert refusal.value.reason == "not-a-recipient"
    assert world.fetch(state="at-south", opener=verify.head_alone).head.version == 3
    after = world.fetch()
    assert after.head.seal is not None
    assert (after.head.seal.name_key_number, after.head.delta) == (2, None)
    assert world.listed(after) == set(NAMES)
    assert not old & {line[line.index(b'"digest"') :][:45] for line in lines_of(after)}
    assert {delta.reference(line) for line in lines} == {delta.reference(line) for line in lines_of(after)}


def test_no_name_stands_in_any_file_of_desk_mirror_signer_or_provider(world: SealedWorld) -> None:
    desk = world.desk
    world.fetch()
    (reference, _), *_ = withdraw.find(desk, LIST, [NAMES[0]]).items()
    request = withdraw.suspend(desk, LIST, [NAMES[0]], reason="a slip", now=world.now, author="alice")
    request.save(desk.folder / "requests" / "withdraw.request")
    world.rehearsal.publish(request)
    steps = propose.by_hand(desk, LIST, add=["planted-new.example"], terms=TERMS)
    request = propose.propose(desk, LIST, steps, now=world.now, author="x", note="")
    request.save(desk.folder / "requests" / "add.request")
    world.rehearsal.publish(request)
    verified = world.fetch()
    assert verified.relief is not None
    assert reference in verified.relief.suspended
    files = [path for path in world.folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    found = [path for path in files if b"planted" in _inside(path.read_bytes())]
    assert found == []


def test_the_desk_reads_its_own_list_and_tells_what_changed(world: SealedWorld) -> None:
    desk = world.desk
    world.rehearsal.change(LIST, add=["planted-new.example"], basis="order-17", category="abuse")
    ((_, line),) = history.between(desk, LIST, 1, 2)
    assert b'"name":"planted-new.example"' in line
    assert len(renew.due(desk, now=world.now, within=timedelta(days=400)).entries) == 4
    assert history.signers(desk, LIST, delta.reference(line))
    summary = history.document_of(desk, LIST, 2, world.folder / "evidence.zst")
    assert summary == world.head.summary()
    world.rehearsal.publish(
        propose.propose(
            desk, LIST, renew.prolong(desk, LIST, now=world.now, within=timedelta(days=400), span=timedelta(days=500)),
            now=world.now, author="x", note="",
        )
    )  # fmt: skip
    assert world.listed(world.fetch()) == {*NAMES, "planted-new.example"}


def _lose(world: SealedWorld, path: str) -> None:
    """A mirror that does not have this target."""
    (file,) = (world.desk.published / "targets").glob(f"*.{path}")
    file.unlink()


def _inside(data: bytes) -> bytes:
    """What a finder would see: the octets, and what they hold compressed."""
    at = data.find(zstandard.FRAME_HEADER)
    if at < 0:
        return data
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data[at:]), read_across_frames=True)
    return data + reader.read()


def test_an_appeal_against_a_sealed_list_waits_in_a_file_that_the_passphrase_opens(world: SealedWorld) -> None:
    desk = world.desk
    appeals.trust(desk, "nordlicht", bundle.public_line(SENDER))
    one = replace(APPEAL, appeal="A-7ZK3M9Q2XW4T", list=LIST, name=NAMES[0])
    other = replace(one, appeal="A-8ZK3M9Q2XW4T", list="gambling", name="casino.example")
    reader = bundle.public_line(reader_key(desk))
    data = bundle.seal([one, other], provider="N", portal="https://x.example", made="2026-11-22T00:00:00Z",
                       sender=SENDER, reader=reader)  # fmt: skip
    assert appeals.take_in(desk, data) == ("nordlicht", [one, other])
    assert appeals.take_in(desk, data) == ("nordlicht", [])
    assert [waiting.appeal for waiting in appeals.waiting(desk)] == [one, other]
    files = {path.name: path.read_bytes() for path in (desk.folder / "appeals" / "inbox").iterdir()}
    assert sorted(files) == ["A-7ZK3M9Q2XW4T.sealed", "A-8ZK3M9Q2XW4T.json"]
    assert b"planted" not in files["A-7ZK3M9Q2XW4T.sealed"]


def test_a_desk_of_what_is_published_reads_no_name_until_its_ledger_is_back(world: SealedWorld) -> None:
    old = world.desk
    made = restore(world.folder / "again", old.published, old.trusted_root, now=world.now)
    desk = replace(made, ask=lambda: SECRET)
    with pytest.raises(propose.ProposeError, match="does not know who subscribes"):
        propose.propose(desk, LIST, [], now=world.now, author="x", note="")
    with pytest.raises(names.NamesError, match="does not have the names"):
        renew.due(desk, now=world.now, within=timedelta(days=400))
    for folder in ("ledger", "sealed"):
        shutil.copytree(old.folder / folder, desk.folder / folder, dirs_exist_ok=True)
    assert len(renew.due(desk, now=world.now, within=timedelta(days=400)).entries) == len(NAMES)
    shutil.copytree(old.folder / "online", desk.folder / "online")
    rehearsal = replace(world.rehearsal, desk=desk)
    rehearsal.change(LIST, add=["planted-new.example"], basis="order-17", category="abuse")
    assert world.listed(world.fetch(str(desk.published))) == {*NAMES, "planted-new.example"}


# -- what a signer checks ----------------------------------------------------------------------------------------------


def _request(world: SealedWorld) -> Request:
    steps = propose.by_hand(world.desk, LIST, add=["planted-new.example"], terms=TERMS)
    return propose.propose(world.desk, LIST, steps, now=world.now, author="x", note="")


def _sealed_other(world: SealedWorld) -> Request:
    steps = propose.by_hand(world.desk, LIST, add=["harmless.example"], terms=TERMS)
    return propose.propose(world.desk, LIST, steps, now=world.now, author="x", note="")


def _publish_signed(world: SealedWorld, request: Request, bad: Request) -> None:
    """Two people sign the one, and somebody exchanges its names on the way back."""
    signers = world.rehearsal.signers
    signed = [sign(world.rehearsal.review(request, signer), signer, lambda _: PASSPHRASE) for signer in signers]
    publish(world.desk, [replace(one, names=bad.names) for one in signed], lambda _: None, now=world.now)


def test_a_signer_reads_names_and_who_subscribes(world: SealedWorld) -> None:
    world.subscribe("south")
    reviewed = world.rehearsal.review(_request(world), world.rehearsal.signers[1])
    assert [entry.name for entry in reviewed.meaning.added.first] == ["planted-new.example"]
    assert any("subscriber south" in remark and "comes" in remark for remark in reviewed.remarks)
    sealing.unsubscribe(world.desk, LIST, "north")
    reviewed = world.rehearsal.review(_request(world), world.rehearsal.signers[1])
    assert any("every digest changes" in remark for remark in reviewed.remarks)


def test_a_request_whose_names_are_not_those_of_its_document_is_refused(world: SealedWorld) -> None:
    request = _request(world)
    assert request.names is not None
    inside = names.opened(request.names, SECRET)
    header = vault.header_of(request.names)
    others = names.opened(_sealed_other(world).names or b"", SECRET)
    spoilt = [
        replace(inside, document=others.document),
        replace(inside, step=others.step),
        replace(inside, document=others.document, step=others.step),
        replace(inside, keys=replace(inside.keys, name=bytes(16))),
        replace(inside, keys=replace(inside.keys, file=bytes(32))),
        replace(inside, base=bytes(16)),
        replace(inside, base=None),
        replace(inside, number=2),
        replace(inside, subscribers=()),
    ]
    for one in spoilt:
        bad = replace(request, names=one.seal(header, SECRET))
        with pytest.raises((ReviewError, VerifyError)):
            world.rehearsal.review(bad, world.rehearsal.signers[1])
        with pytest.raises(PublishError, match="not those that were signed"):
            _publish_signed(world, request, bad)
    world.rehearsal.publish(request)


def test_a_version_whose_names_were_lost_on_the_way_is_not_published_without_them(world: SealedWorld) -> None:
    request, signers = _request(world), world.rehearsal.signers
    signed = [sign(world.rehearsal.review(request, signer), signer, lambda _: PASSPHRASE) for signer in signers]
    stripped = [replace(one, names=None) for one in signed]
    with pytest.raises(PublishError, match="does not bring the names of abuse 2"):
        publish(world.desk, stripped, lambda _: None, now=world.now)
    assert world.head.version == 1
    publish(world.desk, [stripped[0], signed[1]], lambda _: None, now=world.now)
    assert any(b"planted-new.example" in line for line in world.desk.names(LIST, 2).listing().lines())


def test_a_readable_list_stays_readable_and_a_sealed_one_sealed(world: SealedWorld) -> None:
    world.rehearsal.add_basis("plain", "order-17", BASIS)
    world.rehearsal.change("plain", add=["harmless.example"], basis="order-17", category="abuse")
    with pytest.raises(sealing.SealingError, match="published as a readable list"):
        sealing.begin(world.desk, "plain")
    (world.desk.folder / "sealed" / f"{LIST}.json").unlink()
    with pytest.raises(propose.ProposeError, match="is published sealed"):
        _request(world)


def test_that_nobody_subscribes_yet_is_said(world: SealedWorld) -> None:
    sealing.begin(world.desk, "other")
    asked = ["issuer", "subscribe", "list", "--dir", str(world.desk.folder), "--list", "other"]
    assert CliRunner().invoke(stopsign, asked).output == "nobody subscribes\n"


def test_another_passphrase_opens_nothing(world: SealedWorld) -> None:
    desk = replace(world.desk, ask=lambda: b"another passphrase")
    with pytest.raises(vault.VaultError, match="passphrase of the sealed lists is wrong"):
        desk.listing(world.head)
    for header in (b"{}", b"\xff", b'{"n": 1}', b"x" * 5000):
        with pytest.raises(vault.VaultError):
            vault.opened(header + b"\n" + bytes(64), SECRET)
    costly = vault.create(SECRET).replace(f'"n":{vault.N}', f'"n":{1 << 30}')
    with pytest.raises(vault.VaultError, match="not known"):
        vault.opened(costly.encode() + b"\n" + bytes(64), SECRET)
    with pytest.raises(vault.VaultError, match="fewer than 10"):
        vault.create(b"short")
