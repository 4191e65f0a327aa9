"""`stopsign report`: what was blocked, on whose word, from when to when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from resolver.cli.audit_all import standard_memory, status_of
from resolver.cli.audit_options import (
    FILE,
    FOLDER,
    locate,
    progress,
    provider_options,
    read_key,
    readable,
    within_option,
)
from resolver.cli.options import warn
from resolver.log.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from resolver.log.index import LogThere
    from resolver.log.source import Source
    from resolver.log.verify_all import Outcome
    from resolver.stats.story import Story


class Day(click.ParamType[date]):
    """A day, `2026-11-22`."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a day, as in 2026-11-22", param, ctx)


@click.command()
@click.option("--from", "start", type=Day(), help="The first day.  [default: 30 days before the last]")
@click.option("--to", "end", type=Day(), help="The last day.  [default: the day before yesterday]")
@click.option("--format", "form", type=click.Choice(["html", "json", "csv"]), default="html", show_default=True)
@click.option("--log", help="A copy or an address.  [default: this provider's own]")
@click.option("--all", "index", metavar="INDEX", help="All logs of a provider, by its index (a folder or an address).")
@click.option("--key", help="With --all: the index's public key (a vkey, or a file that holds one).")
@click.option("--seen", type=FOLDER, help="As of `audit verify --all`.")
@within_option
@provider_options
@click.option("--document", "documents", multiple=True, type=FILE, help="A list as it was published (full-N.zst).")
@click.option("--add", "others", multiple=True, type=FILE, help="Another host's report in JSON, to be added.")
@click.option("--output", type=FILE, help="Write it here instead of to standard output.")
def report(
    start: date | None,
    end: date | None,
    form: str,
    log: str | None,
    index: str | None,
    key: str | None,
    seen: Path | None,
    within: int,
    config_file: Path | None,
    directory: Path | None,
    documents: tuple[Path, ...],
    others: tuple[Path, ...],
    output: Path | None,
) -> None:
    """The transparency report of a period, from the log and the lists in force."""
    from resolver.stats.documents import head_beside, in_force
    from resolver.stats.report import add, of_story
    from resolver.stats.report import report as compute
    from resolver.stats.report_forms import as_csv, as_html, as_json

    if index is not None and (log or others or config_file or directory):
        raise click.UsageError("--all has all logs of the index; --log, --add, --config and --dir name others")
    if index is None and (key or seen):
        raise click.UsageError("--key and --seen go with --all")
    end = end or (datetime.now(UTC) - timedelta(days=2)).date()
    start = start or end - timedelta(days=29)
    known = [(path, head_beside(path)) for path in documents]
    outcomes: list[Outcome] = []
    if index is not None:
        story, outcomes = _story_of_all(index, key, seen, within, start, end)
        whole = add([of_story(story, known, missing(outcomes))])
    else:
        source, details = readable(log, config_file, directory)
        if log is None:
            known += list(in_force(locate(config_file, directory).places.state_dir / "lists"))
        whole = add([compute(source, details, start, end, known), *(_other(path) for path in others)])
    text = {"json": as_json, "csv": as_csv, "html": as_html}[form](whole)
    if output is None:
        click.echo(text, nl=False)
    else:
        from blocklists.durable import replace

        replace(output, text.encode())
    for one in outcomes:
        if one.error is not None:
            warn(f"{one.log.origin} is missing in this report: {one.error}")
    if status := status_of(outcomes):
        click.get_current_context().exit(status)


def _story_of_all(
    index: str, key: str | None, seen: Path | None, within: int, start: date, end: date
) -> tuple[Story, list[Outcome]]:
    """The story of all logs that verify. Raises `AuditError` where none does."""
    from resolver.log.policy import Policy
    from resolver.log.reading import published_details
    from resolver.log.source import open_source
    from resolver.log.verify_all import read_index, verify_all
    from resolver.stats.story import read_story

    stories: dict[str, Story] = {}

    def verified(log: LogThere, source: Source) -> None:
        stories[log.origin] = read_story(source, published_details(source), start, end)

    read, memory = read_index(
        open_source(index, within=within), read_key(key) if key else None, seen or standard_memory()
    )
    with progress("leaves") as told:
        nobody = Policy.of([], 0)
        outcomes = list(verify_all(read, memory, nobody, within=within, progress=told, verified=verified))
    if not stories:
        raise AuditError(
            "no log of this index could be read and verified", hint="`stopsign audit verify --all` says why"
        )
    whole, *more = (stories[one.origin] for one in read.index.logs if one.origin in stories)
    for other in more:
        whole = whole.joined(other)
    return whole, outcomes


def missing(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """The logs that the report lacks."""
    return [{"origin": one.log.origin, "why": str(one.error)} for one in outcomes if one.error is not None]


def _other(path: Path) -> dict[str, Any]:
    from resolver.stats.documents import read_object

    told = read_object(path)
    if not isinstance(told.get("hosts"), list) or "blocks" not in told:
        raise AuditError(f"{path} is not a report", hint="`stopsign report --format json` makes one")
    return told
