"""Evidence: for what became active, and for what people were promised, a proof that it stands in the log.

Enters: the index of a leaf that is durable. Leaves: a proof (c2sp.org/tlog-proof) that anybody can check offline with
the log's key: of each list's newest activation in `log/activated/LIST.tlog-proof`, of an appeal to who sent it. Rules:
the leaf is what counts, and a proof can be made again at any time (`stopsign audit prove`): one that cannot be made now
stops nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from blocklists import durable
from resolver.lists.ledger import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.base.paths import Places
    from resolver.lists.ledger import Event, Ledger

say = logging.getLogger("stopsign.steward")


def of_leaf(ledger: Ledger, index: int) -> str | None:
    """A proof as text; `None`: it cannot be made now."""
    try:
        return ledger.proof(index).decode()
    except LedgerError as error:
        say.warning("%s", error)
        return None


def of_activations(places: Places, ledger: Ledger, logged: Iterable[tuple[int, Event]]) -> None:
    """Publishes the proofs of the activations among these leaves."""
    for index, event in logged:
        proof = of_leaf(ledger, index) if event.type == "list-activated" else None
        if proof is not None:
            try:
                durable.replace(places.activated(str(event.detail["list"])), proof.encode())
            except OSError as error:
                say.warning("the proof of leaf %d cannot be written (%s)", index, error.strerror)
