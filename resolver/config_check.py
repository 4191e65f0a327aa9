"""The command `check-config`: every mistake of a configuration in one report, then what only a try shows."""

from __future__ import annotations

from pathlib import Path

import click

from resolver.config import Config, load, located_at
from resolver.config_trial import trial
from resolver.options import located, print_json


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@located
@click.option("--schema", is_flag=True, help="Print the JSON schema instead.")
@click.option("--no-trial", is_flag=True, help="Only read it; do not try ports, upstreams, roots, files and folders.")
@click.pass_context
def check_config(
    ctx: click.Context, file: Path | None, path: Path | None, directory: Path | None, schema: bool, no_trial: bool
) -> None:
    """Check a configuration: every mistake with its line (exit 2), then what only a try shows (exit 1)."""
    if schema:
        print_json(Config.model_json_schema())
        return
    if file is not None and (path is not None or directory is not None):
        raise click.UsageError("the file is named twice: FILE, --config FILE or --dir DIR")
    file = file or located_at(path, directory)
    config = load(file)
    findings = [] if no_trial else trial(config, file)
    for finding in findings:
        click.echo(f"{file}: {finding}")
    if any(finding.fatal for finding in findings):
        ctx.exit(1)
    click.echo(f"{file}: good: {len(config.lists)} lists, {len(config.dns.upstreams)} upstreams")
