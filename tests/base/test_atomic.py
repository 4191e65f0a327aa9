"""Files between processes: a reader sees the old or the new, and a full tmpfs is not filled further."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from resolver.base import atomic
from resolver.base.errors import ResolverError
from resolver.cli.main import stopsign
from resolver.config.schema import load
from tests.rigs.config_file import GOOD, write

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_new_takes_the_place_of_the_old_with_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "said.json"
    for data in (b"old", b"new"):
        atomic.replace(path, data, mode=0o600)
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
    monkeypatch.setattr(atomic, "inherit_owner", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_put_there_is_not_followed(tmp_path: Path) -> None:
    """Root writes in a folder of those who serve strangers' packets."""
    path, target = tmp_path / "run" / "said.json", tmp_path / "target"
    path.parent.mkdir()
    target.write_bytes(b"another's")
    path.symlink_to(target)
    atomic.replace(path, b"new")
    assert (path.read_bytes(), path.is_symlink()) == (b"new", False)
    assert target.read_bytes() == b"another's"


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(b"another's")
    path.symlink_to(target)


def a_folder(path: Path) -> None:
    path.mkdir()


def without_end(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


PLANTED = pytest.mark.parametrize("plant", [a_pipe, a_link, a_folder, without_end])


@PLANTED
def test_what_is_no_file_is_not_read_and_hangs_nobody(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    path, good = tmp_path / "said.json", tmp_path / "good"
    good.write_bytes(b"said")
    assert atomic.read(good, 4) == b"said"
    with pytest.raises(OSError, match="No regular file of 3 octets at most"):
        atomic.read(good, 3)
    plant(path)
    with pytest.raises(OSError, match=r"regular file|symbolic links"):
        atomic.read(path, 100)
    assert not [one for one in Path("/proc/self/fd").iterdir() if one.resolve().parent == tmp_path.resolve()], "closed"


@PLANTED
def test_what_is_planted_in_run_dir_hangs_no_command_of_root(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    """By a worker that was taken over: it writes there, and root looks."""
    places = load(write(tmp_path, GOOD)).places
    places.workers.mkdir(parents=True)
    (places.run_dir / "rpz").mkdir()
    for path in (
        places.current, places.exceptions, places.addresses, places.last_applied, places.rpz_said, places.counters(0),
        places.workers / "0.json", places.workers / "retired.counters",
    ):  # fmt: skip
        plant(path)
        (tmp_path / "run" / "target").unlink(missing_ok=True)
    for words in (
        ["status"], ["health"], ["explain", "a.example"], ["bypass"], ["bypass", "on", "a.example"], ["rpz", "status"],
        ["lists", "status"], ["workers", "restart"],
    ):  # fmt: skip
        done = CliRunner().invoke(stopsign, [*words, "--dir", str(tmp_path)])
        assert isinstance(done.exception, ResolverError | SystemExit | None), done.exception
