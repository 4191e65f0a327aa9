"""The details that are published beside the tree, held against its leaves.

Enters: bundles of leaves in order. Leaves: how many details are what their leaves commit to, or `UntrueError` that
names every leaf whose detail is not as it should be. Rules:

- a leaf of a public type has exactly one line in `details/`, under its own index, in the file of its bundle;
- a line that is missing or erased is no fault where a later leaf of type `detail-erased` names the leaf;
- a line beyond the tree belongs to an append that is under way, in the last file alone;
- a detail of another type may be there (a copy for a court has them all), and is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.log.errors import MalformedError, MissingError, UntrueError
from resolver.log.leaf import ERASED, PUBLIC, parse_detail
from resolver.log.tiles import WIDTH, number_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.log.leaf import Detail, Leaf
    from resolver.log.source import Source

MAX_DETAILS = 64 << 20
MOST_NAMED = 20  # runs of leaves in one sentence


class Published:
    """Holds one log's published details against its leaves, bundle by bundle."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.details = 0
        self.erased = 0
        self._private: list[int] = []
        self._missing: list[int] = []
        self._forgotten: list[int] = []
        self._logged: dict[str, int] = {}
        """By what it names, the last leaf that says so."""
        self._doubled: list[int] = []
        self._unexpected: list[int] = []

    @property
    def private(self) -> str:
        """The leaves of other types whose details are here all the same."""
        return runs(self._private)

    @property
    def unsettled(self) -> bool:
        """Whether a detail is not there and no leaf so far says that it was erased."""
        return not all(map(self._is_logged, [*self._missing, *self._forgotten]))

    def check(self, number: int, leaves: list[Leaf], since: int = 0) -> None:
        """One bundle, less the leaves before `since`, which were checked. Raises `UntrueError` at a detail that is not
        what its leaf commits to."""
        first = number * WIDTH
        self._logged.update({leaf.reference: first + at for at, leaf in enumerate(leaves) if leaf.type == ERASED})
        wanted = {first + at for at, leaf in enumerate(leaves) if leaf.type in PUBLIC and first + at >= since}
        seen: set[int] = set()
        for detail in self._read(number):
            if first <= detail.index < since:
                continue
            if detail.index in seen:
                self._doubled.append(detail.index)
            elif first <= detail.index < first + len(leaves):
                seen.add(detail.index)
                self._one(detail, leaves[detail.index - first], expected=detail.index in wanted)
            elif len(leaves) == WIDTH or not first <= detail.index < first + WIDTH:
                self._unexpected.append(detail.index)
        self._missing += sorted(wanted - seen)

    def settle(self) -> None:
        """After the last bundle. Raises `UntrueError`, which names all faults."""
        logged = self._is_logged
        faults = (
            ("missing, and no later leaf says that it was erased", [one for one in self._missing if not logged(one)]),
            ("erased, and no later leaf says so", [one for one in self._forgotten if not logged(one)]),
            ("there twice", self._doubled),
            ("in a file where it does not belong", self._unexpected),
        )
        told = [f"of {_leaves(found)}: {what}" for what, found in faults if found]
        self.erased += sum(map(logged, self._missing))
        if told:
            first = min(min(found) for _, found in faults if found)
            raise UntrueError(
                f"published details are not as they should be; {'; '.join(told)}",
                hint="details/ is not whole: fetch it again, or ask the provider for them; the tree itself holds",
                leaf=first,
            )

    def _is_logged(self, index: int) -> bool:
        """Whether a later leaf says that this one's detail was erased."""
        return self._logged.get(str(index), -1) > index

    def _one(self, detail: Detail, leaf: Leaf, *, expected: bool) -> None:
        detail.check(leaf)
        self.details += detail.erased is None
        self.erased += detail.erased is not None
        if detail.erased is not None:
            self._forgotten.append(detail.index)
        if not expected:
            self._private.append(detail.index)

    def _read(self, number: int) -> list[Detail]:
        try:
            lines = self._source.fetch(f"details/{number_path(number)}.jsonl", MAX_DETAILS).splitlines()
        except MissingError:
            return []
        try:
            return [parse_detail(line) for line in lines]
        except MalformedError as wrong:
            raise UntrueError(f"the published details of leaves from {number * WIDTH} on: {wrong}") from wrong


def runs(numbers: Iterable[int]) -> str:
    """Numbers as runs: `3, 7 to 9`; so many runs of them."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    told = [str(first) if first == last else f"{first} to {last}" for first, last in found[:MOST_NAMED]]
    return ", ".join(told) + (f" and {len(found) - MOST_NAMED} more runs" if len(found) > MOST_NAMED else "")


def _leaves(numbers: list[int]) -> str:
    return f"{'leaf' if len(set(numbers)) == 1 else 'leaves'} {runs(numbers)}"
