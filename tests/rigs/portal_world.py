"""A small provider for tests: a configuration, a list with a few entries, and the web process without its sockets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from blocklists.entry import Entry, Match
from resolver import _core
from resolver.base.timestamps import as_text
from resolver.config.schema import Config
from resolver.policy.description import Generation
from resolver.policy.in_force import InForce
from resolver.policy.views import Views
from resolver.portal.app import brands_of, logs_of
from resolver.portal.live import Live, Snapshot
from resolver.portal.pages import Pages
from resolver.portal.site import Portal
from resolver.portal.stop_page import StopPage
from resolver.portal.transparency import Transparency
from tests.rigs.list_documents import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class ListedName:
    """An entry by its place in the lists of a `meta`."""

    name: str
    match: Match = "subtree"
    list: int = 0
    issued: int = 1_790_000_000
    expires: int = 1_830_000_000
    basis: str = "order-17"
    category: str = "gambling"
    reference: str = "7ZK3M9Q2XW4T8RBC"

    def entry(self) -> Entry:
        issued, expires = as_text(self.issued), as_text(self.expires)
        return Entry(self.name, self.match, self.basis, self.category, issued, expires, self.reference)


NOW = 1_795_000_000  # 2026-11-18T07:06:40Z
REFERENCE = "7ZK3M9Q2XW4T8RBC"
META: Mapping[str, Any] = {
    "generation": 4,
    "compiled": "2026-11-18T06:00:00Z",
    "lists": [
        {
            "name": "gambling",
            "version": 3,
            "state": "sha256:" + "ab" * 32,
            "issuer": {
                "name": "Gambling Authority",
                "contact": "lists@authority.example",
                "appeals": "appeals@authority.example",
            },
            "bases": {
                "order-17": {
                    "law": "Gambling Act, section 9",
                    "authority": "Joint Authority",
                    "order": "17/2026",
                    "date": "2026-02-14",
                    "territory": "DE",
                    "court": "Administrative Court, Halle",
                    "overdue_suspends": True,
                },
                "order-18": {"law": "Code, section 5", "authority": "Police", "order": "18", "overdue_suspends": False},
            },
            "action": "stop-page",
            "reason": "censored",
            "threshold": 2,
        },
        {"name": "watched", "version": 1, "issuer": {"name": "Watcher"}, "bases": {}, "action": "monitor"},
    ],
}
ENTRIES = (
    ListedName("example.com", reference=REFERENCE),
    ListedName("exact.example", "exact", reference="8ZK3M9Q2XW4T8RBC"),
    ListedName("below.example", "below", reference="9ZK3M9Q2XW4T8RBC", basis="order-18", category="child-abuse"),
    ListedName("xn--bcher-kva.example", reference="AZK3M9Q2XW4T8RBC"),
    ListedName("lapsed.example", reference="BZK3M9Q2XW4T8RBC", expires=NOW),
    ListedName("watched.example", reference="CZK3M9Q2XW4T8RBC", list=1),
    ListedName("xn--mgbh0fb.example", reference="DZK3M9Q2XW4T8RBC"),
)


def compiled(entries: Iterable[ListedName] = ENTRIES, meta: Mapping[str, Any] = META) -> _core.CompiledList:
    """A compiled list of these."""
    return _compiled(tuple(entries), json.dumps(meta))


@lru_cache
def _compiled(entries: tuple[ListedName, ...], meta: str) -> _core.CompiledList:
    with TemporaryDirectory() as folder:
        activate(Path(folder) / "compiled", entries, json.loads(meta))
        return _core.CompiledList.open(Path(folder) / "compiled")


def activate(output: Path, entries: Iterable[ListedName] = ENTRIES, meta: Mapping[str, Any] = META) -> None:
    """Compile them into a file."""
    with TemporaryDirectory() as folder:
        sources: list[_core.Source] = []
        for at, part in enumerate(meta["lists"]):
            path = Path(folder) / f"{at}.zst"
            write(path, [one.entry() for one in entries if one.list == at])
            bases, action = list(part["bases"]), part["action"]
            sources.append({"document": str(path), "action": action, "ede": 0, "bases": bases, "suspended": []})
        _core.compile(sources, output, json.dumps(meta).encode())


def configuration(directory: Path, **more: Any) -> Config:
    return Config.model_validate({
        "host": "a",
        "state_dir": directory / "state",
        "run_dir": directory / "run",
        "provider": {
            "name": "Nordlicht Internet",
            "url": "https://nordlicht.example",
            "contact": "blocking@nordlicht.example",
            "help_lines": [
                {"name": "Gambling helpline", "phone": "+49 800 1372700", "categories": ["gambling"]},
                {"name": "Help for all", "url": "https://help.example"},
            ],
            **more.pop("provider", {}),
        },
        "dns": {"listen": ["127.0.0.1:0"], "upstreams": ["127.0.0.1:5335"], "allow_clients": ["127.0.0.0/8"]},
        "portal": {"url": "https://stop.nordlicht.example", **more.pop("portal", {})},
        **more,
    })  # fmt: skip


@lru_cache
def standard_pages() -> Pages:
    """Templates are compiled once for all tests; a `Pages` never changes and knows no directory."""
    return Pages(configuration(Path("/nowhere")))


@dataclass
class Clock:
    """The time, moved by hand."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Counter:
    """Random bytes that are none: hashes of 1, 2, 3, …"""

    made: int = 0

    def __call__(self, count: int) -> bytes:
        self.made += 1
        return sha256(str(self.made).encode()).digest()[:count]


@dataclass
class World:
    """The web process's parts around one snapshot."""

    directory: Path
    entries: Iterable[ListedName] = ENTRIES
    meta: Mapping[str, Any] = field(default_factory=lambda: META)
    config: Config | None = None
    clock: Clock = field(default_factory=Clock)
    random: Counter = field(default_factory=Counter)

    def __post_init__(self) -> None:
        pages = standard_pages() if self.config is None else Pages(self.config)
        config = self.config or configuration(self.directory)
        self.config = config
        self.live = Live(config.places)
        self.live.snapshot = Snapshot(InForce(compiled(self.entries, self.meta), Generation.model_validate(self.meta)))
        self.pages = pages
        views = Views.of(config)
        self.stop_page = StopPage(self.pages, self.live, self.clock, views, brands_of(config, pages))
        clocks = config.portal.clocks
        self.portal = Portal(
            self.pages,
            self.live,
            Transparency(self.live, config.places.log_dir, config.host_name),
            self.clock,
            self.clock,
            self.random,
            (int(clocks.fact), int(clocks.decide)),
            config.host_name,
            views=views,
            logs=logs_of(config),
        )
