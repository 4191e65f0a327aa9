"""The locks of one host: a second Stopsign on the same folders is refused before it changes anything."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from resolver.base.errors import ResolverError
from resolver.base.paths import Places
from resolver.config.schema import accept
from resolver.host import run
from resolver.ipc import supervisor_lock
from resolver.ipc.supervisor_lock import only_one, only_steward
from tests.rigs.config_file import GOOD, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_lock, "ENDING", 0.0)


def test_a_second_steward_is_refused_for_as_long_as_the_first_runs(tmp_path: Path) -> None:
    places = Places(tmp_path / "state", tmp_path / "run", tmp_path / "log")
    refused = pytest.raises(ResolverError, match="another Stopsign already runs with")
    with only_steward(places), refused as refusal, only_steward(places):
        pass
    assert refusal.value.hint == "stop it first, or give this one its own state_dir"
    with only_steward(places):
        pass


def test_a_disk_that_takes_no_file_keeps_no_steward_from_starting(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with only_steward(Places(tmp_path / "file" / "state", tmp_path / "run", tmp_path / "log")):
        pass


def test_a_second_host_with_one_state_dir_is_refused_with_another_run_dir_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[Any] = []
    monkeypatch.setattr("resolver.host.run.os.execve", lambda *what: executed.append(what))
    path = write(tmp_path, GOOD)
    accepted = accept(path)
    with only_steward(accepted.config.places):
        with pytest.raises(ResolverError, match="another Stopsign already runs with"):
            run.Provider(accepted)
        with pytest.raises(ResolverError, match="another Stopsign already runs with"):
            run.become("steward", accepted.config, path)
        assert executed == []
    run.become("steward", accepted.config, path)
    assert len(executed) == 1


def test_the_lock_of_another_user_is_taken_where_the_kernel_protects_regular_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fs.protected_regular refuses even root O_CREAT for another user's file in a folder with the sticky bit."""
    opened = os.open

    def protecting(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT and path.exists():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", protecting)
    places = Places(tmp_path / "state", tmp_path / "run", tmp_path / "log")
    for _ in range(2):
        with only_one(places):
            assert not supervisor_lock.is_lost(places)
            with pytest.raises(ResolverError, match="another Stopsign already runs with"), only_one(places):
                pass
