"""The log: one writer, one leaf after the other, durable and signed before `append` returns.

Enters: a type, a reference and a detail. Leaves: the index of a leaf that is there to stay, under a signed
checkpoint.

Rules, in the order in which they hold:

1. One writer: a lock on the private folder, for as long as the log is open.
2. Details first, then entries, then tiles from the leaves up, then the checkpoint: a reader of a checkpoint finds all
   that it covers. Tiles beyond the checkpoint were never promised and are written over.
3. The checkpoint becomes true in the private folder, by one rename, and is published from there. Signed but not
   renamed, it was never seen by anybody; so no two checkpoints that somebody saw ever disagree.
4. Opening is what appending does first after an error: read the checkpoint, read the right edge, compare the root,
   publish. Nothing else knows how to recover, and nothing grows with the number of leaves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from blocklists import durable
from resolver.log.checkpoint import Checkpoint, open_checkpoint
from resolver.log.details import Details
from resolver.log.disk import Disk, lock, unlock
from resolver.log.edge import Edge
from resolver.log.errors import AuditError, MalformedError, MissingError, UntrueError
from resolver.log.leaf import ERASED, HEARTBEAT, PUBLIC, SALT_SIZE, Detail, hour_of, make_leaf
from resolver.log.merkle import EMPTY_ROOT, tree_root
from resolver.log.note import ED25519, MAX_NOTE, Note, Signer, good_name, parse_secret
from resolver.log.proof import prove
from resolver.log.source import Folder
from resolver.log.tiles import TileReader

if TYPE_CHECKING:
    from pathlib import Path

Clock = Callable[[], float]
"""POSIX seconds."""
Random = Callable[[int], bytes]
"""So many bytes that nobody can guess."""


class LogPlaces(Protocol):
    """Where the log lies: the folder that anybody may read, and the one that holds key, details and lock."""

    @property
    def log_dir(self) -> Path: ...
    @property
    def audit_dir(self) -> Path: ...


@dataclass(frozen=True)
class Event:
    """What is to become a leaf. `public` says whether the detail is published; by default the type says."""

    type: str
    reference: str
    detail: Mapping[str, Any]
    public: bool | None = None


class Log:
    """The one writer of a log. Its methods may be called from any thread."""

    @classmethod
    def open(
        cls,
        places: LogPlaces,
        clock: Clock = time.time,
        random: Random = os.urandom,
        *,
        origin: str = "stopsign.invalid/log",
        disk: Disk | None = None,
    ) -> Log:
        """Opens the log, or begins it under the name `origin` (which an existing log does not change). Raises
        `LogBusyError` where another process has it, `AuditError` where it cannot go on without contradicting itself."""
        log = cls(places, clock, random, disk or Disk())
        try:
            log._signer = log._load_key(origin)
            log._recover()
        except BaseException:
            log.close()
            raise
        return log

    def __init__(self, places: LogPlaces, clock: Clock, random: Random, disk: Disk) -> None:
        self._public, self._private = places.log_dir, places.audit_dir
        self._clock, self._random = clock, random
        self._disk = disk
        durable.make_folder(self._private, mode=0o700, disk=disk)
        durable.make_folder(self._public, disk=disk)
        self._held: int | None = lock(self._private / "lock")
        self._mutex = Lock()
        self.details = Details(disk, self._private / "details", self._public / "details")
        self._signer: Signer
        self._edge: Edge | None = None
        self._checkpoint = b""
        self._beat: str | None = None

    def append(self, type: str, reference: str, detail: Mapping[str, Any], *, public: bool | None = None) -> int:  # noqa: A002
        """One leaf; its index. On return it is on disk and under a signed checkpoint. On an error it may or may not be
        there, and what was to follow from it must not happen."""
        return self.append_many([Event(type, reference, detail, public)])[0]

    def append_many(self, events: Iterable[Event]) -> range:
        """Many leaves under one checkpoint, in bounded memory; their indexes."""
        with self._mutex:
            before = self._edge or self._recover()
            self._edge = None  # from here on only the disk knows how far the log goes, until the commit is through
            edge, now, details = before.copy(), self._clock(), list[Detail]()
            for event in events:
                public = event.type in PUBLIC if event.public is None else event.public
                entry, detail = make_leaf(
                    edge.size, event.type, event.reference, event.detail,
                    now=now, salt=self._random(SALT_SIZE), public=public,
                )  # fmt: skip
                details.append(detail)
                if full := edge.push(entry):
                    self.details.put(details, before.size)
                    self._write(full)
                    details = []
            if edge.size > before.size:
                if details:
                    self.details.put(details, before.size)
                self._write(edge.partial_files(before.size))
                self._commit(Checkpoint(self.origin, edge.size, edge.root()).sign(self._signer))
                self._drop(edge.outgrown(before.size))
            self._edge = edge
            return range(before.size, edge.size)

    def heartbeat(self, detail: Mapping[str, Any], *, again: bool = False) -> int | None:
        """A leaf a clock hour, in any number of calls: a gap then means that no process ran. `again`: one more, after a
        time in which nothing could be written."""
        hour = hour_of(self._clock())
        if hour == self._beat and not again:
            return None
        index = self.append(HEARTBEAT, hour, detail)
        self._beat = hour
        return index

    def erase(self, index: int, reason: str) -> int:
        """Erases the detail of a leaf for good and says so in a leaf; that one's index. The leaf comes first:
        a detail that is gone and of which no leaf says so is what `verify` calls a fault. Killed between the two, it
        is to be called again."""
        known = self.details.get(index)
        if known is None:
            raise AuditError(f"there is no detail of leaf {index} here", hint="`stopsign audit show` lists the leaves")
        said = self.append(ERASED, str(index), {"reason": reason, "already": known.erased})
        self.details.erase(index, hour_of(self._clock()))
        return said

    def proof(self, index: int) -> bytes:
        """That this leaf is in the log, with its detail, for somebody who has only the log's key (`check-proof`)."""
        return prove(Folder(self._public), index, self.details.get(index))

    def signed(self, heading: str, text: str) -> bytes:
        """`text` below a heading, as a note under the log's key. It can be no checkpoint: that begins with the origin,
        which has no space, and a heading has one. Raises `AuditError` on another heading."""
        if " " not in heading or "\n" in heading:
            raise AuditError(f"not the heading of a signed note: {heading!r}")
        whole = f"{heading}\n{text}\n"
        return Note(whole, (self._signer.sign(whole),)).encode()

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self._signer.name

    @property
    def vkey(self) -> str:
        """The public key that readers need."""
        return str(self._signer.verifier)

    @property
    def checkpoint(self) -> bytes:
        """The newest signed checkpoint."""
        return self._checkpoint

    def reader(self) -> TileReader:
        """The tree as it is now."""
        checkpoint, _ = open_checkpoint(self._checkpoint, self._signer.verifier)
        return TileReader(self._fetch, checkpoint.size)

    def close(self) -> None:
        """Gives the log to the next writer."""
        if self._held is not None:
            unlock(self._held)
            self._held = None

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load_key(self, origin: str) -> Signer:
        path = self._private / "log.key"
        restore = "restore the key from its backup; a new key needs a new folder, and is a new log to everybody"
        try:
            signer = parse_secret(self._disk.read(path, MAX_NOTE).decode("utf-8", "replace").strip())
        except MalformedError as wrong:
            raise AuditError(f"{path} is damaged, and the log cannot go on: {wrong}", hint=restore) from wrong
        except MissingError:
            if self._disk.names(self._public / "tile"):
                raise AuditError(f"{path} is missing, but {self._public} holds a log", hint=restore) from None
            if not good_name(origin):
                raise AuditError(f"not a name for a log: {origin!r}", hint="as in stop.isp.example/log") from None
            signer = Signer(origin, ED25519, self._random(32))
            durable.replace(path, signer.secret().encode() + b"\n", mode=0o600, disk=self._disk)
        vkey = f"{signer.verifier}\n".encode()
        if self._published("log.vkey") != vkey:
            durable.replace(self._public / "log.vkey", vkey, disk=self._disk)
        return signer

    def _recover(self) -> Edge:
        """The log as the disk has it. The private checkpoint is the truth; one that lies published and goes further is
        taken over where the tiles bear it out (the private folder then comes from an older backup)."""
        private = self._kept_checkpoint()
        published = self._published("checkpoint")
        kept, served = self._private / "checkpoint", self._public / "checkpoint"
        mine = self._read_head(private, kept, served) if private else Checkpoint(self.origin, 0, EMPTY_ROOT)
        head = mine
        if published and published != private and (theirs := self._read_head(published, served, kept)).size > mine.size:
            head, private = theirs, published
        edge = self._edge_of(head)
        if head is not mine and tree_root(mine.size, TileReader(self._fetch, head.size).node) != mine.root:
            raise AuditError(
                f"the checkpoint in {self._public} and the one in {self._private} contradict each other",
                hint="both were signed; find out which one others have seen, and restore that one's folders",
            )
        if not private and self._disk.names(self._public / "tile"):
            raise AuditError(
                f"no checkpoint, but tiles, in {self._public}", hint="restore the checkpoint from its backup"
            )
        self._commit(private or mine.sign(self._signer))
        self._edge = edge
        return edge

    def _edge_of(self, head: Checkpoint) -> Edge:
        try:
            edge = Edge.load(TileReader(self._fetch, head.size))
        except (MissingError, MalformedError) as wrong:
            told = f"the log in {self._public} cannot go on: {wrong}"
            raise AuditError(told, hint="restore the tiles from a copy") from wrong
        if edge.root() != head.root:
            raise AuditError(
                f"the tiles do not come out at the root that was signed for {head.size} leaves",
                hint="`stopsign audit verify` names the first bad leaf; restore the tiles from a copy",
            )
        return edge

    def _read_head(self, note: bytes, path: Path, other: Path) -> Checkpoint:
        try:
            return open_checkpoint(note, self._signer.verifier)[0]
        except (MalformedError, UntrueError) as wrong:
            hint = f"restore it from a backup, or from {other}, if that is whole"
            raise AuditError(f"{path} is damaged, and the log cannot go on: {wrong}", hint=hint) from wrong

    def _kept_checkpoint(self) -> bytes | None:
        try:
            return self._disk.read(self._private / "checkpoint", MAX_NOTE)
        except MissingError:
            return None

    def _published(self, name: str) -> bytes | None:
        try:
            return self._fetch(name, MAX_NOTE)
        except MissingError:
            return None

    def _fetch(self, path: str, limit: int) -> bytes:
        return self._disk.read(self._public / path, limit)

    def _write(self, files: Iterable[tuple[str, bytes]]) -> None:
        durable.replace_all(((self._public / name, data) for name, data in files), disk=self._disk)

    def _commit(self, note: bytes) -> None:
        if self._kept_checkpoint() != note:
            durable.replace(self._private / "checkpoint", note, mode=0o600, disk=self._disk)
        if self._published("checkpoint") != note:
            durable.replace(self._public / "checkpoint", note, disk=self._disk)
        self._checkpoint = note

    def _drop(self, folders: Iterable[str]) -> None:
        for folder in folders:
            for name in self._disk.names(self._public / folder):
                self._disk.remove(self._public / folder / name)
