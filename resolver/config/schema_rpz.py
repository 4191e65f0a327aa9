"""The part of the configuration (`resolver.config.schema`) about response policy zones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from resolver.config.values import FilePath, Listen, Name, Part, Prefix, Seconds, Slug, Text, UpstreamAddress


class RpzZone(Part):
    """One response policy zone. Without `lists` and `view`: all lists."""

    origin: Name = "rpz.stopsign"
    lists: list[Slug] | None = None
    view: Slug | None = None  # the lists of this view
    ttl: Seconds = Field(default=60.0, ge=1)
    refresh: Seconds = Field(default=60.0, ge=1)  # how often a secondary that hears no NOTIFY looks
    expire: Seconds = Field(default=7 * 86400.0, ge=60)  # how long it goes on without this primary
    refused: Literal["drop", "nxdomain", "nodata"] = "drop"  # a zone cannot say REFUSED
    file: FilePath | None = None  # written at every change, for resolvers that read files
    # Of `file` and `rpz export`: knot6 is what `local-data/rpz` of Knot Resolver 6 reads. Transfers are standard.
    dialect: Literal["standard", "knot6"] = "standard"
    run: list[Text] = []  # then this command, as rndc reload rpz.stopsign


class RpzSecondary(Part):
    """Who may transfer zones: from these addresses, with this TSIG key. Without `zones`: all of them."""

    name: Slug
    addresses: list[Prefix] = Field(min_length=1)
    key: FilePath | None = None  # as tsig-keygen and `stopsign rpz key` write it
    unsigned: bool = False  # for Unbound, which speaks no TSIG: its address alone is believed
    notify: list[UpstreamAddress] = []
    zones: list[Name] = []


class RpzCount(Part):
    """A resolver that says what it answered: over a socket that Stopsign listens on, and nothing of it is kept."""

    zone: Name = "rpz.stopsign"
    dnstap: FilePath | None = None  # a Unix socket: BIND, Unbound, Knot Resolver
    protobuf: Listen | None = None  # PowerDNS Recursor


class Rpz(Part):
    """Stopsign as the primary of response policy zones; without zones there is none."""

    listen: list[Listen] = []  # UDP and TCP
    listen_tls: list[Listen] = []  # zone transfer over TLS (RFC 9103); UDP at the same port answers for the SOA
    certificate: FilePath | None = None
    private_key: FilePath | None = None
    zones: list[RpzZone] = Field(default=[], max_length=64)
    secondaries: list[RpzSecondary] = []
    counts: list[RpzCount] = []
    transfers: int = Field(default=8, ge=1, le=256)  # at a time
