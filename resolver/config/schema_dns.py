"""The part of the configuration (`resolver.config.schema`) about the DNS that this host serves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from resolver.config.schema_upstreams import Upstream
from resolver.config.values import (
    Address,
    FilePath,
    HttpPath,
    Listen,
    Name,
    Part,
    Prefix,
    Seconds,
    Size,
    UpstreamAddress,
    Workers,
)

Canary = Literal["use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com"]


class Cache(Part):
    size: Size = 256 << 20  # the total over the workers
    stale: Seconds = 86400.0  # how long past its end an answer may still be given when every upstream fails; 0s: never


class Rate(Part):
    """A token bucket per /32 and /56, whose answer is TC. Off unless written: behind CGNAT one address is a town."""

    queries_per_second: int = Field(ge=1, le=1_000_000)
    burst: int = Field(ge=1, le=10_000_000)


class Limits(Part):
    patience: Seconds = 4.0  # how long a client waits for all upstreams together
    upstream_timeout: Seconds = 1.5
    in_flight: int = Field(default=16384, ge=64, le=65536)  # queries relayed at a time, per worker
    per_client: int = Field(default=512, ge=1)
    per_zone: int = Field(default=1024, ge=1)
    tcp_connections: int = Field(default=4096, ge=1)
    tcp_per_client: int = Field(default=64, ge=1)
    tcp_in_flight: int = Field(default=64, ge=1)  # pipelined queries on one connection
    tcp_idle: Seconds = 10.0


class ProxyProtocol(Part):
    """Version 2, over UDP and TCP: who asks, where a load balancer stands before this host or a resolver behind it."""

    # Balancers: each query from one of them must begin with the header; views, allow_clients, rate and limits then
    # look at the client that it names. Over UDP an attacker who forges these addresses speaks for any client.
    accept_from: list[Prefix] = []
    # Those of the upstreams that want the header; what they answer is cached for everybody.
    send_to: list[UpstreamAddress] = []


class Dnstap(Part):
    """Blocked answers as dnstap over Frame Streams. Off unless `socket` is written."""

    socket: FilePath | None = None
    client_addresses: bool = False  # true: each record names who asked, and every start says so in the log


class Https(Part):
    """DNS over HTTP/2 (RFC 8484) at these addresses, under one path."""

    listen: list[Listen] = Field(min_length=1)
    path: HttpPath = "/dns-query"


class Encrypted(Part):
    """DNS over TLS (RFC 7858), HTTPS and QUIC (RFC 9250), for the same clients and with the same lists. A changed
    certificate is read by itself, as ACME clients write it, and at each reload."""

    name: Name  # the authentication domain name: what clients connect to, and what the certificate must say
    certificate: FilePath  # PEM: the certificate and those between it and its root
    key: FilePath  # PEM, without a passphrase, readable by the user of the DNS workers alone
    # Where clients reach `name`, for designations; none: the addresses below that are not every address.
    addresses: list[Address] = []
    tls: list[Listen] = []  # port 853
    https: Https | None = None  # port 443
    quic: list[Listen] = []  # UDP port 853


class Dns(Part):
    listen: list[Listen] = Field(min_length=1)
    workers: Workers = "auto"
    upstreams: list[Upstream] = Field(min_length=1)
    allow_clients: list[Prefix]
    cache: Cache = Cache()
    rate: Rate | None = None
    # Answered by the worker itself: NOERROR while an upstream is up, else SERVFAIL. For balancers and anycast.
    health_name: Name = "health.stopsign.invalid"
    # True where the upstreams minimise names (RFC 9156): RESINFO then says so to clients that ask.
    qname_minimisation: bool = False
    # Names that clients ask for before they leave this resolver for one of their vendor's; those written here do not
    # exist, which asks the client to stay. docs/operator.md says what each vendor promises.
    canaries: list[Canary] = []
    # Generic segmentation offload: datagrams of a batch to one destination pass through the kernel as one, and may be
    # seen as one by whatever captures packets on this host. Off: each by itself.
    udp_gso: bool = True
    limits: Limits = Limits()
    proxy_protocol: ProxyProtocol = ProxyProtocol()
    dnstap: Dnstap = Dnstap()
    encrypted: Encrypted | None = None  # none: plain DNS alone
