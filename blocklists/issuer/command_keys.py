"""The desk's commands for keys: a person's own, and who may sign what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from blocklists.issuer.options import (
    FILE,
    FOLDER,
    author_option,
    desk_option,
    json_option,
    new_passphrase,
    now,
    output_option,
    passphrase_from,
    passphrase_option,
    save,
    say,
)
from blocklists.issuer.schemes import PERSONAL, SCHEMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@click.group()
def keys() -> None:
    """Keys: make your own; list, exchange and revoke those that decide."""


@keys.command("new")
@click.argument("folder", type=FOLDER)
@click.option("--name", required=True, help="Who holds these keys.")
@click.option("--scheme", type=click.Choice(list(SCHEMES)), default="ed25519", show_default=True)
@click.option("--role", "roles", multiple=True, type=click.Choice(PERSONAL), help="Only for this role.  [default: all]")
@click.option("--token", "tokens", multiple=True, metavar="ROLE=URI", help="This role's key is in a PKCS#11 token.")
@passphrase_option
def new(
    folder: Path, name: str, scheme: str, roles: tuple[str, ...], tokens: tuple[str, ...], passphrase_file: Path | None
) -> None:
    """Make keys in FOLDER, encrypted with a passphrase. FOLDER/card.json is public and goes to the desk."""
    from blocklists.issuer.keys import Keyring

    lying = dict(text.partition("=")[::2] for text in tokens)
    if unknown := lying.keys() - set(PERSONAL):
        raise click.UsageError(f"{min(unknown)!r} is no role; --token targets=hsm:2?label=Alice would be right")
    made = [role for role in roles or PERSONAL if role not in lying]
    secret = new_passphrase(passphrase_file) if made else None
    keyring = Keyring.create(
        folder, name, secret, roles=made, scheme=scheme, tokens=lying, pin=passphrase_from(passphrase_file)
    )
    for role, key in keyring.card.keys.items():
        say(f"{role}: key {key.keyid[:16]}")
    say(f"keys of {name}, by the ids that the others see; keep {folder} to yourself and hand in the card:")
    click.echo(str(folder / "card.json"))


@keys.command("list")
@desk_option
@json_option
def list_(folder: Path, plain: bool) -> None:
    """Who may sign what, and how many of them it takes."""
    from blocklists.issuer import rotate
    from blocklists.issuer.desk import Desk, DeskError
    from blocklists.repository import RELIEF

    desk = Desk.open(folder)
    current = desk.current()
    if current is None:
        raise DeskError(f"{folder} has published no root yet", hint="sign and publish the setup request first")
    names = rotate.holders(desk)
    roles: Mapping[str, tuple[int, list[str]]] = {
        role: (item.threshold, list(item.keyids)) for role, item in sorted(current.root.signed.roles.items())
    }
    delegations = current.targets.signed.delegations
    if delegations and delegations.roles and RELIEF in delegations.roles:
        relief = delegations.roles[RELIEF]
        roles = {**roles, RELIEF: (relief.threshold, list(relief.keyids))}
    if plain:
        click.echo(json.dumps({
            role: {"threshold": threshold, "keys": {keyid: names.get(keyid) for keyid in keyids}}
            for role, (threshold, keyids) in roles.items()
        }))  # fmt: skip
        return
    for role, (threshold, keyids) in roles.items():
        click.echo(f"{role}: {threshold} of {len(keyids)}")
        for keyid in keyids:
            click.echo(f"  {keyid[:16]} {names.get(keyid, 'nobody on record')}")


@keys.command("change")
@desk_option
@click.option("--add", "come", multiple=True, type=FILE, help="The card.json of somebody who comes.")
@click.option("--remove", "go", multiple=True, help="The name of somebody who goes, or the beginning of a key id.")
@click.option("--threshold", type=click.IntRange(1), help="How many must sign from now on.")
@click.option("--online", is_flag=True, help="Exchange the desk's own keys.")
@click.option("--online-passphrase-file", type=FILE, help="Encrypt the desk's new keys with this passphrase.")
@author_option
@output_option
def change(
    folder: Path, come: tuple[Path, ...], go: tuple[str, ...], threshold: int | None, online: bool,
    online_passphrase_file: Path | None, author: str, output: Path | None,
) -> None:  # fmt: skip
    """Make a request that changes keys: signed by enough of the old ones and enough of the new ones."""
    from blocklists.issuer import rotate
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.keys import Card

    if not (come or go or threshold or online):
        raise click.UsageError("nothing to change: --add, --remove, --threshold or --online")
    secret = new_passphrase(online_passphrase_file) if online_passphrase_file else None
    request = rotate.rotate(
        Desk.open(folder), come=[Card.load(path) for path in come], go=go, threshold=threshold, online=online,
        online_passphrase=secret, now=now(), author=author,
    )  # fmt: skip
    click.echo(str(save(request, folder, output)))


COMMANDS = (keys,)
