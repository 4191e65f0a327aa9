"""Do the names on the lists still resolve? One name at a time is asked for at the provider's own upstream.

Enters: the compiled list, the upstreams. Leaves: the result for one name. Rules: slow on purpose (`evaluation.resolve`,
0s turns it off), drawn at random, counted by the month and never by the name. An upstream that does not answer proves
nothing. An issuer should review a list whose names are mostly gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver._core import CoreError
from resolver.base.dns_question import ask
from resolver.policy import look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from resolver._core import CompiledList
    from resolver.base.dns_question import Answer


class Resolving:
    """Looks at one name a time. Not for several threads at a time."""

    def __init__(
        self,
        current: Path,
        upstreams: Iterable[tuple[str, int]],
        random: Callable[[], float],
        asking: Callable[[str, int, str], Answer | None] = ask,
    ) -> None:
        self._current, self._upstreams = current, list(upstreams)
        self._random, self._asking = random, asking
        self._list: tuple[tuple[int, int], CompiledList] | None = None

    def look(self) -> bool | None:
        """Whether a name drawn from the lists is gone (NXDOMAIN); `None`: nothing to ask, or nobody answers."""
        opened = self._opened()
        names = opened.sample(1, int(self._random() * (1 << 63))) if opened else []
        for host, port in self._upstreams if names else ():
            answer = self._asking(host, port, names[0])
            if answer is not None and answer.rcode in {"NOERROR", "NXDOMAIN"}:
                return answer.rcode == "NXDOMAIN"
        return None

    def _opened(self) -> CompiledList | None:
        try:
            status = self._current.stat()
            seen = (status.st_ino, status.st_mtime_ns)
            if self._list is None or self._list[0] != seen:
                self._list = seen, look_up.opened(self._current)
        except (OSError, CoreError):
            self._list = None
        return self._list[1] if self._list else None
