"""Options that commands of every wing share: which provider is meant, and how the answer is to be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def located(command: Command) -> Command:
    """`--config FILE` or `--dir DIR`: which provider is meant (`resolver.config.locate`)."""
    directory = click.option(
        "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="A tree that `demo` made."
    )
    path = click.option("--config", "path", type=click.Path(path_type=Path, dir_okay=False), help="The configuration.")
    return path(directory(command))


as_json = click.option("--json", "in_json", is_flag=True, help="For programs.")
