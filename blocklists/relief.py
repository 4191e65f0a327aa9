"""What a client applies of a relief: it removes entries, and can do nothing else to a list.

Enters: the relief that role `relief` signs, the one that was applied before, the document. Leaves: the relief to apply,
or `ReliefError`; then the list and the earlier relief stay.

Rules: one person signs a relief, so a wrong relief must not stop what two people signed
- Its version is not below the last one, and above it by `MAX_JUMP` at most. When a key has left the role, any lower
  version restarts the count: the signers of the targets role undo what a stolen key counted up (as fast-forward attacks
  on TUF's own roles end, 5.3.11).
- References that are no entries of the document are dropped, so there are never more of them than entries.
- A suspended entry stays suspended, whatever the newest relief says: lifting a suspension takes two signers and a new
  reference. An entry that the newest relief no longer names is kept without its reason, in a few octets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from blocklists import delta, document
from blocklists.errors import BlocklistError
from blocklists.head import MAX_JUMP, Relief, Suspension
from resolver._core import find

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

CARRIED = "withdrawn; the newest relief no longer says why"


class ReliefError(BlocklistError):
    """A relief that cannot be applied."""


def check(relief: Relief, name: str, known: Relief | None, *, rotated: bool) -> None:
    """Raise ReliefError unless this relief of list `name` may follow `known`. `rotated`: a key has left since."""
    if relief.list != name:
        raise ReliefError(f"it is the relief of {relief.list!r}")
    before = known.version if known else 0
    if relief.version < before and not rotated:
        raise ReliefError(f"version {relief.version} after version {before}")
    if relief.version > before + MAX_JUMP:
        raise ReliefError(
            f"version {relief.version} after version {before} leaves too few for later ones",
            hint="the issuer takes the key that signed it off the role (stopsign issuer keys change --remove)",
        )


def applied(
    newest: Relief | None, known: Relief | None, lines: Path | None, size: int, *, same: bool = False,
    near: Collection[str] = (),
) -> Relief | None:  # fmt: skip
    """The relief to apply to a document (`size` octets uncompressed): the newest, and what is carried on of `known`.
    `lines` None: of a sealed document that is not opened here, every reference counts. `same`: it is the document that
    `known` was applied to. `near`: as for `entries_among`."""
    relief = newest or known
    if relief is None:
        return None
    carried = {
        reference: item if newest is None else Suspension(item.since, CARRIED)
        for reference, item in (known.suspended if known else {}).items()
    }
    wanted = {**carried, **(newest.suspended if newest else {})}
    there = set(known.suspended) if same and known else set[str]()
    there |= wanted.keys() if lines is None else entries_among(wanted.keys() - there, lines, size, near)
    return replace(relief, suspended={reference: item for reference, item in wanted.items() if reference in there})


def entries_among(references: Collection[str], lines: Path, size: int, near: Collection[str] = ()) -> set[str]:
    """Which of the references are entries of a document. `near`: names that they may be at, where a few lines tell; for
    the others all of it is looked through."""
    there = _references(lines, size, names=near).intersection(references) if near else set[str]()
    return there | _references(lines, size, references=set(references) - there)


def _references(
    lines: Path, size: int, *, names: Collection[str] = (), references: Collection[str] = ()
) -> set[str]:  # fmt: skip
    """Those of the entries with these names or references."""
    if not names and not references:
        return set()
    with document.translated():
        found = find(lines, size=size, names=[*names], references=[*references])
    return {delta.reference(line) for line in found}
