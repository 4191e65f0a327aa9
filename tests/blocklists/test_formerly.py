"""A desk and a repository of 0.1 (key ids without the holder's name, target names with a folder) go on being read.

`tests/vectors/desk-1.tar.gz` was made by that version: two signers, two versions of one list, one withdrawn entry.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from blocklists import verify
from blocklists.issuer import propose, rotate, withdraw
from blocklists.issuer.publish import publish
from blocklists.issuer.rehearsal import PASSPHRASE, Rehearsal
from blocklists.issuer.sign import sign
from blocklists.repository import final

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VECTOR = Path(__file__).parents[1] / "vectors" / "desk-1.tar.gz"
LIST = "gambling"


@pytest.fixture
def rehearsal(tmp_path: Path) -> Rehearsal:
    (tmp_path / "desk").mkdir()
    subprocess.run(["tar", "--extract", "--file", VECTOR, "--directory", tmp_path / "desk"], check=True)
    return Rehearsal.open(tmp_path / "desk", clock=lambda: NOW)


def fetched(rehearsal: Rehearsal, state: Path) -> verify.Verified:
    desk = rehearsal.desk
    return verify.refresh(str(desk.published), desk.trusted_root, state, LIST, deadline=60, now=NOW)


def test_its_repository_is_verified_with_its_withdrawal_and_its_holders(rehearsal: Rehearsal, tmp_path: Path) -> None:
    verified = fetched(rehearsal, tmp_path / "state")
    assert (verified.head.version, verified.head.full_path) == (2, "gambling/full-2.zst")
    assert verified.relief is not None
    assert [item.reason for item in verified.relief.suspended.values()] == ["wrong folder"]
    assert set(verified.holders.values()) == {"alice", "bob"}


def test_its_desk_goes_on_and_moves_to_flat_names(rehearsal: Rehearsal, tmp_path: Path) -> None:
    desk, bob = rehearsal.desk, rehearsal.signers[1]
    before = fetched(rehearsal, tmp_path / "state")
    assert before.relief is not None
    request = withdraw.suspend(desk, LIST, ["poker.example"], reason="too", now=NOW, author="bob")
    publish(desk, [sign(rehearsal.review(request, bob), bob, lambda _: PASSPHRASE)], lambda _: None, now=NOW)
    rehearsal.change(LIST, add=["newer.example"])
    request = withdraw.suspend(desk, LIST, ["slots.example"], reason="and this", now=NOW, author="bob")
    publish(desk, [sign(rehearsal.review(request, bob), bob, lambda _: PASSPHRASE)], lambda _: None, now=NOW)
    current = desk.current()
    assert current is not None
    assert not [path for path in (*current.targets.signed.targets, *current.relief.signed.targets) if "/" in path]
    for state in ("state", "another"):
        verified = fetched(rehearsal, tmp_path / state)
        assert (verified.head.version, verified.head.full_path) == (3, "gambling.full-3.zst")
        assert verified.relief is not None
        assert len(verified.relief.suspended) == 3


def test_a_change_of_keys_brings_every_key_under_its_own_id(rehearsal: Rehearsal, tmp_path: Path) -> None:
    fetched(rehearsal, tmp_path / "state")
    rehearsal.publish(rotate.rotate(rehearsal.desk, online=True, now=NOW, author="alice"))
    verified = fetched(rehearsal, tmp_path / "state")
    assert verified.relief is not None
    assert len(verified.relief.suspended) == 1
    current = rehearsal.desk.current()
    assert current is not None
    for keyid, key in current.root.signed.keys.items():
        assert final(key.to_dict()).keyid == keyid
    assert set(rotate.holders(rehearsal.desk).values()) == {"alice", "bob", "the desk"}
    with pytest.raises(propose.ProposeError, match="set up already"):
        propose.setup(rehearsal.desk, [], now=NOW)
