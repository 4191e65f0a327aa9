"""What the leaves of one host's log say of a period; and those of several hosts as the story of one provider.

Enters: leaves in order with what is known of their details. Leaves: figures as plain values. Rules:

- What a host did by itself adds up: queries stopped, hours with a leaf, starts, look-ups at the upstream.
- What the provider did once and each host wrote down counts once: an appeal by its id, or where that is not published
  by its entry; an update by list and version; a held or refused one by list, version and reason; the off switch by what
  it was of and until when; an override, of which the leaf says no more, by its hour. Where one of these stands several
  times in a log, the host that has it most often counts.
- A relief counts where it takes out of force what was in force: its leaf is written too when suspended entries leave.
- Of what one update added, the smallest step counts: a new host takes the whole list in one.
- Bands by entry are of each host; there the host that saw most counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from resolver.log.errors import AuditError
from resolver.log.leaf import time_of
from resolver.log.reading import head_of, leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date

    from resolver.log.leaf import Detail, Leaf
    from resolver.log.source import Source

LATE = frozenset({"counts", "bands", "resolving"})
"""Leaves that come after the days that they speak of."""
LIST_KEYS = ("version", "state", "entries", "action", "reason", "threshold", "repository")


class Story:
    """What the leaves say. Earlier leaves count too: for what was in force, and for appeals."""

    def __init__(self, start: date, end: date, origin: str = "") -> None:
        self.start, self.end, self._origin = start, end, origin
        self.hosts: list[dict[str, Any]] = []
        self._lists: dict[str, dict[str, Any]] = {}
        self._once: Counter[tuple[str, ...]] = Counter()
        """How often what counts once stands in the log, by a kind and what tells one from another."""
        self._steps: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        """By list and version: how often it was activated, and what that added and removed."""
        self._off: dict[str, frozenset[str]] = {}
        """By list, what a relief has taken out of force."""
        self._received: dict[str, float] = {}
        self._waited: dict[str, float] = {}
        """By appeal, hours to its decision."""
        self._alive: set[tuple[str, str]] = set()
        self._starts = 0
        self._days: dict[tuple[str, str], dict[str, int]] = {}
        self._bands: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._resolving: dict[tuple[str, str], tuple[int, int]] = {}

    def tell(self, leaf: Leaf, detail: Detail | None) -> None:
        when = time_of(leaf.hour).date()
        if when > self.end and leaf.type not in LATE:
            return
        told = detail.value if detail is not None and detail.erased is None else None
        inside = self.start <= when <= self.end
        withdraws = leaf.type != "relief-applied" or self._withdraws(told)
        if inside:
            self._alive.add((self._origin, leaf.hour))
            self._starts += leaf.type == "start"
        if inside and withdraws:
            self._once[leaf.type, *_which(leaf, told)] += 1
        if not isinstance(told, dict):
            if when >= self.start:
                self._once["unsaid", leaf.type, *_which(leaf, None)] += 1
                if leaf.type == "appeal-decided":
                    self._once["outcome", "not published", *_which(leaf, None)] += 1
            return
        if leaf.type in LATE:
            self._counted(leaf, told)
        elif leaf.type == "list-activated":
            self._activated(told, inside=inside)
        elif leaf.type.startswith("appeal-"):
            self._appeal(leaf, told, inside=inside)
        elif inside and leaf.type == "list-refused":
            self._once["refused", str(told.get("list")), str(told.get("reason"))] += 1
        elif inside and leaf.type == "bypass" and told.get("act") == "on":
            self._once["switched-off", *(str(told.get(key)) for key in ("kind", "of", "until"))] += 1
        elif inside and leaf.type == "list-held":
            for reason in told.get("reasons", ()):
                of_list = str(told.get("list")), str(reason).partition(":")[0]
                self._once["held", *of_list, str(told.get("version"))] += 1

    def joined(self, other: Story) -> Story:
        """Both hosts' as one."""
        both = Story(self.start, self.end)
        both.hosts = self.hosts + other.hosts
        both._lists = dict(self._lists)
        for name, one in other._lists.items():
            known = both._lists.get(name)
            if known is None or _version(known) < _version(one):
                both._lists[name] = one
        both._once = self._once | other._once
        for key in self._steps.keys() | other._steps.keys():
            both._steps[key] = _smaller([story._steps[key] for story in (self, other) if key in story._steps])
        both._received, both._waited = self._received | other._received, self._waited | other._waited
        both._alive, both._starts = self._alive | other._alive, self._starts + other._starts
        both._days, both._bands = self._days | other._days, self._bands | other._bands
        both._resolving = self._resolving | other._resolving
        return both

    def figures(self) -> dict[str, Any]:
        days: dict[str, Counter[str]] = defaultdict(Counter)
        for (_, day), lists in self._days.items():
            days[day].update(lists)
        by_list: Counter[str] = Counter()
        for lists in days.values():
            by_list.update(lists)
        hours = int((self.end - self.start + timedelta(days=1)).total_seconds() // 3600)
        resolving = self._resolving.values()
        return {
            "lists": self._lists,
            "changes": self._changes(),
            "refused": self._two("refused"),
            "held": self._two("held"),
            "approved": self._number("list-approved"),
            "relief": self._number("relief-applied"),
            "staleness": self._staleness(),
            "appeals": {
                "received": self._number("appeal-received"),
                "grounds": self._one("ground"),
                "decided": self._one("outcome"),
                "overdue": self._number("appeal-overdue"),
                "median_hours": round(median(self._waited.values()), 1) if self._waited else None,
            },
            "overrides": {"set": self._number("override-set"), "lifted": self._number("override-lifted")},
            "bypass": self._number("switched-off"),
            "availability": {
                "hours": hours * len(self.hosts), "hours_with_a_leaf": len(self._alive), "starts": self._starts,
            },
            "blocks": {
                "total": by_list.total(),
                "by_list": dict(sorted(by_list.items())),
                "by_day": {day: dict(lists) for day, lists in sorted(days.items())},
            },
            "bands": self._bands_told(),
            "resolving": {"asked": sum(asked for asked, _ in resolving), "gone": sum(gone for _, gone in resolving)},
            "not_published": {
                kind: count for kind, count in self._one("unsaid").items() if kind.startswith("appeal")
            },
        }  # fmt: skip

    def _activated(self, told: dict[str, Any], *, inside: bool) -> None:
        name = str(told.get("list"))
        if not told.get("version"):
            self._lists.pop(name, None)
            return
        self._lists[name] = {key: told[key] for key in LIST_KEYS if key in told} | {
            "signed_by": len(told.get("signed_by", ()))
        }
        if inside:
            numbers = {key: int(told.get(key, 0)) for key in ("added", "removed")}
            self._steps[name, str(told["version"])].update(activations=1, stale=bool(told.get("stale")), **numbers)

    def _withdraws(self, told: Any) -> bool:
        """Whether a relief takes something out of force; one whose references are not known does."""
        named = told.get("references") if isinstance(told, dict) else None
        if not isinstance(named, list):
            return True
        of_list, off = str(told.get("list")), frozenset(map(str, named))
        before, self._off[of_list] = self._off.get(of_list, frozenset()), off
        return not off <= before

    def _appeal(self, leaf: Leaf, told: dict[str, Any], *, inside: bool) -> None:
        (appeal,) = _which(leaf, told)
        if leaf.type == "appeal-received":
            self._received[appeal] = float(told.get("received", time_of(leaf.hour).timestamp()))
            if inside:
                self._once["ground", str(told.get("ground") or "not said"), appeal] += 1
        elif leaf.type == "appeal-decided" and inside:
            self._once["outcome", outcome := str(told.get("outcome")), appeal] += 1
            if appeal in self._received and outcome != "dropped":  # nobody answered it: nobody sent it
                decided = float(told.get("decided", time_of(leaf.hour).timestamp()))
                self._waited[appeal] = (decided - self._received[appeal]) / 3600

    def _counted(self, leaf: Leaf, told: dict[str, Any]) -> None:
        """The same day or month twice is the same leaf, written again."""
        if leaf.type == "counts":
            if self.start.isoformat() <= leaf.reference <= self.end.isoformat():
                self._days[self._origin, leaf.reference] = {
                    str(key): int(count) for key, count in told["lists"].items()
                }
            return
        month = str(told["month"])
        if not self.start.isoformat()[:7] <= month <= self.end.isoformat()[:7]:
            return
        if leaf.type == "resolving":
            self._resolving[self._origin, leaf.reference] = (int(told["asked"]), int(told["gone"]))
            return
        of_list = self._bands.setdefault((self._origin, month, str(told["list"])), {"parts": {}})
        of_list |= {"entries": int(told["entries"]), "met": int(told["met"])}
        if (in_bands := told.get("in_bands")) is not None:  # of a sealed list, whose entries are not told one by one
            of_list["by_category"] = {str(one): {str(b): int(n) for b, n in of.items()} for one, of in in_bands.items()}
            in_all: Counter[str] = sum((Counter(of) for of in of_list["by_category"].values()), Counter())
            of_list["parts"][leaf.reference] = in_all
        else:
            of_list["parts"][leaf.reference] = Counter(told["bands"].values())

    def _changes(self) -> dict[str, dict[str, int]]:
        by_list: dict[str, Counter[str]] = defaultdict(Counter)
        for (name, _), step in self._steps.items():
            by_list[name].update({key: step[key] for key in ("activations", "added", "removed")})
        return {name: dict(counted) for name, counted in sorted(by_list.items())}

    def _staleness(self) -> dict[str, int]:
        by_list: Counter[str] = Counter()
        for (name, _), step in self._steps.items():
            by_list[name] += step["stale"]
        return {name: count for name, count in sorted(by_list.items()) if count}

    def _number(self, kind: str) -> int:
        return sum(count for key, count in self._once.items() if key[0] == kind)

    def _one(self, kind: str) -> dict[str, int]:
        found: Counter[str] = Counter()
        for key, count in self._once.items():
            if key[0] == kind:
                found[key[1]] += count
        return dict(sorted(found.items()))

    def _two(self, kind: str) -> dict[str, dict[str, int]]:
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for key, count in self._once.items():
            if key[0] == kind:
                found[key[1]][key[2]] += count
        return {name: dict(counted) for name, counted in sorted(found.items())}

    def _bands_told(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        for (_, month, name), of_list in sorted(self._bands.items()):
            told = _band_told(of_list)
            known = found[month].get(name)
            if known is None or known["met"] < told["met"]:
                found[month][name] = told
        return {month: dict(sorted(lists.items())) for month, lists in sorted(found.items())}


def read_story(source: Source, details: Callable[[int], list[Detail]], start: date, end: date) -> Story:
    """One log, whole. Raises `AuditError`."""
    head = head_of(source)
    story = Story(start, end, head.origin)
    for index, leaf, detail in leaves(source, details):
        try:
            story.tell(leaf, detail)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as wrong:
            raise AuditError(f"the detail of leaf {index} is not in the form of a {leaf.type}: {wrong!r}") from wrong
    story.hosts.append({"origin": head.origin, "leaves": head.size, "root": head.root.hex()})
    return story


def _which(leaf: Leaf, told: Any) -> tuple[str, ...]:
    """What tells one leaf of a type from another, at whichever host it stands."""
    if leaf.type.startswith("appeal-"):
        return (str(told["appeal"]) if isinstance(told, dict) and "appeal" in told else leaf.reference,)
    return (leaf.hour if leaf.type.startswith("override-") else leaf.reference,)


def _version(known: dict[str, Any]) -> int:
    version = known.get("version")
    return version if isinstance(version, int) else 0


def _smaller(steps: Iterable[Counter[str]]) -> Counter[str]:
    """One version at several hosts."""
    every = list(steps)
    return Counter({
        "activations": max(one["activations"] for one in every),
        "stale": max(one["stale"] for one in every),
        "added": min(one["added"] for one in every),
        "removed": min(one["removed"] for one in every),
    })  # fmt: skip


def _band_told(of_list: dict[str, Any]) -> dict[str, Any]:
    bands: Counter[str] = sum(of_list["parts"].values(), Counter())
    under = of_list["met"] - bands.total()
    return {
        "entries": of_list["entries"],
        "met": of_list["met"],
        "never": of_list["entries"] - of_list["met"],
        "bands": {"under 10": under, **dict(sorted(bands.items()))},
        **({"by_category": of_list["by_category"]} if "by_category" in of_list else {}),
    }
