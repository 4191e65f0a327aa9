"""What a provider's host is doing: everything that the person on call looks at, as plain values.

Enters: what the workers count and say, and what the supervisor, the steward, the web process and that of the zones
answer. Leaves: plain values, which `screen.py` shows and `status --json` prints. Rules: whoever does not answer is an
alarm and hides nothing else: this is made for the moment in which something is dead; reading disturbs nobody; nothing
here knows a client.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from resolver import control, counters, passes, zones
from resolver.errors import ResolverError
from resolver.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver.config import Config
    from resolver.places import Places

PATIENCE = 3.0  # seconds for the steward and the supervisor to answer


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
    web = _asked(config.places.web_socket) if config.stop_page.listen or config.portal.listen else {}
    rpz = _asked(config.places.rpz_socket) if config.rpz.zones else {}
    seconds = max(now.at - before.at, 1e-6)
    return {
        "host": socket.gethostname(),
        "version": VERSION,
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "up": supervisor.get("up"),
        "workers": [_worker(worker, before, now, seconds) for worker in living],
        "queries": _queries(before, now, seconds),
        "totals": dict(now.sums),
        "upstreams": _upstreams(living),
        "services": _services(supervisor, steward=steward, web=web, rpz=rpz),
        "lists": _lists(living, steward.get("lists"), before, now, seconds),
        "zones": _zones(config),
        "log": steward.get("log"),
        "passing": _passing(config.places),
        "alarms": _alarms(config, living, {"dns": supervisor, "steward": steward, "web": web, "rpz": rpz}),
    }


def _asked(path: Any) -> dict[str, Any]:
    try:
        return control.call(path, "status", timeout=PATIENCE)
    except ResolverError as silent:
        return {"silent": str(silent)}


def _services(supervisor: Mapping[str, Any], **others: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of the supervisor, and those that are units of their own."""
    services = list(supervisor.get("services", []))
    known = {one["name"] for one in services}
    for name, answer in others.items():
        if name not in known and answer:
            services.append({"name": name, "pid": answer.get("pid"), "restarts": None})
    return services


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


def _lists(
    living: Sequence[counters.Worker],
    told: Sequence[Mapping[str, Any]] | None,
    before: Sample,
    now: Sample,
    seconds: float,
) -> list[dict[str, Any]]:
    """What the steward tells of each list, and what the workers do with it; without the steward the latter alone."""
    in_use: Sequence[Mapping[str, Any]] = next((w.said["lists"] for w in living if w.said.get("lists")), [])
    rates = {
        str(one["name"]): round(max(now.sums.get(key, 0) - before.sums.get(key, 0), 0) / seconds, 1)
        for key, one in ((f"blocked_list_{index}", one) for index, one in enumerate(in_use))
    }
    known = told if told is not None else [{"name": one["name"], "version": one["version"]} for one in in_use]
    return [{**one, "blocked_per_second": rates.get(str(one["name"]), 0.0)} for one in known]


def _zones(config: Config) -> list[Mapping[str, Any]]:
    """From the file, so that what was served last is shown with its process dead too."""
    try:
        return list(zones.read(config.places).zones) if config.rpz.zones else []
    except (OSError, ValueError):
        return []  # nothing was said yet; that nobody answers is an alarm


def _passing(places: Places) -> dict[str, Any]:
    try:
        live = passes.read(places.passes)
    except ResolverError as wrong:
        return {"trouble": str(wrong)}
    return {"all": live.all, "lists": list(live.lists), "names": len(live.names)}


def _alarms(config: Config, living: Sequence[counters.Worker], answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = [f"dns-{w.index}: {alarm}" for w in living for alarm in w.said.get("alarms", ())]
    found += [
        f"dns-{w.index} gave no sign of life for {age:.0f} s"
        for w in living
        if (age := w.heartbeat_age()) > counters.SILENT
    ]
    found += [
        f"upstream {one['address']} is {one['state']}: {one['reason'] or 'no reason given'}"
        for one in _upstreams(living)
        if one["state"] == "down"
    ]
    if not living:
        found.append(f"no DNS worker counts in {config.places.workers}")
    for name, answer in answers.items():
        if (runs := answer.get("version", VERSION)) != VERSION:
            found.append(f"{name} runs version {runs}, installed is {VERSION}: stopsign restart takes it up")
        if "silent" in answer:
            found.append(answer["silent"])
        found += [str(alarm) for alarm in answer.get("alarms", ())]
    if _passing(config.places).get("all"):
        found.append("everything passes: the off switch is on")
    return found
