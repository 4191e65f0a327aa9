"""How long which versions have run on this host, and how it fared meanwhile.

Enters: what is live, what the workers count, what is held or bypassed here. Leaves: for each list what `stages` needs
of this host. Rules:

- Time is the host's uptime (CLOCK_MONOTONIC): no clock that jumps makes a version older. The file is on tmpfs and names
  the boot; after a reboot every version begins again.
- SERVFAIL is counted while a version soaks, from its first moment; after a share that was too large it soaks from the
  beginning, once the share is small again.
- A share of fewer than `FEWEST` answers proves nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from resolver.base import atomic
from resolver.base.errors import ResolverError
from resolver.base.stored import StateError, Stored, load
from resolver.ipc import worker_counters
from resolver.lists.shadow import URGENT
from resolver.lists.stages import Fares, Ran, Stop
from resolver.lists.state import STAGE, WATCHED
from resolver.policy import exceptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.config.schema import Config
    from resolver.config.schema_lists import ListSource
    from resolver.lists.state import Held

say = logging.getLogger("stopsign.lists")

FEWEST = 1_000  # answers
_ANSWERS = tuple(f"answered_{rcode}" for rcode in ("noerror", "nxdomain", "servfail", "refused", "other"))
KEPT = 8  # versions of a list that are remembered
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Version(Stored):
    """One that is live, or was before a later one. `since` in seconds of uptime; counters as they were then."""

    version: int
    state: str
    since: float
    answers: int = 0
    servfail: int = 0
    shadow: float = 0.0
    """The largest share of all clients that one addition would have met in shadow evaluation."""
    failed: float | None = None
    """The share of SERVFAIL that was too large; None: it is not."""
    is_soaked: bool = False
    """It ran for as long as it had to, and was looked at then: what happens afterwards is not of this version."""


class Soaking(Stored):
    boot: str = ""
    lists: dict[str, tuple[Version, ...]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answers:
    """Of all workers, since they count."""

    all: int = 0
    servfail: int = 0


class Soak:
    """Called from the register's thread alone."""

    def __init__(self, config: Config, boot: str | None = None) -> None:
        self._config, self._places = config, config.places
        self._soaking = Soaking(boot=_boot() if boot is None else boot)
        self._shadows: dict[str, tuple[str, float]] = {}

    def open(self) -> None:
        try:
            known = load(self._places.soaking, Soaking)
        except StateError as error:
            say.warning("%s; every version soaks from the beginning", error)
            return
        if known is not None and known.boot == self._soaking.boot:
            self._soaking = known

    def evaluated(self, name: str, state: str, share: float) -> None:
        """The largest share that shadow evaluation found of a version that begins to run now."""
        self._shadows[name] = state, share

    def look(self, live: Mapping[str, tuple[int, str]], uptime: float) -> None:
        """`live`: version and state of each list of a stage, as it is live."""
        answers = self._answers() if live else Answers()
        lists = {name: self._seen(name, *what, uptime, answers) for name, what in live.items() if what[0]}
        if lists == self._soaking.lists and (self._places.soaking.exists() or not lists):
            return
        self._soaking = self._soaking.model_copy(update={"lists": lists})
        try:
            atomic.replace(self._places.soaking, self._soaking.model_dump_json().encode())
        except OSError as error:
            say.warning("%s cannot be written (%s)", self._places.soaking, error.strerror)

    def _seen(self, name: str, version: int, state: str, uptime: float, answers: Answers) -> tuple[Version, ...]:
        known = self._soaking.lists.get(name, ())
        if not known or known[-1].state != state:
            shadow = self._shadows.get(name, ("", 0.0))
            begun = Version(
                version=version, state=state, since=uptime, answers=answers.all, servfail=answers.servfail,
                shadow=shadow[1] if shadow[0] == state else 0.0,
            )  # fmt: skip
            known = (*(one for one in known if one.state != state), begun)[-KEPT:]
        source = self._config.list_named(name)
        soak = 0.0 if source is None else soak_of(self._config, source, self._config.stage_of(source))
        return tuple(self._judged(one, uptime, answers, soak) for one in known)

    def _judged(self, one: Version, uptime: float, answers: Answers, soak: float) -> Version:
        """With what is to be said of SERVFAIL since it began."""
        if one.is_soaked:
            return one
        count = answers.all - one.answers
        if count < 0 or answers.servfail < one.servfail:  # another program counts: from here on
            return one.model_copy(update={"answers": answers.all, "servfail": answers.servfail})
        share = (answers.servfail - one.servfail) / count if count >= FEWEST else 0.0
        if share > self._config.stages.servfail:
            return one.model_copy(update={"failed": round(share, 2)})
        if one.failed is None:
            return one.model_copy(update={"is_soaked": True}) if uptime - one.since >= soak else one
        return one.model_copy(
            update={"failed": None, "since": uptime, "answers": answers.all, "servfail": answers.servfail}
        )

    def _answers(self) -> Answers:
        try:
            sums = worker_counters.totals(self._places)
        except ResolverError as error:
            say.warning("%s: whether answers fail is not known", error)
            return Answers()
        return Answers(sum(sums.get(name, 0) for name in _ANSWERS), sums.get("answered_servfail", 0))

    def fares(self, source: ListSource, held: Held | None, uptime: float, now: float) -> Fares:
        """Of this host, for the others."""
        known = self._soaking.lists.get(source.name, ())
        ran = tuple(Ran(one.version, one.state, max(uptime - one.since, 0.0)) for one in known)
        stops = [*self._of_versions(known), *_of_guards(held), *self._of_bypass(source.name, now)]
        return Fares(self._config.host_name, self._config.stage_of(source), ran, tuple(stops))

    def _of_versions(self, known: tuple[Version, ...]) -> list[Stop]:
        most = self._config.stages.shadow
        return [
            *(Stop(one.state, f"{one.failed:.0%} of its answers are SERVFAIL") for one in known if one.failed),
            *(
                Stop(one.state, f"one addition would have stopped {one.shadow:.1%} of its clients")
                for one in known
                if one.shadow > most
            ),
        ]

    def _of_bypass(self, name: str, now: float) -> list[Stop]:
        try:
            live = exceptions.read(self._places.exceptions)
        except ResolverError:
            return []  # an alarm by itself
        return [Stop("", "the list is bypassed there")] if live.all(now) or name in live.lists(now) else []


def soak_of(config: Config, source: ListSource, wave: str | None) -> float:
    """Seconds that a version has to run on a wave before the next one follows."""
    seconds = {"canary": config.stages.canary, "wave-1": config.stages.wave_1}.get(wave or "", 0.0)
    return min(seconds, URGENT) if source.urgent else seconds


def _of_guards(held: Held | None) -> list[Stop]:
    kinds = [] if held is None else [one.kind for one in held.reasons if one.kind not in (STAGE, WATCHED)]
    return [Stop(held.state, f"held there: {', '.join(kinds)}")] if held is not None and kinds else []


def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
