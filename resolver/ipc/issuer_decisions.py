"""What issuers decided on appeals, from the steward to the web process: `run_dir/decisions.json`.

Enters: on the steward's side, the decisions in the verified relief of each list. Leaves: on the web process's side, the
same as values. Rules: the file is written whole and never added to; a decision that is not one is left out.

    {"format": 1,
     "decisions": [{"list": "gambling", "appeal": "A-…", "reference": "…", "decided": "2026-11-22T00:00:00Z",
                    "outcome": "granted", "reasons": "…", "by": "…"}]}
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blocklists.errors import why
from resolver.base import atomic
from resolver.base.timestamps import as_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resolver.base.paths import Places

log = logging.getLogger("stopsign.portal")

FORMAT = 1
LARGEST = 64 << 20
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


def write(places: Places, decided: Sequence[dict[str, Any]]) -> None:
    """Write the file if it changes. Raises OSError."""
    atomic.update(places.decisions, json.dumps({"format": FORMAT, "decisions": decided}).encode())


def is_there(places: Places) -> bool:
    """Whether the file is."""
    return places.decisions.exists()


def read(places: Places) -> list[Decision]:
    """The decisions in the file; none where there is no file."""
    try:
        told = json.loads(atomic.read(places.decisions, LARGEST))["decisions"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("the decisions on appeals cannot be read (%s)", why(error))
        return []
    return [decision for one in told if (decision := _decision(one))] if isinstance(told, list) else []


def _decision(told: object) -> Decision | None:
    if not isinstance(told, dict) or told.keys() != Decision.__dataclass_fields__.keys():
        return None
    if not all(isinstance(value, str) for value in told.values()) or told["outcome"] not in OUTCOMES:
        return None
    try:
        return Decision(**{**told, "decided": int(as_time(told["decided"]))})
    except ValueError:
        return None
