"""The commands of the provider's lists: `lists`, `override`, `explain`.

Results go to standard output, everything else to standard error. `explain` and `lists diff` read files alone, so
that they work with the steward dead.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from blocklists.counted import counted
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

    from resolver.config.schema import Config

LONG = 120.0  # seconds for the steward to compile all lists


# -- lists


@click.group()
def lists() -> None:
    """The lists that this provider follows."""


@lists.command()
@located
@as_json
def status(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Every list: version, age, entries, what is held or refused and why."""
    from resolver.ipc import control

    answer = control.call(legible(path, directory).places.control_socket, "status")
    if in_json:
        print_json(answer)
        return
    for part in answer["lists"]:
        say(f"{part['name']}: {_version(part)}, {counted(part['entries'], 'entry')}, {part['action']}")
        confirmed = f"confirmed {part['confirmed']}" if part["confirmed"] else "not confirmed yet"
        say(f"  {confirmed}, from {part['repository']}")
        if part["suspended"]:
            say(f"  suspended {part['suspended']:,}")
        if part["refusal"]:
            refusal = part["refusal"]
            say(f"  refused since {refusal['since']}: {refusal['code']}: {refusal['text']}")
        if (stage := part.get("stage", "at-once")) != "at-once":
            say(f"  {stage}: {_turn(part)}" if part["waits"] else f"  {stage}")
        if part["held"]:
            _print_held(part["name"], part["held"])
    for alarm in answer["alarms"]:
        say(f"alarm: {alarm}")


def _version(part: dict[str, Any]) -> str:
    if part["version"] is None:
        return "nothing active"
    less = f" without what version {part['less']} removes" if part["less"] else ""
    return f"version {part['version']}{less} since {part['since']}"


def _turn(part: dict[str, Any]) -> str:
    return f"{part['waits']['kind']}: {part['waits']['text']}"


def _print_held(name: str, held: dict[str, Any]) -> None:
    say(f"  held: {counted(held['added'], 'addition')} of version {held['version']} since {held['since']}")
    for reason in held["reasons"]:
        say(f"    {reason['kind']}: {reason['text']}")
    if held["approvable"]:
        past = " --now" if held["reasons"][0]["kind"] == "stage" else ""
        say(f"    to let them through: stopsign lists approve {name} {held['version']} {held['state'][7:23]}{past}")
    else:
        say("    nobody can approve this: the issuer has to publish another version")


@lists.command()
@click.argument("names", nargs=-1, metavar="[LIST]…")
@located
@as_json
@click.pass_context
def refresh(
    ctx: click.Context, names: tuple[str, ...], path: Path | None, directory: Path | None, in_json: bool
) -> None:
    """Fetch lists now. Exits 1 when one was refused, and says why."""
    from resolver.ipc import control

    config = legible(path, directory)
    patience = 60.0 + sum(source.deadline for source in config.lists)
    answer = control.call(config.places.control_socket, "refresh", timeout=patience, lists=list(names))
    if in_json:
        print_json(answer)
    for outcome in answer["outcomes"] if not in_json else []:
        version = f" version {outcome['version']}" if outcome["version"] else ""
        said = f": {outcome['reason']}: {outcome['text']}" if outcome["reason"] else ""
        say(f"{outcome['list']}: {outcome['outcome']}{version}{said}")
    ctx.exit(1 if any(outcome["outcome"] == "refused" for outcome in answer["outcomes"]) else 0)


@lists.command()
@click.argument("name", metavar="LIST")
@click.argument("version", type=int)
@click.argument("state", metavar="HASH")
@click.option("--now", is_flag=True, help="Also past the waves that these additions wait for.")
@everywhere
@located
@as_json
@click.pass_context
def approve(
    ctx: click.Context,
    name: str,
    version: int,
    state: str,
    now: bool,
    at_all: bool,
    path: Path | None,
    directory: Path | None,
    in_json: bool,
) -> None:
    """Let held additions through: exactly those of this VERSION with this HASH (its first 8 digits at least).

    A host of a later wave lets them act when the wave before it is well; with --now it does so at once. Waits until
    every worker that lives has them, and exits 1 where one does not.
    """
    from resolver.ipc import control
    from resolver.ipc.convergence import wait_for_generation

    config = legible(path, directory)
    check_everywhere(config, at_all)
    places, what = config.places, {"list": name, "version": version, "state": state, "now": now}
    answer = control.call(places.control_socket, "approve", timeout=LONG, **what, everywhere=at_all)
    seen = wait_for_generation(places, int(control.call(places.control_socket, "status")["generation"]))
    if in_json:
        print_json({**answer, **seen.as_dict()})
    else:
        why = f": {answer['text']}" if answer["text"] else ""
        say(f"{name}: version {answer['version']} is {answer['outcome']}{why}{where(answer)}")
        if seen.follow:
            say(f"{len(seen.follow)} follow: {', '.join(seen.follow)}")
    for sentence in seen.lagging:
        warn(sentence)
    ctx.exit(1 if seen.lagging else 0)


