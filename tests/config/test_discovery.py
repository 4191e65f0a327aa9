"""DNR: the options of RFC 9463, read by a parser written from its figures; and what the command prints."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from resolver.config import dnr
from resolver.config.schema import Config
from resolver.config.schema_dns import Encrypted
from tests.rigs.command_line import run
from tests.rigs.config_file import GOOD, write

if TYPE_CHECKING:
    from pathlib import Path

SERVED: dict[str, Any] = {
    "name": "dns.isp.example", "certificate": "/c", "key": "/k", "tls": ["0.0.0.0:853", "[::]:8853"],
    "https": {"listen": ["0.0.0.0:443"]}, "quic": ["0.0.0.0:853"],
    "addresses": ["192.0.2.53", "2001:db8::53", "2001:db8::54"],
}  # fmt: skip
IN_SVCB = [
    ("dns.isp.example.", 1, 'alpn="dot" port="853"'),
    ("dns.isp.example.", 2, 'alpn="dot" port="8853"'),
    ("dns.isp.example.", 3, 'alpn="h2" port="443" dohpath="/dns-query{?dns}"'),
    ("dns.isp.example.", 4, 'alpn="doq" port="853"'),
]


def served(**other: Any) -> Encrypted:
    return Encrypted.model_validate({**SERVED, **other}, context={"folder": "/"})


class Octets:
    def __init__(self, data: bytes) -> None:
        self.left = data

    def take(self, length: int) -> bytes:
        assert len(self.left) >= length
        taken, self.left = self.left[:length], self.left[length:]
        return taken

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")


def name(octets: bytes) -> str:
    found, used = dns.name.from_wire(octets, 0)
    assert used == len(octets)
    return found.to_text()


def params(octets: bytes) -> str:
    record = b"\0\1\0" + octets
    found = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.SVCB, record, 0, len(record))
    return found.to_text().removeprefix("1 . ")


def hosts(octets: bytes, version: int) -> list[str]:
    size = {4: 4, 6: 16}[version]
    assert len(octets) % size == 0
    return [str(ipaddress.ip_address(octets[at : at + size])) for at in range(0, len(octets), size)]


def test_dhcpv4_carries_every_service_with_the_ipv4_addresses() -> None:
    data, read = Octets(dnr.dhcpv4(served())), []
    while data.left:
        one = Octets(data.take(data.number(2)))
        priority, adn = one.number(2), name(one.take(one.number(1)))
        assert hosts(one.take(one.number(1)), 4) == ["192.0.2.53"]
        read.append((adn, priority, params(one.left)))
    assert read == IN_SVCB


def test_dhcpv6_and_router_advertisements_carry_one_service_each() -> None:
    over_dhcp, advertised = [], []
    for option in dnr.dhcpv6(served()):
        one = Octets(option)
        priority, adn = one.number(2), name(one.take(one.number(2)))
        assert hosts(one.take(one.number(2)), 6) == ["2001:db8::53", "2001:db8::54"]
        over_dhcp.append((adn, priority, params(one.left)))
    for option in dnr.advertised(served(), 1800):
        one = Octets(option)
        assert (one.number(1), one.number(1) * 8) == (144, len(option))
        priority, lifetime, adn = one.number(2), one.number(4), name(one.take(one.number(2)))
        assert (lifetime, hosts(one.take(one.number(2)), 6)) == (1800, ["2001:db8::53", "2001:db8::54"])
        advertised.append((adn, priority, params(one.take(one.number(2)))))
        assert set(one.left) <= {0}
        assert len(one.left) < 8
    assert over_dhcp == advertised == IN_SVCB


def test_without_addresses_the_name_alone_is_said() -> None:
    alone = served(addresses=[], tls=["0.0.0.0:853"], https=None, quic=[])
    adn = b"\3dns\3isp\7example\0"
    assert dnr.dhcpv4(alone) == b"\0\x14\0\1\x11" + adn
    assert dnr.dhcpv6(alone) == [b"\0\1\0\x11" + adn]


def test_the_command_says_it_for_people_and_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = GOOD.replace("allow_clients: []", f"allow_clients: [], encrypted: {json.dumps(SERVED)}")
    path = write(tmp_path, text)
    status, shown, _ = run(capsys, "discovery", "--config", path)
    assert status == 0
    assert '_dns.resolver.arpa. 300 IN SVCB 1 dns.isp.example. alpn="dot" port="853"' in shown
    assert "dns.isp.example. IN AAAA 2001:db8::54" in shown
    assert "template https://stop.isp.example/?name={id}" in shown
    found = json.loads(run(capsys, "discovery", "--config", path, "--json")[1])
    assert bytes.fromhex(found["DHCPv4 option 162"].replace(":", "")) == dnr.dhcpv4(served())


def test_without_encrypted_dns_there_is_nothing_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, said = run(capsys, "discovery", "--config", write(tmp_path, GOOD))
    assert (status, "no encrypted DNS is served here" in said) == (2, True)


@pytest.mark.parametrize("wrong", ["192.0.2.1:853", "example.com", 5])
def test_an_address_is_an_address(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        served(addresses=[wrong])


def test_the_configuration_s_name_is_nobody_s_to_block() -> None:
    from resolver.lists.protected import protected_names

    raw = {
        "state_dir": "/x", "run_dir": "/y", "portal": {"url": "https://stop.isp.example"},
        "dns": {"listen": ["0.0.0.0:53"], "upstreams": ["127.0.0.1:1"], "allow_clients": [], "encrypted": SERVED},
    }  # fmt: skip
    protected = protected_names(Config.model_validate(raw, context={"folder": "/"})).protected
    assert "over TLS" in protected["dns.isp.example"]
    assert {"firefox-portal-detection.com", "connectivity-check.ubuntu.com", "nmcheck.gnome.org"} <= set(protected)


def test_people_are_shown_what_to_type_into_a_device() -> None:
    from resolver.portal.pages import ShownService, shown_services

    raw = {
        "state_dir": "/x", "run_dir": "/y", "portal": {"url": "https://stop.isp.example"},
        "dns": {"listen": ["0.0.0.0:53"], "upstreams": ["127.0.0.1:1"], "allow_clients": [], "encrypted": SERVED},
    }  # fmt: skip
    assert shown_services(Config.model_validate(raw, context={"folder": "/"})) == [
        ShownService("DNS over TLS (DoT)", "dns.isp.example"),
        ShownService("DNS over TLS (DoT)", "dns.isp.example:8853"),
        ShownService("DNS over HTTPS (DoH)", "https://dns.isp.example/dns-query"),
        ShownService("DNS over QUIC (DoQ)", "dns.isp.example"),
    ]
