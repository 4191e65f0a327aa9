"""What everyone may see: the lists in force, how appeals end, and the log's public files.

Enters: the live snapshot and the log's folder. Leaves: values for the page, and files by a path that can only be one
of the log's own. Rules: nothing here is written; a path is matched whole, never joined and cleaned.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from resolver.portal.facts import facts_of, unix
from resolver.portal.web import Answer
from resolver.stats.report_forms import body

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from resolver._core import Match
    from resolver.portal.facts import Facts
    from resolver.portal.live import Live

# C2SP tlog-tiles: tile/<level>/<index in groups of three digits>[.p/<width>], and entry bundles under tile/entries;
# beside them what is published of the details, the report, and the proofs of the newest activations.
LOG_FILE = (
    r"(?:checkpoint(?:\.cosigned)?|log\.vkey|tile/(?:[0-9]{1,2}|entries)/(?:x[0-9]{3}/){0,6}[0-9]{3}(?:\.p/[0-9]{1,3})?"
    r"|details/(?:x[0-9]{3}/){0,6}[0-9]{3}\.jsonl|report\.(?:json|csv)|activated/[a-z0-9][a-z0-9._-]{0,63}\.tlog-proof)"
)
_FILE = re.compile(f"/log/({LOG_FILE})")
MAX_FILE = 32 << 20


@dataclass(frozen=True)
class KnownList:
    """One list as the page shows it."""

    name: str
    version: int
    issuer: str
    contact: str
    action: str
    signatures: int
    state: str
    entries: int = 0  # that act now: without those that are suspended
    suspended: int = 0  # by the issuer's relief, or here
    confirmed: int = 0  # Unix time; 0: not known

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Figures:
    """A closed period, in numbers that are said in words. `html`: plots and tables, in English."""

    start: str  # YYYY-MM-DD, both included
    end: str
    stopped: int
    added: int
    withdrawn: int
    held: int
    refused: int
    let_through: int
    switched_off: int
    appeals: int
    median_hours: float | None
    html: Markup

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Figures:
        """Raises KeyError, TypeError or AttributeError for a report of another form."""
        changes, appeals = report["changes"].values(), report["appeals"]
        return cls(
            start=str(report["from"]),
            end=str(report["to"]),
            stopped=int(report["blocks"]["total"]),
            added=sum(told.get("added", 0) for told in changes),
            withdrawn=sum(told.get("removed", 0) for told in changes),
            held=sum(sum(reasons.values()) for reasons in report["held"].values()),
            refused=sum(sum(reasons.values()) for reasons in report["refused"].values()),
            let_through=int(report["overrides"]["set"]),
            switched_off=int(report["bypass"]),
            appeals=int(appeals["received"]),
            median_hours=appeals["median_hours"],
            html=Markup(body(dict(report))),  # noqa: S704 - body() escapes
        )


class Transparency:
    """`host`: whose log it is; it is served under that name as well, so that each of several hosts has an address."""

    def __init__(self, live: Live, log_dir: Path, host: str) -> None:
        self._live, self._log, self.host = live, log_dir, host
        self._report: tuple[tuple[int, int], Figures] | None = None

    def facts(self, match: Match | None) -> Facts | None:
        return facts_of(match, self._live.snapshot) if match is not None else None

    def known(self) -> list[KnownList]:
        found = []
        for about in self._live.snapshot.in_force.lists:
            suspended = about.suspended + about.here
            confirmed = self._live.snapshot.confirmed.get(about.name)
            found.append(KnownList(
                name=about.name,
                version=about.version,
                issuer=about.issuer.name,
                contact=about.issuer.contact,
                action=about.action,
                signatures=about.threshold,
                state=about.state,
                entries=max(about.entries - suspended, 0),
                suspended=suspended,
                confirmed=unix(confirmed or ""),
            ))  # fmt: skip
        return found

    def log_is_there(self) -> bool:
        return os.access(self._log / "checkpoint", os.R_OK)

    async def report(self) -> Figures | None:
        """The last thirty closed days, as the steward published them."""
        return await asyncio.to_thread(self._read_report)

    def _read_report(self) -> Figures | None:
        path = self._log / "report.json"
        try:
            status = path.stat()
            seen = (status.st_ino, status.st_mtime_ns)
            if self._report is None or self._report[0] != seen:
                self._report = seen, Figures.of(json.loads(self._read("report.json")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # none yet, or one of another version: the steward makes another
        return self._report[1]

    async def file(self, path: str) -> Answer:
        """One of the log's public files; a checkpoint changes, a full tile never does."""
        found = _FILE.fullmatch(path.replace(f"/log/{self.host}/", "/log/", 1))
        try:
            body = await asyncio.to_thread(self._read, found[1]) if found else None
        except OSError:
            body = None
        binary = found is not None and found[1].startswith("tile/")
        return file_answer(body, for_ever=binary and ".p/" not in path, binary=binary)

    def _read(self, name: str) -> bytes:
        with (self._log / name).open("rb") as file:
            return file.read(MAX_FILE)


def file_answer(body: bytes | None, *, for_ever: bool, binary: bool) -> Answer:
    """A published file; None: there is no such file. `for_ever`: its content never changes."""
    if body is None:
        return Answer(404, b"There is no such file in the log.\n", "text/plain; charset=utf-8")
    kind = "application/octet-stream" if binary else "text/plain; charset=utf-8"
    return Answer(200, body, kind, cache="public, max-age=31536000, immutable" if for_ever else "no-cache")
