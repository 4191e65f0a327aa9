"""What issuers decided on appeals, as the verified relief of each list says it, for the portal.

Enters: the relief on the disk. Leaves: the file of `resolver/ipc/issuer_decisions.py`. Rules: it is made of what is
verified now; a relief that cannot be read leaves its list's decisions out, and the receipts wait.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from blocklists.head import HeadError, Relief
from resolver.ipc import issuer_decisions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.base.paths import Places


def publish(places: Places, lists: Iterable[str]) -> list[dict[str, Any]]:
    """Write the file where it would change; the decisions in it. OSError where that cannot be."""
    decided: list[dict[str, Any]] = []
    for name in lists:
        try:
            relief = Relief.from_bytes((places.list(name).verified / "relief.json").read_bytes())
        except (OSError, HeadError):
            continue
        decided += [{"list": name, **asdict(decision)} for decision in relief.decisions]
    issuer_decisions.write(places, decided)
    return decided
