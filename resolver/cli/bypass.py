"""`stopsign bypass`: the off switch.

Enters: a person's word; the exceptions. Leaves: other exceptions. Rules: it reads and writes files alone, so that it
works with the steward dead; what is on is named, with since when, by whom, until when and why; what is replaced is
named too, and an end that was said is never taken away by saying none.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import click

from resolver.base.errors import ResolverError
from resolver.cli.options import (
    Span,
    as_json,
    check_everywhere,
    everywhere,
    legible,
    located,
    print_json,
    say,
    warn,
    where,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from resolver.base.paths import Places
    from resolver.config.schema import Config
    from resolver.ipc.convergence import Convergence
    from resolver.policy import exceptions
    from resolver.policy.exceptions import Bypass, LiveExceptions


@click.command()
@click.argument("switch", type=click.Choice(["on", "off", "show"]), default="show")
@click.argument("what", metavar="[LIST|NAME|URL|REFERENCE]", required=False)
@click.option("--reason", default="", help="For the log.")
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
    from resolver.ipc.convergence import convergence_of, wait
    from resolver.policy import exceptions
    from resolver.policy.bypass import as_dict

    if span is not None and switch != "on":
        raise click.UsageError(f"--for says how long a bypass is on; it means nothing to {switch!r}")
    config = legible(path, directory)
    if at_all and switch == "show":
        raise click.UsageError("--everywhere says where a bypass is on or off; it means nothing to 'show'")
    check_everywhere(config, at_all)
    places, shows = config.places, switch == "show"
    before: dict[str, Any] = {}
    if shows:
        live = exceptions.read(places.exceptions)
    else:
        live, was, one = _throw(config, switch == "on", what, reason, span)
        before = {"before": was and as_dict(was)} if switch == "on" else {}
        if config.peers:
            before["everywhere"] = at_all and _everywhere(places, one, on=switch == "on")
    seen = convergence_of(places) if shows else wait(places)
    if in_json:
        print_json({**_bypassed(live), **before, **seen.as_dict()})
    else:
        _show_bypassed(live)
        if "everywhere" in before:
            say(f"  this is{where(before).removeprefix(',')}")
    all_follow = print_convergence(places, seen, in_json=in_json)
    ctx.exit(0 if (all_follow and (not at_all or before["everywhere"])) or shows else 1)


def print_convergence(places: Places, seen: Convergence, *, in_json: bool) -> bool:
    """Print which processes use the exceptions and which do not; True if all do."""
    from resolver.ipc import rpz_status

    if seen.follow and not in_json:
        say(f"{len(seen.follow)} follow: {', '.join(seen.follow)}")
        if "rpz" in seen.follow and (longest := rpz_status.longest_ttl(places)):
            say(rpz_status.lag(longest))
    if seen.nobody:
        then = "from the next start on"
        if any(place.exists() for place in (places.workers, places.control_socket)):
            warn(f"nobody runs with {places.run_dir}: this holds {then}")
        else:
            back = "the running processes restore it, and use this within seconds"
            warn(f"{places.run_dir} was empty: {back}; else it holds {then}")
        return False
    for sentence in seen.lagging:
        warn(sentence)
    if seen.lagging:
        click.echo("hint: its successor reads it when it starts: stopsign bypass show, stopsign status", err=True)
    return not seen.lagging


def _bypassed(live: exceptions.LiveExceptions) -> dict[str, Any]:
    from resolver.policy.bypass import as_dict

    now = time.time()
    names = [one.of for one in live.holding(now) if one.kind == "name"]
    bypasses = [as_dict(one) for one in live.holding(now)]
    return {"all": live.all(now), "lists": list(live.lists(now)), "names": names, "bypasses": bypasses}


def _show_bypassed(live: exceptions.LiveExceptions) -> None:
    from resolver.policy.bypass import in_words

    now = time.time()
    on = live.holding(now)
    if live.all(now):
        say("everything passes: nothing is blocked")
    else:
        say(f"passing: {', '.join(map(str, on))}" if on else "blocking as the lists say")
    for one in on:
        say(f"  {one} {in_words(one)}")


def _throw(
    config: Config, on: bool, what: str | None, reason: str, span: float | None
) -> tuple[exceptions.LiveExceptions, Bypass | None, Bypass]:
    """What passes now, what was on before of the same, and what was meant."""
    from resolver.ipc.peer_credentials import caller
    from resolver.policy import exceptions
    from resolver.policy.bypass import ends, in_words, meant
    from resolver.policy.exceptions import FOR_EVER

    places = config.places
    is_seen = not on or what is None or _spare_sealed(config, what)
    if not places.run_dir.is_dir():
        hint = "that of the processes is meant: their configuration by --config FILE or --dir DIR"
        raise ResolverError(f"there is no {places.run_dir}: nobody runs there, and nothing is changed", hint=hint)
    now, by = int(time.time()), caller()
    one = exceptions.Bypass("all", "", now, FOR_EVER, by, reason)
    before: Bypass | None = None
    was_on = False

    def change(live: exceptions.LiveExceptions) -> exceptions.LiveExceptions:
        nonlocal one, before, was_on
        kind, of = meant(config, live, what, on=on)
        live = live.ended(now)
        before = live.bypass_of(kind, of)
        was_on = before is not None or (kind == "all" and bool(live.bypasses))
        one = exceptions.Bypass(kind, of, now, _end(now, span, before), by, reason)
        return live.on(one) if on else live.off(kind, of, now=now, by=by, reason=reason)

    live, trouble = exceptions.change(places, change)
    if trouble is not None:
        warn(f"done, but not for after a reboot ({trouble})")
    if on and one.kind == "name" and is_seen:
        note_unlisted(places, one.of, now)
    if on and before is not None:
        stays = ", as before (--for says another)" if span is None else ""
        warn(f"{one} was on already {in_words(before)}; now {ends(one.until)}{stays}")
    if not on:
        note_off(live, one, was_on=was_on, now=now)
    return live, before, one


def _spare_sealed(config: Config, what: str) -> bool:
    """A name that a sealed list holds is not written to this host's disk. The steward knows; with it dead the off
    switch works all the same. False: whether one holds it is not known."""
    from resolver.ipc import control
    from resolver.policy import bypass, exceptions, look_up
    from resolver.policy.explain import is_sealed

    try:
        kind, name = bypass.meant(config, exceptions.LiveExceptions(), what, on=True)
        if kind != "name" or not is_sealed(config):
            return True
    except look_up.ListedError:
        return True
    try:
        answer = control.call(config.places.control_socket, "sealed-reference", name=name)
        held, unknown = answer["reference"], answer.get("unknown")
    except control.ControlError as error:
        held, unknown = None, error
    if unknown is not None:
        warn(f"{name} is written to {config.places.bypass}; whether a sealed list holds it is not known: {unknown}")
        return False
    if held is not None:
        hint = f"stopsign override allow {held}; for all of a list: stopsign bypass on LIST"
        raise ResolverError("a sealed list holds the name, which would be written to this disk", hint=hint)
    return True


def _everywhere(places: Places, one: Bypass, *, on: bool) -> bool:
    """Whether the other hosts hear of it, by the steward, which proves what it says; it holds here in any case."""
    from resolver.ipc import control

    try:
        about: dict[str, Any] = {"kind": one.kind, "of": one.of, "until": one.until, "reason": one.reason}
        answer = control.call(places.control_socket, "bypassed", on=on, **about)
    except control.ControlError as error:
        warn(f"done at this host alone, the others do not hear of it: {error}")
        return False
    return bool(answer["everywhere"])


def _end(now: int, span: float | None, before: Bypass | None) -> int:
    """An end that somebody said stays where none is said now: no bypass is to become one without an end by a slip."""
    from resolver.policy.exceptions import FOR_EVER

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
        warn(f"{before['said']}{kind} was overridden already {was}; now until {answer['until']}")


def note_off(live: LiveExceptions, one: Bypass, *, was_on: bool, now: float) -> None:
    """Says of what is switched off that it was not on, or of a list or a name that it passes all the same."""
    why = ", ".join(_still(live, one, now))
    if not was_on and one.kind == "all":
        warn("nothing was on")
    elif not was_on:
        warn(f"{one} was not on; it goes on passing: {why}" if why else f"{one} was not on")
    elif why:
        warn(f"{one} goes on passing: {why}")


def _still(live: LiveExceptions, one: Bypass, now: float) -> list[str]:
    """Why it goes on passing."""
    on = [other for other in live.holding(now) if other.kind == "all"]
    if one.kind != "name":
        return [f"{other} is on" for other in on]
    on += [other for other in live.holding(now) if other.kind == "name" and other.as_exception().covers(one.of)]
    over = [entry for entry in live.overrides if entry.until > now and entry.covers(one.of)]
    return [
        *(f"{other} is on" for other in on),
        *(f"{entry.name} is overridden (stopsign override lift {entry.name})" for entry in over),
    ]


def note_unlisted(places: Places, name: str, now: float) -> None:
    """Says of a name that somebody lets pass that no list stops it, as a mistyped one."""
    from resolver.policy import look_up

    try:
        compiled, _ = look_up.live(places)
    except look_up.ListedError as unseen:
        warn(f"whether a list holds {name} cannot be seen: {unseen}")
        return
    if not look_up.covering(compiled, name, now):
        warn(f"no list holds {name} or a name above it: done, but it passed already; or something below it is meant")
