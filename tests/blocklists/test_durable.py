"""Durable files: what is there after an error at any step, and on which descriptor fsync is called."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING, Any

import pytest

from blocklists import durable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def by_bytes(path: Path) -> None:
    durable.replace(path, b"new")


def by_path(path: Path) -> None:
    with durable.replaced(path) as part:
        part.write_bytes(b"new")


def by_copy(path: Path) -> None:
    (path.parent / "source").write_bytes(b"new")
    durable.copy(path.parent / "source", path)


WAYS = [by_bytes, by_path, by_copy]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"old")
    return tmp_path / "file"


@pytest.mark.parametrize("way", WAYS)
def test_fsync_goes_to_the_file_before_the_rename_and_to_the_folder_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[Path], None]
) -> None:
    synced: list[tuple[int, int, bytes]] = []
    flags: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_ino, status.st_size, path.read_bytes()))
        flags.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)
        fsync(descriptor)

    durable.DISK.folders.add(path.parent)
    monkeypatch.setattr(os, "fsync", noted)
    way(path)
    file, folder = synced
    assert file == (path.stat().st_ino, 3, b"old")
    assert (folder[0], folder[2]) == (path.parent.stat().st_ino, b"new")
    assert flags == [os.O_WRONLY, os.O_RDONLY], "the file's descriptor is the one that was open for writing"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_after_an_error_before_the_rename_the_old_file_is_there_and_nothing_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[Path], None], call: str
) -> None:
    by_copy(path.with_name("other"))  # makes what `by_copy` needs
    before, asked = sorted(path.parent.iterdir()), 0
    original = getattr(os, call)

    def full(*given: Any, **named: Any) -> Any:
        nonlocal asked
        if call == "open" and not str(given[0]).endswith(durable.TEMPORARY):
            return original(*given, **named)
        asked += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left on device"):
            way(path)
    assert asked == 1, "what failed is not tried again"
    assert path.read_bytes() == b"old"
    assert sorted(path.parent.iterdir()) == before
    way(path)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_cannot_be_synced_is_an_error_and_the_file_is_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[Path], None]
) -> None:
    def broken(_folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    durable.DISK.folders.add(path.parent)
    monkeypatch.setattr(durable.DISK, "sync_folder", broken)
    with pytest.raises(OSError, match="Input/output"):
        way(path)
    assert path.read_bytes() == b"new"


def test_an_error_says_which_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space") as caught:
        durable.replace(path, b"new")
    assert str(caught.value.filename).startswith(str(path))


def test_a_writer_that_puts_another_file_in_the_place_is_found_out(path: Path) -> None:
    def replacing() -> None:
        with durable.replaced(path) as part:
            (path.parent / "another").write_bytes(b"never synced")
            (path.parent / "another").rename(part)

    with pytest.raises(OSError, match="Another process"):
        replacing()
    assert path.read_bytes() == b"old"


def test_a_block_that_fails_changes_nothing(path: Path) -> None:
    def failing() -> None:
        with durable.replaced(path) as part:
            part.write_bytes(b"half")
            raise ValueError("the document is wrong")

    with pytest.raises(ValueError, match="document"):
        failing()
    assert [(found.name, found.read_bytes()) for found in path.parent.iterdir()] == [("file", b"old")]


def test_folders_are_made_each_durable_in_the_one_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable.DISK, "sync_folder", synced.append)
    durable.make_folder(tmp_path / "a" / "b" / "c", mode=0o700)
    assert (tmp_path / "a" / "b" / "c").stat().st_mode & 0o777 == 0o700
    assert synced[-3:] == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_a_folder_whose_parent_cannot_be_read_can_be_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/var/lib/private`, say, in which systemd has made ours."""

    def closed(_folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "ours").mkdir()
    monkeypatch.setattr(durable.DISK, "sync_folder", closed)
    durable.make_folder(tmp_path / "ours")
    with pytest.raises(PermissionError):
        durable.make_folder(tmp_path / "new")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
@pytest.mark.parametrize("way", WAYS)
def test_what_root_writes_belongs_to_the_owner_of_the_folder(path: Path, way: Callable[[Path], None]) -> None:
    os.chown(path.parent, 12345, 23456)
    way(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)
