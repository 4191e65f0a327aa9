"""The desk's commands for lists that are published: withdraw, renew, due, diff, and decisions on appeals."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from blocklists.counted import counted
from blocklists.issuer.options import (
    FILE,
    FOLDER,
    INPUT,
    Duration,
    author_option,
    desk_option,
    json_option,
    list_option,
    note_option,
    now,
    output_option,
    passphrase_from,
    passphrase_option,
    save,
    say,
)
from blocklists.issuer.progress import progress

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta
    from pathlib import Path

    from blocklists.entry import Match
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.keys import Keyring, Passphrase
    from blocklists.issuer.request import Request

MATCH = click.Choice(["exact", "subtree", "below"])
key_option = click.option("--key", "keys", type=FOLDER, required=True, help="The folder of your keys.")


@click.command("propose")
@desk_option
@list_option
@click.option("--add", "add", multiple=True, help="A name to be stopped.")
@click.option("--remove", "remove", multiple=True, help="A name or a reference that goes.")
@click.option("--basis", "ground", help="The ground's key, for what is added.")
@click.option("--category", help="One word, for what is added.")
@click.option("--match", type=MATCH, default="subtree", show_default=True)
@click.option("--expires", "span", type=Duration(), default="365d", show_default=True)
@click.option("--removal-requested", help="When taking it down at the source was asked for: 2026-11-22T00:00:00Z.")
@click.option("--impact", help="What else the block is known to touch, in one sentence.")
@click.option("--bases", type=INPUT, help="Replace the list's table of grounds by this JSON file.")
@author_option
@note_option
@output_option
def propose_(
    folder: Path, name: str, add: tuple[str, ...], remove: tuple[str, ...], ground: str | None, category: str | None,
    match: Match, span: timedelta, removal_requested: str | None, impact: str | None, bases: Path | None, author: str,
    note: str, output: Path | None,
) -> None:  # fmt: skip
    """Make a request for a few names by hand. --add of a listed name with another --match widens or narrows it."""
    from blocklists.entry import as_text
    from blocklists.head import read_bases
    from blocklists.issuer import propose
    from blocklists.issuer.desk import Desk

    desk, time = Desk.open(folder), now()
    if bases is not None:
        desk.set_bases(name, read_bases(bases.read_bytes()))
    if add and not (ground and category):
        raise click.UsageError("what is added needs --basis and --category")
    terms = propose.Terms(
        ground or "",
        category or "",
        as_text(time),
        as_text(time + span),
        removal_requested=removal_requested,
        impact=impact,
    )
    with progress("making the request"):
        steps = propose.by_hand(desk, name, add=add, remove=remove, match=match, terms=terms)
        path = save(propose.propose(desk, name, steps, now=time, author=author, note=note), folder, output)
    click.echo(str(path))


@click.command("withdraw")
@click.argument("wanted", nargs=-1, required=True)
@desk_option
@list_option
@click.option("--reason", required=True, help="Why: the person concerned will read it.")
@key_option
@click.option("--output", type=FILE, help="Only sign: write a request that the desk publishes.")
@passphrase_option
def withdraw_(
    wanted: tuple[str, ...], folder: Path, name: str, reason: str, keys: Path, output: Path | None,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Take entries (references or names) off at once: one person, one command."""
    from blocklists.entry import is_reference
    from blocklists.issuer import withdraw
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.keys import Keyring

    desk, keyring = Desk.open(folder), Keyring.open(keys)
    with progress("finding the entries"):
        request = withdraw.suspend(desk, name, wanted, reason=reason, now=now(), author=keyring.card.name)
    near = [one for one in wanted if not is_reference(one)]
    _relieve(desk, keyring, request, passphrase_from(passphrase_file), output, near)


@click.group("appeals")
def appeals() -> None:
    """Appeals that providers pass on, and the decisions on them, published with the list."""


