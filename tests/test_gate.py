"""The gate and the set-up: what a clean machine needs, and that a run of several processes says what it skipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
GATE = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
NEEDS = set(re.findall(r"^    apt-get install (.*)$", README, re.MULTILINE)[0].split())


def test_readme_names_every_package_that_the_set_up_asks_for() -> None:
    """What `check-system` would tell somebody to install, they have who did what README says; `make fresh` walks it."""
    asked = {
        package
        for line in re.findall(r"needs (?:Python|a C)[^:]*: apt-get install ([^\"]*)\"", MAKEFILE)
        for package in line.split()
    }
    assert {"gcc", "libc6-dev", "python3-venv"} <= asked
    assert asked <= NEEDS
    assert "make" in NEEDS


def test_the_gate_brings_what_readme_names_and_what_the_tests_need() -> None:
    from tests.conftest import PACKAGES

    brought = set(re.findall(r"^packages=\((.*)\)$", GATE, re.MULTILINE)[0].split())
    assert brought >= NEEDS
    assert {package for packages in PACKAGES.values() for package in packages.split()} <= brought


def test_the_set_up_needs_no_program_of_the_environment_on_path() -> None:
    """`maturin` as pip's build back end calls it: by name. In a recipe that calls pip to build, it has to be found."""
    (recipe,) = re.findall(r"^\$\(VENV\)/built:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    building = [line for line in recipe.splitlines() if "--no-build-isolation" in line]
    assert building
    assert all(' PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python ' in line for line in building)


@pytest.mark.parametrize("processes", [0, 2])
def test_the_run_ends_with_the_line_that_installs_what_was_missing(tmp_path: Path, processes: int) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "@pytest.mark.needs('zzuf')\ndef test_one() -> None: ...\n"
        "@pytest.mark.needs('dig', 'wrk')\ndef test_two() -> None: ...\n"
        "def test_three() -> None: ...\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(processes), "--rootdir", str(tmp_path), str(tmp_path)]
    given = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "STOPSIGN_", "MAKE"))}
    given |= {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=given, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "to run what was skipped: apt-get install bind9-dnsutils zzuf" in done.stdout.splitlines()
    done = subprocess.run(
        command, env={**given, "STOPSIGN_NO_SKIPS": "1"}, cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "skipped where nothing may be" in done.stdout
