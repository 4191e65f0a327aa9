"""What a provider's host is doing: everything that the person on call looks at, as plain values.

Enters: what the workers count and say, and what the supervisor, the steward, the web process and that of the zones
answer. Leaves: plain values, which `screen.py` shows and `status --json` prints. Rules: a process that
does not answer is an alarm and hides nothing else. Workers are read at one instant, before any process is asked; all
processes are asked at once. Dead and hung processes come first. Reading disturbs no process. Nothing here knows a
client.
"""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocklists.text import shown
from resolver.base import disk_space as rooms
from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text
from resolver.base.version import VERSION
from resolver.host.foreign import Foreign, programs
from resolver.ipc import control, rpz_status, worker_counters
from resolver.policy import bypass, exceptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver.base.paths import Places
    from resolver.config.schema import Config

PATIENCE = 3.0  # seconds for each process to answer
EVERY = 60.0  # seconds between two countings of the log's files
DEAD, HUNG, SILENT, STARTS, LIVES = "dead", "hung", "silent", "starts", "lives"
UNKNOWN = "?"  # who looks may not ask
# What became of a question -> the counters that say so.
SHARES = {
    "blocked": ("blocked",),
    "cached": ("cache_hits",),
    "relayed": ("relayed", "joined", "repeated"),
    "dropped": ("dropped_client", "dropped_malformed", "dropped_source", "dropped_proxy", "loops"),
    "turned_away": (
        "refused_by_table", "rate_limited", "cap_worker", "cap_client", "cap_zone", "cap_waiters", "no_upstream",
    ),
}  # fmt: skip
# Caps that answer SERVFAIL without asking an upstream -> their counters.
CAPS = {
    "a worker (dns.limits.in_flight)": "cap_worker",
    "a client (dns.limits.per_client)": "cap_client",
    "a zone (dns.limits.per_zone)": "cap_zone",
    "clients that wait for one question": "cap_waiters",
}
MOST_ALARMS = 100  # of one process
# What a process says of itself, as far as it is read here.
FORM: dict[str, tuple[type, ...]] = {
    "up": (int, float), "pid": (int,), "version": (str,), "alarms": (list,), "services": (list,), "lists": (list,),
    "foreign": (list,), "log": (dict,),
}  # fmt: skip
CAPPED = 1.0  # questions a second above which a cap is an alarm, as StopsignCapReached has it
# What clients were told instead of an answer, as shares of all answers -> the counter that says so.
TOLD = {"servfail": "answered_servfail", "refused": "answered_refused", "stale": "cache_stale"}


@dataclass(frozen=True)
class Sample:
    """The workers and what they counted at a moment, so that two of them make a rate."""

    at: float
    """CLOCK_MONOTONIC, in seconds."""
    workers: Sequence[worker_counters.Worker]
    sums: Mapping[str, int]

    @property
    def by_worker(self) -> dict[int, int]:
        """Questions that came, by worker."""
        return {worker.index: worker_counters.queries(worker.counters) for worker in self.workers}


def sample(places: Places) -> Sample:
    workers = worker_counters.workers(places)
    return Sample(time.monotonic(), workers, worker_counters.totals(places, workers))


def status(config: Config, before: Sample, now: Sample, oldest: Sample | None = None) -> dict[str, Any]:
    """Everything on the screen. Rates are over the time between the two samples. So are shares, if anything was asked
    in it; if not, shares are over the time since `oldest`."""
    living = now.workers
    states = {worker.index: state(worker, now.at) for worker in living}
    answers = answers_of(config)
    steward = answers["steward"]
    passing, bypassed = _passing(config.places)
    seconds = max(now.at - before.at, 1e-6)
    return {
        "host": socket.gethostname(),
        "version": VERSION,
        "at": as_text(time.time()),
        "up": next((answers[name].get("up") for name in ("dns", "steward") if name in answers), None),
        "serves_dns": config.dns is not None,
        "workers": [{**_worker(worker, before, now, seconds), "state": states[worker.index]} for worker in living],
        "queries": _queries(before, now, seconds, oldest or before),
        "totals": _totals(now),
        "upstreams": _upstreams(living),
        "services": _services(answers, states),
        "lists": _lists(living, steward.get("lists"), before, now, seconds),
        "zones": _zones(config),
        "log": steward.get("log"),
        "disk": _disk(config.places),
        "passing": passing,
        "alarms": _alarms(config, now, oldest or before, states, answers, bypassed),
    }


