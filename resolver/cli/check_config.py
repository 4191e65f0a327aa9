"""The command `check-config`: every mistake of a configuration and all that only a try shows, in one report.

Enters: a file. Leaves: what is wrong, each with the line of its key, sorted by line; 2 where the file has mistakes, 1
where something that it asks for does not work here and now. While a mistake stands, what can be read is tried all the
same, and what cannot is named.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklists.counted import counted
from resolver.cli.options import as_json, located, print_json, use_password

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.config.finding import Finding
    from resolver.config.reader import Reading
    from resolver.config.schema import Config, Problem


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@located
@as_json
@click.option("--schema", is_flag=True, help="Print the JSON schema instead.")
@click.option("--no-trial", is_flag=True, help="Only read it; do not try ports, upstreams, roots, files and folders.")
@click.pass_context
def check_config(
    ctx: click.Context,
    file: Path | None,
    path: Path | None,
    directory: Path | None,
    in_json: bool,
    schema: bool,
    no_trial: bool,
) -> None:
    """Check a configuration: every mistake (exit 2), and what only a try shows (exit 1), each with its line.

    While there are mistakes, what can be read is tried all the same; what cannot is named. A warning alone exits 0.
    """
    from resolver.config.schema import Config, ConfigError, located_at

    if schema:
        print_json(Config.model_json_schema())
        return
    if file is not None and (path is not None or directory is not None):
        raise click.UsageError("the file is named twice: FILE, --config FILE or --dir DIR")
    file = file or located_at(path, directory)
    try:
        found, config = checked(file, tries=not no_trial)
    except ConfigError as unread:
        if not in_json:
            raise
        found, config = list(unread.problems), None
    levels = {problem.level for problem in found}
    wanting = 2 if config is None else int("error" in levels)
    if in_json:
        print_json({"ok": not wanting, "findings": [problem.as_dict() for problem in found]})
        ctx.exit(wanting)
    if config is None:
        raise ConfigError(found)
    for problem in found:
        click.echo(problem)
    if wanting:
        ctx.exit(wanting)
    upstreams, zones = counted(len(config.upstreams), "upstream"), counted(len(config.rpz.zones), "policy zone")
    behind = upstreams if config.dns is not None else zones
    click.echo(f"{file}: good: {counted(len(config.lists), 'list')}, {behind}")


def checked(file: Path, *, tries: bool) -> tuple[list[Problem], Config | None]:
    """All that is to be said of it, by line; and the configuration, where it has no mistake. Raises `ConfigError` where
    it cannot be read at all."""
    from resolver.config.reader import read
    from resolver.config.schema import reading_of

    reading = reading_of(file, read(file))
    found = [*reading.problems, *(_tried(reading, file) if tries else ())]
    return sorted(found), reading.value


def _tried(reading: Reading[Config], file: Path) -> list[Problem]:
    from resolver.config.preflight.host import trial
    from resolver.config.readable import not_tried, readable
    from resolver.ipc.addresses import held

    if reading.value is not None:
        use_password(reading.value)
        tried = (*trial(reading.value, file, held), *_zones_without(reading.value))
        return [finding.at(reading.lines) for finding in tried]
    some = readable(reading)
    if some is None:
        return []
    use_password(some.config)
    found = [finding.at(reading.lines) for finding in trial(some.config, file, held) if some.tried(finding)]
    return [*found, *not_tried(some, reading)]


def _zones_without(config: Config) -> Iterator[Finding]:
    """Zones that cannot hold what is live: sealed lists."""
    from resolver.config.finding import Finding
    from resolver.policy.in_force import Follower
    from resolver.rpz.rules import NEVER_A_ZONE, lists_of, sealed

    if not config.rpz.zones:
        return
    live = Follower(config.places)
    live.poll()
    for at, zone in enumerate(config.rpz.zones):
        wanted = lists_of(config, zone)
        for name in sorted(sealed(live.now) & (wanted or sealed(live.now))):
            does = "is made without" if wanted is None else "is refused with"
            yield Finding(f"rpz.zones[{at}]", f"{does} {name}: {NEVER_A_ZONE}", fatal=wanted is not None)
