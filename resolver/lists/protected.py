"""The names that guards protect, gathered once.

Enters: the configuration. Leaves: `ProtectedNames`: names nobody may stop, each with why; the rules of the public
suffix list, ICANN and private section, in A-labels; names that need a person.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import publicsuffixlist

from blocklists import compression
from blocklists.admissible import PROTECTED
from blocklists.compression import CompressionError
from blocklists.errors import why
from resolver.base.errors import ResolverError
from resolver.config.values import domain_name
from resolver.lists.infrastructure import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.config.schema import Config


MAX_POPULAR = 1 << 26
"""Octets of a file of popular names, uncompressed: a million of them take less than half."""


@dataclass(frozen=True)
class ProtectedNames:
    """What additions are held against."""

    protected: dict[str, str]
    """Name to why."""
    suffixes: tuple[str, ...]
    """Rules as publicsuffix.org writes them, `*.` and `!` included."""
    popular: tuple[str, ...]
    shared: frozenset[str]


def protected_names(config: Config) -> ProtectedNames:
    """All protected names. `ResolverError` where the file of popular names cannot be read."""
    protected = {name: why for why, names in PROTECTED.items() for name in names}
    protected.update(own(config))
    popular = popular_names(config.guards.popular, config.guards.popular_top) if config.guards.popular else ()
    return ProtectedNames(protected, suffix_rules(), popular, frozenset(SHARED))


def own(config: Config) -> Iterator[tuple[str, str]]:
    """The provider's names: an entry for these would block the page that explains the block."""
    for name in config.guards.protected:
        yield name, "protected in the configuration"
    if config.dns is not None:
        yield config.dns.health_name, "the name by which this host is asked whether it should get queries"
    if config.dns is not None and config.dns.encrypted is not None:
        yield config.dns.encrypted.name, "the name under which clients ask this resolver over TLS"
    for upstream in config.upstreams:
        if upstream.tls is not None and upstream.tls.name is not None:
            yield upstream.tls.name, "the name of an upstream over TLS"
    yield from _host(config.portal.url, "the portal, where people look names up and appeal")
    for _, face in config.faces:
        yield from _host(face.url, "the provider's own site")
        for line in face.help_lines:
            yield from _host(line.url, "a help line shown on the stop page")
        contact = face.contact or ""
        if "@" in contact and "://" not in contact:
            yield from _host(f"mailto://{contact.rpartition('@')[2]}", "the provider's own mail")
    for source in config.lists:
        if "://" in source.repository:
            yield from _host(source.repository, f"where list {source.name} comes from")


def _host(url: str | None, why: str) -> Iterator[tuple[str, str]]:
    host = urlsplit(url).hostname if url else None
    if host and not _is_address(host):
        yield domain_name(host), why


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1)
def suffix_rules() -> tuple[str, ...]:
    """Every rule of the public suffix list that ships with the library."""
    rules: list[str] = []
    for line in Path(publicsuffixlist.PSLFILE).read_text(encoding="utf-8").splitlines():
        rule = line.split("//")[0].strip()
        if rule:
            mark = next((mark for mark in ("*.", "!") if rule.startswith(mark)), "")
            rules.append(mark + domain_name(rule.removeprefix(mark)))
    return tuple(rules)


def popular_names(path: Path, top: int) -> tuple[str, ...]:
    """The first `top` names of a file with one a line (`rank,name` and `#` comments too), plain or compressed."""
    names: dict[str, None] = {}
    try:
        with path.open("rb") as file:
            for line in b"".join(compression.read_blocks(file, size=MAX_POPULAR)).splitlines():
                text = line.decode().split("#")[0].strip().rpartition(",")[2].strip()
                if text and (name := _name_or_none(text)):
                    names[name] = None
                if len(names) >= top:
                    break
    except (OSError, CompressionError, UnicodeDecodeError) as error:
        raise ResolverError(f"the popular names in {path} cannot be read ({why(error)})") from error
    return tuple(names)


def _name_or_none(text: str) -> str | None:
    try:
        return domain_name(text)
    except ValueError:
        return None  # a popularity list is a crawl: a line that is no name protects nothing and harms nothing
