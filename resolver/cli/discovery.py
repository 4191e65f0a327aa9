"""The command `stopsign discovery`: how clients find this resolver's encrypted self, for the machines that tell them.

Enters: a configuration. Leaves: what Stopsign answers by itself (DDR, RFC 9462; RESINFO, RFC 9606); records for the
provider's own zone; values of the DHCP and router advertisement options (DNR, RFC 9463); what to register with the
registry of filtering databases. Nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from resolver.base.errors import ResolverError
from resolver.cli.options import as_json, legible, located, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.config.schema import Config
    from resolver.config.schema_dns import Encrypted

LIFETIME = 1800  # seconds of a router advertisement (RFC 4861, 6.2.1: AdvDefaultLifetime)


@click.command("discovery")
@located
@as_json
def discovery(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Print what clients, DHCP servers and registries need to know of this resolver; nothing is sent."""
    config = legible(path, directory)
    found = described(config)
    if in_json:
        print_json(found)
        return
    for title, lines in found.items():
        click.echo(f"{title}:")
        for line in lines if isinstance(lines, list) else [lines]:
            click.echo(f"  {line}")
        click.echo()


def described(config: Config) -> dict[str, Any]:
    """By title, lines or one line."""
    from resolver.config.discovery import RESOLVER_ARPA, information

    encrypted = config.require_dns().encrypted
    said = {f"RESINFO of {RESOLVER_ARPA}": " ".join(information(config))}
    if encrypted is None:
        raise ResolverError("no encrypted DNS is served here", hint="dns.encrypted: docs/operator.md, Encrypted DNS")
    return said | _told(encrypted) | {"Filtering database, to register": _registered(config)}


def _told(encrypted: Encrypted) -> dict[str, Any]:
    from resolver.config import dnr
    from resolver.config.discovery import LOCAL_NAME, addresses, designation

    here = designation(encrypted, f"{LOCAL_NAME}.")
    zone = designation(encrypted, f"_dns.{encrypted.name}.")
    if here is None or zone is None:
        raise ResolverError("dns.encrypted listens nowhere", hint="tls or https: docs/operator.md, Encrypted DNS")
    own = [f"{encrypted.name}. IN {'A' if one.version == 4 else 'AAAA'} {one}" for one in addresses(encrypted)]
    return {
        f"SVCB of {LOCAL_NAME}, answered here": here.to_text().splitlines(),
        "For the public zone": [*zone.to_text().splitlines(), *own],
        f"DHCPv4 option {dnr.DHCPV4}": _hex(dnr.dhcpv4(encrypted)),
        f"DHCPv6 option {dnr.DHCPV6}, one each": [_hex(one) for one in dnr.dhcpv6(encrypted)],
        f"Router advertisement, type {dnr.ADVERTISED}, one each": [
            _hex(one) for one in dnr.advertised(encrypted, LIFETIME)
        ],
    }


def _hex(octets: bytes) -> str:
    return octets.hex(":")


def _registered(config: Config) -> list[str]:
    from resolver.dns.explanations import TEMPLATE, database

    return [
        f"operator id {database(config)}",
        f"template {config.portal.url.rstrip('/')}{TEMPLATE}",
    ]
