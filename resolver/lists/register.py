"""The register: every list of this host, what of it is applied, held or refused, and what the workers should have.

Enters: candidates, refusals, a person's words. Leaves: the live generation, leaves in the log, `status`. All methods
block and are called from one thread: that thread is the order in which things happen, and no lock is needed.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blocklists.document import MAX_SIZE
from blocklists.document import read as read_entries
from blocklists.errors import VerifyError
from resolver._core import CoreError
from resolver.base.errors import ResolverError, why
from resolver.base.journal import about
from resolver.base.stored import StateError, load, store
from resolver.base.timestamps import as_text, as_time
from resolver.ipc import list_confirmations
from resolver.ipc import shadow_sketches as sketches
from resolver.lists import activate, decisions, fetch, report
from resolver.lists.admit import admit
from resolver.lists.appeals import AppealsHere
from resolver.lists.compile import is_stale, plan
from resolver.lists.everywhere import Everywhere, WordError
from resolver.lists.guard import some
from resolver.lists.ledger import Event, Ledger, LedgerError
from resolver.lists.people import People
from resolver.lists.protected import Watched, watched
from resolver.lists.restore import restored
from resolver.lists.shadow import URGENT, Shadow
from resolver.lists.state import Applied, Fetching, Held, Reason, Refusal, load_applied, store_applied
from resolver.stats.collect import Counting

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.config.schema import Config, ListSource
    from resolver.lists.fetch import Candidate

say = logging.getLogger("stopsign.lists")

NOT_REFUSALS = frozenset({"unreachable", "missing", "deadline", "storage"})
"""Nothing came, so nothing was refused: an alarm, but no leaf every time a mirror is away."""
CONFIRMED_EVERY = 600.0
FIRST_RETRY, LAST_RETRY = 5.0, 600.0
TRAFFIC = "traffic"
BACK = 300.0  # seconds that a clock may be set back, as NTP does at a start, without a word


class ApprovalError(ResolverError):
    """What a person wanted to let through is not what is held, or cannot be let through."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a refresh came to: `active`, `unchanged`, `held` or `refused`; `held` may have applied removals."""

    name: str
    kind: str
    reason: str = ""
    text: str = ""
    version: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "list": self.name,
            "outcome": self.kind,
            "reason": self.reason,
            "text": self.text,
            "version": self.version,
        }


