"""The register: every list of this host, and who carries out what `decide` decides about it.

Enters: candidates, refusals, a person's words, the passing of time. Leaves: the live generation, leaves in the log,
`status`. All methods block and are called from one thread: that thread is the order in which things happen, and no lock
is needed.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from blocklists.errors import BlocklistError, VerifyError, why
from resolver._core import CoreError
from resolver.base.errors import ResolverError
from resolver.base.journal import about
from resolver.base.stored import StateError, load, store
from resolver.base.timestamps import as_text, as_time
from resolver.ipc import issuer_decisions, list_confirmations
from resolver.ipc import shadow_sketches as sketches
from resolver.lists import decide as deciding
from resolver.lists import decisions, fetch, report
from resolver.lists.admit import admit
from resolver.lists.appeals import AppealsHere
from resolver.lists.compile import is_stale, plan
from resolver.lists.decide import (
    Alarm,
    Append,
    Approved,
    Count,
    Evaluated,
    ListState,
    Note,
    Offered,
    Outcome,
    Refused,
    Relieved,
    Remember,
    Say,
    Settle,
    Started,
    Store,
    Turned,
    decide,
)  # fmt: skip
from resolver.lists.everywhere import Everywhere, WordError
from resolver.lists.ledger import Event, LedgerError
from resolver.lists.overdue import Away
from resolver.lists.people import People
from resolver.lists.protected import ProtectedNames, protected_names
from resolver.lists.questions import Questions
from resolver.lists.restore import damage_of, restored, whole_again
from resolver.lists.settle import Settling
from resolver.lists.shadow import URGENT, Shadow, complaint
from resolver.lists.state import Applied, Fetching, load_applied, store_applied
from resolver.lists.suspensions import Suspensions, of_overrides
from resolver.lists.waves import Waves
from resolver.policy import seals
from resolver.stats.collect import Counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from resolver.config.schema import Config
    from resolver.config.schema_lists import ListSource
    from resolver.lists.admit import Admission
    from resolver.lists.compile import Off, Plan
    from resolver.lists.everywhere import Word
    from resolver.lists.fetch import Candidate
    from resolver.lists.ledger import Ledger

say = logging.getLogger("stopsign.lists")

CONFIRMED_EVERY = 600.0
BACK = 300.0  # seconds that a clock may be set back, as NTP does at a start, without a word


class Register:
    """See the module."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        clock: Callable[[], float],
        uptime: Callable[[], float] = time.monotonic,
        pace: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`pace`: why the clock is not believed now (`Pace.look`)."""
        self._pace = pace
        self.config, self.places = config, config.places
        self.ledger, self._clock = ledger, clock
        self._protected: ProtectedNames = protected_names(config)
        self._lists = {source.name: ListState(source.name, self._shadow_of(source)) for source in config.lists}
        self._written: dict[str, Fetching] = {}
        self._unwritten: set[str] = set()  # lists whose `state.json` the disk did not take
        self._damaged: dict[str, str] = {}  # lists whose active document is damaged for good, and how
        self._unstored: set[str] = set()  # lists whose `head.json` it did not take
        self._newest = 0.0
        """Latest timestamp ever seen; detects a clock that was set back."""
        self.alarms: dict[str, str] = {}
        self.guarded: Counter[tuple[str, str]] = Counter()  # (list, guard), since the start
        self.refused: Counter[tuple[str, str]] = Counter()  # (list, reason), likewise
        self._shadow = Shadow(self.places)
        self._settling = Settling(self.places, ledger, self._alarm, uptime)
        self.everywhere = Everywhere(config, ledger, clock, self._alarm)
        self.waves = Waves(config, ledger, clock, uptime, self._alarm)
        self.appeals = AppealsHere(
            config, ledger, clock, self._alarm, self.settle, lambda: (self.applied, self._away()), self.everywhere
        )
        sealed = self.questions = Questions(config, ledger, clock, os.urandom, self._sealed, self.appeals.sealed_entry)
        self.people = People(self.places, ledger, clock, self._alarm, sealed, self.settle)
        self._counting = Counting(self.places, ledger.append, self._sealed, uptime)

    @property
    def applied(self) -> dict[str, Applied]:
        """What may be active, by list."""
        return {name: state.applied for name, state in self._lists.items() if state.applied is not None}

    @property
    def fetching(self) -> dict[str, Fetching]:
        """What is known about fetching, by list."""
        return {name: state.known for name, state in self._lists.items()}

    @property
    def generation(self) -> int:
        return self._settling.generation

    @property
    def compiled(self) -> str:
        """When the live generation was."""
        return self._settling.compiled

    # -- start

    def open(self) -> None:
        """Read what is stored, and make live what should be: the same way whatever happened before."""
        for name, state in self._lists.items():
            try:
                known = load(self.places.list(name).state, Fetching) or Fetching()
            except StateError as error:
                say.warning("%s; it is learnt again", error)
                known = Fetching()
            read = replace(state, applied=self._load_applied(name), known=known)
            self._lists[name], _ = decide(read, Started(), self._clock())
        self._look_at_the_clock()
        self.people.open()
        self.questions.open()
        self.everywhere.open()
        self.waves.soak.open()
        self.appeals.open()
        told = {"lists": [source.name for source in self.config.lists], "configuration": self.config.digest}
        self.ledger.note([Event("start", "", told)], self._alarm)
        self.settle()
        self.publish_lists()

    def _load_applied(self, name: str) -> Applied | None:
        where = self.places.list(name)
        try:
            return load_applied(where)
        except StateError as error:
            say.error("%s", error)
        try:
            applied = restored(self._source(name), self.places)
            store_applied(where, applied)
        except (StateError, VerifyError, OSError) as error:
            self._alarm(f"applied {name}", f"nothing of list {name} is active: {why(error)}")
            return None
        text = "list %s: version %d is restored from the generation that names it"
        say.warning(text, name, applied.version)
        return applied

    # -- an update

    def take(
        self, candidate: Candidate, *, approved_by: str | None = None, seen: bool = False, reached: bool = False
    ) -> Outcome:
        """A proven list: judge it, apply what may be applied, make it live. `seen`: its additions have been through
        shadow evaluation. `reached`: they wait for no wave. Raises as `admit`, and then leaves
        everything as it was."""
        before, now, source = self._state(candidate.name), self._clock(), self._source(candidate.name)
        offer = Offered(candidate, approved_by, seen, reached)
        if deciding.needs_judgement(before, offer):
            try:
                admission = self._judged(before, offer, source, now)
            except VerifyError as error:
                if not self.whole_again(self._lists):
                    raise self._damage(candidate.name, error) from error
                admission = self._judged(before, offer, source, now)
            offer = replace(offer, admission=admission)
        after = self._carry_out(before, offer, now)
        if candidate.name in self._damaged:
            return Outcome(candidate.name, "refused", "storage", self._damaged[candidate.name])
        return deciding.outcome(before, after)

    def _judged(self, before: ListState, offer: Offered, source: ListSource, now: float) -> Admission:
        waiting, still = before.waiting(offer.candidate), deciding.still(before, offer)
        return admit(
            offer.candidate,
            before.applied,
            source,
            self.places.list(source.name),
            self._protected,
            now=now,
            judged_at=deciding.judged_at(before, offer, now),
            approved_by=offer.by or (waiting.approved_by if waiting else None),
            watch=deciding.watch(before, offer, now),
            sealed_key=seals.key_file(self.config),
            waits=None if offer.reached else still or self.waves.waits(source),
        )

    def whole_again(self, lists: Iterable[str]) -> bool:
        """Make documents of these lists again that are damaged here; whether there were such. What nothing else has is
        an alarm."""
        found = False
        for name in tuple(lists):
            state, trouble = self._lists[name], None
            applied, held = state.applied, state.known.held
            try:
                if applied is not None and whole_again(self._source(name), self.places, applied):
                    say.warning("the document of list %s was damaged, and is made again", name)
                    found = True
            except VerifyError:  # it cannot be read for now: what is known of it stays so
                continue
            except (StateError, OSError) as error:
                trouble = f"{why(error)}: restore it from a backup (docs/alarms.md says what to do without one)"
            self._alarm(f"document {name}", trouble)
            if trouble is None:
                self._damaged.pop(name, None)
            else:
                self._damaged[name] = trouble
            if held is not None and held.document is not None:
                where = self.places.list(name).applied / held.document
                with suppress(VerifyError):  # what cannot be read for now stays
                    if damage_of(where) is not None:
                        where.unlink(missing_ok=True)  # nothing waits for it; with the next refresh it is written again
                        self._lists[name], found = replace(state, judged=""), True
        return found

    def _damage(self, name: str, error: VerifyError) -> VerifyError:
        """What refuses a version: that the document is damaged here with which it was compared, or the version."""
        damage = self._damaged.get(name)
        return error if damage is None else VerifyError("storage", damage)

    def refuse(self, name: str, error: VerifyError) -> Outcome:
        """A refresh brought nothing that can be trusted: the last good list goes on, less what is withdrawn since."""
        text = f"{error} ({error.hint})" if error.hint else str(error)
        self._carry_out(self._state(name), Refused(error.reason, text), self._clock())
        proven = fetch.stored_withdrawals(self.places.list(name))
        for damage in proven.damaged:
            say.error("%s", damage)
        state = self._state(name)
        if state.applied is not None:
            relief = state.applied.relief if proven.relief is None else proven.relief
            self._carry_out(state, Relieved(relief, proven.suspended), self._clock())
        return Outcome(name, "refused", error.reason, text)

    def approve(self, name: str, version: int, state: str, by: str, *, now: bool = False) -> Outcome:
        """Let held additions through: exactly those that the person has seen, by version and hash. `now`: also past the
        waves; else they act when those before this one are well."""
        source, before, event = self._source(name), self._state(name), Approved(version, state, by, now)
        decide(before, event, self._clock())  # raises before anything is read
        candidate = fetch.stored(source, self.places.list(name))
        if candidate is None or before.waiting(candidate) is None:
            what = f"version {version} of list {name} is no longer here"
            raise deciding.ApprovalError(what, hint="stopsign lists refresh")
        self._carry_out(before, event, self._clock())
        return self.take(candidate, approved_by=by, reached=now)

    def turn(self) -> None:
        """Additions that wait for a wave act, or it is said what stops them. What cannot be done is tried again."""
        self.waves.look(self._settling.running)
        verdicts = self.waves.turn(self.fetching)
        for name in self._lists:
            self._tried("wave", name, self._turned if name in verdicts else None)

    def _tried(self, by: str, name: str, step: Callable[[str], None] | None) -> None:
        """Do what lets additions to a list through, where there is something to do. What cannot be done is an alarm,
        and is tried again with the next tick."""
        trouble = None
        try:
            if step is not None:
                step(name)
        except (BlocklistError, LedgerError, CoreError, OSError) as error:
            trouble = f"list {name}: additions that are let through are not active: {why(error)}"
        self._alarm(f"{by} {name}", trouble)

    def _turned(self, name: str) -> None:
        before, verdict = self._state(name), self.waves.verdicts[name]
        held, candidate = before.known.held, None
        if verdict.kind == "reached":
            candidate = fetch.stored(self._source(before.name), self.places.list(before.name))
            if candidate is None or before.waiting(candidate) is None:
                return  # a newer version is here, and about to be judged
        self._carry_out(before, Turned(verdict), self._clock())
        if candidate is not None and held is not None:
            self.take(candidate, approved_by=held.approved_by, seen=True, reached=True)

    def hear(self, notes: list[str]) -> int:
        """Notes of other hosts about their stages, and what follows from them; how many count for nothing."""
        unknown = self.waves.hear(notes)
        self.turn()
        return unknown

    def _end_shadow(self) -> None:
        """Additions whose shadow evaluation is over act, or wait for a person."""
        held = {name: known.held for name, known in self.fetching.items() if known.held is not None}
        documents = {name: one.document for name, one in held.items() if one.document is not None}
        self._shadow.look({name: sketches.evaluation_id(name, document) for name, document in documents.items()})
        over = {name for name in documents if (until := held[name].until) is not None and until <= self._clock()}
        for name in self._lists:
            self._tried("shadow", name, self._evaluated if name in over else None)

    def _evaluated(self, name: str) -> None:
        where, before = self.places.list(name), self._state(name)
        held = before.known.held
        if held is None or held.document is None:
            return
        document = where.applied / held.document
        met = self._shadow.met(name, document)
        self.waves.soak.evaluated(name, held.state, max(met.values(), default=0.0))
        text = complaint(met, self.config.guards.shadow.share, None if held.seal else document)
        if text is not None:
            self._carry_out(before, Evaluated(text), self._clock())
            return
        candidate = fetch.stored(self._source(name), where)
        if candidate is not None and before.waiting(candidate) is not None:
            self.take(candidate, seen=True)

    def _shadow_of(self, source: ListSource) -> float:
        """Seconds of shadow evaluation of a list's additions."""
        watch = self.config.guards.shadow.watch
        return min(watch, URGENT) if source.urgent else watch

    # -- what was decided is done

    def _carry_out(self, before: ListState, event: deciding.Event, now: float) -> ListState:
        after, effects = decide(before, event, now)
        for effect in effects:
            self._do(effect, after)
        return after

    def _do(self, effect: deciding.Effect, after: ListState) -> None:
        name = after.name
        match effect:
            case Say():
                level = logging.ERROR if effect.is_error else logging.WARNING
                say.log(level, "%s", effect.text, extra=about(**effect.fields))
            case Alarm():
                self._alarm(effect.about, effect.text)
            case Note():
                self.ledger.note(effect.leaves, self._alarm)
            case Append():
                self.ledger.append([effect.leaf])
            case Count():
                counter = self.guarded if effect.of == "guarded" else self.refused
                counter.update((name, reason) for reason in effect.reasons)
            case Store():
                self._store(after, is_needed=effect.is_needed)
            case Remember():
                self._lists[name] = after
                self._remember(name, after.known)
            case Settle():
                self.settle()

    def _store(self, state: ListState, *, is_needed: bool) -> None:
        name, held = state.name, state.known.held
        if state.applied is None:
            return
        try:
            # what is in shadow evaluation stays beside
            store_applied(self.places.list(name), state.applied, beside=held.document if held else None)
        except OSError as error:
            if is_needed:
                raise
            self._unstored.add(name)
            self._alarm(f"stored {name}", f"{self.places.list(name).applied} cannot be written ({error.strerror})")
        else:
            self._unstored.discard(name)
            self._alarm(f"stored {name}", None)

    def _remember(self, name: str, known: Fetching) -> None:
        """On disk where it says something new; that a list was confirmed once more is written every ten minutes."""
        before = self._written.get(name)
        if before is not None and known.fresh - before.fresh < CONFIRMED_EVERY and _says_the_same(known, before):
            return
        try:
            store(self.places.list(name).state, known)
        except OSError as error:
            self._unwritten.add(name)
            self._alarm("state", f"{self.places.state_dir} cannot be written ({error.strerror})")
        else:
            self._written[name] = known
            self._unwritten.discard(name)
            if not self._unwritten:
                self._alarm("state", None)

    def settle(self) -> None:
        """Make live what should be live now. What cannot be done is an alarm; what was live goes on."""
        now = self._clock()

        def make_plan(kept: Mapping[str, Off] | None) -> Plan:
            return plan(self.config, self.applied, self.fetching, self._suspended(), kept, now=now)

        if not self._settling.settle(make_plan, now) and self.whole_again(self._lists):
            self._settling.settle(make_plan, now)
        self.waves.look(self._settling.running)

    def _away(self) -> Away:
        lists = frozenset(source.name for source in self.config.lists if source.name not in self.applied)
        off = frozenset(reference for of_list in self._settling.off.values() for reference in of_list.here)
        return Away(lists, off, self._settling.is_settled)

    def _suspended(self) -> Suspensions:
        return self.appeals.suspended.beside(of_overrides(self.people.holding()))

    # -- time

    def tick(self) -> None:
        """What time alone brings: a list gone stale, an override ended, the off switch used, an hour gone by. What
        cannot be undone waits while the clock is not believed."""
        self._look_at_the_clock()
        self._alarm("clock ahead", doubt := self._pace())
        self.whole_again(self._damaged)  # somebody may have restored it
        if self._settling.is_due():
            self.settle()
        if not (list_confirmations.is_there(self.places) and issuer_decisions.is_there(self.places)):
            self.publish_lists()  # somebody emptied `run_dir`
        if doubt is None:
            self._end_shadow()
        self.turn()
        for name in tuple(self._unwritten):
            self._remember(name, self._state(name).known)
        for name in tuple(self._unstored):
            self._store(self._state(name), is_needed=False)
        if doubt is None:
            self.appeals.tick()
        self.people.write_again()
        self.people.look_at_sealed()
        self.people.note_bypass(ends=doubt is None)
        self.ledger.heartbeat({"generation": self.generation})
        self._alarm("log", self.ledger.trouble)
        if doubt is None:
            self._alarm("counts", self._counting.tick(self._clock(), self._entries))

    def _look_at_the_clock(self) -> None:
        """A clock far in the past lets nothing lapse or expire. The latest time seen is kept in memory (`_newest`),
        because files written while the clock is wrong carry the wrong time."""
        now, written = self._clock(), [known.fresh for known in self.fetching.values()]
        self._newest = max([self._newest, *written, *([as_time(self.compiled)] if self.compiled else [])])
        if now >= self._newest - BACK:
            self._alarm("clock", None)
        elif "clock" not in self.alarms:  # once: its text has the time
            at, last = as_text(now), as_text(self._newest)
            self._alarm(
                "clock", f"the clock went back to {at}, before {last}, when the steward last wrote: see timedatectl"
            )

    def failed(self, reason: str | None) -> None:
        """What became of the last `tick`: why it broke off where nobody foresaw that; None: it did not."""
        self._alarm("tick", None if reason is None else f"what time brings is not all done: {reason}")

    def looked(self, *, gone: bool) -> None:
        """A name of the lists was asked for at the upstream."""
        self._counting.looked(self._clock(), gone=gone)

    def close(self) -> None:
        """What was counted until now is kept."""
        self._counting.close(self._clock(), self._entries)

    def _sealed(self) -> list[str]:
        return [name for name, applied in self.applied.items() if applied.seal is not None]

    def _entries(self) -> dict[str, int]:
        return {name: applied.entries for name, applied in self.applied.items()}

    def publish_lists(self) -> None:
        """`run_dir/lists.json`: when each list was last confirmed, for the stop page; and the decisions on appeals,
        which a relief may bring though its list is not confirmed."""
        now = self._clock()
        told = {
            source.name: {
                # to the minute, so that a look every few seconds does not write every few seconds
                "confirmed": as_text(known.fresh // 60 * 60) if known.fresh else None,
                "stale": is_stale(source, known, now),
            }
            for source in self.config.lists
            for known in [self.fetching.get(source.name, Fetching())]
        }
        decided = decisions.read(self.places, told)
        self.appeals.decided_by_issuers(decided)
        try:
            issuer_decisions.write(self.places, decided)
            list_confirmations.write(self.places, told)
        except OSError as error:
            say.warning("%s cannot be written (%s)", self.places.run_dir, why(error))

    def status(self) -> dict[str, Any]:
        """Everything about the lists, as `stopsign lists status --json` prints it."""
        return report.status(self, self._clock())

    def follow(self, proof: str) -> bool:
        """What another host says, where it is proved, new and not over; whether it was. Raises `ResolverError` where it
        cannot be followed yet."""
        word = self.everywhere.proved(proof)
        if word is None:
            return False
        try:
            if word.kind == "approval":
                self._follow_approval(word)
            else:
                (self.people if word.kind in ("override", "bypass") else self.appeals).follow(word)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WordError(f"{word.origin} says something that this version does not know ({error})") from error
        self.everywhere.heard(word)
        return True

    def _follow_approval(self, word: Word) -> None:
        """Additions that a person approved at another host. Raises `ResolverError` where this host has not fetched that
        version yet. One that it has no use for is passed over."""
        name, version = str(word.what["list"]), int(word.what["version"])
        if self.config.list_named(name) is None:
            return
        held, applied = self._state(name).known.held, self.applied.get(name)
        if held is not None and held.version == version:
            by, now = f"{word.what['by']} at {word.origin}", bool(word.what.get("now"))
            self.approve(name, version, str(word.what["state"]), by, now=now)
        elif max(held.version if held else 0, applied.version if applied else 0) < version:
            raise WordError(f"version {version} of list {name} has not been fetched yet")

    def _state(self, name: str) -> ListState:
        return self._lists[self._source(name).name]

    def _source(self, name: str) -> ListSource:
        source = self.config.list_named(name)
        if source is None:
            names = ", ".join(source.name for source in self.config.lists) or "none"
            raise ResolverError(f"there is no list {name!r}", hint=f"there are: {names}")
        return source

    def _alarm(self, about_what: str, what: str | None) -> None:
        if what is None:
            self.alarms.pop(about_what, None)
        elif self.alarms.get(about_what) != what:
            self.alarms[about_what] = what
            say.error("%s", what, extra=about(alarm=about_what))


def _says_the_same(known: Fetching, before: Fetching) -> bool:
    return (known.held, known.refusal, known.lapses) == (before.held, before.refusal, before.lapses)
