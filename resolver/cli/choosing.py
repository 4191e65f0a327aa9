"""Which appeals a command of the desk is about: those named, those on an entry, those of a file, those of a filter.

Enters: the command line's words and the appeals that are there. Leaves: the appeals that are meant, in their order.
Rules: what is named and is not there is a mistake, and nothing is done; filters take from what was named, or from all
where nothing was; a command that changes something needs one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, TypedDict, TypeVar, Unpack

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resolver.portal.store import Appeal

F = TypeVar("F", bound="Callable[..., Any]")
MOST_SHOWN = 5


@dataclass(frozen=True)
class Choice:
    """`named`: ids of appeals; `entries`: references of entries."""

    named: frozenset[str] = frozenset()
    entries: frozenset[str] = frozenset()
    of_list: str | None = None
    ground: str | None = None
    held: bool = False
    overdue: bool = False

    @property
    def is_empty(self) -> bool:
        return self == Choice()

    def of(self, appeals: Iterable[Appeal], now: int) -> list[Appeal]:
        """Those that are meant. Raises DeskError for a name that none of them has."""
        from blocklists.text import shown
        from resolver.portal.desk import DeskError

        every = list(appeals)
        missing = (self.named - {one.id for one in every}) | (self.entries - {one.reference for one in every})
        if missing:
            some = ", ".join(shown(one) for one in sorted(missing)[:MOST_SHOWN])
            raise DeskError(f"no appeal that is meant here has the name or the entry {some}",
                            hint="stopsign appeals list --all")  # fmt: skip
        by_name = bool(self.named or self.entries)
        return [
            one
            for one in every
            if (not by_name or one.id in self.named or one.reference in self.entries)
            and (self.of_list is None or one.list == self.of_list)
            and (self.ground is None or one.ground == self.ground)
            and (not self.held or (one.held is not None and one.suspended is None and one.closed is None))
            and (not self.overdue or (one.closed is None and one.due < now))
        ]


class Which(TypedDict):
    """The options of `choosing`, as a command gets them."""

    words: tuple[str, ...]
    entries: tuple[str, ...]
    file: TextIO | None
    of_list: str | None
    ground: str | None
    held: bool
    overdue: bool


def chosen(**which: Unpack[Which]) -> Choice:
    """What the command line says. An id and a reference differ in their form, in any position."""
    from blocklists.text import shown
    from resolver.policy.typed import is_reference, reference_in
    from resolver.portal.desk import DeskError

    said = [*which["words"], *which["entries"]]
    if which["file"] is not None:
        said += [line.split()[0] for line in which["file"] if line.split() and not line.lstrip().startswith("#")]
        if not said:
            raise DeskError("the file names no appeal and no entry")
    named, references = set(), set()
    for word in said:
        if word.upper().startswith("A-"):
            named.add(word.upper())
        elif is_reference(reference_in(word)):
            references.add(reference_in(word))
        else:
            raise DeskError(f"{shown(word)[:40]!r} is neither an appeal nor the reference of an entry")
    return Choice(
        frozenset(named), frozenset(references), which["of_list"], which["ground"], which["held"], which["overdue"]
    )


def choosing(command: F) -> F:
    """The options that say which appeals are meant; the command gets them as `Which`."""
    from resolver.portal.grounds import GROUNDS

    for option in reversed((
        click.argument("words", nargs=-1, metavar="[APPEAL|REFERENCE]…"),
        click.option("--entry", "entries", multiple=True, metavar="REFERENCE", help="All on this entry."),
        click.option("--from-file", "file", type=click.File(encoding="utf-8"), help="Appeals or references, one a line; - is standard input."),  # noqa: E501
        click.option("--list", "of_list", metavar="LIST", help="Those about entries of this list."),
        click.option("--ground", type=click.Choice(list(GROUNDS)), help="Those on this ground."),
        click.option("--held", is_flag=True, help="Those whose entry is held: more came due than opens by itself."),
        click.option("--overdue", is_flag=True, help="Those that are overdue."),
    )):  # fmt: skip
        command = option(command)
    return command
