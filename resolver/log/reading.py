"""Reading a log's leaves from a source: oldest first or newest first, with what is published of their details.

Enters: a source. Leaves: leaves with their details. Nothing is checked here but that leaves can be read; `verify`
checks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from resolver.log.checkpoint import Checkpoint, parse_checkpoint
from resolver.log.errors import MissingError
from resolver.log.leaf import Detail, parse_detail, parse_leaf
from resolver.log.note import MAX_NOTE, parse_note
from resolver.log.tiles import WIDTH, TileReader, number_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resolver.log.leaf import Leaf
    from resolver.log.source import Source

MAX_DETAILS = 64 << 20


def head_of(source: Source) -> Checkpoint:
    """The checkpoint as it lies there, its signature unchecked."""
    return parse_checkpoint(parse_note(source.fetch("checkpoint", MAX_NOTE)).text)


def published_details(source: Source) -> Callable[[int], list[Detail]]:
    """Reads what the provider publishes beside the tree."""

    def read(number: int) -> list[Detail]:
        try:
            lines = source.fetch(f"details/{number_path(number)}.jsonl", MAX_DETAILS).splitlines()
        except MissingError:
            return []
        return [replace(parse_detail(line), public=True) for line in lines]

    return read


def leaves(
    source: Source, details: Callable[[int], list[Detail]], *, start: int = 0, backwards: bool = False
) -> Iterator[tuple[int, Leaf, Detail | None]]:
    """Leaves from `start` on, or from the newest back to it, with what is known of their details."""
    size = head_of(source).size
    reader = TileReader(source.fetch, size)
    numbers = range(start // WIDTH, -(-size // WIDTH))
    for number in reversed(numbers) if backwards else numbers:
        known = {detail.index: detail for detail in details(number)}
        page = [(number * WIDTH + at, parse_leaf(entry)) for at, entry in enumerate(reader.bundle(number))]
        for index, leaf in reversed(page) if backwards else page:
            if index >= start:
                yield index, leaf, known.get(index)
