"""What commands of every wing share: which provider is meant, how long a time is, how the answer is to be read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from blocklists.text import shown
from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.config.schema import Config

Command = TypeVar("Command", bound=Callable[..., Any])
LONGEST = 36500 * 86400.0  # seconds
CREDENTIALS = Path("/etc/credstore")


def located(command: Command) -> Command:
    """`--config FILE` or `--dir DIR`: which provider is meant (`resolver.config.schema.locate`)."""
    directory = click.option(
        "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="A tree that `demo` made."
    )
    path = click.option("--config", "path", type=click.Path(path_type=Path, dir_okay=False), help="The configuration.")
    return path(directory(command))


def legible(path: Path | None, directory: Path | None) -> Config:
    """What `located` named, or what the running processes last accepted, with a warning on standard error."""
    from resolver.config import accepted

    return accepted.legible(path, directory, warn)


def use_password(config: Config) -> None:
    """Before the appeals database is opened: who can read the web unit's credential, root, needs no PGPASSFILE."""
    instance = config.places.instance
    given = CREDENTIALS / f"stopsign{'-' if instance else ''}{instance}.pgpass"
    if "PGPASSFILE" not in os.environ and os.access(given, os.R_OK):
        os.environ["PGPASSFILE"] = str(given)


as_json = click.option("--json", "in_json", is_flag=True, help="For programs.")


def say(*lines: str) -> None:
    """The result, for a person. Others wrote much of it: each line stays one, and cannot control a terminal."""
    for line in lines:
        click.echo(shown(line, most=None))


def warn(what: str) -> None:
    """What a person should know beside the result."""
    click.echo(f"stopsign: warning: {shown(what, most=None)}", err=True)


def print_json(value: Any) -> None:
    import json  # 1 ms, of which `--help` has no use

    click.echo(json.dumps(value, indent=2))


class Span(click.ParamType[float]):
    """A time with a unit, as `72h`: written as in the configuration. In seconds. `ever`: or this word, which is
    infinity."""

    name = "time"

    def __init__(self, *, ever: bool = False) -> None:
        self._ever = ever

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        # pydantic and all: not for a command that has no such option
        from resolver.config.values import TIME_UNITS, amount

        if self._ever and value == "ever":
            return math.inf
        try:
            seconds = amount(value, TIME_UNITS, "72h")
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not 0 < seconds < LONGEST:
            self.fail(f"{value!r} is no time, or longer than a life; 72h would be right", param, ctx)
        return seconds


everywhere = click.option(
    "--everywhere",
    "at_all",
    is_flag=True,
    help="At all hosts that share the appeals database (log.peers), not at this one alone.",
)


def check_everywhere(config: Config, at_all: bool) -> None:
    """Raises where no other host is configured."""
    if at_all and not config.peers:
        raise ResolverError("no other host is configured", hint="their logs' keys in log.peers: docs/appeals.md")


def where(answer: Mapping[str, Any]) -> str:
    """Of how many hosts it is, where there are others; empty where there are none."""
    shared = answer.get("everywhere")
    if shared is None:
        return ""
    return ", at all hosts within seconds" if shared else ", at this host alone (--everywhere: at all)"
