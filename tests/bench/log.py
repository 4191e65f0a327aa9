"""The log at ten million leaves: does anything grow with it that should not?

    python -m tests.bench.log [--leaves N] [--dir DIR]

Enters: how many leaves, and a folder (kept if it is named, and gone on with). Leaves: leaves a second in bulk by each
tenth of the way, filled without waiting for the disk; and, in a fresh process each, at a hundredth and at the whole:
milliseconds to open, for a durable append, to prove a leaf and to prove consistency, leaves a second in bulk and
durable, and the most memory that the process ever had.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from resolver.log.checkpoint import parse_checkpoint
from resolver.log.disk import Disk
from resolver.log.merkle import check_consistency, consistency_proof, tree_root
from resolver.log.note import MAX_NOTE, parse_note, parse_vkey
from resolver.log.proof import check_proof, prove
from resolver.log.source import Folder
from resolver.log.tiles import TileReader
from resolver.log.writer import Event, Log

BULK = 16_384  # leaves under one checkpoint while the log is filled
SINGLES, PROOFS = 100, 50


@dataclass(frozen=True)
class Places:
    """A log's two folders."""

    root: Path

    @property
    def log_dir(self) -> Path:
        return self.root / "log"

    @property
    def audit_dir(self) -> Path:
        return self.root / "audit"


class Hasty(Disk):
    """The real file system, without waiting for it: what is filled here need not outlive a power cut."""

    def sync(self, path: Path) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


def event(number: int) -> Event:
    detail = {"list": "gambling", "version": number, "entries": 172_465, "added": number % 50, "removed": number % 3}
    return Event("list-activated", f"gambling/{number}", detail)


def fill(places: Places, leaves: int) -> None:
    """Up to so many leaves, told by the tenth."""
    with Log.open(places, disk=Hasty()) as log:
        size = begun = log.reader().size
        for tenth in range(1, 11):
            goal, start = begun + (leaves - begun) * tenth // 10, time.perf_counter()
            first = size
            while size < goal:
                size = log.append_many(event(number) for number in range(size, min(goal, size + BULK))).stop
            if size > first:
                rate = (size - first) / (time.perf_counter() - start)
                click.echo(f"{size:>12,} leaves {rate:12,.0f} a second in bulk, {most_memory():6.0f} MiB at most")


def measure(places: Places) -> dict[str, float]:
    """Of the log as it lies there, in this process, which did nothing before."""
    start = time.perf_counter()
    with Log.open(places) as log:
        opened = time.perf_counter() - start
        size = log.reader().size
        start = time.perf_counter()
        for number in range(SINGLES):
            log.append("heartbeat", "", {"generation": number})
        single = (time.perf_counter() - start) / SINGLES
        start = time.perf_counter()
        log.append_many(event(number) for number in range(BULK))
        bulk = BULK / (time.perf_counter() - start)
        key = log.vkey
    source = Folder(places.log_dir)
    head = parse_checkpoint(parse_note(source.fetch("checkpoint", MAX_NOTE)).text)
    indexes = [head.size * number // PROOFS for number in range(PROOFS)]
    start = time.perf_counter()
    proofs = [prove(source, index) for index in indexes]
    inclusion = (time.perf_counter() - start) / PROOFS
    for proof in proofs:
        check_proof(proof, parse_vkey(key))
    start = time.perf_counter()
    for index in indexes[1:]:
        reader = TileReader(source.fetch, head.size)
        hashes = consistency_proof(index, head.size, reader.node)
    consistency = (time.perf_counter() - start) / (PROOFS - 1)
    reader = TileReader(source.fetch, head.size)
    check_consistency(indexes[-1], tree_root(indexes[-1], reader.node), head.size, head.root, hashes)
    return {
        "leaves": size, "open_ms": opened * 1e3, "append_ms": single * 1e3, "inclusion_ms": inclusion * 1e3,
        "bulk": bulk, "consistency_ms": consistency * 1e3, "memory_mib": most_memory(), "proof_bytes": len(proofs[-1]),
    }  # fmt: skip


def most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tell(folder: Path) -> None:
    """Measures in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.log", "--measure", "--dir", str(folder)],
        check=True, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    told = json.loads(done.stdout)
    click.echo(
        f"{told['leaves']:>12,.0f} leaves: open {told['open_ms']:.1f} ms, durable append {told['append_ms']:.2f} ms "
        f"({told['bulk']:,.0f} a second in bulk), "
        f"inclusion proof {told['inclusion_ms']:.2f} ms ({told['proof_bytes']:.0f} bytes), "
        f"consistency proof {told['consistency_ms']:.2f} ms, {told['memory_mib']:.0f} MiB at most"
    )


@click.command()
@click.option("--leaves", default=10_000_000, show_default=True)
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="Where the log lies.  [default: a temporary one]"
)
@click.option("--measure", "only", is_flag=True, help="Of the log in --dir, as JSON.")
def main(leaves: int, folder: Path | None, *, only: bool) -> None:
    """Fill a log and measure it."""
    if only and folder is not None:
        click.echo(json.dumps(measure(Places(folder))))
        return
    with tempfile.TemporaryDirectory(prefix="stopsign-log-") as temporary:
        where = folder or Path(temporary)
        fill(Places(where), max(leaves // 100, 1))
        tell(where)
        fill(Places(where), leaves)
        tell(where)


if __name__ == "__main__":
    main()
