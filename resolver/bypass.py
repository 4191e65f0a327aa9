"""The off switch as people meet it: the command, who throws it, and what they, the alarms, the journal and the log are
told of it.

Enters: a person's word; the passes; for who is calling the kernel's word. Leaves: other passes, sentences and details.
Rules: the command reads and writes files alone, so that it works with the steward dead; what is on is named, with since
when, by whom, until when and why; what a person wrote goes into a leaf of its own, whose detail stays private as with
overrides, and so does a name, which may be on no list: the public leaf says what kind was off from when to when.
"""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resolver import listed, passes
from resolver.errors import ResolverError
from resolver.following import following, wait
from resolver.moments import as_text
from resolver.options import Span, as_json, located, print_json, warn
from resolver.passes import FOR_EVER
from resolver.standing import legible
from resolver.typed import name_in, only_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.config import Config
    from resolver.passes import Act, Bypass, Passes
    from resolver.places import Places

NAMED = 3  # names that an alarm names one by one
_NOBODY = 0xFFFF_FFFF  # no login: a service, a container


@click.command()
@click.argument("switch", type=click.Choice(["on", "off", "show"]), default="show")
@click.argument("what", metavar="[LIST|NAME|URL|REFERENCE]", required=False)
@click.option("--reason", default="", help="For the log, and for whoever asks later.")
@click.option("--for", "span", type=Span(), help="It ends by itself after so long, as 2h.  [default: never]")
@located
@as_json
@click.pass_context
def bypass(
    ctx: click.Context,
    switch: str,
    what: str | None,
    reason: str,
    span: float | None,
    path: Path | None,
    directory: Path | None,
    in_json: bool,
) -> None:
    """The off switch: `on` lets everything pass at once, or one list's names, or one name with all below it.

    The name may also be said as the address of a page, or as the reference on a stop page.

    Works with the steward dead. It stays on until it is switched off or its time is over, over restarts too. `off`
    alone ends all of them, lists and names that were switched off apart too. A top-level domain is written with its
    dot: `example.` Waits until every worker and the zones follow, and exits 1 where one does not, or nobody runs.
    """
    if span is not None and switch != "on":
        raise click.UsageError(f"--for says how long a bypass is on; it means nothing to {switch!r}")
    config = legible(path, directory)
    places, shows = config.places, switch == "show"
    live = passes.read(places.passes) if shows else _throw(config, switch == "on", what, reason, span)
    seen = following(places) if shows else wait(places)
    behind = (*seen.late, *seen.silent)
    if in_json:
        print_json({**_bypassed(live), "follow": list(seen.follow), "behind": list(behind)})
    else:
        _show_bypassed(live)
    if seen.follow and not in_json:
        click.echo(f"{len(seen.follow)} follow: {', '.join(seen.follow)}")
    if seen.nobody:
        behind = (f"nobody runs with {places.run_dir}: this holds from the next start on",)
    for sentence in behind:
        warn(sentence)
    if behind and not seen.nobody:
        click.echo("hint: its successor takes it up when it starts: stopsign bypass show, stopsign status", err=True)
    ctx.exit(1 if behind and not shows else 0)


def _bypassed(live: passes.Passes) -> dict[str, Any]:
    now = time.time()
    names = [one.of for one in live.holding(now) if one.kind == "name"]
    bypasses = [as_dict(one) for one in live.holding(now)]
    return {"all": live.all(now), "lists": list(live.lists(now)), "names": names, "bypasses": bypasses}


def _show_bypassed(live: passes.Passes) -> None:
    now = time.time()
    on = live.holding(now)
    if live.all(now):
        click.echo("everything passes: nothing is blocked")
    else:
        click.echo(f"passing: {', '.join(map(str, on))}" if on else "blocking as the lists say")
    for one in on:
        click.echo(f"  {one} {told(one)}")


def _throw(config: Config, on: bool, what: str | None, reason: str, span: float | None) -> passes.Passes:
    places = config.places
    if not places.run_dir.is_dir():
        hint = "that of the processes is meant: their configuration by --config FILE or --dir DIR"
        raise ResolverError(f"there is no {places.run_dir}: nobody runs there, and nothing is changed", hint=hint)
    now, by = int(time.time()), caller()
    until = passes.FOR_EVER if span is None else int(now + span)
    one, was_on = passes.Bypass("all", "", now, until, by, reason), False

    def change(live: passes.Passes) -> passes.Passes:
        nonlocal one, was_on
        one = passes.Bypass(*meant(config, live, what, on=on), now, until, by, reason)
        live = live.ended(now)
        was_on = any((other.kind, other.of) == (one.kind, one.of) for other in live.bypasses)
        return live.on(one) if on else live.off(one.kind, one.of, now=now, by=by, reason=reason)

    live, trouble = passes.change(places, change)
    if trouble is not None:
        warn(f"done, but not for after a reboot ({trouble})")
    if on and one.kind == "name":
        note_unlisted(places, one.of, now)
    if not on and one.kind != "all":
        note_off(live, one, was_on=was_on, now=now)
    return live


