"""What commands of every wing share: which provider is meant, how long a time is, how the answer is to be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = 36500 * UNITS["d"]


def located(command: Command) -> Command:
    """`--config FILE` or `--dir DIR`: which provider is meant (`resolver.config.locate`)."""
    directory = click.option(
        "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="A tree that `demo` made."
    )
    path = click.option("--config", "path", type=click.Path(path_type=Path, dir_okay=False), help="The configuration.")
    return path(directory(command))


as_json = click.option("--json", "in_json", is_flag=True, help="For programs.")


def warn(what: str) -> None:
    """What a person should know beside the result."""
    click.echo(f"stopsign: warning: {what}", err=True)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


class Span(click.ParamType[float]):
    """A time with a unit, as `72h`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        number, unit = text[:-1], text[-1:]
        if unit not in UNITS or not number.replace(".", "", 1).isdigit():
            self.fail(f"{text!r} needs a number with a unit (m, h, d); 72h would be right", param, ctx)
        seconds = float(number) * UNITS[unit]
        if not 0 < seconds < LONGEST:
            self.fail(f"{text!r} is no time, or longer than a life; 72h would be right", param, ctx)
        return seconds
