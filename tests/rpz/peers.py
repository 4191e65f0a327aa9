"""`make peers`: the resolvers of Debian's next releases against Stopsign's own verdict. Outside the gate.

    python -m tests.rpz.peers [--suite trixie] [--suite sid] [--only NAME]

Each is configured by the examples of `config/rpz/`, fed by a primary with 10,000 names of five actions, and compared
with what Stopsign's DNS answers for the same list: as it is, with an exception inside a blocked name, after an update,
over a restart, with a key that is exchanged at the primary alone, with an empty list. One line a resolver; exits 1
where one differs. What Knot Resolver 6 cannot say (docs/rpz.md) is not asked of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.rigs.debian import PeersError, inside, tree
from tests.rigs.dns_host import Host, ask_udp, free_port, question, running, wait_until
from tests.rigs.list_documents import entry
from tests.rigs.resolvers import (
    OUTSIDE,
    Outside,
    Resolver,
    bind920,
    dnsdist,
    knot,
    knot6,
    powerdns5,
    unbound,
)
from tests.rigs.rpz_world import STOP, STOP6, World, said
from tests.rigs.rpz_world import running as serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blocklists.entry import Entry, Match

ACTIONS = ("stop-page", "nxdomain", "nodata", "refused", "monitor")
EACH, SAMPLE = 2000, 60
REFUSED, SERVFAIL = 5, 2
ORIGIN6 = "rpz.knot6"
TREES = Path("/var/tmp/stopsign-peers")  # outside the source tree: linters would read what is in it
STOPS = socket.inet_aton(STOP)
PEERS: dict[str, list[tuple[str, Callable[[World, Path, int, int], Resolver]]]] = {
    "trixie": [
        ("bind9", bind920),
        ("unbound", unbound),
        ("pdns-recursor", powerdns5),
        ("knot-resolver", knot),
        ("dnsdist", dnsdist),
    ],
    "sid": [
        ("bind9", bind920),
        ("unbound", unbound),
        ("pdns-recursor", powerdns5),
        ("knot-resolver6", knot6),
        ("dnsdist", dnsdist),
    ],
}
WATCHES = {"knot-resolver": ["lua-cqueues"], "knot-resolver6": ["python3-watchdog"]}


def names_of(action: str) -> list[str]:
    return [f"n{number}.{action.replace('-', '')}.bet" for number in range(EACH)]


def entries_of(action: str) -> Iterator[Entry]:
    """NXDOMAIN for subtrees alone: the one thing that every dialect can say."""
    kinds: tuple[Match, ...] = ("subtree",) if action == "nxdomain" else ("subtree", "exact", "below")
    first = ACTIONS.index(action) * EACH
    for number, name in enumerate(names_of(action)):
        yield entry(name, first + number, kinds[number % len(kinds)])


@dataclass
class Bench:
    """One resolver beside Stopsign's own DNS, both on the same list."""

    world: World
    host: Host
    resolver: Resolver
    is_knot6: bool

    def differs(self, names: list[str]) -> str | None:
        """Where it differs from the verdict; None: nowhere."""
        for qtype in (1, 28, 65):
            queries = [question(0, name, qtype) for name in names]
            right, found = (
                [said(one) for one in self._asked(at, queries)] for at in (self.host.address, self.resolver.address)
            )
            for name, wanted, got in zip(names, right, found, strict=True):
                says = (
                    (0, ()) if wanted[0] == REFUSED and self.resolver.name != "dnsdist" else wanted
                )  # `refused: nodata`
                if got != says:
                    return f"{name} type {qtype}: {got}, {says} would be right"
        return None

    def _asked(self, address: tuple[str, int], queries: list[bytes]) -> list[bytes]:
        """What failed because the world outside was slow is asked again."""
        found: list[bytes] = [b""] * len(queries)

        def complete() -> bool:
            open_ = [at for at, one in enumerate(found) if not one or one[3] & 15 == SERVFAIL]
            with contextlib.suppress(OSError):  # refused for a moment: one that takes up a new file
                for at, one in zip(
                    open_, asyncio.run(ask_udp(address, [queries[at] for at in open_], 16)), strict=True
                ):
                    found[at] = one
            return all(one and one[3] & 15 != SERVFAIL for one in found)

        with contextlib.suppress(AssertionError):
            wait_until(complete, "some fail", 30.0)
        return found

    def comes_to(self, names: list[str], patience: float = 60.0) -> str | None:
        """As `differs`, once the resolver has had time to follow."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.differs(names) is None, "it differs", patience)
        wrong = self.differs(names)
        if wrong is None:
            return None
        has = [worker["generation"] for worker in self.host.said()]
        return f"{wrong}; generation {self.world.generation}, Stopsign's DNS has {has}, the zone {self.world.serial()}"


def sample(chance: random.Random) -> list[str]:
    found = []
    for action in ACTIONS:
        names = chance.sample(names_of(action), SAMPLE)
        found += [*names, *(f"www.{name}" for name in names)]
    return [*found, *(f"free{number}.bet" for number in range(SAMPLE))]


def checks(bench: Bench, chance: random.Random) -> Iterator[tuple[str, str | None]]:
    """Name of the check, and what is wrong."""
    names = sample(chance)
    yield "10,000 names", bench.comes_to(names)
    blocked = names_of("stop-page")[0]
    bench.world.stopsign("bypass", "on", f"good.{blocked}", "--reason", "peers", "--config", str(bench.world.config))
    inside_it = [f"good.{blocked}", f"w.good.{blocked}", *([] if bench.is_knot6 else [blocked, f"bad.{blocked}"])]
    yield "exception", bench.comes_to(inside_it)
    bench.world.stopsign("bypass", "off", "--config", str(bench.world.config))
    yield "exception ended", bench.comes_to([f"good.{blocked}", f"bad.{blocked}", blocked])
    added, gone = "new.bet", names_of("nodata")[0]
    changed = {action: [one for one in entries_of(action) if one.name != gone] for action in ACTIONS}
    changed["stop-page"].append(entry(added, 99_999))
    bench.world.activate(*changed.values())
    yield "update", bench.comes_to([added, f"www.{added}", gone, *names[:SAMPLE]])
    yield "restart", over_a_restart(bench, added)
    if bench.resolver.name in ("named", "pdns_recursor"):
        yield "other key", with_another_key(bench, added)
    bench.world.activate(*([] for _ in ACTIONS))
    yield "empty list", bench.comes_to([added, *names[:SAMPLE]], 90.0)


def over_a_restart(bench: Bench, name: str) -> str | None:
    """From its first answer on it must block."""
    bench.resolver.stop()
    bench.resolver.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if bench.resolver.blocks(name, OUTSIDE):
            older = bench.resolver.blocks(names_of("stop-page")[1], STOPS)
            has = "an older zone" if older else "no zone yet"
            return f"{name} passes after a restart: it has {has}, the primary serial {bench.world.serial()}"
        if bench.resolver.blocks(name, STOPS):
            return None
    return "it does not answer after a restart"


def with_another_key(bench: Bench, name: str) -> str | None:
    """The primary has another key: it refuses and counts, the resolver goes on with what it has."""
    which = "stopsign-bind" if bench.resolver.name == "named" else "stopsign-powerdns"
    path = bench.world.folder / f"{which}.key"
    kept = path.read_text()
    path.unlink()
    bench.world.make_key(which)
    bench.world.stop()
    bench.world.start()
    bench.world.activate(*(entries_of(action) for action in ACTIONS))  # without the name, and with a NOTIFY
    try:
        with contextlib.suppress(AssertionError):
            wait_until(lambda: bench.world.said().get("refused"), "nobody is refused", 90.0)
        if not bench.world.said().get("refused"):
            return "nobody is refused"
        return None if bench.resolver.blocks(name, STOPS) else f"{name} passes with a zone that is no longer renewed"
    finally:
        path.write_text(kept)
        bench.world.stop()
        bench.world.start()


def in_front(bench: Bench) -> Iterator[tuple[str, str | None]]:
    """dnsdist reads no zones: it is asked whether Stopsign's answers come through."""
    yield "in front", bench.comes_to(sample(random.Random(8)))


