"""`stopsign audit …` and `stopsign report`: what an auditor, a witness and an operator type.

Enters: the command line. Leaves: results on standard output, all else on standard error. Rules: exit 0 done, 1 checked
and found wanting, 2 could not do it; what needs only a copy and a key works on a machine that has nothing else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from resolver.cli.audit_all import verify_index
from resolver.cli.audit_blocked import check_blocked, was_blocked
from resolver.cli.audit_options import (
    FILE,
    FOLDER,
    json_option,
    key_option,
    progress,
    provider_options,
    read_key,
    read_note,
    read_policy,
    readable,
    within_option,
    witness_options,
)
from resolver.cli.audit_proof import check_proof, cosign, prove, witness_verify
from resolver.cli.audit_provider import erase, export, probe
from resolver.cli.audit_witness import collect, witness, witness_key
from resolver.cli.options import say, warn
from resolver.cli.report import report
from resolver.log.errors import UntrueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from resolver.log.leaf import Detail, Leaf

__all__ = ["audit", "report"]


class Judging(click.Group):
    """A group whose commands exit 1 where something was checked and found wanting."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UntrueError as wrong:
            click.echo(f"stopsign: error: {wrong}", err=True)
            if wrong.hint:
                click.echo(f"hint: {wrong.hint}", err=True)
            ctx.exit(1)


@click.group(cls=Judging)
def audit() -> None:
    """The log of what the provider did: read it, check it, prove from it, witness it."""


@audit.command()
@click.argument("log", required=False)
@click.option("--all", "index", metavar="INDEX", help="All logs of a provider, by its index (a folder or an address).")
@click.option("--seen", type=FOLDER, help="With --all: what you saw, for next time.  [default: in your state folder]")
@key_option()
@click.option("--checkpoint", "kept", multiple=True, help="A checkpoint kept from earlier, or a witness's.")
@witness_options
@click.option("--save", type=FILE, help="Keep the checkpoint here for next time, once all is verified.")
@within_option
@json_option
def verify(
    log: str | None,
    index: str | None,
    seen: Path | None,
    key: str | None,
    kept: tuple[str, ...],
    witness: tuple[str, ...],
    policy_file: Path | None,
    quorum: int | None,
    save: Path | None,
    within: int,
    *,
    as_json: bool,
) -> None:
    """Recompute a whole log: LOG is a copy (a folder) or an address (https://…). With --all: each log of an index."""
    from resolver.cli.audit_show import verdict_lines
    from resolver.log.source import open_source
    from resolver.log.verify import verify as recompute

    policy = read_policy(policy_file, witness, quorum)
    if index is not None:
        if log is not None or kept or save:
            raise click.UsageError("--all takes no LOG; what was seen of each log is kept in --seen")
        verify_index(index, key, seen, policy, within, as_json=as_json)
        return
    if log is None or seen is not None:
        raise click.UsageError("LOG is missing" if log is None else "--seen goes with --all; --save keeps a checkpoint")
    source = open_source(log, within=within)
    notes = [read_note(where) for where in kept]
    trusted = read_key(key) if key else None
    try:
        with progress("leaves") as told:
            verdict = recompute(source, trusted, kept=notes, policy=policy, progress=told)
    except UntrueError as wrong:
        if as_json:
            click.echo(json.dumps({"ok": False, "error": str(wrong), "hint": wrong.hint, "leaf": wrong.leaf}))
        raise
    if save:
        from blocklists.durable import replace

        replace(save, verdict.note)
    say(*([json.dumps(verdict.as_dict())] if as_json else verdict_lines(verdict)))


@audit.command()
@click.argument("log", required=False)
@provider_options
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="The newest so many.")
@click.option("--all", "everything", is_flag=True, help="All leaves, the oldest first.")
@click.option("--type", "kind", help="Leaves of this type only.")
@click.option("--reference", help="Leaves with this reference only.")
@json_option
def show(
    log: str | None,
    config_file: Path | None,
    directory: Path | None,
    last: int,
    kind: str | None,
    reference: str | None,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """The leaves of a log, with what is known of their details. Without LOG: this provider's own."""
    from resolver.cli.audit_show import leaf_dict, leaf_line
    from resolver.log.reading import leaves

    source, details = readable(log, config_file, directory)

    def wanted() -> Iterator[tuple[int, Leaf, Detail | None]]:
        for index, leaf, detail in leaves(source, details, backwards=not everything):
            if (kind is None or leaf.type == kind) and (reference is None or leaf.reference == reference):
                yield index, leaf, detail

    shown: Iterable[tuple[int, Leaf, Detail | None]] = wanted()
    if not everything:
        shown = [one for one, _ in zip(wanted(), range(last), strict=False)][::-1]
    found = False
    for index, leaf, detail in shown:
        found = True
        say(json.dumps(leaf_dict(index, leaf, detail)) if as_json else leaf_line(index, leaf, detail))
    if not found and (kind, reference) != (None, None):
        there = sorted({leaf.type for _, leaf, _ in leaves(source, lambda _number: [])})
        warn(f"no leaf has that type or that reference; types here: {', '.join(there)}")


for command in (
    prove, check_proof, cosign, witness_verify, witness_key, witness, collect, erase, export, probe, was_blocked,
    check_blocked,
):  # fmt: skip
    audit.add_command(command)
