"""What a list lets pass: the blocks that cover it are narrowed where an entry can say so, else rejected.

Enters: names that the files let pass, each with a match; a block. Leaves: what is left of the block, and why.

Rules
- A block loses what is let pass. `exact` and `below` are the two halves of `subtree`: a name let pass at a `subtree`
  leaves `below`; a name let pass below it leaves `exact`. The rest would need a hole in an entry, and is rejected:
  fewer names are stopped than the list says, never one that it lets pass.
- In ad blockers' lists an exception wins over every block that it covers. In a policy zone the more specific rule wins,
  so a block that is narrower than the exception stays (draft-vixie-dnsop-dns-rpz, 5: the longest match).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from blocklists.entry import at_or_above

if TYPE_CHECKING:
    from blocklists.entry import Match

_PARTS: dict[str, frozenset[str]] = {
    "exact": frozenset({"exact"}), "below": frozenset({"below"}), "subtree": frozenset({"exact", "below"}),
}  # fmt: skip
_SHOWN = 5


class _Passing(NamedTuple):
    match: Match
    wins: bool


@dataclass(slots=True)
class Exceptions:
    """The names that an import lets pass."""

    at: dict[str, set[_Passing]] = field(default_factory=dict)
    inside: dict[str, set[str]] = field(default_factory=dict)
    """Each name above one that passes, to those."""
    fresh: bool = False
    """Something was added since the blocks were judged."""

    def add(self, name: str, match: Match, *, wins: bool) -> None:
        """One more."""
        self.at.setdefault(name, set()).add(_Passing(match, wins))
        for parent in at_or_above(name)[1:]:
            self.inside.setdefault(parent, set()).add(name)
        self.fresh = True

    def judge(self, name: str, match: Match) -> tuple[Match | None, str]:
        """What is left of a block (None: nothing that an entry can say), and which names pass."""
        for parent in at_or_above(name)[1:]:
            if any(passing.wins and passing.match != "exact" for passing in self.at.get(parent, ())):
                return None, f"all below {parent}"
        gone: set[str] = set()
        names: list[str] = []
        for passing in sorted(self.at.get(name, ())):
            if lost := _PARTS[passing.match] & _PARTS[match]:
                gone |= lost
                names.append(name if passing.match != "below" else f"all below {name}")
        within = self.inside.get(name)
        if within and "below" in _PARTS[match] - gone:
            gone.add("below")
            names += sorted(within)
        left = _PARTS[match] - gone
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        kept: Match | None = None
        if left:
            kept = "subtree" if len(left) == 2 else "exact" if "exact" in left else "below"
        return kept, f"{', '.join(names[:_SHOWN])}{more}"
