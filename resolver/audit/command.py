"""`stopsign audit …` and `stopsign report`: what an auditor, a witness and an operator type.

Enters: the command line. Leaves: results on standard output, all else on standard error. Rules: exit 0 done, 1 checked
and found wanting, 2 could not do it; what needs only a copy and a key works on a machine that has nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resolver.audit.errors import AuditError, UntrueError
from resolver.audit.note import MAX_NOTE, Verifier, parse_vkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from resolver.audit.leaf import Detail, Leaf
    from resolver.audit.source import Source
    from resolver.config import Config

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


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
@click.argument("log")
@click.option("--key", help="The log's public key (a vkey, or a file that holds one), from somebody you trust.")
@click.option("--checkpoint", "kept", multiple=True, type=FILE, help="A checkpoint that you kept from earlier.")
@click.option("--witness", multiple=True, help="The vkey of a witness whose cosignature counts.")
@click.option("--quorum", type=click.IntRange(0), help="How many witnesses must have cosigned.  [all that are named]")
@click.option("--save", type=FILE, help="Keep the checkpoint here for next time, once all is verified.")
@click.option("--json", "as_json", is_flag=True)
def verify(
    log: str,
    key: str | None,
    kept: tuple[Path, ...],
    witness: tuple[str, ...],
    quorum: int | None,
    save: Path | None,
    *,
    as_json: bool,
) -> None:
    """Recompute a whole log: LOG is a copy (a folder) or an address (https://…)."""
    from resolver.audit.show import verdict_lines
    from resolver.audit.source import open_source
    from resolver.audit.verify import verify as recompute

    source = open_source(log)
    witnesses = [read_key(one) for one in witness]
    notes = [_read(path) for path in kept]
    wanted = len(witnesses) if quorum is None else quorum
    try:
        with progress("leaves") as told:
            verdict = recompute(
                source,
                read_key(key) if key else None,
                kept=notes,
                witnesses=witnesses,
                quorum=wanted,
                progress=told,
            )
    except UntrueError as wrong:
        if as_json:
            click.echo(json.dumps({"ok": False, "error": str(wrong), "hint": wrong.hint, "leaf": wrong.leaf}))
        raise
    if save:
        from resolver.durable import replace

        replace(save, verdict.note)
    if as_json:
        click.echo(json.dumps(verdict.as_dict()))
    else:
        click.echo("\n".join(verdict_lines(verdict)))


@audit.command()
@click.argument("log", required=False)
@click.option("--config", "config_file", type=FILE, help="The provider's configuration.")
@click.option("--dir", "directory", type=FOLDER, help="A tree that `demo` made.")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="The newest so many.")
@click.option("--all", "everything", is_flag=True, help="All leaves, the oldest first.")
@click.option("--type", "kind", help="Leaves of this type only.")
@click.option("--reference", help="Leaves with this reference only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
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
    from resolver.audit.show import leaf_dict, leaf_line, leaves

    source, details = _readable(log, config_file, directory)

    def wanted() -> Iterator[tuple[int, Leaf, Detail | None]]:
        for index, leaf, detail in leaves(source, details, backwards=not everything):
            if (kind is None or leaf.type == kind) and (reference is None or leaf.reference == reference):
                yield index, leaf, detail

    shown: Iterable[tuple[int, Leaf, Detail | None]] = wanted()
    if not everything:
        shown = [one for one, _ in zip(wanted(), range(last), strict=False)][::-1]
    for index, leaf, detail in shown:
        click.echo(json.dumps(leaf_dict(index, leaf, detail)) if as_json else leaf_line(index, leaf, detail))


def locate(config_file: Path | None, directory: Path | None) -> Config:
    """The provider that `--config` or `--dir` names."""
    from resolver.config import locate as find

    return find(config_file, directory)


def read_key(text: str) -> Verifier:
    """A vkey as typed, or the file that holds one."""
    if "+" not in text and Path(text).is_file():
        text = _read(Path(text)).decode("utf-8", "replace")
    return parse_vkey(text.strip())


def progress(what: str) -> Any:
    """A bar on standard error for what takes longer than a second; `with` gives the function to tell it."""
    from resolver.audit.progress import bar

    return bar(what, sys.stderr)


def _readable(
    log: str | None, config_file: Path | None, directory: Path | None
) -> tuple[Source, Callable[[int], list[Detail]]]:
    from resolver.audit.details import Details
    from resolver.audit.disk import Durable, RealDisk
    from resolver.audit.show import published_details
    from resolver.audit.source import Folder, open_source

    if log is not None:
        source = open_source(log)
        return source, published_details(source)
    places = locate(config_file, directory).places
    if not places.checkpoint.is_file():
        raise AuditError(f"there is no log in {places.log_dir}", hint="`stopsign run` begins one")
    private = Details(Durable(RealDisk()), places.log_details, places.log_dir / "details")
    return Folder(places.log_dir), private.bundle


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_NOTE + 1)
    except OSError as wrong:
        raise AuditError(f"{path}: {wrong.strerror}") from wrong