def anybody(said: Mapping[str, Any]) -> bool:
    """Whether one process at least lives. Alarms are for eyes and for Prometheus, and make no difference."""
    return said["up"] is not None or any(one["state"] == LIVES for one in (*said["workers"], *said["services"]))


def state(worker: worker_counters.Worker, at: float) -> str:
    """Whether a worker lives: its counters stay when it dies, so its process and its heartbeat say so. `silent`: too
    short for `hung`."""
    pid = worker.said.get("pid")
    if pid is not None and not _runs(int(pid)):
        return DEAD
    age = worker.heartbeat_age(at)
    return HUNG if age > worker_counters.SILENT else SILENT if age > worker_counters.LATE else LIVES


def _runs(pid: int) -> bool:
    """Whether there is such a process; one that is dead and whose parent has not looked yet is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except PermissionError:  # a /proc that shows nobody else's processes
        return True
    except OSError:
        return _is_known(pid)


def _is_known(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def answers_of(config: Config) -> dict[str, dict[str, Any]]:
    """What each unit of this host says of itself (`dns`: the supervisor), all asked at once: one that hangs costs its
    own patience alone."""
    places = config.places
    asked = {"steward": places.control_socket}
    # Units for policy zones alone have no supervisor.
    if config.dns is not None or control.has_socket(places.supervisor_socket):
        asked = {"dns": places.supervisor_socket, **asked}
    if config.stop_page.listen or config.portal.listen:
        asked["web"] = places.web_socket
    if config.rpz.zones:
        asked["rpz"] = places.rpz_socket
    with ThreadPoolExecutor(len(asked)) as threads:
        answers = dict(zip(asked, threads.map(_asked, asked.values()), strict=True))
    for child in answers.get("dns", {}).get("services", ()):
        answer = answers.get(child["name"], {})
        if answer.get("state") == DEAD and child["pid"] is not None:
            answer["state"] = STARTS  # its parent says that it runs
    return answers


def _asked(path: Path) -> dict[str, Any]:
    try:
        return {**_as_status(control.call(path, "status", timeout=PATIENCE)), "state": LIVES}
    except ResolverError as silent:
        return {"silent": str(silent), "state": _why_silent(silent.__cause__)}


def _as_status(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer in the form that the screen reads: the web process answers strangers, and may not be ours any more.
    Raises `ControlError`."""
    for key, kinds in FORM.items():
        if not isinstance(answer.get(key), (*kinds, type(None))):
            raise control.ControlError(f"its answer is no status: {key} is {shown(repr(answer[key]), most=40)}")
    for key in ("services", "lists", "foreign"):
        if not all(isinstance(one, dict) for one in answer.get(key) or ()):
            raise control.ControlError(f"its answer is no status: {key} is not made of objects")
    told = {key: value for key, value in answer.items() if value is not None or key not in ("alarms", "version")}
    if "alarms" in told:
        told["alarms"] = [shown(one) for one in told["alarms"][:MOST_ALARMS]]
    return told | ({"version": shown(told["version"], most=40)} if "version" in told else {})


def _why_silent(cause: BaseException | None) -> str:
    if isinstance(cause, TimeoutError):
        return HUNG
    return DEAD if isinstance(cause, ConnectionError | FileNotFoundError) else UNKNOWN


def _services(answers: Mapping[str, Mapping[str, Any]], workers: Mapping[int, str]) -> list[dict[str, Any]]:
    """The supervisor's children, and those that are units of their own."""
    states = {name: answer["state"] for name, answer in answers.items()}
    states |= {f"dns-{index}": one for index, one in workers.items()}
    children = [
        {
            **child,
            "died": _death(child.get("died")),
            "up": answers.get(child["name"], {}).get("up"),
            "state": DEAD if child["pid"] is None else states.get(child["name"], STARTS),
        }
        for child in answers.get("dns", {}).get("services", ())
    ]
    known = {child["name"] for child in children}
    units = [name for name in answers if name != "dns" and name not in known]
    unknown = {"restarts": None, "died": None}  # systemd starts it again, and its journal has how it ended
    return [
        *children,
        *({"name": n, **unknown, "pid": answers[n].get("pid"), "up": answers[n].get("up"), "state": states[n]}
          for n in units),
    ]  # fmt: skip


def _death(died: Sequence[Any] | None) -> dict[str, str] | None:
    """When and how a process last died; None: it has not since its supervisor began, or the supervisor is older."""
    return None if died is None else {"at": as_text(died[0]), "how": died[1]}


