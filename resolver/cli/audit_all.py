"""`stopsign audit verify --all`: all logs of a provider, by its index, in one answer.

Enters: where the index is and what was typed. Leaves: a line for each log, then what all that proved and what it could
not. Rules: exit 1 where anything was found wanting, 2 where nothing was but a log could not be read.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blocklists.counted import counted
from resolver.cli.audit_options import progress, read_key
from resolver.cli.options import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resolver.log.policy import Policy
    from resolver.log.verify_all import IndexRead, Outcome

SILENT = 3 * 3600.0
"""Seconds after which the newest leaf of a log that is in use is named: each host writes one an hour."""


def verify_index(where: str, key: str | None, seen: Path | None, policy: Policy, within: int, *, as_json: bool) -> None:
    """Prints it; ends the command with 1 or 2 where not all is well. Raises `UntrueError` where the index itself is not
    true."""
    from resolver.log.source import open_source
    from resolver.log.verify_all import read_index, verify_all

    read, memory = read_index(
        open_source(where, within=within), read_key(key) if key else None, seen or standard_memory()
    )
    with progress("leaves") as told:
        outcomes = list(verify_all(read, memory, policy, within=within, progress=told))
    say(*([json.dumps(as_dict(read, outcomes))] if as_json else lines(read, outcomes, time.time())))
    if status := status_of(outcomes):
        click.get_current_context().exit(status)


def standard_memory() -> Path:
    """Where an auditor's own state is, by the XDG base directory specification."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state.startswith("/") else Path.home() / ".local/state") / "stopsign" / "seen"


def status_of(outcomes: Sequence[Outcome]) -> int:
    return 1 if any(one.is_untrue for one in outcomes) else 2 if any(one.error for one in outcomes) else 0


def as_dict(read: IndexRead, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    from resolver.base.timestamps import as_text

    index = read.index
    return {
        "ok": not any(one.error for one in outcomes),
        "index": {
            "name": index.name, "version": index.version, "made": as_text(index.made), "key": str(read.key),
            "key_from_copy": read.key_from_copy, "seen": read.seen,
        },
        "logs": [
            {
                "origin": one.log.origin,
                "address": one.log.address,
                "retired": as_text(one.log.end.at) if one.log.end else None,
                "state": word(one),
                **(one.verdict.as_dict() if one.verdict else _wrong(one)),
            }
            for one in outcomes
        ],
    }  # fmt: skip


def word(one: Outcome) -> str:
    """In one word: `verified`, `untrue` or `unread`."""
    return "verified" if one.verdict else "untrue" if one.is_untrue else "unread"


def lines(read: IndexRead, outcomes: Sequence[Outcome], now: float) -> Iterator[str]:
    from resolver.base.timestamps import as_text

    index = read.index
    retired = sum(one.end is not None for one in index.logs)
    and_so = f", {retired} of them retired" if retired else ""
    logs = counted(len(index.logs), "log")
    yield f"{index.name}: version {index.version}, made {as_text(index.made)}, {logs}{and_so}"
    for one in outcomes:
        yield f"  {word(one):<8}  {one.log.origin}: {_said(one, now)}"
    good = [one.verdict for one in outcomes if one.verdict]
    yield ""
    yield "Proved:"
    yield f"  - the index is signed by {read.key}"
    if read.seen:
        yield f"  - it continues version {read.seen}, which was seen before: no log is gone that was not retired"
    else:
        yield "  - each of its versions continues the one before: no log is gone that was not retired"
    if good:
        whole = "log is whole," if len(good) == 1 else "logs are whole, each"
        yield f"  - {len(good)} {whole} signed with the key that the index names"
    if again := sum(bool(one.kept) for one in good):
        yield f"  - {again} of them continue the checkpoint that was seen before"
    if ended := sum(one.verdict is not None and one.log.end is not None for one in outcomes):
        yield f"  - {ended} retired: nothing was appended or cut since"
    if quorums := sum(bool(one.quorum) for one in good):
        yield f"  - {quorums} of them were seen by a quorum of witnesses"
    yield "Not proved:"
    if read.key_from_copy:
        yield "  - whose index this is: the key came with it; give the one you were told with --key"
    yield f"  - that version {index.version} is the newest, and that others see the same index"
    if alone := sum(one.self_consistent_only for one in good):
        yield f"  - that {alone} of the logs were not rewritten before they were read for the first time"
    yield "  - that what the leaves say is what was done: `stopsign audit probe` asks each resolver"
    if index.made > now + 300:
        yield f"Remark: the index was made {as_text(index.made)}, which is still to come by this machine's clock"
    for verdict in good:
        for remark in verdict.remarks:
            yield f"Remark: {verdict.checkpoint.origin}: {remark}"


def _said(one: Outcome, now: float) -> str:
    from resolver.log.leaf import time_of

    if one.verdict is None:
        return f"{one.error}" + (f" ({one.error.hint})" if one.error and one.error.hint else "")
    said = counted(one.verdict.checkpoint.size, "leaf")
    if one.verdict.hours is None:
        return said
    newest = one.verdict.hours[1]
    if one.log.end is not None:
        return f"{said}, the last of {newest}, retired"
    is_silent = now - time_of(newest).timestamp() > SILENT + 3600
    return f"{said}, the newest of {newest}" + (": nothing since" if is_silent else "")


def _wrong(one: Outcome) -> dict[str, Any]:
    leaf = getattr(one.error, "leaf", None)
    return {"ok": False, "error": str(one.error), "hint": one.error.hint if one.error else None, "leaf": leaf}
