"""What many hosts cost the database that they share: `python -m tests.bench.fleet --hosts 200 --seconds 60`.

Enters: how many hosts. Leaves: processor time and memory of all of PostgreSQL's processes, from /proc, over so many
seconds in which the hosts report, ask and listen, and a word is said everywhere each minute. Rules: one process speaks
for all hosts, with the web process's own code for each (`resolver.portal.app`: rounds, connections, listening); their
stewards are one control socket, which answers at once. So what is measured is the database and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resolver.config.schema import Config
from resolver.ipc import control
from resolver.portal.app import ROUND_SECONDS, Web
from resolver.portal.fleet import hosts_of
from resolver.portal.listening import listen
from resolver.portal.store import Shared, Store
from tests.bench.__main__ import cpu_seconds, family
from tests.rigs import postgres

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTS = 5
EVERY = 60.0  # seconds between two words that are said everywhere: far more than people say
LIMIT = 0.05  # of a processor


@dataclass(frozen=True)
class Cost:
    hosts: int
    seconds: float
    processor: float
    """Of one processor, the share."""
    memory: int
    """Octets, a page that several processes share divided among them (PSS)."""
    connections: int
    reported: int
    """Hosts that are not silent at the end."""
    speaking: float
    """Of one processor, what the process that speaks for them took."""


def configuration(folder: Path, number: int, url: str) -> Config:
    """All have one `run_dir`, so that one control socket is the steward of each."""
    return Config.model_validate({
        "host": f"host-{number}",
        "state_dir": folder / "state",
        "run_dir": folder / "run",
        "dns": {"listen": ["127.0.0.1:0"], "upstreams": ["127.0.0.1:5335"], "allow_clients": ["127.0.0.0/8"]},
        "portal": {"url": "http://stop.isp.example", "database": url},
    })  # fmt: skip


async def steward(_peer: control.Peer, request: Mapping[str, Any]) -> control.Reply:
    """As one that has nothing new to say, and is well."""
    lists = [
        {"name": f"list-{n}", "version": 17, "entries": 12_345, "action": "stop-page", "held": None}
        for n in range(LISTS)
    ]
    answers: dict[str, Any] = {
        "shared": {"words": []},
        "status": {"generation": 17, "lists": lists, "alarms": []},
        "appeal-reports": {"answers": []},
        "share": {},
        "appeal-fates": {"fates": {}},
        "stages": {"note": "", "waits": False},
    }
    found: Mapping[str, Any] = answers[request["op"]]
    return found


async def speak(folder: Path, hosts: int, seconds: float, server: postgres.Server) -> Cost:
    configs = [configuration(folder, number, f"{server.url}/postgres") for number in range(hosts)]
    places = configs[0].places
    places.log_dir.mkdir(parents=True)
    places.log_vkey.write_text("the+key", encoding="utf-8")
    operations = {name: control.Operation(steward, anyone=True) for name in
                  ("shared", "status", "appeal-reports", "share", "appeal-fates", "stages")}  # fmt: skip
    serving = await control.serve(places.control_socket, operations, control.Callers)
    store = await Store.open(configs[0].database_url)  # migrated before the others come
    every = [Web(config) for config in configs]

    async def live(web: Web, config: Config) -> None:
        await asyncio.sleep(random.uniform(0.0, ROUND_SECONDS))  # no two hosts of a provider start together
        async with asyncio.TaskGroup() as group:
            group.create_task(web._keep_time())
            group.create_task(listen(config.database_url, web._wake.set))

    tasks = [asyncio.create_task(live(web, config)) for web, config in zip(every, configs, strict=True)]
    try:
        await asyncio.sleep(2 * ROUND_SECONDS)
        gc.freeze()
        own, began, before = _own(), time.monotonic(), cpu_seconds(server.postmaster)
        number = 0
        while (passed := time.monotonic() - began) < seconds:
            await store.share("host-0", [Shared("host-0", f"override/{number}", number, "a proof " * 200)])
            number += 1
            await asyncio.sleep(min(EVERY, seconds - passed))
        passed, used = time.monotonic() - began, cpu_seconds(server.postmaster) - before
        now = int(time.time())
        told = hosts_of(await store.reports(now), now)
        return Cost(
            hosts, passed, used / passed, _memory(server.postmaster), len(family(server.postmaster)),
            sum(not host.silent for host in told), (_own() - own) / passed,
        )  # fmt: skip
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for web in every:
            if web.portal.store is not None:
                await web.portal.store.close()
        await store.close()
        serving.close(ends=True)


def _own() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory(postmaster: int) -> int:
    found = 0
    for pid in family(postmaster):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            found += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return found


@click.command()
@click.option("--hosts", type=int, default=200, show_default=True)
@click.option("--seconds", type=float, default=60.0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(hosts: int, seconds: float, as_json: bool) -> None:
    """What so many hosts cost their database; exit 1 where that is more than a twentieth of a processor."""
    with tempfile.TemporaryDirectory() as folder, postgres.restartable(connections=6 * hosts + 40) as server:
        cost = asyncio.run(speak(Path(folder), hosts, seconds, server))
    if as_json:
        click.echo(json.dumps(cost.__dict__))
    else:
        click.echo(f"{cost.hosts} hosts, {cost.seconds:.0f} s, {cost.reported} reported")
        click.echo(f"PostgreSQL: {cost.processor:.1%} of a processor, {cost.memory >> 20:,} MiB, "
                   f"{cost.connections} processes")  # fmt: skip
        click.echo(f"the process that speaks for the hosts: {cost.speaking:.0%} of a processor")
    sys.exit(1 if cost.processor > LIMIT or cost.reported < hosts else 0)


if __name__ == "__main__":
    main()
