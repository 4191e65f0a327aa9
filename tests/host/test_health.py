"""`stopsign health` against real workers: whom it may ask, and whose answer counts."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from resolver.config.schema import load
from resolver.host.health import reasons
from tests.rigs.dns_host import ROOT, Host, free_port, question, running, unbound, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with unbound(tmp_path_factory.mktemp("upstream"), port):
        yield port


def why_not(host: Host) -> list[str]:
    return reasons(load(host.config), None)


@pytest.mark.needs("unbound")
@pytest.mark.parametrize("believed", [[], ["127.0.0.0/8"]], ids=["plain", "behind a balancer on this host"])
def test_a_host_whose_clients_are_not_on_loopback_is_healthy(
    tmp_path: Path, upstream: int, believed: list[str]
) -> None:
    """As with the `allow_clients` of the shipped configuration; over UDP and TCP, at a wildcard address."""
    more = {"dns": {"allow_clients": ["10.0.0.0/8"], "proxy_protocol": {"accept_from": believed}}}
    with running(Host(tmp_path / "host", [f"127.0.0.1:{upstream}"], listen=["0.0.0.0:0"], more=more)) as host:
        assert why_not(host) == []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.3)
            client.sendto(question(1, "example.com", 1), ("127.0.0.1", host.address[1]))
            with pytest.raises(TimeoutError):
                client.recv(512)


@pytest.mark.needs("unbound")
def test_the_answer_of_another_program_on_the_port_counts_as_none(tmp_path: Path, upstream: int) -> None:
    """An old Unbound with so-reuseport gets a share of the queries, and answers them all."""
    port = free_port()
    host = Host(tmp_path / "host", [f"127.0.0.1:{upstream}"], listen=[f"127.0.0.1:{port}"])
    with running(host):
        assert why_not(host) == []
        with unbound(tmp_path / "old", port):
            found: set[str] = set()

            def asked_both() -> bool:
                found.update(why_not(host))
                return len(found) == 2

            wait_until(asked_both, "by chance the other one is asked, over UDP and TCP")
            assert {one.partition(": ")[2] for one in found} == {"another program answers there"}
        assert why_not(host) == []


@pytest.mark.needs("unbound")
def test_the_mark_outlives_a_restart_of_workers_and_program(tmp_path: Path, upstream: int) -> None:
    """`health` says yes all the time, also in the moment in which the only worker is another."""
    with running(Host(tmp_path / "host", [f"127.0.0.1:{upstream}"])) as host:

        def mark() -> Any:
            return host.said()[0]["health_mark"]

        before = mark()
        assert len(before) == 32
        for words in (("workers", "restart"), ("restart", "--no-trial")):
            command = [sys.executable, "-P", "-m", "resolver.cli.main", *words, "--config", str(host.config)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT) as process:
                while process.poll() is None:
                    assert why_not(host) == []
            wait_until(host.serving, "it serves")
            assert mark() == before
