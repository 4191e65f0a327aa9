"""What a provider's host is doing: one screen for the person on call, the same as JSON, and whether it is healthy.

Enters: what the workers count and say, what the supervisor and the steward answer. Leaves: plain values, and text made
of them. Rules: whoever does not answer is an alarm and hides nothing else: the screen is made for the moment in which
something is dead; reading disturbs nobody; nothing here knows a client.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from resolver import control, counters, passes
from resolver.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver.config import Config
    from resolver.places import Places

PATIENCE = 3.0  # seconds for the steward and the supervisor to answer
BEHIND = 5.0  # a heartbeat older than this is an alarm


@dataclass(frozen=True)
class Sample:
    """Counters at a moment, so that two of them make a rate."""

    at: float
    sums: Mapping[str, int]
    by_worker: Mapping[int, int]


def sample(places: Places) -> Sample:
    living = counters.workers(places)
    by_worker = {worker.index: counters.queries(worker.counters) for worker in living}
    return Sample(time.monotonic(), counters.totals(places, living), by_worker)


def status(config: Config, before: Sample, now: Sample) -> dict[str, Any]:
    """Everything on the screen. Rates are over the time between the two samples."""
    living = counters.workers(config.places)
    supervisor = _asked(config.places.supervisor_socket)
    steward = _asked(config.places.control_socket)
    seconds = max(now.at - before.at, 1e-6)
    return {
        "workers": [_worker(worker, before, now, seconds) for worker in living],
        "queries": _queries(before, now, seconds),
        "totals": dict(now.sums),
        "upstreams": _upstreams(living),
        "services": supervisor.get("services", []),
        "lists": steward.get("lists"),
        "log": steward.get("log"),
        "passing": _passing(config.places),
        "alarms": _alarms(config, living, supervisor, steward),
    }


def _asked(path: Any) -> dict[str, Any]:
    try:
        return control.call(path, "status", timeout=PATIENCE)
    except ResolverError as silent:
        return {"silent": str(silent)}


def _worker(worker: counters.Worker, before: Sample, now: Sample, seconds: float) -> dict[str, Any]:
    asked = now.by_worker.get(worker.index, 0) - before.by_worker.get(worker.index, 0)
    return {
        "index": worker.index,
        "pid": worker.said.get("pid"),
        "queries_per_second": round(max(asked, 0) / seconds, 1),
        "heartbeat_age": round(worker.heartbeat_age(), 1),
        "generation": worker.said.get("generation"),
        "entries": worker.said.get("entries", 0),
        "in_flight": worker.counters.get("in_flight_now", 0),
    }


def _queries(before: Sample, now: Sample, seconds: float) -> dict[str, Any]:
    """Shares are of what was asked between the samples; of everything so far, where nothing was."""
    asked = counters.queries(now.sums) - counters.queries(before.sums)
    since = before.sums if asked > 0 else {}
    base = counters.queries(now.sums) - counters.queries(since)

    def share(*names: str) -> float:
        return round(sum(now.sums.get(n, 0) - since.get(n, 0) for n in names) / base, 4) if base > 0 else 0.0

    return {
        "per_second": round(max(asked, 0) / seconds, 1),
        "total": counters.queries(now.sums),
        "blocked": share("blocked"),
        "cached": share("cache_hits"),
        "relayed": share("relayed", "joined", "streams_forwarded"),
        "dropped": share("dropped_client", "dropped_malformed", "dropped_source"),
        "servfail": share("answered_servfail"),
    }


def _upstreams(living: Sequence[counters.Worker]) -> list[dict[str, Any]]:
    """Each upstream as the workers together see it: the worst state, the mean time."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for worker in living:
        for one in worker.said.get("upstreams", ()):
            found.setdefault(str(one["address"]), []).append(one)
    order = ("up", "suspect", "down")
    return [
        {
            "address": address,
            "state": max((str(one["state"]) for one in seen), key=order.index),
            "reason": next((str(one["reason"]) for one in seen if one.get("reason")), ""),
            "rtt_ms": round(sum(int(one.get("rtt_us", 0)) for one in seen) / len(seen) / 1000, 2),
        }
        for address, seen in found.items()
    ]


def _passing(places: Places) -> dict[str, Any]:
    try:
        live = passes.read(places.passes)
    except ResolverError as wrong:
        return {"trouble": str(wrong)}
    return {"all": live.all, "lists": list(live.lists), "names": len(live.names)}


def _alarms(
    config: Config, living: Sequence[counters.Worker], supervisor: Mapping[str, Any], steward: Mapping[str, Any]
) -> list[str]:
    found = [f"dns-{w.index}: {alarm}" for w in living for alarm in w.said.get("alarms", ())]
    found += [
        f"dns-{w.index} gave no sign of life for {age:.0f} s" for w in living if (age := w.heartbeat_age()) > BEHIND
    ]
    found += [
        f"upstream {one['address']} is {one['state']}: {one['reason'] or 'no reason given'}"
        for one in _upstreams(living)
        if one["state"] == "down"
    ]
    if not living:
        found.append(f"no DNS worker counts in {config.places.workers}")
    for who, answer in (("supervisor", supervisor), ("steward", steward)):
        if "silent" in answer:
            found.append(f"the {who} does not answer: {answer['silent']}")
        found += [str(alarm) for alarm in answer.get("alarms", ())]
    if _passing(config.places).get("all"):
        found.append("everything passes: the off switch is on")
    return found


# -- the screen


def screen(said: Mapping[str, Any]) -> Group:
    """The status as one screen of text."""
    queries = said["queries"]
    parts: list[Text | Table] = []
    head = Text.assemble((f"{queries['per_second']:>10,.0f} q/s", "bold"))
    for name in ("blocked", "cached", "relayed", "dropped", "servfail"):
        head.append(f"   {name} ", "dim")
        head.append(f"{queries[name]:.1%}")
    parts.append(head)
    parts.append(_table(("worker", "pid", "q/s", "heartbeat", "generation", "entries", "in flight"), (
        (f"dns-{w['index']}", f"{w['pid']}", f"{w['queries_per_second']:,.0f}", f"{w['heartbeat_age']:.1f} s ago",
         f"{w['generation']}", f"{w['entries']:,}", f"{w['in_flight']:,}") for w in said["workers"]
    )))  # fmt: skip
    parts.append(_table(("upstream", "state", "answers in", ""), (
        (u["address"], u["state"], f"{u['rtt_ms']:.1f} ms", u["reason"]) for u in said["upstreams"]
    )))  # fmt: skip
    if said["lists"] is not None:
        parts.append(_table(("list", "version", "entries", "action", "confirmed", "held"), (
            (one["name"], f"{one['version'] or '-'}", f"{one['entries']:,}", one["action"], one["confirmed"] or "never",
             f"{one['held']['added']:,} additions" if one["held"] else "-") for one in said["lists"]
        )))  # fmt: skip
    if said["log"]:
        parts.append(Text(f"log: {said['log']['leaves']:,} leaves"))
    passing = said["passing"]
    if passing.get("lists") or passing.get("names"):
        parts.append(Text(f"passing: {len(passing['lists'])} lists, {passing['names']} names"))
    alarms = said["alarms"] or ["none"]
    parts += [Text(f"alarm: {alarm}", "bold red" if said["alarms"] else "green") for alarm in alarms]
    return Group(*parts)


def _table(columns: Sequence[str], rows: Any) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        right = column in ("q/s", "entries", "in flight", "answers in")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