def one(
    suite: str, root: Path, make: Callable[[World, Path, int, int], Resolver], folder: Path
) -> Iterator[tuple[str, str | None]]:
    local, port, outside = ["127.0.0.1/32"], free_port(), Outside()
    notify = {"notify": [f"127.0.0.1:{port}"]} if make in (bind920, powerdns5) else {}
    secondaries = [
        {"name": "bind", "addresses": local, "key": "stopsign-bind.key", **(notify if make is bind920 else {})},
        {
            "name": "powerdns",
            "addresses": local,
            "key": "stopsign-powerdns.key",
            **(notify if make is powerdns5 else {}),
        },
        *(
            [{"name": "unbound", "addresses": local, "unsigned": True, "notify": [f"127.0.0.1:{port}"]}]
            if make is unbound
            else []
        ),
    ]
    zones = [
        {"origin": "rpz.stopsign", "file": "file/rpz.stopsign.zone", "refused": "nodata"},
        {"origin": ORIGIN6, "file": "file/rpz.knot6.zone", "refused": "nodata", "dialect": "knot6"},
    ]
    world = World(folder, {"zones": zones, "secondaries": secondaries}, actions=ACTIONS)
    for key in ("stopsign-bind", "stopsign-powerdns"):
        world.make_key(key)
    world.activate(*(entries_of(action) for action in ACTIONS))
    host = Host(folder, [f"127.0.0.1:{outside.port}"], more={"stop_page": {"ipv4": STOP, "ipv6": STOP6}})
    with serving(world), running(host), contextlib.ExitStack() as ended:
        wait_until((folder / "file" / "rpz.knot6.zone").exists, "there is no zone file")
        home = folder / "resolver"
        home.mkdir()
        behind = host.address[1] if make is dnsdist else outside.port
        resolver = make(world, home, port, behind)
        resolver.prefix = inside(root)
        resolver.start()
        ended.callback(resolver.stop)
        resolver.wait(names_of("stop-page")[0], STOPS)
        bench = Bench(world, host, resolver, make is knot6)
        yield from in_front(bench) if make is dnsdist else checks(bench, random.Random(8))
    outside.close()


