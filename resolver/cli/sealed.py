"""`stopsign sealed`: the provider's key for lists that it enforces and cannot read, and the card of it for issuers.

Enters: a key's file. Leaves: the key, or the card on standard output. The key is never printed.
"""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("sealed")
def sealed() -> None:
    """The key that opens sealed lists, and the card of it that issuers get."""


@sealed.command("key")
@click.argument("file", type=FILE)
def key(file: Path) -> None:
    """Make the key in FILE, which is not there yet and which nobody else can read."""
    from blocklists.sealed import keys

    made = keys.create(file)
    click.echo(keys.card_of(made, "this").keyid)
    click.echo("make it a credential (docs/sealed.md), and leave no copy of it on a disk", err=True)


@sealed.command("card")
@click.argument("file", type=FILE)
@click.option("--provider", required=True, help="Who subscribes: it stands in the head of each list, for all to read.")
def card(file: Path, provider: str) -> None:
    """Print the card of the key in FILE: it travels to the issuer, and is no secret."""
    from blocklists.sealed import keys

    made = keys.card_of(keys.load(file), provider)
    click.echo(made.to_bytes().decode(), nl=False)
    click.echo(f"the issuer compares by telephone: {made.keyid}", err=True)