def _worker(worker: worker_counters.Worker, before: Sample, now: Sample, seconds: float) -> dict[str, Any]:
    asked = now.by_worker.get(worker.index, 0) - before.by_worker.get(worker.index, 0)
    return {
        "index": worker.index,
        "pid": worker.said.get("pid"),
        "queries_per_second": round(max(asked, 0) / seconds, 1),
        "heartbeat_age": round(worker.heartbeat_age(now.at), 1),
        "generation": worker.said.get("generation"),
        "entries": worker.said.get("entries", 0),
        "in_flight": worker.counters.get("in_flight_now", 0),
    }


def _queries(before: Sample, now: Sample, seconds: float, oldest: Sample) -> dict[str, Any]:
    """What became of the questions, each of which is in one share: `turned_away` is what this host refuses by itself
    (a type or a form that it does not serve, a rate, a cap, no upstream left to ask), `other` what no share by name
    counts (ANY, the health name, a stale answer). `over`: of how many seconds the shares are; None where nothing was
    asked since `oldest`, so that they are of all since the start. `per_second` is always over `instant`, in seconds. No
    share is a number where there was nothing to share."""
    asked = worker_counters.queries(now.sums)
    base = next((one for one in (before, oldest) if asked > worker_counters.queries(one.sums)), None)
    since = base.sums if base else {}
    grown = {name: max(value - since.get(name, 0), 0) for name, value in now.sums.items()}
    asked = worker_counters.queries(grown)
    # One that an upstream did not answer counts as relayed once more for each further one that is asked.
    parts = {name: sum(grown.get(one, 0) for one in of) for name, of in SHARES.items()}
    parts["relayed"] = max(parts["relayed"] - grown.get("retried", 0), 0)
    # Counters are read while they grow: a part may be ahead of the whole.
    parts["other"] = max(asked - sum(parts.values()), 0)
    whole = sum(parts.values())
    answered = grown.get("answered", 0)
    return {
        "per_second": round(asked / seconds, 1) if base is before else 0.0,
        "instant": round(seconds, 2),
        "total": worker_counters.queries(now.sums),
        "transports": {
            name: round(grown.get(f"queries_{name}", 0) / asked, 4) if asked else None
            for name in worker_counters.TRANSPORTS
        },
        "over": round(now.at - base.at, 2) if base else None,
        **{name: round(part / whole, 4) if whole else None for name, part in parts.items()},
        **{name: round(grown.get(one, 0) / answered, 4) if answered else None for name, one in TOLD.items()},
    }


def _totals(now: Sample) -> dict[str, Any]:
    """What was counted since the start, by name; of each list by its own."""
    by_list = ("blocked", "monitored")
    whole = {name: n for name, n in now.sums.items() if not name.startswith(tuple(f"{what}_list_" for what in by_list))}
    return whole | {f"{what}_by_list": worker_counters.by_list(what, now.sums, now.workers) for what in by_list}


