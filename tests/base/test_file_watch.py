"""Has this file changed: what a process sees of what another renames into place."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from resolver.base.file_watch import AGAIN, Changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def replaced(path: Path) -> None:
    """The same octets, at the same time, as another file."""
    before = path.stat()
    fresh = path.with_suffix(".new")
    fresh.write_bytes(path.read_bytes())
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.rename(path)


def written_in_place(path: Path) -> None:
    before = path.stat()
    path.write_bytes(path.read_bytes() + b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touched(path: Path) -> None:
    """A second later: a kernel's clock of files may stand for 10 ms."""
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize("change", [replaced, written_in_place, touched, os.unlink], ids=lambda one: one.__name__)
def test_each_change_is_seen_once(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path, changed = tmp_path / "current.list", Changed()
    path.write_bytes(b"1")
    assert [changed.look(path), changed.look(path)] == [True, False]
    assert changed.there(path)
    change(path)
    assert [changed.look(path), changed.look(path)] == [True, False]
    assert changed.there(path) == (change is not os.unlink)


def test_the_first_look_tells_also_that_there_is_nothing(tmp_path: Path) -> None:
    path, changed = tmp_path / "current.list", Changed()
    assert [changed.look(path), changed.look(path), changed.there(path)] == [True, False, False]
    path.write_bytes(b"1")
    assert [changed.look(path), changed.there(path)] == [True, True]


def test_two_files_are_told_apart(tmp_path: Path) -> None:
    one, other, changed = tmp_path / "current.list", tmp_path / "passes.json", Changed()
    one.write_bytes(b"1")
    other.write_bytes(b"1")
    assert [changed.look(one), changed.look(other)] == [True, True]
    replaced(other)
    assert [changed.look(one), changed.look(other)] == [False, True]


def test_what_could_not_be_read_is_seen_again_after_a_while_until_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, changed, now = tmp_path / "current.list", Changed(), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    path.write_bytes(b"1")
    assert changed.look(path)
    changed.unread(path)
    assert not changed.look(path)
    now[0] += AGAIN
    assert changed.look(path)
    changed.unread(path)
    assert not changed.look(path)
    replaced(path)
    assert changed.look(path)
    changed.unread(path)
    now[0] += AGAIN
    assert changed.look(path)
    changed.read(path)
    now[0] += AGAIN
    assert not changed.look(path)
