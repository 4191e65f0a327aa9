"""What issuers decided on appeals, for the portal: `run_dir/decisions.json`.

Enters: the verified relief of each list, as it lies on the disk. Leaves: one file with the decisions of all lists.
Rules: it is made anew from what is verified and never added to; a relief that cannot be read leaves its list's
decisions out, and the receipts wait.

    {"format": 1,
     "decisions": [{"list": "gambling", "appeal": "A-…", "reference": "…", "decided": "2026-11-22T00:00:00Z",
                    "outcome": "granted", "reasons": "…", "by": "…"}]}
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from blocklists.head import HeadError, Relief
from resolver.base import atomic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.base.paths import Places

FORMAT = 1


def publish(places: Places, lists: Iterable[str]) -> list[dict[str, Any]]:
    """Write the file where it would change; the decisions in it. OSError where that cannot be."""
    decided: list[dict[str, Any]] = []
    for name in lists:
        try:
            relief = Relief.from_bytes((places.list(name).verified / "relief.json").read_bytes())
        except (OSError, HeadError):
            continue
        decided += [{"list": name, **asdict(decision)} for decision in relief.decisions]
    told = json.dumps({"format": FORMAT, "decisions": decided}).encode()
    try:
        known = atomic.read(places.decisions, len(told))
    except OSError:  # none yet, or another
        known = b""
    if known != told:
        atomic.replace(places.decisions, told)
    return decided
