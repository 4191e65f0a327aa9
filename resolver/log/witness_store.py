"""What a witness that answers requests has seen: one SQLite file, so that no two answers contradict each other.

Enters: a request, and the keys of logs and witness. Leaves: the answer that `witness_http` decides. Rules: the size
that was seen is compared and replaced in one transaction, whatever else runs beside; it is on disk before the
cosignature leaves this module; a signed tree that contradicts the last one of its size is kept with its signature.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING

from resolver.log.errors import AuditError
from resolver.log.witness_http import Answer, Seen, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from resolver.log.note import Signer, Verifier
    from resolver.log.witness_http import Request

_PATIENCE = 10.0  # seconds for another transaction
_TABLES = """
CREATE TABLE IF NOT EXISTS seen (
    origin TEXT PRIMARY KEY, folder TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS contradiction (
    origin TEXT NOT NULL, size INTEGER NOT NULL, note BLOB NOT NULL, PRIMARY KEY (origin, size)
) STRICT;
"""


class Memory:
    """The trees that this witness saw. Its methods may be called from any thread and any number of processes."""

    def __init__(
        self, path: Path, logs: Sequence[Verifier], keys: Sequence[Signer], clock: Callable[[], float]
    ) -> None:
        self._path, self._logs, self._keys, self._clock = path, tuple(logs), tuple(keys), clock
        try:
            with closing(self._open()) as database:
                database.executescript(_TABLES)
        except sqlite3.Error as wrong:
            raise AuditError(
                f"{path}: {wrong}", hint="a folder that this user may write to, and no other file"
            ) from wrong

    def answer(self, request: Request) -> Answer:
        """One request, decided and stored. Raises `sqlite3.Error` where it cannot be stored: then nothing is signed."""
        with closing(self._open()) as database:
            database.execute("BEGIN IMMEDIATE")
            row = database.execute("SELECT size, root FROM seen WHERE origin = ?", (request.origin,)).fetchone()
            told = answer(request, self._logs, Seen(*row) if row else Seen(), self._keys, int(self._clock()))
            if told.seen is not None:
                folder = sha256(request.origin.encode()).hexdigest()
                database.execute(
                    "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)",
                    (request.origin, folder, told.seen.size, told.seen.root, told.note),
                )
            elif told.note:
                size = row[0] if row else 0
                database.execute(
                    "INSERT OR IGNORE INTO contradiction VALUES (?, ?, ?)", (request.origin, size, told.note)
                )
            database.execute("COMMIT")
        return told

    def checkpoint(self, folder: str) -> bytes | None:
        """The newest cosigned checkpoint of the log whose origin has this SHA-256."""
        with closing(self._open()) as database:
            row = database.execute("SELECT note FROM seen WHERE folder = ?", (folder,)).fetchone()
        return bytes(row[0]) if row else None

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
        # EXTRA: the folder too is synced when the journal goes, and only then is the transaction over
        database.execute("PRAGMA synchronous = EXTRA")
        return database
