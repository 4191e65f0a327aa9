"""A damaged record of what is applied, restored from what else knows it.

Enters: the generation, whose meta names document, version and grounds; the document itself; the stored suspensions.
Leaves: the record. Rules: nothing becomes active here that was not active before, and no suspension is lost: an older
state would resurrect what was withdrawn. The rolling caps forget what was added in the last week.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.base.stored import StateError
from resolver.lists import activate, fetch
from resolver.lists.state import Applied

if TYPE_CHECKING:
    from resolver.base.paths import Places
    from resolver.config.schema_lists import ListSource


def restored(source: ListSource, places: Places) -> Applied:
    """The record of one list. `StateError` or `VerifyError` where too little is left."""
    name = source.name
    for path in (places.generation, places.current):
        part = next((part for part in activate.read(path).lists if part.name == name), None)
        if part is None or part.document is None:
            continue
        if not (places.list(name).applied / part.document).exists():
            continue
        candidate = fetch.stored(source, places.list(name))
        suspended = dict(candidate.suspended) if candidate else {}
        if len(suspended) < part.suspended:
            raise StateError(f"{part.suspended} suspensions of list {name} were active, {len(suspended)} are stored")
        return Applied(**part.described(), size=0, suspended=suspended)
    raise StateError(f"no generation names a document of list {name} that is still there")
