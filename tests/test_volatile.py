"""Files between processes: a reader sees the old or the new, and a full tmpfs is not filled further."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from resolver import volatile

if TYPE_CHECKING:
    from pathlib import Path


def test_the_new_takes_the_place_of_the_old_with_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "said.json"
    for data in (b"old", b"new"):
        volatile.replace(path, data, mode=0o600)
        assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_where_there_is_no_room_the_old_stays_and_nothing_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "said.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(volatile, "belong", full)
    with pytest.raises(OSError, match="No space left"):
        volatile.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_put_in_the_way_is_neither_followed_nor_in_the_way(tmp_path: Path) -> None:
    """Root writes in a folder of those who serve strangers' packets."""
    path, target = tmp_path / "run" / "said.json", tmp_path / "target"
    path.parent.mkdir()
    target.write_bytes(b"another's")
    path.with_name(f"said.json.{os.getpid()}.new").symlink_to(target)
    path.symlink_to(target)
    volatile.replace(path, b"new")
    assert (path.read_bytes(), path.is_symlink()) == (b"new", False)
    assert target.read_bytes() == b"another's"
