"""Answers of BIND and Unbound, put through the plane."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSRecord

from tests.conftest import find_program
from tests.rigs.dns_host import free_port
from tests.rigs.plane import Rig, query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0
HOSTS = 8
ZONE = "\n".join(
    [
        "$TTL 300",
        "@ IN SOA ns hostmaster 1 3600 600 86400 300",
        "@ IN NS ns",
        "ns IN A 127.0.0.1",
        *(f"@ IN MX 10 mail{number}" for number in range(HOSTS)),
        *(f"mail{number} IN A 192.0.2.{number}" for number in range(HOSTS)),
        *(f"mail{number} IN AAAA 2001:db8::{number}" for number in range(HOSTS)),
        *(f'long IN TXT "{number:0200}"' for number in range(40)),
        "",
    ]
)
NAMED = """options {{
  directory "{folder}"; pid-file none; session-keyfile none; recursion no; minimal-responses no;
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
}};
controls {{ }};
zone "post.example" {{ type primary; file "{folder}/post.example.zone"; }};
"""
UNBOUND = """server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1@{port}
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 refuse
remote-control:
  control-enable: no
"""


def ask(address: tuple[str, int], question: DNSRecord, patience: float = PATIENCE) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(patience)
        client.connect(address)
        client.send(bytes(question.pack()))
        return client.recv(65535)


@contextlib.contextmanager
def serving(folder: Path, program: str, settings: str, *options: str) -> Iterator[tuple[str, int]]:
    """A server in the foreground, as soon as it answers."""
    path, port = find_program(program), free_port()
    assert path
    config = folder / f"{program}.conf"
    config.write_text(settings.format(folder=folder, port=port))
    with (folder / f"{program}.log").open("wb") as log:
        process = subprocess.Popen([path, "-c", str(config), *options], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert process.poll() is None, (folder / f"{program}.log").read_text()
            with contextlib.suppress(OSError):
                told = ask(("127.0.0.1", port), query("post.example"), 1.0)
                if told[3] & 15 != RCODE.SERVFAIL:  # it still loads its zone
                    break
            time.sleep(0.05)
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def addresses(message: DNSRecord) -> list[tuple[str, int]]:
    return [(str(rr.rname), rr.rtype) for rr in message.ar if rr.rtype != QTYPE.OPT]


def through(r: Rig, question: DNSRecord) -> DNSRecord:
    r.send(question)
    return r.until_answered()


@pytest.mark.needs("named")
def test_eight_mail_servers_and_their_addresses_come_as_bind_gives_them(tmp_path: Path) -> None:
    (tmp_path / "post.example.zone").write_text(ZONE)
    with serving(tmp_path, "named", NAMED, "-f") as bind, closing(Rig(f"127.0.0.1:{bind[1]}")) as r:
        for size in (None, 512, 600, 1232):  # the first from BIND, the others from the cache
            question = query("post.example", "MX")
            if size:
                question.add_ar(EDNS0(udp_len=size))
            theirs, ours = DNSRecord.parse(ask(bind, question)), through(r, question)
            assert (theirs.header.tc, ours.header.tc) == (0, 0)
            assert sorted(repr(rr.rdata) for rr in ours.rr) == sorted(repr(rr.rdata) for rr in theirs.rr)
            assert len(ours.rr) == HOSTS
            assert len(ours.pack()) <= (size or 512)
            # Of 17. With an OPT and 512 octets BIND 9.18 leaves all addresses out, where without one it gives 14.
            hosts, theirs_too = addresses(ours), addresses(theirs)
            assert len(hosts) >= max(13, len(theirs_too))
            if size == 1232:
                assert sorted(hosts) == sorted(theirs_too)


@pytest.mark.needs("named")
def test_what_is_too_long_is_tc_and_the_second_time_at_once(tmp_path: Path) -> None:
    (tmp_path / "post.example.zone").write_text(ZONE)
    with serving(tmp_path, "named", NAMED, "-f") as bind, closing(Rig(f"127.0.0.1:{bind[1]}")) as r:
        assert through(r, query("long.post.example", "TXT")).header.tc == 1
        assert through(r, query("long.post.example", "TXT", edns=True)).header.tc == 1
        assert r.count("relayed") == 1


@pytest.mark.needs("unbound")
def test_a_refusal_of_unbound_that_is_a_header_alone_is_told_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, "unbound", UNBOUND, "-d") as unbound, closing(Rig(f"127.0.0.1:{unbound[1]}")) as r:
        assert len(ask(unbound, query("example.com"))) == 12
        told = through(r, query("example.com", edns=True))
        assert (told.header.rcode, str(told.q.qname), len(told.ar)) == (5, "example.com.", 1)
        assert (r.count("upstream_mismatches"), r.count("over_tcp")) == (0, 0)
