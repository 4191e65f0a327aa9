"""The systemd units: accepted by systemd itself, and each in a sandbox that its own scale calls OK."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).resolve().parents[1] / "systemd").glob("stopsign*.[st][oeai][crvm]*"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units beside each other, their program being one that exists here."""
    directory = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace("/opt/stopsign/bin/stopsign", "/bin/true")
        (directory / unit.name).write_text(text, encoding="utf-8")
    return directory


def test_there_is_a_unit_for_each_process_and_port() -> None:
    assert {unit.name for unit in UNITS} == {
        "stopsign.target",
        "stopsign-dns.service",
        "stopsign-dns.socket",
        "stopsign-steward.service",
        "stopsign-timestamp.service",
        "stopsign-timestamp.timer",
        "stopsign-web.service",
        "stopsign-web.socket",
    }


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(installed.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in checked.stderr.splitlines() if "stopsign" in line]
    assert (checked.returncode, ours) == (0, [])


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("service", SERVICES, ids=lambda unit: unit.name)
def test_each_service_is_sandboxed_to_an_exposure_below_2(service: Path, installed: Path) -> None:
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(installed / service.name)],
        capture_output=True,
        text=True,
        check=True,
    )
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    assert json.loads(exposure) < 2.0
