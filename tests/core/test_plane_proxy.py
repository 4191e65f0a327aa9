"""The PROXY protocol on datagrams: who is believed, whose limits and lists hold, what a resolver behind is told."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
from dnslib import DNSRecord

from tests.rigs.plane import STOP_PAGE, Upstream, answer, compiled, cut, query, rig
from tests.rigs.streams import BALANCER as FROM

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BALANCER: dict[str, Any] = {"proxy_from": ["127.0.0.0/8"], "allow_clients": ["192.0.2.0/24", "2001:db8::/32"]}


def header(client: str, port: int = 4711, asked: str | None = None, more: bytes = b"") -> bytes:
    """As the specification has it, written here a second time."""
    ip = ipaddress.ip_address(client)
    to = ipaddress.ip_address(asked or ("198.51.100.1" if ip.version == 4 else "2001:db8::1"))
    block = ip.packed + to.packed + struct.pack("!HH", port, 53) + more
    return SIGNATURE + bytes([0x21, 0x12 if ip.version == 4 else 0x22]) + struct.pack("!H", len(block)) + block


def packed(name: str) -> bytes:
    return bytes(query(name).pack())


def test_the_client_that_the_balancer_names_is_the_one_that_counts(tmp_path: Path) -> None:
    with rig(views=[["192.0.2.128/25"]], **BALANCER) as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]), [0])
        for client, blocked in (("192.0.2.1", True), ("192.0.2.200", False)):
            r.send(header(client, more=b"\x04\0\x03abc") + packed("blocked.example"))
            assert (STOP_PAGE in str(r.receive())) is blocked, client
        # Neither the balancer itself, where it speaks for itself, nor a stranger behind it is a client.
        for octets in (SIGNATURE + b"\x20\0\0\0", header("203.0.113.5")):
            r.send(octets + packed("blocked.example"))
            assert r.silent()
        assert r.plane.counters()["dropped_client"] == 2


LOCAL = SIGNATURE + b"\x20\0\0\0"


def test_a_balancer_s_own_check_is_answered_and_nothing_else_that_it_asks_for_itself() -> None:
    """dnsdist's health checks say LOCAL: a balancer need not be a client."""
    asks = {"health_name": "health.example.net", "health_mark": "mark"}
    with rig(Upstream(), **asks, **BALANCER) as r:
        r.send(LOCAL + bytes(query("health.example.net").pack()))
        assert r.receive().header.rcode == 0
        r.send(LOCAL + bytes(query("health.example.net", "TXT").pack()))
        assert "mark" in str(r.receive())
        r.send(LOCAL + packed("example.com"))
        assert r.silent()
        over_tcp = r.connect()
        over_tcp.socket.sendall(LOCAL)
        over_tcp.send(query("health.example.net"))
        assert over_tcp.receive().header.rcode == 0
        over_tcp.send(query("example.com"))
        assert over_tcp.has_ended()
        assert r.plane.counters()["dropped_client"] == 2


def test_this_host_is_always_answered_the_health_name_and_no_stranger_is() -> None:
    """As the shipped configuration has it: no client on loopback."""
    asks: dict[str, Any] = {"health_name": "health.example.net", "allow_clients": ["10.0.0.0/8"], "proxy_from": [FROM]}
    with rig(Upstream(), **asks) as r:
        r.send(query("health.example.net"))
        assert r.receive().header.rcode == 0
        r.send(query("example.com"))
        assert r.silent()
        clients = (("127.0.0.1", True), ("::1", True), ("192.0.2.7", False), ("2001:db8::1", False))
        for stream, (client, answered) in enumerate(clients):
            decided = r.ask_stream(query("health.example.net"), stream, client)
            assert (decided is not False) is answered, client
        assert r.plane.counters()["dropped_client"] == 3


@pytest.mark.parametrize(
    "octets",
    [b"", SIGNATURE, SIGNATURE + b"\x21\x12\xff\xff", SIGNATURE + b"\x31\x12\0\x0c", SIGNATURE + b"\x21\x32\0\x0c"],
)
def test_a_balancer_that_does_not_say_for_whom_it_speaks_is_not_heard(octets: bytes) -> None:
    with rig(**BALANCER) as r:
        r.send(octets + packed("example.com"))
        assert r.silent()
        assert r.plane.counters()["dropped_proxy"] == 1


