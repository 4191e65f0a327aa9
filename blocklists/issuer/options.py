"""What the desk's commands have in common: their options, durations, passphrases, and where results go."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blocklists.issuer.keys import from_environment, read_passphrase

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocklists.issuer.keys import Passphrase

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

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
        return int(found[1]) * {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}[found[2]]


def passphrase_from(path: Path | None) -> Passphrase:
    """Asks on the terminal, unless a file or the environment says it. The answer is asked for once."""
    said: list[bytes] = []

    def ask(what: str) -> bytes:
        if not said:
            known = read_passphrase(path) if path else from_environment()
            said.append(known or click.prompt(f"Passphrase of {what}", hide_input=True, err=True).encode())
        return said[0]

    return ask


def new_passphrase(path: Path | None) -> bytes:
    """A passphrase for a new key, asked for twice. Raises click's error on a short one."""
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


def result(value: Any, plain: bool, text: Callable[[], str]) -> None:
    """A result, to standard output: as JSON, or as text."""
    click.echo(json.dumps(value, ensure_ascii=False) if plain else text())
