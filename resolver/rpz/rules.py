"""The rules of a zone: what is in force, for the lists of the zone.

Enters: what is in force, a zone. Leaves: a file of rules. Rules: only lists of the zone count, in the order of the
configuration; a list that is switched off counts for nothing, nor does what only monitors, what is suspended (the
compiler has left it out) or what has expired; an exception comes before all lists. A zone that names a sealed list is
refused; one of all lists goes without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklists.errors import why
from resolver._core import CoreError
from resolver.policy.verdict import mask, names_of, switched_off
from resolver.rpz.zone import RpzError

if TYPE_CHECKING:
    from pathlib import Path

    from resolver._core import Match, Policies
    from resolver.config.schema import Config
    from resolver.config.schema_rpz import RpzZone
    from resolver.policy.in_force import InForce
    from resolver.rpz.zone import Zone

NEVER_A_ZONE = "a sealed list is in no policy zone; a resolver that needs it takes Stopsign in front"


def counting(live: InForce, wanted: frozenset[str] | None, now: float) -> int:
    """The lists that count, as the core's bits. `wanted` None: all."""
    everything, off = switched_off(live.exceptions, live.names, now)
    return 0 if everything else mask(live.names, wanted) & ~off


def stops(live: InForce, qname: str, wanted: frozenset[str] | None, now: float) -> Match | None:
    """The entry that stops a name, by the verdict; None too for what no list can hold."""
    try:
        judgement = live.judge(qname, now, mask(live.names, wanted))
    except CoreError:
        return None
    return None if judgement is None else judgement.stop


def lists_of(config: Config, source: RpzZone) -> frozenset[str] | None:
    """The lists of a zone: its own, those of its view, or all."""
    if source.lists is not None:
        return frozenset(source.lists)
    if source.view is not None:
        return frozenset(name for view in config.views if view.name == source.view for name in view.lists)
    return None


def sealed(live: InForce) -> frozenset[str]:
    """The lists that no zone holds: their names are not known here, and a zone can be read by all its secondaries."""
    return frozenset(one.name for one in live.lists if one.seal is not None and one.shadow_of is None)


def left_out(live: InForce) -> list[str]:
    """Why a zone goes without them, in sentences."""
    return [f"{name}: {NEVER_A_ZONE}" for name in sorted(sealed(live))]


def write_rules(live: InForce, zone: Zone, wanted: frozenset[str] | None, output: Path, now: float) -> Policies:
    """Write the rules of a zone to `output`, whole and durable or not at all. `RpzError` where there is no list."""
    if live.compiled is None:
        hint = "the steward compiles it; `stopsign lists status` says more"
        raise RpzError(f"there is no list to make {zone.origin} of: {live.trouble}", hint=hint)
    if named := sorted(sealed(live) & (wanted or frozenset())):
        raise RpzError(f"{', '.join(named)}: {NEVER_A_ZONE}", hint="take it out of the zone; docs/sealed.md")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        return live.compiled.write_policies(
            output,
            lists=counting(live, wanted, now),
            exceptions=names_of(live.exceptions),
            now=int(now),
            room=zone.room,
        )
    except (CoreError, OSError) as error:
        raise RpzError(why(error)) from error
