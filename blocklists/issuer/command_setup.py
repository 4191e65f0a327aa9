"""The desk's commands before its first list: a new desk, a desk from what the web host has, and the legal bases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blocklists.issuer.options import FILE, FOLDER, INPUT, desk_option, list_option, new_passphrase, now, say

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@desk_option
@click.option("--name", required=True, help="Who issues the lists: shown to every reader of a stop page.")
@click.option("--contact", required=True, help="How a provider reaches you.")
@click.option("--appeals", required=True, help="Where a citizen appeals: an e-mail address or a URL.")
@click.option("--card", "cards", multiple=True, required=True, type=FILE, help="A signer's card.json; twice at least.")
@click.option("--threshold", default=2, show_default=True, type=click.IntRange(1), help="How many must sign.")
@click.option("--online-passphrase-file", type=FILE, help="Encrypt the desk's online keys with this passphrase.")
def init(
    folder: Path, name: str, contact: str, appeals: str, cards: tuple[Path, ...], threshold: int,
    online_passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Make a desk and the request for its first root, which the signers sign."""
    from blocklists.head import Issuer
    from blocklists.issuer import propose
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.keys import Card
    from blocklists.repository import OFFLINE

    people = [Card.load(path) for path in cards]
    secret = new_passphrase(online_passphrase_file) if online_passphrase_file else None
    with Desk.made(folder, Issuer(name, contact, appeals), online_passphrase=secret) as desk:
        request = propose.setup(desk, people, threshold=threshold, now=now())
        request.save(desk.folder / "requests" / "setup.request")
    signers = sum(set(OFFLINE) <= card.keys.keys() for card in people)
    if signers == threshold:
        say("hint: with as many signers as signatures needed, one lost key ends this repository: add a spare signer")
    say(f"desk in {folder}; have {threshold} of {signers} signers sign:")
    click.echo(str(folder / "requests" / "setup.request"))


@click.command("restore")
@desk_option
@click.option("--from", "published", type=FOLDER, required=True, help="A copy of all that the web host serves.")
@click.option("--trusted-root", type=INPUT, required=True, help="The root that providers pin.")
@click.option("--name", help="Who issues the lists, where no list is published yet; with --contact and --appeals.")
@click.option("--contact")
@click.option("--appeals")
@click.option("--min-threshold", default=2, show_default=True, type=click.IntRange(1), help="What providers ask for.")
def restore_(
    folder: Path, published: Path, trusted_root: Path, name: str | None, contact: str | None, appeals: str | None,
    min_threshold: int,
) -> None:  # fmt: skip
    """Make a desk of what the web host has, when the desk itself is lost. Its own keys come by keys change --online."""
    from blocklists.head import Issuer
    from blocklists.issuer import restore
    from blocklists.repository import fingerprint

    issuing = Issuer(name, contact, appeals) if name and contact and appeals else None
    desk = restore.restore(folder, published, trusted_root, issuer=issuing, now=now(), min_threshold=min_threshold)
    say(f"the root has the SHA-256 {fingerprint(trusted_root.read_bytes())}: compare it by telephone")
    say(f"desk in {folder}, with {', '.join(desk.lists()) or 'no list'}; now: stopsign issuer keys change --online")


@click.command()
@click.argument("key")
@desk_option
@list_option
@click.option("--law", help="The law, and the paragraph of it.")
@click.option("--authority", help="Who ordered it.")
@click.option("--order", help="The order's number.")
@click.option("--date", help="The order's day, YYYY-MM-DD.")
@click.option("--territory", help="Where it holds: ISO 3166, such as DE or AT-9.")
@click.option("--court", help="Where it can be contested.")
@click.option("--overdue-keeps", is_flag=True, help="An appeal that nobody answers in time does not suspend the entry.")
@click.option("--remove", is_flag=True, help="Take the ground off the table; no entry may stand on it.")
def basis(
    key: str, folder: Path, name: str, law: str | None, authority: str | None, order: str | None, date: str | None,
    territory: str | None, court: str | None, overdue_keeps: bool, remove: bool,
) -> None:  # fmt: skip
    """Put the ground KEY on a list's table, or --remove it. It is published with the list's next version."""
    from blocklists.head import Basis
    from blocklists.issuer import propose
    from blocklists.issuer.desk import Desk

    desk = Desk.open(folder)
    texts = {"law": law, "authority": authority, "order": order, "date": date, "territory": territory, "court": court}
    if remove:
        if any(texts.values()) or overdue_keeps:
            raise click.UsageError("--remove stands alone")
        propose.remove_basis(desk, name, key)
        return
    if missing := [f"--{option}" for option, value in texts.items() if value is None]:
        raise click.UsageError(f"a ground needs {', '.join(missing)}")
    ground = Basis(**{option: value or "" for option, value in texts.items()}, overdue_suspends=not overdue_keeps)
    desk.add_bases(name, {key: ground})


COMMANDS = (init, restore_, basis)