@lists.command()
@click.argument("name", metavar="LIST")
@click.option(
    "--limit", type=click.IntRange(0, 1_000_000), default=1000, show_default=True, help="How many changes to name."
)
@located
@as_json
def diff(name: str, limit: int, path: Path | None, directory: Path | None, in_json: bool) -> None:
    """What the last verified version of LIST would change."""
    from resolver.lists.difference import difference

    found = difference(legible(path, directory), name, limit)
    if in_json:
        print_json(found)
        return
    for change in found["changes"]:
        say(f"{change['kind']:>9}  {change['name']} ({change['match']})  {change['reference']}")
    by_kind = ", ".join(f"{number:,} {kind}" for kind, number in found["counts"].items() if number)
    say(f"{name}: version {found['from'] or 'none'} to {found['to']}: {by_kind or 'no difference'}")


# -- override


@click.group()
def override() -> None:
    """Names that a person lets pass. An override only ever unblocks, and ends by itself."""


@override.command()
@click.argument("name", metavar="NAME|URL|REFERENCE")
@click.option("--reason", required=True, help="For the log.")
@click.option("--for", "span", type=Span(), default="72h", show_default=True, help="How long, as 72h.")
@click.option("--match", type=click.Choice(["exact", "subtree", "below"]), default="subtree", show_default=True)
@everywhere
@located
@as_json
@click.pass_context
def allow(
    ctx: click.Context,
    name: str,
    reason: str,
    span: float,
    match: str,
    at_all: bool,
    path: Path | None,
    directory: Path | None,
    in_json: bool,
) -> None:
    """Let NAME pass, whatever the lists say. A top-level domain is written with its dot: `example.`

    A name that a sealed list holds is written nowhere: its entry is let pass by its REFERENCE, with its own match.

    Said again it is replaced, and what was is named. Waits until every worker and the zones follow, and exits 1 where
    one does not, or nobody runs.
    """
    from resolver.cli import bypass as off_switch
    from resolver.ipc import control
    from resolver.policy.typed import only_reference

    config = legible(path, directory)
    reference = only_reference(name) or ""
    name = _entry_meant(config, name, reference, on=True)
    check_everywhere(config, at_all)
    about: dict[str, Any] = {"name": name, "reason": reason, "seconds": span, "match": match, "everywhere": at_all}
    try:
        answer = control.call(config.places.control_socket, "override", **about, reference=reference)
    except control.UnreachableError as silent:
        of = name or "LIST"
        silent.hint = f"{silent.hint}; without it: stopsign bypass on {of}, until bypass off {of}"
        raise
    off_switch.note_override(answer)
    if name:
        off_switch.note_unlisted(config.places, name, time.time())
    if answer.get("list"):
        _note_others(config, answer["list"], reference)
    said = f"{answer['said']} ({answer['match']}) passes until {answer['until']}{where(answer)}"
    _followed(ctx, config, answer, said, in_json=in_json)


