"""The guide to sealed lists works as written: each command of desk, signers and subscriber is run, in its person's own
folder, and prints what the page shows. The provider's part is tests/cli/test_sealed_provider_guide.py."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner

from blocklists.issuer import vault
from resolver.cli.main import stopsign
from tests.rigs.sealed_world import cheap
from tests.rigs.walk import steps

if TYPE_CHECKING:
    import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "sealed.md"
NAMES = ("planted-one.example", "planted-two.example")


def test_the_guide_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cheap(monkeypatch)
    vault.ask.cache_clear()
    (tmp_path / "passphrase").write_text("correct horse battery staple\n")
    for name in ("STOPSIGN_PASSPHRASE_FILE", "STOPSIGN_SEALED_PASSPHRASE_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "passphrase"))
    for person in ("alice", "bob", "carol", "dan", "north", "usb"):
        (tmp_path / person).mkdir()
    (tmp_path / "alice" / "new-passphrase").write_text("another battery, another staple\n")
    (tmp_path / "alice" / "names.txt").write_text("".join(f"{name}\n" for name in NAMES))
    said: dict[str, str] = {}
    for step in steps(GUIDE, "alice|bob|carol|dan|north", ""):
        person, written = step.person, step.command
        monkeypatch.chdir(tmp_path / person)
        vault.ask.cache_clear()  # it is asked once a process
        line = written.replace("/media/usb", str(tmp_path / "usb"))
        command, _, output = line.partition(" > ")
        if command.startswith("stopsign "):
            done = CliRunner().invoke(
                stopsign, shlex.split(command)[1:], input="y\n" * 3, catch_exceptions=False, standalone_mode=False
            )
            assert (done.return_value or 0) == step.status, f"{person}$ {written}\n{done.output}"
            if step.lines:
                shown = done.output.replace(str(tmp_path / "usb"), "/media/usb")
                assert step.expected.fullmatch(shown), f"{person}$ {written}\n{shown}"
            if output:
                Path(output).write_text(done.stdout)
            said[written] = done.stdout
        else:
            subprocess.run(["bash", "-c", line], check=True)
    assert len(said) > 20
    seen = {written.split()[2]: text for written, text in said.items()}
    assert all(name in seen["diff"] for name in NAMES)
    assert all(name in seen["review"] for name in NAMES)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "names.txt"]
    assert not [path for path in kept if b"planted" in path.read_bytes()]
    vault.ask.cache_clear()
