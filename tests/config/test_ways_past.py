"""What `check-config` finds that takes clients past the lists, or hides the reason: each where it is so."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import dns.message
import dns.rrset
import pytest

from resolver.config.preflight import ways_past
from resolver.config.preflight.ways_past import local_addresses
from resolver.config.schema import Config
from tests.rigs.certificates import made
from tests.rigs.dns_host import PATIENCE
from tests.rigs.namespace import beside, in_a_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = ("192.0.2.53/32", "192.0.2.66/32")
FILES = {"name": "dns.isp.example", "certificate": "/c", "key": "/k"}


def found(**changed: Any) -> list[tuple[str, str]]:
    """Key and message of each finding; all are warnings."""
    plain: dict[str, Any] = {
        "state_dir": "/x", "run_dir": "/y", "portal": {"url": "https://stop.isp.example"},
        "dns": {"listen": ["192.0.2.53:53"], "upstreams": ["127.0.0.1:1"], "allow_clients": []},
    }  # fmt: skip
    for key, value in changed.items():
        plain[key] = {**plain.get(key, {}), **value} if isinstance(value, dict) else value
    findings = list(ways_past.ways_past(Config.model_validate(plain, context={"folder": "/"})))
    assert not any(one.fatal for one in findings)
    return [(one.key, one.message) for one in findings]


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[None]:
    with socket.create_server((host, port)):
        yield


@pytest.mark.needs("ip")
@pytest.mark.parametrize(
    ("listens", "serves", "warned"),
    [
        (["192.0.2.53:53"], [], ["192.0.2.53"]),
        (["0.0.0.0:53"], [], ["192.0.2.53"]),
        (["192.0.2.66:53"], [], []),
        (["192.0.2.53:53"], ["192.0.2.53:853"], []),
        (["0.0.0.0:53"], ["0.0.0.0:853"], []),
        (["192.0.2.53:53"], ["192.0.2.53:8853"], ["192.0.2.53"]),
    ],
)
def test_an_open_853_that_is_not_ours_is_found(listens: list[str], serves: list[str], warned: list[str]) -> None:
    def scene() -> list[tuple[str, str]]:
        with listening("192.0.2.53", 853):
            encrypted = {"encrypted": {**FILES, "tls": serves}} if serves else {}
            return found(dns={"listen": listens, **encrypted})

    said = [message for key, message in in_a_network(scene, HERE) if key == "dns.listen[0]"]
    assert [message.partition(" ")[0] for message in said] == warned


@pytest.mark.needs("ip")
def test_a_closed_853_is_nothing_to_say() -> None:
    assert in_a_network(found, HERE) == []


@pytest.mark.needs("ip")
def test_every_address_of_the_machine_is_known() -> None:
    own = in_a_network(local_addresses, [*HERE, "2001:db8::53/128"])
    assert {"127.0.0.1", "192.0.2.53", "192.0.2.66", "::1", "2001:db8::53"} <= set(own)


@contextlib.contextmanager
def resolver(*records: str) -> Iterator[str]:
    """An upstream that designates these, at its own address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ways_past, "PATIENCE", PATIENCE)  # a thread of this process may be held up
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            message, client = server.recvfrom(4096)
            asked = dns.message.from_wire(message)
            reply = dns.message.make_response(asked)
            if records:
                reply.answer.append(dns.rrset.from_text(asked.question[0].name, 60, "IN", "SVCB", *records))
            server.sendto(reply.to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("records", "named"),
    [
        (["1 dns.resolver.example. alpn=dot", "2 dns.resolver.example. alpn=h2"], "designates dns.resolver.example:"),
        ([], None),
    ],
)
def test_an_upstream_that_designates_itself_is_found(records: list[str], named: str | None) -> None:
    with resolver(*records) as address:
        said = dict(found(dns={"upstreams": [address]})).get("dns.upstreams[0]")
    assert said is None if named is None else named in (said or "")


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (["dns.isp.example"], "does not name 1.2.3.4, 2606:4700::1111,"),
        (["dns.isp.example", "1.2.3.4"], "does not name 2606:4700::1111,"),
        (["dns.isp.example", "1.2.3.4", "2606:4700::1111"], None),
    ],
)
def test_a_certificate_without_the_address_is_found(names: list[str], lacking: str | None, tmp_path: Path) -> None:
    """RFC 9462, 4.2: an address that is not in it cannot be verified; a private one needs no proof (4.3)."""
    files = made(tmp_path, *names)
    addresses = ["1.2.3.4", "2606:4700::1111", "10.0.0.1"]
    encrypted = {**FILES, "certificate": str(files.certificate), "tls": ["0.0.0.0:853"], "addresses": addresses}
    said = dict(found(dns={"encrypted": encrypted})).get("dns.encrypted.certificate")
    assert said is None if lacking is None else lacking in (said or "")


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("192.0.2.53", True), ("2001:db8::53", True), ("198.18.0.1", True), ("240.0.0.1", True),
        ("172.31.0.1", False), ("169.254.0.1", False), ("fd00::1", False), ("127.0.0.1", False),
    ],
)  # fmt: skip
def test_only_private_and_local_addresses_need_no_proof(address: str, warned: bool, tmp_path: Path) -> None:
    """RFC 9462, 4.3: documentation, benchmarking and reserved addresses are not among them."""
    files = made(tmp_path)
    encrypted = {**FILES, "certificate": str(files.certificate), "tls": ["0.0.0.0:853"], "addresses": [address]}
    assert ("dns.encrypted.certificate" in dict(found(dns={"encrypted": encrypted}))) == warned


