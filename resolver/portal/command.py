"""`stopsign appeals`: the provider's desk on the command line."""

from __future__ import annotations

import click


@click.group()
def appeals() -> None:
    """The appeals that reached the provider."""
