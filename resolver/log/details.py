"""The details beside the tree: what each leaf commits to, in a store from which single ones can be erased.

Enters: details by index. Leaves: details, until they are erased. Rules: one file for each 256 leaves; a file is always
rewritten whole from what lies on disk, under a lock of its own, so that `audit erase` works while the steward writes
and nothing erased comes back; what is public is projected into the log's folder in the same stroke.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from blocklists import durable
from resolver.log.disk import Disk, lock, unlock
from resolver.log.errors import AuditError, MalformedError, MissingError
from resolver.log.leaf import Detail, canonical, parse_detail
from resolver.log.tiles import WIDTH, number_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_FILE = 64 << 20


class Details:
    """The private store at `private`, its public part at `public` (both folders)."""

    def __init__(self, disk: Disk, private: Path, public: Path) -> None:
        self._disk = disk
        self._private = private
        self._public = public
        self._mutex = Lock()

    def put(self, details: Iterable[Detail], size: int) -> None:
        """Stores details of one file, durably. Those at or beyond `size` from an append that never came to be are
        dropped."""
        new = {detail.index: detail for detail in details}
        with self._locked():
            for number in sorted({index // WIDTH for index in new}):
                kept = {d.index: d for d in self._read(number) if d.index < size and d.index not in new}
                kept |= {index: detail for index, detail in new.items() if index // WIDTH == number}
                self._write(number, [kept[index] for index in sorted(kept)])

    def get(self, index: int) -> Detail | None:
        """One detail; an erased one says so; `None` for a leaf that never had one here."""
        return next((detail for detail in self._read(index // WIDTH) if detail.index == index), None)

    def bundle(self, number: int) -> list[Detail]:
        """The details of one file."""
        return self._read(number)

    def erase(self, index: int, hour: str) -> Detail:
        """Forgets salt and value; what the leaf commits to can then neither be shown nor guessed. Returns what was."""
        with self._locked():
            details = self._read(index // WIDTH)
            for at, detail in enumerate(details):
                if detail.index == index:
                    details[at] = replace(detail, salt="", value=None, erased=detail.erased or hour)
                    self._write(index // WIDTH, details)
                    return detail
        raise AuditError(f"there is no detail of leaf {index} here", hint="`stopsign audit show` lists the leaves")

    def _read(self, number: int) -> list[Detail]:
        path = self._private / f"{number_path(number)}.jsonl"
        try:
            data = self._disk.read(path, MAX_FILE)
        except MissingError:
            return []
        details = []
        for at, line in enumerate(data.splitlines(), 1):
            try:
                details.append(parse_detail(line))
            except MalformedError as wrong:
                raise AuditError(f"{path}, line {at}: {wrong}", hint="restore the file from a backup") from wrong
        return details

    def _write(self, number: int, details: list[Detail]) -> None:
        name = f"{number_path(number)}.jsonl"
        lines = b"".join(canonical(detail.as_dict()) + b"\n" for detail in details)
        durable.replace(self._private / name, lines, mode=0o600, disk=self._disk)
        if public := [public_form(detail) for detail in details if detail.public]:
            told = b"".join(canonical(one) + b"\n" for one in public)
            durable.replace(self._public / name, told, disk=self._disk)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._mutex:
            durable.make_folder(self._private, mode=0o700, disk=self._disk)
            held = lock(self._private / ".lock", wait=True)
            try:
                yield
            finally:
                unlock(held)


def public_form(detail: Detail) -> dict[str, Any]:
    """What the world may see of a public detail."""
    return {name: value for name, value in detail.as_dict().items() if name != "public"}
