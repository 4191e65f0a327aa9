"""What people say at this provider: overrides, the off switch, appeals that are overdue or decided, a configuration
that was refused.

Enters: words that came through the control socket, or lie in a file because the steward was dead. Leaves: what passes,
what is suspended here, and leaves. Rules: whatever unblocks works with the log out of order too; whatever blocks again
waits for its leaf.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resolver import bypass, passes
from resolver.errors import ResolverError, why
from resolver.lists import overrides, suspensions
from resolver.lists.ledger import Event, Ledger, LedgerError
from resolver.lists.state import StateError, store
from resolver.logs import about
from resolver.moments import as_text
from resolver.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from resolver.lists.state import Applied
    from resolver.places import Places

say = logging.getLogger("stopsign.lists")


@dataclass(frozen=True, slots=True)
class Allowed:
    """`before`: the override that this one replaces; `trouble`: what stands in its way (`overrides.put`)."""

    new: overrides.Override
    before: overrides.Override | None
    trouble: str | None


class People:
    """Called from the register's thread alone."""

    def __init__(
        self,
        places: Places,
        ledger: Ledger,
        clock: Callable[[], float],
        alarm: Callable[[str, str | None], None],
        settle: Callable[[], None],
    ) -> None:
        self._places, self._ledger, self._clock, self._alarm, self._settle = places, ledger, clock, alarm, settle
        self.overrides = overrides.Overrides()
        self.suspended = suspensions.Suspensions()
        self._unwritten = False  # the overrides, on disk or live
        self._unstored = False  # the suspensions, on disk
        self._told: tuple[passes.Act, ...] = ()  # has its leaf, but still stands in the file
        self._refused: str | None = None

    def open(self) -> None:
        """Read what holds, and make the passes live again where a reboot took them."""
        try:
            self.suspended = suspensions.read(self._places)
        except StateError as error:
            self._alarm("suspensions", f"{error}: entries with overdue appeals may be active again")
        try:
            passes.change(self._places, lambda live: live)  # the off switch, whatever became of the overrides
            self.overrides = overrides.read(self._places)
            self._unwritten = True
            overrides.publish(self._places, self.overrides, self._clock())
            self._unwritten = False
        except (ResolverError, OSError) as error:
            self._alarm("overrides", f"{why(error)}; the overrides that were live stay live")

    def allow(
        self, name: str, match: passes.Match, reason: str, by: str, seconds: float, reference: str = ""
    ) -> Allowed:
        before = self.holding()
        changed, new = overrides.allow(
            before, name, match=match, reason=reason, by=by, seconds=seconds, now=self._clock(), reference=reference
        )
        trouble = self._override(changed)
        detail = {"name": new.name, "match": new.match, "reason": new.reason, "by": by, "until": as_text(new.until)}
        self._tell([Event("override-set", "", detail)])
        say.warning(
            "%s is allowed until %s by %s: %s",
            new.name,
            detail["until"],
            by,
            visible(new.reason),
            extra=about(person=by),
        )
        return Allowed(new, before.named(new.name), trouble)

    def lift(self, name: str, by: str, reference: str = "") -> tuple[overrides.Override, str | None]:
        """The override that was, and what stands in the way of its end."""
        changed, gone = overrides.lift(self.overrides, name, now=self._clock(), reference=reference)
        # Lifting blocks again: like any addition it waits for its leaf.
        self._ledger.append([Event("override-lifted", "", {"name": gone.name, "match": gone.match, "by": by})])
        trouble = self._override(changed)
        say.warning("the override of %s is lifted by %s", gone.name, by, extra=about(person=by))
        return gone, trouble

    def holding(self) -> overrides.Overrides:
        return self.overrides.holding(self._clock())

    def _override(self, changed: overrides.Overrides) -> str | None:
        trouble = overrides.put(self._places, changed, self._clock())
        self.overrides, self._unwritten = changed, trouble is not None
        self._alarm("overrides", trouble)
        return trouble

    def write_again(self) -> None:
        """What could not be written, once it can be."""
        if self._unwritten:
            try:
                self._override(self.overrides)
            except ResolverError as error:
                self._alarm("overrides", str(error))
        if self._unstored:
            self._store_suspensions()

    def appeal_received(self, reference: str, detail: Mapping[str, Any]) -> int:
        """A leaf on behalf of the web process."""
        return self._ledger.append([Event("appeal-received", reference, detail)])[0]

    def appeal_decided(self, reference: str, detail: Mapping[str, Any]) -> int:
        """A leaf; and where somebody decided that the block stays, what was suspended here for want of it ends.
        `granted` and `mended` leave it: the issuer's relief or an override is on its way."""
        leaf = self._ledger.append([Event("appeal-decided", reference, detail)])[0]
        left = self.suspended.decided(reference, str(detail.get("appeal")))
        if detail.get("outcome") in {"upheld", "withdrawn"} and left != self.suspended:
            self._suspend_here(left)
        return leaf

    def appeal_overdue(
        self,
        reference: str,
        name: str,
        appeal: str,
        detail: Mapping[str, Any],
        *,
        applied: Mapping[str, Applied],
        order: Sequence[str],
    ) -> bool:
        """Suspend the entry here, unless its ground forbids; whether it is suspended now."""
        changed = suspensions.suspend(
            self.suspended,
            self._places,
            applied,
            order=order,
            reference=reference,
            name=name,
            appeal=appeal,
            now=self._clock(),
        )
        if changed != self.suspended:
            self._tell([Event("appeal-overdue", reference, detail)])
            self._suspend_here(changed)
        return reference in changed.entries

    def _suspend_here(self, changed: suspensions.Suspensions) -> None:
        self.suspended = changed
        self._store_suspensions()
        self._settle()

    def _store_suspensions(self) -> None:
        try:
            store(self._places.suspensions, self.suspended)
        except OSError as error:
            self._unstored = True
            self._alarm("suspensions", f"{self._places.suspensions} cannot be written ({error.strerror})")
        else:
            self._unstored = False
            self._alarm("suspensions", None)

    def erase(self, leaf: int, reason: str) -> int:
        """The detail of a leaf is forgotten; the index of the leaf that says so."""
        return self._ledger.erase(leaf, reason)

    def configuration_refused(self, text: str, detail: Mapping[str, Any]) -> None:
        """An alarm with the first mistake, and a leaf that says how many; once for the same mistake."""
        more = f" (and {others} more)" if (others := detail["mistakes"] - 1) > 0 else ""
        said = f"the new configuration is refused, the old one goes on: {text}{more}"
        if said != self._refused:
            self._refused = said
            self._alarm("configuration", said)
            self._tell([Event("configuration-refused", "", detail)])

    def note_bypass(self) -> None:
        """The off switch works without us; what was done to it still belongs in the log, be it on again or off by now,
        and with the time at which it was."""
        now = self._clock()
        passes.keep_room(self._places)
        try:
            if not self._places.passes.exists():  # somebody emptied `run_dir`
                overrides.publish(self._places, self.overrides, now)
            live = passes.read(self._places.passes)
            if any(one.until <= now for one in live.bypasses):
                live, _ = passes.change(self._places, lambda found: found.ended(now))
            acts = tuple(act for act in live.untold if act not in self._told)
            if acts and self._tell([Event(kind, "", detail) for act in acts for kind, detail in bypass.details(act)]):
                self._told += acts
                for act in acts:
                    say.warning("%s", bypass.sentence(act))
            if self._told:
                passes.change(self._places, lambda found: found.told(self._told))
                self._told = ()
        except (ResolverError, OSError) as error:
            self._alarm("passes", why(error))
        else:
            self._alarm("passes", None)

    def _tell(self, events: list[Event]) -> bool:
        """Leaves about what blocks nothing: a log that is out of order is an alarm and stops nothing."""
        try:
            self._ledger.append(events)
        except LedgerError as error:
            self._alarm("log", str(error))
            return False
        return True