@click.command()
@click.option("--suite", "suites", multiple=True, type=click.Choice(list(PEERS)), help="[default: all]")
@click.option("--only", help="One package alone.")
@click.option("--trees", type=click.Path(path_type=Path), default=TREES, help="Where they are unpacked.")
def main(suites: tuple[str, ...], only: str | None, trees: Path) -> None:
    """Compare Debian's newer resolvers with Stopsign's own verdict."""
    wrong = 0
    for suite in suites or tuple(PEERS):
        wanted = [package for package, _ in PEERS[suite]]
        more = [extra for package in wanted for extra in WATCHES.get(package, ())]
        try:
            root, versions = tree(suite, [*wanted, *more], trees)
        except PeersError as error:
            sys.exit(f"peers: error: {error}")
        for package, make in PEERS[suite]:
            if only not in (None, package):
                continue
            folder = Path(tempfile.mkdtemp(prefix="stopsign-peers-"))
            told = []
            try:
                for name, what in one(suite, root, make, folder):
                    told.append(f"{name} {'ok' if what is None else f'WRONG ({what})'}")
                    wrong += what is not None
            except AssertionError as error:
                told.append(f"WRONG ({str(error)[-600:]})")
                wrong += 1
            shutil.rmtree(folder, ignore_errors=True)
            click.echo(f"{time.strftime('%Y-%m-%d')} {suite} {package} {versions.get(package, '?')}: {'; '.join(told)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
