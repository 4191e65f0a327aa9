"""Decisions come back: what the issuer decided on appeals, as the signed list carries it, onto the receipts.

Enters: the decisions of `resolver/ipc/issuer_decisions.py`, which the steward takes from the verified relief of each
list. Leaves: appeals closed with the issuer's outcome, reasons and name. Rules: only what the list that blocks has
signed counts, for an appeal against an entry of that list; a decision that is there already changes nothing; one that
the database does not take keeps no other waiting. Of a signer's name that is too long for its column the receipt has
the beginning; the signed list has it whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklists.text import shown
from resolver.portal.database import StoreError
from resolver.portal.tables import DECIDED_BY

if TYPE_CHECKING:
    from resolver.ipc.issuer_decisions import Decision
    from resolver.portal.store import Store

ROOM = 24  # for the length that `shown` writes behind a beginning


async def apply(store: Store, decisions: list[Decision]) -> int:
    """Close the open appeals that were decided; how many. Raises `StoreError` after the last of them where the database
    did not take one."""
    if not decisions:
        return 0
    waiting = {one.id: one for one in await store.all()}
    closed, failed = 0, list[StoreError]()
    for decision in decisions:
        appeal = waiting.get(decision.appeal)
        if appeal is None or (appeal.reference, appeal.list or decision.list) != (decision.reference, decision.list):
            continue
        by = decision.by if len(decision.by) <= DECIDED_BY else shown(decision.by, most=DECIDED_BY - ROOM)
        try:
            closed += len(await store.decide([appeal.id], decision.outcome, by, decision.reasons, decision.decided))
        except StoreError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return closed
