"""`audit verify --all`: a provider's index, and each log that it names, as one.

Enters: where the index is, the provider's key, what was seen of it before. Leaves: the index, and for each log a
`Verdict` or what is wrong with it. Rules:

- The index must follow the version that was seen before, step by step; without one, its first version. So a log that is
  gone without having been retired, an older index and a rewritten one are each found.
- Each log is verified as `verify` does, with the key of the index and the checkpoint that was seen before.
- A retired log must be just what the index says it was: nothing appended, nothing cut.
- One log that cannot be read hides no other. What was seen is on disk before the caller hears of it, and a signed note
  that contradicts it is kept beside it.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from blocklists import durable
from blocklists.counted import counted
from resolver.base.timestamps import as_text
from resolver.log.checkpoint import open_checkpoint
from resolver.log.disk import lock, unlock
from resolver.log.errors import AuditError, MissingError, UntrueError
from resolver.log.index import NEWEST, VKEY, Index, LogThere, check_follows, open_index, version_path
from resolver.log.limits import WITHIN
from resolver.log.note import MAX_NOTE, parse_vkey
from resolver.log.source import Folder, Remembered, open_source
from resolver.log.verify import Verdict, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from resolver.log.note import Verifier
    from resolver.log.policy import Policy
    from resolver.log.source import Source

AT_ONCE = 4
"""Logs that are read at a time."""


class Seen:
    """What was seen of one index, in a folder that is named after it."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = root / sha256(name.encode()).hexdigest()

    def index(self) -> bytes | None:
        return self._read(NEWEST)

    def checkpoint(self, origin: str) -> bytes | None:
        return self._read(_kept(origin))

    def keep_index(self, note: bytes) -> None:
        durable.replace(self.folder / NEWEST, note)

    def keep_checkpoint(self, origin: str, note: bytes) -> None:
        durable.replace(self.folder / _kept(origin), note)

    def keep_evidence(self, note: bytes) -> str:
        """What the provider signed and what is not true, beside what was seen before; where it is kept."""
        path = self.folder / f"evidence-{sha256(note).hexdigest()[:16]}"
        durable.replace(path, note)
        return str(path)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """To read what was seen and to replace it is one step, with any number of processes. Raises `AuditError` where
        the folder cannot be written to."""
        try:
            durable.make_folder(self.folder)
            held = lock(self.folder / ".lock", wait=True)
            try:
                yield
            finally:
                unlock(held)
        except OSError as wrong:
            raise AuditError(f"{wrong.filename}: {wrong.strerror}", hint="--seen names a folder of yours") from wrong

    def _read(self, name: str) -> bytes | None:
        try:
            return Folder(self.folder).fetch(name, MAX_NOTE)
        except MissingError:
            return None


@dataclass(frozen=True)
class IndexRead:
    """An index that was found to be true. `seen`: the version that it continues; 0: it was read for the first time."""

    index: Index
    where: str
    key: Verifier
    key_from_copy: bool
    seen: int

    def source(self, one: LogThere, *, within: float = WITHIN) -> Source:
        """Where this log is published. Raises `AuditError`."""
        if one.address.startswith(("http://", "https://")):
            return open_source(one.address, within=within)
        return open_source(f"{self.where.rstrip('/')}/{one.address}", within=within)


@dataclass(frozen=True)
class Outcome:
    """What became of one log: a verdict, or why there is none."""

    log: LogThere
    verdict: Verdict | None = None
    error: AuditError | None = None
    evidence: bytes | None = None
    """The checkpoint of a log that is not as it was seen before, if the log's key signed it."""

    @property
    def is_untrue(self) -> bool:
        """It was checked and found wanting."""
        return isinstance(self.error, UntrueError)


def read_index(source: Source, key: Verifier | None, seen_in: Path | None) -> tuple[IndexRead, Seen | None]:
    """The newest index, held against what was seen before; then that is replaced. Raises `AuditError`."""
    given = key
    key = key or parse_vkey(source.fetch(VKEY, MAX_NOTE).decode("utf-8", "replace").strip())
    note = source.fetch(NEWEST, MAX_NOTE)
    index = open_index(note, key)
    if seen_in is None:
        _check_history(source, key, index, None)
        return IndexRead(index, source.where, key, given is None, 0), None
    seen = Seen(seen_in, index.name)
    with seen.alone():
        before = seen.index()
        try:
            older = None if before is None else open_index(before, key)
            _check_history(source, key, index, older)
        except UntrueError as wrong:
            if before is None:
                raise
            hint = f"{seen.folder / NEWEST} was seen before; this one is kept in {seen.keep_evidence(note)}"
            raise UntrueError(str(wrong), hint=hint) from wrong
        seen.keep_index(note)
    return IndexRead(index, source.where, key, given is None, older.version if older else 0), seen


