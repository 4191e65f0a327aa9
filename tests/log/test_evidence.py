"""Proofs, witnesses, erasing, exporting, probing: what goes from hand to hand and must stand alone."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import zstandard

from resolver.base.dns_question import Answer
from resolver.log.errors import AuditError, MalformedError, UntrueError
from resolver.log.export import export
from resolver.log.merkle import consistency_proof
from resolver.log.note import COSIGNATURE, Signer, open_note, parse_note, parse_vkey
from resolver.log.policy import Policy
from resolver.log.proof import Proof, check_proof, parse_proof, prove
from resolver.log.reading import published_details
from resolver.log.source import Folder
from resolver.log.verify import verify
from resolver.log.witness import cosign, load_witness, new_witness, witness_verify
from resolver.log.writer import Event
from resolver.policy.bypass import details
from resolver.policy.exceptions import FOR_EVER, Bypass, LiveExceptions
from resolver.stats.probe import Asker, probe
from tests.rigs.command_line import run
from tests.rigs.counted import entry
from tests.rigs.log_world import NOON, World

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.policy.exceptions import Kind

WITNESSES = [Signer(f"witness-{number}.example", COSIGNATURE, bytes([number] * 32)) for number in range(3)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "world")
    with world.open() as log:
        log.append("appeal-received", "7ZK3M9Q2XW4T8RBC", {"reason": "this is my bakery"})
        log.append_many(Event("heartbeat", "", {}) for _ in range(600))
    return world


def source(world: World) -> Folder:
    return Folder(world.log_dir)


class TestProofs:
    @pytest.mark.parametrize("leaf", [0, 1, 255, 256, 599, 600])
    def test_any_leaf_is_proved_to_somebody_who_has_only_the_key(self, world: World, leaf: int) -> None:
        proven = check_proof(prove(source(world), leaf), parse_vkey(world.vkey()))
        assert (proven.index, proven.leaf.type) == (leaf, "heartbeat" if leaf else "appeal-received")

    def test_the_holder_of_the_detail_can_show_what_the_leaf_commits_to(self, world: World) -> None:
        with world.open() as log:
            data = prove(source(world), 0, log.details.get(0))
        assert check_proof(data, parse_vkey(world.vkey())).as_dict()["detail"] == {"reason": "this is my bakery"}

    def test_a_detail_that_was_changed_is_found(self, world: World) -> None:
        with world.open() as log:
            proof = parse_proof(prove(source(world), 0, log.details.get(0)))
        forged = Proof(proof.index, proof.hashes, proof.checkpoint, proof.extra.replace(b"bakery", b"casino"))
        with pytest.raises(UntrueError, match="not what the leaf commits to"):
            check_proof(forged.encode(), parse_vkey(world.vkey()))

    @pytest.mark.parametrize(
        "change",
        [
            lambda p: Proof(p.index + 1, p.hashes, p.checkpoint, p.extra),
            lambda p: Proof(p.index, p.hashes[1:], p.checkpoint, p.extra),
            lambda p: Proof(p.index, (*p.hashes, bytes(32)), p.checkpoint, p.extra),
            lambda p: Proof(p.index, (bytes(32), *p.hashes[1:]), p.checkpoint, p.extra),
            lambda p: Proof(p.index, p.hashes, p.checkpoint, p.extra.replace(b"heartbeat", b"heartbeet")),
            lambda p: Proof(p.index, p.hashes, p.checkpoint.replace(b"\n601\n", b"\n602\n"), p.extra),
        ],
    )
    def test_a_proof_of_something_else_is_found(self, world: World, change: object) -> None:
        assert callable(change)
        forged = change(parse_proof(prove(source(world), 300)))
        with pytest.raises(UntrueError):
            check_proof(forged.encode(), parse_vkey(world.vkey()))

    @pytest.mark.parametrize(  # the cases of transparency-dev/formats, proof/tlog_proof_test.go
        "data",
        [
            b"wrong-header\nindex 0\n\ncheckpoint\n",
            b"c2sp.org/tlog-proof@v1\nextra !!notbase64!!\nindex 0\n\ncheckpoint\n",
            b"c2sp.org/tlog-proof@v1\n\n\ncheckpoint\n",
            b"c2sp.org/tlog-proof@v1\nindex notanumber\n\ncheckpoint\n",
            b"c2sp.org/tlog-proof@v1\nindex -5\n\ncheckpoint\n",
            b"c2sp.org/tlog-proof@v1\nindex 05\n\ncheckpoint\n",
            b"c2sp.org/tlog-proof@v1\nindex 0\n!!notbase64!!\n\ncheckpoint\n",
            b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"A" * 86 + b"==\n\ncheckpoint\n",
            b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"a" * 65536 + b"\n",
            b"c2sp.org/tlog-proof@v1\nindex 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\ncheckpoint\n",
        ],
    )
    def test_what_is_no_proof_is_refused(self, data: bytes) -> None:
        with pytest.raises(MalformedError):
            parse_proof(data)

    def test_it_is_written_as_the_specification_has_it(self) -> None:
        proof = Proof(10, (bytes(32),), b"checkpoint data\n", b"extra information")
        assert proof.encode().decode() == (
            "c2sp.org/tlog-proof@v1\nextra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 10\n"
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\ncheckpoint data\n"
        )
        assert parse_proof(proof.encode()) == proof
        assert Proof(0, (), b"checkpoint\n").encode() == b"c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n"

    def test_as_typed(self, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        proof = tmp_path / "receipt.tlog-proof"
        assert run(capsys, "audit", "prove", 5, "--log", world.log_dir, "--output", proof)[0] == 0
        status, out, _ = run(capsys, "audit", "check-proof", proof, "--key", world.log_dir / "log.vkey")
        assert (status, "under its signed checkpoint of 601" in out) == (0, True)
        proof.write_bytes(proof.read_bytes().replace(b"index 5", b"index 6"))
        assert run(capsys, "audit", "check-proof", proof, "--key", world.log_dir / "log.vkey")[0] == 1


class TestWitnesses:
    def test_a_witness_follows_a_log_that_only_grows(self, world: World, tmp_path: Path) -> None:
        key = parse_vkey(world.vkey())
        for count in (0, 1, 300):
            with world.open() as log:
                log.append_many(Event("start", "", {}) for _ in range(count))
            note = cosign(source(world), key, WITNESSES[0], tmp_path / "seen", world.clock)
            text, signed = open_note(note, [key, WITNESSES[0].verifier])
            assert {one.timestamp for one in signed} == {0, int(NOON)}
            assert text.split("\n")[1] == str(601 + count + (count == 300))

    def test_it_does_not_cosign_a_rewritten_log_and_keeps_the_evidence(self, world: World, tmp_path: Path) -> None:
        other = World(tmp_path / "other")  # the same key, since the same randomness
        with other.open() as log:
            log.append_many(Event("stop", "", {}) for _ in range(700))
        key, seen = parse_vkey(world.vkey()), tmp_path / "seen"
        cosign(source(world), key, WITNESSES[0], seen, world.clock)
        before = next(seen.glob("*/checkpoint")).read_bytes()
        with pytest.raises(UntrueError, match=r"not cosigned.*history was rewritten"):
            cosign(source(other), key, WITNESSES[0], seen, world.clock)
        assert next(seen.glob("*/checkpoint")).read_bytes() == before
        assert next(seen.glob("*/contradiction-*")).read_bytes() == (other.log_dir / "checkpoint").read_bytes()

    def test_it_does_not_cosign_a_log_that_shrank(self, world: World, tmp_path: Path) -> None:
        older = (world.log_dir / "checkpoint").read_bytes()
        with world.open() as log:
            log.append("start", "", {})
        key = parse_vkey(world.vkey())
        cosign(source(world), key, WITNESSES[0], tmp_path / "seen", world.clock)
        (world.log_dir / "checkpoint").write_bytes(older)
        with pytest.raises(UntrueError, match="shrunk"):
            cosign(source(world), key, WITNESSES[0], tmp_path / "seen", world.clock)

    def test_a_quorum_that_saw_different_sizes_of_one_log_counts(self, world: World, tmp_path: Path) -> None:
        key, notes = parse_vkey(world.vkey()), []
        for number, witness in enumerate(WITNESSES):
            with world.open() as log:
                log.append("start", str(number), {})
            notes.append(cosign(source(world), key, witness, tmp_path / str(number), world.clock))
        keys = [witness.verifier for witness in WITNESSES]
        assert len(witness_verify(notes, key, Policy.of(keys, 3), source(world))) == 3
        with pytest.raises(AuditError, match="different sizes"):
            witness_verify(notes, key, Policy.of(keys, 3), None)
        with pytest.raises(UntrueError, match="2 of 3 witnesses"):
            witness_verify(notes[:2], key, Policy.of(keys, 3), source(world))
        assert not verify(source(world), key, kept=notes, witnesses=keys, quorum=3).self_consistent_only

    def test_two_witnesses_that_were_shown_two_logs_prove_the_fork(self, world: World, tmp_path: Path) -> None:
        other = World(tmp_path / "other")
        with other.open() as log:
            log.append_many(Event("stop", "", {}) for _ in range(601))
        key = parse_vkey(world.vkey())
        notes = [
            cosign(source(one), key, witness, tmp_path / witness.name, world.clock)
            for one, witness in ((world, WITNESSES[0]), (other, WITNESSES[1]))
        ]
        with pytest.raises(UntrueError, match="forked"):
            witness_verify(notes, key, Policy.of([witness.verifier for witness in WITNESSES], 1), None)

    def test_cosignatures_of_several_witnesses_gather_on_one_checkpoint(self, world: World, tmp_path: Path) -> None:
        key = parse_vkey(world.vkey())
        for witness in WITNESSES:
            note = cosign(source(world), key, witness, tmp_path / witness.name, world.clock)
            (world.log_dir / "checkpoint").write_bytes(note)
        assert len(parse_note(note).signatures) == 4
        with world.open() as log:  # the writer reads it, and does not mind
            assert log.reader().size == 601

    def test_as_typed(self, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        key, cosigned = ("--key", world.vkey()), tmp_path / "cosigned"
        witness = ("--witness-key", tmp_path / "w.key", "--seen", tmp_path / "seen", "--output", cosigned)
        status, _, err = run(capsys, "audit", "cosign", world.log_dir, *key, *witness, "--new", "w.example")
        assert status == 0
        vkey = err.strip().rpartition(" ")[2]
        assert (tmp_path / "w.key").stat().st_mode & 0o077 == 0
        assert run(capsys, "audit", "cosign", world.log_dir, *key, *witness)[0] == 0
        status, out, _ = run(
            capsys, "audit", "witness-verify", cosigned, *key, "--witness", vkey, "--log", world.log_dir
        )
        assert (status, "w.example saw 601 leaves" in out) == (0, True)
        status, out, _ = run(
            capsys, "audit", "verify", world.log_dir, *key, "--checkpoint", cosigned, "--witness", vkey, "--json"
        )
        assert json.loads(out)["self_consistent_only"] is False
        assert run(capsys, "audit", "cosign", world.log_dir, *key, *witness, "--new", "again.example")[0] == 2

    def test_a_log_s_key_is_no_witness_s_key(self, world: World, tmp_path: Path) -> None:
        with pytest.raises(AuditError, match="not a witness's key"):
            load_witness(world.audit_dir / "log.key")
        (tmp_path / "empty").write_text("")
        with pytest.raises(AuditError, match=f"{tmp_path / 'empty'} cannot be read: not a signing key"):
            load_witness(tmp_path / "empty")
        assert load_witness(tmp_path / "k") == signer if (signer := new_witness(tmp_path / "k", "w", bytes)) else False


def test_every_consistency_proof_of_a_tree_of_600_is_the_one_that_checks(world: World) -> None:
    from resolver.log.merkle import check_consistency, tree_root
    from resolver.log.tiles import TileReader

    reader = TileReader(source(world).fetch, 601)
    for old in (0, 1, 2, 3, 128, 255, 256, 257, 511, 512, 513, 600, 601):
        proof = consistency_proof(old, 601, reader.node)
        check_consistency(old, tree_root(old, reader.node), 601, tree_root(601, reader.node), proof)


class TestErasing:
    def test_the_tree_stays_provable_and_the_words_are_gone_everywhere(
        self, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with world.open() as log:
            log.erase(0, "the six months are over")
        key = parse_vkey(world.vkey())
        assert verify(source(world), key).checkpoint.size == 602
        assert check_proof(prove(source(world), 0), key).leaf.reference == "7ZK3M9Q2XW4T8RBC"
        assert not [path for path in world.root.rglob("*") if path.is_file() and b"bakery" in path.read_bytes()]

    def test_a_published_detail_is_erased_where_it_is_published_too(self, world: World) -> None:
        with world.open() as log:
            index = log.append("list-refused", "gambling", {"text": "a name that was nobody's business"})
            log.erase(index, "a mistake")
            log.append("start", "", {})
        files = [path for path in world.root.rglob("*") if path.is_file()]
        assert not [path for path in files if b"nobody" in path.read_bytes()]
        verdict = verify(source(world), parse_vkey(world.vkey()))
        assert verdict.erased == 1

    def test_what_is_not_there_cannot_be_erased(self, world: World) -> None:
        with world.open() as log, pytest.raises(AuditError, match="no detail of leaf 9000"):
            log.erase(9000, "")


class TestExport:
    def test_a_copy_stands_alone_without_what_is_private(self, world: World, tmp_path: Path) -> None:
        with world.open() as log:
            known = log.details.bundle
            log.append_many(Event("start", "", {}) for _ in range(3))
        head = export(source(world), tmp_path / "copy", lambda number: [d for d in known(number) if d.public])
        copy = Folder(tmp_path / "copy")
        assert verify(copy, parse_vkey(world.vkey())).checkpoint == head
        assert b"bakery" not in b"".join(path.read_bytes() for path in (tmp_path / "copy").rglob("*") if path.is_file())

    def test_for_a_court_the_private_details_go_with_it_and_are_checked(self, world: World, tmp_path: Path) -> None:
        with world.open() as log:
            export(source(world), tmp_path / "copy", log.details.bundle)
        assert verify(Folder(tmp_path / "copy"), parse_vkey(world.vkey())).details == 601

    def test_it_never_writes_into_a_folder_that_holds_something(self, world: World) -> None:
        with pytest.raises(AuditError, match="not empty"):
            export(source(world), world.log_dir, lambda _number: [])


class TestProbe:
    """A resolver that is a dictionary; the log says list 1 was replaced by list 2, which withdrew `gone.example`."""

    def documents(self, folder: Path) -> tuple[list[Path], list[str]]:
        from hashlib import sha256

        one = entry("gone.example", 1) + entry("kept.example", 2)
        two = (
            entry("kept.example", 2)
            + entry("new.example", 3, "exact")
            + entry("old.example", 4, expires="2026-01-01T00:00:00Z")
        )
        paths, states = [], []
        for number, text in enumerate((one, two)):
            paths.append(folder / f"full-{number}.zst")
            paths[-1].write_bytes(zstandard.compress(text.encode()))
            states.append("sha256:" + sha256(text.encode()).hexdigest())
        return paths, states

    def told(self, world: World, states: list[str]) -> None:
        with world.open() as log:
            for version, state in enumerate(states, 1):
                detail = {"list": "gambling", "version": version, "state": state, "action": "stop-page"}
                log.append("list-activated", f"gambling/{version}", detail)

    def bypass(self, world: World, live: LiveExceptions) -> None:
        """The leaves of the newest change of the off switch."""
        with world.open() as log:
            for kind, detail in details(live.pending_log[-1]):
                log.append(kind, "", detail)

    def outcome(self, world: World, paths: list[Path], stopped: dict[str, str]) -> tuple[int, list[str], list[str]]:
        def asking(name: str, *, tcp: bool) -> Answer | None:
            for at in range(name.count(".") + 1):
                if (reference := stopped.get(name.split(".", at)[-1])) is not None:
                    return Answer("NOERROR", ("192.0.2.66",), 16, f"{reference} https://stop.isp.example/")
            return Answer("NOERROR", ("198.51.100.7",))

        found = probe(source(world), published_details(source(world)), paths, asking, sample=10, seed=1, now=NOON)
        return found.asked, [one["name"] for one in found.wrong], found.remarks

    def test_a_resolver_that_does_what_the_log_says(self, tmp_path: Path) -> None:
        world = World(tmp_path / "w")
        paths, states = self.documents(tmp_path)
        self.told(world, states)
        stopped = {"kept.example": f"{2:016}", "new.example": f"{3:016}"}
        asked, wrong, remarks = self.outcome(world, paths, stopped)
        assert (wrong, remarks) == ([], [])
        assert (
            asked == 5
        )  # two of kept's subtree, new's name, gone's; the first over TCP too; the expired one not at all

    def test_an_entry_that_is_not_stopped_and_a_withdrawn_one_that_is(self, tmp_path: Path) -> None:
        world = World(tmp_path / "w")
        paths, states = self.documents(tmp_path)
        self.told(world, states)
        _, wrong, _ = self.outcome(world, paths, {"kept.example": f"{2:016}", "gone.example": f"{1:016}"})
        assert wrong == ["new.example", "gone.example"]

    @pytest.mark.parametrize("kind", ["relief-applied", "suspended-here"])
    def test_what_the_log_says_is_suspended_must_pass_and_is_asked(self, tmp_path: Path, kind: str) -> None:
        world = World(tmp_path / "w")
        paths, states = self.documents(tmp_path)
        self.told(world, states)
        with world.open() as log:
            log.append(kind, "gambling/2", {"list": "gambling", "suspended": 1, "references": [f"{2:016}"]})
        honest = {"new.example": f"{3:016}"}
        assert self.outcome(world, paths, honest)[1:] == ([], [])
        still = {**honest, "kept.example": f"{2:016}"}
        assert "kept.example" in self.outcome(world, paths, still)[1]
        with world.open() as log:  # it is in force again
            log.append(kind, "gambling/2", {"list": "gambling", "suspended": 0, "references": []})
        assert self.outcome(world, paths, still)[1:] == ([], [])
        assert "kept.example" in self.outcome(world, paths, honest)[1]

    def test_where_more_is_suspended_than_the_log_names_nobody_is_blamed(self, tmp_path: Path) -> None:
        world = World(tmp_path / "w")
        paths, states = self.documents(tmp_path)
        self.told(world, states)
        with world.open() as log:
            log.append("relief-applied", "gambling/2", {"list": "gambling", "suspended": 100_000})
        _, wrong, remarks = self.outcome(world, paths, {})
        assert wrong == []
        assert "more is suspended than the log names" in remarks[0]

    @pytest.mark.parametrize(("kind", "of"), [("all", ""), ("list", "gambling")])
    def test_what_the_log_says_is_bypassed_is_not_asked(self, tmp_path: Path, kind: Kind, of: str) -> None:
        world = World(tmp_path / "w")
        paths, states = self.documents(tmp_path)
        self.told(world, states)
        live = LiveExceptions().on(Bypass(kind, of, int(NOON) - 60, FOR_EVER, "root"))
        self.bypass(world, live)
        what = "everything" if kind == "all" else "it"
        bypassed = f"by the log {what} is bypassed since 2026-11-22T11:59:00Z, until it is switched off"
        remark = f"list gambling: {bypassed}, so it was not asked"
        assert self.outcome(world, paths, {}) == (2, [], [remark]), "what is withdrawn must pass all the same"
        assert self.outcome(world, paths, {"gone.example": f"{1:016}"})[1] == ["gone.example"] * 2
        self.bypass(world, live.off(kind, of, now=int(NOON), by="root"))
        assert "new.example" in self.outcome(world, paths, {})[1]

    @pytest.mark.parametrize(("kind", "of"), [("all", ""), ("list", "gambling"), ("list", "other")])
    def test_a_bypass_of_another_list_or_that_has_ended_excuses_nothing(
        self, tmp_path: Path, kind: Kind, of: str
    ) -> None:
        world = World(tmp_path / "w")
        paths, states = self.documents(tmp_path)
        self.told(world, states)
        end = FOR_EVER if of == "other" else int(NOON)
        self.bypass(world, LiveExceptions().on(Bypass(kind, of, int(NOON) - 60, end, "root")))
        _, wrong, remarks = self.outcome(world, paths, {})
        assert ("new.example" in wrong, remarks) == (True, [])

    def test_a_bypass_of_a_name_is_remarked_as_an_override_is(self, tmp_path: Path) -> None:
        world = World(tmp_path / "w")
        paths, states = self.documents(tmp_path)
        self.told(world, states)
        live = LiveExceptions().on(Bypass("name", "new.example", int(NOON) - 60, FOR_EVER, "root"))
        self.bypass(world, live)
        stopped = {"kept.example": f"{2:016}"}
        _, wrong, remarks = self.outcome(world, paths, stopped)
        assert (wrong, remarks) == (
            ["new.example"],
            ["by the log the off switch is on for 1 name: some names may pass by it"],
        )
        self.bypass(world, live.off("name", "new.example", now=int(NOON), by="root"))
        assert self.outcome(world, paths, stopped)[1:] == (["new.example"], [])

    def test_a_list_that_nobody_logged_counts_for_nothing(self, tmp_path: Path) -> None:
        world = World(tmp_path / "w")
        paths, states = self.documents(tmp_path)
        self.told(world, states[1:])
        with pytest.raises(AuditError, match="no list that this log speaks of"):
            self.outcome(world, paths, {})

    def test_it_says_which_list_it_could_not_ask(self, tmp_path: Path) -> None:
        world = World(tmp_path / "w")
        paths, states = self.documents(tmp_path)
        self.told(world, states)
        _, _, remarks = self.outcome(world, paths[:1], {})
        assert "list gambling, version 2, was not asked" in remarks[0]
        assert "withdrawn names were not asked" in remarks[1]

    def test_an_address_is_an_address(self) -> None:
        assert Asker.at("0.0.0.0:53") == Asker("127.0.0.1", 53)
        assert Asker.at("[2001:db8::1]:5300") == Asker("2001:db8::1", 5300)
        with pytest.raises(AuditError, match="not an address"):
            Asker.at("resolver")


def test_a_copied_folder_is_as_good_as_an_export(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.log_dir, tmp_path / "copy")
    assert verify(Folder(tmp_path / "copy"), parse_vkey(world.vkey())).checkpoint.size == 601
