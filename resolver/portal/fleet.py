"""What each host of a provider runs, by way of the database that the hosts share.

Enters: what this host's steward says of itself; the rows of all hosts. Leaves: a short report in JSON, and a frozen
`Host` for each row. Rules: a report holds what runs and what is wrong, and nothing of who asked; a row is another
host's word, so its size, depth and types are checked, and its texts are made inert; a row that cannot be read is a host
that says nothing. A host whose report is older than `SILENT` seconds is shown as silent, never left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blocklists.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SILENT = 35  # seconds: three rounds of the web process, and some
LARGEST = 96 << 10  # octets of a report
_ALARMS, _ALARM, _LISTS = 20, 300, 200
_CHECKPOINT = 2 << 10  # characters


@dataclass(frozen=True)
class ListThere:
    name: str
    version: int
    entries: int
    action: str
    held: int
    """The version that waits for a person, or for a wave; 0: none."""
    stage: str = ""
    waits: str = ""
    """For whom it waits, or what stops it."""


@dataclass(frozen=True)
class Host:
    """`seen`: Unix seconds of its report. `silent`: that is too long ago. `generation`: of its compiled list."""

    name: str
    seen: int
    silent: bool
    version: str = ""
    generation: int = 0
    lists: tuple[ListThere, ...] = ()
    alarms: tuple[str, ...] = ()
    checkpoint: str = ""
    """The newest one of its log, as its key signed it: not checked here, and no text to be shown."""


def report_of(version: str, steward: Mapping[str, Any] | None, alarms: Iterable[str], checkpoint: str = "") -> str:
    """JSON. `steward`: the answer to its `status`; None: it does not answer, which is an alarm of this report."""
    told = ["the steward does not answer"] if steward is None else list(steward["alarms"])
    every = [*told, *alarms]
    kept = [one[:_ALARM] for one in every[:_ALARMS]]
    if len(every) > _ALARMS:
        kept.append(f"and {len(every) - _ALARMS} more: stopsign status, on that host")
    lists = [] if steward is None else steward["lists"][:_LISTS]
    report = {
        "version": version,
        "generation": 0 if steward is None else steward["generation"],
        "lists": [
            {
                "name": one["name"],
                "version": one["version"] or 0,
                "entries": one["entries"],
                "action": one["action"],
                "held": one["held"]["version"] if one["held"] else 0,
                "stage": one.get("stage", ""),
                "waits": _waits(one.get("waits")),
            }
            for one in lists
        ],
        "alarms": kept,
        "checkpoint": checkpoint[:_CHECKPOINT],
    }
    return json.dumps(report, ensure_ascii=False, separators=(",", ":"))


def _waits(told: Mapping[str, str] | None) -> str:
    return "" if told is None else f"{told['kind']}: {told['text']}"[:_ALARM]


def hosts_of(rows: Iterable[tuple[str, int, str]], now: int) -> list[Host]:
    """By name. A row: the host's name, when it reported, the report."""
    return sorted((_host(name, seen, report, now) for name, seen, report in rows), key=lambda host: host.name)


def lagging(hosts: Iterable[Host]) -> dict[str, list[str]]:
    """By host, the lists of which it runs an older version than another host that is not silent, and whose turn it is:
    one that waits for a wave is behind on purpose."""
    every = [host for host in hosts if not host.silent]
    newest: dict[str, int] = {}
    for host in every:
        for one in host.lists:
            newest[one.name] = max(newest.get(one.name, 0), one.version)
    return {
        host.name: behind
        for host in every
        if (behind := [one.name for one in host.lists if one.version < newest[one.name] and not one.waits])
    }


def _host(name: str, seen: int, report: str, now: int) -> Host:
    told = _read(report)
    return Host(
        shown(name),
        seen,
        not 0 <= now - seen <= SILENT,
        _text(told.get("version")),
        _number(told.get("generation")),
        tuple(_list(one) for one in _many(told.get("lists"), _LISTS)),
        tuple(_text(one) for one in _many(told.get("alarms"), _ALARMS + 1)),
        note if isinstance(note := told.get("checkpoint"), str) and len(note) <= _CHECKPOINT else "",
    )


def _read(report: str) -> Mapping[str, Any]:
    if len(report) > LARGEST:
        return {}
    try:
        told = json.loads(report or "{}")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _list(told: Any) -> ListThere:
    one = told if isinstance(told, dict) else {}
    number = {key: _number(one.get(key)) for key in ("version", "entries", "held")}
    text = {key: _text(one.get(key)) for key in ("name", "action", "stage", "waits")}
    fields: dict[str, Any] = {**number, **text}
    return ListThere(**fields)


def _many(told: Any, most: int) -> list[Any]:
    return told[:most] if isinstance(told, list) else []


def _text(told: Any) -> str:
    return shown(told[: _ALARM + 100]) if isinstance(told, str) else ""


def _number(told: Any) -> int:
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 <= told < 1 << 53 else 0
