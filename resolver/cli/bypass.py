"""The off switch as people meet it: the command, who throws it, and what they, the alarms, the journal and the log are
told of it.

Enters: a person's word; the passes. Leaves: other passes, sentences and details. Rules: the command reads and writes
files alone, so that it works with the steward dead; what is on is named, with since when, by whom, until when and why;
what is replaced is named too, and an end that was said is never taken away by saying none; what a person wrote goes
into a leaf of its own, whose detail stays private as with overrides, and so does a name, which may be on no list: the
public leaf says what kind was off from when to when.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import click

from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text
from resolver.cli.options import Span, as_json, check_everywhere, everywhere, located, print_json, warn, where
from resolver.config.accepted import legible
from resolver.ipc import control
from resolver.ipc.convergence import following, wait
from resolver.ipc.peer_credentials import caller
from resolver.policy import exceptions, look_up
from resolver.policy.exceptions import FOR_EVER
from resolver.policy.typed import name_in, only_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from resolver.base.paths import Places
    from resolver.config.schema import Config
    from resolver.ipc.convergence import Following
    from resolver.policy.exceptions import Act, Bypass, Passes

NAMED = 3  # names that an alarm names one by one


class NoEntryError(ResolverError):
    """No entry of the live list has that reference."""


@click.command()
@click.argument("switch", type=click.Choice(["on", "off", "show"]), default="show")
@click.argument("what", metavar="[LIST|NAME|URL|REFERENCE]", required=False)
@click.option("--reason", default="", help="For the log, and for whoever asks later.")
@click.option(
    "--for",
    "span",
    type=Span(ever=True),
    metavar="TIME|ever",
    help="It ends by itself after so long, as 2h.  [default: ever; where it is on already, its end stays]",
)
@everywhere
@located
@as_json
@click.pass_context
def bypass(
    ctx: click.Context,
    switch: str,
    what: str | None,
    reason: str,
    span: float | None,
    at_all: bool,
    path: Path | None,
    directory: Path | None,
    in_json: bool,
) -> None:
    """The off switch: `on` lets everything pass at once, or one list's names, or one name with all below it.

    The name may also be said as the address of a page, or as the reference on a stop page.

    Works with the steward dead. It stays on until it is switched off or its time is over, over restarts too. What was
    on already is named; its end stays unless --for says another, or `--for ever` that there is none. `off` alone ends
    all of them, lists and names that were switched off apart too. A top-level domain is written with its dot:
    `example.` Waits until every worker and the zones follow, and exits 1 where one does not, or nobody runs.
    """
    if span is not None and switch != "on":
        raise click.UsageError(f"--for says how long a bypass is on; it means nothing to {switch!r}")
    config = legible(path, directory)
    if at_all and switch == "show":
        raise click.UsageError("--everywhere says where a bypass is on or off; it means nothing to 'show'")
    check_everywhere(config, at_all)
    places, shows = config.places, switch == "show"
    before: dict[str, Any] = {}
    if shows:
        live = exceptions.read(places.passes)
    else:
        live, was, one = _throw(config, switch == "on", what, reason, span)
        before = {"before": was and as_dict(was)} if switch == "on" else {}
        if config.log.peers:
            before["everywhere"] = at_all and _everywhere(places, one, on=switch == "on")
    seen = following(places) if shows else wait(places)
    if in_json:
        print_json({**_bypassed(live), **before, **seen.as_dict()})
    else:
        _show_bypassed(live)
        if "everywhere" in before:
            click.echo(f"  this is{where(before).removeprefix(',')}")
    all_follow = tell_following(places, seen, in_json=in_json)
    ctx.exit(0 if (all_follow and (not at_all or before["everywhere"])) or shows else 1)


def tell_following(places: Places, seen: Following, *, in_json: bool) -> bool:
    """Says who has taken up the passes and who has not; whether all have."""
    if seen.follow and not in_json:
        click.echo(f"{len(seen.follow)} follow: {', '.join(seen.follow)}")
    if seen.nobody:
        then = "from the next start on"
        if any(place.exists() for place in (places.workers, places.control_socket)):
            warn(f"nobody runs with {places.run_dir}: this holds {then}")
        else:
            back = "processes that go on without it put it back, and take this up within seconds"
            warn(f"{places.run_dir} was empty: {back}; else it holds {then}")
        return False
    for sentence in seen.behind:
        warn(sentence)
    if seen.behind:
        click.echo("hint: its successor takes it up when it starts: stopsign bypass show, stopsign status", err=True)
    return not seen.behind


def _bypassed(live: exceptions.Passes) -> dict[str, Any]:
    now = time.time()
    names = [one.of for one in live.holding(now) if one.kind == "name"]
    bypasses = [as_dict(one) for one in live.holding(now)]
    return {"all": live.all(now), "lists": list(live.lists(now)), "names": names, "bypasses": bypasses}


def _show_bypassed(live: exceptions.Passes) -> None:
    now = time.time()
    on = live.holding(now)
    if live.all(now):
        click.echo("everything passes: nothing is blocked")
    else:
        click.echo(f"passing: {', '.join(map(str, on))}" if on else "blocking as the lists say")
    for one in on:
        click.echo(f"  {one} {told(one)}")


def _throw(
    config: Config, on: bool, what: str | None, reason: str, span: float | None
) -> tuple[exceptions.Passes, Bypass | None, Bypass]:
    """What passes now, what was on before of the same, and what was meant."""
    places = config.places
    if not places.run_dir.is_dir():
        hint = "that of the processes is meant: their configuration by --config FILE or --dir DIR"
        raise ResolverError(f"there is no {places.run_dir}: nobody runs there, and nothing is changed", hint=hint)
    now, by = int(time.time()), caller()
    one = exceptions.Bypass("all", "", now, FOR_EVER, by, reason)
    before: Bypass | None = None

    def change(live: exceptions.Passes) -> exceptions.Passes:
        nonlocal one, before
        kind, of = meant(config, live, what, on=on)
        live = live.ended(now)
        before = live.bypass_of(kind, of)
        one = exceptions.Bypass(kind, of, now, _end(now, span, before), by, reason)
        return live.on(one) if on else live.off(kind, of, now=now, by=by, reason=reason)

    live, trouble = exceptions.change(places, change)
    if trouble is not None:
        warn(f"done, but not for after a reboot ({trouble})")
    if on and one.kind == "name":
        note_unlisted(places, one.of, now)
    if on and before is not None:
        stays = ", as before (--for says another)" if span is None else ""
        warn(f"{one} was on already {told(before)}; now {ends(one.until)}{stays}")
    if not on and one.kind != "all":
        note_off(live, one, was_on=before is not None, now=now)
    return live, before, one


def _everywhere(places: Places, one: Bypass, *, on: bool) -> bool:
    """Whether the other hosts hear of it, by the steward, which proves what it says; it holds here in any case."""
    try:
        about: dict[str, Any] = {"kind": one.kind, "of": one.of, "until": one.until, "reason": one.reason}
        answer = control.call(places.control_socket, "bypassed", on=on, **about)
    except control.ControlError as error:
        warn(f"done at this host alone, the others do not hear of it: {error}")
        return False
    return bool(answer["everywhere"])


def _end(now: int, span: float | None, before: Bypass | None) -> int:
    """An end that somebody said stays where none is said now: no bypass is to become one without an end by a slip."""
    if span is None:
        return before.until if before is not None else FOR_EVER
    return FOR_EVER if span == math.inf else int(now + span)


def note_override(answer: Mapping[str, Any]) -> None:
    """Says of an override what stands in its way, and what it replaced, where the steward tells: one from before an
    upgrade does not."""
    if answer.get("trouble"):
        warn(answer["trouble"])
    if before := answer.get("before"):
        was = f"since {before['since']} by {before['by']}, until {before['until']}: {before['reason']}"
        kind = f" ({before['match']})" if before["match"] != answer["match"] else ""
        warn(f"{before['name']}{kind} was overridden already {was}; now until {answer['until']}")


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
    on += [other for other in live.holding(now) if other.kind == "name" and exceptions.covers(other.as_pass(), one.of)]
    over = [entry for entry in live.overrides if entry.until > now and exceptions.covers(entry, one.of)]
    return [
        *(f"{other} is on" for other in on),
        *(f"{entry.name} is overridden (stopsign override lift {entry.name})" for entry in over),
    ]


def note_unlisted(places: Places, name: str, now: float) -> None:
    """Says of a name that somebody lets pass that no list stops it, as a mistyped one."""
    try:
        compiled, _ = look_up.live(places)
    except look_up.ListedError as unseen:
        warn(f"whether a list holds {name} cannot be seen: {unseen}")
        return
    if not look_up.concerns(compiled, name, now):
        warn(f"no list holds {name} or a name above it: done, but it passed already; or something below it is meant")


def meant(config: Config, live: exceptions.Passes, what: str | None, *, on: bool) -> tuple[exceptions.Kind, str]:
    """Everything, a list or a name, also by the address of a page or an entry's reference. Back on comes also a list
    that the configuration does not name any more."""
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
