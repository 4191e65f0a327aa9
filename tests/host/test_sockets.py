"""The listening sockets: opened, taken from systemd, refused with a reason."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from resolver.host.sockets import SocketError, bound_to, from_systemd, handed_over, open_listeners, parse
from tests.rigs.dns_host import free_port


def test_udp_and_tcp_of_one_address_share_a_port_and_each_worker_has_its_own_sockets() -> None:
    listeners = open_listeners(dns=[parse("127.0.0.1:0"), parse("[::1]:0")], workers=3)
    try:
        for udp, tcp in zip(listeners.udp, listeners.tcp, strict=True):
            assert {bound_to(one) for one in udp} == {bound_to(one) for one in tcp}
            assert len(udp) == len(tcp) == 3
        passed = [fd for index in range(3) for fds in listeners.of_worker(index, 3).values() for fd in fds]
        assert len(set(passed)) == 12
        assert [address.rpartition(":")[0] for address in listeners.addresses()["dns"]] == ["127.0.0.1", "[::1]"]
    finally:
        listeners.close()


def test_a_socket_of_quic_is_one_worker_s_and_with_too_few_some_have_none() -> None:
    listeners = open_listeners(dns_quic=[parse("127.0.0.1:0")], workers=2)
    try:
        dealt = [listeners.of_worker(index, 3)["dns_quic"] for index in range(3)]
        assert ([len(fds) for fds in dealt], len({fd for fds in dealt for fd in fds})) == ([1, 1, 0], 2)
        assert len(listeners.of_worker(0, 1)["dns_quic"]) == 2
    finally:
        listeners.close()


def test_sockets_are_passed_on_only_where_it_is_asked_for() -> None:
    listeners = open_listeners(dns=[parse("127.0.0.1:0")])
    try:
        assert not any(os.get_inheritable(fd) for fds in listeners.of_worker(0, 1).values() for fd in fds)
    finally:
        listeners.close()


@pytest.mark.parametrize("reuse", [False, True], ids=["alone", "with-SO_REUSEPORT"])
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["UDP", "TCP"])
def test_a_port_that_another_holds_is_refused_and_nothing_stays_open(kind: socket.SocketKind, reuse: bool) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        if reuse:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = free_port()  # else a client somewhere may have it for the other transport
        other.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            other.listen()
        transport = "TCP" if kind is socket.SOCK_STREAM else "UDP"
        with pytest.raises(SocketError, match=f"{transport} port {port} of 127.0.0.1 is taken") as refused:
            open_listeners(dns=[parse("127.0.0.1:0"), parse(f"127.0.0.1:{port}")])
        assert refused.value.hint is not None
        assert str(port) in refused.value.hint


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SocketError, match=r"192\.0\.2\.1 is no address of this machine"):
        open_listeners(dns=[parse("192.0.2.1:0")])


def test_a_name_is_no_address() -> None:
    with pytest.raises(SocketError, match="not an address"):
        parse("localhost:53")


def test_the_sockets_of_systemd_are_sorted_by_kind_and_name() -> None:
    """In a process of its own, since systemd's descriptors begin at 3."""
    program = """
import os, socket
kept = []
def opened(kind, port=0):
    one = socket.socket(socket.AF_INET, kind)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", port))
    kept.append(one)
    return one.getsockname()[1]
port = opened(socket.SOCK_DGRAM)
opened(socket.SOCK_DGRAM, port)
opened(socket.SOCK_STREAM)
opened(socket.SOCK_STREAM)
opened(socket.SOCK_STREAM)
for number, one in enumerate(kept):
    os.dup2(one.fileno(), 100 + number)
for number in range(5):
    os.dup2(100 + number, 3 + number)
kept = [one.detach() for one in kept]
from resolver.host.sockets import from_systemd, parse, taken_or_opened
environment = {"LISTEN_PID": "7", "LISTEN_FDS": "5", "LISTEN_FDNAMES": "dns:dns:dns:stop-page:portal"}
assert from_systemd(environment, 8) is None
taken = from_systemd(environment, 7)
assert [len(group) for group in taken.udp] == [2]
assert [len(group) for group in taken.tcp] == [1]
assert taken.of_worker(0, 2) == {"udp": [3], "tcp": [5]} and taken.of_worker(1, 2) == {"udp": [4], "tcp": [5]}
assert taken.of_worker(0, 1) == {"udp": [3, 4], "tcp": [5]}, "a socket that nobody reads is a share of the clients lost"
assert taken.of_web() == {"stop_page": [6], "portal": [7]}
environment |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "4"}
both = taken_or_opened(environment, stop_page=[parse("127.0.0.1:0")], portal=[parse("127.0.0.1:0")])
assert both.of_web()["stop_page"] == [6], "systemd's"
assert len(both.portal) == 1, "what no socket unit names is opened here"
os._exit(0)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_systemd_there_are_no_sockets_of_it() -> None:
    assert from_systemd({}, os.getpid()) is None


def test_what_the_supervisor_handed_over_is_read_by_use() -> None:
    assert handed_over({"STOPSIGN_SOCKETS": json.dumps({"udp": [5], "tcp": [6]})}) == {"udp": [5], "tcp": [6]}
    assert handed_over({}) == {}
