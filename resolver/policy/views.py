"""Which lists hold for a client.

Enters: the configuration, a client's address. Leaves: its view, with the names of the view's lists; whether it may ask
at all. The rules are those of the core (`core/dnscore/src/clients.rs`): of all views whose prefixes contain the
address, the one with the longest prefix decides, wherever it stands in the file; a client of no view gets every list;
an IPv4-mapped IPv6 address is the IPv4 address. Two equal prefixes are a mistake that `resolver.config.cross_checks`
reports.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resolver.config.schema import Config

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ClientView:
    """What a client's view is called, and the lists that hold for it. `lists` None: every list."""

    name: str = ""
    lists: frozenset[str] | None = None


EVERY_LIST = ClientView()
"""For a client of no view, and for no address."""


@dataclass(frozen=True, slots=True)
class Views:
    """The configuration's views, the longest prefix first."""

    prefixes: tuple[tuple[Network, ClientView], ...] = ()
    served: tuple[Network, ...] = ()
    """Whose queries are answered (`dns.allow_clients`)."""

    @classmethod
    def of(cls, config: Config) -> Views:
        every = [
            (prefix, ClientView(view.name, frozenset(view.lists))) for view in config.views for prefix in view.clients
        ]
        by_length = sorted(every, key=lambda one: one[0].prefixlen, reverse=True)
        return cls(tuple(by_length), tuple(config.allow_clients))

    def serves(self, address: Address | None) -> bool:
        """Whether a client at this address may ask this resolver."""
        if address is None:
            return False
        return any(address.version == prefix.version and address in prefix for prefix in self.served)

    def of_client(self, address: Address | None) -> ClientView:
        if address is None:
            return EVERY_LIST
        found = (view for prefix, view in self.prefixes if address.version == prefix.version and address in prefix)
        return next(found, EVERY_LIST)


def address_in(text: str) -> Address | None:
    """The address that a client has for DNS, without the zone of a link-local one; None where it is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
