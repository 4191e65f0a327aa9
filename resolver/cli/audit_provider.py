"""`stopsign audit erase | export | probe`: what a provider does with its log, and what one may ask of its resolver."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from blocklists.counted import counted
from resolver.cli.audit_options import FILE, FOLDER, json_option, locate, progress, provider_options, readable
from resolver.cli.options import say
from resolver.log.errors import AuditError, UntrueError

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.config.schema import Config


@click.command()
@click.argument("leaf", type=click.IntRange(0))
@click.option("--reason", required=True, help="Why; it stands in the log for good, so name nobody.")
@provider_options
def erase(leaf: int, reason: str, config_file: Path | None, directory: Path | None) -> None:
    """Erase the detail of LEAF for good. The tree stays provable; that it was erased becomes a leaf."""
    config = locate(config_file, directory)
    index = _erase(config, leaf, reason)
    click.echo(f"the detail of leaf {leaf} is erased; leaf {index} says so")


@click.command()
@click.argument("target", type=FOLDER)
@click.option("--log", help="A copy or an address.  [default: this provider's own]")
@provider_options
@click.option("--private", is_flag=True, help="With the details that are not published (for a court, not for the web).")
def export(target: Path, log: str | None, config_file: Path | None, directory: Path | None, *, private: bool) -> None:
    """Copy a log into the empty folder TARGET, at one checkpoint, to be verified elsewhere."""
    from resolver.log.export import export as copy

    source, known = readable(log, config_file, directory)
    with progress("leaves") as told:
        head = copy(source, target, lambda number: [one for one in known(number) if private or one.public], told)
    there = f"{counted(head.size, 'leaf')} of {head.origin} {'is' if head.size == 1 else 'are'} in {target}"
    say(f"{there}; check with `stopsign audit verify {target}`")


@click.command()
@click.option("--log", help="A copy or an address.  [default: this provider's own]")
@provider_options
@click.option("--resolver", metavar="ADDR:PORT", help="Whom to ask.  [default: the provider's first listen address]")
@click.option("--document", "documents", multiple=True, type=FILE, help="A list as it was published (full-N.zst).")
@click.option("--sample", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Entries of each list.")
@click.option("--seed", type=int, help="Ask the same sample again.")
@json_option
def probe(
    log: str | None,
    config_file: Path | None,
    directory: Path | None,
    resolver: str | None,
    documents: tuple[Path, ...],
    sample: int,
    seed: int | None,
    *,
    as_json: bool,
) -> None:
    """Ask the live resolver whether it does what the log says: logged entries stopped, withdrawn ones not."""
    from resolver.stats.documents import find_documents
    from resolver.stats.probe import Asker
    from resolver.stats.probe import probe as run

    source, details = readable(log, config_file, directory)
    config = None if log is not None and resolver else locate(config_file, directory)
    found = list(documents)
    if config is not None:
        found += find_documents(config.places.state_dir / "lists")
    address = resolver or (str(config.require_dns().listen[0]) if config else "")
    seed = time.time_ns() if seed is None else seed
    with progress("questions") as told:
        outcome = run(
            source, details, found, Asker.at(address), sample=sample, seed=seed, now=time.time(), progress=told
        )
    say(*([json.dumps(outcome.as_dict())] if as_json else outcome.lines()))
    if not outcome.asked and outcome.remarks:
        raise AuditError("nothing was asked: the remarks say why")
    if not outcome.asked:
        raise AuditError("nothing was asked: the log activated none of the documents that are here",
                         hint="--document names a list as it was published (full-N.zst)")  # fmt: skip
    if outcome.silent == outcome.asked:
        raise AuditError(f"{address} answers nothing", hint="--resolver ADDR:PORT names whom to ask")
    if outcome.wrong:
        raise UntrueError(f"{len(outcome.wrong)} of {outcome.asked} answers are not what the log says")


def _erase(config: Config, leaf: int, reason: str) -> int:
    """Through the steward where it runs, which holds the log; with our own hand where it does not."""
    from resolver.ipc import control
    from resolver.log.writer import Log

    if not config.places.checkpoint.is_file():
        raise AuditError(f"there is no log in {config.places.log_dir}")
    try:
        return int(control.call(config.places.control_socket, "audit-erase", leaf=leaf, reason=reason)["leaf"])
    except control.UnreachableError:
        with Log.open(config.places, origin=config.log_origin) as log:
            return log.erase(leaf, reason)
