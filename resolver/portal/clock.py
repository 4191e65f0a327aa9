"""The clocks of appeals: what has to happen without anybody asking for it.

Enters: the store, the time, and a way to speak to the steward. Leaves: the steward told, overdue entries suspended,
what was due to be deleted gone. Rules: every step can be repeated and interrupted anywhere (several hosts do the same
round on one database); nothing here decides or closes an appeal.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from resolver.control import ControlError, UnreachableError
from resolver.portal import decisions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.portal.decisions import Decision
    from resolver.portal.store import Store

log = logging.getLogger("stopsign.portal")


class Steward(Protocol):
    """How something is said to the steward; `resolver.control.acall` bound to its socket."""

    async def __call__(self, op: str, **arguments: Any) -> Mapping[str, Any]: ...


async def deliver(store: Store, steward: Steward) -> bool:
    """Tell the steward what waits, oldest first. False: it is away, and the rest waits.

    What the steward refuses stays as well, so that nothing is lost to a version that does not know the word; the rest
    goes on past it."""
    for message in await store.messages():
        try:
            answer = await steward(message.op, **message.arguments)
        except UnreachableError:
            return False
        except ControlError as refused:
            log.warning("the steward does not take %s number %d: %s", message.op, message.number, refused)
            continue
        proof = answer.get("proof")
        await store.told(message, proof if isinstance(proof, str) else None)
    return True


async def round_of(store: Store, decided: list[Decision], now: int, keep: int) -> tuple[int, int, int]:
    """Close what was decided, suspend what is overdue, delete what is to be deleted; how many of each."""
    closed, suspended = await decisions.apply(store, decided), 0
    for one in await store.all():
        if one.due < now and one.suspends and one.suspended is None:
            suspended += await store.suspend(one, now)
    return closed, suspended, await store.erase(now - keep, now)
