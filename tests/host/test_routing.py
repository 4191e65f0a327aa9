"""The recipes of the guide for BIRD and keepalived, typed as they stand there, in a network of their own.

The host is as the shipped configuration has it: its clients are elsewhere, it listens on the address that is announced.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.conftest import find_program
from tests.rigs.dns_host import ROOT, Host, running, unbound, wait_until
from tests.rigs.namespace import in_a_network
from tests.rigs.program import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = "192.0.2.53"
GUIDE = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
PATIENCE = 150.0


def recipe(first: str) -> str:
    """The block of the guide that begins so."""
    (block,) = re.findall(rf"^    {re.escape(first)}\n(?:    .*\n|\n(?=    ))*", GUIDE, re.MULTILINE)
    return textwrap.dedent(block)


@contextlib.contextmanager
def provider(folder: Path) -> Iterator[Host]:
    """A host with an upstream, and the program where the recipes look for it."""
    with unbound(folder / "upstream", 5335):
        host = Host(folder / "host", ["127.0.0.1:5335"], listen=["0.0.0.0:53"])
        host.more = {"dns": {"allow_clients": ["10.0.0.0/8"]}}
        python = f"PYTHONPATH={ROOT} exec {shlex.quote(sys.executable)} -P -m resolver.cli.main"
        wrapper(folder / "stopsign", f'{python} "$@" --config {host.config}')
        with running(host):
            yield host


def wrapper(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.needs("bird", "unbound", "ip")
def test_bird_announces_the_address_only_while_the_host_answers(tmp_path: Path) -> None:
    (tmp_path / "bird.conf").write_text("router id 192.0.2.1;\nprotocol device {}\n" + recipe_of_bird())
    wrapper(tmp_path / "birdc", f'exec {find_program("birdc")} -s {tmp_path}/bird.ctl "$@"')
    (tmp_path / "loop.sh").write_text(f"PATH={tmp_path}:$PATH\n{recipe('bad=0').replace('sleep 3', 'sleep 0.2')}")

    def announced() -> bool:
        asked = [str(tmp_path / "birdc"), "show", "route", "protocol", "stopsign"]
        return f"{SERVICE}/32" in subprocess.run(asked, capture_output=True, text=True, check=False).stdout

    def scene() -> None:
        daemon = ["bird", "-f", "-c", f"{tmp_path}/bird.conf", "-s", f"{tmp_path}/bird.ctl", "-P", f"{tmp_path}/pid"]
        with program(tmp_path, *daemon):
            wait_until((tmp_path / "bird.ctl").exists, "BIRD")
            assert not announced(), "a host that has not been asked yet takes no queries"
            with provider(tmp_path) as host, program(tmp_path, "sh", str(tmp_path / "loop.sh")):
                wait_until(announced, "announced", PATIENCE)
                good = host.config.read_text()
                host.config.write_text("broken: [\n")
                asked = subprocess.run([str(tmp_path / "stopsign"), "health"], capture_output=True, check=False)
                assert asked.returncode == 2, "a file that says not even which host it is of"
                assert announced(), "one bad file for all hosts withdraws none"
                host.config.write_text(good)
                assert host.stop() == 0
                wait_until(lambda: not announced(), "withdrawn", PATIENCE)

    in_a_network(scene, [f"{SERVICE}/32"])


def recipe_of_bird() -> str:
    (line,) = re.findall(r"^    (protocol static stopsign .*)$", GUIDE, re.MULTILINE)
    return str(line)


@pytest.mark.needs("keepalived", "unbound", "ip")
def test_keepalived_moves_the_address_where_the_host_says_no(tmp_path: Path) -> None:
    script = recipe("vrrp_script stopsign {").replace("/usr/bin/stopsign", str(tmp_path / "stopsign"))
    # As quick as it goes, and as patient as a busy machine wants: there a program takes seconds to start.
    script = script.replace("interval 3", "interval 1").replace("timeout 8", "timeout 60")
    assert "interval 1\n" in script
    assert "timeout 60\n" in script
    instance = (
        "state MASTER\n interface pair0\n virtual_router_id 53\n priority 100\n advert_int 0.1\n"
        f" virtual_ipaddress {{ {SERVICE}/32 dev lo }}\n"
    )
    assert "vrrp_instance dns { … " in script
    text = "global_defs { script_user root }\n" + script.replace("…", instance)
    (tmp_path / "keepalived.conf").write_text(text)

    def here() -> bool:
        shown = subprocess.run(["ip", "address", "show", "dev", "lo"], capture_output=True, text=True, check=True)
        return SERVICE in shown.stdout

    def scene() -> None:
        make = "ip link add pair0 type veth peer name pair1 && ip link set pair0 up && ip link set pair1 up"
        subprocess.run(["sh", "-c", f"{make} && ip address add 198.51.100.1/24 dev pair0"], check=True)
        pids = [f"--pid={tmp_path}/k.pid", f"--vrrp_pid={tmp_path}/v.pid", f"--checkers_pid={tmp_path}/c.pid"]
        daemon = ["keepalived", "-n", "-l", "-P", "-f", str(tmp_path / "keepalived.conf"), *pids]
        with provider(tmp_path) as host, program(tmp_path, *daemon):
            try:
                wait_until(here, "the address", PATIENCE)
            except AssertionError as late:
                raise AssertionError(f"{late}\n{(tmp_path / 'log').read_text()}") from None
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind((SERVICE, 0))
            assert host.stop() == 0
            wait_until(lambda: not here(), "it moves", PATIENCE)

    in_a_network(scene)
