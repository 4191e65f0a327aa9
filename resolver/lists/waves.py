"""What this host says of its stage to the other hosts, what it hears of them, and so when held additions may act here.

Enters: the notes of other hosts, as the web process carries them by way of the database; what runs here. Leaves: this
host's own note; a `Verdict` for each list whose additions wait. Rules:

- A note is signed with the key of its host's log, and only those of `log.peers` count: who can write to the database
  can hold notes back, which is an alarm, and make none.
- Of each host the latest note counts. A host is heard of for `SILENT` seconds after a newer note came, by the uptime
  here; a note whose time is more than `AHEAD` seconds off is none, so that an old one cannot be played again.
- Removals and relief never come here: what waits is additions alone.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from blocklists.text import shown
from resolver.base.timestamps import as_text
from resolver.lists.everywhere import AHEAD
from resolver.lists.ledger import LedgerError
from resolver.lists.soak import Soak, soak_of
from resolver.lists.stages import WAVES, Fares, Ran, Stop, Verdict, before, decide
from resolver.lists.state import STAGE, Reason
from resolver.log.errors import AuditError
from resolver.log.note import open_note, parse_vkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from resolver.config.schema import Config
    from resolver.config.schema_lists import ListSource
    from resolver.lists.ledger import Ledger
    from resolver.lists.state import Fetching, Held

say = logging.getLogger("stopsign.lists")

HEADING = "stopsign stages v1"
SILENT = 35.0  # seconds: three rounds of the web process, and some
LARGEST = 64 << 10  # characters of a note


@dataclass(frozen=True, slots=True)
class _Heard:
    at: float
    uptime: float
    fares: Mapping[str, Fares]


class Waves:
    """Called from the register's thread alone."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        clock: Callable[[], float],
        uptime: Callable[[], float],
        alarm: Callable[[str, str | None], None],
    ) -> None:
        self._config, self._ledger, self._clock, self._uptime, self._alarm = config, ledger, clock, uptime, alarm
        self._peers = [parse_vkey(key) for key in config.peers]
        self._heard: dict[str, _Heard] = {}  # by the origin of the log
        self._alone: dict[str, tuple[float, float]] = {}  # by list: nobody is heard of, since then (uptime, Unix time)
        self.soak = Soak(config)
        self.verdicts: dict[str, Verdict] = {}
        """Of lists whose additions wait for a wave."""

    @property
    def _staged(self) -> list[ListSource]:
        return [source for source in self._config.lists if self._config.stage_of(source) in WAVES]

    def look(self, live: Mapping[str, tuple[int, str]]) -> None:
        """`live`: version and state of each list, as it is live."""
        if staged := self._staged:
            self.soak.look({one.name: live[one.name] for one in staged if one.name in live}, self._uptime())

    def waits(self, source: ListSource) -> Reason | None:
        """Why additions to a list do not act here at once; None: they do."""
        wave = before(self._config.stage_of(source))
        return None if wave is None else Reason(kind=STAGE, text=f"waits for {wave}", approvable=True)

    # -- what is said and heard

    def note(self, fetching: Mapping[str, Fetching]) -> str:
        """What the others need of this host, signed; empty where nobody waits for it, or the log's key is not there."""
        now, uptime = self._clock(), self._uptime()
        told = {
            source.name: _told(self.soak.fares(source, fetching[source.name].held, uptime, now))
            for source in self._staged
            if self._config.stage_of(source) != WAVES[-1]
        }
        if not told:
            return ""
        text = json.dumps({"host": self._config.host_name, "at": now, "lists": told})
        try:
            return self._ledger.signed(HEADING, text).decode()
        except LedgerError as error:
            say.info("the other hosts hear nothing of this one: %s", error)  # that it has no log is an alarm
            return ""

    def hear(self, notes: Iterable[str]) -> int:
        """Notes of other hosts; how many of them are signed by nobody whom `log.peers` names, or make no sense."""
        return sum(not self._hear(note) for note in notes)

    def _hear(self, note: str) -> bool:
        try:
            text, signed = open_note(note[:LARGEST].encode(), self._peers)
            heading, _, rest = text.partition("\n")
            told = json.loads(rest)
            if heading != HEADING:
                return False
            at, host = float(told["at"]), shown(str(told["host"]), most=63)
            fares = {str(name): _fares(host, one) for name, one in told["lists"].items()}
        except (AuditError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            say.debug("a note of another host is passed over: %s", error)
            return False
        origin = signed[0].verifier.name
        known = self._heard.get(origin)
        if abs(at - self._clock()) <= AHEAD and (known is None or at > known.at):
            self._heard[origin] = _Heard(at, self._uptime(), fares)
        return True

    # -- what follows

    def turn(self, fetching: Mapping[str, Fetching]) -> dict[str, Verdict]:
        """Of each list whose additions wait for a wave here."""
        held = {name: known.held for name, known in fetching.items() if known.held is not None}
        waiting = {name: one for name, one in held.items() if one.waits_for_wave}
        self.verdicts = {name: self._verdict(name, one) for name, one in waiting.items()}
        for source in self._config.lists:
            self._alarm(f"stage {source.name}", self._trouble(source.name, waiting.get(source.name)))
        return self.verdicts

    def _verdict(self, name: str, held: Held) -> Verdict:
        source = self._config.list_named(name)
        if source is None:
            return Verdict("waits", "the list is not configured")
        stage, uptime = self._config.stage_of(source), self._uptime()
        fares = [
            Fares(one.host, one.stage, one.ran, one.stops, uptime - heard.uptime <= SILENT)
            for heard in self._heard.values()
            if (one := heard.fares.get(name)) is not None
        ]
        return decide(stage, held.state, fares, soak_of(self._config, source, before(stage)))

    def _trouble(self, name: str, held: Held | None) -> str | None:
        """What a person should look at, of additions that wait."""
        verdict = self.verdicts.get(name)
        if held is None or verdict is None or verdict.is_heard:
            self._alone.pop(name, None)
        if held is None or verdict is None:
            return None
        through = f"stopsign lists approve {name} {held.version} {held.state[7:23]} --now"
        if verdict.kind == "stopped":
            return f"version {held.version} of list {name} is stopped by {verdict.text}; to let it act here: {through}"
        if not verdict.is_heard:
            uptime, since = self._alone.setdefault(name, (self._uptime(), self._clock()))
            if self._uptime() - uptime > SILENT:
                what = f"version {held.version} of list {name} waits: {verdict.text}, since {as_text(since)}"
                return f"{what}; to let it act here: {through}"
        return None

    def status(self, source: ListSource) -> dict[str, Any]:
        verdict = self.verdicts.get(source.name)
        return {
            "stage": self._config.stage_of(source),
            "waits": None if verdict is None else {"kind": verdict.kind, "text": verdict.text},
        }


def _told(fares: Fares) -> dict[str, Any]:
    return {
        "stage": fares.stage,
        "ran": [asdict(one) for one in fares.ran],
        "stops": [asdict(one) for one in fares.stops],
    }


def _fares(host: str, told: Any) -> Fares:
    if told["stage"] not in WAVES:
        raise ValueError("stage")
    ran = tuple(Ran(int(one["version"]), str(one["state"]), float(one["seconds"])) for one in told["ran"])
    if not all(math.isfinite(one.seconds) for one in ran):
        raise ValueError("seconds")
    stops = tuple(Stop(str(one["state"]), shown(str(one["why"]), most=200)) for one in told["stops"])
    return Fares(host, told["stage"], ran, stops)
