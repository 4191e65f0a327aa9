"""Where a reader finds a log: a folder, or a web address. Both are only believed as far as hashes and signatures go.

Enters: a path of the tlog-tiles layout and the most bytes it may have. Leaves: bytes, or `MissingError`. Rules: nothing
longer than its limit is read, nothing waits for ever (one deadline for a file, one for all), no redirect is followed.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tuf.api.exceptions import DownloadHTTPError

from blocklists.errors import VerifyError
from blocklists.fetch import Deadline, place
from resolver.log.disk import Disk
from resolver.log.errors import AuditError, MissingError
from resolver.log.limits import WITHIN
from resolver.log.note import MAX_NOTE

if TYPE_CHECKING:
    from blocklists.fetch import Place

COSIGNED = "checkpoint.cosigned"
"""A checkpoint with witnesses' cosignatures, beside the newest one: it may be older."""
TIMEOUT = 20.0
"""Seconds for one file."""


class Source(Protocol):
    """A log's public files."""

    where: str
    parallel: int
    """How many files may usefully be asked for at a time."""

    def fetch(self, path: str, limit: int) -> bytes: ...


class Folder:
    """A copy on this machine."""

    parallel = 1

    def __init__(self, root: Path) -> None:
        self.where = str(root)
        self._root = root
        self._disk = Disk()

    def fetch(self, path: str, limit: int) -> bytes:
        """Raises `MissingError`, or `AuditError` where the file is longer than `limit` or cannot be read."""
        try:
            return self._disk.read(self._root / path, limit)
        except OSError as wrong:
            raise AuditError(f"{self._root / path}: {wrong.strerror}") from wrong


class Web:
    """A log on any static web host, read by the fetcher that lists are read by. All files together have `within`
    seconds, each of them `TIMEOUT`: a host that sends an octet now and then holds nobody for longer."""

    parallel = 8

    def __init__(self, prefix: str, *, within: float = WITHIN) -> None:
        self.where = prefix.rstrip("/")
        self._whole = Deadline(within)
        self._own = threading.local()
        self._place()  # says at once what is no address

    def fetch(self, path: str, limit: int) -> bytes:
        """Raises `MissingError` where the host has no such file, `AuditError` on all else that is not the file or is
        longer than `limit`."""
        held, size = bytearray(), 0
        try:
            host, deadline = self._place()
            deadline.again()
            for chunk in host.read(path):
                size += len(chunk)
                if size > limit:
                    host.close()
                    raise AuditError(f"{self.where}/{path} is longer than {limit} bytes")
                held += chunk
        except DownloadHTTPError as wrong:
            raise MissingError(f"{self.where}/{path} is missing (status {wrong.status_code})") from wrong
        except VerifyError as wrong:
            hint = "a log that is long or far takes more: --within" if wrong.reason == "deadline" else wrong.hint
            raise AuditError(f"{self.where}/{path} cannot be read: {wrong}", hint=hint) from wrong
        return bytes(held)

    def _place(self) -> tuple[Place, Deadline]:
        """This thread's connection: one is kept open between two files, and serves one reader at a time."""
        if not hasattr(self._own, "kept"):
            deadline = Deadline(TIMEOUT, within=self._whole)
            try:
                self._own.kept = place(self.where, deadline), deadline
            except VerifyError as wrong:
                raise AuditError(str(wrong), hint=wrong.hint) from wrong
        kept: tuple[Place, Deadline] = self._own.kept
        return kept


class Remembered:
    """A source that is asked once for each file but the checkpoint, so that what was verified can be read again. With
    `pin` the checkpoint is the one that was verified. For one log at a time: all of it is held in memory."""

    def __init__(self, source: Source) -> None:
        self.where, self.parallel = source.where, source.parallel
        self._source = source
        self._held: dict[str, bytes | MissingError] = {}

    def fetch(self, path: str, limit: int) -> bytes:
        """Raises what the source raises."""
        found = self._held.get(path)
        if found is None:
            try:
                found = self._source.fetch(path, limit)
            except MissingError as wrong:
                found = wrong
            if path != "checkpoint":
                self._held[path] = found
        if isinstance(found, MissingError):
            raise found
        return found

    def pin(self, checkpoint: bytes) -> None:
        self._held["checkpoint"] = checkpoint


def open_source(where: str, *, within: float = WITHIN) -> Source:
    """A folder or a web address, by its spelling; of the latter all is read `within` seconds."""
    if where.startswith(("http://", "https://")):
        return Web(where, within=within)
    if not Path(where).is_dir():
        raise AuditError(f"there is no folder {where}", hint="a log is a folder with `checkpoint` and `tile/` in it")
    return Folder(Path(where))


def cosigned_beside(source: Source) -> bytes | None:
    """What the log publishes of its witnesses. Read before `checkpoint`, it is never of a larger tree."""
    try:
        return source.fetch(COSIGNED, MAX_NOTE)
    except MissingError:
        return None
