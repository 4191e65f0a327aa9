"""`audit export`: a copy of a log that stands alone, at one checkpoint, for somebody else's machine.

Enters: a source, an empty folder, the details that may go with it. Leaves: checkpoint, key, tiles, bundles and details
of exactly the leaves that the checkpoint speaks of. Rules: whatever is copied is what `verify` reads, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklists import durable
from resolver.log.checkpoint import Checkpoint, parse_checkpoint
from resolver.log.details import public_form
from resolver.log.errors import AuditError
from resolver.log.leaf import canonical
from resolver.log.note import MAX_NOTE, parse_note
from resolver.log.source import COSIGNED, cosigned_beside
from resolver.log.tiles import WIDTH, TileReader, bundle_path, number_path, pack_bundle, tile_path, width_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resolver.log.leaf import Detail
    from resolver.log.source import Source


def export(
    source: Source,
    target: Path,
    details: Callable[[int], list[Detail]],
    progress: Callable[[int, int], None] = lambda _done, _size: None,
) -> Checkpoint:
    """Copies a log into an empty folder; the checkpoint last, so that a copy broken off is none."""
    if target.exists() and any(target.iterdir()):
        raise AuditError(f"{target} is not empty", hint="a copy is of one checkpoint; give a new folder")
    cosigned = cosigned_beside(source)
    note = source.fetch("checkpoint", MAX_NOTE)
    head = parse_checkpoint(parse_note(note).text)
    reader = TileReader(source.fetch, head.size)
    durable.make_folder(target)
    for number in range(-(-head.size // WIDTH)):
        width = width_at(0, number, head.size)
        _put(target / bundle_path(number, width), pack_bundle(reader.bundle(number)))
        known = [detail for detail in details(number) if detail.index < head.size]
        if known:
            lines = b"".join(canonical(public_form(detail)) + b"\n" for detail in known)
            _put(target / "details" / f"{number_path(number)}.jsonl", lines)
        progress(number * WIDTH + width, head.size)
    level = 0
    while hashes := head.size >> (8 * level):
        for number in range(-(-hashes // WIDTH)):
            _put(target / tile_path(level, number, width_at(level, number, head.size)), reader.read_tile(level, number))
        level += 1
    durable.replace(target / "log.vkey", source.fetch("log.vkey", MAX_NOTE))
    if cosigned is not None:
        durable.replace(target / COSIGNED, cosigned)
    durable.replace(target / "checkpoint", note)
    return head


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
