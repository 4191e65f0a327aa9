"""What the last verified version of a list would change of what is applied: what a person reads before approving.

Reads the state directory alone, so that it works with the steward dead. Of a sealed list it counts, and lists nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resolver import _core
from resolver.base.errors import ResolverError
from resolver.lists import fetch
from resolver.lists.admit import is_rekeyed
from resolver.lists.state import load_applied

if TYPE_CHECKING:
    from resolver.config.schema import Config

KINDS = ("added", "removed", "widened", "narrowed", "prolonged", "shortened", "altered")


def difference(config: Config, name: str, limit: int) -> dict[str, Any]:
    """Counts by kind, and the first `limit` changes."""
    source = config.list_named(name)
    if source is None:
        names = ", ".join(source.name for source in config.lists) or "none"
        raise ResolverError(f"there is no list {name!r}", hint=f"there are: {names}")
    places = config.places.list(name)
    applied, candidate = load_applied(places), fetch.stored(source, places)
    if candidate is None:
        raise ResolverError(f"no version of list {name} was ever verified", hint=f"stopsign lists refresh {name}")
    old = str(places.applied / applied.document) if applied else None
    try:
        withdrawn = sorted({**(applied.suspended if applied else {}), **candidate.suspended})
        sealed = candidate.seal is not None
        seen = _core.changes(
            old, str(candidate.lines), withdrawn=withdrawn, limit=0 if sealed else limit,
            sealed=sealed, rekeyed=is_rekeyed(applied, candidate),
        )  # fmt: skip
    except _core.CoreError as error:
        raise ResolverError(f"the versions of list {name} cannot be compared: {error}") from error
    return {
        "list": name,
        "from": applied.version if applied else None,
        "to": candidate.version,
        "state": candidate.state,
        "counts": {kind: getattr(seen, kind) for kind in KINDS},
        "changes": [
            {"kind": change.kind, "name": change.name, "match": change.match, "reference": change.reference}
            for change in seen.listed
        ],
    }
