"""Lists and a month of the log, from which counts and reports are made."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import zstandard

from resolver import _core
from resolver.stats.collect import Counting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from resolver.base.paths import Places
    from resolver.log.writer import Event
    from tests.rigs.log_world import World


class Ticked(Counting):
    """The steward's counting where neither clock jumps: the uptime is the time of the last tick."""

    def __init__(
        self,
        places: Places,
        append: Callable[[Sequence[Event]], object],
        sealed: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        super().__init__(places, append, sealed, lambda: self._now)
        self._now = 0.0

    def tick(self, now: float, active: Callable[[], Mapping[str, int]]) -> str | None:
        self._now = now
        return super().tick(now, active)


def raised(error: Exception) -> None:
    """For a reader that complains, where nothing is wrong."""
    raise error


def compiled(folder: Path, *names: str) -> None:
    lines = "".join(
        json.dumps(
            {
                "basis": "order-1",
                "category": "gambling",
                "expires": "2099-01-01T00:00:00Z",
                "issued": "2026-11-22T00:00:00Z",
                "match": "subtree",
                "name": name,
                "reference": name[0].upper() * 16,
            },
            sort_keys=True,
            separators=(",", ":"),
        )
        + "\n"
        for name in names
    ).encode()
    document = folder / "full.zst"
    document.write_bytes(zstandard.compress(lines))
    announced = (len(lines), f"sha256:{sha256(lines).hexdigest()}", ["order-1"])
    _core.examine(None, document, announced=announced, protected=[], suffixes=[], popular=[])
    source: _core.Source = {
        "document": str(document), "action": "stop-page", "ede": 16, "bases": ["order-1"], "suspended": [],
    }  # fmt: skip
    meta = {"generation": 1, "lists": [{"name": "gambling", "version": 1}]}
    (folder / "run").mkdir()
    _core.compile([source], folder / "run" / "current.list", json.dumps(meta).encode())


def at(day: int, hour: int = 12, month: int = 10) -> float:
    return datetime(2026, month, day, hour, tzinfo=UTC).timestamp()


def month_of(world: World) -> None:
    """October at a provider, and the counts of it that came into the log in November."""
    gambling: dict[str, Any] = {"list": "gambling"}
    first = gambling | {"version": 1, "entries": 9, "added": 9, "removed": 0}
    second: dict[str, Any] = gambling | {"version": 2, "entries": 11, "added": 3, "removed": 1}
    second |= {"signed_by": ["a", "b"], "threshold": 2, "action": "stop-page"}
    held = gambling | {"version": 3, "added": 900, "reasons": ["cap-share: too many", "popular: google.com"]}
    bands = gambling | {"month": "2026-10", "entries": 11, "met": 4, "not_attributed": 0}
    bands["bands"] = {"A" * 16: "10-99", "C" * 16: "10-99"}
    told: list[tuple[float, str, str, dict[str, Any]]] = [
        (at(20, month=9), "list-activated", "gambling/1", first),
        (at(1), "start", "", {}),
        (at(2), "list-activated", "gambling/2", second),
        (at(3), "list-refused", "gambling", gambling | {"reason": "rollback", "text": "older"}),
        (at(4), "list-held", "gambling/3", held),
        (at(5), "list-approved", "gambling/3", gambling | {"version": 3}),
        (at(6), "appeal-received", "A" * 16, {"appeal": "one", "ground": "mistake", "received": at(6)}),
        (at(7), "appeal-received", "B" * 16, {"appeal": "two", "ground": "rights", "received": at(7)}),
        (at(8), "appeal-decided", "A" * 16, {"appeal": "one", "outcome": "granted", "decided": at(8)}),
        (at(11), "appeal-decided", "B" * 16, {"appeal": "two", "outcome": "upheld", "decided": at(11)}),
        (at(12), "override-set", "", {"name": "bakery.example"}),
        (at(12), "bypass", "", {"act": "on", "kind": "all", "of": ""}),
        (at(12), "bypass", "", {"act": "off", "kind": "all", "of": ""}),
        (at(1, month=11), "stop", "", {}),
        (at(2, month=11), "counts", "2026-10-01", {"day": "2026-10-01", "lists": {"gambling": 40}}),
        (at(2, month=11), "counts", "2026-10-01", {"day": "2026-10-01", "lists": {"gambling": 40}}),
        (at(3, month=11), "counts", "2026-10-02", {"day": "2026-10-02", "lists": {"gambling": 60, "piracy": 5}}),
        (at(3, month=11), "counts", "2026-11-01", {"day": "2026-11-01", "lists": {"gambling": 999}}),
        (at(3, month=11), "bands", "2026-10/gambling/0", bands),
    ]
    with world.open() as log:
        for when, kind, reference, detail in told:
            world.now = when
            log.append(kind, reference, detail)


def entry(name: str, number: int, match: str = "subtree", expires: str = "2027-11-22T00:00:00Z") -> str:
    told = {"basis": "order-1", "category": "gambling", "expires": expires, "issued": "2026-11-22T00:00:00Z"}
    told |= {"match": match, "name": name, "reference": f"{number:016}"}
    return json.dumps(told, sort_keys=True, separators=(",", ":")) + "\n"
