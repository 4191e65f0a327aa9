"""The transparency report: what a provider did in a period, from its log and the lists in force.

Enters: a log's story, or that of several that were joined; documents in force; a period of whole days (UTC). Leaves:
one report as plain values; those of hosts that share nothing add up to one. Rules: a figure comes from leaves and
documents alone, so anybody with a copy can compute it again; one that the copy does not support (private details) is
named; no figure below ten concerns a single entry.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from resolver.log.errors import AuditError
from resolver.stats.documents import tally
from resolver.stats.story import read_story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from resolver.log.leaf import Detail
    from resolver.log.source import Source
    from resolver.stats.story import Story

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
    return of_story(read_story(source, details, start, end), documents)


def of_story(
    story: Story, documents: Iterable[tuple[Path, Mapping[str, Any]]] = (), missing: Sequence[Mapping[str, str]] = ()
) -> Report:
    """The report on one host's story, or on that of several that were joined. `missing`: logs that are not in it, each
    with its `origin` and `why`."""
    found: Report = {
        "format": FORMAT,
        "from": story.start.isoformat(),
        "to": story.end.isoformat(),
        "hosts": story.hosts,
        **({"missing": list(missing)} if missing else {}),
        "entries": _entries(documents, story.start, story.end),
        **story.figures(),
    }
    return found | {"evaluation": evaluation(found)}


def add(reports: Iterable[Report]) -> Report:
    """Several reports as one, of hosts that share no appeals: those add up, as overrides, blocks and hours do. Lists
    and their changes do not: there the host that saw most counts. Hosts of one provider have one story instead
    (`resolver.stats.story`)."""
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
