"""A damaged record of what is applied, written anew from what else knows it.

Enters: the generation, whose meta names document, version and grounds; the document itself; the stored suspensions.
Leaves: the record. Rules: nothing becomes active here that was not active before, and no suspension is lost: an older
state would resurrect what was withdrawn. The rolling caps forget what was added in the last week.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from resolver.base.stored import StateError
from resolver.lists import activate, fetch
from resolver.lists.state import Applied

if TYPE_CHECKING:
    from resolver.base.paths import Places
    from resolver.config.schema import ListSource

KEYS = (
    "version", "state", "document", "entries", "less", "since", "issuer", "bases", "relief", "signed_by", "threshold",
    "approved_by", "added", "removed", "base",
)  # fmt: skip


def restored(source: ListSource, places: Places) -> Applied:
    """The record of one list. `StateError` or `VerifyError` where too little is left."""
    name = source.name
    for path in (places.generation, places.current):
        part = next((part for part in activate.read(path).lists if part["name"] == name), None)
        if part is None or part["document"] is None:
            continue
        document = places.list(name).applied / part["document"]
        if not document.exists():
            continue
        candidate = fetch.stored(source, places.list(name))
        suspended = dict(candidate.suspended) if candidate else {}
        if len(suspended) < part["suspended"]:
            raise StateError(f"{part['suspended']} suspensions of list {name} were active, {len(suspended)} are stored")
        try:
            fields = {key: part[key] for key in KEYS} | {"holders": part.get("holders", {})}
            return Applied(**fields, bridged=part["unsigned"], size=0, suspended=suspended)
        except (KeyError, ValidationError) as error:
            raise StateError(f"{path} does not describe list {name} ({str(error).splitlines()[0]})") from error
    raise StateError(f"no generation names a document of list {name} that is still there")
