"""How a command ends that could not do it: one sentence with the file and the reason, and status 2."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from resolver.cli import main
from resolver.cli.lists import _print_held

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Ends = Callable[..., tuple[int, str]]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ends:
    """Status and standard error of a command."""
    monkeypatch.setattr("gc.freeze", lambda: None)
    monkeypatch.setattr("gc.disable", lambda: None)

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    "words",
    [
        ("sealed", "key", "FILE/x"),
        ("logs", "init", "FILE/x", "stop.isp.example/logs"),
        ("demo", "--once", "--dns-port", "0", "--stop-port", "0", "--portal-port", "0", "--dir", "FILE/x"),
    ],
)
def test_what_cannot_be_written_is_named_with_the_reason(words: tuple[str, ...], ends: Ends, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    status, said = ends(*(one.replace("FILE", str(file)) for one in words))
    assert (status, said.count("\n")) == (2, 1)
    assert f"Not a directory: {file}/x" in said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "Permission denied: /srv/x\nhint: as root, or as the user whose file it is\n"),
        (errno.ENOSPC, "No space left on device: /srv/x\n"),
        (errno.EEXIST, "File exists: /srv/x\n"),
    ],
)
def test_whatever_the_system_refuses_is_no_judgement(
    number: int, said: str, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 is for what was checked and found wanting."""

    def refused(_: Path) -> NoReturn:
        raise OSError(number, os.strerror(number), "/srv/x")

    monkeypatch.setattr("blocklists.sealed.keys.create", refused)
    assert ends("sealed", "key", "/srv/x") == (2, f"stopsign: error: {said}")


def test_a_number_that_cannot_be_is_refused_as_an_option(ends: Ends) -> None:
    status, said = ends("lists", "diff", "demo", "--limit", "-1")
    assert (status, "'--limit'" in said) == (2, True)


def test_an_error_of_the_system_controls_no_terminal(ends: Ends, tmp_path: Path) -> None:
    file = tmp_path / "a\x1b[2J"
    file.write_text("")
    status, said = ends("sealed", "key", f"{file}/x")
    assert (status, "\x1b" in said, "a\ufffd[2J" in said) == (2, False, True)


def test_without_zones_their_status_is_one_sentence(ends: Ends, tmp_path: Path) -> None:
    (tmp_path / "stopsign.yaml").write_text(
        f"state_dir: {tmp_path}/state\nrun_dir: {tmp_path}/run\nportal: {{url: 'https://stop.isp.example'}}\n"
        "dns: {listen: ['127.0.0.1:0'], upstreams: ['127.0.0.1:1'], allow_clients: []}\n"
    )
    said = "stopsign: error: no zones are configured\nhint: rpz.zones, as docs/rpz.md has it\n"
    assert ends("rpz", "status", "--dir", str(tmp_path)) == (2, said)


def test_one_of_a_thing_is_said_in_the_singular(capsys: pytest.CaptureFixture[str]) -> None:
    _print_held("gambling", {"added": 1, "version": 4, "since": "now", "reasons": [], "approvable": False})
    assert capsys.readouterr().out.startswith("  held: 1 addition of version 4 since now\n")