def note_off(live: Passes, one: Bypass, *, was_on: bool, now: float) -> None:
    """Says of a list or a name whose bypass is switched off that there was none, or that it passes all the same."""
    why = ", ".join(_still(live, one, now))
    if not was_on:
        warn(f"{one} was not on; it goes on passing: {why}" if why else f"{one} was not on")
    elif why:
        warn(f"{one} goes on passing: {why}")


def _still(live: Passes, one: Bypass, now: float) -> list[str]:
    """Why it goes on passing."""
    on = [other for other in live.holding(now) if other.kind == "all"]
    if one.kind != "name":
        return [f"{other} is on" for other in on]
    on += [other for other in live.holding(now) if other.kind == "name" and passes.covers(other.as_pass(), one.of)]
    over = [entry for entry in live.overrides if entry.until > now and passes.covers(entry, one.of)]
    return [
        *(f"{other} is on" for other in on),
        *(f"{entry.name} is overridden (stopsign override lift {entry.name})" for entry in over),
    ]


def note_unlisted(places: Places, name: str, now: float) -> None:
    """Says of a name that somebody lets pass that no list stops it, as a mistyped one."""
    try:
        compiled, _ = listed.live(places)
    except listed.ListedError as unseen:
        warn(f"whether a list holds {name} cannot be seen: {unseen}")
        return
    if not listed.concerns(compiled, name, now):
        warn(f"no list holds {name} or a name above it: done, but it passed already; or something below it is meant")


def meant(config: Config, live: passes.Passes, what: str | None, *, on: bool) -> tuple[passes.Kind, str]:
    """Everything, a list or a name, also by the address of a page or an entry's reference. Back on comes also a list
    that the configuration does not name any more."""
    if what is None:
        return "all", ""
    known = [source.name for source in config.lists]
    gone = [one.of for one in live.bypasses if one.kind == "list" and not on]
    if what in (*known, *gone):
        return "list", what
    hint = f"lists: {', '.join(known)}"
    if (reference := only_reference(what)) is not None:
        entry = listed.under(listed.live(config.places)[0], reference)
        if entry is None:
            raise ResolverError(f"there is no list {what!r}, nor an entry with that reference", hint=hint)
        return "name", entry.name
    name = name_in(what)
    if name is None:
        raise ResolverError(f"{what!r} is neither a list nor a name", hint=hint)
    if on and "." not in name and not what.endswith("."):
        hint = f"{hint}; a whole top-level domain is written with its dot: {name}."
        raise ResolverError(f"there is no list {what!r}", hint=hint)
    return "name", name


def caller(login: Path = Path("/proc/self/loginuid")) -> str:
    """Who is at the keyboard: the login's user, whom the kernel remembers through sudo and su; where there was no
    login, root's own word on whom sudo brought, or the process's user."""
    try:
        uid = int(login.read_text(encoding="ascii"))
    except (OSError, ValueError):  # a kernel without audit
        uid = _NOBODY
    if uid == _NOBODY:
        if os.getuid() == 0 and os.environ.get("SUDO_USER"):
            return os.environ["SUDO_USER"]
        uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def ends(until: int) -> str:
    return "until it is switched off" if until >= FOR_EVER else f"until {as_text(until)}"


def told(one: Bypass) -> str:
    """Since when, by whom, until when and why."""
    reason = f": {one.reason}" if one.reason else ", no reason given"
    return f"since {as_text(one.since)} by {one.by}, {ends(one.until)}{reason}"


def as_dict(one: Bypass) -> dict[str, Any]:
    until = None if one.until >= FOR_EVER else as_text(one.until)
    return {
        "kind": one.kind, "of": one.of, "since": as_text(one.since), "until": until, "by": one.by, "reason": one.reason,
    }  # fmt: skip


def alarms(live: Passes, now: float) -> list[str]:
    """What is off, each in a sentence; many names in one."""
    on = live.holding(now)
    names = [one for one in on if one.kind == "name"]
    found = [
        f"{one} {'passes' if one.kind == 'all' else 'is bypassed'} {told(one)}" for one in on if one.kind != "name"
    ]
    if len(names) <= NAMED:
        return found + [f"{one} is bypassed {told(one)}" for one in names]
    some = ", ".join(one.of for one in names[:NAMED])
    return [*found, f"{len(names)} names are bypassed, among them {some}: stopsign bypass"]


def sentence(act: Act) -> str:
    """For the journal."""
    one = act.bypass
    if act.act == "end":
        return f"the bypass of {one} has ended by itself at {as_text(act.at)}"
    if act.act == "off":
        return f"the bypass of {one} is switched off by {act.by} at {as_text(act.at)}{_because(act)}"
    return f"{one} is bypassed by {act.by} since {as_text(act.at)}, {ends(one.until)}{_because(act)}"


def details(act: Act) -> Iterator[tuple[str, dict[str, Any]]]:
    """Types and details of the leaves about it."""
    one = act.bypass
    until = None if one.until >= FOR_EVER else as_text(one.until)
    about = {"act": act.act, "at": as_text(act.at), "kind": one.kind, "of": one.of}
    public = {**about, "of": ""} if one.kind == "name" else about
    yield "bypass", {**public, "since": as_text(one.since), "until": until}
    if act.by:
        yield "bypass-words", {**about, "by": act.by, "reason": act.reason}


def _because(act: Act) -> str:
    return f": {act.reason}" if act.reason else ""