def _upstreams(living: Sequence[worker_counters.Worker]) -> list[dict[str, Any]]:
    """Each upstream as the workers together see it: the worst state, the mean time of those whom it answered."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for worker in living:
        for one in worker.said.get("upstreams", ()):
            found.setdefault(str(one["address"]), []).append(one)
    order = (worker_counters.NOT_ASKED, "up", "suspect", "down")
    return [
        {
            "address": address,
            "state": max((str(one["state"]) for one in seen), key=order.index),
            "reason": next((str(one["reason"]) for one in seen if one.get("reason")), ""),
            "failing": any(one.get("failing") for one in seen),
            "tcp_closed": any(one.get("tcp_closed") for one in seen),
            "rtt_ms": round(sum(times) / len(times) / 1000, 2) if times else None,
        }
        for address, seen in found.items()
        for times in [[int(one["rtt_us"]) for one in seen if one.get("rtt_us")]]
    ]


def _lists(
    living: Sequence[worker_counters.Worker],
    told: Sequence[Mapping[str, Any]] | None,
    before: Sample,
    now: Sample,
    seconds: float,
) -> list[dict[str, Any]]:
    """What the steward tells of each list, and what the workers do with it; without the steward the latter alone."""
    counted, was = (worker_counters.by_list("blocked", one.sums, living) for one in (now, before))
    rates = {name: round(max(count - was[name], 0) / seconds, 1) for name, count in counted.items()}
    in_use = worker_counters.lists_in_use(living)
    known = told if told is not None else [{"name": one["name"], "version": one["version"]} for one in in_use]
    return [{**one, "blocked_per_second": rates.get(str(one["name"]), 0.0)} for one in known]


def _zones(config: Config) -> list[Mapping[str, Any]]:
    """From the file, so that what was served last is shown with its process dead too."""
    try:
        return list(rpz_status.read(config.places).zones) if config.rpz.zones else []
    except (OSError, ValueError):
        return []  # nothing was said yet; that nobody answers is an alarm


def _disk(places: Places) -> dict[str, Any]:
    """Octets: what the log takes, published and private, and what is left on the two file systems; None where that
    cannot be seen."""
    try:
        log = log_octets(places, int(time.monotonic() // EVERY))
    except OSError:
        log = None
    return {"log": log, "state_dir": rooms.room(places.state_dir), "run_dir": rooms.room(places.run_dir)}


@lru_cache(maxsize=1)
def log_octets(places: Places, _when: int) -> int:
    """What the log takes at that time, in units of `EVERY`: a large one has many files, and `--watch` looks often."""
    return sum(_octets(folder) for folder in (places.log_dir, places.audit_dir))


def _octets(folder: Path) -> int:
    def give_up(wrong: OSError) -> None:
        raise wrong

    return sum(Path(at, name).lstat().st_size for at, _, names in os.walk(folder, onerror=give_up) for name in names)


def _passing(places: Places) -> tuple[dict[str, Any], list[str]]:
    """The exceptions, from the file, so that they are shown with every process dead; and the alarms about them."""
    now = time.time()
    try:
        live = exceptions.read(places.exceptions)
    except ResolverError as wrong:
        return {"bypasses": [], "overrides": None}, [str(wrong)]
    overrides = sum(1 for one in live.overrides if one.until > now)
    return {
        "bypasses": [bypass.as_dict(one) for one in live.holding(now)],
        "overrides": overrides,
    }, bypass.alarms(live, now)


def _alarms(
    config: Config,
    now: Sample,
    oldest: Sample,
    states: Mapping[int, str],
    answers: Mapping[str, Mapping[str, Any]],
    bypassed: Sequence[str],
) -> list[str]:
    """Who is dead, who hangs, what is bypassed, then all else, each once: the steward says some of it too."""
    silent = [f"{answer['state']}: {answer['silent']}" for answer in answers.values() if "silent" in answer]
    for worker in now.workers:
        if (seen := states[worker.index]) != LIVES:
            beat = f"no sign of life for {worker.heartbeat_age(now.at):.0f} s"
            silent.append(f"{seen}: dns-{worker.index} (pid {worker.said.get('pid', 'unknown')}), {beat}")
    order = (DEAD, HUNG, SILENT, STARTS, UNKNOWN)
    found = sorted(silent, key=lambda alarm: order.index(alarm.partition(":")[0]))
    found += [*bypassed, *rooms.alarms(config.places)]
    if config.dns is not None and not now.workers:
        found.append(f"no DNS worker counts in {config.places.workers}")
    found += [f"dns-{w.index}: {alarm}" for w in now.workers for alarm in w.alarms]
    for one in _upstreams(now.workers):
        if one["state"] == "down":
            found.append(f"upstream {one['address']} is {one['state']}: {one['reason'] or 'no reason given'}")
        elif one["failing"]:
            found.append(f"upstream {one['address']} answers most questions with SERVFAIL or REFUSED")
        if one["tcp_closed"] and one["state"] != "down":
            found.append(f"upstream {one['address']} answers no TCP: what is too long for a datagram is SERVFAIL")
    seconds = max(now.at - oldest.at, 1e-6)
    for whose, name in CAPS.items():
        if (rate := (now.sums.get(name, 0) - oldest.sums.get(name, 0)) / seconds) > CAPPED:
            found.append(f"the cap of {whose} is reached: {rate:,.0f} questions a second get SERVFAIL")
    for name, answer in answers.items():
        if (runs := answer.get("version", VERSION)) != VERSION:
            found.append(f"{name} runs version {runs}, installed is {VERSION}: stopsign restart runs it")
        found += [str(alarm) for alarm in answer.get("alarms", ())]
    others = [Foreign(**one) for one in answers.get("dns", {}).get("foreign", ())]
    held = programs([one.inode for one in others])
    found += [one.alarm(held.get(one.inode)) for one in others]
    return list(dict.fromkeys(found))
