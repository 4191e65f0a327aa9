"""`stopsign audit was-blocked | check-blocked`: was a name on an active list on a day, and the proof of it."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklists.counted import counted
from resolver.cli.audit_options import (
    FOLDER,
    json_option,
    key_option,
    locate,
    provider_options,
    read_key,
    readable,
    within_option,
)
from resolver.cli.options import say
from resolver.log.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from resolver.base.paths import Places
    from resolver.log.source import Source

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


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
    from resolver.log.reading import leaves
    from resolver.log.tiles import WIDTH
    from resolver.stats.was_blocked import sealed_lists, write_proof
    from resolver.stats.was_blocked import was_blocked as find

    first, last = (day, day) if day else between or ("", "")
    if not _is_day(first) or not _is_day(last):
        raise AuditError("which days?", hint="--on 2026-11-22, or --between 2026-11-01 2026-11-30")
    if last < first:
        raise AuditError(f"{last} is before {first}", hint=f"--between {last} {first}")
    source, details = readable(None, config_file, directory)
    archive = Archive(locate(config_file, directory).places)
    meant = _name(name)
    within = f"{first}T00Z", f"{last}T23Z"
    found = find(source, details, archive, meant, *within)
    sealed = sealed_lists(source, details, archive, *within)
    if output is not None:
        for finding in found:
            detail = next(one for one in details(finding.leaf // WIDTH) if one.index == finding.leaf)
            write_proof(source, finding, detail, archive, output / f"{finding.leaf}-{finding.entry['reference']}")
    end = next((leaf.hour for _, leaf, _ in leaves(source, details, backwards=True)), None)
    if as_json:
        told = {"name": meant, "found": [one.as_dict() for one in found], "sealed": sealed, "log_ends": end}
        click.echo(json.dumps(told))
        return
    for finding in found:
        say(*finding.lines())
    entries = counted(len(found), "entry")
    lists = "no active list that can be read" if sealed else "no active list"
    click.echo(f"{meant}: {entries}" if found else f"{meant} was on {lists} then")
    for one in sealed:
        say(f"List {one} is sealed: whether {meant} was on it cannot be said without its key.")
    if end is not None and last > end[:10]:
        click.echo(f"The log ends at {end}: it says nothing of later hours.")


@click.command("check-blocked")
@click.argument("folder", type=FOLDER)
@click.argument("name")
@key_option(required=True)
@click.option(
    "--log", help="A copy of the log, or its address: until when the entry was active, and what suspended it."
)
@within_option
@json_option
def check_blocked(folder: Path, name: str, key: str, log: str | None, within: int, *, as_json: bool) -> None:
    """Check one folder of such a proof: what it proves of NAME to somebody who has only the log's key."""
    from resolver.stats.was_blocked import check

    with _copy(log, within) as source:
        proven, found = check(folder, read_key(key), _name(name), source)
    if as_json:
        click.echo(json.dumps({**proven.as_dict(), "found": [one.as_dict() for one in found]}))
        return
    for finding in found:
        say(*finding.lines())
    say(f"Proved: leaf {proven.index} of {proven.checkpoint.origin} activated this document, on these grounds.")
    if source is None:
        click.echo(
            "Not proved: until when, and that nothing was suspended. --log, with a copy of the log, proves both."
        )
        return
    click.echo("Proved: no other leaf ended it, and no other suspended it.")
    if any(pause.perhaps for one in found for pause in one.pauses):
        click.echo("Not proved: what is marked `perhaps`. Those details are the provider's; ask for them.")


def _is_day(typed: str) -> bool:
    if not DAY(typed):
        return False
    try:
        date.fromisoformat(typed)
    except ValueError:
        return False
    return True


@contextmanager
def _copy(log: str | None, within: int) -> Iterator[Source | None]:
    """The log to read: a copy as it is, and one at an address copied first, since it is read twice."""
    from tempfile import TemporaryDirectory

    from resolver.log.export import export
    from resolver.log.reading import published_details
    from resolver.log.source import Folder, open_source

    source = None if log is None else open_source(log, within=within)
    if source is None or isinstance(source, Folder):
        yield source
        return
    with TemporaryDirectory(prefix="stopsign-log-") as folder:
        export(source, Path(folder), published_details(source))
        yield Folder(Path(folder))


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
    from resolver.policy.typed import name_in, only_reference

    if only_reference(typed) is not None:
        raise AuditError(f"{typed!r} is the reference of an entry, and a name is asked for",
                         hint=f"stopsign explain {typed} says of which, while it is in force")  # fmt: skip
    if (name := name_in(typed)) is None:
        raise AuditError(f"{typed!r} is not a domain name; example.com would be right")
    return name
