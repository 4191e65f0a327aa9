"""The logs of all hosts as one: the provider's index, each host's newest checkpoint, and where a block stands.

Enters: the index as files (`log.index`), and what the hosts report to the database. Leaves: a `LogShown` for each log
of the index, a `Standing`, and the index's files by a path. Rules:

- The index counts by the signature of the key that the configuration names. One that cannot be read, or is older than
  the one before, changes nothing and is an alarm.
- A host's checkpoint counts by the signature of its log's key in the index; so does the host's name, which nobody reads
  who has not read the index. What it runs is its word, by way of the database.
- A file is served if the index is in it, or a log whose address in the index is a path below it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from resolver.base.file_watch import Changed
from resolver.log.checkpoint import open_checkpoint
from resolver.log.errors import AuditError
from resolver.log.index import NEWEST, open_index
from resolver.log.note import MAX_NOTE
from resolver.log.source import Folder
from resolver.portal.transparency import LOG_FILE, MAX_FILE, file_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from resolver.log.index import Index, LogThere
    from resolver.log.note import Verifier
    from resolver.portal.fleet import Host
    from resolver.portal.web import Answer

FRESH = 10.0  # seconds that the hosts' reports serve for
_OWN = re.compile(r"index|index\.vkey|version/[1-9][0-9]{0,8}")
_OF_LOG = re.compile(LOG_FILE)


@dataclass(frozen=True)
class LogShown:
    """One log of the index. Unix times. `until`: when it was retired; 0: it is in use. `size` is None where no host
    reported a checkpoint of it that its key signed."""

    origin: str
    address: str
    since: int
    until: int = 0
    size: int | None = None
    root: str = ""

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "until": self.until or None, "root": self.root or None}


@dataclass(frozen=True)
class Standing:
    """Hosts by what they run of the list of one entry: the same version, enforced; another one; unknown, since they are
    silent."""

    same: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


class Logs:
    """`folder` and `key` of the index; without them there is none, and nothing is shown."""

    def __init__(self, folder: Path | None = None, key: Verifier | None = None) -> None:
        self._folder, self._key = folder, key
        self._changed = Changed()
        self._index: Index | None = None
        self._proved: tuple[_Proved, ...] = ()
        self.asked = 0.0
        """When the hosts' reports were read last, in Unix seconds."""
        self.trouble: str | None = None
        """Why the index that is there does not count."""

    def index(self) -> Index | None:
        """The newest that counted."""
        if self._folder is not None and self._key is not None and self._changed.look(self._folder / NEWEST):
            self._read(self._folder, self._key)
        return self._index

    async def learn(self, hosts: Sequence[Host], now: float) -> None:
        """What the hosts report, checked once for many pages."""
        index, self.asked = self.index(), now
        self._proved = () if index is None else await asyncio.to_thread(_proved, index, hosts)

    def is_due(self, now: float) -> bool:
        """Whether the hosts' reports are to be read again."""
        return self.index() is not None and not 0 <= now - self.asked < FRESH

    def shown(self) -> list[LogShown]:
        """In the order of the index."""
        known = {one.origin: one for one in self._proved}
        index = self.index()
        return [_shown(log, known.get(log.origin)) for log in index.logs] if index else []

    def standing(self, name: str, version: int) -> Standing | None:
        """Where this version of the list is in force; None where no host is known."""
        index = self.index()
        found: dict[str, list[str]] = {"same": [], "other": [], "silent": []}
        for one in self._proved:
            log = index.named(one.origin) if index else None
            if log is None or log.end is not None:
                continue
            there = next((part for part in one.host.lists if part.name == name), None)
            same = there is not None and there.version == version and there.action != "monitor"
            found["silent" if one.host.silent else "same" if same else "other"].append(one.host.name)
        return Standing(**{key: tuple(names) for key, names in found.items()}) if any(found.values()) else None

    async def file(self, path: str) -> Answer:
        """One of the index's files, or of a log that is below it, by its path after `/logs/`."""
        index, body = self.index(), None
        for_ever = path.startswith("version/")
        if index is not None and self._folder is not None:
            below = next((log.address for log in index.logs if path.startswith(f"{log.address}/")), None)
            if _OWN.fullmatch(path) or (below and _OF_LOG.fullmatch(path[len(below) + 1 :])):
                for_ever = for_ever or ("/tile/" in path and ".p/" not in path)
                body = await asyncio.to_thread(_bytes, self._folder / path)
        return file_answer(body, for_ever=for_ever, binary="/tile/" in path)

    def _read(self, folder: Path, key: Verifier) -> None:
        path = folder / NEWEST
        try:
            index = open_index(Folder(folder).fetch(NEWEST, MAX_NOTE), key)
            if self._index is not None and index.version < self._index.version:
                raise AuditError(f"it is version {index.version}, and version {self._index.version} was there")
        except AuditError as wrong:
            self._changed.unread(path)
            self.trouble = f"the index of logs in {folder} does not count: {wrong}"
        else:
            self._changed.read(path)
            self._index, self.trouble = index, None


@dataclass(frozen=True)
class _Proved:
    """A host whose newest checkpoint the key of a log of the index signed."""

    origin: str
    size: int
    root: str
    host: Host


def _proved(index: Index, hosts: Iterable[Host]) -> tuple[_Proved, ...]:
    found = []
    for host in hosts:
        log = index.named(host.checkpoint.partition("\n")[0])
        if log is None:
            continue
        try:
            head, _ = open_checkpoint(host.checkpoint.encode(), log.key)
        except AuditError:
            continue
        found.append(_Proved(log.origin, head.size, head.root.hex(), host))
    return tuple(found)


def _shown(log: LogThere, known: _Proved | None) -> LogShown:
    web = log.address.startswith(("http://", "https://"))
    address, since = log.address if web else f"/logs/{log.address}", int(log.since)
    if log.end is not None:
        return LogShown(log.origin, address, since, int(log.end.at), log.end.size, log.end.root.hex())
    return LogShown(log.origin, address, since, 0, *((known.size, known.root) if known else (None, "")))


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError:
        return None
