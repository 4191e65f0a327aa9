"""`stopsign report`: what was blocked, on whose word, from when to when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from resolver.cli.audit_options import FILE, locate, provider_options, readable
from resolver.log.errors import AuditError

if TYPE_CHECKING:
    from pathlib import Path


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
@provider_options
@click.option("--document", "documents", multiple=True, type=FILE, help="A list as it was published (full-N.zst).")
@click.option("--add", "others", multiple=True, type=FILE, help="Another host's report in JSON, to be added.")
@click.option("--output", type=FILE, help="Write it here instead of to standard output.")
def report(
    start: date | None,
    end: date | None,
    form: str,
    log: str | None,
    config_file: Path | None,
    directory: Path | None,
    documents: tuple[Path, ...],
    others: tuple[Path, ...],
    output: Path | None,
) -> None:
    """The transparency report of a period, from the log and the lists in force."""
    from resolver.stats.documents import head_beside, in_force
    from resolver.stats.report import add
    from resolver.stats.report import report as compute
    from resolver.stats.report_forms import as_csv, as_html, as_json

    source, details = readable(log, config_file, directory)
    end = end or (datetime.now(UTC) - timedelta(days=2)).date()
    start = start or end - timedelta(days=29)
    known = [(path, head_beside(path)) for path in documents]
    if log is None:
        known += list(in_force(locate(config_file, directory).places.state_dir / "lists"))
    whole = add([compute(source, details, start, end, known), *(_other(path) for path in others)])
    text = {"json": as_json, "csv": as_csv, "html": as_html}[form](whole)
    if output is None:
        click.echo(text, nl=False)
        return
    from blocklists.durable import replace

    replace(output, text.encode())


def _other(path: Path) -> dict[str, Any]:
    from resolver.stats.documents import read_object

    told = read_object(path)
    if not isinstance(told.get("hosts"), list) or "blocks" not in told:
        raise AuditError(f"{path} is not a report", hint="`stopsign report --format json` makes one")
    return told
