"""Witnessing: somebody else says "I saw this tree, and it continues the one that I saw before" (c2sp.org/tlog-witness).

Enters: a log (a copy or an address), its key, the witness's key, and what the witness last saw. Leaves: a cosigned
checkpoint. Rules: all from static files; a tree is cosigned only if a consistency proof from the last one leads to the
signed root; what was seen is on disk before the cosignature is handed out; a signed tree that contradicts the last one
is kept as evidence and never cosigned. The folder is laid out as the specification's monitoring prefix, so that it can
be published as it is: `<sha256 of the origin>/checkpoint`.
"""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from blocklists import durable
from blocklists.errors import why
from resolver.log.checkpoint import Checkpoint, open_checkpoint
from resolver.log.disk import lock, unlock
from resolver.log.errors import AuditError, MalformedError, MissingError, UntrueError
from resolver.log.merkle import check_consistency, consistency_proof
from resolver.log.note import COSIGNATURE, COSIGNATURES, MAX_NOTE, Note, Signer, parse_note, parse_secret
from resolver.log.source import Folder
from resolver.log.tiles import TileReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from resolver.log.note import Signed, Verifier
    from resolver.log.policy import Policy
    from resolver.log.source import Source


def cosign(source: Source, key: Verifier, witness: Signer, seen: Path, clock: Callable[[], float]) -> bytes:
    """The log's newest checkpoint with this witness's cosignature, which is stored under `seen` first."""
    folder = seen / sha256(key.name.encode()).hexdigest()
    durable.make_folder(folder)
    with _alone(folder):
        note = source.fetch("checkpoint", MAX_NOTE)
        head, _ = open_checkpoint(note, key)
        before = _last(folder, key)
        try:
            check_continues(source, before, head)
        except UntrueError as wrong:
            kept = folder / f"contradiction-{sha256(note).hexdigest()[:16]}"
            durable.replace(kept, note)
            raise UntrueError(
                f"not cosigned: {wrong}",
                hint=f"the checkpoint is kept in {kept}, with the log's signature",
            ) from wrong
        parsed = parse_note(note)
        mine = witness.sign(parsed.text, int(clock()))
        durable.replace(seen / "witness.vkey", f"{witness.verifier}\n".encode())
        others = tuple(one for one in parsed.signatures if (one.name, one.key_id) != (mine.name, mine.key_id))
        cosigned = Note(parsed.text, (*others, mine)).encode()
        durable.replace(folder / "checkpoint", cosigned)
        return cosigned


def check_continues(source: Source, before: Checkpoint, head: Checkpoint) -> None:
    """Raises `UntrueError` unless the tree of `before` is the beginning of that of `head`, by a proof from tiles."""
    if before.size > head.size:
        raise UntrueError(f"an old copy, or the log has shrunk: {before.size} were seen, now {head.size}")
    try:
        proof = consistency_proof(before.size, head.size, TileReader(source.fetch, head.size).node)
    except (MissingError, MalformedError) as wrong:
        raise AuditError(f"no consistency proof can be made: {wrong}", hint="the copy is not whole") from wrong
    check_consistency(before.size, before.root, head.size, head.root, proof)


def witness_verify(
    notes: Sequence[bytes], key: Verifier, policy: Policy, source: Source | None
) -> list[tuple[Checkpoint, Signed]]:
    """The cosignatures that count, a quorum of them; and that all the cosigned trees are one log's.

    With `source`, each cosigned tree is held against the log by a proof; without it, all must be of one size.
    """
    counted: dict[str, tuple[Checkpoint, Signed]] = {}
    for note in notes:
        head, cosigned = open_checkpoint(note, key, policy.witnesses)
        for one in cosigned:
            known = counted.get(str(one.verifier))
            if known is None or known[0].size <= head.size:
                counted[str(one.verifier)] = (head, one)
    trees = {(head.size, head.root): head for head, _ in counted.values()}
    if len({size for size, _ in trees}) < len(trees):
        raise UntrueError("the witnesses saw two different trees of one size: the log is forked")
    if source is not None:
        now, _ = open_checkpoint(source.fetch("checkpoint", MAX_NOTE), key)
        for head in trees.values():
            check_continues(source, head, now)
    elif len(trees) > 1:
        raise AuditError(
            "the witnesses saw trees of different sizes",
            hint="give --log, so that one is proved to continue the other",
        )
    policy.check(key, [one.verifier for _, one in counted.values()])
    return sorted(counted.values(), key=lambda pair: pair[1].verifier.name)


def new_witness(path: Path, name: str, random: Callable[[int], bytes], kind: int = COSIGNATURE) -> Signer:
    """Makes a witness's key; refuses to overwrite one."""
    if path.exists():
        raise AuditError(f"{path} is there already", hint="a witness that changes its key is another witness")
    signer = Signer(name, kind, random(32))
    durable.replace(path, signer.secret().encode() + b"\n", mode=0o600)
    return signer


def load_witness(path: Path) -> Signer:
    """A witness's key from its file."""
    try:
        signer = parse_secret(path.read_text("ascii").strip())
    except FileNotFoundError:
        raise AuditError(f"{path} is missing", hint="--new NAME makes a witness's key there") from None
    except (OSError, UnicodeDecodeError, MalformedError) as wrong:
        raise AuditError(f"{path} cannot be read: {why(wrong)}") from wrong
    if signer.kind not in COSIGNATURES:
        raise AuditError(f"{path} is not a witness's key", hint="--new NAME makes one, in another file")
    return signer


def _last(folder: Path, key: Verifier) -> Checkpoint:
    """What was cosigned last; the empty tree at first."""
    try:
        note = Folder(folder).fetch("checkpoint", MAX_NOTE)
    except MissingError:
        return Checkpoint(key.name, 0, sha256(b"").digest())
    return open_checkpoint(note, key)[0]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """To read the last tree and store the next is one step, with any number of processes."""
    held = lock(folder / ".lock", wait=True)
    try:
        yield
    finally:
        unlock(held)
