"""A new passphrase for the desk's sealed lists, and a new names' key though nobody leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from blocklists import bundle, durable
from blocklists.issuer import appeals, propose, reseal, sealing, vault
from blocklists.issuer.reader import reader_key
from blocklists.issuer.request import Request
from tests.rigs.appeal_bundle import APPEAL, SENDER
from tests.rigs.sealed_world import LIST, NAMES, SECRET, SealedWorld, cheap, lines_of

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.issuer.desk import Desk

NEW = b"another sealed passphrase"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> SealedWorld:
    """A desk with two versions, an appeal in its inbox, and a request on its way."""
    with pytest.MonkeyPatch.context() as patch:
        cheap(patch)
        world = SealedWorld(tmp_path_factory.mktemp("first") / "world")
        world.rehearsal.change(LIST, add=["planted-new.example"], basis="order-17", category="abuse")
        appeals.trust(world.desk, "nordlicht", bundle.public_line(SENDER))
        one = replace(APPEAL, appeal="A-7ZK3M9Q2XW4T", list=LIST, name=NAMES[0])
        reader = bundle.public_line(reader_key(world.desk))
        appeals.take_in(world.desk, bundle.seal([one], provider="N", portal="https://x.example",
                                                made="2026-11-22T00:00:00Z", sender=SENDER, reader=reader))  # fmt: skip
        world.subscribe("south")
        request(world).save(world.desk.folder / "requests" / "abuse-3.request")
        return world


@pytest.fixture
def world(first: SealedWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealedWorld:
    cheap(monkeypatch)
    return first.copied(tmp_path / "world")


def request(world: SealedWorld) -> Request:
    return propose.propose(world.desk, LIST, [], now=world.now, author="x", note="south comes")


def vault_files(desk: Desk) -> list[bytes]:
    """Every file at the desk that a passphrase opens."""
    found = [path.read_bytes() for path in desk.folder.rglob("*.sealed")]
    found += [Request.load(path).names or b"" for path in desk.folder.rglob("*.request")]
    return [data for data in found if data]


def test_after_a_change_the_new_passphrase_alone_opens_what_the_desk_has(world: SealedWorld) -> None:
    kept = vault_files(world.desk)
    assert len(kept) == 4
    assert reseal.reseal(world.desk, NEW) == 5
    for data in vault_files(world.desk):
        assert vault.opened(data, NEW)
        with pytest.raises(vault.PassphraseError):
            vault.opened(data, SECRET)
    # a new key too: the old passphrase and an old header open nothing that is sealed from now on
    old, fresh = (vault.header_of(files[0]) for files in (kept, vault_files(world.desk)))
    assert vault._key(old, SECRET) != vault._key(fresh, NEW)
    world.rehearsal = replace(world.rehearsal, desk=replace(world.desk, ask=lambda: NEW))
    assert [waiting.appeal.name for waiting in appeals.waiting(world.desk)] == [NAMES[0]]
    world.rehearsal.publish(Request.load(world.desk.folder / "requests" / "abuse-3.request"))
    assert world.listed(world.fetch(state="at-south"), "south") == {*NAMES, "planted-new.example"}
    with pytest.raises(vault.VaultError, match="the one until now"):
        reseal.reseal(world.desk, NEW)


@pytest.mark.parametrize("writes", range(6))
def test_a_change_that_was_killed_loses_nothing_and_ends_when_it_is_asked_for_again(
    world: SealedWorld, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    done, real = 0, durable.replace

    def killed(path: Path, data: bytes, **options: Any) -> None:
        nonlocal done
        if done == writes:
            raise KeyboardInterrupt
        done += 1
        real(path, data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace", killed)
        if writes < 5:
            with pytest.raises(KeyboardInterrupt):
                reseal.reseal(world.desk, NEW)
        else:
            assert reseal.reseal(world.desk, NEW) == 5
    opened = [data for data in vault_files(world.desk) if vault.opens(vault.header_of(data), NEW)]
    assert len(opened) == min(writes, 4)
    assert reseal.reseal(world.desk, NEW) == 5 - done
    assert all(vault.opened(data, NEW) for data in vault_files(world.desk))


def test_a_file_that_neither_passphrase_opens_stops_the_change_before_it_begins(world: SealedWorld) -> None:
    before = vault_files(world.desk)
    with pytest.raises(vault.VaultError, match=r"1\.sealed: neither"):
        reseal.reseal(replace(world.desk, ask=lambda: b"a wrong passphrase"), NEW)
    with pytest.raises(vault.VaultError, match="fewer than 10"):
        reseal.reseal(world.desk, b"short")
    assert vault_files(world.desk) == before
    readable = replace(world.desk, folder=world.folder / "readable")
    readable.folder.mkdir()
    with pytest.raises(vault.VaultError, match="no sealed list"):
        reseal.reseal(readable, NEW)


def test_a_names_key_goes_though_nobody_leaves(world: SealedWorld) -> None:
    before = world.fetch()
    old = {line[line.index(b'"digest"') :][:45] for line in lines_of(before)}
    (world.desk.folder / "sealed" / f"{LIST}.json").write_bytes(
        (world.desk.folder / "sealed" / f"{LIST}.json").read_bytes().replace(b'"retired": 0,', b"")  # as it was written
    )
    sealing.unsubscribe(world.desk, LIST, "south")
    with pytest.raises(propose.ProposeError, match="nothing would change"):
        request(world)
    assert sealing.retire(world.desk, LIST) == sealing.retire(world.desk, LIST) == 1
    wished = request(world)
    remarks = world.rehearsal.review(wished, world.rehearsal.signers[1]).remarks
    assert "the names' key is a new one: every digest changes" in remarks
    world.rehearsal.publish(wished)
    assert world.head.delta is None
    assert world.head.seal
    assert world.head.seal.name_key_number == 2
    after = world.fetch()
    assert world.listed(after) == {*NAMES, "planted-new.example"}
    assert not old & {line[line.index(b'"digest"') :][:45] for line in lines_of(after)}
    with pytest.raises(propose.ProposeError, match="nothing would change"):
        request(world)
    world.rehearsal.change(LIST, remove=[NAMES[0]])
    assert world.head.delta is not None


def test_a_names_key_that_was_never_published_cannot_go(world: SealedWorld) -> None:
    sealing.begin(world.desk, "other")
    with pytest.raises(sealing.SealingError, match="not published yet"):
        sealing.retire(world.desk, "other")
    with pytest.raises(sealing.SealingError, match="not a sealed list"):
        sealing.retire(world.desk, "plain")
