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
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field

from resolver.base.errors import ResolverError
from resolver.base.paths import Places
from resolver.config.cross_checks import contradictions
from resolver.config.reader import ConfigError, Lines, Problem, Reading, parse, read
from resolver.config.schema_dns import Dns
from resolver.config.schema_lists import MAX_LISTS, Guards, ListSource, Stage, Stages, View
from resolver.config.schema_portal import Brand, Portal, Provider, StopPage
from resolver.config.schema_rpz import Rpz
from resolver.config.values import (
    Endpoint,
    FilePath,
    Listen,
    LogKey,
    LogOrigin,
    Part,
    Seconds,
    Slug,
    Text,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from resolver.config.schema_upstreams import Upstream

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
FOR_ZONES_ALONE = "on a host for policy zones alone your own resolvers answer: docs/rpz.md"


class LogIndex(Part):
    """What `stopsign logs sign` publishes, and the key that signs it."""

    dir: FilePath
    key: LogKey


class Log(Part):
    dir: FilePath | None = None  # none: state_dir/log
    origin: LogOrigin | None = None  # the checkpoint's; none: the portal's host, /log/ and this host's name
    heartbeat: Seconds = 3600.0
    keep: Seconds | None = None  # how long documents that the log names are kept (state_dir/kept); none: for ever
    # The keys (log.vkey) of the logs of the hosts that share the appeals database: what is decided at one of them, or
    # said with --everywhere, holds here too. This host's own may stand among them, so that all hosts have one list.
    peers: list[LogKey] = []
    index: LogIndex | None = None  # the provider's index of all hosts' logs; the portal shows and serves it


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
    sealed_key: FilePath | None = None  # opens sealed lists; none: the credential `stopsign.sealed` of each service
    guards: Guards = Guards()
    stages: Stages = Stages()
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
    def upstreams(self) -> list[Upstream]:
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
    def faces(self) -> list[tuple[str, Provider | Brand]]:
        """What people see of the provider, and of each view's brand, by its key in the file."""
        brands = [(f"views[{at}].brand", view.brand) for at, view in enumerate(self.views)]
        return [("provider", self.provider), *((key, brand) for key, brand in brands if brand is not None)]

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
    def peers(self) -> list[str]:
        """`log.peers` without this host's own key: what it said itself is no other host's word."""
        return [key for key in self.log.peers if key.partition("+")[0] != self.log_origin]

    @property
    def digest(self) -> str:
        """What a leaf says of the configuration: whether two starts had the same one. The database's address is left
        out, since a password may stand in it that could be guessed."""
        return "sha256:" + hashlib.sha256(self.model_dump_json(exclude={"portal": {"database"}}).encode()).hexdigest()

    def stage_of(self, source: ListSource) -> Stage:
        """When additions to this list act on this host."""
        return source.stage or self.stages.stage

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
