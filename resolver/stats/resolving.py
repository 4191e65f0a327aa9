"""Do the names on the lists still resolve? One name at a time is asked for at the provider's own upstream.

Enters: the compiled list, the upstreams. Leaves: the result for one name. Rules: slow on purpose (`evaluation.resolve`,
0s turns it off), drawn at random, counted by the month and never by the name. An upstream that does not answer proves
nothing. An issuer should review a list whose names are mostly gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.base.dns_question import ask
from resolver.policy.in_force import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resolver.base.dns_question import Answer
    from resolver.base.paths import Places
    from resolver.config.schema_upstreams import Upstream


class Resolving:
    """Asks for one name at a time. For one thread at a time."""

    def __init__(
        self,
        places: Places,
        upstreams: Iterable[Upstream],
        random: Callable[[], float],
        asking: Callable[..., Answer | None] = ask,
    ) -> None:
        self._live, self._upstreams = Follower(places), list(upstreams)
        self._random, self._asking = random, asking

    def look(self) -> bool | None:
        """Whether a name drawn from the lists is gone (NXDOMAIN); `None`: nothing to ask, or nobody answers."""
        self._live.poll()
        compiled = self._live.now.compiled
        names = compiled.sample(1, int(self._random() * (1 << 63))) if compiled else []
        for one in self._upstreams if names else ():
            answer = self._asking(one.host, one.port, names[0], proof=one.proof)
            if answer is not None and answer.rcode in {"NOERROR", "NXDOMAIN"}:
                return answer.rcode == "NXDOMAIN"
        return None
