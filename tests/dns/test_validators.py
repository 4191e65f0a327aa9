"""Validators that ask Stopsign: what is not listed validates, whatever is listed above it; what is stopped in a zone
without signatures is believed, and in one with signatures is not."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
from dnslib import DNSRecord

from blocklists import document
from resolver import _core
from resolver.config.schema import load
from resolver.policy import exceptions
from tests.conftest import find_program
from tests.rigs import signed
from tests.rigs.dns_host import Host, question, running, wait_until
from tests.rigs.list_documents import entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resolver._core import Source

STOP_PAGE, LATER = "192.0.2.66", "2099-01-01T00:00:00Z"
A = 1
NOERROR, SERVFAIL = 0, 2


class Said(NamedTuple):
    rcode: int
    authentic: bool
    addresses: tuple[str, ...]


def said(port: int, name: str, qtype: int = A, *, cd: bool = False) -> Said | None:
    """What a server says; None: nothing yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
        one.settimeout(20.0)
        one.connect(("127.0.0.1", port))
        one.send(question(1, name, qtype, cd=cd, edns=1232, do=True))
        reply = DNSRecord.parse(one.recv(65535))
        addresses = tuple(str(rr.rdata) for rr in reply.rr if rr.rtype == A)
        return Said(reply.header.rcode, bool(reply.header.ad), addresses)
    return None


def answered(port: int, name: str, *, cd: bool = False) -> Said:
    """What a server says that is no failure: where a program on the way is held up it fails, and is asked again."""
    found: Said = wait_until(
        lambda: (one := said(port, name, cd=cd)) and one.rcode != SERVFAIL and one, f"{name} fails at {port}"
    )
    return found


class World(NamedTuple):
    host: Host
    anchor: str

    @property
    def port(self) -> int:
        return self.host.address[1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """BIND with the signed zones, and Stopsign before it: an `exact` entry at the apex of a signed zone, a `subtree` at
    an unsigned one, a name in a signed zone, and below a signed zone that is listed whole a name that is let pass."""
    anchor = signed.sign(tmp_path)
    command, behind = signed.named(tmp_path)
    names = [
        entry("listed.parent.test", 1, "exact", expires=LATER),
        entry("unsigned.parent.test", 2, expires=LATER),
        entry("evil.wild.parent.test", 3, "exact", expires=LATER),
        entry("deep.www.listed.parent.test", 4, expires=LATER),
        entry("below.parent.test", 5, expires=LATER),
    ]
    host = Host(tmp_path / "host", [f"127.0.0.1:{behind}"])
    host.run_dir.mkdir(parents=True)
    document.write(tmp_path / "all.zst", document.in_order(names))
    source: Source = {
        "document": str(tmp_path / "all.zst"),
        "action": "stop-page",
        "ede": 16,
        "bases": [],
        "suspended": [],
    }
    meta = {"generation": 1, "lists": [{"name": "all"}]}
    _core.compile([source], host.run_dir / "current.list", json.dumps(meta).encode())
    host.write_config()
    over = (exceptions.NameException("ok.below.parent.test", "exact", int(time.time()) + 3600),)
    exceptions.change(load(host.config).places, lambda before: before.with_overrides(over))
    with signed.served(tmp_path, command, lambda: said(behind, "www.parent.test"), "BIND"), running(host):
        yield World(host, anchor)


def validator(kind: str, folder: Path, world: World) -> tuple[list[str], int]:
    makes = {"unbound": signed.unbound, "kresd": signed.kresd, "pdns_recursor": signed.recursor}
    return makes[kind](folder, world.port, world.anchor)


@pytest.mark.needs("named", "dnssec-signzone", "unbound", "kresd", "pdns_recursor")
@pytest.mark.parametrize("kind", ["unbound", "kresd", "pdns_recursor"])
def test_a_validator_behind_stopsign_validates_all_that_is_not_listed(kind: str, tmp_path: Path, world: World) -> None:
    command, port = validator(kind, tmp_path, world)
    real, stopped = (signed.OUTSIDE,), (STOP_PAGE,)
    with signed.served(tmp_path, command, lambda: said(port, "www.parent.test"), kind):
        assert answered(port, "www.parent.test") == Said(NOERROR, True, real)
        assert answered(port, "www.listed.parent.test") == Said(NOERROR, True, real), "below an exact entry"
        assert answered(port, "ok.below.parent.test") == Said(NOERROR, True, real), "let pass below a listed zone"
        assert answered(port, "unsigned.parent.test") == Said(NOERROR, False, stopped), "the proof that it is unsigned"
        assert answered(port, "www.unsigned.parent.test") == Said(NOERROR, False, stopped)
        for name in ("listed.parent.test", "www.below.parent.test"):
            assert said(port, name) == Said(SERVFAIL, False, ()), "no signature holds for the stop page"
            assert answered(port, name, cd=True) == Said(NOERROR, False, stopped), "who checks nothing sees it"


@pytest.mark.needs("named", "dnssec-signzone", "delv", "unbound")
def test_delv_agrees_and_an_unbound_that_trusts_denials_asks_for_no_name_below_a_wildcard(
    tmp_path: Path, world: World
) -> None:
    """What the guide says of RFC 8198: a validator that has seen a wildcard, and the proof that there is nothing else,
    answers a listed name below it from its own cache."""
    verdicts = {
        "www.listed.parent.test": "; fully validated",
        "ok.below.parent.test": "; fully validated",
        "unsigned.parent.test": "; unsigned answer",
        "listed.parent.test": ";; resolution failed: insecurity proof failed",
    }
    assert {name: delv(tmp_path, world, name) for name in verdicts} == verdicts
    evil, real = "evil.wild.parent.test", Said(NOERROR, True, (signed.OUTSIDE,))
    assert answered(world.port, evil) == Said(NOERROR, False, (STOP_PAGE,))
    command, port = signed.unbound(tmp_path, world.port, world.anchor, aggressive=True)
    with signed.served(tmp_path, command, lambda: said(port, "www.parent.test"), "unbound"):
        assert said(port, evil) == Said(SERVFAIL, False, ())
    command, port = signed.unbound(tmp_path, world.port, world.anchor, aggressive=True)
    with signed.served(tmp_path, command, lambda: said(port, "www.parent.test"), "unbound"):
        assert answered(port, "other.wild.parent.test") == real
        assert answered(port, evil) == real


def delv(folder: Path, world: World, name: str) -> str:
    """The verdict of BIND's own validator, which asks Stopsign."""
    owner, numbers = world.anchor.split(" IN DNSKEY ")
    flags, protocol, algorithm, key = numbers.split(maxsplit=3)
    anchor = f'trust-anchors {{ "{owner}" static-key {flags} {protocol} {algorithm} "{key.replace(" ", "")}"; }};'
    (folder / "anchor").write_text(anchor)
    path = find_program("delv")
    assert path
    command = [
        path,
        "@127.0.0.1",
        "-p",
        str(world.port),
        "-a",
        str(folder / "anchor"),
        f"+root={signed.APEX}",
        name,
        "A",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return next(
        line for line in (done.stdout + done.stderr).splitlines() if line.startswith("; ") or "resolution" in line
    )
