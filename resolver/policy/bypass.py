"""The off switch as a value: what is bypassed, in words for people, alarms, the journal and the log.

Enters: exceptions; a person's text. Leaves: sentences, dictionaries for programs, leaves. Rule: the public leaf says
what kind was bypassed, from when to when. The person's text goes into a second leaf whose detail stays private, as with
overrides, and so does a name, which may be on no list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blocklists.text import shown
from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text
from resolver.policy import exceptions, look_up
from resolver.policy.exceptions import FOR_EVER
from resolver.policy.typed import name_in, only_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.config.schema import Config
    from resolver.policy.exceptions import Bypass, BypassChange, LiveExceptions

NAMED = 3  # names that an alarm names one by one


class NoEntryError(ResolverError):
    """No entry of the live list has that reference."""


class SealedEntryError(ResolverError):
    """The entry is of a sealed list: its name is not known here."""


def meant(config: Config, live: LiveExceptions, what: str | None, *, on: bool) -> tuple[exceptions.Kind, str]:
    """Kind and name of what a person typed: nothing for everything, a list, a name, the address of a page, or the
    reference of an entry. `on` false: also a list that the configuration does not name any more."""
    if what is None:
        return "all", ""
    known = [source.name for source in config.lists]
    gone = [one.of for one in live.bypasses if one.kind == "list" and not on]
    if what in (*known, *gone):
        return "list", what
    hint = f"lists: {', '.join(known) or 'none'}"
    if (reference := only_reference(what)) is not None:
        entry = look_up.under(look_up.live(config.places)[0], reference)
        if entry is None:
            raise NoEntryError(f"there is no list {what!r}, nor an entry with that reference", hint=hint)
        if not entry.name:
            hint = f"stopsign override allow {reference} takes it off by its reference; {hint}"
            raise SealedEntryError("that entry is of a sealed list, and its name is not known here", hint=hint)
        return "name", entry.name
    name = name_in(what)
    if name is None:
        raise ResolverError(f"{what!r} is neither a list nor a name", hint=hint)
    if on and "." not in name and not what.endswith("."):
        hint = f"{hint}; a whole top-level domain is written with its dot: {name}."
        raise ResolverError(f"there is no list {what!r}", hint=hint)
    return "name", name


def ends(until: int) -> str:
    return "until it is switched off" if until >= FOR_EVER else f"until {as_text(until)}"


def in_words(one: Bypass) -> str:
    """Since when, by whom, until when and why."""
    reason = f": {shown(one.reason, most=None)}" if one.reason else ", no reason given"
    return f"since {as_text(one.since)} by {shown(one.by)}, {ends(one.until)}{reason}"


def as_dict(one: Bypass) -> dict[str, Any]:
    until = None if one.until >= FOR_EVER else as_text(one.until)
    return {
        "kind": one.kind, "of": one.of, "since": as_text(one.since), "until": until, "by": one.by, "reason": one.reason,
    }  # fmt: skip


def alarms(live: LiveExceptions, now: float) -> list[str]:
    """What is off, each in a sentence; many names in one."""
    on = live.holding(now)
    names = [one for one in on if one.kind == "name"]
    found = [
        f"{one} {'passes' if one.kind == 'all' else 'is bypassed'} {in_words(one)}" for one in on if one.kind != "name"
    ]
    if len(names) <= NAMED:
        return found + [f"{one} is bypassed {in_words(one)}" for one in names]
    some = ", ".join(one.of for one in names[:NAMED])
    return [*found, f"{len(names)} names are bypassed, among them {some}: stopsign bypass"]


def sentence(change: BypassChange) -> str:
    """For the journal."""
    one = change.bypass
    if change.act == "end":
        return f"the bypass of {one} has ended by itself at {as_text(change.at)}"
    if change.act == "off":
        return f"the bypass of {one} is switched off by {shown(change.by)} at {as_text(change.at)}{_because(change)}"
    return f"{one} is bypassed by {shown(change.by)} since {as_text(change.at)}, {ends(one.until)}{_because(change)}"


def details(change: BypassChange) -> Iterator[tuple[str, dict[str, Any]]]:
    """Types and details of the leaves about it."""
    one = change.bypass
    until = None if one.until >= FOR_EVER else as_text(one.until)
    about = {"act": change.act, "at": as_text(change.at), "kind": one.kind, "of": one.of}
    public = {**about, "of": ""} if one.kind == "name" else about
    yield "bypass", {**public, "since": as_text(one.since), "until": until}
    if change.by:
        yield "bypass-words", {**about, "by": change.by, "reason": change.reason}


def _because(change: BypassChange) -> str:
    return f": {shown(change.reason)}" if change.reason else ""
