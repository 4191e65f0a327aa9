"""A host for policy zones alone: no DNS of its own, the resolvers that are there answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from resolver.config.schema import ConfigError, load
from tests.rigs.dns_host import PATIENCE, ROOT, Host, free_port, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RPZ: dict[str, Any] = {"zones": [{"origin": "rpz.example"}]}


def host_in(folder: Path, only: str | None = None) -> Host:
    """It has no workers to wait for, and no `dns` in its file."""
    rpz = {**RPZ, "listen": [f"127.0.0.1:{free_port()}"]}
    return Host(folder, [], workers=0, only=only, more={"dns": None, "rpz": rpz})


def stopsign(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "resolver.cli.main", *arguments, "--config", str(host.config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)


def status(host: Host) -> dict[str, Any]:
    done = stopsign(host, "status", "--json")
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def served(host: Host) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads((host.run_dir / "rpz" / "said.json").read_bytes())["zones"][0]["serial"])
    return False


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with running(host_in(tmp_path)) as host:
        wait_until(lambda: served(host), "the zone is not made")
        yield host


def test_every_command_works_without_dns(host: Host) -> None:
    assert stopsign(host, "health").stdout == "healthy\n"
    said = status(host)
    assert {one["name"] for one in said["services"]} == {"steward", "rpz"}
    assert (said["workers"], said["serves_dns"]) == ([], False)
    assert not [alarm for alarm in said["alarms"] if "dns" in alarm or "DNS" in alarm], said["alarms"]
    screen = stopsign(host, "status").stdout
    assert "rpz.example" in screen
    assert "upstreams" not in screen
    checked = stopsign(host, "check-config")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.endswith("good: 0 lists, 1 policy zone\n")
    bypassed = stopsign(host, "bypass", "on", "casino.test", "--reason", "a test")
    assert bypassed.returncode == 0, bypassed.stderr
    assert "rpz" in bypassed.stdout
    assert "a block that was lifted for up to 60 s more" in bypassed.stdout
    asked = stopsign(host, "explain", "casino.test", "--client", "198.51.100.1")
    assert "dropped" not in asked.stdout, "allow_clients is for DNS, and there is none"
    assert asked.returncode == 0, asked.stderr
    assert "a block that was lifted for up to 60 s more" in asked.stdout


def test_a_reload_reaches_steward_and_zones(host: Host) -> None:
    before = status(host)
    host.more = {**host.more, "rpz": {**host.more["rpz"], "zones": [{"origin": "rpz.example", "ttl": "30s"}]}}
    host.write_config()
    done = stopsign(host, "reload")
    assert done.returncode == 0, done.stderr
    assert {"steward", "rpz"} <= set(done.stdout.replace(",", " ").replace(".", " ").split()), done.stdout
    host.more = {**host.more, "dns": {"workers": 1, "upstreams": ["127.0.0.1"]}}
    host.write_config()
    refused = stopsign(host, "reload", "--no-trial")
    assert refused.returncode == 2
    assert "dns (none, or some)" in refused.stderr
    assert {one["name"]: one["pid"] for one in status(host)["services"]} == {
        one["name"]: one["pid"] for one in before["services"]
    }


def test_the_zones_come_back_when_their_process_dies(host: Host) -> None:
    (pid,) = (one["pid"] for one in status(host)["services"] if one["name"] == "rpz")
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: [one for one in status(host)["services"] if one["name"] == "rpz" and one["pid"] not in (None, pid)],
        "it is not started again",
    )


def test_a_zone_that_is_not_made_is_unhealthy(tmp_path: Path) -> None:
    host = host_in(tmp_path, only="rpz")  # without a steward: there is no list to make it of
    host.write_config()
    asked = stopsign(host, "health")
    assert (asked.returncode, "the process of the zones says nothing" in asked.stdout) == (1, True)


def test_as_units_of_their_own_they_are_whole_without_a_supervisor(tmp_path: Path) -> None:
    host = host_in(tmp_path)
    host.write_config()
    command = [sys.executable, "-P", "-m", "resolver.cli.main", "run", "--config", str(host.config), "--only"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with contextlib.ExitStack() as ended:
        for wing in ("steward", "rpz"):
            process = ended.enter_context(subprocess.Popen([*command, wing], env=environment))
            ended.callback(process.kill)
        wait_until(lambda: served(host), "the zone is not made")
        said = status(host)
        assert {one["name"]: one["state"] for one in said["services"]} == {"steward": "lives", "rpz": "lives"}
        assert not [alarm for alarm in said["alarms"] if "supervisor" in alarm], said["alarms"]
        assert (host.run_dir / "taken-up.yaml").read_bytes() == host.config.read_bytes()
        assert stopsign(host, "health").returncode == 0
        done = stopsign(host, "reload")
        assert done.returncode == 0, done.stderr


def test_the_example_of_such_a_host_is_whole() -> None:
    config = load(ROOT / "config" / "rpz" / "host.yaml")
    assert config.dns is None
    assert [zone.origin for zone in config.rpz.zones] == ["rpz.stopsign"]


def test_dns_alone_cannot_run_where_there_is_none(tmp_path: Path) -> None:
    host = host_in(tmp_path)
    host.write_config()
    done = stopsign(host, "run", "--only", "dns")
    assert (done.returncode, "the configuration has no `dns`" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{}", "dns: is missing; where your own resolvers answer, rpz.zones instead would be right"),
        ("{dns: null, rpz: {zones: [{}]}}", "dns: is empty"),
    ],
)
def test_a_configuration_in_which_nobody_answers_is_a_mistake(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "stopsign.yaml"
    whole = "{state_dir: s, run_dir: r, portal: {url: 'http://127.0.0.1'}, " + text.removeprefix("{")
    file.write_text(whole)
    with pytest.raises(ConfigError) as found:
        load(file)
    assert wrong in str(found.value)


def test_what_is_right_is_tried_beside_a_mistake_without_dns_too(tmp_path: Path) -> None:
    host = host_in(tmp_path)
    host.more["provider"] = {"country": "nowhere"}
    host.write_config()
    found = json.loads(stopsign(host, "check-config", "--json").stdout)["findings"]
    assert {one["key"]: one["level"] for one in found if one["level"] != "warning"} == {
        "provider.country": "mistake",
        "provider": "untried",
    }
