"""The configuration as a typed tree.

Enters: a YAML file. Leaves: one frozen `Config`, or `ConfigError` that names every mistake at once, each as
`file:line: key: what is wrong, what would be right`.
Rules: unknown and duplicate keys are errors; sizes, times and shares have units; relative paths are relative to the
file; the file contains no secret. The JSON schema is generated from this tree (`Config.model_json_schema()`).
"""

from __future__ import annotations

import hashlib
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import Field

from blocklists.importers.mapping import Mapping
from resolver.base.errors import ResolverError
from resolver.base.paths import Places
from resolver.config.cross_checks import contradictions
from resolver.config.reader import ConfigError, Lines, Problem, Reading, parse, read
from resolver.config.schema_portal import Portal, Provider, StopPage
from resolver.config.schema_rpz import Rpz
from resolver.config.values import (
    Address,
    Country,
    Day,
    Endpoint,
    FilePath,
    HttpPath,
    Listen,
    LogKey,
    LogOrigin,
    Name,
    Part,
    Prefix,
    Seconds,
    Share,
    Size,
    Slug,
    Text,
    Upstream,
    WebUrlOrPath,
    Workers,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

__all__ = [
    "Accepted",
    "Config",
    "ConfigError",
    "Endpoint",
    "Lines",
    "Places",
    "Problem",
    "accept",
    "load",
    "locate",
    "located_at",
]

STANDARD = Path("/etc/stopsign/stopsign.yaml")
FILE_NAME = "stopsign.yaml"

Action = Literal["stop-page", "nxdomain", "nodata", "refused", "monitor"]
Canary = Literal["use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com"]
Match = Literal["exact", "subtree", "below"]
EDE = {"blocked": 15, "censored": 16, "filtered": 17, "none": 0}  # INFO-CODE of a list's `reason` (RFC 8914)
FOR_ZONES_ALONE = "on a host for policy zones alone your own resolvers answer: docs/rpz.md"
MAX_LISTS = 64  # a view is a mask of 64 bits in the core


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
    send_to: list[
        Upstream
    ] = []  # those of the upstreams that want the header; what they answer is cached for everybody


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


class Cap(Part):
    """What may be added before a person is asked: at most `number`, and at most `share` of what is active."""

    number: int = Field(ge=0)
    share: Share


class Caps(Part):
    """`always` additions pass every share (a list of ten entries may grow by one), never the numbers."""

    update: Cap = Cap(number=5_000, share=0.10)
    day: Cap = Cap(number=10_000, share=0.20)
    week: Cap = Cap(number=20_000, share=0.40)
    always: int = Field(default=25, ge=0)


class Scope(Part):
    """What this issuer may ask of this provider, whatever it signs. Empty or absent: no limit of that kind."""

    matches: list[Match] = []
    categories: list[Slug] = []
    territories: list[Text] = []
    below: list[Name] = []  # only names at or below these
    entries: int | None = Field(default=None, ge=0)


class PublisherSignature(Part):
    """A detached signature beside a bridged file. A `beside` that begins with a dot is appended to the file's name."""

    beside: Text = ".minisig"
    kind: Literal["minisign", "signify", "gpg"] = "minisign"
    key: FilePath  # the publisher's public key; of gpg a keyring (gpg --export)


class Fetching(Part):
    """How the publisher of a bridged file serves it."""

    ca: FilePath | None = None  # trust these certificates alone, not the system's
    certificate: FilePath | None = None  # of this client
    key: FilePath | None = None  # none: in the certificate's file
    bearer: FilePath | None = None  # its first line is the token
    redirects: int = Field(default=0, ge=0, le=5)
    newest: Text | None = None  # `repository` is a page: of its links that match, the greatest by the first group
    checksum: Text | None = None  # of SHA-256 or SHA-512, beside the file: .sha256 is appended, else a name
    signature: PublisherSignature | None = None


class Bridge(Part):
    """An unsigned CSV of a regulator, imported as an issuer of its own; the stop page says that it is unsigned."""

    issuer: Text
    contact: Text | None = None
    law: Text
    authority: Text
    order: Text
    date: Day
    territory: Country
    court: Text | None = None
    category: Slug
    match: Match = "subtree"  # of a bare name, as `stopsign issuer import` has it; a hosts line is that name alone
    star: Literal["below", "subtree"] = "below"  # what `*.name` means
    walls: list[Text] = []  # targets of rules that count as a block, besides addresses where nobody listens
    format: Text = "auto"  # a format of `stopsign issuer formats`; auto: found by the look of the file
    mapping: Mapping | None = None  # where a register has its names, grounds, days and withdrawals: docs/lists.md
    column: Text | None = None  # in short for a table: number or heading of the column with the name
    fetch: Fetching = Fetching()
    lifetime: Seconds = 30 * 86400.0
    # A file that lost a larger share of its names waits for a person. None: what the mapping expects, else 50%.
    shrink_at_most: Share | None = None


class ListSource(Part):
    name: Slug
    repository: WebUrlOrPath
    trusted_root: FilePath | None = None  # only a bridge has none
    refresh: Seconds = 300.0
    deadline: Seconds = 60.0  # one for the whole refresh
    action: Action = "stop-page"
    reason: Literal["blocked", "censored", "filtered", "none"] = "censored"
    # The extended error's text for clients that ask for structured errors (drafts: docs/people.md): json, or the same
    # text as for all others. With json, `explained` is what such a client gets where `action` is stop-page.
    explain: Literal["text", "json"] = "text"
    explained: Literal["nxdomain", "nodata", "stop-page"] = "stop-page"
    # Answers for names that are not listed, with records of one that is: without those (trim), as if the listed name
    # had been asked for (stop), or as they are (relay).
    aliases: Literal["relay", "trim", "stop"] = "trim"
    min_threshold: int = Field(default=2, ge=1)
    approve_first: bool = False  # true: the first load needs no person (the demo, tests)
    urgent: bool = False  # orders due within 30 minutes: a held addition alarms at once, not after `alarm_held`
    alarm_held: Seconds = 4 * 3600.0
    stale_after: Seconds = 14 * 86400.0
    on_expiry: Literal["lapse", "hold"] = "lapse"
    max_entries: int = Field(default=5_000_000, ge=1)
    max_size: Size = 2 << 30  # of the uncompressed document
    caps: Caps = Caps()
    scope: Scope = Scope()
    bridge: Bridge | None = None


class Shadow(Part):
    """New entries watched against live queries before they act. Sketches live in memory and know no client."""

    watch: Seconds = 0.0  # how long an addition is watched before it acts (urgent lists: 10m at most); 0s: it is not
    share: Share = 0.01  # of all different clients that one entry may meet before a person is asked


class Overdue(Part):
    """Entries that overdue appeals suspend by themselves within a day; those beyond wait for a person. Strangers file
    appeals: what they can open together is bounded as what an issuer can add is."""

    day: int = Field(default=50, ge=0)  # of all lists together
    list: Cap = Cap(number=20, share=0.01)  # of one list; the share is that of its entries
    always: int = Field(default=3, ge=0)  # of one list, whatever the share comes to


class Guards(Part):
    protected: list[Name] = []
    overdue: Overdue = Overdue()
    popular: FilePath | None = None  # one name a line, most popular first; plain or .gz
    popular_top: int = Field(default=100_000, ge=1)
    shadow: Shadow = Shadow()


class View(Part):
    """Whom which lists hold for. Of prefixes in each other the longest decides, wherever it stands; a client of no view
    gets every list."""

    name: Slug
    clients: list[Prefix] = Field(min_length=1)
    lists: list[Slug]


class Log(Part):
    dir: FilePath | None = None  # none: state_dir/log
    origin: LogOrigin | None = None  # the checkpoint's; none: the portal's host, /log/ and this host's name
    heartbeat: Seconds = 3600.0
    keep: Seconds | None = None  # how long documents that the log names are kept (state_dir/kept); none: for ever
    # The keys (log.vkey) of the logs of the other hosts that share the appeals database: what is decided at one of
    # them, or said with --everywhere, holds here too.
    peers: list[LogKey] = []


class Evaluation(Part):
    resolve: Seconds = 60.0  # between two looks whether a name of the lists still resolves at the upstream; 0s: never


class Control(Part):
    """Who may use the control socket besides root and the user that runs the process: operators do everything,
    reporters (the web process under a user of its own) can only say that an appeal came in."""

    operators: list[Text] = []
    operator_groups: list[Text] = []
    reporters: list[Text] = []


class Metrics(Part):
    listen: list[Listen] = []


class Config(Part):
    host: Slug | None = None  # this host among those that share an appeals database; none: the machine's name
    state_dir: FilePath
    run_dir: FilePath
    provider: Provider = Provider()
    dns: Dns | None = None  # none: a host for policy zones alone, where resolvers of your own answer
    stop_page: StopPage = StopPage()
    portal: Portal
    lists: list[ListSource] = Field(default=[], max_length=MAX_LISTS)
    guards: Guards = Guards()
    views: list[View] = Field(default=[], max_length=256)
    log: Log = Log()
    evaluation: Evaluation = Evaluation()
    control: Control = Control()
    metrics: Metrics = Metrics()
    rpz: Rpz = Rpz()

    @property
    def places(self) -> Places:
        return Places(self.state_dir, self.run_dir, self.log.dir or self.state_dir / "log")

    def require_dns(self) -> Dns:
        """What the DNS workers need. `ResolverError` on a host for policy zones alone."""
        if self.dns is None:
            raise ResolverError("no DNS is served here: the configuration has no `dns`", hint=FOR_ZONES_ALONE)
        return self.dns

    @property
    def upstreams(self) -> list[Endpoint]:
        """Those of DNS; a host for policy zones alone has none."""
        return [] if self.dns is None else self.dns.upstreams

    @property
    def dns_listen(self) -> list[Endpoint]:
        return [] if self.dns is None else self.dns.listen

    @property
    def dns_tls_listen(self) -> list[Endpoint]:
        return [] if self.dns is None or self.dns.encrypted is None else self.dns.encrypted.tls

    @property
    def dns_https_listen(self) -> list[Endpoint]:
        encrypted = None if self.dns is None else self.dns.encrypted
        return [] if encrypted is None or encrypted.https is None else encrypted.https.listen

    @property
    def dns_quic_listen(self) -> list[Endpoint]:
        return [] if self.dns is None or self.dns.encrypted is None else self.dns.encrypted.quic

    @property
    def allow_clients(self) -> list[IPv4Network | IPv6Network]:
        return [] if self.dns is None else self.dns.allow_clients

    @property
    def portal_host(self) -> str:
        return urlsplit(self.portal.url).hostname or ""

    @property
    def provider_name(self) -> str:
        return self.provider.name or self.portal_host

    @property
    def provider_url(self) -> str:
        return self.provider.url or self.portal.url

    @property
    def database_url(self) -> str:
        """For SQLAlchemy, without a driver: `sqlite:////absolute/path` or `postgresql://…`."""
        return self.portal.database or f"sqlite:///{(self.state_dir / 'portal.db').absolute()}"

    @property
    def host_name(self) -> str:
        """This host's name, as lower case letters, digits and hyphens."""
        return self.host or host_of(socket.gethostname())

    @property
    def log_origin(self) -> str:
        """Each host has a log of its own, and so a name of its own for it."""
        return self.log.origin or f"{self.portal_host}/log/{self.host_name}"

    @property
    def digest(self) -> str:
        """What a leaf says of the configuration: whether two starts had the same one. The database's address is left
        out, since a password may stand in it that could be guessed."""
        return "sha256:" + hashlib.sha256(self.model_dump_json(exclude={"portal": {"database"}}).encode()).hexdigest()

    def list_named(self, name: str) -> ListSource | None:
        return next((source for source in self.lists if source.name == name), None)


def host_of(machine: str) -> str:
    """A machine's name in the form that `host` has."""
    return re.sub("[^a-z0-9]+", "-", machine.lower()).strip("-")[:63].rstrip("-") or "host"


def load(path: Path) -> Config:
    """The configuration in `path`; `ConfigError` with all its mistakes otherwise."""
    return accept(path).config


@dataclass(frozen=True, slots=True)
class Accepted:
    """A configuration without mistakes, the very bytes that it was read from, and where each key stands in them."""

    path: Path
    data: bytes
    config: Config
    lines: Lines

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def reading_of(path: Path, data: bytes) -> Reading[Config]:
    """What `data`, which was read from `path`, says; `ConfigError` where it is no YAML."""
    return parse(data, path, Config, contradictions)


def accept(path: Path, data: bytes | None = None) -> Accepted:
    """What stands in `path`, or in `data`, which was read there before; `ConfigError` with all its mistakes."""
    data = read(path) if data is None else data
    reading = reading_of(path, data)
    if reading.value is None:
        raise ConfigError(reading.problems)
    return Accepted(path, data, reading.value, reading.lines)


def located_at(config: Path | None, directory: Path | None) -> Path:
    """The file that `--config FILE` or `--dir DIR` names; the standard place where neither is given."""
    if config is not None and directory is not None:
        raise ConfigError.about(config, "--config and --dir name two configurations; one of them would be right")
    if directory is not None:
        return directory / FILE_NAME
    return config if config is not None else STANDARD


def locate(config: Path | None, directory: Path | None) -> Config:
    """The configuration itself."""
    return load(located_at(config, directory))
