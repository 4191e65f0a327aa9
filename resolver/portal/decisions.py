"""Decisions come back: what the issuer decided on appeals, as the signed list carries it, onto the receipts.

Enters: the decisions of `resolver/ipc/issuer_decisions.py`, which the steward takes from the verified relief of each
list. Leaves: appeals closed with the issuer's outcome, reasons and name. Rules: only what the list that blocks has
signed counts, for an appeal against an entry of that list; a decision that is there already changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resolver.ipc.issuer_decisions import Decision
    from resolver.portal.store import Store


async def apply(store: Store, decisions: list[Decision]) -> int:
    """Close the open appeals that were decided; how many."""
    if not decisions:
        return 0
    waiting = {one.id: one for one in await store.all()}
    closed = 0
    for decision in decisions:
        appeal = waiting.get(decision.appeal)
        if appeal is None or (appeal.reference, appeal.list or decision.list) != (decision.reference, decision.list):
            continue
        said = decision.outcome, decision.by, decision.reasons, decision.decided
        closed += len(await store.decide([appeal.id], *said))
    return closed
