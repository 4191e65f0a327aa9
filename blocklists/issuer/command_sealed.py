"""The desk's commands for sealed lists: make one, and say who subscribes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blocklists.issuer.options import (
    FILE,
    INPUT,
    author_option,
    desk_option,
    json_option,
    list_option,
    now,
    output_option,
    result,
    save,
    say,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command("seal")
@click.argument("name", metavar="LIST")
@desk_option
def seal(name: str, folder: Path) -> None:
    """Make LIST, which is not published yet, a sealed one: providers enforce it, and cannot read it."""
    from blocklists.issuer import sealing
    from blocklists.issuer.desk import Desk

    sealing.begin(Desk.open(folder), name)
    say(f"{name} is a sealed list; who has its passphrase reads it. Keep {folder}/ledger in a place of its own too")


@click.group("subscribe")
def subscribe() -> None:
    """Who can open a sealed list: from its next version on, which two people sign as ever."""


@subscribe.command("add")
@click.argument("card", type=FILE)
@desk_option
@list_option
def add(card: Path, folder: Path, name: str) -> None:
    """Let the provider of CARD (stopsign sealed card) open the next version and those after it."""
    from blocklists.issuer import sealing
    from blocklists.issuer.desk import Desk
    from blocklists.sealed.keys import Card

    it = Card.load(card)
    sealing.subscribe(Desk.open(folder), name, it)
    say(f"compare the key's id by telephone: {it.keyid}")
    say("it takes effect with the list's next version: stopsign issuer propose")


@subscribe.command("remove")
@click.argument("provider")
@desk_option
@list_option
def remove(provider: str, folder: Path, name: str) -> None:
    """Take PROVIDER (its name, or a key's id) off: it cannot open the next version, which has a new key for names."""
    from blocklists.issuer import sealing
    from blocklists.issuer.desk import Desk

    for card in sealing.unsubscribe(Desk.open(folder), name, provider):
        say(f"{card.provider}, key {card.keyid}, is off from the next version on: stopsign issuer propose")
    say("what it has opened until then it keeps")


@subscribe.command("list")
@desk_option
@list_option
@json_option
def list_(folder: Path, name: str, plain: bool) -> None:
    """Who subscribes, and whether the published version is sealed for them already."""
    from blocklists.issuer import sealing
    from blocklists.issuer.desk import Desk

    desk = Desk.open(folder)
    subscribers, published = sealing.required(desk, name).subscribers, desk.head(name)
    there = {one.keyid for one in published.seal.recipients} if published and published.seal else set()
    found = [{"provider": card.provider, "key": card.keyid, "published": card.keyid in there} for card in subscribers]
    leaving = there - {card.keyid for card in subscribers}
    found += [{"provider": "", "key": keyid, "published": True, "leaves": True} for keyid in sorted(leaving)]
    texts = [
        f"{one['key']} {one['provider']}"
        + (
            " leaves with the next version"
            if one.get("leaves")
            else ""
            if one["published"]
            else " from the next version on"
        )
        for one in found
    ]
    result(found, plain, lambda: "\n".join(texts) or "nobody subscribes")


@click.group("reseal")
def reseal() -> None:
    """New secrets for sealed lists: another passphrase at the desk, another key for the names of a list."""


@reseal.command("passphrase")
@click.option("--new-passphrase-file", type=FILE, help="Take the new one from this file's first line.")
@desk_option
def passphrase(folder: Path, new_passphrase_file: Path | None) -> None:
    """Change the passphrase of the sealed lists: the ledger, the inbox and DIR/requests are sealed again.

    After an interruption the same command goes on where it was.
    """
    from blocklists.issuer import reseal as resealing
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.keys import read_passphrase

    desk = Desk.open(folder)
    new = (
        read_passphrase(new_passphrase_file)
        if new_passphrase_file
        else click.prompt("New passphrase of the sealed lists", hide_input=True, confirmation_prompt=True, err=True)
    )
    changed = resealing.reseal(desk, new if isinstance(new, bytes) else new.encode())
    say(f"{changed} file(s) open by the new passphrase alone; tell it to the other signers")
    say("requests outside DIR/requests, and backups, open by the old one: replace backups, propose such requests again")


@reseal.command("names")
@desk_option
@list_option
def names(folder: Path, name: str) -> None:
    """Give the next version of a list a new names' key: every digest changes, and nobody has to leave for it."""
    from blocklists.issuer import sealing
    from blocklists.issuer.desk import Desk

    number = sealing.retire(Desk.open(folder), name)
    say(f"the names' key {number} of {name} is off from the next version on: stopsign issuer propose")


@click.command("adopt")
@click.argument("repository")
@desk_option
@list_option
@click.option("--from", "source", required=True, help="What the list is called there.")
@click.option("--root", type=INPUT, required=True, help="The source's root: compare its SHA-256 by telephone.")
@click.option("--ground", required=True, help="The ground on which it holds here (stopsign issuer basis adds one).")
@author_option
@output_option
def adopt(
    repository: str, folder: Path, name: str, source: str, root: Path, ground: str, author: str, output: Path | None
) -> None:
    """Adopt another authority's list at REPOSITORY, readable or sealed, as it is: makes a request for the signers."""
    from blocklists.issuer import adopt as adopting
    from blocklists.issuer.desk import Desk

    desk = Desk.open(folder)
    request = adopting.adopt(desk, name, repository, source, root.read_bytes(), ground, now=now(), author=author)
    click.echo(str(save(request, folder, output)))


COMMANDS = (seal, subscribe, reseal, adopt)
