"""Decisions come back: what the issuer decided on appeals, as the signed list carries it, onto the receipts.

Enters: `run_dir/decisions.json`, which the steward writes from the verified relief of each list. Leaves: appeals
closed with the issuer's outcome, reasons and name. Rules: only what the list that blocks has signed counts, for an
appeal against an entry of that list; a decision that is there already changes nothing.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.base import atomic
from resolver.portal.facts import unix

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.portal.store import Store

log = logging.getLogger("stopsign.portal")

MAX_FILE = 64 << 20
OUTCOMES = frozenset({"granted", "upheld"})


@dataclass(frozen=True)
class Decision:
    """As in `blocklists.head.Decision`, with the list it came in."""

    list: str
    appeal: str
    reference: str
    decided: int
    outcome: str
    reasons: str
    by: str


def read(path: Path) -> list[Decision]:
    """The decisions in the file; none where there is no file. What is not one is left out."""
    try:
        told = json.loads(atomic.read(path, MAX_FILE))["decisions"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the decisions on appeals cannot be read (%s)", error)
        return []
    return [
        Decision(**{**one, "decided": unix(one["decided"])})
        for one in told
        if one.keys() == Decision.__dataclass_fields__.keys() and one["outcome"] in OUTCOMES
    ]


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
        closed += await store.decide(appeal.id, decision.outcome, decision.by, decision.reasons, decision.decided)
    return closed
