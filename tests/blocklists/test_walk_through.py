"""The issuer's guide works as written: every command in it is run, each on its person's own machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.conftest import DATA
from tests.rigs.issuer_machines import ROOT, Machines

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

GUIDE = ROOT / "docs" / "issuer.md"


def commands() -> list[tuple[str, str]]:
    blocks = re.findall(r"```console\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.partition("$ ") for block in blocks for line in block.splitlines()]
    return [(person, line) for person, _, line in lines]


def walk(machines: Machines, names: list[str]) -> dict[str, str]:
    """Run the whole guide; leaves what each command said on standard output."""
    (machines.folder / "alice").mkdir()
    (machines.folder / "alice" / "names.txt").write_text("".join(f"{name}\n" for name in names))
    said: dict[str, str] = {}
    for person, line in commands():
        done = machines.run(person, line)
        assert done.returncode == 0, f"{person}$ {line}\n{done.stdout}{done.stderr}"
        said[line] = done.stdout
    return said


def test_the_guide_works_as_written(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """On the 172,000 real names where they are at hand, on a few else."""
    names = ["casino.example", "dice.example", "192.0.2.1", "github.io"]
    real: list[str] = request.getfixturevalue("real_names") if DATA.is_dir() else []
    machines = Machines(tmp_path)
    said = walk(machines, [*names, *real])
    assert len(said) > 35
    last = [text for line, text in said.items() if " verify " in line][-1]
    found = re.match(r"gambling version 3: ([\d,]+) entries, 1 suspended, signed by 2 of at least 2", last)
    assert found, last
    assert int(found[1].replace(",", "")) > (172_000 if real else 3)
    assert "Dora" in machines.run("alice", "stopsign issuer keys list --dir desk").stdout
    assert (tmp_path / "alice" / "rejects.txt").read_text().startswith("3\t")


def test_a_command_that_cannot_be_done_says_why_in_one_line_and_exits_2(tmp_path: Path) -> None:
    machines = Machines(tmp_path)
    for line, error in (
        ("stopsign issuer publish none.request --dir none", "is no desk"),
        ("stopsign issuer sign none.request --key none", "no card of keys"),
        ("stopsign issuer due --dir . --within soon", "not a time such as 365d"),
        ("stopsign issuer keys new k --name X --passphrase-file none", "No such file"),
    ):
        done = machines.run("alice", line)
        assert done.returncode == 2
        assert done.stdout == ""
        first = done.stderr.splitlines()[0]
        assert first.startswith("stopsign: error: ")
        assert error in first


def test_a_refused_list_is_said_with_its_reason_and_exit_1(tmp_path: Path) -> None:
    machines = Machines(tmp_path)
    (tmp_path / "alice").mkdir()
    (tmp_path / "alice" / "root.json").write_text("{}")
    done = machines.run("alice", "stopsign issuer verify . --list gambling --root root.json --json")
    assert done.returncode == 1
    assert '"reason": "malformed"' in done.stdout
