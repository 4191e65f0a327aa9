"""The systemd units: accepted by systemd itself, each in the sandbox that the operator's guide promises."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from resolver.config import load
from resolver.run import NICE
from resolver.units import DROP_IN, drop_ins

ROOT = Path(__file__).resolve().parents[1]
UNITS = sorted((ROOT / "systemd").glob("stopsign*.[st][oeai][crvm]*"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units beside each other, their program being one that exists here."""
    directory = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace("/opt/stopsign/bin/stopsign", "/bin/true")
        (directory / unit.name).write_text(text, encoding="utf-8")
    for name, text in drop_ins(load(ROOT / "config" / "stopsign.yaml")).items():
        (directory / f"{name}.d").mkdir()
        (directory / f"{name}.d" / DROP_IN).write_text(text, encoding="utf-8")
    return directory


def test_there_is_a_unit_for_each_process_and_port() -> None:
    assert {unit.name for unit in UNITS} == {
        "stopsign.target",
        "stopsign-dns.service",
        "stopsign-dns.socket",
        "stopsign-rpz.service",
        "stopsign-rpz.socket",
        "stopsign-rpz-tls.socket",
        "stopsign-steward.service",
        "stopsign-timestamp.service",
        "stopsign-timestamp.timer",
        "stopsign-web.service",
        "stopsign-web.socket",
    }


def test_the_others_stand_behind_dns_as_far_as_under_stopsign_run() -> None:
    nice = {unit.name: re.findall(r"^Nice=(\d+)$", unit.read_text(encoding="utf-8"), re.MULTILINE) for unit in SERVICES}
    behind = {f"stopsign-{wing}.service": [str(number)] for wing, number in NICE.items()}
    assert nice == {"stopsign-dns.service": [], "stopsign-timestamp.service": [], **behind}


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(installed / unit.name) for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in checked.stderr.splitlines() if "stopsign" in line]
    assert (checked.returncode, ours) == (0, [])


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("service", SERVICES, ids=lambda unit: unit.name)
def test_each_service_has_the_exposure_that_the_guide_says(service: Path, installed: Path) -> None:
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(installed / service.name)],
        capture_output=True,
        text=True,
        check=True,
    )
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    guide = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    (promised,) = re.findall(rf"^\| `{re.escape(service.name)}`.*\| ([\d.]+) \|$", guide, re.MULTILINE)
    # Each release of systemd weighs a little differently.
    assert float(exposure) == pytest.approx(float(promised), abs=0.2)


def test_systemd_is_to_open_a_udp_and_a_tcp_socket_a_worker_and_address(tmp_path: Path) -> None:
    config = tmp_path / "stopsign.yaml"
    config.write_text(
        "{state_dir: state, run_dir: run, portal: {url: 'http://127.0.0.1'}, stop_page: {listen: ['192.0.2.66:80']},"
        " dns: {listen: ['192.0.2.53:53', '[2001:db8::53]:53'], workers: 3, upstreams: [127.0.0.1], allow_clients: []}}"
    )
    made = {unit: text.splitlines() for unit, text in drop_ins(load(config)).items()}
    dns = made["stopsign-dns.socket"]
    assert dns[1:4] == ["[Socket]", "ListenDatagram=", "ListenStream="], "what the unit itself says is taken back"
    for address in ("192.0.2.53:53", "[2001:db8::53]:53"):
        assert (dns.count(f"ListenDatagram={address}"), dns.count(f"ListenStream={address}")) == (3, 3)
    assert made["stopsign-web.socket"][1:] == ["[Socket]", "ListenStream=", "ListenStream=192.0.2.66:80"]
