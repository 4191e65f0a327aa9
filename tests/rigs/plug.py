"""A file system whose plug can be pulled: between any two operations, and in the middle of a write.

It keeps what a process sees apart from what the disk holds. After the plug is pulled, each name that was not synced in
its folder and each content that was not synced may have reached the disk, or not, or (content) up to some byte: the
seed decides. That is what POSIX promises, and what ext4 and XFS have been seen to do.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resolver.log.disk import Disk
from resolver.log.errors import AuditError, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class PulledPlugError(Exception):
    """The machine stopped here."""


@dataclass
class _File:
    seen: bytes = b""
    held: bytes = b""


@dataclass
class _Folder:
    seen: dict[str, _File | _Folder] = field(default_factory=dict)
    held: dict[str, _File | _Folder] = field(default_factory=dict)


class PlugDisk(Disk):
    """`fault`, called with the number of each operation that writes, may raise; a write is then torn."""

    def __init__(self, fault: Callable[[int], None] = lambda _number: None) -> None:
        super().__init__()
        self.root = _Folder()
        self.fault = fault
        self.operations = 0
        self.renamed: list[tuple[Path, bytes]] = []

    def read(self, path: Path, limit: int) -> bytes:
        node = self._find(path)
        if not isinstance(node, _File):
            raise MissingError(f"{path} is missing")
        if len(node.seen) > limit:
            raise AuditError(f"{path} is longer than {limit} bytes")
        return node.seen

    def write(self, path: Path, data: bytes, mode: int) -> None:
        file = self._folder(path.parent).seen.setdefault(path.name, _File())
        assert isinstance(file, _File)
        file.seen = data[: len(data) // 2]  # what is there if the fault strikes now
        self._step()
        file.seen = data
        self._step()
        file.held = data

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        node = self._folder(old.parent).seen.pop(old.name)
        self._folder(new.parent).seen[new.name] = node
        if isinstance(node, _File):
            self.renamed.append((new, node.seen))

    def sync_folder(self, path: Path) -> None:
        self._step()
        folder = self._folder(path)
        folder.held = dict(folder.seen)

    def make_folder(self, path: Path, mode: int) -> bool:
        parent = self._find(path.parent)
        if not isinstance(parent, _Folder):
            raise FileNotFoundError(path)
        if path.name in parent.seen:
            return False
        self._step()
        parent.seen[path.name] = _Folder()
        return True

    def remove(self, path: Path) -> None:
        self._step()
        self._folder(path.parent).seen.pop(path.name, None)

    def names(self, path: Path) -> list[str]:
        node = self._find(path)
        return sorted(node.seen) if isinstance(node, _Folder) else []

    def fetch(self, root: Path) -> Callable[[str, int], bytes]:
        return lambda path, limit: self.read(root / path, limit)

    def after_the_plug(self, seed: int) -> PlugDisk:
        """What the next boot finds."""
        chance = random.Random(seed)
        after = PlugDisk()
        copies: dict[int, _File | _Folder] = {}

        def survive(node: _File | _Folder) -> _File | _Folder:
            if id(node) in copies:
                return copies[id(node)]
            if isinstance(node, _File):
                content = node.held
                if node.seen != node.held:
                    content = chance.choice([node.held, node.seen, node.seen[: chance.randrange(len(node.seen) + 1)]])
                copies[id(node)] = _File(content, content)
                return copies[id(node)]
            folder = _Folder()
            copies[id(node)] = folder
            for name in sorted({*node.seen, *node.held}):
                seen, held = node.seen.get(name), node.held.get(name)
                kept = seen if seen is held else chance.choice([seen, held])
                if kept is not None:
                    folder.seen[name] = folder.held[name] = survive(kept)
            return folder

        root = survive(self.root)
        assert isinstance(root, _Folder)
        after.root = root
        return after

    def _step(self) -> None:
        self.operations += 1
        self.fault(self.operations)

    def _find(self, path: Path) -> _File | _Folder | None:
        node: _File | _Folder | None = self.root
        for part in path.parts[1:]:
            node = node.seen.get(part) if isinstance(node, _Folder) else None
        return node

    def _folder(self, path: Path) -> _Folder:
        node = self._find(path)
        if not isinstance(node, _Folder):
            raise FileNotFoundError(path)
        return node
