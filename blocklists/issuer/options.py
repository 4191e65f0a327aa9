"""What the desk's commands have in common: their options, durations, passphrases, and where results go."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blocklists.issuer.progress import asking

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocklists.issuer.keys import Passphrase
    from blocklists.issuer.request import Request

FILE = click.Path(dir_okay=False, path_type=Path)
INPUT = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file that must be there."""
FOLDER = click.Path(file_okay=False, path_type=Path)

LATEST = datetime.max.replace(tzinfo=UTC)

desk_option = click.option(
    "--dir", "folder", type=FOLDER, required=True, help="The desk's folder (stopsign issuer init makes one)."
)
list_option = click.option("--list", "name", required=True, help="The list's name.")
json_option = click.option("--json", "plain", is_flag=True, help="For a program: JSON on standard output.")
passphrase_option = click.option(
    "--passphrase-file", type=FILE, help="Take the passphrase from this file's first line instead of asking. "
    "Also by the environment: STOPSIGN_PASSPHRASE_FILE.",
)  # fmt: skip
author_option = click.option("--author", default=lambda: os.environ.get("USER", "the desk"), help="Who proposes this.")
note_option = click.option("--note", default="", help="Why, for those who sign.")
trusted_root_option = click.option(
    "--trusted-root", type=FILE, help="The root that this machine begins with: compare its fingerprint by telephone."
)
output_option = click.option("--output", type=FILE, help="Where to write the request.  [default: DIR/requests/…]")


class Duration(click.ParamType[timedelta]):
    """A time span such as `365d`, `72h` or `2w`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The span, or click's own error."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,5})([hdw])", str(value))
        if not found:
            self.fail(f"{value!r} is not a time such as 365d, 72h or 2w", param, ctx)
        span = int(found[1]) * {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}[found[2]]
        if span > LATEST - now():
            self.fail(f"{value!r} from now is after the year 9999", param, ctx)
        return span


def passphrase_from(path: Path | None) -> Passphrase:
    """Asks on the terminal, once a holder, unless a file or the environment says it.

    The desk's own keys may have another: STOPSIGN_ONLINE_PASSPHRASE_FILE.
    """
    from blocklists.issuer.keys import from_environment, read_passphrase

    said: dict[str, bytes] = {}

    def ask(what: str) -> bytes:
        holder = what.partition("'s key")[0]  # a token's PIN is one for itself
        if holder not in said:
            own = os.environ.get("STOPSIGN_ONLINE_PASSPHRASE_FILE") if holder == "the desk" else None
            source = Path(own) if own else path
            known = read_passphrase(source) if source else from_environment()
            word = "PIN" if "'s token" in what else "Passphrase"
            with asking():
                said[holder] = known or click.prompt(f"{word} of {what}", hide_input=True, err=True).encode()
        return said[holder]

    return ask


def new_passphrase(path: Path | None) -> bytes:
    """A passphrase for a new key, asked for twice. Raises click's error on a short one."""
    from blocklists.issuer.keys import from_environment, read_passphrase

    known = read_passphrase(path) if path else from_environment()
    secret = known or click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True).encode()
    if len(secret) < 10:
        raise click.UsageError("a passphrase of fewer than 10 characters protects nothing")
    return bytes(secret)


def now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


def say(text: str) -> None:
    """Something for the person, not a result: to standard error."""
    click.echo(text, err=True)


def save(request: Request, folder: Path, output: Path | None) -> Path:
    """Write a request where it was asked for, else into the desk's `requests/`, beside what is there: two people may
    propose on one state, and a signed request is never overwritten by another."""
    version = request.targets.signed.version if request.targets else 0
    path = output or _free(folder / "requests", f"{request.about.list or request.about.kind}-{version}")
    request.save(path)
    return path


def _free(folder: Path, stem: str) -> Path:
    names = (f"{stem}.request", *(f"{stem}-{number}.request" for number in range(2, 10_000)))
    for path in (folder / name for name in names):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("x").close()
        except FileExistsError:
            continue
        return path
    raise click.UsageError(f"{folder} is full of requests {stem}; name another file by --output")


def result(value: Any, plain: bool, text: Callable[[], str]) -> None:
    """A result, to standard output: as JSON, or as text."""
    click.echo(json.dumps(value, ensure_ascii=False) if plain else text())