def test_from_anybody_else_a_header_is_no_dns_message() -> None:
    with rig(proxy_from=["192.0.2.1"]) as r:
        r.send(header("192.0.2.7") + packed("example.com"))
        assert DNSRecord.parse(r.client.recv(512)).header.rcode == 4  # its second word reads as opcode 1
        assert r.plane.in_flight == 0


def test_rate_and_caps_are_the_clients_own_behind_one_balancer() -> None:
    upstream = Upstream()
    rate = {"queries_per_second": 1.0, "burst": 2.0}
    with rig(upstream, rate=rate, per_client_in_flight=1, **BALANCER) as r:
        for number in range(3):
            r.send(header("192.0.2.1") + packed(f"{number}.example"))
        # One is relayed, the second is above the cap, the third above the rate.
        answers = sorted((heard.header.rcode, heard.header.tc) for heard in (r.receive(), r.receive()))
        assert answers == [(0, 1), (2, 0)]
        r.send(header("192.0.2.2") + packed("other.example"))
        assert len(upstream.waiting()) == 2


def test_the_proxy_header_goes_to_the_resolver_that_wants_it_alone() -> None:
    told, other = Upstream(), Upstream()
    with rig(told, other, proxy_to=[told.address], upstream_timeout_ms=100, **BALANCER) as r:
        r.send(header("192.0.2.7", 4711, "198.51.100.1") + packed("a.example"))
        ((octets, source),) = told.waiting_raw()
        assert octets.startswith(header("192.0.2.7", 4711, "198.51.100.1"))
        asked = DNSRecord.parse(octets[28:])
        told.say(answer(asked), source)
        r.plane.pump()
        assert "198.51.100.7" in str(r.receive())
        # Its silence makes the next one be asked, as it is.
        r.send(header("2001:db8::7") + packed("b.example"))
        asked_besides = r.until(other.waiting)
        ((octets, _),) = told.waiting_raw()
        assert octets.startswith(header("2001:db8::7"))
        assert asked_besides[0][0].q.qname == "b.example."


def test_without_a_balancer_the_clients_own_end_is_told_and_the_address_it_asked() -> None:
    told = Upstream()
    with rig(told, proxy_to=[told.address], bind="0.0.0.0") as r:
        r.send(query("a.example"))
        ((octets, _),) = told.waiting_raw()
        port = r.client.getsockname()[1]
        block = socket.inet_aton("127.0.0.1") * 2 + struct.pack("!HH", port, r.port)
        assert octets[:28] == SIGNATURE + b"\x21\x12\0\x0c" + block


def test_what_the_worker_itself_asks_names_no_client() -> None:
    told = Upstream()
    with rig(told, proxy_to=[told.address], upstream_timeout_ms=30) as r:
        for number in range(6):
            r.send(query(f"n{number}.example"))
        for octets, source in told.waiting_raw()[:3]:  # what these took is free for others
            told.say(answer(DNSRecord.parse(octets[28:])), source)
        r.until(lambda: r.state() == "down")
        octets, _ = r.until(told.own_raw)[0]
        local = SIGNATURE + b"\x20\0\0\0"
        assert octets.startswith(local)
        assert str(DNSRecord.parse(octets[len(local) :]).q.qname) == "."


def test_a_question_for_tcp_carries_the_header_of_its_client() -> None:
    told, other = Upstream(), Upstream()
    with rig(told, other, proxy_to=[told.address]) as r:
        client = r.connect()
        ends = client.socket.getsockname(), client.socket.getpeername()
        said = b"".join(socket.inet_aton(host) for host, _ in ends) + struct.pack("!HH", *(port for _, port in ends))
        client.send(query("a.example"))
        r.plane.pump()
        message, source = told.socket.recvfrom(512)
        assert message[:28] == SIGNATURE + b"\x21\x12\0\x0c" + said
        told.say(cut(DNSRecord.parse(message[28:])), source)
        r.plane.pump()
        ask = r.until_tcp()
        assert ask.header == SIGNATURE + b"\x21\x11\0\x0c" + said
        r.plane.tcp_failed(ask)
        ask = r.until_tcp()
        assert (ask.upstream, ask.header) == (other.address, b"")
