"""What is applied of a list and damaged here, restored from what else has it: the record, and the document.

Enters: the generation, whose meta names document, version and grounds; the document itself; the stored suspensions; for
a document, what is verified of the list, and what is kept for the log. Leaves: the record; the document, proven by its
state hash. Rules: nothing becomes active here that was not active before, and no suspension is lost: an older state
would resurrect what was withdrawn. The rolling caps forget what was added in the last week.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from blocklists import document, durable
from blocklists.document import DocumentError
from blocklists.errors import VerifyError
from resolver import _core
from resolver.base.stored import StateError
from resolver.lists import activate, fetch
from resolver.lists.state import Applied
from resolver.log.errors import AuditError
from resolver.stats.kept import Kept

if TYPE_CHECKING:
    from pathlib import Path

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


def whole_again(source: ListSource, places: Places, applied: Applied) -> bool:
    """Make the document again that is applied, where it is damaged or gone; whether it was. `StateError` where nothing
    has it any more, `VerifyError` or `OSError` where it cannot be read or written."""
    path = places.list(source.name).applied / applied.document
    damage = damage_of(path, applied.entries, applied.state if applied.less is None else None)
    if damage is None:
        return False
    if applied.less is None:
        with contextlib.suppress(VerifyError):
            candidate = fetch.stored(source, places.list(source.name))
            if candidate is not None and candidate.state == applied.state:
                durable.copy(candidate.lines, path)
                return True
        with contextlib.suppress(AuditError), durable.replaced(path) as part:
            document.write_lines(part, Kept(places.kept(source.name)).lines(applied.state), level=document.LOCAL_LEVEL)
            return True
    raise StateError(f"the document of list {source.name} that is active is damaged, and stored nowhere else: {damage}")


def damage_of(path: Path, entries: int | None = None, state: str | None = None) -> str | None:
    """Why this is no whole document, or not the one that has so many entries and that state hash, where known.
    `VerifyError` where this machine cannot tell."""
    if not path.exists():
        return f"{path} is gone"
    try:
        with document.translated():
            found, _, came = _core.summary(path, size=document.MAX_SIZE)
    except DocumentError as error:
        return str(error)
    if entries not in (None, found) or state not in (None, came):
        return f"{path}: it has {found:,} entries and the state hash {came}"
    return None