class Register:
    """See the module."""

    def __init__(self, config: Config, ledger: Ledger, clock: Callable[[], float]) -> None:
        self.config, self.places = config, config.places
        self.ledger, self._clock = ledger, clock
        self._watched: Watched = watched(config)
        self.applied: dict[str, Applied] = {}
        self.fetching: dict[str, Fetching] = {}
        self._written: dict[str, Fetching] = {}
        self._unwritten: set[str] = set()  # lists whose state the disk did not take
        self._told: dict[str, Any] = {}
        self._judged: dict[str, str] = {}
        self._live: activate.Live | None = None
        """What is live and durable; None: not known, or not so."""
        self.generation, self.compiled = 0, ""
        self.order: list[str] = []
        self._newest = 0.0
        """Latest timestamp ever seen; detects a clock that was set back."""
        self._retry_at, self._patience = 0.0, FIRST_RETRY
        self.alarms: dict[str, str] = {}
        self.guarded: Counter[tuple[str, str]] = Counter()  # (list, guard), since the start
        self.refused: Counter[tuple[str, str]] = Counter()  # (list, reason), likewise
        self._shadow = Shadow(self.places)
        self.people = People(self.places, ledger, clock, self._alarm)
        self.everywhere = Everywhere(config, ledger, clock, self._alarm)
        self.appeals = AppealsHere(
            config, ledger, clock, self._alarm, self.settle, lambda: (self.applied, self.order), self.everywhere
        )
        self._counting = Counting(self.places, ledger.append)

    # -- start

    def open(self) -> None:
        """Read what is stored, and make live what should be: the same way whatever happened before."""
        for source in self.config.lists:
            where = self.places.list(source.name)
            if (applied := self._load_applied(source.name)) is not None:
                self.applied[source.name] = applied
            try:
                self.fetching[source.name] = load(where.state, Fetching) or Fetching()
            except StateError as error:
                say.warning("%s; it is learnt again", error)
                self.fetching[source.name] = Fetching()
        self._look_at_the_clock()
        self._watch_anew()
        self.people.open()
        self.everywhere.open()
        self.appeals.open()
        told = {"lists": [source.name for source in self.config.lists], "configuration": self.config.digest}
        self._tell([Event("start", "", told)])
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
        say.warning("list %s: version %d is taken up again from the generation that names it", name, applied.version)
        return applied

    # -- an update

    def take(self, candidate: Candidate, *, approved_by: str | None = None, seen: bool = False) -> Outcome:
        """A proven list: judge it, apply what may be applied, make it live. `seen`: its additions were watched."""
        name, now = candidate.name, self._clock()
        source = self._source(name)
        known = self.fetching.get(name, Fetching())
        if candidate.trouble is not None:
            self.refuse(name, candidate.trouble)
            known = self.fetching[name]
        elif approved_by is None:
            if known.refusal is not None:
                text = "list %s is good again, after %s since %s"
                say.warning(text, name, known.refusal.code, known.refusal.since, extra=about(list=name))
            known = known.model_copy(update={"fresh": now, "refusal": None})
        known = known.model_copy(update={"lapses": candidate.lapses})
        refused = candidate.relief_refused
        self._alarm(f"relief {name}", refused and f"the newest withdrawals of list {name} are not applied: {refused}")
        left = candidate.left_out
        self._alarm(f"left out {name}", left and f"of the file of list {name} nobody can approve, so left out: {left}")
        waiting = known.held if known.held is not None and known.held.state == candidate.state else None
        stopped = waiting is not None and any(reason.kind == TRAFFIC for reason in waiting.reasons)
        if approved_by is None and not seen and (self._judged.get(name) == candidate.mark or stopped):
            self._remember(name, known)
            self.settle()
            return self._outcome(name, known, "unchanged")
        admission = admit(
            candidate,
            self.applied.get(name),
            source,
            self.places.list(name),
            self._watched,
            # what is held waits for a person, not for a rolling window to pass
            now=now if waiting is None or approved_by else as_time(waiting.since),
            approved_by=approved_by,
            watch=0.0 if seen else self._watch_for(source),
        )
        if admission.events and (waiting is None or seen):
            self._tell(admission.events)
        changed = admission.applied is not None and admission.applied != self.applied.get(name)
        if changed and admission.applied is not None:
            beside = admission.held.document if admission.held else None
            store_applied(self.places.list(name), admission.applied, beside=beside)
            self.applied[name] = admission.applied
            self._alarm(f"applied {name}", None)
        held = admission.held
        if held is not None and (waiting is None or seen):
            self.guarded.update((name, reason.kind) for reason in held.reasons)
            self._say_held(source, held, known.model_copy(update={"held": held}))
        if held is not None and waiting is not None:
            held = held.model_copy(update={"since": waiting.since})
        if held is not None and held.until is not None:
            held = held.model_copy(update={"until": now + self._watch_for(source)})
        known = known.model_copy(update={"held": held})
        self._remember(name, known)
        self._judged[name] = candidate.mark
        self.settle()
        return self._outcome(name, known, "active" if changed else "unchanged")

    def _say_held(self, source: ListSource, held: Held, known: Fetching) -> None:
        reasons = "; ".join(reason.text for reason in held.reasons)
        what = f"{held.added:,} additions of version {held.version} of list {source.name} are held: {reasons}"
        first = report.nothing_yet(source, known) if source.name not in self.applied else None
        say.warning("%s", first or what, extra=about(list=source.name, version=held.version))

    def _watch_anew(self) -> None:
        """What was seen lay in memory: a steward that starts watches from the start."""
        for source in self.config.lists:
            known = self.fetching[source.name]
            if known.held is not None and known.held.until is not None:
                until = self._clock() + self._watch_for(source)
                held = known.held.model_copy(update={"until": until})
                self.fetching[source.name] = known.model_copy(update={"held": held})

    def _watch_for(self, source: ListSource) -> float:
        """Seconds for which a list's additions are watched before they act."""
        watch = self.config.guards.shadow.watch
        return min(watch, URGENT) if source.urgent else watch

    def _watch(self) -> None:
        """Additions whose time under watch is over act, or wait for a person."""
        now = self._clock()
        watching = {
            sketches.watch_id(name, known.held.document)
            for name, known in self.fetching.items()
            if known.held is not None and known.held.document is not None
        }
        self._shadow.look(watching)
        for source in self.config.lists:
            known = self.fetching.get(source.name, Fetching())
            held = known.held
            if held is None or held.until is None or held.document is None or now < held.until:
                continue
            watch, share = sketches.watch_id(source.name, held.document), self.config.guards.shadow.share
            found = self._shadow.too_much(watch, share)
            if found:
                document = self.places.list(source.name).applied / held.document
                names = {entry.reference: entry.name for entry in read_entries(document, size=MAX_SIZE)}
                most = sorted(found.items(), key=lambda item: -item[1])
                shown = some([f"{names.get(ref, ref)} would stop {part:.1%} of all clients" for ref, part in most])
                self.guarded[source.name, TRAFFIC] += 1
                reason = Reason(kind=TRAFFIC, text=shown, approvable=True)
                held = held.model_copy(update={"reasons": (reason,), "until": None, "document": None})
                self._remember(source.name, known.model_copy(update={"held": held}))
                self._tell(
                    [Event("list-held", f"{source.name}/{held.version}", {"list": source.name, "reasons": [shown]})]
                )
                self.settle()
                continue
            candidate = fetch.stored(source, self.places.list(source.name))
            if candidate is not None and candidate.state == held.state:
                self.take(candidate, approved_by=None, seen=True)

    def refuse(self, name: str, error: VerifyError) -> Outcome:
        """A refresh brought nothing that can be trusted: the last good list goes on."""
        known, now = self.fetching.get(name, Fetching()), self._clock()
        before = known.refusal
        self.refused[name, error.reason] += 1
        same = before is not None and before.code == error.reason
        refusal = Refusal(
            code=error.reason,
            text=str(error),
            since=before.since if before and same else as_text(now),
            times=before.times + 1 if before and same else 1,
        )
        if not same:
            extra = about(list=name, reason=error.reason)
            say.error("list %s is refused: %s: %s", name, error.reason, error, extra=extra)
            if error.reason not in NOT_REFUSALS:
                detail = {"list": name, "reason": error.reason, "text": str(error)}
                self._tell([Event("list-refused", name, detail)])
        self._remember(name, known.model_copy(update={"refusal": refusal}))
        self._relieve(name)
        return Outcome(name, "refused", error.reason, str(error))

    def _relieve(self, name: str) -> None:
        """Suspensions that arrived beside a version that was refused."""
        applied = self.applied.get(name)
        try:
            relief = fetch.stored_relief(self.places.list(name))
        except VerifyError as error:
            say.error("%s", error)
            return
        if applied is None or relief is None or relief.suspended.keys() <= applied.suspended.keys():
            return
        suspended = {**applied.suspended, **fetch.suspensions(relief)}
        self.applied[name] = applied.model_copy(update={"suspended": suspended, "relief": relief.version})
        store_applied(self.places.list(name), self.applied[name])
        self.settle()

    def approve(self, name: str, version: int, state: str, by: str) -> Outcome:
        """Let held additions through: exactly those that the person has seen, by version and hash."""
        source = self._source(name)
        held = self.fetching.get(name, Fetching()).held
        if held is None:
            raise ApprovalError(f"nothing of list {name} is held", hint="stopsign lists status")
        given = state.removeprefix("sha256:")
        if held.version != version or len(given) < 8 or not held.state.removeprefix("sha256:").startswith(given):
            what = f"version {held.version}, {held.state}"
            raise ApprovalError(f"what is held of list {name} is {what}, not version {version}, {state}")
        if not held.approvable:
            reasons = "; ".join(reason.text for reason in held.reasons if not reason.approvable)
            raise ApprovalError(f"nobody can approve this: {reasons}", hint="the issuer has to publish another version")
        candidate = fetch.stored(source, self.places.list(name))
        if candidate is None or candidate.state != held.state:
            raise ApprovalError(f"version {version} of list {name} is no longer here", hint="stopsign lists refresh")
        self.ledger.append(
            [
                Event(
                    "list-approved",
                    f"{name}/{version}",
                    {"list": name, "version": version, "state": held.state, "added": held.added,
                     "reasons": [reason.kind for reason in held.reasons]},
                )
            ]
        )  # fmt: skip
        extra = about(list=name, version=version, person=by)
        say.warning("version %d of list %s is approved by %s", version, name, by, extra=extra)
        return self.take(candidate, approved_by=by)

    # -- making it live

    def settle(self) -> None:
        """Make live what should be live now. What cannot be done is an alarm; what was live goes on."""
        now = self._clock()
        try:
            planned = plan(self.config, self.applied, self.fetching, self.appeals.suspended, now=now)
            done = activate.bring_up(planned, self.places, self.ledger, now=now, live=self._live)
        except (LedgerError, CoreError, OSError) as error:
            self._live = None
            self._alarm("activation", f"the new generation is not active: {why(error)}")
            self._wait(now)
            return
        self._alarm("activation", done.trouble and f"active, but not for after a reboot: {done.trouble}")
        self._live = None if done.trouble else done.live
        if done.trouble:
            self._wait(now)
        else:
            self._patience = FIRST_RETRY
        self.generation, self.compiled = done.live.generation, done.live.compiled
        self.order = [part.name for part in done.live.lists]
        if done.changed:
            extra = about(generation=done.live.generation, entries=planned.entries)
            say.info("generation %d is live: %d entries", done.live.generation, planned.entries, extra=extra)

    def _wait(self, now: float) -> None:
        """Compiling a million entries against a full disk every few seconds would help nobody."""
        self._retry_at, self._patience = now + self._patience, min(self._patience * 2, LAST_RETRY)

    def tick(self) -> None:
        """What time alone brings: a list gone stale, an override ended, the switch thrown, an hour gone by."""
        self._look_at_the_clock()
        if self._live is not None or self._clock() >= self._retry_at:
            self.settle()
        self._watch()
        for name in tuple(self._unwritten):
            self._remember(name, self.fetching[name])
        self.appeals.tick()
        self.people.write_again()
        self.people.note_bypass()
        self.ledger.heartbeat({"generation": self.generation})
        self._alarm("log", self.ledger.trouble)
        self._alarm("counts", self._counting.tick(self._clock(), self._entries))

    def _look_at_the_clock(self) -> None:
        """A clock far in the past lets nothing lapse or expire. What it is measured by is remembered: whatever is
        written meanwhile bears the wrong time."""
        now, written = self._clock(), [known.fresh for known in self.fetching.values()]
        self._newest = max([self._newest, *written, *([as_time(self.compiled)] if self.compiled else [])])
        if now >= self._newest - BACK:
            self._alarm("clock", None)
        elif "clock" not in self.alarms:  # once: its text has the time
            at, last = as_text(now), as_text(self._newest)
            self._alarm(
                "clock", f"the clock went back to {at}, before {last}, when the steward last wrote: see timedatectl"
            )

    def looked(self, *, gone: bool) -> None:
        """A name of the lists was asked for at the upstream."""
        self._counting.looked(self._clock(), gone=gone)

    def close(self) -> None:
        """What was counted until now is kept."""
        self._counting.close(self._clock())

    def _entries(self) -> dict[str, int]:
        return {name: applied.entries for name, applied in self.applied.items()}

    def publish_lists(self) -> None:
        """`run_dir/lists.json`: when each list was last confirmed, for the stop page; and the decisions on appeals."""
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
        if told == self._told:
            return
        try:
            list_confirmations.write(self.places, told)
            self.appeals.decided_by_issuers(decisions.publish(self.places, told))
        except OSError as error:
            say.warning("%s cannot be written (%s)", self.places.lists, error.strerror)
        else:
            self._told = told

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
            (self.people if word.kind in ("override", "bypass") else self.appeals).follow(word)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WordError(f"{word.origin} says something that this version does not know ({error})") from error
        self.everywhere.heard(word)
        return True

    def _outcome(self, name: str, known: Fetching, kind: str) -> Outcome:
        version = self.applied[name].version if name in self.applied else None
        if known.held is None:
            return Outcome(name, kind, version=version)
        reasons = known.held.reasons
        return Outcome(name, "held", reasons[0].kind, "; ".join(reason.text for reason in reasons), known.held.version)

    def _source(self, name: str) -> ListSource:
        source = self.config.list_named(name)
        if source is None:
            names = ", ".join(source.name for source in self.config.lists) or "none"
            raise ResolverError(f"there is no list {name!r}", hint=f"there are: {names}")
        return source

    def _remember(self, name: str, known: Fetching) -> None:
        """On disk where it says something new; that a list was confirmed once more is written every ten minutes."""
        before, self.fetching[name] = self._written.get(name), known
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

    def _tell(self, events: tuple[Event, ...] | list[Event]) -> bool:
        """Leaves about what adds nothing: a log that is out of order is an alarm and stops nothing."""
        try:
            self.ledger.append(list(events))
        except LedgerError as error:
            self._alarm("log", str(error))
            return False
        return True

    def _alarm(self, about_what: str, what: str | None) -> None:
        if what is None:
            self.alarms.pop(about_what, None)
        elif self.alarms.get(about_what) != what:
            self.alarms[about_what] = what
            say.error("%s", what, extra=about(alarm=about_what))


def _says_the_same(known: Fetching, before: Fetching) -> bool:
    return (known.held, known.refusal, known.lapses) == (before.held, before.refusal, before.lapses)
