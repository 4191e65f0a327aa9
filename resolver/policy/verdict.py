"""The verdict on one name, as a worker gives it: a thin face of the core's own decision.

Enters: the compiled list with what its `meta` says of its lists, the exceptions, a name, the lists of a client's view,
the time. Leaves: the core's `Judgement`. Nothing is decided here: names of lists become the core's masks. The core
reads the exceptions' names once, and again when an exception for a list or for everything begins or ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver._core import Exceptions, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from resolver._core import CompiledList, Judgement
    from resolver.policy.exceptions import LiveExceptions, Match

EVERY_LIST = (1 << 64) - 1


class Judge:
    """One generation with the exceptions of the moment. Immutable, but for what the core has read."""

    def __init__(self, compiled: CompiledList, lists: Sequence[str], live: LiveExceptions) -> None:
        self._compiled, self._lists, self._live = compiled, lists, live
        self._read: tuple[tuple[bool, int], Exceptions] | None = None

    def judge(self, qname: str, now: float, view: int = EVERY_LIST) -> Judgement:
        """The verdict for a client for whom the lists of this mask hold. Raises `CoreError` where it is no name."""
        return verdict(self._compiled, qname, self._exceptions(now), view, int(now))

    def _exceptions(self, now: float) -> Exceptions:
        everything, lists = switched_off(self._live, self._lists, now)
        if self._read is None or self._read[0] != (everything, lists):
            self._read = (everything, lists), Exceptions(names_of(self._live), everything, lists)
        return self._read[1]


def names_of(live: LiveExceptions) -> list[tuple[str, Match, int]]:
    """The exceptions for names, as the core reads them."""
    return [(one.name, one.match, one.until) for one in live.names]


def switched_off(live: LiveExceptions, lists: Sequence[str], now: float) -> tuple[bool, int]:
    """Whether everything is bypassed, and the mask of the lists that are."""
    return live.all(now), mask(lists, live.lists(now))


def mask(lists: Iterable[str], wanted: Iterable[str] | None) -> int:
    """The lists of these names as the core's bits. `lists`: in the order of the compiled list; `wanted` None: all."""
    if wanted is None:
        return EVERY_LIST
    named = frozenset(wanted)
    return sum(1 << at for at, name in enumerate(lists) if name in named)
