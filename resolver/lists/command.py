"""The commands of the provider's lists: `lists`, `override`, `bypass`, `explain`, `check-config`.

Results go to standard output, everything else to standard error. `explain`, `bypass`, `lists diff` and `check-config`
read and write files alone, so that they work with the steward dead.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from resolver import bypass as off_switch
from resolver import control, passes
from resolver.config import STANDARD, Config, load
from resolver.config_trial import trial
from resolver.config_values import domain_name
from resolver.errors import ResolverError
from resolver.following import following, wait
from resolver.options import as_json, located
from resolver.standing import legible

LONG = 120.0  # seconds for the steward to compile all lists
UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


class Span(click.ParamType[float]):
    """A time with a unit, as `72h`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        number, unit = text[:-1], text[-1:]
        if unit not in UNITS or not number.replace(".", "", 1).isdigit():
            self.fail(f"{text!r} needs a number with a unit (m, h, d); 72h would be right", param, ctx)
        return float(number) * UNITS[unit]


# -- lists


@click.group()
def lists() -> None:
    """The lists that this provider follows."""


@lists.command()
@located
@as_json
def status(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Every list: version, age, entries, what is held or refused and why."""
    answer = control.call(legible(path, directory).places.control_socket, "status")
    if in_json:
        _print_json(answer)
        return
    for part in answer["lists"]:
        click.echo(f"{part['name']}: {_version(part)}, {part['entries']:,} entries, {part['action']}")
        confirmed = f"confirmed {part['confirmed']}" if part["confirmed"] else "not confirmed yet"
        click.echo(f"  {confirmed}, from {part['repository']}")
        if part["suspended"]:
            click.echo(f"  suspended {part['suspended']:,}")
        if part["refusal"]:
            refusal = part["refusal"]
            click.echo(f"  refused since {refusal['since']}: {refusal['code']}: {refusal['text']}")
        if part["held"]:
            _print_held(part["name"], part["held"])
    for alarm in answer["alarms"]:
        click.echo(f"alarm: {alarm}")


def _version(part: dict[str, Any]) -> str:
    if part["version"] is None:
        return "nothing active"
    less = f" without what version {part['less']} removes" if part["less"] else ""
    return f"version {part['version']}{less} since {part['since']}"


def _print_held(name: str, held: dict[str, Any]) -> None:
    click.echo(f"  held: {held['added']:,} additions of version {held['version']} since {held['since']}")
    for reason in held["reasons"]:
        click.echo(f"    {reason['kind']}: {reason['text']}")
    if held["approvable"]:
        click.echo(f"    to let them through: stopsign lists approve {name} {held['version']} {held['state'][7:23]}")
    else:
        click.echo("    nobody can approve this: the issuer has to publish another version")


@lists.command()
@click.argument("names", nargs=-1, metavar="[LIST]…")
@located
@as_json
@click.pass_context
def refresh(
    ctx: click.Context, names: tuple[str, ...], path: Path | None, directory: Path | None, in_json: bool
) -> None:
    """Fetch lists now. Exits 1 when one was refused, and says why."""
    config = legible(path, directory)
    patience = 60.0 + sum(source.deadline for source in config.lists)
    answer = control.call(config.places.control_socket, "refresh", timeout=patience, lists=list(names))
    if in_json:
        _print_json(answer)
    for outcome in answer["outcomes"] if not in_json else []:
        version = f" version {outcome['version']}" if outcome["version"] else ""
        said = f": {outcome['reason']}: {outcome['text']}" if outcome["reason"] else ""
        click.echo(f"{outcome['list']}: {outcome['outcome']}{version}{said}")
    ctx.exit(1 if any(outcome["outcome"] == "refused" for outcome in answer["outcomes"]) else 0)


@lists.command()
@click.argument("name", metavar="LIST")
@click.argument("version", type=int)
@click.argument("state", metavar="HASH")
@located
@as_json
def approve(name: str, version: int, state: str, path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Let held additions through: exactly those of this VERSION with this HASH (its first 8 digits at least)."""
    places = legible(path, directory).places
    answer = control.call(places.control_socket, "approve", timeout=LONG, list=name, version=version, state=state)
    if in_json:
        _print_json(answer)
    else:
        click.echo(f"{name}: version {answer['version']} is {answer['outcome']}")


@lists.command()
@click.argument("name", metavar="LIST")
@click.option("--limit", default=1000, show_default=True, help="How many changes to name.")
@located
@as_json
def diff(name: str, limit: int, path: Path | None, directory: Path | None, in_json: bool) -> None:
    """What the last verified version of LIST would change of what is applied."""
    from resolver.lists.difference import difference

    found = difference(legible(path, directory), name, limit)
    if in_json:
        _print_json(found)
        return
    for change in found["changes"]:
        click.echo(f"{change['kind']:>9}  {change['name']} ({change['match']})  {change['reference']}")
    counted = ", ".join(f"{number:,} {kind}" for kind, number in found["counts"].items() if number)
    click.echo(f"{name}: version {found['from'] or 'none'} to {found['to']}: {counted or 'no difference'}")


# -- override


@click.group()
def override() -> None:
    """Names that a person lets pass. An override only ever unblocks, and ends by itself."""


@override.command()
@click.argument("name")
@click.option("--reason", required=True, help="For the log, and for whoever asks later.")
@click.option("--for", "span", type=Span(), default="72h", show_default=True, help="How long, as 72h.")
@click.option("--match", type=click.Choice(["exact", "subtree", "below"]), default="subtree", show_default=True)
@located
@as_json
def allow(
    name: str, reason: str, span: float, match: str, path: Path | None, directory: Path | None, in_json: bool
) -> None:
    """Let NAME pass, whatever the lists say."""
    places = legible(path, directory).places
    try:
        answer = control.call(places.control_socket, "override", name=name, reason=reason, seconds=span, match=match)
    except control.UnreachableError as silent:
        silent.hint = f"{silent.hint}; without it: stopsign bypass on {name}, until bypass off {name}"
        raise
    if in_json:
        _print_json(answer)
    else:
        click.echo(f"{answer['name']} ({answer['match']}) passes until {answer['until']}")


@override.command("list")
@located
@as_json
def list_overrides(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """The overrides that hold now."""
    answer = control.call(legible(path, directory).places.control_socket, "overrides")
    if in_json:
        _print_json(answer)
        return
    if not answer["overrides"]:
        click.echo("no overrides")
    for entry in answer["overrides"]:
        click.echo(f"{entry['name']} ({entry['match']}) until {entry['until']} by {entry['by']}: {entry['reason']}")


@override.command()
@click.argument("name")
@located
@as_json
def lift(name: str, path: Path | None, directory: Path | None, in_json: bool) -> None:
    """End the override of NAME now."""
    answer = control.call(legible(path, directory).places.control_socket, "lift", name=name)
    if in_json:
        _print_json(answer)
    else:
        click.echo(f"{answer['name']} no longer passes")


# -- bypass


@click.command()
@click.argument("switch", type=click.Choice(["on", "off", "show"]), default="show")
@click.argument("what", metavar="[LIST|NAME]", required=False)
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
        _print_json({**_bypassed(live), "follow": list(seen.follow), "behind": list(behind)})
    else:
        _show_bypassed(live)
    if seen.follow and not in_json:
        click.echo(f"{len(seen.follow)} follow: {', '.join(seen.follow)}")
    if seen.nobody:
        behind = (f"nobody runs with {places.run_dir}: this holds from the next start on",)
    for sentence in behind:
        click.echo(f"stopsign: warning: {sentence}", err=True)
    if behind and not seen.nobody:
        click.echo("hint: its successor takes it up when it starts: stopsign bypass show, stopsign status", err=True)
    ctx.exit(1 if behind and not shows else 0)


def _bypassed(live: passes.Passes) -> dict[str, Any]:
    now = time.time()
    names = [one.of for one in live.holding(now) if one.kind == "name"]
    bypasses = [off_switch.as_dict(one) for one in live.holding(now)]
    return {"all": live.all(now), "lists": list(live.lists(now)), "names": names, "bypasses": bypasses}


def _show_bypassed(live: passes.Passes) -> None:
    now = time.time()
    on = live.holding(now)
    if live.all(now):
        click.echo("everything passes: nothing is blocked")
    else:
        click.echo(f"passing: {', '.join(map(str, on))}" if on else "blocking as the lists say")
    for one in on:
        click.echo(f"  {one} {off_switch.told(one)}")


def _throw(config: Config, on: bool, what: str | None, reason: str, span: float | None) -> passes.Passes:
    places, known = config.places, [source.name for source in config.lists]
    if not places.run_dir.is_dir():
        hint = "that of the processes is meant: their configuration by --config FILE or --dir DIR"
        raise ResolverError(f"there is no {places.run_dir}: nobody runs there, and nothing is changed", hint=hint)
    kind: passes.Kind = "all" if what is None else "list" if what in known else "name"
    of = what or ""
    if kind == "name":
        try:
            of = domain_name(of)
        except ValueError as error:
            raise ResolverError(f"{what!r} is neither a list nor a name", hint=f"lists: {', '.join(known)}") from error
        if on and "." not in str(what):
            raise ResolverError(
                f"there is no list {what!r}",
                hint=f"lists: {', '.join(known)}; a whole top-level domain is written with its dot: {of}.",
            )
    now, by = int(time.time()), off_switch.caller()
    until = passes.FOR_EVER if span is None else int(now + span)

    def change(live: passes.Passes) -> passes.Passes:
        live = live.ended(now)
        if on:
            return live.on(passes.Bypass(kind, of, now, until, by, reason))
        return live.off(kind, of, now=now, by=by, reason=reason)

    live, trouble = passes.change(places, change)
    if trouble is not None:
        click.echo(f"stopsign: warning: done, but not for after a reboot ({trouble})", err=True)
    return live


# -- explain, check-config


@click.command()
@click.argument("name", metavar="NAME|URL|REFERENCE")
@click.option("--client", help="For this client's address: is it served, by which lists?")
@located
@as_json
def explain(name: str, client: str | None, path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Why a name is stopped, or why not: which entry of which list, signed by whom, on which ground.

    Takes a name, the address of a page, or the 16 characters of a stop page's reference.
    """
    from resolver.lists.explain import explain as explained

    found = explained(legible(path, directory), name, now=time.time(), client=client)
    if in_json:
        _print_json(found.as_dict())
    else:
        click.echo("\n".join(found.lines()))


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema instead.")
@click.option("--no-trial", is_flag=True, help="Only read it; do not try ports, upstreams, roots, files and folders.")
@click.pass_context
def check_config(ctx: click.Context, file: Path | None, schema: bool, no_trial: bool) -> None:
    """Check a configuration: every mistake with its line (exit 2), then what only a try shows (exit 1)."""
    if schema:
        _print_json(Config.model_json_schema())
        return
    file = file or STANDARD
    config = load(file)
    findings = [] if no_trial else trial(config, file)
    for finding in findings:
        click.echo(f"{file}: {finding}")
    if any(finding.fatal for finding in findings):
        ctx.exit(1)
    click.echo(f"{file}: good: {len(config.lists)} lists, {len(config.dns.upstreams)} upstreams")


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))
