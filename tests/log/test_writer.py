"""The writer: what `append` promises, and that opening a log never costs more than its right edge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resolver.log.checkpoint import open_checkpoint
from resolver.log.errors import AuditError, LogBusyError
from resolver.log.leaf import parse_leaf
from resolver.log.merkle import Frontier, leaf_hash, tree_root
from resolver.log.note import parse_vkey
from resolver.log.tiles import unpack_bundle
from resolver.log.writer import Event
from tests.rigs.log_world import NOON, World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_was_appended_is_under_the_signed_root(world: World) -> None:
    with world.open() as log:
        for number in range(20):
            assert log.append("list-activated", f"gambling-{number}", {"version": number}) == number
        reader = log.reader()
        frontier = Frontier()
        for entry in unpack_bundle((world.log_dir / "tile/entries/000.p/20").read_bytes()):
            frontier.push(leaf_hash(entry))
    checkpoint, _ = open_checkpoint((world.log_dir / "checkpoint").read_bytes(), parse_vkey(world.vkey()))
    assert checkpoint.size == 20
    assert checkpoint.root == frontier.root() == tree_root(20, reader.node)


def test_a_leaf_says_type_hour_reference_and_a_digest_and_nothing_else(world: World) -> None:
    with world.open() as log:
        log.append("appeal-received", "7ZK3M9Q2XW4T8RBC", {"reason": "this is my bakery"})
        entry = log.reader().entry(0)
    assert json.loads(entry).keys() == {"type", "hour", "reference", "detail"}
    assert parse_leaf(entry).hour == "2026-11-22T12Z"
    assert b"bakery" not in b"".join(path.read_bytes() for path in world.log_dir.rglob("*") if path.is_file())


def test_a_batch_comes_out_at_the_same_tree_as_single_appends(tmp_path: Path) -> None:
    one, many = World(tmp_path / "one"), World(tmp_path / "many")
    with one.open() as log:
        for number in range(300):
            log.append("start", str(number), {})
        single = log.checkpoint
    with many.open() as log:
        assert log.append_many(Event("start", str(number), {}) for number in range(300)) == range(300)
        assert log.checkpoint == single
    for path in many.log_dir.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (one.log_dir / path.relative_to(many.log_dir)).read_bytes()
    assert not list((one.log_dir / "tile/0/000.p").iterdir()), "partial tiles go when the full one is there"


def test_there_is_one_writer(world: World) -> None:
    with world.open(), pytest.raises(LogBusyError, match="another process"):
        world.open()
    world.open().close()


def test_it_goes_on_where_it_stopped_reading_only_the_edge(world: World) -> None:
    with world.open() as log:
        log.append_many(Event("start", str(number), {}) for number in range(70_000))
    world.disk.reads.clear()
    with world.open() as log:
        assert len(world.disk.reads) <= 12
        assert log.append("stop", "", {}) == 70_000


def test_a_heartbeat_is_a_leaf_an_hour(world: World) -> None:
    with world.open() as log:
        assert [log.heartbeat({}), log.heartbeat({})] == [0, None]
        world.now = NOON + 3600
        assert log.heartbeat({}) == 1


def test_an_erased_detail_is_gone_and_the_tree_is_what_it_was(world: World) -> None:
    with world.open() as log:
        log.append("appeal-received", "7ZK3M9Q2XW4T8RBC", {"reason": "this is my bakery"})
        before = log.reader().entry(0)
        assert log.erase(0, "the appellant asked") == 1
        assert log.reader().entry(0) == before
    assert not [path for path in world.root.rglob("*") if path.is_file() and b"bakery" in path.read_bytes()]


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("state/audit/log.key", "log.key is missing"),
        ("log/tile/0/000.p/3", "is missing"),
        ("log/tile/entries/000.p/3", "is missing"),
    ],
)
def test_it_refuses_to_go_on_without_what_it_needs(world: World, lost: str, said: str) -> None:
    with world.open() as log:
        log.append_many(Event("start", str(number), {}) for number in range(3))
    (world.root / lost).unlink()
    with pytest.raises(AuditError, match=said):
        world.open()


@pytest.mark.parametrize(
    ("damaged", "content", "said", "hint"),
    [
        (
            "state/audit/checkpoint",
            b"stop.isp.example/log\n3\n",
            " is damaged, and the log cannot go on: ",
            "log/checkp",
        ),
        ("log/checkpoint", b"\n", " is damaged, and the log cannot go on: ", "state/audit/checkpoint"),
        ("state/audit/log.key", b"", " is damaged, and the log cannot go on: not a signing key", "from its backup"),
        ("state/audit/details/000.jsonl", b'{"detail":{},', ', line 1: not a detail: {"detail":{},', "from a backup"),
    ],
)
def test_what_is_damaged_is_named_with_what_to_do(
    world: World, damaged: str, content: bytes, said: str, hint: str
) -> None:
    with world.open() as log:
        log.append("start", "", {})
    (world.root / damaged).write_bytes(content)
    with pytest.raises(AuditError) as refused, world.open() as log:
        log.erase(0, "it was asked for")
    assert str(refused.value).startswith(f"{world.root / damaged}{said}")
    assert hint in str(refused.value.hint)


def test_a_private_folder_from_an_older_backup_takes_over_what_was_published(world: World) -> None:
    with world.open() as log:
        log.append("start", "", {})
        older = (world.audit_dir / "checkpoint").read_bytes()
        log.append("stop", "", {})
    (world.audit_dir / "checkpoint").write_bytes(older)
    with world.open() as log:
        assert log.reader().size == 2


def test_it_refuses_to_fork_away_from_what_it_published(world: World, tmp_path: Path) -> None:
    with world.open() as log:
        log.append("start", "", {})
        first = (world.audit_dir / "checkpoint").read_bytes()
    other = World(tmp_path / "other")
    with other.open() as log:  # the same key, since the same randomness
        log.append_many(Event("stop", str(number), {}) for number in range(3))
    (other.audit_dir / "checkpoint").write_bytes(first)
    with pytest.raises(AuditError, match="contradict"):
        other.open()


@pytest.mark.parametrize(
    ("kind", "reference"), [("Start", ""), ("", ""), ("start", "two words"), ("start", "x" * 129), ("start", "ä")]
)
def test_what_cannot_be_a_leaf_is_refused_and_leaves_no_trace(world: World, kind: str, reference: str) -> None:
    with world.open() as log:
        before = log.checkpoint
        with pytest.raises(AuditError, match="not a"):
            log.append(kind, reference, {})
        assert log.checkpoint == before
        assert log.append("start", "", {}) == 0
