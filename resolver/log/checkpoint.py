"""Checkpoints, as in c2sp.org/tlog-checkpoint: the signed statement "my tree has this size and this root".

Enters: a note's bytes and keys. Leaves: a `Checkpoint`, or an error. Rules: three lines (origin, size without leading
zeroes, root in base64), then optional lines that must not be empty; the origin must be that of the key.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.log.errors import MalformedError, UntrueError
from resolver.log.merkle import HASH_SIZE
from resolver.log.note import Note, Signed, Signer, Verifier, decode_base64, open_note

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Checkpoint:
    """A tree head: who, how many leaves, which root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """The note's text."""
        lines = [self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions]
        return "".join(line + "\n" for line in lines)

    def sign(self, signer: Signer) -> bytes:
        """The signed note."""
        return Note(self.text(), (signer.sign(self.text()),)).encode()


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint from a note's text; raises `MalformedError`. The signature is the caller's business."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "" or "" in lines:
        raise MalformedError("a checkpoint is at least three lines, none of them empty")
    origin, size, root = lines[:3]
    return Checkpoint(origin, decimal(size, "the size of the tree"), digest(root), tuple(lines[3:]))


def open_checkpoint(
    data: bytes, key: Verifier, witnesses: Iterable[Verifier] = ()
) -> tuple[Checkpoint, tuple[Signed, ...]]:
    """The checkpoint that the log's key signed, and the witnesses that cosigned it."""
    others = distinct(key, witnesses)
    text, signed = open_note(data, [key, *others])
    if all(one.verifier != key for one in signed):
        raise UntrueError(f"the checkpoint is not signed by the log's key {key.name} ({key.key_id.hex()})")
    checkpoint = parse_checkpoint(text)
    if checkpoint.origin != key.name:
        raise UntrueError(f"the checkpoint is of {checkpoint.origin!r}, the key is that of {key.name!r}")
    return checkpoint, tuple(one for one in signed if one.verifier != key)


def distinct(key: Verifier, witnesses: Iterable[Verifier]) -> tuple[Verifier, ...]:
    """The witnesses; raises `MalformedError` where two are one key, whatever they are called, or one is the log's own:
    a witness is a key, and a quorum of one key under two names proves what one signature proves."""
    seen = {key.public: f"the log {key.name}"}
    found = tuple(witnesses)
    for one in found:
        if one.public in seen:
            raise MalformedError(
                f"the witness {one.name} has the key of {seen[one.public]}",
                hint="a witness is a key, not a name, and never the log's own: name each once",
            )
        seen[one.public] = f"the witness {one.name}"
    return found


def decimal(text: str, what: str) -> int:
    """ASCII decimal without leading zeroes, below 2**63."""
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0") or len(text) > 19:
        raise MalformedError(f"{what} is not a plain number: {text[:40]!r}")
    value = int(text)
    if value >= 1 << 63:
        raise MalformedError(f"{what} is too large: {text}")
    return value


def digest(encoded: str) -> bytes:
    """One base64 SHA-256 hash."""
    value = decode_base64(encoded, "a hash")
    if len(value) != HASH_SIZE:
        raise MalformedError(f"a hash has {len(value)} bytes in place of {HASH_SIZE}")
    return value
