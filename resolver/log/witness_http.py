"""A witness's answer to `add-checkpoint` (c2sp.org/tlog-witness), decided without a socket or a file.

Enters: the body of a request, the logs' keys, and for the body's log the tree that was cosigned last. Leaves: an
answer, and where it is 200 the tree to store before the answer goes out. For the other side: a request's body, and what
an answer says. Rules, in the order of the text: 400 what has not the form, 404 a log that nobody named, 403 without a
signature of that log, 400 an old size beyond the new one, 409 with the size that was seen where the request starts from
another, 422 a proof that does not prove it, one size with two roots, an empty tree with another root than the empty
one's. (The text of 2026-07; version 1.0.0 had 409 for two roots.)
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.log.checkpoint import Checkpoint, decimal, digest, open_checkpoint, parse_checkpoint
from resolver.log.errors import MalformedError, UntrueError
from resolver.log.merkle import EMPTY_ROOT, check_consistency
from resolver.log.note import Note, open_note, parse_note, parse_signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from resolver.log.note import Signature, Signer, Verifier

PATH = "add-checkpoint"
MAX_HASHES = 63
MAX_REQUEST = 1 << 16
"""Octets of a request: a checkpoint with a few large cosignatures and 63 hashes have room in it many times."""
SIZE = "text/x.tlog.size"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """What a log (or its client) asks: nothing of it is checked yet."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes
    origin: str

    def encode(self) -> bytes:
        lines = [f"old {self.old}", *(base64.b64encode(one).decode() for one in self.proof)]
        return ("\n".join(lines) + "\n\n").encode() + self.note


@dataclass(frozen=True)
class Seen:
    """A tree that was cosigned, the empty one at first."""

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True)
class Answer:
    """What goes back. `seen` and `note` (the cosigned checkpoint) are to be stored before that; `note` without `seen`
    is a signed checkpoint that contradicts what was cosigned, to be kept as evidence."""

    status: int
    body: str
    kind: str = TEXT
    seen: Seen | None = None
    note: bytes = b""


def parse_request(body: bytes) -> Request:
    """Raises `MalformedError`."""
    if len(body) > MAX_REQUEST:
        raise MalformedError(f"the request is longer than {MAX_REQUEST} octets")
    head, blank, note = body.partition(b"\n\n")
    if not blank:
        raise MalformedError("the request has no empty line before the checkpoint")
    try:
        first, *hashes = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise MalformedError("the lines before the checkpoint are not ASCII") from None
    word, _, size = first.partition(" ")
    if word != "old":
        raise MalformedError("the first line is not `old SIZE`")
    if len(hashes) > MAX_HASHES:
        raise MalformedError(f"more than {MAX_HASHES} hashes")
    origin = parse_checkpoint(parse_note(note).text).origin
    return Request(decimal(size, "the old size"), tuple(map(digest, hashes)), note, origin)


def answer(request: Request, logs: Sequence[Verifier], seen: Seen, keys: Sequence[Signer], now: int) -> Answer:
    """`seen` is what was cosigned of the request's log; `now` the time that the cosignatures carry."""
    trusted = [one for one in logs if one.name == request.origin]
    if not trusted:
        return Answer(404, "this witness does not know the log\n")
    try:
        text, _ = open_note(request.note, trusted)
    except UntrueError as wrong:
        return Answer(403, f"{wrong}\n")
    head = parse_checkpoint(text)
    if request.old > head.size:
        return Answer(400, f"the old size {request.old} is beyond the checkpoint's {head.size}\n")
    forked = head.size == seen.size and head.root != seen.root
    evidence = request.note if forked else b""
    if request.old != seen.size:
        return Answer(409, f"{seen.size}\n", SIZE, note=evidence)
    try:
        check_consistency(seen.size, seen.root, head.size, head.root, request.proof)
    except UntrueError as wrong:
        return Answer(422, f"{wrong}\n", note=evidence)
    mine = tuple(key.sign(text, now) for key in keys)
    cosigned = merged(request.note, mine)
    lines = "".join(one.line() for one in mine)
    return Answer(200, lines, TEXT, Seen(head.size, head.root), cosigned)


def merged(note: bytes, more: Iterable[Signature]) -> bytes:
    """The note with these signatures on it, in place of older ones by the same keys."""
    parsed, added = parse_note(note), tuple(more)
    own = {(one.name, one.key_id) for one in added}
    kept = (one for one in parsed.signatures if (one.name, one.key_id) not in own)
    return Note(parsed.text, (*kept, *added)).encode()


def cosignatures(
    body: bytes, note: bytes, log: Verifier, witnesses: Sequence[Verifier]
) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """The cosignatures by these witnesses in the body of a 200; those by unknown keys are ignored. Raises
    `MalformedError`, or `UntrueError` where a known one is wrong or there is none."""
    try:
        lines = body.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise MalformedError("the witness's answer is not UTF-8") from None
    known = {(one.name, one.key_id) for one in witnesses}
    given = [one for one in map(parse_signature, lines) if (one.name, one.key_id) in known]
    if not given:
        raise UntrueError("the answer has no cosignature by a key that was given for this witness")
    head, signed = open_checkpoint(merged(note, given), log, witnesses)
    return head, tuple(one.signature for one in signed if one.signature in given)


def known_size(body: bytes) -> int:
    """The size in the body of a 409; raises `MalformedError`."""
    text = body.decode("ascii", "replace")
    if not text.endswith("\n"):
        raise MalformedError("the size in the witness's answer does not end in a newline")
    return decimal(text[:-1], "the size that the witness saw")