@override.command("list")
@located
@as_json
def list_overrides(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """The overrides that hold now."""
    from resolver.ipc import control

    answer = control.call(legible(path, directory).places.control_socket, "overrides")
    if in_json:
        print_json(answer)
        return
    if not answer["overrides"]:
        say("no overrides")
    for entry in answer["overrides"]:
        say(f"{entry['said']} ({entry['match']}) until {entry['until']} by {entry['by']}: {entry['reason']}")


@override.command()
@click.argument("name", metavar="NAME|URL|REFERENCE")
@everywhere
@located
@as_json
@click.pass_context
def lift(ctx: click.Context, name: str, at_all: bool, path: Path | None, directory: Path | None, in_json: bool) -> None:
    """End the override of NAME now; by the REFERENCE that it was allowed by, also where the entry has gone."""
    from resolver.cli import bypass as off_switch
    from resolver.ipc import control
    from resolver.policy.typed import only_reference

    config = legible(path, directory)
    check_everywhere(config, at_all)
    reference = only_reference(name) or ""
    meant = _entry_meant(config, name, reference, on=False)
    answer = control.call(config.places.control_socket, "lift", name=meant, reference=reference, everywhere=at_all)
    off_switch.note_override(answer)
    _followed(ctx, config, answer, f"{answer['said']} no longer passes{where(answer)}", in_json=in_json)


def _note_others(config: Config, name: str, reference: str) -> None:
    """Says of a sealed entry that passes which other list has it too: one that adopted it, or its source."""
    from resolver.policy import look_up

    try:
        compiled, meta = look_up.live(config.places)
    except look_up.ListedError:
        return
    stopping = (one for one in compiled.find({reference}) if not one.name and one.action != "monitor")
    if others := sorted({meta.lists[one.list].name for one in stopping} - {name}):
        warn(f"list {', '.join(others)} holds the entry too, and goes on blocking: stopsign bypass on {others[0]}")


def _followed(ctx: click.Context, config: Config, answer: Mapping[str, Any], said: str, *, in_json: bool) -> None:
    """Waits for those who decide, as `bypass` does."""
    from resolver.cli import bypass as off_switch
    from resolver.ipc.convergence import wait

    seen = wait(config.places)
    print_json({**answer, **seen.as_dict()}) if in_json else say(said)
    ctx.exit(0 if off_switch.print_convergence(config.places, seen, in_json=in_json) else 1)


def _entry_meant(config: Config, typed: str, reference: str, *, on: bool) -> str:
    """The name; empty where the reference alone is known: of a sealed list, or of an entry that has gone."""
    from resolver.policy import bypass
    from resolver.policy.look_up import ListedError

    try:
        return _name_meant(config, typed, on=on)
    except (bypass.NoEntryError, bypass.SealedEntryError, ListedError):
        if not reference:
            raise
        return ""


def _name_meant(config: Config, typed: str, *, on: bool) -> str:
    from resolver.policy import bypass
    from resolver.policy.exceptions import LiveExceptions
    from resolver.policy.typed import name_in, only_reference

    is_reference = only_reference(typed) is not None
    if not is_reference and name_in(typed) is None and config.list_named(typed) is None:
        hint = "example.com would be right, the address of a page, or a reference"
        raise ResolverError(f"{typed!r} is not a name", hint=hint)
    alone = name_in(typed) if on and not is_reference else None
    if alone and "." not in alone and not typed.endswith(".") and config.list_named(typed) is None:
        hint = f"the whole name would be right; a top-level domain, should that be meant, is written {alone}."
        raise ResolverError(f"{typed!r} alone would be a top-level domain", hint=hint)
    kind, name = bypass.meant(config, LiveExceptions(), typed, on=on)
    if kind != "name":
        raise ResolverError(f"{name!r} is a list, not a name", hint=f"all that it stops: stopsign bypass on {name}")
    return name


# -- explain


@click.command()
@click.argument("name", metavar="NAME|URL|REFERENCE")
@click.option("--client", help="For this client's address: is it served, by which lists?")
@located
@as_json
def explain(name: str, client: str | None, path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Why a name is stopped, or why not: which entry of which list, signed by whom, on which ground. An entry that was
    withdrawn or is suspended is named too: by whom, since when, why.

    Takes a name, the address of a page, or the 16 characters of a stop page's reference. For a name that passes the
    first upstream is asked whether it leads to one that is listed. While sealed lists are active the steward answers
    about names: it logs who asked, and answers about 60 an hour, those that a name leads to among them. A reference is
    looked up in the files on this disk, at any time.
    """
    from resolver.ipc import control, rpz_status
    from resolver.lists import withdrawn
    from resolver.policy.explain import PASSES, Explanation, Leads, is_sealed, leads_to
    from resolver.policy.explain import explain as by_files
    from resolver.policy.typed import only_reference

    config, now = legible(path, directory), time.time()
    off = withdrawn.find(config, name, now)
    typed, by_reference = name, only_reference(name) is not None
    if off and not off[0].name:  # of a sealed list: its reference is all that is known
        if in_json:
            print_json({"asked": typed, "withdrawn": [one.as_dict() for one in off]})
            return
        for one in off:
            entry, why = one.lines()
            say(entry.lstrip(), why)
        return
    if off and by_reference:  # no live entry has it: its name says what is so now
        name = f"www.{off[0].name}" if off[0].match == "below" else off[0].name

    def explained(leads: Leads) -> Explanation:
        if by_reference or not is_sealed(config):
            return by_files(config, name, now=now, client=client, leads_to=leads)
        owners, beside = leads.owners, leads.beside
        socket = config.places.control_socket
        told = control.call(socket, "explain", name=name, client=client or "", owners=owners, beside=beside)
        return Explanation.of(told)

    found = explained(Leads())
    if by_reference and is_sealed(config):
        warn(f"what sealed lists say of {found.name} is not looked at: stopsign explain {found.name}")
    if found.verdict in PASSES and config.upstreams:
        others = leads_to(config, found.name)
        if others is None:
            click.echo(f"whether it leads to a listed name is unknown: {config.upstreams[0]} is silent", err=True)
        else:
            found = explained(others) if others != Leads() else found
    if in_json:
        print_json({**found.as_dict(), "asked": typed, "withdrawn": [one.as_dict() for one in off]})
        return
    say(*found.lines(), *(line for one in off for line in one.lines()))
    if found.verdict == "passes" and config.rpz.zones:
        say(rpz_status.lag(max(zone.ttl for zone in config.rpz.zones)))
