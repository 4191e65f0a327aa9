"""Proofs that stand alone, as in c2sp.org/tlog-proof: this leaf is in that log, checked offline with the log's key.

Enters: a tree and an index, or a proof's bytes and keys. Leaves: a proof, or what it proves, or `UntrueError`. Rules:
the `extra` line carries the leaf itself and, where the holder may see it, salt and detail; neither is believed before
the leaf hash comes out at the signed root and the detail at the leaf.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resolver.log.checkpoint import Checkpoint, decimal, digest, open_checkpoint, parse_checkpoint
from resolver.log.errors import MalformedError, UntrueError
from resolver.log.leaf import Detail, Leaf, canonical, parse_detail, parse_leaf
from resolver.log.merkle import check_inclusion, inclusion_proof, leaf_hash
from resolver.log.note import MAX_NOTE, decode_base64, parse_note
from resolver.log.policy import Policy
from resolver.log.tiles import TileReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resolver.log.note import Signed, Verifier
    from resolver.log.source import Source

HEADER = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
MAX_HASHES = 63


@dataclass(frozen=True)
class Proof:
    """A proof as it was written; nothing of it is checked yet."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        lines = [HEADER]
        if self.extra:
            lines.append("extra " + base64.b64encode(self.extra).decode())
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(one).decode() for one in self.hashes]
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint


@dataclass(frozen=True)
class Proven:
    """What a proof showed to be true: this leaf is under this checkpoint."""

    index: int
    leaf: Leaf
    detail: Detail | None
    checkpoint: Checkpoint
    witnesses: tuple[Signed, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": True,
            "index": self.index,
            "type": self.leaf.type,
            "hour": self.leaf.hour,
            "reference": self.leaf.reference,
            "detail": None if self.detail is None else self.detail.value,
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "witnesses": [{"name": one.verifier.name, "time": one.time} for one in self.witnesses],
        }


def prove(source: Source, index: int, detail: Detail | None = None) -> bytes:
    """A proof of one leaf under the log's newest checkpoint, with its detail where the holder may see it."""
    note = source.fetch("checkpoint", MAX_NOTE)
    head = parse_checkpoint(parse_note(note).text)
    reader = TileReader(source.fetch, head.size)
    if not 0 <= index < head.size:
        raise UntrueError(f"there is no leaf {index}: the log has {head.size}")
    entry = reader.entry(index)
    extra: dict[str, Any] = {"leaf": json.loads(entry)}
    if detail is not None and detail.erased is None:
        detail.check(parse_leaf(entry))
        extra |= {"salt": detail.salt, "detail": detail.value}
    hashes = inclusion_proof(index, head.size, reader.node)
    check_inclusion(leaf_hash(entry), index, head.size, hashes, head.root)  # never hand out a proof that is none
    return Proof(index, tuple(hashes), note, canonical(extra)).encode()


def parse_proof(data: bytes) -> Proof:
    """Raises `MalformedError`."""
    if len(data) > 2 * MAX_NOTE:
        raise MalformedError("the proof is longer than 2 MiB")
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise MalformedError("the proof's lines are not ASCII") from None
    if not blank or lines.pop(0) != HEADER:
        raise MalformedError(f"not a proof: it does not begin with {HEADER}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "), "the extra data")
    if not lines or not lines[0].startswith("index "):
        raise MalformedError("the proof has no index")
    index = decimal(lines.pop(0).removeprefix("index "), "the index")
    if len(lines) > MAX_HASHES:
        raise MalformedError(f"the proof has more than {MAX_HASHES} hashes")
    return Proof(index, tuple(digest(line) for line in lines), checkpoint, extra)


def check_proof(
    data: bytes, key: Verifier, *, witnesses: Sequence[Verifier] = (), quorum: int = 0, policy: Policy | None = None
) -> Proven:
    """The four steps of the specification: the leaf's hash, the log's signature, the witnesses', the inclusion."""
    proof, policy = parse_proof(data), policy or Policy.of(witnesses, quorum)
    try:
        extra = json.loads(proof.extra)
        entry = canonical(extra["leaf"])
        leaf = parse_leaf(entry)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MalformedError("the proof does not carry its leaf", hint="`stopsign audit prove` makes such") from None
    checkpoint, cosigned = open_checkpoint(proof.checkpoint, key, policy.witnesses)
    policy.check(key, [one.verifier for one in cosigned])
    check_inclusion(leaf_hash(entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    detail = None
    if "salt" in extra:
        detail = parse_detail(json.dumps({"index": proof.index, "salt": extra["salt"], "detail": extra.get("detail")}))
        detail.check(leaf)
    return Proven(proof.index, leaf, detail, checkpoint, cosigned)
