"""What does not stop a name although its list has it: withdrawn by the issuer's relief, or suspended at this provider.

Enters: the configuration, and a name or a reference as somebody typed it. Leaves: each entry that covers it and is not
in force, with by whom, since when and why. Reads the state directory alone, so that it works with the steward dead; a
list without suspensions is not read at all. A sealed list holds no names: its entries are found by reference alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from blocklists import entry
from blocklists.document import MAX_SIZE
from blocklists.sealed import lines
from blocklists.text import shown
from resolver import _core
from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text
from resolver.lists import suspensions
from resolver.lists.state import load_applied
from resolver.policy import overrides
from resolver.policy.typed import name_in, only_reference

if TYPE_CHECKING:
    from blocklists.entry import Entry
    from resolver.base.paths import Places
    from resolver.config.schema import Config
    from resolver.lists.state import Applied
    from resolver.lists.suspensions import Suspended


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """One entry that is not in force."""

    name: str
    """Empty for an entry of a sealed list."""
    match: str
    list: str
    version: int
    reference: str
    by: str
    """The issuer, or `this provider`."""
    signed_by: str
    """Who signed the issuer's relief, and with which key, where this provider saw it come."""
    since: str
    why: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> tuple[str, str]:
        """For people: the entry, and why it is not in force."""
        what = "withdrawn" if self.by != HERE else "suspended"
        signed = f", signed by {self.signed_by}," if self.signed_by else ""
        name = self.name or "a sealed entry"
        entry = f"{name} ({self.match}), list {self.list} version {self.version}, reference {self.reference}"
        return f"   {entry}", f"     not in force: {what} by {self.by}{signed} since {self.since}: {self.why}"


HERE = "this provider"


def find(config: Config, typed: str, now: float) -> tuple[Withdrawn, ...]:
    """Entries not in force that cover the name, or have the reference, that was typed. `ResolverError`: a file is
    damaged."""
    reference = only_reference(typed)
    name = name_in(typed) if reference is None else None
    let = overrides.read(config.places).holding(now)
    here = suspensions.read(config.places).beside(suspensions.of_overrides(let))
    found: list[Withdrawn] = []
    for source in config.lists:
        applied = load_applied(config.places.list(source.name))
        if applied is None:
            continue
        off = {*applied.suspended, *here.of(source.name)}
        wanted = off if reference is None else off & {reference}
        for line in _lines(config.places, source.name, applied, wanted):
            sealed = lines.is_sealed(line)
            one = lines.parse(line).plain if sealed else entry.parse(line)
            if name is None or (not sealed and _covers(one, name)):
                own = here.entries.get(one.reference)
                found.append(_told(one, "" if sealed else one.name, source.name, applied, own))
    return tuple(found)


def _lines(places: Places, name: str, applied: Applied, wanted: set[str]) -> list[bytes]:
    """The lines of a document with these references."""
    if not wanted:
        return []
    path = places.list(name).applied / applied.document
    try:
        return _core.find(path, size=applied.size or MAX_SIZE, references=[*wanted])
    except _core.ListError as error:
        hint = f"stopsign lists refresh {name} makes it again where it can"
        raise ResolverError(f"what list {name} has suspended cannot be read: {error}", hint=hint) from error


def _covers(one: Entry, name: str) -> bool:
    if one.name == name:
        return True  # an entry for its subdomains too: its name means that entry
    return one.match != "exact" and name.endswith(f".{one.name}")


def _told(one: Entry, name: str, of: str, applied: Applied, own: Suspended | None) -> Withdrawn:
    relief = applied.suspended.get(one.reference)
    if relief is not None:
        by, signed_by, since, why = shown(applied.issuer.name), shown(relief.by), relief.since, shown(relief.reason)
    else:
        by, signed_by, since, why = HERE, "", own.since if own else "", _why(own)
    return Withdrawn(name, one.match, of, applied.version, one.reference, by, signed_by, since, why)


def _why(own: Suspended | None) -> str:
    told = []
    if own is not None and own.appeals:
        plural = "appeals against it were" if len(own.appeals) > 1 else "an appeal against it was"
        number = f"{len(own.appeals)} " if len(own.appeals) > 1 else ""
        told.append(f"{number}{plural} not decided in time, and it ends when they are")
    if own is not None and own.until is not None and own.reason:
        told.append(f"a person lets it pass until {as_text(own.until)}: {shown(own.reason)}")
    elif own is not None and own.until is not None:
        told.append(f"it was a mistake that is being mended, until {as_text(own.until)}")
    return "; ".join(told) or "no reason is kept"