def verify_all(
    read: IndexRead,
    seen: Seen | None,
    policy: Policy,
    *,
    within: float = WITHIN,
    progress: Callable[[int, int], None] = lambda _done, _size: None,
    verified: Callable[[LogThere, Source], None] | None = None,
) -> Iterator[Outcome]:
    """Each log in the order of the index. `verified` is called with each log that is well and just the files that were
    verified, in any thread; what it raises is what is wrong with that log."""
    told: dict[str, tuple[int, int]] = {}

    def tell(origin: str, done: int, size: int) -> None:
        told[origin] = done, size
        both = list(told.values())
        progress(sum(done for done, _ in both), sum(size for _, size in both))

    def one(log: LogThere) -> Outcome:
        kept = seen.checkpoint(log.origin) if seen else None
        try:
            source = read.source(log, within=within)
            held = source if verified is None else Remembered(source)
            outcome = _verified(log, held, kept, policy, partial(tell, log.origin))
            if isinstance(held, Remembered) and verified is not None and outcome.verdict is not None:
                held.pin(outcome.verdict.note)
                verified(log, held)
            return outcome
        except AuditError as wrong:
            return Outcome(log, error=wrong)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ahead = deque(pool.submit(one, log) for log in read.index.logs)
        while ahead:
            outcome = ahead.popleft().result()
            if seen is not None and outcome.verdict is not None:
                _keep(seen, outcome.verdict)
            if seen is not None and outcome.evidence is not None:
                with seen.alone():
                    seen.keep_evidence(outcome.evidence)
            yield outcome


def check_end(log: LogThere, verdict: Verdict) -> None:
    """Raises `UntrueError` unless a retired log ended as the index says."""
    head, end = verdict.checkpoint, log.end
    if end is None or (head.size, head.root) == (end.size, end.root):
        return
    if head.size > end.size:
        more = head.size - end.size
        raise UntrueError(f"{counted(more, 'leaf')} came after it was retired at {as_text(end.at)}", leaf=end.size)
    if head.size < end.size:
        raise UntrueError(
            f"it had {counted(end.size, 'leaf')} when it was retired, and has {head.size} now", leaf=head.size
        )
    raise UntrueError(f"its {head.size} leaves are not those with which it was retired: history was rewritten")


def _verified(
    log: LogThere, source: Source, kept: bytes | None, policy: Policy, progress: Callable[[int, int], None]
) -> Outcome:
    try:
        verdict = verify(source, log.key, kept=[] if kept is None else [kept], policy=policy, progress=progress)
        check_end(log, verdict)
    except UntrueError as wrong:
        return Outcome(log, error=wrong, evidence=None if kept is None else _signed(source, log))
    return Outcome(log, verdict)


def _signed(source: Source, log: LogThere) -> bytes | None:
    try:
        note = source.fetch("checkpoint", MAX_NOTE)
        open_checkpoint(note, log.key)
    except AuditError:
        return None
    return note


def _keep(seen: Seen, verdict: Verdict) -> None:
    """The checkpoint for next time, unless a larger one came to be known meanwhile."""
    with seen.alone():
        before = seen.checkpoint(verdict.checkpoint.origin)
        if before is None or open_checkpoint(before, verdict.key)[0].size < verdict.checkpoint.size:
            seen.keep_checkpoint(verdict.checkpoint.origin, verdict.note)


def _check_history(source: Source, key: Verifier, index: Index, older: Index | None) -> None:
    """Raises `UntrueError` unless each version from the one that was seen on leads to the next."""
    if older is not None and older.version >= index.version:
        if older.version > index.version:
            raise UntrueError(f"version {older.version} of the index was seen before, this is version {index.version}")
        if older.hash != index.hash:
            raise UntrueError(f"version {index.version} of the index is another than the one that was seen before")
        return
    for number in range(older.version + 1 if older else 1, index.version + 1):
        newer = index if number == index.version else _version(source, key, number)
        if older is not None:
            check_follows(newer, older)
        older = newer


def _version(source: Source, key: Verifier, number: int) -> Index:
    try:
        index = open_index(source.fetch(version_path(number), MAX_NOTE), key)
    except MissingError as wrong:
        raise UntrueError(f"version {number} of the index is not there: no version may vanish ({wrong})") from wrong
    if index.version != number:
        raise UntrueError(f"version {number} of the index is version {index.version}")
    return index


def _kept(origin: str) -> str:
    return f"checkpoint-{sha256(origin.encode()).hexdigest()}"
