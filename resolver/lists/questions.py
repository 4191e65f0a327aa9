"""Questions about names where sealed lists are active: `stopsign explain` asks the steward, which has the key.

Enters: a name, who asks. Leaves: the explanation; before it a leaf whose private detail says who asked, and the name as
a digest under a salt. Rules: what cannot be logged is not answered; of all questions together 60 an hour are answered:
a list could be read out otherwise, name by name. Who would let a name pass asks whether a sealed list holds it: that is
counted apart, since nothing may stand in the way of unblocking, and a leaf says so where one does.
"""

from __future__ import annotations

import hashlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from resolver.base.errors import ResolverError
from resolver.lists.ledger import Event
from resolver.policy import look_up, seals
from resolver.policy.explain import Leads, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from resolver.config.schema import Config
    from resolver.lists.ledger import Ledger
    from resolver.lists.overdue import Listed

LIMIT, HOUR = 60, 3600.0
SALT = 16


class TooManyError(ResolverError):
    """Sixty questions were asked within the hour."""


class Questions:
    """Called from the register's thread alone."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        sealed: Callable[[], Collection[str]],
        find: Callable[[str], Listed | None],
    ) -> None:
        """`sealed`: the sealed lists that are applied; `find`: the live entry of one of them, by its reference."""
        self._config, self._ledger, self._clock, self._random = config, ledger, clock, random
        self._sealed, self.entry = sealed, find
        self._asked, self._tried = (deque[float](maxlen=LIMIT) for _ in range(2))

    def explain(self, name: str, client: str | None, leads_to: Leads, by: str) -> dict[str, Any]:
        """The explanation as a dictionary. Raises `ResolverError`."""
        now = self._clock()
        self._room(self._asked, "a reference can be looked up in the portal at any time")
        self._ledger.append([self._leaf(name, by)])
        self._asked.append(now)
        unseal = partial(seals.unseal, seals.key_file(self._config))
        return explain(self._config, name, now=now, client=client, leads_to=leads_to, unseal=unseal).as_dict()

    def holds(self, name: str, by: str) -> str | None:
        """The reference of the sealed entry that covers a name; None: there is none, or the lists do not open here, and
        what unblocks works then too. Raises `TooManyError`."""
        if not self._sealed():
            return None
        hint = "by an entry's reference, or for a whole list, it works at any time: stopsign bypass on LIST"
        self._room(self._tried, hint)
        self._tried.append(self._clock())
        try:
            compiled, meta = look_up.live(self._config.places)
            seals.unseal(seals.key_file(self._config), compiled, meta.lists)
        except ResolverError:
            return None
        found = next((one for one in look_up.covering(compiled, name, self._clock()) if not one.name), None)
        if found is None:
            return None
        self._ledger.note([self._leaf(name, by)], lambda *_: None)
        return found.reference

    def _room(self, asked: deque[float], hint: str) -> None:
        if len(asked) == LIMIT and 0 <= self._clock() - asked[0] < HOUR:
            raise TooManyError(f"{LIMIT} names were asked for within the hour, and sealed lists are active", hint=hint)

    def _leaf(self, name: str, by: str) -> Event:
        salt = self._random(SALT)
        digest = hashlib.sha256(salt + name.encode()).hexdigest()
        return Event("explained", "", {"by": by, "salt": salt.hex(), "name": f"sha256:{digest}"})
