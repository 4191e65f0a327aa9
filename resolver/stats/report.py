"""The transparency report: what a provider did in a period, from its log and the lists in force.

Enters: a log with the details that are available, the documents in force, a period of whole days (UTC). Leaves: one
report as plain values; several hosts' reports add up to one. Rules: a figure comes from leaves and documents alone, so
anybody with a copy can compute it again; a figure that the copy does not support (private details) is left out and
named; no figure below ten concerns a single entry.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from resolver.log.errors import AuditError
from resolver.log.leaf import time_of
from resolver.log.reading import head_of, leaves
from resolver.stats.documents import tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from resolver.log.leaf import Detail, Leaf
    from resolver.log.source import Source

Report = dict[str, Any]
AGES = ((30, "under 30 days"), (90, "30 to 89 days"), (365, "90 to 364 days"), (10**6, "a year or more"))
FORMAT = 1
SUMMED = frozenset({"blocks", "appeals", "overrides", "availability", "resolving"})


def report(
    source: Source,
    details: Callable[[int], list[Detail]],
    start: date,
    end: date,
    documents: Iterable[tuple[Path, Mapping[str, Any]]] = (),
) -> Report:
    """The report on `start` to `end`, inclusive. `documents`: the lists in force, each with its head (issuer,
    bases) as far as it is known."""
    if end < start:
        raise AuditError("the period ends before it begins")
    head, story = head_of(source), _Story(start, end)
    for index, leaf, detail in leaves(source, details):
        try:
            story.tell(leaf, detail)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as wrong:
            raise AuditError(f"the detail of leaf {index} is not in the form of a {leaf.type}: {wrong!r}") from wrong
    return {
        "format": FORMAT,
        "from": start.isoformat(),
        "to": end.isoformat(),
        "hosts": [{"origin": head.origin, "leaves": head.size, "root": head.root.hex()}],
        "entries": _entries(documents, start, end),
        **story.told(),
    }


def add(reports: Iterable[Report]) -> Report:
    """Several hosts' reports as one. What each host did for itself adds up (blocks, appeals, overrides, hours); what
    all of them follow together does not (lists and their changes): there the host that saw most counts."""
    first, *others = reports
    whole = first
    for other in others:
        if (other.get("format"), other["from"], other["to"]) != (FORMAT, first["from"], first["to"]):
            raise AuditError("reports of different periods or formats do not add up")
        whole = {key: _joined(value, other.get(key), summed=key in SUMMED) for key, value in whole.items()} | {
            key: value for key, value in other.items() if key not in whole
        }
    if others:
        whole = whole | {"hosts": [host for one in (first, *others) for host in one["hosts"]]}
        whole["appeals"] = whole["appeals"] | {"median_hours": None}  # a median of medians is none
    return whole | {"evaluation": evaluation(whole), "dsa": dsa(whole)}


def dsa(whole: Report) -> dict[str, Any]:
    """The figures that Article 15(1) of the Digital Services Act asks of a mere conduit, by its letters (the templates
    are those of Implementing Regulation (EU) 2024/2835); docs/report.md says which row is which."""
    orders: Counter[str] = Counter()
    items: Counter[str] = Counter()
    for told in whole["entries"]["by_basis"].values():
        territory = told["territory"] or "not said"
        orders[territory] += 1
        items[territory] += told["entries"]
    decided = whole["appeals"]["decided"]
    return {
        "a": {"orders_by_territory": dict(sorted(orders.items())), "items_by_territory": dict(sorted(items.items())),
              "items_by_category": whole["entries"]["by_category"]},
        "d": {"complaints": whole["appeals"]["received"], "by_ground": whole["appeals"]["grounds"],
              "median_hours_to_decide": whole["appeals"]["median_hours"], "decided": sum(decided.values()),
              "reversed": decided.get("granted", 0) + decided.get("mended", 0)},
        "e": {"automated_decisions": 0},
    }  # fmt: skip


def evaluation(whole: Report) -> dict[str, Any]:
    """What a regulator needs to judge whether the measure works."""
    bands = [told for by_list in whole["bands"].values() for told in by_list.values()]
    entries, met = sum(told["entries"] for told in bands), sum(told["met"] for told in bands)
    decided = whole["appeals"]["decided"]
    wrong = decided.get("granted", 0) + decided.get("mended", 0)
    merits = wrong + decided.get("upheld", 0)
    return {
        "blocks_a_day": round(whole["blocks"]["total"] / max(len(whole["blocks"]["by_day"]), 1), 1),
        "share_never_met": round(1 - met / entries, 4) if entries else None,
        "overblocking_found": wrong,
        "appeals_that_were_right": round(wrong / merits, 4) if merits else None,
    }


class _Story:
    """What the leaves say. Earlier leaves count too: for what was in force, and for appeals."""

    def __init__(self, start: date, end: date) -> None:
        self._start, self._end = start, end
        self._lists: dict[str, dict[str, Any]] = {}
        self._changes: dict[str, Counter[str]] = defaultdict(Counter)
        self._refused: dict[str, Counter[str]] = defaultdict(Counter)
        self._held: dict[str, Counter[str]] = defaultdict(Counter)
        self._stale: Counter[str] = Counter()
        self._days: dict[str, dict[str, int]] = {}
        self._bands: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._types: Counter[str] = Counter()
        self._received: dict[str, float] = {}
        self._grounds: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._thrown = 0
        self._hours: list[float] = []
        self._alive: set[str] = set()
        self._unsaid: Counter[str] = Counter()
        self._resolving: dict[str, tuple[int, int]] = {}

    def tell(self, leaf: Leaf, detail: Detail | None) -> None:
        when = time_of(leaf.hour).date()
        if when > self._end and leaf.type not in {"counts", "bands", "resolving"}:
            return
        told = detail.value if detail is not None and detail.erased is None else None
        inside = when >= self._start
        if inside and when <= self._end:
            self._types[leaf.type] += 1
            self._alive.add(leaf.hour)
        if not isinstance(told, dict):
            if inside:
                self._unsaid[leaf.type] += 1
                if leaf.type == "appeal-decided":
                    self._outcomes["not published"] += 1
            return
        if leaf.type == "list-activated":
            self._activated(told, inside=inside)
        elif leaf.type.startswith("appeal-"):
            self._appeal(leaf, told, inside=inside)
        elif leaf.type == "counts" and self._start.isoformat() <= leaf.reference <= self._end.isoformat():
            self._days[leaf.reference] = {
                str(name): int(count) for name, count in told["lists"].items()
            }  # the same day twice is the same leaf, written again
        elif leaf.type == "bands" and self._start.isoformat()[:7] <= str(told["month"]) <= self._end.isoformat()[:7]:
            self._band(leaf, told)
        elif (
            leaf.type == "resolving" and self._start.isoformat()[:7] <= str(told["month"]) <= self._end.isoformat()[:7]
        ):
            self._resolving[leaf.reference] = (int(told["asked"]), int(told["gone"]))
        elif inside and leaf.type == "list-refused":
            self._refused[str(told.get("list"))][str(told.get("reason"))] += 1
        elif inside and leaf.type == "bypass":
            self._thrown += told.get("act") == "on"
        elif inside and leaf.type == "list-held":
            for reason in told.get("reasons", ()):
                self._held[str(told.get("list"))][str(reason).partition(":")[0]] += 1

    def _activated(self, told: dict[str, Any], *, inside: bool) -> None:
        name = str(told.get("list"))
        if not told.get("version"):
            self._lists.pop(name, None)
            return
        keys = ("version", "state", "entries", "action", "reason", "threshold", "repository")
        self._lists[name] = {key: told[key] for key in keys if key in told} | {
            "signed_by": len(told.get("signed_by", ()))
        }
        if inside:
            self._changes[name].update(
                activations=1, added=int(told.get("added", 0)), removed=int(told.get("removed", 0))
            )
            self._stale[name] += bool(told.get("stale"))

    def _appeal(self, leaf: Leaf, told: dict[str, Any], *, inside: bool) -> None:
        appeal = str(told.get("appeal", leaf.reference))
        if leaf.type == "appeal-received":
            self._received[appeal] = float(told.get("received", time_of(leaf.hour).timestamp()))
            self._grounds[str(told.get("ground") or "not said")] += inside
        elif leaf.type == "appeal-decided" and inside:
            self._outcomes[outcome := str(told.get("outcome"))] += 1
            if appeal in self._received and outcome != "dropped":  # nobody answered it: nobody sent it
                decided = float(told.get("decided", time_of(leaf.hour).timestamp()))
                self._hours.append((decided - self._received[appeal]) / 3600)

    def _band(self, leaf: Leaf, told: dict[str, Any]) -> None:
        of_list = self._bands[str(told["month"])].setdefault(str(told["list"]), {"parts": {}})
        of_list |= {"entries": int(told["entries"]), "met": int(told["met"])}
        in_bands = told.get("in_bands")  # of a sealed list, whose entries are not told one by one
        of_list["parts"][leaf.reference] = Counter(told["bands"].values() if in_bands is None else in_bands)

    def told(self) -> dict[str, Any]:
        by_list: Counter[str] = Counter()
        for lists in self._days.values():
            by_list.update(lists)
        hours = int((self._end - self._start + timedelta(days=1)).total_seconds() // 3600)
        types = self._types
        found: Report = {
            "lists": self._lists,
            "changes": {name: dict(counted) for name, counted in sorted(self._changes.items())},
            "refused": {name: dict(counted) for name, counted in sorted(self._refused.items())},
            "held": {name: dict(counted) for name, counted in sorted(self._held.items())},
            "approved": types["list-approved"],
            "relief": types["relief-applied"],
            "staleness": {name: count for name, count in sorted(self._stale.items()) if count},
            "appeals": {
                "received": types["appeal-received"],
                "grounds": {name: count for name, count in sorted(self._grounds.items()) if count},
                "decided": dict(sorted(self._outcomes.items())),
                "overdue": types["appeal-overdue"],
                "median_hours": round(median(self._hours), 1) if self._hours else None,
            },
            "overrides": {"set": types["override-set"], "lifted": types["override-lifted"]},
            "bypass": self._thrown,
            "availability": {"hours": hours, "hours_with_a_leaf": len(self._alive), "starts": types["start"]},
            "blocks": {
                "total": by_list.total(),
                "by_list": dict(sorted(by_list.items())),
                "by_day": dict(sorted(self._days.items())),
            },
            "bands": {
                month: {name: _band_told(of_list) for name, of_list in sorted(lists.items())}
                for month, lists in sorted(self._bands.items())
            },
            "resolving": {
                "asked": sum(asked for asked, _ in self._resolving.values()),
                "gone": sum(gone for _, gone in self._resolving.values()),
            },
            "not_published": {kind: count for kind, count in sorted(self._unsaid.items()) if kind.startswith("appeal")},
        }
        return found | {"evaluation": evaluation(found)}


def _band_told(of_list: dict[str, Any]) -> dict[str, Any]:
    bands: Counter[str] = sum(of_list["parts"].values(), Counter())
    under = of_list["met"] - bands.total()
    return {
        "entries": of_list["entries"],
        "met": of_list["met"],
        "never": of_list["entries"] - of_list["met"],
        "bands": {"under 10": under, **dict(sorted(bands.items()))},
    }


def _entries(documents: Iterable[tuple[Path, Mapping[str, Any]]], start: date, end: date) -> dict[str, Any]:
    """Entries in force by issuer, basis, category and age at the end of the period; and those that lapsed in it."""
    issuers, bases, categories, ages, lapsed = (
        Counter[str](),
        Counter[str](),
        Counter[str](),
        Counter[str](),
        Counter[str](),
    )
    grounds: dict[str, Any] = {}
    for path, head in documents:
        issuer = str((head.get("issuer") or {}).get("name") or "not said")
        known = head.get("bases") or {}
        for (key, category, issued, expires), count in tally(path).items():
            basis = f"{issuer}: {key}"
            if start <= expires <= end:
                lapsed[basis] += count
            if expires <= end:
                continue
            issuers[issuer] += count
            bases[basis] += count
            grounds[basis] = known.get(key, {})
            categories[category] += count
            ages[next(name for days, name in AGES if (end - issued).days < days)] += count
    keys = ("law", "authority", "order", "date", "territory")
    return {
        "total": issuers.total(),
        "by_issuer": dict(sorted(issuers.items())),
        "by_basis": {
            name: {"entries": count, **{key: str(grounds[name].get(key, "")) for key in keys}}
            for name, count in sorted(bases.items())
        },
        "by_category": dict(sorted(categories.items())),
        "by_age": {name: ages[name] for _, name in AGES},
        "lapsed": dict(sorted(lapsed.items())),
    }


def _joined(one: Any, other: Any, *, summed: bool) -> Any:
    """Join two values: numbers are added, or the larger is taken; tables are joined by key; else the first stays."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        return {key: _joined(one.get(key), other.get(key), summed=summed) for key in keys}
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one + other if summed else max(one, other)
    return one
