"""`stopsign status --all`: one screen of all hosts that share the appeals database.

Enters: the hosts as `resolver.portal.fleet` reads them. Leaves: a table and sentences for rich, or plain values. Rules:
what is wrong stands first; a host that is silent or behind is named in words, not in a colour alone.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from resolver.base.timestamps import as_text
from resolver.cli.options import use_password
from resolver.portal.fleet import Host, ListThere, hosts_of, lagging
from resolver.portal.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resolver.config.schema import Config


def hosts(config: Config) -> list[Host]:
    """Raises `StoreError` where the database cannot be used."""
    use_password(config)

    async def ask() -> list[Host]:
        store = await Store.open(config.database_url)
        try:
            now = int(time.time())
            return hosts_of(await store.reports(now), now)
        finally:
            await store.close()

    return asyncio.run(ask())


def wrong(every: Sequence[Host]) -> dict[str, list[str]]:
    """By host, what somebody should look at, each in a sentence."""
    behind = lagging(every)
    found = {}
    for host in every:
        silent = [f"has not reported since {as_text(host.seen)}"] if host.silent else []
        lags = [f"runs an older version of {name} than another host" for name in behind.get(host.name, [])]
        if said := [*silent, *lags, *host.alarms]:
            found[host.name] = said
    return found


def as_json(every: Sequence[Host]) -> dict[str, Any]:
    found = wrong(every)
    return {
        "hosts": [{**_plain(host), "seen": as_text(host.seen), "wrong": found.get(host.name, [])} for host in every]
    }


def _plain(host: Host) -> dict[str, Any]:
    return {key: value for key, value in asdict(host).items() if key != "checkpoint"}


def screen(every: Sequence[Host], now: float) -> Group:
    found = wrong(every)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("host", "stage", "version", "report", "generation", "lists", "held"):
        table.add_column(column, no_wrap=column not in ("lists", "held"))
    for host in every:
        age = f"{max(now - host.seen, 0):,.0f} s ago"
        table.add_row(
            Text(host.name, style="red" if host.name in found else ""),
            Text(_stages(host)),
            Text(host.version),
            Text(f"silent, {age}" if host.silent else age),
            f"{host.generation:,}",
            Text(", ".join(f"{one.name} {one.version}" + _unusual(one.action) for one in host.lists)),
            Text(", ".join(f"{one.name} {one.held}{_turn(one)}" for one in host.lists if one.held) or "-"),
        )
    return Group(*_sentences(found), table)


def _stages(host: Host) -> str:
    """The one of all its lists; else each that is not at once."""
    stages = {one.stage for one in host.lists if one.stage}
    if len(stages) < 2:
        return next(iter(stages), "-")
    return ", ".join(f"{one.name} {one.stage}" for one in host.lists if one.stage not in ("", "at-once"))


def _turn(one: ListThere) -> str:
    return f" ({one.waits})" if one.waits else ""


def _unusual(action: str) -> str:
    return " (monitors)" if action == "monitor" else ""


def _sentences(found: dict[str, list[str]]) -> Iterator[Text]:
    for name, said in found.items():
        for one in said:
            yield Text(f"! {name}: {one}", style="red")
    if found:
        yield Text()
