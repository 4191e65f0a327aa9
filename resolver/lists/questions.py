"""Questions about names where sealed lists are active: `stopsign explain` asks the steward, which has the key.

Enters: a name, who asks. Leaves: the explanation; before it a leaf whose private detail says who asked, and the name as
a digest under a salt. Rules: what cannot be logged is not answered; of all questions together 60 an hour are answered:
a list could be read out otherwise, name by name.
"""

from __future__ import annotations

import hashlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from resolver.base.errors import ResolverError
from resolver.lists.ledger import Event
from resolver.policy import seals
from resolver.policy.explain import Leads, explain

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.config.schema import Config
    from resolver.lists.ledger import Ledger

LIMIT, HOUR = 60, 3600.0
SALT = 16


class TooManyError(ResolverError):
    """Sixty questions were asked within the hour."""


class Questions:
    """Called from the register's thread alone."""

    def __init__(
        self, config: Config, ledger: Ledger, clock: Callable[[], float], random: Callable[[int], bytes]
    ) -> None:
        self._config, self._ledger, self._clock, self._random = config, ledger, clock, random
        self._asked: deque[float] = deque(maxlen=LIMIT)

    def explain(self, name: str, client: str | None, leads_to: Leads, by: str) -> dict[str, Any]:
        """The explanation as a dictionary. Raises `ResolverError`."""
        now = self._clock()
        if len(self._asked) == LIMIT and 0 <= now - self._asked[0] < HOUR:
            raise TooManyError(
                f"{LIMIT} names were asked for within the hour, and sealed lists are active",
                hint="a reference can be looked up in the portal at any time",
            )
        salt = self._random(SALT)
        digest = hashlib.sha256(salt + name.encode()).hexdigest()
        self._ledger.append([Event("explained", "", {"by": by, "salt": salt.hex(), "name": f"sha256:{digest}"})])
        self._asked.append(now)
        unseal = partial(seals.unseal, seals.key_file(self._config))
        return explain(self._config, name, now=now, client=client, leads_to=leads_to, unseal=unseal).as_dict()
