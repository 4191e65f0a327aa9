"""Appeals as the steward knows them: received, overdue, decided, and what that does to the entry.

Enters: what the web process reports, what the operator decides, what issuers decided in their signed relief, the time.
Leaves: leaves in the log; suspensions here. Rules:

- A reporter can say that an appeal came in, and can hand over the receipt's secret by which its author withdraws it; it
  can ask for proofs. It decides nothing, and nothing is overdue because it says so.
- A decision is the issuer's, in the verified relief of the list that the appeal is about, or the operator's own call.
- What unblocks works even when the log cannot be written; what blocks again waits for its leaf.
- One decision answers every appeal that it names, in one generation.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from blocklists.counted import counted
from blocklists.text import shown
from resolver.base.journal import about
from resolver.base.stored import StateError, Stored, load, store
from resolver.config.values import domain_name
from resolver.lists import suspensions
from resolver.lists.ledger import Event, Ledger, LedgerError
from resolver.lists.overdue import (
    DAY,
    Appeals,
    Decided,
    Listed,
    Settled,
    Waiting,
    came_due,
    release,
    settle,
    suspension,
)
from resolver.lists.reports import AppealError, Report, came_in, leaf_of, withdrawn
from resolver.lists.suspensions import Suspended
from resolver.policy import look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from resolver._core import CompiledList, Match
    from resolver.config.schema import Config
    from resolver.lists.everywhere import Everywhere, Word
    from resolver.lists.overdue import Away, Find
    from resolver.lists.state import Applied

say = logging.getLogger("stopsign.lists")

MOST_WAITING = 200_000
NEARLY_FULL = MOST_WAITING * 8 // 10
MOST_WITHDRAWN = 1_000  # within a day: what came in and is withdrawn leaves its place, and two leaves
MOST_REFUSED = 20  # reports within an hour; an honest web process has none refused
KEPT = 200 * 86400.0  # seconds that a decision is remembered, so that its proof can be asked for
LONGEST_MEND = 31 * 86400.0
WITHDRAWN, DROPPED = "withdrawn", "dropped"
"""Outcomes, in leaves, of an appeal that its author withdraws, and of one that the desk does not know."""
BEYOND = "more came due than guards.overdue lets open by itself in a day"


class AppealsHere:
    """Called from the register's thread alone. `applied` and `away`: the lists, as they are at each call; `make_live`:
    called once after each change of what is suspended."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        clock: Callable[[], float],
        alarm: Callable[[str, str | None], None],
        make_live: Callable[[], None],
        lists: Callable[[], tuple[Mapping[str, Applied], Away]],
        everywhere: Everywhere,
    ) -> None:
        self._config, self._places, self._ledger, self._clock = config, config.places, ledger, clock
        self._alarm, self._make_live, self._lists, self._everywhere = alarm, make_live, lists, everywhere
        self.known = Appeals()
        self.suspended = suspensions.Suspensions()
        self._unstored: set[str] = set()
        self.refused = 0
        self._refused: deque[float] = deque(maxlen=MOST_REFUSED + 1)

    def open(self) -> None:
        try:
            self.suspended = suspensions.read(self._places)
        except StateError as error:
            self._alarm("suspensions", f"{error}: entries with overdue appeals may be active again")
        try:
            self.known = load(self._places.appeals, Appeals) or Appeals()
        except StateError as error:
            self._alarm("appeals", f"{error}: the clocks of open appeals begin again")

    # -- what a reporter may say

    def reported(self, batch: Sequence[Report | AppealError]) -> list[int | AppealError]:
        """What the web process reports, each judged alone; for each the index of its leaf, or why it is refused. Leaves
        and state are written once for all that came in, and once for all that are withdrawn."""
        reports = {number: one for number, one in enumerate(batch) if isinstance(one, Report)}
        refused = {number: one for number, one in enumerate(batch) if isinstance(one, AppealError)}
        new, wrong = came_in(self.known, _of(reports, "received"), MOST_WAITING)
        self._received(new)
        refused |= wrong
        gone, wrong = withdrawn(self.known, _of(reports, "withdrawn"), MOST_WITHDRAWN - self._withdrawn())
        if gone:
            self._decide(gone, WITHDRAWN, {})
        refused |= wrong
        self.refused += len(refused)
        self._refused.extend(self._clock() for _ in refused)
        self._watch()
        leaves = {number: self._leaf_for(one) for number, one in reports.items() if number not in refused}
        return [refused.get(number) or leaves[number] for number in range(len(batch))]

    def _received(self, new: Mapping[str, Report]) -> None:
        if not new:
            return
        leaves = self._ledger.append(
            [Event("appeal-received", one.detail["reference"], one.detail) for one in new.values()]
        )
        now, waiting, decided = self._clock(), dict(self.known.waiting), dict(self.known.decided)
        for (appeal, one), leaf in zip(new.items(), leaves, strict=True):
            if (before := decided.get(appeal)) is not None:
                decided[appeal] = before.model_copy(update={"received": leaf})
                continue
            about = {key: one.detail[key] for key in ("reference", "name", "list", "ground")}
            waiting[appeal] = Waiting(**about, leaf=leaf, received=now, receipt=one.receipt)
        self._know(self.known.model_copy(update={"waiting": waiting, "decided": decided}))

    def _withdrawn(self) -> int:
        """Appeals that were withdrawn over the last day."""
        now = self._clock()
        return sum(one.outcome == WITHDRAWN and abs(now - one.at) < DAY for one in self.known.decided.values())

    def _leaf_for(self, one: Report) -> int | AppealError:
        if one.what == "received":
            leaf = leaf_of(self.known, one.appeal)
        else:
            leaf = self.known.decided[one.appeal].leaf if one.appeal in self.known.decided else None
        return AppealError(f"nothing was decided about {one.appeal} here") if leaf is None else leaf

    def _watch(self) -> None:
        """What a person has to look at. A web process that somebody has taken over reports what it likes."""
        held = len(self.known.held)
        entries = f"{counted(held, 'entry')} with overdue appeals {'is' if held == 1 else 'are'}"
        beyond = f"{entries} held for a person: {BEYOND}: stopsign appeals list --held"
        self._alarm("overdue", beyond if held else None)
        recent = sum(abs(self._clock() - moment) < 3600 for moment in self._refused)  # also one of a clock far ahead
        told = f"more than {MOST_REFUSED} reports of the web process were refused within an hour"
        self._alarm("reports", told if recent > MOST_REFUSED else None)
        waiting = len(self.known.waiting)
        full = f"{waiting:,} appeals wait, and {MOST_WAITING:,} have room: what comes in beyond has no clock"
        self._alarm("places", full if waiting >= NEARLY_FULL else None)
        gone = self._withdrawn()
        many = f"{gone:,} appeals were withdrawn within a day, and {MOST_WITHDRAWN:,} may be: those beyond stay open"
        self._alarm("withdrawn", many if gone >= MOST_WITHDRAWN * 8 // 10 else None)

    def fates(self, appeals: Iterable[str]) -> dict[str, str]:
        """What became of appeals that came due: `suspended`, `held`, `nothing`."""
        found = ((appeal, self.known.waiting.get(appeal)) for appeal in appeals)
        return {appeal: one.fate for appeal, one in found if one is not None and one.fate != "waiting"}

    # -- what the operator says

    def decide(
        self,
        appeals: Mapping[str, str],
        outcome: str,
        by: str,
        names: Mapping[str, str] = MappingProxyType({}),
        seconds: float = 0.0,
    ) -> dict[str, Any]:
        """A person's decision on appeals (id and reference). `upheld`: the block stays. `mended`: their entries, whose
        names `names` has by reference, and nothing else, are off for `seconds`; where the log takes no leaf the appeals
        stay open."""
        if outcome != "mended":
            leaf = self._decide(appeals, outcome, {"by": by})
            self._everywhere.say(
                "decision", next(iter(appeals)), {"appeals": dict(appeals), "outcome": outcome, "by": by}
            )
            return {"leaf": leaf, "mended": [], "trouble": None}
        entries = self._to_mend(appeals, names, seconds)
        told = self._mended(appeals, entries, {"by": by})
        for reference, entry in entries.items():
            say.warning(
                "the entry of %s on list %s is mended by %s",
                entry.name or reference,
                entry.list,
                by,
                extra=about(person=by),
            )
            of_entry = {appeal: ref for appeal, ref in appeals.items() if ref == reference}
            what = {"appeals": of_entry, "entry": entry.model_dump(), "by": by}
            self._everywhere.say("mend", reference, what, entry.until)
        return told

    def _to_mend(self, appeals: Mapping[str, str], names: Mapping[str, str], seconds: float) -> dict[str, Suspended]:
        if not 0 < seconds <= LONGEST_MEND:
            raise AppealError(f"a mend ends within {LONGEST_MEND / 86400:.0f} days", hint="--for 72h, said again later")
        now, find, entries = self._clock(), self._finder(appeals.values()), dict[str, Suspended]()
        for reference in dict.fromkeys(appeals.values()):
            before = self.suspended.entries.get(reference)
            name = names.get(reference, "")
            found = Listed(before.list, before.name, before.match, "") if before else find(reference, name)
            if found is None:
                raise AppealError(f"no active list holds an entry {reference}")
            entries[reference] = suspension(found, [], now, float(int(now + seconds)))
        return entries

    def _mended(
        self, appeals: Mapping[str, str], entries: Mapping[str, Suspended], more: Mapping[str, Any]
    ) -> dict[str, Any]:
        suspended = self.suspended
        for reference, entry in entries.items():
            suspended = suspended.mended(reference, entry)
        self._suspend(suspended, self.suspended)
        leaf, trouble = None, None
        try:
            leaf = self._decide(appeals, "mended", more)
        except LedgerError as error:  # what unblocks does not wait for the log
            trouble = str(error)
            self._alarm("log", trouble)
        return {"leaf": leaf, "mended": [entry.model_dump() for entry in entries.values()], "trouble": trouble}

    def drop(self, appeals: Iterable[str], by: str, reason: str) -> int:
        """Appeals that the desk does not know, as a web process that was taken over reports them, have no clock any
        more, and what they alone suspended is blocked again; how many. Nothing of them is kept but their leaves."""
        gone = {appeal: self.known.waiting[appeal].reference for appeal in appeals if appeal in self.known.waiting}
        if gone:
            self._decide(gone, DROPPED, {"by": by, "reason": reason})
            said = "%s dropped by %s, which the desk does not know: %s"
            say.warning(said, counted(len(gone), "appeal"), by, shown(reason), extra=about(person=by))
        return len(gone)

    def waiting_after(self, appeal: str, most: int) -> dict[str, float]:
        """The appeals that wait, in their order, and when each came in; those beyond `appeal`, `most` at most."""
        beyond = heapq.nsmallest(most, (one for one in self.known.waiting if one > appeal))
        return {one: self.known.waiting[one].received for one in beyond}

    def _decide(self, appeals: Mapping[str, str], outcome: str, more: Mapping[str, Any]) -> int:
        """Leaves, then what follows from them; the index of the first. Raises `LedgerError` before anything is done."""
        now = self._clock()
        about_all = {"outcome": outcome, "decided": int(now), **more}
        leaves = self._ledger.append(
            [Event("appeal-decided", ref, {"appeal": a, "reference": ref, **about_all}) for a, ref in appeals.items()]
        )
        suspended = self.suspended
        if outcome != "granted":  # the issuer's relief is on its way, and this holds until it is there
            for reference, group in _by_reference(appeals).items():
                suspended = suspended.decided(reference, group, now=now)
        decided = {
            a: Decided(reference=ref, outcome=outcome, leaf=leaf, at=now, received=leaf_of(self.known, a))
            for (a, ref), leaf in zip(appeals.items(), leaves, strict=True)
            if outcome != DROPPED
        }
        waiting = {a: one for a, one in self.known.waiting.items() if a not in appeals}
        open_still = {one.reference for one in waiting.values()}
        kept = {a: one for a, one in self.known.decided.items() if one.at > now - KEPT}
        self._know(self.known.model_copy(update={
            "waiting": waiting,
            "decided": {**kept, **decided},
            "held": {ref: since for ref, since in self.known.held.items() if ref in open_still},
        }))  # fmt: skip
        self._suspend(suspended, self.suspended)
        return leaves[0]

    def let_go(self, references: Iterable[str], by: str) -> list[str]:
        """A person lets entries be suspended that were held beyond the caps; those that are."""
        asked, (applied, away) = list(references), self._lists()
        settled = release(self.known, self.suspended, applied, self._finder(asked), asked, away=away, now=self._clock())
        self._settled(settled)
        done = sorted({self.known.waiting[a].reference for a, fate in settled.fates.items() if fate == "suspended"})
        entries = counted(len(done), "entry")
        say.warning("%s with overdue appeals suspended by %s", entries, by, extra=about(person=by))
        return done

    # -- what was said at other hosts

    def follow(self, word: Word) -> None:
        """A decision, a mend, or a suspension of another host, with leaves of our own. Raises `AppealError` where it
        cannot be followed yet, `LedgerError` where it would block and the log takes no leaf."""
        more = {"by": str(word.what.get("by", "")), "host": word.origin}
        appeals = {str(a): str(ref) for a, ref in word.what.get("appeals", {}).items() if a not in self.known.decided}
        if word.kind == "decision":
            if appeals:
                self._decide(appeals, str(word.what["outcome"]), more)
            return
        entry = Suspended.model_validate(word.what["entry"])
        found = self._finder([word.subject])(word.subject, entry.name)
        if word.subject not in self.suspended.entries and (found is None or found.list != entry.list):
            raise AppealError(f"no active list {entry.list} holds an entry {word.subject} here")
        if word.kind == "mend":
            self._mended(appeals, {word.subject: entry}, more)
            return
        before = self.suspended.entries.get(word.subject)
        known = {*self.known.decided, *(before.appeals if before else ())}
        if left := tuple(appeal for appeal in entry.appeals if appeal not in known):
            self._overdue_elsewhere(word.subject, entry.model_copy(update={"appeals": left, "until": None}), more)

    def _overdue_elsewhere(self, reference: str, entry: Suspended, more: Mapping[str, Any]) -> None:
        self._ledger.note(
            [Event("appeal-overdue", reference, {"appeal": a, "fate": "suspended", **more}) for a in entry.appeals],
            self._alarm,
        )
        here = [a for a in entry.appeals if a in self.known.waiting]
        held = {ref: since for ref, since in self.known.held.items() if ref != reference}
        self._know(self.known.given(dict.fromkeys(here, "suspended")).model_copy(update={"held": held}))
        known = reference in self.suspended.entries
        changed = self.suspended if known else self.suspended.with_(reference, entry)
        self._suspend(changed.joined(reference, entry.appeals), self.suspended)

    # -- what time and issuers bring

    def decided_by_issuers(self, decisions: Iterable[Mapping[str, Any]]) -> None:
        """What the verified relief of each list says about appeals that wait here."""
        alike: dict[tuple[str, str, str], dict[str, str]] = {}
        for decision in decisions:
            appeal = str(decision["appeal"])
            known = self.known.waiting.get(appeal)
            # Only the list that the appeal is about decides, and only about its entry.
            about_what = decision["reference"], decision["list"]
            if known is not None and (known.reference, known.list or decision["list"]) == about_what:
                kind = str(decision["outcome"]), str(decision["by"]), str(decision["list"])
                alike.setdefault(kind, {}).setdefault(appeal, known.reference)
        for (outcome, by, name), appeals in alike.items():
            try:
                # another list may have decided it a moment ago
                still = {appeal: ref for appeal, ref in appeals.items() if appeal in self.known.waiting}
                if still:
                    self._decide(still, outcome, {"by": by, "list": name})
            except LedgerError as error:
                self._alarm("log", str(error))
                return

    def tick(self) -> None:
        """Whatever came due is settled in one round; mends whose time is over end."""
        caps, clocks, now = self._config.guards.overdue, self._config.portal.clocks, self._clock()
        applied, away = self._lists()
        if due := came_due(self.known, self.suspended, applied, away, clocks, now):
            try:
                find = self._finder(self.known.waiting[one].reference for one in due)
            except AppealError as error:
                self._alarm("overdue", str(error))
                return
            self._settled(
                settle(self.known, self.suspended, applied, find, due, away=away, clocks=clocks, caps=caps, now=now)
            )
        self._end_mends()
        self._watch()
        for what in tuple(self._unstored):
            self._store(what)

    def _settled(self, done: Settled) -> None:
        if not done.fates:
            return
        events = [
            Event("appeal-overdue", self.known.waiting[a].reference,
                  {"appeal": a, "list": self.known.waiting[a].list, "name": self.known.waiting[a].name, "fate": fate})
            for a, fate in done.fates.items()
        ]  # fmt: skip
        self._ledger.note(events, self._alarm)
        before = self.suspended
        self._know(done.appeals)
        self._suspend(done.suspended, before)
        for reference in sorted(
            {self.known.waiting[a].reference for a, fate in done.fates.items() if fate == "suspended"}
        ):
            self._everywhere.say("overdue", reference, {"entry": self.suspended.entries[reference].model_dump()})

    def _end_mends(self) -> None:
        """A mend that ends blocks again: like any addition it waits for its leaf."""
        gone = self.suspended.ended(self._clock())
        if not gone:
            return
        details = [(ref, self.suspended.entries[ref]) for ref in gone]
        events = [
            Event("mend-ended", ref, {"list": one.list, "name": one.name, "since": one.since}) for ref, one in details
        ]
        try:
            self._ledger.append(events)
        except LedgerError as error:
            self._alarm("log", str(error))
            return
        self._suspend(self.suspended.without(gone), self.suspended)

    # -- how it is done

    def sealed_entry(self, reference: str) -> Listed | None:
        """The live entry of a sealed list. Raises `AppealError` where the list cannot be read."""
        return self._finder([reference])(reference, "")

    def _finder(self, references: Iterable[str]) -> Find:
        """Looks entries up in the live generation, opened once: by name, and those of sealed lists, which have none,
        under these references. `AppealError` where it cannot be read."""
        try:
            compiled, generation = look_up.live(self._places)
        except look_up.ListedError as error:
            raise AppealError(f"what is listed cannot be read: {error}") from error
        (applied, _), order = self._lists(), generation.names
        wanted = frozenset(references) if any(one.seal is not None for one in applied.values()) else frozenset()
        nameless = [one for one in compiled.find(wanted) if not one.name] if wanted else []

        def find(reference: str, name: str) -> Listed | None:
            """By reference and name, if the list does more than to be watched."""
            found = (one for one in (*_at(compiled, name), *nameless) if one.reference == reference)
            match = next((one for one in found if order[one.list] in applied), None)
            return None if match is None else Listed(order[match.list], match.name, match.match, match.basis)

        return find

    def _suspend(self, changed: suspensions.Suspensions, before: suspensions.Suspensions) -> None:
        self.suspended = changed
        self._everywhere.forget("overdue", before.entries.keys() - changed.entries.keys())
        if changed != before:
            self._store("suspensions")
            self._make_live()

    def _know(self, known: Appeals) -> None:
        if known != self.known:
            self.known = known
            self._store("appeals")
            self._watch()

    def _store(self, what: str) -> None:
        path, value = self._stored()[what]
        try:
            store(path, value)
        except OSError as error:
            self._unstored.add(what)
            self._alarm(what, f"{path} cannot be written ({error.strerror})")
        else:
            self._unstored.discard(what)
            self._alarm(what, None)

    def _stored(self) -> dict[str, tuple[Path, Stored]]:
        return {
            "suspensions": (self._places.suspensions, self.suspended),
            "appeals": (self._places.appeals, self.known),
        }


def _at(compiled: CompiledList, name: str) -> list[Match]:
    """What is listed at a name and above it; nothing where it is no name."""
    try:
        return compiled.look_up(domain_name(name))
    except ValueError:
        return []


def _by_reference(appeals: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for appeal, reference in appeals.items():
        groups.setdefault(reference, []).append(appeal)
    return groups


def _of(reports: Mapping[int, Report], what: str) -> dict[int, Report]:
    return {number: one for number, one in reports.items() if one.what == what}
