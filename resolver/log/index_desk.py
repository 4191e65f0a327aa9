"""The desk where a provider keeps its index of logs: a folder on a machine that is none of the hosts.

Enters: the desk's folder, its key, logs to be added or retired. Leaves: `published/`, for any web host as it is.

    index.key            the provider's key, readable by its owner alone
    draft                the logs of the next version, a line each, unsigned
    published/index      the newest version
    published/version/N  each version, for ever
    published/index.vkey the public key

Rules: one version has one text for ever. So `version/N` is on disk before `index` is, and after a death between the two
the next opening of the desk finishes what was begun. What is signed follows the newest version, or is not signed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from blocklists import durable
from resolver.base.timestamps import as_text
from resolver.log.disk import Disk, lock, unlock
from resolver.log.errors import AuditError, MalformedError, MissingError
from resolver.log.index import (
    NEWEST,
    VKEY,
    Index,
    LogThere,
    check_follows,
    open_index,
    parse_index,
    parse_logs,
    version_path,
)
from resolver.log.note import ED25519, MAX_NOTE, Signer, good_name, parse_secret, parse_vkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from resolver.log.note import Verifier

KEY = "index.key"


class IndexDesk:
    """One desk, used by one process at a time (`opened`)."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self.root, self.published, self._disk = root, root / "published", disk
        self.key = parse_vkey(_text(disk.read(self.published / VKEY, MAX_NOTE)))
        self.newest = self._newest()
        try:
            lines = _text(disk.read(root / "draft", MAX_NOTE)).splitlines()
            self.draft = parse_logs(lines)
        except MissingError:
            self.draft = self.newest.logs if self.newest else ()

    def log(self, origin: str) -> LogThere:
        """A log of the draft. Raises `AuditError`."""
        found = next((one for one in self.draft if one.origin == origin), None)
        if found is None:
            raise AuditError(f"no log here is called {origin}", hint=self._known())
        return found

    def _known(self) -> str:
        return ", ".join(one.origin for one in self.draft) or "`stopsign logs add` comes first"

    def put(self, one: LogThere) -> None:
        """Into the draft, in the place of the log of this name. Raises `AuditError` where that has another key, or has
        ended already."""
        before = next((other for other in self.draft if other.origin == one.origin), None)
        if before is not None:
            if before.key != one.key:
                raise AuditError(
                    f"{one.origin} has another key here: {before.key}", hint="another log has another name"
                )
            if before.end is not None and one.end is not None:
                raise AuditError(f"{one.origin} is retired since {as_text(before.end.at)}")
            one = replace(one, since=before.since, end=one.end or before.end)
        if one.key.public == self.key.public:
            raise AuditError("this is the key of the index", hint="a log has a key of its own: log.vkey")
        logs = [one if other is before else other for other in self.draft] + ([] if before else [one])
        lines = [other.line() for other in logs]
        self.draft = parse_logs(lines)
        durable.replace(self.root / "draft", "".join(f"{line}\n" for line in lines).encode(), disk=self._disk)

    def changes(self) -> list[LogThere]:
        """The logs of the draft that the newest version does not have just so."""
        known = set(self.newest.logs) if self.newest else set()
        return [one for one in self.draft if one not in known]

    def sign(self, signer: Signer, now: float) -> Index:
        """The draft as the next version, published. Raises `AuditError` where it changes nothing, the key is another
        one, or this machine's clock is before what is signed already."""
        if signer.verifier != self.key:
            raise AuditError(f"this desk's key is {self.key}", hint="a new key is a new index, at a desk of its own")
        if not self.changes():
            raise AuditError("nothing has changed", hint="`stopsign logs add` or `retire` comes first")
        version, before = (self.newest.version + 1, self.newest.hash) if self.newest else (1, None)
        index = Index(self.key.name, version, float(int(now)), before, self.draft)
        try:
            parse_index(index.text())
            if self.newest is not None:
                check_follows(index, self.newest)
        except AuditError as wrong:
            raise AuditError(f"not signed: {wrong}", hint=f"the clock of this machine says {as_text(now)}") from wrong
        note = index.sign(signer)
        if len(note) > MAX_NOTE:
            raise AuditError(f"not signed: an index has at most {MAX_NOTE} octets")
        durable.replace(self.published / version_path(version), note, disk=self._disk)
        durable.replace(self.published / NEWEST, note, disk=self._disk)
        self.newest = index
        return index

    def _newest(self) -> Index | None:
        """The newest version, under `index` too: a death may have come before that."""
        names = self._disk.names(self.published / "version")
        number = max((int(name) for name in names if name.isdecimal()), default=0)
        if not number:
            return None
        note = self._disk.read(self.published / version_path(number), MAX_NOTE)
        index = open_index(note, self.key)
        if index.version != number:
            raise MalformedError(f"{self.published / version_path(number)} is version {index.version}")
        try:
            is_there = self._disk.read(self.published / NEWEST, MAX_NOTE) == note
        except MissingError:
            is_there = False
        if not is_there:
            durable.replace(self.published / NEWEST, note, disk=self._disk)
        return index


@contextmanager
def opened(root: Path, disk: Disk | None = None) -> Iterator[IndexDesk]:
    """The desk in this folder, with nobody else at it. Raises `AuditError` where there is none."""
    if not (root / "published" / VKEY).is_file():
        raise AuditError(f"{root} is no desk of an index", hint="`stopsign logs init DIR NAME` makes one")
    try:
        held = lock(root / ".lock", wait=True)
        try:
            yield IndexDesk(root, disk or Disk())
        finally:
            unlock(held)
    except OSError as wrong:
        raise AuditError(f"{wrong.filename}: {wrong.strerror}") from wrong


def new_desk(root: Path, name: str, random: Callable[[int], bytes], disk: Disk | None = None) -> Verifier:
    """An empty desk with a new key. Raises `AuditError` where there is one already."""
    disk = disk or Disk()
    if not good_name(name):
        raise AuditError(f"not a name: {name!r}", hint="as in isp.example/logs: no blank, no plus")
    if VKEY in disk.names(root / "published"):
        raise AuditError(f"{root} is a desk already", hint="a new key is a new index, at a desk of its own")
    try:
        signer = load_key(root / KEY, disk)  # of a desk that was begun and is not whole
    except MissingError:
        signer = Signer(name, ED25519, random(32))
        durable.replace(root / KEY, signer.secret().encode() + b"\n", mode=0o600, disk=disk)
    if signer.name != name:
        raise AuditError(f"{root / KEY} is the key of {signer.name}", hint="one desk has one index")
    durable.replace(root / "published" / VKEY, f"{signer.verifier}\n".encode(), disk=disk)
    return signer.verifier


def load_key(path: Path, disk: Disk | None = None) -> Signer:
    """Raises `AuditError`."""
    try:
        return parse_secret(_text((disk or Disk()).read(path, MAX_NOTE)))
    except MalformedError as wrong:
        raise AuditError(f"{path}: {wrong}", hint="restore the key from its backup") from wrong


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").strip()
