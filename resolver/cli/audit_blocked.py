"""`stopsign audit was-blocked | check-blocked`: was a name on an active list on a day, and the proof of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resolver.cli.audit_options import FOLDER, json_option, key_option, locate, provider_options, read_key, readable
from resolver.log.errors import AuditError
from resolver.log.tiles import WIDTH
from resolver.policy.typed import name_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.base.paths import Places

DAY = re.compile(r"\d{4}-\d{2}-\d{2}").fullmatch


@click.command("was-blocked")
@click.argument("name")
@click.option("--on", "day", metavar="DATE", help="Within this day (UTC), as 2026-11-22.")
@click.option("--between", nargs=2, metavar="FIRST LAST", help="Within these days (UTC), both included.")
@provider_options
@click.option("--output", type=FOLDER, help="Write the proof here: a folder for each entry that is found.")
@json_option
def was_blocked(
    name: str, day: str | None, between: tuple[str, str] | None, config_file: Path | None, directory: Path | None,
    output: Path | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Was NAME on an active list of this provider, on whose word? From the log and the documents that it names."""
    from resolver.stats.was_blocked import was_blocked as find
    from resolver.stats.was_blocked import write_proof

    first, last = (day, day) if day else between or ("", "")
    if not DAY(first) or not DAY(last) or last < first:
        raise AuditError("which days?", hint="--on 2026-11-22, or --between 2026-11-01 2026-11-30")
    source, details = readable(None, config_file, directory)
    archive = Archive(locate(config_file, directory).places)
    meant = _name(name)
    found = find(source, details, archive, meant, f"{first}T00Z", f"{last}T23Z")
    if output is not None:
        for finding in found:
            detail = next(one for one in details(finding.leaf // WIDTH) if one.index == finding.leaf)
            write_proof(source, finding, detail, archive, output / f"{finding.leaf}-{finding.entry['reference']}")
    if as_json:
        click.echo(json.dumps({"name": meant, "found": [one.as_dict() for one in found]}))
        return
    for finding in found:
        click.echo("\n".join(finding.lines()))
    click.echo(f"{meant}: {len(found)} entries" if found else f"{meant} was on no active list then")


@click.command("check-blocked")
@click.argument("folder", type=FOLDER)
@click.argument("name")
@key_option(required=True)
@json_option
def check_blocked(folder: Path, name: str, key: str, *, as_json: bool) -> None:
    """Check one folder of such a proof offline: what it proves of NAME to somebody who has only the log's key."""
    from resolver.stats.was_blocked import check

    proven, found = check(folder, read_key(key), _name(name))
    if as_json:
        click.echo(json.dumps({**proven.as_dict(), "found": [one.as_dict() for one in found]}))
        return
    for finding in found:
        click.echo("\n".join(finding.lines()))
    if not found:
        click.echo("no entry of this document covers the name")
    click.echo(f"Proved: leaf {proven.index} of {proven.checkpoint.origin} activated this document, on these grounds.")
    click.echo("Not proved by these files: until when. A whole copy of the log says so (`stopsign audit verify`).")


class Archive:
    """What this provider kept."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def lines(self, name: str, state: str) -> Iterable[bytes]:
        from resolver.stats.kept import Kept

        return Kept(self._places.kept(_plain(name))).lines(state)

    def head(self, name: str, digest: str) -> bytes:
        from resolver.stats.kept import Kept

        return Kept(self._places.kept(_plain(name))).head(digest)


def _plain(name: str) -> str:
    if Path(name).name != name or name in {".", ".."}:
        raise AuditError(f"{name!r} is no name of a list")
    return name


def _name(typed: str) -> str:
    if (name := name_in(typed)) is None:
        raise AuditError(f"{typed!r} is not a domain name; example.com would be right")
    return name
