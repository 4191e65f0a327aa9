"""What issuers decided on appeals, as the verified relief of each list says it, for the steward and the portal.

Enters: the relief on the disk. Leaves: the decisions, as `resolver/ipc/issuer_decisions.py` writes them. Rules: they
are those that are verified now; a relief that cannot be read leaves its list's decisions out, and the receipts wait.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from blocklists import verify
from blocklists.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.base.paths import Places


def read(places: Places, lists: Iterable[str]) -> list[dict[str, Any]]:
    """The decisions of these lists."""
    decided: list[dict[str, Any]] = []
    for name in lists:
        try:
            relief = verify.relief_seen(places.list(name).root)
        except VerifyError:
            continue
        decided += [{"list": name, **asdict(decision)} for decision in (relief.decisions if relief else ())]
    return decided
