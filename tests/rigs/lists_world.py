"""A provider in a temporary folder, with a clock that the test turns, and lists made by hand or by a rehearsed desk."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from blocklists import document, entry, head
from blocklists.entry import Entry
from resolver.config.schema import Config
from resolver.lists.fetch import Candidate
from resolver.lists.ledger import Ledger
from resolver.lists.register import Register
from resolver.lists.reports import AppealError, Report
from resolver.lists.state import Suspension
from resolver.log.writer import Log
from resolver.policy.description import Basis, Issuer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
GROUND = head.Basis("Act 12", "Authority", "17/2026", "2026-11-01", "DE", "Court of Bonn")
ISSUER = Issuer(name="Authority", contact="list@authority.example", appeals="appeals@authority.example")
BASIS = Basis(
    law="Act 12", authority="Authority", order="17/2026", date="2026-11-01", territory="DE", court="Court of Bonn"
)


@dataclass
class Clock:
    """Unix time that moves when the test says so."""

    now: float = NOW.timestamp()

    def __call__(self) -> float:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span).total_seconds()


def settings(folder: Path, **lists: Mapping[str, Any]) -> dict[str, Any]:
    """The plain tree of a configuration: one list `gambling` unless others are given."""
    lists = lists or {"gambling": {}}
    return {
        "state_dir": str(folder / "state"),
        "run_dir": str(folder / "run"),
        "dns": {"listen": ["127.0.0.1:0"], "upstreams": ["127.0.0.1:5335"], "allow_clients": ["127.0.0.0/8"]},
        "portal": {"url": "https://stop.isp.example"},
        "provider": {"name": "Isp", "url": "https://isp.example", "contact": "help@isp.example"},
        "lists": [
            {
                "name": name,
                "repository": str(folder / "published"),
                "trusted_root": str(folder / "root.json"),
                "approve_first": True,
                **more,
            }
            for name, more in lists.items()
        ],
    }


def make_entry(name: str, *, number: int | None = None, **fields: Any) -> Entry:
    """An entry whose reference follows from its name, so that the same name keeps its reference."""
    seed = random.Random(f"{name} {fields.get('match', 'subtree')} {number}")
    reference = entry.references(1, lambda count: bytes(seed.randrange(256) for _ in range(count)))[0]
    usual = {
        "match": "subtree", "basis": "order-17", "category": "gambling", "issued": "2026-11-01T00:00:00Z",
        "expires": "2099-01-01T00:00:00Z", "reference": reference,  # workers look at the real clock
    }  # fmt: skip
    return Entry(**{"name": name, **usual, **fields})


@dataclass
class World:
    """A provider and the hand that writes its lists."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    lists: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    uptime: Clock = field(default_factory=lambda: Clock(1000.0))
    register: Register = field(init=False)
    ledger: Ledger = field(init=False)
    last: Candidate = field(init=False)
    """Offered last: what a test puts in place of `fetch.stored`."""

    def __post_init__(self) -> None:
        self.start()

    @property
    def config(self) -> Config:
        return Config.model_validate({**settings(self.folder, **self.lists), **self.more}, context={"folder": "/"})

    def start(self) -> Register:
        """As the steward's process starts: whatever lies in the folders is what it finds."""
        config = self.config
        self.ledger = Ledger(partial(Log.open, config.places, self.clock, origin=config.log_origin))
        self.register = Register(config, self.ledger, self.clock, self.uptime)
        self.register.open()
        return self.register

    def stop(self) -> None:
        self.ledger.close()

    def forward(self, **span: float) -> None:
        """Time goes by: the clock and the uptime go on."""
        self.clock.forward(**span)
        self.uptime.forward(**span)

    def restart(self) -> Register:
        self.stop()
        return self.start()

    def candidate(
        self,
        version: int,
        entries: Iterable[str | Entry],
        *,
        name: str = "gambling",
        suspended: Iterable[str] = (),
        bases: Mapping[str, Basis] | None = None,
    ) -> Candidate:
        """A list as `fetch` hands it over. Names become subtree entries."""
        made = [one if isinstance(one, Entry) else make_entry(one) for one in entries]
        path = self.folder / f"{name}-{version}.zst"
        summary = document.write(path, document.in_order(made))
        self.last = Candidate(
            name=name,
            version=version,
            state=summary.state,
            entries=summary.entries,
            size=summary.size,
            lines=path,
            issuer=ISSUER,
            bases=dict(bases or {"order-17": BASIS}),
            suspended={ref: Suspension(since="2026-11-22T00:00:00Z", reason="appeal") for ref in suspended},
            relief=1 if suspended else 0,
            holders={},
            signed_by=("a" * 64, "b" * 64),
            threshold=2,
        )
        return self.last

    def take(self, version: int, entries: Iterable[str | Entry], **more: Any) -> Any:
        return self.register.take(self.candidate(version, entries, **more))

    def active(self, name: str) -> list[str]:
        """The lists whose entries cover this name in the live generation, expiry and action aside."""
        from resolver._core import CompiledList

        path = self.config.places.current
        if not path.exists():
            return []
        compiled = CompiledList.open(path)
        return [
            self.config.lists[match.list].name
            for match in compiled.look_up(name)
            if not (match.match == "exact" and match.distance) and not (match.match == "below" and not match.distance)
        ]

    def leaves(self) -> list[tuple[str, str]]:
        """Type and reference of every leaf, in order."""
        from resolver.log.leaf import parse_leaf
        from resolver.log.writer import Log as AnyLog

        log = self.ledger._log
        assert isinstance(log, AnyLog)
        reader = log.reader()
        leaves = (parse_leaf(reader.entry(index)) for index in range(reader.size))
        return [(leaf.type, leaf.reference) for leaf in leaves]


def only(world: World, report: Report) -> int:
    """The leaf of one report of the web process. Raises what refuses it."""
    (answer,) = world.register.appeals.reported([report])
    if isinstance(answer, AppealError):
        raise answer
    return answer


def received(
    world: World, appeal: str, reference: str, name: str, ground: str = "mistake", receipt: str = "", **more: str
) -> int:
    """An appeal against an entry of list `gambling` comes in; its leaf."""
    about = {"reference": reference, "name": name, "list": "gambling", "ground": ground}
    return only(world, Report("received", appeal, {"appeal": appeal, **about, **more}, receipt))