@appeals.command("decide")
@click.argument("appeal")
@desk_option
@click.option("--list", "name", help="The list's name.  [default: as the appeal in the inbox says]")
@click.option(
    "--reference", help="The entry that the appeal is against.  [default: likewise]  With --unreceived: or its name."
)
@click.option("--unreceived", is_flag=True, help="Decide though no provider passed this appeal on to this desk.")
@click.option("--outcome", type=click.Choice(["upheld", "granted"]), required=True, help="The block stays, or goes.")
@click.option("--reasons", required=True, help="A person's reasons: they are published.")
@key_option
@click.option("--output", type=FILE, help="Only sign: write a request that the desk publishes.")
@passphrase_option
def decide(
    appeal: str, folder: Path, name: str | None, reference: str | None, unreceived: bool, outcome: str, reasons: str,
    keys: Path, output: Path | None, passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Decide on APPEAL. Not by one who signed the entry; `granted` takes the entry off in the same step."""
    from blocklists.issuer import appeals as inbox
    from blocklists.issuer import withdraw
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.keys import Keyring

    desk, keyring = Desk.open(folder), Keyring.open(keys)
    if unreceived:
        if name is None or reference is None:
            raise click.UsageError("--unreceived needs --list and --reference: no appeal says them")
        reference = withdraw.reference_of(desk, name, reference)
    else:
        name, reference = inbox.against(desk, appeal, name, reference)
    request = withdraw.decide(
        desk,
        name,
        appeal=appeal,
        reference=reference,
        outcome=outcome,
        reasons=reasons,
        officer=keyring.card,
        now=now(),
    )
    _relieve(desk, keyring, request, passphrase_from(passphrase_file), output)


@appeals.command("list")
@desk_option
@list_option
@json_option
def appeals_list(folder: Path, name: str, plain: bool) -> None:
    """What was decided."""
    from blocklists.issuer.desk import Desk

    relief = Desk.open(folder).relief(name)
    decisions = relief.decisions if relief else ()
    if plain:
        click.echo(json.dumps([asdict(decision) for decision in decisions]))
        return
    for decision in decisions:
        click.echo(f"{decision.decided} {decision.appeal} {decision.reference} {decision.outcome} by {decision.by}")


@click.command("due")
@desk_option
@click.option("--within", type=Duration(), default="30d", show_default=True)
@json_option
def due(folder: Path, within: timedelta, plain: bool) -> int:
    """What lapses soon: entries, and the roles' signatures. Exit 1 when something does."""
    from blocklists.entry import as_text
    from blocklists.issuer import renew
    from blocklists.issuer.desk import Desk

    found = renew.due(Desk.open(folder), now=now(), within=within)
    if plain:
        entries = [{"list": name, "name": entry.name, "reference": entry.reference, "expires": entry.expires}
                   for name, entry in found.entries]  # fmt: skip
        click.echo(json.dumps({"roles": {role: as_text(end) for role, end in found.roles}, "entries": entries}))
    else:
        for role, end in found.roles:
            click.echo(f"{as_text(end)} role {role}")
        for name, entry in found.entries:
            click.echo(f"{entry.expires} {name} {entry.name} ({entry.match}) {entry.basis} {entry.reference}")
    return 1 if found.roles or found.entries else 0


@click.command("renew")
@click.argument("only", nargs=-1)
@desk_option
@click.option("--list", "name", help="The list whose entries are renewed.")
@click.option("--roles", is_flag=True, help="Renew the roles' signatures instead; no list changes.")
@click.option("--within", type=Duration(), default="30d", show_default=True, help="What lapses within this time.")
@click.option("--expires", "span", type=Duration(), default="365d", show_default=True, help="The new end, from today.")
@author_option
@note_option
@output_option
def renew_(
    only: tuple[str, ...], folder: Path, name: str | None, roles: bool, within: timedelta, span: timedelta, author: str,
    note: str, output: Path | None,
) -> None:  # fmt: skip
    """Make a request that gives entries (all that lapse soon, or ONLY these) a new end."""
    from blocklists.issuer import propose, renew
    from blocklists.issuer.desk import Desk

    desk, time = Desk.open(folder), now()
    if roles == bool(name):
        raise click.UsageError("either --list or --roles")
    if name is None:
        request = renew.roles(desk, now=time, author=author)
    else:
        steps = renew.prolong(desk, name, now=time, within=within, span=span, only=only)
        request = propose.propose(desk, name, steps, now=time, author=author, note=note or "renewal")
    click.echo(str(save(request, folder, output)))


@click.command("diff")
@desk_option
@list_option
@click.option("--from", "first", type=click.IntRange(0), help="A version; 0 is nothing.  [default: the one before]")
@click.option("--to", "last", type=click.IntRange(1), help="A version.  [default: the published one]")
def diff(folder: Path, name: str, first: int | None, last: int | None) -> None:
    """What changed from one published version to another: `+` and `-`, and the entry."""
    from blocklists.delta import ADDED
    from blocklists.issuer import history
    from blocklists.issuer.desk import Desk

    desk = Desk.open(folder)
    head = desk.head(name)
    if head is None:
        raise click.UsageError(f"there is no list {name!r}")
    until = last or head.version
    for change, line in history.between(desk, name, until - 1 if first is None else first, until):
        click.echo(("+" if change == ADDED else "-") + line.decode("ascii").rstrip())


@click.command("document")
@desk_option
@list_option
@click.option("--version", type=click.IntRange(1), required=True)
@click.option("--output", type=FILE, required=True, help="Where to write it: canonical lines, compressed by zstd.")
def document_(folder: Path, name: str, version: int, output: Path) -> None:
    """Write the document of any version that was ever published, as evidence; says its state hash, which was signed."""
    from blocklists.issuer import history
    from blocklists.issuer.desk import Desk

    summary = history.document_of(Desk.open(folder), name, version, output)
    click.echo(f"{name} version {version}: {counted(summary.entries, 'entry')}; {summary.state}")


def _relieve(
    desk: Desk, keyring: Keyring, request: Request, passphrase: Passphrase, output: Path | None,
    near: Collection[str] = (),
) -> None:  # fmt: skip
    """Review, sign and publish a relief, which is about the names `near`, in one go; or sign it alone."""
    from blocklists.issuer import known, publish, review, show, sign

    with progress("reviewing"):
        reviewed = review.review(request, known.at_desk(desk, keyring, request, now=now()))
    for line in show.as_text(reviewed):
        say(line)
    signed = sign.sign(reviewed, keyring, passphrase)
    if output is not None:
        signed.save(output)
        click.echo(str(output))
        return
    with progress("publishing"):
        publish.publish(desk, [signed], passphrase, now=now(), near=near)
    say(f"published in {desk.published}")


COMMANDS = (propose_, withdraw_, appeals, due, renew_, diff, document_)
