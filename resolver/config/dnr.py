"""The resolver for DHCP and router advertisements: options of RFC 9463 (DNR), octet by octet.

Enters: the configuration of encrypted DNS. Leaves: the values of the options, without code and length, for the DHCP
server to send. Rules: one instance a service, as one SVCB record; the authentication domain name in DNS wire form;
service parameters as in SVCB, without address hints, since the addresses stand beside (RFC 9463, 3.1.8).

A client that knows the resolver by DNR has its name from the network, and needs no address in the certificate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.name

from resolver.config.discovery import addresses, services

if TYPE_CHECKING:
    from resolver.config.discovery import Service
    from resolver.config.schema_dns import Encrypted

DHCPV4, DHCPV6, ADVERTISED = 162, 144, 144
_SVCB_BEFORE_PARAMS = 3  # octets of a priority and of the root as the target
_UNIT = 8  # octets that an option of a router advertisement is counted in


def dhcpv4(encrypted: Encrypted) -> bytes:
    """OPTION_V4_DNR (RFC 9463, 5.1): each instance begins with its length."""
    instances = b""
    for service in services(encrypted):
        name, own = _name(encrypted), _addresses(encrypted, 4)
        one = service.priority.to_bytes(2) + len(name).to_bytes(1) + name
        if own:  # without an address it is a name alone ("ADN-only mode")
            one += len(own).to_bytes(1) + own + _params(service)
        instances += len(one).to_bytes(2) + one
    return instances


def dhcpv6(encrypted: Encrypted) -> list[bytes]:
    """OPTION_V6_DNR (RFC 9463, 4.1): one option an instance."""
    options = []
    for service in services(encrypted):
        name, own = _name(encrypted), _addresses(encrypted, 6)
        one = service.priority.to_bytes(2) + len(name).to_bytes(2) + name
        options.append(one + len(own).to_bytes(2) + own + _params(service) if own else one)
    return options


def advertised(encrypted: Encrypted, lifetime: int) -> list[bytes]:
    """The whole Encrypted DNS option of router advertisements (RFC 9463, 6.1), type and length with it."""
    options = []
    for service in services(encrypted):
        name, own, params = _name(encrypted), _addresses(encrypted, 6), _params(service)
        one = service.priority.to_bytes(2) + lifetime.to_bytes(4) + len(name).to_bytes(2) + name
        one += len(own).to_bytes(2) + own + len(params).to_bytes(2) + params if own else bytes(2)
        units = -(-(len(one) + 2) // _UNIT)
        options.append(bytes([ADVERTISED, units]) + one + bytes(units * _UNIT - 2 - len(one)))
    return options


def _name(encrypted: Encrypted) -> bytes:
    return dns.name.from_text(encrypted.name).to_wire() or b""


def _addresses(encrypted: Encrypted, version: int) -> bytes:
    return b"".join(one.packed for one in addresses(encrypted) if one.version == version)


def _params(service: Service) -> bytes:
    wire = service.record(".").to_wire() or b""
    return wire[_SVCB_BEFORE_PARAMS:]
