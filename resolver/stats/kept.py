"""Documents that the log names, kept by the provider: what was applied of a list on any day, and on which grounds.

Enters: an applied document with its issuer and grounds, when it becomes active. Leaves: the two hashes that its leaf
commits to, and later, by hash, the lines and the grounds again. Layout of `state_dir/kept/LIST`: segments, numbered,
each a whole document and up to `STEPS` steps from one document to the next (`0007/000-<sha256>.zst`, `001-…`); beside
them the grounds, `<sha256>.head.json`. Rules: what is kept is durable before the leaf that names it; a file is believed
by its hash alone; a segment goes when the one after it began longer ago than `log.keep` says.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from blocklists import delta, document, durable
from blocklists.errors import BlocklistError
from resolver.log.errors import AuditError, MissingError
from resolver.log.leaf import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from resolver.policy.description import LiveList

STEPS = 30


class Kept:
    """What is kept of one list, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(
        self, applied: Path, grounds: Mapping[str, Any], *, now: float, for_seconds: float | None
    ) -> dict[str, str]:
        """Keep a document and its grounds. Returns what its leaf commits to: `applied` and `head`. Raises `OSError`."""
        state = _state(applied)
        segments = self._segments()
        files = _files(segments[-1]) if segments else []
        there = any(path.name[4:-4] == state for path in files)
        if not there and (not files or len(files) > STEPS or not self._step(files, applied, state)):
            number = int(segments[-1].name) + 1 if segments else 1
            first = self._folder / f"{number:04}" / f"000-{state}.zst"
            durable.copy(applied, first)
            os.utime(first, (now, now))
        data = canonical(grounds)
        head = sha256(data).hexdigest()
        durable.make_folder(self._folder)
        if not self._head(head).exists() or self._head(head).read_bytes() != data:
            durable.replace(self._head(head), data)
        self._forget(now, for_seconds)
        return {"applied": f"sha256:{state}", "head": f"sha256:{head}"}

    def lines(self, state: str) -> Iterator[bytes]:
        """The lines of a document, by its state hash. Raises `MissingError`; `AuditError`, perhaps after the last line:
        until then nothing is proven."""
        wanted = state.removeprefix("sha256:")
        for folder in reversed(self._segments()):
            files = _files(folder)
            at = next((number for number, path in enumerate(files) if path.name[4:-4] == wanted), None)
            if at is not None:
                try:
                    yield from delta.lines_of(_restored(files[: at + 1]))
                except BlocklistError as wrong:
                    raise AuditError(f"{files[at]} cannot be read: {wrong}") from wrong
                return
        raise MissingError(f"no document {state} is kept in {self._folder}")

    def head(self, digest: str) -> bytes:
        """The grounds, by their hash. Raises `MissingError`."""
        try:
            return self._head(digest.removeprefix("sha256:")).read_bytes()
        except OSError as wrong:
            raise MissingError(f"no grounds {digest} are kept in {self._folder}") from wrong

    def _step(self, files: list[Path], applied: Path, state: str) -> bool:
        """Append a step. False if the segment is damaged: the caller then begins the next one."""
        path = files[-1].with_name(f"{len(files):03}-{state}.zst")
        new = document.read_lines(applied, size=document.MAX_SIZE)
        try:
            with durable.replaced(path) as temporary:
                delta.write(temporary, delta.difference(delta.lines_of(_restored(files)), new))
        except BlocklistError:
            return False
        return True

    def _forget(self, now: float, for_seconds: float | None) -> None:
        segments = self._segments()
        for old, new in pairwise(segments):
            files = _files(new)
            if for_seconds is not None and files and files[0].stat().st_mtime < now - for_seconds:
                shutil.rmtree(old)

    def _segments(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("[0-9]*") if path.name.isdecimal() and path.is_dir())

    def _head(self, digest: str) -> Path:
        return self._folder / f"{digest}.head.json"


def grounds_of(part: LiveList) -> dict[str, Any]:
    """What a leaf commits to of a list's head: who issued it, on which grounds."""
    return {"list": part.name, **part.model_dump(include={"issuer", "bases"})}


def parse_grounds(data: bytes, digest: str) -> dict[str, Any]:
    """Raises `AuditError` unless these are the grounds of this hash."""
    if f"sha256:{sha256(data).hexdigest()}" != digest:
        raise AuditError(f"the grounds are not those of {digest}")
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as wrong:
        raise AuditError(f"the grounds are not JSON: {wrong}") from wrong
    if not isinstance(told, dict) or not all(isinstance(told.get(key), dict) for key in ("issuer", "bases")):
        raise AuditError("the grounds are not in the form that docs/auditor.md describes")
    return told


def _state(path: Path) -> str:
    digest = sha256()
    try:
        for block in document.read_blocks(path, size=document.MAX_SIZE):
            digest.update(block)
    except BlocklistError as wrong:
        raise OSError(errno.EIO, f"no whole document: {wrong}", str(path)) from wrong
    return digest.hexdigest()


def _files(segment: Path) -> list[Path]:
    return sorted(segment.glob("[0-9][0-9][0-9]-*.zst"))


def _restored(files: list[Path]) -> Iterator[bytes]:
    """The lines, in blocks, of the last of these files: a whole document, and steps from one to the next. In blocks,
    because each step looks at the lines where it changes something, and not at each line. Raises `BlocklistError`,
    after the last block where all come to another hash than its name says."""
    digest = sha256()
    try:
        blocks = document.read_blocks(files[0], size=document.MAX_SIZE)
        for step in files[1:]:
            blocks = delta.merged_blocks(blocks, delta.read(step, size=document.MAX_SIZE))
        for block in blocks:
            digest.update(block)
            yield block
    except OSError as wrong:  # of a disk that does not give them back, as damage
        raise document.DocumentError(f"{wrong.filename or files[0]}: {wrong.strerror}") from wrong
    if digest.hexdigest() != files[-1].name[4:-4]:
        raise document.StateError(f"it leads to the document sha256:{digest.hexdigest()}")
