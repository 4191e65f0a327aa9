"""`audit collect`: witnesses are asked for their cosignatures on a log's newest checkpoint (c2sp.org/tlog-witness).

Enters: the log's folder, where each witness answers and by which keys, what must suffice. Leaves: the file
`checkpoint.cosigned` beside `checkpoint`, and what each witness said. Rules: the writer is never touched or waited for,
`checkpoint` is its own; the cosigned one may be older, and what both have in common is proved to a reader of both;
all witnesses are asked at a time under one deadline; only cosignatures that verify by the keys that were given count;
a cosigned checkpoint that suffices is never replaced by one that does not.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocklists import durable
from blocklists.counted import counted
from blocklists.errors import VerifyError
from blocklists.fetch import Deadline, place
from blocklists.web import Web
from resolver.log.checkpoint import open_checkpoint
from resolver.log.disk import lock, unlock
from resolver.log.errors import AuditError, MalformedError, UntrueError
from resolver.log.merkle import consistency_proof
from resolver.log.note import MAX_NOTE
from resolver.log.source import COSIGNED, Folder, cosigned_beside
from resolver.log.tiles import TileReader
from resolver.log.witness_http import MAX_REQUEST, PATH, SIZE, Request, cosignatures, known_size, merged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver.log.checkpoint import Checkpoint
    from resolver.log.note import Signature, Verifier
    from resolver.log.policy import Policy
    from resolver.log.writer import LogPlaces

WITHIN = 60.0
"""Seconds for all witnesses together."""
TRIES = 3
"""A witness says once which size it saw; twice only where somebody else asks it about the same log meanwhile."""


@dataclass(frozen=True)
class Said:
    """What came of asking one witness."""

    url: str
    signatures: tuple[Signature, ...] = ()
    error: AuditError | None = None


@dataclass(frozen=True)
class Collected:
    """What came of all. `published`: the file has these cosignatures now."""

    size: int
    said: tuple[Said, ...]
    enough: bool
    published: bool


def collect(
    places: LogPlaces, log: Verifier, witnesses: Mapping[str, Sequence[Verifier]], policy: Policy,
    *, within: float = WITHIN,
) -> Collected:  # fmt: skip
    """Raises `AuditError` where the log itself cannot be read, `LogBusyError` where another collector runs."""
    held = lock(places.audit_dir / "collect.lock")
    try:
        source, deadline = Folder(places.log_dir), Deadline(within)
        note = source.fetch("checkpoint", MAX_NOTE)
        head, _ = open_checkpoint(note, log)
        before = cosigned_beside(source)
        known = _known(before, log, policy)
        with ThreadPoolExecutor(len(witnesses)) as pool:
            asked = [
                pool.submit(_said, url, keys, source, note, head, log, known.get(keys[0], 0), deadline)
                for url, keys in witnesses.items()
            ]
            said = tuple(one.result() for one in asked)
        given = [signature for one in said for signature in one.signatures]
        same = before is not None and open_checkpoint(before, log)[0].text() == head.text()
        cosigned = merged(before if before is not None and same else note, given)
        enough = _suffices(cosigned, log, policy)
        publish = bool(given) and (enough or before is None or same or not _suffices(before, log, policy))
        if publish:
            durable.replace(places.log_dir / COSIGNED, cosigned)
        return Collected(head.size, said, enough, publish)
    finally:
        unlock(held)


def _said(
    url: str, keys: Sequence[Verifier], source: Folder, note: bytes, head: Checkpoint, log: Verifier, old: int,
    deadline: Deadline,
) -> Said:  # fmt: skip
    """One witness, whose failure is its own."""
    try:
        return Said(url, _ask(url, keys, source, note, head, log, old, deadline))
    except VerifyError as wrong:
        return Said(url, error=AuditError(str(wrong), hint=wrong.hint))
    except AuditError as wrong:
        return Said(url, error=wrong)


def _ask(
    url: str, keys: Sequence[Verifier], source: Folder, note: bytes, head: Checkpoint, log: Verifier, old: int,
    deadline: Deadline,
) -> tuple[Signature, ...]:  # fmt: skip
    where = place(url, deadline)
    if not isinstance(where, Web):
        raise AuditError(f"{url!r} is no address of a witness", hint="https://host/prefix")
    old = old if old <= head.size else 0
    try:
        for _ in range(TRIES):
            proof = consistency_proof(old, head.size, TileReader(source.fetch, head.size).node)
            request = Request(old, tuple(proof), note, head.origin)
            status, kind, body = where.post(PATH, request.encode(), MAX_REQUEST)
            if status == 200:
                return cosignatures(body, note, log, keys)[1]
            if status == 422 and old == head.size:  # version 1.0.0 of the specification says 409
                raise UntrueError(_forked(url, old))
            if status != 409 or kind.partition(";")[0].strip() != SIZE:
                said = body.decode("utf-8", "replace").strip()
                raise AuditError(f"{url} cosigned nothing: status {status}, {said!r}")
            if (seen := known_size(body)) == old:
                raise UntrueError(_forked(url, seen))
            if seen > head.size:
                raise UntrueError(
                    f"{url} saw {counted(seen, 'leaf')}, this log has {head.size}",
                    hint="a log that was restored from a backup, or two that are written with one key",
                )
            old = seen
        raise AuditError(f"{url} says another size each time it is asked", hint="does another collector ask it?")
    finally:
        where.close()


def _forked(url: str, size: int) -> str:
    return f"{url} saw another tree of {counted(size, 'leaf')} under this name: the log is forked"


def _known(before: bytes | None, log: Verifier, policy: Policy) -> dict[Verifier, int]:
    """The size that each witness cosigned last, as far as the published file says."""
    if before is None:
        return {}
    try:
        head, signed = open_checkpoint(before, log, policy.witnesses)
    except (MalformedError, UntrueError) as wrong:
        raise AuditError(f"{COSIGNED} cannot be read: {wrong}", hint="remove it; it is made again") from wrong
    return {one.verifier: head.size for one in signed}


def _suffices(note: bytes, log: Verifier, policy: Policy) -> bool:
    _, signed = open_checkpoint(note, log, policy.witnesses)
    return policy.quorum.met([one.verifier for one in signed])
