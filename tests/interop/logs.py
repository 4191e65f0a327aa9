"""Logs that other people's programs read: of sizes around a tile's, with proofs of leaves at the edges.

Enters: the command of a reader (LOG VKEY PROOF…). Leaves: a line for each log, and whether it is as it must be: an
honest one is read whole, one with a changed leaf or a proof of another leaf is refused.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from resolver.log.proof import prove
from resolver.log.source import Folder
from resolver.log.writer import Event
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZES = (1, 255, 256, 257, 600)


def results(folder: Path, command: list[str]) -> Iterator[tuple[bool, str]]:
    """Each log of `SIZES`, and what the reader made of it."""
    for size in SIZES:
        world = World(folder / str(size))
        with world.open() as log:
            log.append_many(
                Event("list-activated", f"gambling/{number}", {"version": number}) for number in range(size)
            )
        proofs = [_proof(world, index) for index in sorted({0, size // 2, size - 1})]
        done = _read(command, world, proofs)
        yield done.stdout.strip() == f"{size} leaves {len(proofs)} proofs", f"{size} leaves: {_said(done)}"
        if size > 1:
            proofs[0].write_text(proofs[0].read_text("utf-8").replace("\nindex 0\n", "\nindex 1\n"), "utf-8")
            done = _read(command, world, proofs)
            yield done.returncode != 0, f"{size} leaves, a proof of another leaf: {_said(done)}"
        bundle = next((world.log_dir / "tile" / "entries").rglob("000*"))
        bundle = next(bundle.iterdir()) if bundle.is_dir() else bundle
        bundle.write_bytes(bundle.read_bytes().replace(b"gambling/0", b"gambling/9", 1))
        done = _read(command, world, [])
        yield done.returncode != 0, f"{size} leaves, one of them changed: {_said(done)}"


def _proof(world: World, index: int) -> Path:
    path = world.root / f"{index}.tlog-proof"
    path.write_bytes(prove(Folder(world.log_dir), index))
    return path


def _read(command: list[str], world: World, proofs: list[Path]) -> subprocess.CompletedProcess[str]:
    typed = [*command, str(world.log_dir), world.vkey(), *map(str, proofs)]
    return subprocess.run(typed, capture_output=True, text=True, check=False, timeout=120)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.strip() or f"refused: {done.stderr.strip()[-200:]}"
