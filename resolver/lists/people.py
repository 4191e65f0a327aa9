"""What people do at this provider: overrides, the off switch, a configuration that was refused.

Enters: requests by the control socket; changes of the off switch, which a file has while the steward is dead. Leaves:
exceptions, entries of sealed lists that are off, and leaves. Rules: what unblocks works even when the log cannot be
written; what blocks again waits for its leaf; a name that a sealed list holds is written nowhere: its entry is let
pass by its reference.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from blocklists.errors import why
from blocklists.text import shown
from resolver.base.errors import ResolverError
from resolver.base.journal import about
from resolver.base.timestamps import as_text
from resolver.lists.ledger import Event, Ledger, LedgerError
from resolver.policy import bypass, exceptions, overrides
from resolver.policy.seals import SealedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resolver.base.paths import Places
    from resolver.lists.everywhere import Word
    from resolver.lists.overdue import Listed

say = logging.getLogger("stopsign.lists")


@dataclass(frozen=True, slots=True)
class Allowed:
    """`before`: the override that this one replaces; `trouble`: what stands in its way (`overrides.put`)."""

    new: overrides.Override
    before: overrides.Override | None
    trouble: str | None


class SealedNames(Protocol):
    """What People asks of the lists whose names are not known here."""

    def entry(self, reference: str) -> Listed | None:
        """The live entry of a sealed list."""

    def holds(self, name: str, by: str) -> str | None:
        """The reference of the sealed entry that stops a name. Raises `ResolverError` where it is not said."""


class People:
    """Called from the register's thread alone."""

    def __init__(
        self,
        places: Places,
        ledger: Ledger,
        clock: Callable[[], float],
        alarm: Callable[[str, str | None], None],
        sealed: SealedNames,
        make_live: Callable[[], None],
    ) -> None:
        """`make_live`: called after each change of the sealed entries that are off."""
        self._places, self._ledger, self._clock, self._alarm = places, ledger, clock, alarm
        self._sealed, self._make_live = sealed, make_live
        self.overrides = overrides.Overrides()
        self._unwritten = False  # the overrides, on disk or live
        self._logged: tuple[exceptions.BypassChange, ...] = ()  # has its leaf, and is still in the file
        self._refused: str | None = None
        self._off: tuple[overrides.Override, ...] = ()
        self._lost = False  # what was bypassed before a reboot

    def open(self) -> None:
        """Read what holds, and make the exceptions live again where a reboot took them."""
        self._lost = not exceptions.are_there(self._places)
        self._check_durable_switch()
        try:
            exceptions.change(self._places, lambda live: live)  # the off switch, whatever became of the overrides
            self.overrides = overrides.read(self._places)
            self._unwritten, self._off = True, self.holding().sealed()
            overrides.publish(self._places, self.overrides, self._clock())
            self._unwritten = False
        except (ResolverError, OSError) as error:
            self._alarm("overrides", f"{why(error)}; the overrides that were live stay live")

    def _held(self, name: str, by: str) -> str | None:
        """The reference of the sealed entry that covers a name, where that is known."""
        with contextlib.suppress(SealedError):
            return self._sealed.holds(name, by)
        return None

    def allow(
        self, name: str, match: exceptions.Match, reason: str, by: str, seconds: float, reference: str = ""
    ) -> Allowed:
        """`name` empty: the entry of a sealed list with that `reference`, with its own kind of match."""
        before, of = self.holding(), ""
        if not name:
            of, match = self._entry_of(before, reference)
        elif (held := self._held(name, by)) is not None:
            hint = f"by its reference nothing of it is written: stopsign override allow {held}"
            raise overrides.OverrideError(
                "a sealed list holds the name, which would be written to this disk", hint=hint
            )
        changed, new = overrides.allow(
            before, name, match=match, reason=reason, by=by, seconds=seconds, now=self._clock(), reference=reference,
            sealed=of,
        )  # fmt: skip
        trouble = self._override(changed)
        self.write_again()
        if trouble is None and self.overrides.unlogged:
            trouble = "the override holds; the log cannot be written, and has it as soon as it can"
        say.warning(
            "%s is allowed until %s by %s: %s",
            new,
            as_text(new.until),
            by,
            shown(new.reason),
            extra=about(person=by),
        )
        was = next((one for one in before.sealed() if one.reference == reference), None) if of else None
        return Allowed(new, was or before.named(new.name), trouble)

    def _entry_of(self, before: overrides.Overrides, reference: str) -> tuple[str, exceptions.Match]:
        """List and match of a sealed entry, which is in no live list while an override holds."""
        if (one := next((one for one in before.sealed() if one.reference == reference), None)) is not None:
            return one.list, one.match
        found = self._sealed.entry(reference)
        if found is None:
            raise overrides.OverrideError(f"no active list holds an entry {reference or 'without a reference'}")
        return found.list, cast("exceptions.Match", found.match)

    def lift(self, name: str, by: str, reference: str = "") -> tuple[overrides.Override, str | None]:
        """The override that was, and what stands in the way of its end."""
        changed, gone = overrides.lift(self.overrides, name, now=self._clock(), reference=reference)
        # Lifting blocks again: like any addition it waits for its leaf.
        detail = {"name": gone.name, "match": gone.match, "by": by}
        detail |= {"list": gone.list, "reference": gone.reference} if gone.list else {}
        self._ledger.append([*self._unlogged(), Event("override-lifted", "", detail)])
        trouble = self._override(changed.logged())
        say.warning("the override of %s is lifted by %s", gone, by, extra=about(person=by))
        return gone, trouble

    def follow(self, word: Word) -> None:
        """An override or a bypass that was said at another host with --everywhere, or taken back there."""
        by, what = f"{word.what.get('by', '')} at {word.origin}", word.what
        if word.kind == "bypass":
            self._bypass(what, by)
        elif what.get("lifted"):
            name, reference = str(what["name"]), str(what.get("reference", ""))
            if any((one.name or one.reference) == (name or reference) for one in self.holding().overrides):
                self.lift(name, by, "" if name else reference)
        else:
            seconds = word.until - self._clock()
            self.allow(str(what["name"]), what["match"], str(what["reason"]), by, seconds, str(what["reference"]))

    def _bypass(self, what: Mapping[str, Any], by: str) -> None:
        now = int(self._clock())
        kind, of, reason = what["kind"], str(what["of"]), str(what["reason"])
        if what["on"]:
            one = exceptions.Bypass(kind, of, now, int(what["until"]), by, reason)
            exceptions.change(self._places, lambda live: live.on(one))
        else:
            exceptions.change(self._places, lambda live: live.off(kind, of, now=now, by=by, reason=reason))

    def holding(self) -> overrides.Overrides:
        return self.overrides.holding(self._clock())

    def _override(self, changed: overrides.Overrides) -> str | None:
        trouble = overrides.put(self._places, changed, self._clock())
        self.overrides, self._unwritten = changed, trouble is not None
        self._alarm("overrides", trouble)
        self.look_at_sealed()
        return trouble

    def look_at_sealed(self) -> None:
        """Entries of sealed lists are taken off, and come back, with the live list: also when an override ends."""
        if (off := self.holding().sealed()) != self._off:
            self._off = off
            self._make_live()

    def write_again(self) -> None:
        """What could not be written, once it can be: leaves, then files."""
        if (late := self._unlogged()) and self._append(late):
            self.overrides, self._unwritten = self.overrides.logged(), True
        if self._unwritten:
            try:
                self._override(self.overrides)
            except ResolverError as error:
                self._alarm("overrides", str(error))

    def _unlogged(self) -> list[Event]:
        """The leaves of overrides that the log does not have yet, each with the time at which it was set."""
        return [Event("override-set", "", _detail(one)) for one in self.overrides.unlogged]

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
            self._ledger.note([Event("configuration-refused", "", detail)], self._alarm)

    def _check_durable_switch(self) -> None:
        """An alarm for as long as the durable off switch is damaged and a reboot took the live one."""
        if self._lost:
            damage = exceptions.unreadable(self._places)
            self._lost = damage is not None
            file = self._places.bypass
            self._alarm(
                "bypass-file", damage and f"{file}: {damage}; what was bypassed before the reboot is blocked again"
            )

    def note_bypass(self, *, ends: bool = True) -> None:
        """The off switch works without us. Each change of it still gets its leaf, with the time of the change. `ends`:
        what is over by the clock is taken out of the file."""
        now = self._clock()
        self._check_durable_switch()
        exceptions.keep_room(self._places)
        try:
            if not exceptions.are_there(self._places):  # somebody emptied `run_dir`
                overrides.publish(self._places, self.overrides, now)
            live = exceptions.read(self._places.exceptions)
            if ends and any(one.until <= now for one in live.bypasses):
                live, _ = exceptions.change(self._places, lambda found: found.ended(now))
            changes = tuple(one for one in live.pending_log if one not in self._logged)
            leaves = [Event(kind, "", detail) for one in changes for kind, detail in bypass.details(one)]
            if leaves and self._append(leaves):
                self._logged += changes
                for one in changes:
                    say.warning("%s", bypass.sentence(one))
            if self._logged:
                exceptions.change(self._places, lambda found: found.logged(self._logged))
                self._logged = ()
        except (ResolverError, OSError) as error:
            self._alarm("exceptions", why(error))
        else:
            self._alarm("exceptions", None)

    def _append(self, events: list[Event]) -> bool:
        """Leaves about what waits in a file until the log has them; whether it has."""
        try:
            self._ledger.append(events)
        except LedgerError as error:
            self._alarm("log", str(error))
            return False
        return True


def _detail(one: overrides.Override) -> dict[str, Any]:
    detail = one.model_dump(include={"name", "match", "reason", "by", "since"}) | {"until": as_text(one.until)}
    return detail | ({"list": one.list, "reference": one.reference} if one.list else {})
