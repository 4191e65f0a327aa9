"""The desk's commands for appeals that providers pass on: `issuer appeals key | trust | import | inbox | show`.

`issuer appeals decide` and `list` are with the other decisions that are published (`command_upkeep`). Text of citizens
was checked when the bundle was read: no sign in it moves a cursor or reorders letters.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from blocklists.issuer.options import FILE, desk_option, json_option, now, say

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.issuer.desk import Desk


@click.command("key")
@desk_option
def key(folder: Path) -> None:
    """The desk's public key for appeals: providers seal their bundles for it."""
    from blocklists import bundle
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.reader import reader_key

    click.echo(bundle.public_line(reader_key(Desk.open(folder))))


@click.command("trust")
@click.argument("name")
@click.argument("line", metavar="KEY")
@desk_option
def trust(name: str, line: str, folder: Path) -> None:
    """Believe the bundles of provider NAME, signed with KEY (stopsign appeals key). Compare it by telephone."""
    from blocklists.issuer import appeals
    from blocklists.issuer.desk import Desk

    appeals.trust(Desk.open(folder), name, line)
    say(f"bundles of {name} are believed")


@click.command("import")
@click.argument("file", type=FILE)
@desk_option
def import_(file: Path, folder: Path) -> None:
    """Take in a bundle of appeals. What is older than half a year after its decision is deleted on this occasion."""
    from blocklists.issuer import appeals
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.reader import InboxError

    desk = Desk.open(folder)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InboxError(f"{file} cannot be read ({error.strerror})") from error
    provider, new = appeals.take_in(desk, data)
    for appeal in new:
        click.echo(f"{appeal.appeal} {appeal.reference} {appeal.name} due {appeal.due}")
    say(f"{len(new)} new appeals from {provider}")
    _forget(desk)


@click.command("inbox")
@desk_option
@json_option
def inbox(folder: Path, plain: bool) -> int:
    """The appeals that wait for a decision, the nearest deadline first. Exit 1 when one is overdue. What is older than
    half a year after its decision is deleted on this occasion."""
    from blocklists.entry import as_text
    from blocklists.issuer import appeals
    from blocklists.issuer.desk import Desk

    desk = Desk.open(folder)
    found = appeals.waiting(desk)
    _forget(desk)
    if plain:
        click.echo(json.dumps([{"provider": one.provider, **asdict(one.appeal)} for one in found]))
    for one in () if plain else found:
        it = one.appeal
        click.echo(f"{it.due} {it.appeal} {it.list} {it.reference} {it.name} {it.ground or '-'} from {one.provider}")
    return 1 if any(one.appeal.due < as_text(now()) for one in found) else 0


@click.command("show")
@click.argument("appeal")
@desk_option
@json_option
def show(appeal: str, folder: Path, plain: bool) -> None:
    """One appeal, with what its author wrote."""
    from blocklists.issuer import appeals
    from blocklists.issuer.desk import Desk

    one = appeals.find(Desk.open(folder), appeal)
    if plain:
        click.echo(json.dumps({"provider": one.provider, **asdict(one.appeal)}, indent=1))
        return
    it = one.appeal
    click.echo(f"{it.appeal} against {it.reference} {it.name} on {it.list}, due {it.due}, from {one.provider}")
    click.echo(f"{it.role or 'role not said'}; {it.ground or 'ground not said'}; language {it.language}")
    if it.contact:
        click.echo(f"contact: {it.contact}")
    for line in it.reason.splitlines():
        click.echo(f"| {line}")


def _forget(desk: Desk) -> None:
    from blocklists.issuer import appeals

    if gone := appeals.forget(desk, now()):
        say(f"{gone} decided half a year ago were deleted")


COMMANDS = (key, trust, import_, inbox, show)
