"""Programs of others: dnsdist in front, PowerDNS Recursor behind, fstrm and BIND's dnstap-read as the recorder."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from dnslib import DNSRecord

from tests.conftest import find_program
from tests.rigs.dns_host import Host, ask_tcp, ask_udp, free_port, question, running, wait_until
from tests.rigs.limits import descriptors
from tests.rigs.plane import compiled
from tests.rigs.program import program
from tests.rigs.resolvers import Outside, dnsdist

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

A = 1
KNOWN, OTHER, STRANGER = "127.0.0.5", "127.0.0.6", "127.0.0.9"
ZONE = """$ORIGIN real.example.
$TTL 300
@ IN SOA ns.real.example. hostmaster.real.example. 1 3600 600 86400 300
@ IN NS ns.real.example.
* IN A 198.51.100.7
"""


def asked(server: tuple[str, int], client: str, name: str, *, tcp: bool = False) -> str | None:
    """The address that a client at `client` is told; None: it hears nothing."""
    message = question(77, name, A)
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as one, contextlib.suppress(TimeoutError, ConnectionError):
        one.bind((client, 0))
        one.settimeout(3.0)
        one.connect(server)
        one.sendall(len(message).to_bytes(2) + message if tcp else message)
        octets = one.recv(4096)
        if octets and (answers := DNSRecord.parse(octets[2:] if tcp else octets).rr):
            return str(answers[0].rdata)
    return None


def told(server: tuple[str, int], client: str, name: str, *, tcp: bool = False) -> None:
    """This client gets the real address. It asks again: where one of the three programs is held up for a second, the
    next takes it for dead."""
    wait_until(lambda: asked(server, client, name, tcp=tcp) == "198.51.100.7", f"{client} gets the address of {name}")


@pytest.mark.needs("dnsdist", "pdns_recursor")
def test_between_dnsdist_and_a_recursor_everybody_knows_the_real_client(tmp_path: Path) -> None:
    """The recursor answers one client alone, the balancer's and Stopsign's own address are no clients of anybody.
    dnsdist finds Stopsign healthy by its own checks, which speak for dnsdist alone (PROXY LOCAL)."""
    behind, front, here = free_port(), free_port(), free_port()
    (tmp_path / "real.zone").write_text(ZONE)
    (tmp_path / "recursor").mkdir()
    (tmp_path / "dnsdist.conf").write_text(
        f'setLocal("127.0.0.1:{front}")\nsetACL({{"127.0.0.0/8"}})\n'
        f'newServer({{address="127.0.0.1:{here}", useProxyProtocol=true, name="stopsign",'
        ' checkName="health.stopsign.invalid.", mustResolve=true, maxCheckFailures=1})\n'
    )
    recursor = [
        f"--config-dir={tmp_path}/recursor", f"--socket-dir={tmp_path}/recursor", "--daemon=no", "--threads=1",
        "--local-address=127.0.0.1", f"--local-port={behind}", f"--allow-from={KNOWN}/32", "--disable-syslog=yes",
        "--proxy-protocol-from=127.0.0.1/32", f"--auth-zones=real.example={tmp_path}/real.zone", "--dnssec=off",
        "--hint-file=no", "--setuid=", "--setgid=", "--write-pid=no", "--security-poll-suffix=",
    ]  # fmt: skip
    dns: dict[str, Any] = {
        "allow_clients": [f"{KNOWN}/32", f"{OTHER}/32"],
        "proxy_protocol": {"accept_from": ["127.0.0.1/32"], "send_to": [f"127.0.0.1:{behind}"]},
        "limits": {"patience": "1s", "upstream_timeout": "900ms"},
    }
    host = Host(tmp_path / "host", [f"127.0.0.1:{behind}"], listen=[f"127.0.0.1:{here}"], more={"dns": dns})
    with (
        program(tmp_path, "pdns_recursor", *recursor),
        running(host),
        program(tmp_path, "dnsdist", "--supervised", "--disable-syslog", "-C", tmp_path / "dnsdist.conf"),
    ):
        door = ("127.0.0.1", front)
        told(door, KNOWN, "first.real.example")
        for tcp in (False, True):
            transport = "tcp" if tcp else "udp"
            told(door, KNOWN, f"{transport}.real.example", tcp=tcp)
            # Nobody but the known client is answered by the recursor; what it was told is in the cache for the other.
            assert asked(door, OTHER, f"other-{transport}.real.example", tcp=tcp) is None
            told(door, OTHER, f"{transport}.real.example", tcp=tcp)
            assert asked(door, STRANGER, f"{transport}.real.example", tcp=tcp) is None
        # Who comes past the balancer is taken at his own address, and whoever has the balancer's must show the header.
        told(host.address, KNOWN, "udp.real.example")
        assert asked(host.address, "127.0.0.1", "udp.real.example") is None
        assert host.counters()["dropped_proxy"] >= 1


@pytest.mark.needs("dnsdist")
def test_dnsdist_as_the_example_has_it_asks_the_next_resolver_where_stopsign_is_gone(tmp_path: Path) -> None:
    upstream, instead = Outside(), Outside(b"\xcb\x00\x71\x4d")
    host = Host(tmp_path / "host", [f"127.0.0.1:{upstream.port}"])
    host.run_dir.mkdir(parents=True)
    compiled(tmp_path, ["blocked.example"])
    next(tmp_path.glob("*.list")).replace(host.run_dir / "current.list")
    (tmp_path / "dnsdist").mkdir()
    with running(host):
        front = dnsdist(None, tmp_path / "dnsdist", free_port(), host.address[1], instead.port)
        door = front.address
        try:
            front.start()
            # By another name: the next one may answer until dnsdist has found Stopsign well.
            wait_until(lambda: asked(door, KNOWN, "first.blocked.example") == "192.0.2.66", "Stopsign answers")
            assert asked(door, KNOWN, "blocked.example") == "192.0.2.66"
            assert asked(door, KNOWN, "free.example") == "198.51.100.7"
            assert not {"blocked.example", "free.example"} & set(instead.asked)
            assert host.stop() == 0
            wait_until(lambda: asked(door, KNOWN, "blocked.example") == "203.0.113.77", "the next one answers")
        finally:
            front.stop()
            upstream.close()
            instead.close()


def fields(message: bytes) -> dict[int, list[Any]]:
    """A protobuf message by field number, as its documentation says (protobuf.dev, "Encoding")."""
    found: dict[int, list[Any]] = {}

    def varint() -> int:
        nonlocal message
        value = shift = 0
        while True:
            octet, message = message[0], message[1:]
            value |= (octet & 127) << shift
            shift += 7
            if not octet & 128:
                return value

    while message:
        key = varint()
        if key & 7 == 0:
            value: Any = varint()
        else:
            size = varint() if key & 7 == 2 else 4
            value, message = message[:size], message[size:]
        found.setdefault(key >> 3, []).append(value)
    return found


def frames(recorded: bytes) -> list[bytes]:
    """The data frames of a Frame Streams file."""
    found = []
    while recorded:
        size, recorded = int.from_bytes(recorded[:4]), recorded[4:]
        if size == 0:
            size = int.from_bytes(recorded[:4])
            recorded = recorded[4 + size :]
            continue
        found.append(recorded[:size])
        recorded = recorded[size:]
    return found


@pytest.mark.needs("fstrm_capture", "dnstap-read")
@pytest.mark.parametrize("named", [False, True])
def test_blocked_answers_are_recorded_and_name_nobody_unless_the_operator_says_so(tmp_path: Path, named: bool) -> None:
    listening, record = tmp_path / "tap.sock", tmp_path / "blocked.fstrm"
    host = Host(tmp_path / "host", ["127.0.0.1:9"])
    host.more = {"dns": {"dnstap": {"socket": str(listening), "client_addresses": named}}}
    host.run_dir.mkdir(parents=True)
    compiled(tmp_path, ["blocked.example"])
    next(tmp_path.glob("*.list")).replace(host.run_dir / "current.list")
    capture: list[str | Path] = ["-t", "protobuf:dnstap.Dnstap", "-u", listening, "-w", record]
    with program(tmp_path, "fstrm_capture", *capture) as recorder:
        wait_until(listening.exists, "the recorder")
        before = descriptors(recorder.pid)
        with running(host):
            assert ("CLIENT ADDRESSES LEAVE THIS PROCESS" in host.log) is named
            queries = [question(0, "www.blocked.example", A, edns=1232)] * 50
            asyncio.run(ask_udp(host.address, queries))
            asyncio.run(ask_tcp(host.address, queries[:1]))
            asyncio.run(ask_udp(host.address, [question(0, "not-listed.example", A)]))
            wait_until(lambda: host.counters()["tap_frames"] >= 51, "noted")
            assert host.stop() == 0
        wait_until(lambda: descriptors(recorder.pid) == before, "the recorder has read all of it")
        recorder.send_signal(signal.SIGTERM)
        recorder.wait(20)
    assert host.counters()["tap_dropped"] == 0
    octets = record.read_bytes()
    assert b"not-listed" not in octets
    assert (socket.inet_aton("127.0.0.1") in octets) is named
    said = read(record)
    assert [one["type"] for one in said] == ["MESSAGE"] * len(said)
    assert len(said) >= 51
    messages = [one["message"] for one in said]
    assert {one["type"] for one in messages} == {"CLIENT_RESPONSE"}
    assert {one["socket_protocol"] for one in messages} == {"UDP", "TCP"}
    assert {one.get("query_address") for one in messages} == ({"127.0.0.1"} if named else {None})
    assert ("query_port" in messages[0]) is named
    for one in messages:
        assert one["response_message_data"]["QUESTION_SECTION"] == ["www.blocked.example. IN A"]
        assert "query_message_data" not in one
    policy = fields(fields(fields(frames(octets)[0])[14][0])[15][0])
    assert policy == {1: [b"stopsign"], 2: [b"0000000000000000"], 3: [6], 4: [1], 5: [b"\x07blocked\x07example\0"]}


def read(record: Path) -> Sequence[dict[str, Any]]:
    """What BIND's own reader says of it."""
    path = find_program("dnstap-read")
    assert path
    done = subprocess.run([path, "-y", str(record)], capture_output=True, text=True, check=True, timeout=60)
    return list(yaml.load_all(done.stdout, Loader=yaml.BaseLoader))


def test_nobody_records_and_nobody_waits(tmp_path: Path) -> None:
    """What is beyond the core's bounded buffer is dropped and counted; the answers come all the same."""
    host = Host(tmp_path / "host", ["127.0.0.1:9"])
    host.more = {"dns": {"dnstap": {"socket": str(tmp_path / "nobody.sock")}}}
    host.run_dir.mkdir(parents=True)
    compiled(tmp_path, ["blocked.example"])
    next(tmp_path.glob("*.list")).replace(host.run_dir / "current.list")
    with running(host):
        asyncio.run(ask_udp(host.address, [question(0, "blocked.example", A, edns=1232)] * 8000))
        wait_until(lambda: host.counters()["blocked"] >= 8000, "all of them counted")
        assert host.counters()["tap_dropped"] > 0

        def every_one() -> bool:  # a question that was asked again may still be on its way
            counted = host.counters()
            return counted["tap_frames"] + counted["tap_dropped"] == counted["blocked"]

        wait_until(every_one, "a blocked answer is a frame, or dropped")
        wait_until(lambda: "nobody records blocked answers" in host.log, "a word in the log")
