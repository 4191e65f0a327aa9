"""What `audit verify` finds: every way in which a log can be other than what was signed."""

from __future__ import annotations

import json
import shutil
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from blocklists import durable
from resolver.cli.audit_show import verdict_lines
from resolver.log.checkpoint import Checkpoint, parse_checkpoint
from resolver.log.edge import Edge
from resolver.log.errors import MalformedError, UntrueError
from resolver.log.leaf import ERASED, make_leaf
from resolver.log.merkle import leaf_hash
from resolver.log.note import COSIGNATURE, ED25519, Note, Signer, parse_note, parse_secret, parse_vkey
from resolver.log.source import Folder
from resolver.log.tiles import bundle_path, pack_bundle, tile_path, unpack_bundle
from resolver.log.verify import Verdict, verify
from resolver.log.writer import Event
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SIZE = 700
WITNESS = Signer("regulator.example/witness", COSIGNATURE, bytes(range(32)))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A log of 700 leaves whose checkpoint at 300 was kept."""
    world = World(tmp_path_factory.mktemp("original"))
    with world.open() as log:
        log.append_many(Event("list-activated", f"list-{number}", {"version": number}) for number in range(300))
        (world.root / "kept").write_bytes(log.checkpoint)
        log.append_many(Event("list-activated", f"list-{number}", {"version": number}) for number in range(300, SIZE))
    return world


@pytest.fixture
def copy(original: World, tmp_path: Path) -> World:
    shutil.copytree(original.root, tmp_path / "copy")
    return World(tmp_path / "copy")


def judge(world: World, *, kept: bool = False) -> Verdict:
    notes = [(world.root / "kept").read_bytes()] if kept else []
    return verify(Folder(world.log_dir), parse_vkey(world.vkey()), kept=notes)


def entries_of(world: World, size: int = SIZE) -> list[bytes]:
    bundles = [
        (world.log_dir / bundle_path(number, min(256, size - number * 256))).read_bytes()
        for number in range(-(-size // 256))
    ]
    return [entry for bundle in bundles for entry in unpack_bundle(bundle)]


def rewrite(world: World, entries: list[bytes], *, signer: Signer | None = None) -> None:
    """What somebody can do who holds the folder, and the key too if `signer` is given: entries and all tiles anew."""
    shutil.rmtree(world.log_dir / "tile")
    edge = Edge()
    files = [file for entry in entries for file in edge.push(entry)] + list(edge.partial_files(0))
    durable.replace_all(((world.log_dir / name, data) for name, data in files), disk=world.disk)
    if signer:
        note = Checkpoint(signer.name, edge.size, edge.root()).sign(signer)
        (world.log_dir / "checkpoint").write_bytes(note)


def stolen_key(world: World) -> Signer:
    return parse_secret((world.audit_dir / "log.key").read_text().strip())


def change_bundle(world: World, number: int, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = world.log_dir / bundle_path(number, min(256, SIZE - number * 256))
    path.write_bytes(pack_bundle(change(unpack_bundle(path.read_bytes()))))


def other(entry: bytes) -> bytes:
    return entry.replace(b"list-activated", b"list-withdrawn")


def test_an_honest_log_is_self_consistent_and_says_no_more_than_that(copy: World) -> None:
    verdict = judge(copy)
    assert verdict.self_consistent_only
    assert (verdict.checkpoint.size, verdict.types, verdict.details) == (SIZE, {"list-activated": SIZE}, SIZE)


def test_with_a_kept_checkpoint_it_proves_that_history_was_not_rewritten(copy: World) -> None:
    verdict = judge(copy, kept=True)
    assert not verdict.self_consistent_only
    assert verdict.kept == (300,)


@pytest.mark.parametrize("leaf", [0, 255, 256, 511, 512, 699])
def test_a_changed_leaf_is_named(copy: World, leaf: int) -> None:
    def change(entries: list[bytes]) -> list[bytes]:
        entries[leaf % 256] = other(entries[leaf % 256])
        return entries

    change_bundle(copy, leaf // 256, change)
    with pytest.raises(UntrueError, match=f"leaf {leaf} is not what the tree holds") as wrong:
        judge(copy)
    assert wrong.value.leaf == leaf


def test_a_dropped_leaf_is_named(copy: World) -> None:
    change_bundle(copy, 1, lambda entries: entries[:7] + entries[8:])
    with pytest.raises(UntrueError, match="leaf 263"):
        judge(copy)


def test_reordered_leaves_are_named(copy: World) -> None:
    change_bundle(copy, 0, lambda entries: [entries[0], entries[2], entries[1], *entries[3:]])
    with pytest.raises(UntrueError, match="leaf 1 is not what the tree holds"):
        judge(copy)


@pytest.mark.parametrize("left", [0, 1, 100, 20_000])
def test_a_truncated_bundle_names_the_first_leaf_that_is_gone(copy: World, left: int) -> None:
    path = copy.log_dir / bundle_path(1)
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    gone, position = 256, 0
    while position + 2 + int.from_bytes(whole[position : position + 2], "big") <= left:
        position += 2 + int.from_bytes(whole[position : position + 2], "big")
        gone += 1
    with pytest.raises(UntrueError) as wrong:
        judge(copy)
    assert wrong.value.leaf == gone


def test_a_log_cut_short_under_its_checkpoint_names_the_first_leaf_that_is_gone(copy: World) -> None:
    (copy.log_dir / bundle_path(2, SIZE - 512)).unlink()
    with pytest.raises(UntrueError, match="leaf 512"):
        judge(copy)


def test_a_leaf_changed_together_with_its_tile_is_found_one_level_up(copy: World) -> None:
    entries = entries_of(copy)
    entries[5] = other(entries[5])
    tiles = {path: path.read_bytes() for path in (copy.log_dir / "tile/1").rglob("*") if path.is_file()}
    rewrite(copy, entries)
    for path, data in tiles.items():
        path.write_bytes(data)
    with pytest.raises(UntrueError, match="leaves 0 to 255 are not those of tile/1/000"):
        judge(copy)


def test_a_tree_rewritten_without_the_key_does_not_come_out_at_the_signed_root(copy: World) -> None:
    entries = entries_of(copy)
    entries[650] = other(entries[650])
    rewrite(copy, entries)
    with pytest.raises(UntrueError, match="do not come out at the signed root") as wrong:
        judge(copy, kept=True)
    assert "at or after leaf 300" in str(wrong.value.hint)


def test_a_checkpoint_forged_with_another_key_is_found(copy: World) -> None:
    rewrite(copy, [other(entry) for entry in entries_of(copy)], signer=Signer(copy.origin, ED25519, bytes(32)))
    with pytest.raises(UntrueError, match="no trusted key"):
        judge(copy)


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_in_the_checkpoint_is_found(copy: World, line: int) -> None:
    note = parse_note((copy.log_dir / "checkpoint").read_bytes())
    lines = note.text.split("\n")
    lines[line] = {0: "else.example/log", 1: "699", 2: "A" * 43 + "="}[line]
    (copy.log_dir / "checkpoint").write_bytes(Note("\n".join(lines), note.signatures).encode())
    with pytest.raises(UntrueError, match="not valid"):
        judge(copy)


def test_rewritten_history_with_the_true_key_is_found_by_a_kept_checkpoint_and_by_nothing_less(copy: World) -> None:
    entries = entries_of(copy)
    entries[17] = other(entries[17])
    rewrite(copy, entries, signer=stolen_key(copy))
    assert judge(copy).self_consistent_only
    with pytest.raises(UntrueError, match="history was rewritten: the first 300 leaves"):
        judge(copy, kept=True)


def test_a_fork_shown_to_one_reader_is_found_as_soon_as_two_readers_compare(copy: World, tmp_path: Path) -> None:
    forked = World(tmp_path / "forked")
    shutil.copytree(copy.root, forked.root)
    entries = entries_of(forked)
    entries[-1] = other(entries[-1])
    rewrite(forked, entries, signer=stolen_key(copy))
    for reader, friend in ((copy, forked), (forked, copy)):
        with pytest.raises(UntrueError, match="history was rewritten: the first 700 leaves"):
            verify(
                Folder(reader.log_dir),
                parse_vkey(copy.vkey()),
                kept=[(friend.log_dir / "checkpoint").read_bytes()],
            )


def test_a_log_that_shrank_is_found_by_a_kept_checkpoint(copy: World) -> None:
    kept = (copy.log_dir / "checkpoint").read_bytes()
    rewrite(copy, entries_of(copy)[:650], signer=stolen_key(copy))
    with pytest.raises(UntrueError, match="the log has shrunk: the kept checkpoint speaks of 700"):
        verify(Folder(copy.log_dir), parse_vkey(copy.vkey()), kept=[kept])


def test_a_published_detail_that_says_something_else_is_named(copy: World) -> None:
    path = copy.log_dir / "details" / "001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"version":300', b'"version":301'))
    with pytest.raises(UntrueError, match="the detail of leaf 300"):
        judge(copy)


def test_a_tree_of_something_else_than_leaves_is_refused(copy: World) -> None:
    entries = entries_of(copy)
    entries[3] = json.dumps(json.loads(entries[3])).encode()  # the same, spelled otherwise
    rewrite(copy, entries, signer=stolen_key(copy))
    with pytest.raises(UntrueError, match="leaf 3: not a leaf"):
        judge(copy)


def test_a_quorum_of_witnesses_counts_and_a_missing_one_is_said(copy: World) -> None:
    path, key = copy.log_dir / "checkpoint", parse_vkey(copy.vkey())
    with pytest.raises(UntrueError, match="0 of 1 witness"):
        verify(Folder(copy.log_dir), key, witnesses=[WITNESS.verifier], quorum=1)
    note = parse_note(path.read_bytes())
    path.write_bytes(Note(note.text, (*note.signatures, WITNESS.sign(note.text, 1_795_000_000))).encode())
    verdict = verify(Folder(copy.log_dir), key, witnesses=[WITNESS.verifier], quorum=1)
    assert not verdict.self_consistent_only
    assert [(one.name, one.size, one.timestamp) for one in verdict.witnesses] == [
        ("regulator.example/witness", SIZE, 1_795_000_000)
    ]


def test_silence_and_a_clock_that_went_back_are_remarked(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.open() as log:
        for hours in (0, 1, 4, 3):
            world.now += hours * 3600
            log.heartbeat({})
        world.now -= 5 * 3600
        log.heartbeat({})
    said = judge(world).remarks
    assert [sentence.split(" ")[0] for sentence in said] == ["silence", "silence", "leaf"]


def test_an_empty_log_is_a_log(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.open().close()
    assert judge(world).checkpoint == parse_checkpoint(
        "stop.isp.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    )


def test_while_the_log_grows_a_reader_of_the_older_checkpoint_still_finds_all(copy: World) -> None:
    older = (copy.log_dir / "checkpoint").read_bytes()
    with copy.open() as log:
        log.append_many(Event("start", "", {}) for _ in range(400))  # the partial tiles of 700 are gone now
    (copy.log_dir / "checkpoint").write_bytes(older)
    assert judge(copy, kept=True).checkpoint.size == SIZE


def details_of(world: World, number: int = 0) -> tuple[Path, list[bytes]]:
    path = world.log_dir / "details" / f"{number:03}.jsonl"
    return path, path.read_bytes().splitlines(keepends=True)


def put_details(world: World, change: Callable[[list[bytes]], list[bytes]], number: int = 0) -> None:
    path, lines = details_of(world, number)
    path.write_bytes(b"".join(change(lines)))


def erased_line(index: int) -> bytes:
    return json.dumps({"index": index, "erased": "2026-11-22T12Z"}).encode() + b"\n"


@pytest.mark.parametrize(
    ("change", "said", "first"),
    [
        (lambda lines: lines[:7] + lines[8:], "of leaf 7: missing", 7),
        (lambda lines: lines[:3] + lines[9:], "of leaves 3 to 8: missing", 3),
        (lambda lines: [*lines, lines[5]], "of leaf 5: there twice", 5),
        (lambda lines: [*lines, lines[0].replace(b'"index":0', b'"index":9000')], "of leaf 9000: in a file", 9000),
        (lambda lines: [*lines[:4], erased_line(4), *lines[5:]], "of leaf 4: erased, and no later leaf says so", 4),
        (lambda lines: [*lines[:2], *lines[3:], lines[1]], "of leaf 2: missing.*of leaf 1: there twice", 1),
    ],
)
def test_each_published_detail_that_is_not_as_it_should_be_is_named(
    copy: World, change: Callable[[list[bytes]], list[bytes]], said: str, first: int
) -> None:
    put_details(copy, change)
    with pytest.raises(UntrueError, match=said) as wrong:
        judge(copy)
    assert wrong.value.leaf == first


def test_a_log_without_its_details_folder_is_not_whole(copy: World) -> None:
    shutil.rmtree(copy.log_dir / "details")
    with pytest.raises(UntrueError, match="of leaves 0 to 699: missing"):
        judge(copy)


def test_a_detail_of_which_the_log_says_that_it_was_erased_may_be_gone_line_and_all(copy: World) -> None:
    with copy.open() as log:
        log.erase(7, "a mistake")
    assert judge(copy).erased == 1
    put_details(copy, lambda lines: lines[:7] + lines[8:])
    assert judge(copy).erased == 1


@pytest.mark.parametrize("change", [lambda lines: lines[:-1], lambda lines: [*lines[:-1], erased_line(SIZE + 2)]])
def test_what_was_said_to_be_erased_before_it_was_there_is_missing(
    copy: World, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    with copy.open() as log:
        log.append("detail-erased", str(SIZE + 2), {"reason": "beforehand"})
        log.append("detail-erased", str(SIZE + 1), {"reason": "itself"})
        assert log.append("start", "", {}) == SIZE + 2
    put_details(copy, change, SIZE // 256)
    with pytest.raises(UntrueError, match=rf"of leaf {SIZE + 2}: \w+, and no later leaf says"):
        judge(copy)


class Growing(Folder):
    """Shows `first` as the checkpoint, and later the one that is there. `forged`: what files then hold."""

    def __init__(self, root: Path, first: bytes, forged: Mapping[str, bytes] = MappingProxyType({})) -> None:
        super().__init__(root)
        self.first, self.forged, self.reads = first, forged, 0

    def fetch(self, path: str, limit: int) -> bytes:
        self.reads += path == "checkpoint"
        if path == "checkpoint" and self.reads == 1:
            return self.first
        return self.forged[path] if self.reads > 1 and path in self.forged else super().fetch(path, limit)


def test_an_erasure_while_the_log_is_read_is_no_fault(copy: World) -> None:
    first = (copy.log_dir / "checkpoint").read_bytes()
    with copy.open() as log:
        log.erase(300, "a mistake")
        log.append_many(Event("start", "", {}) for _ in range(200))
        log.erase(900 - 10, "another")
    verdict = verify(Growing(copy.log_dir, first), parse_vkey(copy.vkey()))
    assert (verdict.checkpoint.size, verdict.erased) == (SIZE + 202, 2)
    assert verdict.note == (copy.log_dir / "checkpoint").read_bytes(), "the newer one is to be kept"
    assert sum(verdict.types.values()) == SIZE + 202


@pytest.mark.parametrize("tile_too", [False, True])
def test_an_erasure_that_no_signed_tree_has_is_none(copy: World, *, tile_too: bool) -> None:
    first = (copy.log_dir / "checkpoint").read_bytes()
    with copy.open() as log:
        log.append_many([Event("start", "", {})])
    put_details(copy, lambda lines: lines[:7] + lines[8:])
    forged, _ = make_leaf(SIZE, ERASED, "7", {"reason": "x"}, now=copy.now, salt=b"s" * 32, public=True)
    bundle, tile = bundle_path(2, SIZE - 511), tile_path(0, 2, SIZE - 511)
    entries = unpack_bundle((copy.log_dir / bundle).read_bytes())
    assert len(entries) == SIZE - 511
    files = {bundle: pack_bundle([*entries[:-1], forged])}
    if tile_too:
        files[tile] = (copy.log_dir / tile).read_bytes()[:-32] + leaf_hash(forged)
        files["details/002.jsonl"] = b"".join(details_of(copy, 2)[1][:-1])
    with pytest.raises(UntrueError, match="do not come out" if tile_too else "leaf 700 is not what the tree holds"):
        verify(Growing(copy.log_dir, first, files), parse_vkey(copy.vkey()))


@pytest.mark.parametrize(
    ("changed", "said"), [(0, "do not come out at the signed root"), (600, "history was rewritten while it was read")]
)
def test_a_newer_checkpoint_of_another_tree_settles_nothing(copy: World, changed: int, said: str) -> None:
    """A key that signs two histories: the newer one says that the detail was erased."""
    first, entries = (copy.log_dir / "checkpoint").read_bytes(), entries_of(copy)
    put_details(copy, lambda lines: lines[:7] + lines[8:])
    erased, _ = make_leaf(SIZE, ERASED, "7", {"reason": "x"}, now=copy.now, salt=b"s" * 32, public=True)
    entries[changed] = other(entries[changed])
    shutil.copytree(copy.root, copy.root / "other")
    rewrite(fork := World(copy.root / "other"), [*entries, erased], signer=stolen_key(copy))
    files = {str(path.relative_to(fork.log_dir)): path.read_bytes() for path in fork.log_dir.rglob("*.p/*")}
    files["checkpoint"] = (fork.log_dir / "checkpoint").read_bytes()
    with pytest.raises(UntrueError, match=said):
        verify(Growing(copy.log_dir, first, files), parse_vkey(copy.vkey()))


def test_a_witness_is_a_key_and_not_a_name(copy: World) -> None:
    key = parse_vkey(copy.vkey())
    again = Signer("another.example/witness", COSIGNATURE, WITNESS.seed)
    own = Signer("friend.example/witness", COSIGNATURE, stolen_key(copy).seed)
    for witnesses, said in (
        ([WITNESS.verifier, again.verifier], "has the key of the witness regulator.example/witness"),
        ([WITNESS.verifier, WITNESS.verifier], "has the key of the witness"),
        ([own.verifier], "has the key of the log"),
        ([key], "has the key of the log"),
    ):
        with pytest.raises(MalformedError, match=said):
            verify(Folder(copy.log_dir), key, witnesses=witnesses, quorum=len(witnesses))


def test_a_key_that_signs_no_time_shows_none(copy: World) -> None:
    plain = Signer("notary.example", ED25519, WITNESS.seed)
    note = parse_note((copy.log_dir / "checkpoint").read_bytes())
    signed = Note(note.text, (*note.signatures, plain.sign(note.text))).encode()
    (copy.log_dir / "checkpoint").write_bytes(signed)
    verdict = verify(Folder(copy.log_dir), parse_vkey(copy.vkey()), witnesses=[plain.verifier], quorum=1)
    assert verdict.as_dict()["witnesses"] == [{"name": "notary.example", "size": SIZE, "time": None}]
    assert any(line.endswith("its key signs no time") for line in verdict_lines(verdict))