PAGE = {"ipv4": "192.0.2.66"}


@pytest.mark.needs("ip")
def test_a_stop_address_that_refuses_at_once_is_as_it_should_be() -> None:
    assert in_a_network(lambda: found(stop_page=PAGE), HERE) == []


@pytest.mark.needs("ip")
@pytest.mark.parametrize(
    ("serves", "why"),
    [
        ([], "192.0.2.66 answers at TCP 443"),
        (["192.0.2.66:443"], "192.0.2.66 serves DNS over HTTPS too"),
        (["0.0.0.0:443"], "192.0.2.66 serves DNS over HTTPS too"),
    ],
)
def test_a_stop_address_that_answers_https_is_found(serves: list[str], why: str) -> None:
    def scene() -> dict[str, str]:
        encrypted = {"encrypted": {**FILES, "https": {"listen": serves}}} if serves else {}
        with listening("192.0.2.66", 443):
            return dict(found(stop_page=PAGE, dns=encrypted))

    assert why in in_a_network(scene, HERE)["stop_page.ipv4"]


@pytest.mark.needs("ip")
def test_silence_at_443_of_the_stop_address_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The neighbour has the address and drops what comes, as a filter does."""
    monkeypatch.setattr(ways_past, "PATIENCE", 0.2)

    def scene() -> dict[str, str]:
        with beside("198.51.100.1/24", "198.51.100.2/24"):
            links = subprocess.run(["ip", "-o", "route", "get", "198.51.100.66"], check=True, capture_output=True)
            device = links.stdout.split(b" dev ")[1].split()[0].decode()
            neighbour = ["ip", "neigh", "add", "198.51.100.66", "lladdr", "02:00:00:00:00:66", "dev", device]
            subprocess.run(neighbour, check=True)
            return dict(found(stop_page={"ipv4": "198.51.100.66"}))

    assert "198.51.100.66 is silent at TCP and UDP 443" in in_a_network(scene, HERE)["stop_page.ipv4"]


def test_refused_is_warned_of_with_its_reason() -> None:
    lists = [
        {"name": "a", "repository": "/l", "trusted_root": "/r"},
        {"name": "b", "repository": "/l", "trusted_root": "/r", "action": "refused"},
    ]
    (said,) = [message for key, message in found(lists=lists) if key == "lists[1].action"]
    assert "second resolver" in said
    assert "systemd-resolved" in said
