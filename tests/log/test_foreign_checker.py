"""The checker that was written from docs/auditor.md, on logs and proofs that this program makes."""

from __future__ import annotations

import ast
import base64
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from resolver.log.leaf import PUBLIC
from resolver.log.proof import prove
from resolver.log.source import Folder
from resolver.log.writer import Event
from tests.log import checker
from tests.rigs.command_line import run
from tests.rigs.lists_world import World as Provider
from tests.rigs.lists_world import settings
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from resolver.log.writer import Log

SOURCE = Path(checker.__file__).read_text("utf-8")


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    with world.open() as log:
        fill(log)
        log.erase(3, "a mistake")
    return world


def fill(log: Log) -> None:
    log.append("appeal-received", "7ZK3M9Q2XW4T8RBC", {"reason": "this is my bäckerei"})
    log.append_many(Event("list-activated", f"gambling/{n}", {"version": n, "é": [None, 1.5]}) for n in range(600))


def test_it_is_short_and_needs_the_standard_library_alone() -> None:
    imported = {
        alias.name.split(".")[0] if isinstance(node, ast.Import) else str(node.module).split(".")[0]
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names
    assert len([line for line in SOURCE.splitlines() if line.strip()]) < 130


def test_the_document_names_every_type_that_has_a_public_detail() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "auditor.md").read_text("utf-8")
    assert set(PUBLIC) == checker.PUBLIC
    assert all(f"`{kind}`" in guide for kind in PUBLIC)


def test_it_finds_an_honest_log_whole(world: World) -> None:
    assert checker.check_log(world.log_dir) == 600  # one of 601 was erased; the erasure has a detail of its own


def test_it_finds_a_detail_that_is_gone(world: World) -> None:
    path = world.log_dir / "details/000.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(checker.Wrong, match=r"no detail of the leaves \[1\]"):
        checker.check_log(world.log_dir)


def test_key_and_signature_are_encoded_as_the_document_says(world: World) -> None:
    """By the document's words and an Ed25519 of somebody else's, without our reader of notes."""
    name, key_id, key = world.vkey().split("+", 2)
    public = base64.b64decode(key)[1:]
    assert sha256(name.encode() + b"\x0a\x01" + public).hexdigest()[:8] == key_id
    text, _, signatures = (world.log_dir / "checkpoint").read_text("utf-8").partition("\n\n")
    dash, signer, signature = signatures.strip().split(" ")
    octets = base64.b64decode(signature)
    assert (dash, signer, octets[:4].hex()) == ("\u2014", name, key_id)
    Ed25519PublicKey.from_public_bytes(public).verify(octets[4:], f"{text}\n".encode())


@pytest.mark.parametrize("leaf", [0, 1, 255, 256, 511, 512, 600])
def test_it_follows_a_proof(world: World, leaf: int) -> None:
    with world.open() as log:
        text = prove(Folder(world.log_dir), leaf, log.details.get(leaf)).decode()
    at, told, detail = checker.check_proof(text)
    assert (at, told["type"]) == (leaf, "list-activated" if leaf else "appeal-received")
    assert detail["version"] == leaf - 1 if leaf else detail["reason"] == "this is my bäckerei"
    with pytest.raises(checker.Wrong):
        checker.check_proof(text.replace(f"index {leaf}\n", f"index {leaf ^ 1}\n"))


def test_it_follows_what_was_blocked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provider = Provider(tmp_path)
    (tmp_path / "stopsign.yaml").write_text(json.dumps(settings(tmp_path)))
    provider.take(1, ["old.example"])
    provider.stop()
    typed = ("was-blocked", "old.example", "--on", "2026-11-22", "--config", tmp_path / "stopsign.yaml")
    assert run(capsys, "audit", *typed, "--output", tmp_path / "proof")[0] == 0
    (folder,) = (tmp_path / "proof").iterdir()
    lines = zstandard.ZstdDecompressor().decompressobj().decompress((folder / "document.zst").read_bytes())
    assert checker.check_blocked(folder, lines) == ["old.example"]
    typed_by_hand = [sys.executable, checker.__file__, str(folder)]
    said = subprocess.run(typed_by_hand, input=lines, capture_output=True, check=True).stdout.decode()
    assert said == "old.example are what the leaf activated, on the grounds beside it\n"
    with pytest.raises(checker.Wrong, match="applied"):
        checker.check_blocked(folder, lines.replace(b"old", b"new"))
