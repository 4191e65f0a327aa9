"""A drawn zone, as real resolvers answer from it, against a worker's own answers over UDP and TCP.

Lists of every action in a drawn order, one that the client's view leaves out and one that is switched off; in them many
small families of names with every kind of match, in force and lapsed; exceptions of every kind, in force and over.
STOPSIGN_ZONES: how many zones are drawn, one after the other, for the same resolvers (default 1). STOPSIGN_SEED: the
first of them (default 1); a failure names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import socket
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, get_args

import pytest

from blocklists.entry import Match
from resolver import _core
from resolver.base import atomic
from resolver.policy.exceptions import Bypass, LiveExceptions, NameException, dump
from resolver.policy.verdict import mask, names_of, switched_off
from tests.rigs.dns_host import ask_tcp, ask_udp, free_port, question, wait_until
from tests.rigs.list_documents import entry
from tests.rigs.plane import Upstream, rig
from tests.rigs.resolvers import MAKERS, Outside, every
from tests.rigs.rpz_world import ORIGIN, STOP, STOP6, World, said
from tests.rigs.rpz_world import running as serving
from tests.rigs.zone_rules import above

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.entry import Entry
    from tests.rigs.resolvers import Resolver

pytestmark = pytest.mark.needs("unbound", "named", "pdns_recursor", "kresd")
FAMILIES, HOUR = 16, 3600
LAPSED, LATER = "2026-11-23T00:00:00Z", "2099-01-01T00:00:00Z"
KINDS: tuple[Match, ...] = get_args(Match)
A, AAAA, HTTPS = 1, 28, 65
NXDOMAIN, REFUSED = 3, 5
Asked = tuple[str, int]
Said = tuple[int, tuple[str, ...]]


@dataclass(frozen=True)
class Drawn:
    """What is listed, list by list, what is let pass, and every name to ask for."""

    lists: list[list[Entry]]
    exceptions: LiveExceptions
    names: list[str]

    @property
    def questions(self) -> list[Asked]:
        return [(name, qtype) for qtype in (A, AAAA, HTTPS) for name in self.names]


def drawn(chance: random.Random, number: int, world: World, off: int) -> Drawn:
    """`off`: the list that is switched off. Names are new in each zone: PowerDNS keeps answers."""
    lists: list[list[Entry]] = [[] for _ in world.actions]
    now, count = int(time.time()), itertools.count()
    overrides: list[NameException] = []
    asked: set[str] = set()
    for family in range(FAMILIES):
        apex = f"f{family}x{number}.bet"

        def name(apex: str = apex) -> str:
            return ".".join([*chance.choices("ab", k=chance.randint(0, 3)), apex])

        for entries in lists:
            for base, kind in sorted({(name(), chance.choice(KINDS)) for _ in range(chance.randint(0, 2))}):
                expires = chance.choice([LATER, LATER, LAPSED])
                entries.append(entry(base, next(count), kind, expires=expires))
        let = sorted({name() for _ in range(chance.randint(0, 2))})
        overrides += [
            NameException(base, chance.choice(KINDS), now + chance.choice([HOUR, HOUR, -HOUR])) for base in let
        ]
        bases = {*(name() for _ in range(3)), *let, *(one.name for entries in lists for one in entries)}
        asked |= {part for base in bases for part in (base, f"z.{base}", *above(base)) if part.endswith(f".{apex}")}
        asked.add(apex)
    lists[world.actions.index("stop-page")].append(entry(marker(number), next(count)))
    bypass = Bypass("list", world.names[off], now - HOUR, now + HOUR, "alice")
    return Drawn(lists, LiveExceptions(tuple(overrides), (bypass,)), sorted(asked))


def marker(number: int) -> str:
    """A name that is stopped in this zone alone: who stops it has the zone."""
    return f"mark{number}.bet"


def by_worker(world: World, seen: frozenset[str], zone: Drawn, outside: Outside) -> dict[Asked, Said]:
    """By datagrams, and the same on a stream; `outside` is the upstream."""
    upstream, live = Upstream(), zone.exceptions
    found: dict[Asked, Said] = {}
    with rig(upstream, stop_ipv4=STOP, stop_ipv6=STOP6, views=[["127.0.0.0/8"]]) as worker:
        compiled = _core.CompiledList.open(world.run_dir / "current.list")
        worker.plane.set_list(compiled, [mask(world.names, seen)])
        worker.plane.set_exceptions(names_of(live), *switched_off(live, world.names, time.time()))
        for at, (name, qtype) in enumerate(zone.questions):
            message = question(at, name, qtype)
            worker.send(message)
            by_stream = worker.ask_stream(message)
            for relayed, source in upstream.waiting_raw():
                upstream.say(outside.answer(relayed), source)
            if by_stream is True:
                ((_, by_stream),) = worker.stream_answers()
            assert isinstance(by_stream, bytes), name
            found[name, qtype] = said(worker.client.recv(65535))
            assert said(by_stream) == found[name, qtype], name
    return found


def differences(resolver: Resolver, right: dict[Asked, Said]) -> dict[Asked, tuple[Said, ...]]:
    """What it answers over UDP and over TCP, and what is right, where these are not the same."""
    queries = [question(at, name, qtype) for at, (name, qtype) in enumerate(right)]
    found = [asyncio.run(ask(resolver.address, queries, 16)) for ask in (ask_udp, ask_tcp)]
    rows = zip(right.items(), *found, strict=True)
    said_of = {key: (said(by_udp), said(by_tcp), wanted) for (key, wanted), by_udp, by_tcp in rows}
    return {key: row for key, row in said_of.items() if len(set(row)) > 1}


def test_every_resolver_answers_from_a_drawn_zone_what_a_worker_answers(tmp_path: Path) -> None:
    seed, zones = int(os.environ.get("STOPSIGN_SEED", "1")), int(os.environ.get("STOPSIGN_ZONES", "1"))
    chance = random.Random(seed)
    actions = ["stop-page", "nxdomain", "nodata", "refused", "monitor", "stop-page", "nxdomain"]
    hidden, off = 5, 6
    order = chance.sample(range(len(actions)), len(actions))
    ports, local = {make.__name__: free_port() for make in MAKERS}, ["127.0.0.1/32"]
    secondaries = [
        {"name": "bind", "addresses": local, "key": "stopsign-bind.key", "notify": [f"127.0.0.1:{ports['bind']}"]},
        {"name": "powerdns", "addresses": local, "key": "stopsign-powerdns.key"},
        {"name": "unbound", "addresses": local, "unsigned": True, "notify": [f"127.0.0.1:{ports['unbound']}"]},
    ]
    seen = frozenset(f"list-{at}" for at, which in enumerate(order) if which != hidden)
    zone = {"origin": ORIGIN, "file": "file/rpz.stopsign.zone", "refused": "nodata", "view": "here"}
    views = [{"name": "here", "clients": ["127.0.0.0/8"], "lists": sorted(seen)}]
    world = World(tmp_path, {"zones": [zone], "secondaries": secondaries},
                  actions=[actions[which] for which in order], views=views)  # fmt: skip
    world.make_key("stopsign-bind")
    world.make_key("stopsign-powerdns")

    def activate(number: int) -> Drawn:
        made = drawn(chance, number, world, order.index(off))
        atomic.replace(world.run_dir / "passes.json", dump(made.exceptions))
        world.activate(*made.lists)
        return made

    made, outside, stop = activate(0), Outside(), socket.inet_aton(STOP)
    with serving(world):
        wait_until((tmp_path / "file" / "rpz.stopsign.zone").exists, "there is no zone file")
        with every(world, ports, outside.port, listed=marker(0), stop=stop) as resolvers:
            for number in range(zones):
                made = activate(number) if number else made
                right = by_worker(world, seen, made, outside)
                assert {rcode for rcode, _ in right.values()} >= {0, NXDOMAIN, REFUSED}, "or this says little"
                right = {key: (0, ()) if one[0] == REFUSED else one for key, one in right.items()}  # `refused: nodata`
                for resolver in resolvers:
                    resolver.wait(marker(number), stop)
                    wrong: dict[Asked, tuple[Said, ...]] = {}
                    agree = partial(agrees, resolver, right, wrong)
                    with contextlib.suppress(AssertionError):  # BIND takes a changed zone in piece by piece
                        wait_until(agree, "it differs")
                    some = dict(list(wrong.items())[:5])
                    assert not wrong, f"seed {seed}, zone {number}, {resolver.name}: {len(wrong)}: {some}"
    outside.close()


def agrees(resolver: Resolver, right: dict[Asked, Said], wrong: dict[Asked, tuple[Said, ...]]) -> bool:
    """`wrong` has the differences of the last look."""
    wrong.clear()
    wrong |= differences(resolver, right)
    return not wrong
