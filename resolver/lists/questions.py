"""Questions about names where sealed lists are active: `stopsign explain` asks the steward, which has the key.

Enters: a name, the names that its answers lead to, who asks. Leaves: the explanation; before it a leaf for each of
these names, whose private detail says who asked, and the name as a digest under a salt. Rules: what cannot be logged is
not answered; sixty names an hour are answered, in however many questions, processes and restarts they are asked: a list
could be read out otherwise, name by name. Who would let a name pass asks whether a sealed list holds it: that is
counted apart, since nothing may stand in the way of unblocking, and a leaf says so where one does.
"""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from blocklists.errors import why
from resolver.base.errors import ResolverError
from resolver.base.hourly import LIMIT, Hourly
from resolver.base.stored import StateError, Stored, load, store
from resolver.lists.ledger import Event
from resolver.policy import look_up, seals
from resolver.policy.explain import Leads, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from resolver.config.schema import Config
    from resolver.lists.ledger import Ledger
    from resolver.lists.overdue import Listed

SALT = 16
say = logging.getLogger("stopsign.lists")


class TooManyError(ResolverError):
    """Sixty names were asked for within the hour."""


class QuestionError(ResolverError):
    """That a name was asked for cannot be kept."""


class Asked(Stored):
    """When names were asked for, which a restart does not forget."""

    explained: tuple[float, ...] = ()
    tried: tuple[float, ...] = ()


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
        self._explained, self._tried = Hourly(), Hourly()

    def open(self) -> None:
        """Read what was asked before a restart."""
        try:
            asked = load(self._config.places.questions, Asked) or Asked()
        except StateError as error:
            say.warning("%s; what was asked within the hour is forgotten", error)
            return
        self._explained, self._tried = Hourly(asked.explained), Hourly(asked.tried)

    def explain(self, name: str, client: str | None, leads_to: Leads, by: str) -> dict[str, Any]:
        """The explanation as a dictionary. Raises `ResolverError`."""
        now, names = self._clock(), list(dict.fromkeys((name, *leads_to.owners, *leads_to.beside)))
        self._room(
            self._explained, len(names), "by an entry's reference it works at any time: stopsign explain REFERENCE"
        )
        self._ledger.append([self._leaf(one, by) for one in names])
        self._explained.take(now, len(names))
        try:
            self._keep()
        except OSError as error:
            raise QuestionError(f"that it was asked cannot be kept: {why(error)}") from error
        unseal = partial(seals.unseal_all, seals.key_file(self._config))
        return explain(self._config, name, now=now, client=client, leads_to=leads_to, unseal=unseal).as_dict()

    def holds(self, name: str, by: str) -> str | None:
        """The reference of the sealed entry that covers a name; None: there is none. Raises `TooManyError`, and
        `SealedError` where a list does not open here, so that nobody knows: what unblocks works then too."""
        if not self._sealed():
            return None
        hint = "by an entry's reference, or for a whole list, it works at any time: stopsign bypass on LIST"
        self._room(self._tried, 1, hint)
        self._tried.take(self._clock())
        try:
            self._keep()
        except OSError as error:  # what unblocks does not wait for a disk
            say.warning("what was asked within the hour cannot be kept: %s", why(error))
        try:
            compiled, meta = look_up.live(self._config.places)
        except look_up.ListedError:
            return None
        seals.unseal_all(seals.key_file(self._config), compiled, meta.lists)
        found = next((one for one in look_up.covering(compiled, name, self._clock()) if not one.name), None)
        if found is None:
            return None
        self._ledger.note([self._leaf(name, by)], lambda *_: None)
        return found.reference

    def _room(self, asked: Hourly, names: int, hint: str) -> None:
        if asked.room(self._clock()) < names:
            raise TooManyError(f"{LIMIT} names were asked for within the hour, and sealed lists are active", hint=hint)

    def _keep(self) -> None:
        kept = Asked(explained=self._explained.taken, tried=self._tried.taken)
        store(self._config.places.questions, kept)

    def _leaf(self, name: str, by: str) -> Event:
        salt = self._random(SALT)
        digest = hashlib.sha256(salt + name.encode()).hexdigest()
        return Event("explained", "", {"by": by, "salt": salt.hex(), "name": f"sha256:{digest}"})
