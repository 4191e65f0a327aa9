"""A broken file on disk, and what the commands of the person on call go on with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from resolver.base.paths import Places
from resolver.cli.options import legible
from resolver.config import accepted
from resolver.config.accepted import keep
from resolver.config.schema import ConfigError, accept
from tests.rigs.config_file import GOOD, LINES, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Taken up while it was good."""
    path = write(tmp_path, GOOD)
    keep(accept(path))
    return path


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (GOOD.replace("127.0.0.1:5335", "localhost"), "stopsign.yaml:3: dns.upstreams[0]: 'localhost' is not"),
        (GOOD + "dns: {listen: [\n", "stopsign.yaml:6: is not YAML"),
        (LINES, "stopsign.yaml:1: dns: is missing; where your own resolvers answer, rpz.zones instead would be right"),
        (LINES, "(and 1 more: stopsign check-config)"),
    ],
)
def test_what_was_applied_last_goes_on_and_the_mistake_is_said(
    file: Path, capsys: pytest.CaptureFixture[str], broken: str, said: str
) -> None:
    good = legible(file, None)
    assert capsys.readouterr().err == ""
    file.write_text(broken)
    assert legible(None, file.parent) == good
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("stopsign: warning: ")
    assert said in first
    assert second.startswith("stopsign: warning: going on with the configuration that the running processes applied at")


def another_folder(file: Path) -> None:
    last_applied = file.parent / "run/taken-up.yaml"
    last_applied.write_text(last_applied.read_text().replace("state_dir: state", "state_dir: /etc"))


def a_link(file: Path) -> None:
    last_applied = file.parent / "run/taken-up.yaml"
    last_applied.rename(file.parent / "elsewhere")
    last_applied.symlink_to(file.parent / "elsewhere")


@pytest.mark.parametrize(
    ("change", "lines", "hint"),
    [
        (lambda file: (file.parent / "run/taken-up.yaml").unlink(), LINES, "cannot be used"),
        (lambda file: (file.parent / "run/taken-up.yaml").write_text("{"), LINES, "cannot be used"),
        (a_link, LINES, "cannot be used"),
        (another_folder, LINES, "is not believed: its state_dir is another"),
        (lambda file: None, "run_dir: run\n", "a line `state_dir: FOLDER` in"),
        (lambda file: None, "state_dir: state\n", "a line `run_dir: FOLDER` in"),
        (lambda file: None, LINES.replace("run_dir: run", "run_dir: other"), "cannot be used"),
    ],
)
def test_what_cannot_be_told_for_sure_is_not_gone_on_with(
    file: Path, change: Callable[[Path], object], lines: str, hint: str
) -> None:
    change(file)
    file.write_text(lines)
    with pytest.raises(ConfigError, match="is missing") as caught:
        legible(file, None)
    assert hint in str(caught.value.hint)


def test_the_standard_file_without_its_folders_means_the_standard_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD.replace("state_dir: state", f"state_dir: {tmp_path}/state").replace(": run\n", f": {tmp_path}/run\n")
    path = write(tmp_path, text)
    keep(accept(path))
    path.unlink()
    monkeypatch.setattr("resolver.config.schema.STANDARD", path)
    monkeypatch.setattr(accepted, "STANDARD", path)
    folders = {"run_dir": f"{tmp_path}/run", "state_dir": f"{tmp_path}/state"}
    monkeypatch.setattr(accepted, "_STANDARD_FOLDERS", folders)
    assert legible(None, None).state_dir == tmp_path / "state"


@pytest.mark.parametrize(
    ("mode", "group", "expected"),
    [(0o644, True, 0o640), (0o640, True, 0o640), (0o640, False, 0o600), (0o600, True, 0o600), (0o604, False, 0o640)],
)
def test_nobody_reads_it_there_who_could_not_read_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, mode: int, group: bool, expected: int
) -> None:
    file.chmod(mode)
    ours = file.stat().st_gid
    monkeypatch.setattr(os, "getegid", lambda: ours if group else ours + 1)
    keep(accept(file))
    assert (file.parent / "run/taken-up.yaml").stat().st_mode & 0o777 == expected


def test_where_there_is_no_room_the_one_before_goes_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run = file.parent / "run"
    monkeypatch.setattr("resolver.base.atomic.inherit_owner", full)
    keep(accept(file))
    assert not Places(run, run, run).last_applied.exists()
