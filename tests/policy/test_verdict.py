"""One verdict: all who speak of a name say what a worker answers, whatever the lists, exceptions and views are."""

from __future__ import annotations

import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from dnslib import DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver import _core
from resolver.config.schema import Config
from resolver.dns.settings import plane_settings
from resolver.ipc import shadow_sketches
from resolver.policy.description import Generation
from resolver.policy.exceptions import Bypass, LiveExceptions, NameException, dump
from resolver.policy.explain import explain
from resolver.policy.in_force import InForce
from resolver.policy.verdict import mask, names_of, switched_off
from resolver.policy.views import Views
from resolver.portal.live import Live, Snapshot
from resolver.portal.look_up import look_up
from resolver.portal.plain_http import Head
from resolver.portal.stop_page import StopPage
from resolver.rpz.rules import counting, stops
from resolver.stats.probe import Entry
from tests.rigs import lists_world, portal_world
from tests.rigs.list_documents import BASES, entry, write
from tests.rigs.plane import STOP_PAGE, Rig, Upstream, query, rig
from tests.rigs.zone_rules import above, by_closest_encloser, by_every_ancestor, rules

Action = Literal["stop-page", "nxdomain", "nodata", "refused", "monitor"]
Kind = Literal["exact", "subtree", "below"]
Listed = dict[tuple[str, Kind], bool]
"""By name and kind: has it lapsed?"""
CLIENT = "127.0.0.1"
PORT = "_8443._https."  # before a host's name: where browsers ask about its other ports (RFC 9460, 9.1)
LAPSED, LATER = "2026-11-23T00:00:00Z", "2099-01-01T00:00:00Z"
HOUR = 3600


@dataclass(frozen=True)
class Case:
    """Lists in their order, exceptions by their distance from now in seconds, and the lists of the client's view."""

    lists: list[tuple[Action, Listed]]
    overrides: list[tuple[str, Kind, int]]
    bypasses: list[tuple[Literal["all", "list", "name"], int, str, int]]
    view: set[int] | None
    others: list[str]

    @property
    def list_names(self) -> list[str]:
        return [f"list-{at}" for at in range(len(self.lists))]

    @property
    def seen(self) -> frozenset[str] | None:
        """The lists that hold for the client; None: all."""
        return None if self.view is None else frozenset(self.list_names[at % len(self.lists)] for at in self.view)

    def exceptions(self, now: int) -> LiveExceptions:
        bypasses = []
        for kind, at, name, end in self.bypasses:
            of = {"all": "", "list": self.list_names[at % len(self.lists)], "name": name}[kind]
            bypasses.append(Bypass(kind, of, now - HOUR, now + end, "alice"))
        return LiveExceptions(
            tuple(NameException(name, kind, now + end) for name, kind, end in self.overrides),
            tuple(bypasses),
        )

    @property
    def names(self) -> list[str]:
        listed = {name for _, entries in self.lists for name, _ in entries} | {name for name, _, _ in self.overrides}
        bases = listed | set(self.others)
        return sorted({part for base in bases for part in (base, f"z.{base}", PORT + base, *above(base))})


names = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join).map("{}.test".format)
kinds: st.SearchStrategy[Kind] = st.sampled_from(get_args(Kind))
actions: st.SearchStrategy[Action] = st.sampled_from(get_args(Action))
ends = st.sampled_from([HOUR, HOUR, -HOUR])
listed = st.dictionaries(st.tuples(names, kinds), st.sampled_from([False, False, False, True]), max_size=6)
bypassed = st.tuples(st.sampled_from(["list", "list", "name", "all"]), st.integers(0, 3), names, ends)
cases = st.builds(
    Case,
    lists=st.lists(st.tuples(actions, listed), min_size=1, max_size=4),
    overrides=st.lists(st.tuples(names, kinds, ends), max_size=2),
    bypasses=st.lists(bypassed, max_size=2),
    view=st.none() | st.sets(st.integers(0, 3), max_size=3),
    others=st.lists(names, max_size=4),
)  # fmt: skip


def made(case: Case, folder: Path) -> tuple[Config, _core.CompiledList, dict[str, Any]]:
    """The configuration, and the compiled list where it says."""
    raw = lists_world.settings(folder, **{name: {} for name in case.list_names})
    if case.seen is not None:
        raw["views"] = [{"name": "here", "clients": ["127.0.0.0/8"], "lists": sorted(case.seen)}]
    config = Config.model_validate(raw, context={"folder": "/"})
    config.places.run_dir.mkdir(parents=True)
    sources: list[_core.Source] = []
    for at, (action, entries) in enumerate(case.lists):
        path = folder / f"{at}.zst"
        lines = [
            entry(name, 1000 * at + number, kind, expires=LAPSED if lapsed else LATER)
            for number, ((name, kind), lapsed) in enumerate(entries.items())
        ]
        write(path, lines)
        sources.append({"document": str(path), "action": action, "ede": 16, "bases": BASES, "suspended": []})
    about = [{"name": name, "version": 1, "bases": {}, "issuer": {}} for name in case.list_names]
    meta = {"generation": 1, "compiled": "2026-11-24T06:00:00Z", "lists": about}
    _core.compile(sources, config.places.current, json.dumps(meta).encode())
    return config, _core.CompiledList.open(config.places.current), meta


def answered(message: bytes | None) -> str | None:
    """The action that an answer shows; None: it was relayed."""
    if message is None:
        return None
    reply = DNSRecord.parse(message)
    if reply.rr:
        assert [str(record.rdata) for record in reply.rr] == [STOP_PAGE]
        return "stop-page"
    return {0: "nodata", 3: "nxdomain", 5: "refused"}[reply.header.rcode]


def by_datagram(worker: Rig, upstream: Upstream, name: str) -> str | None:
    worker.send(query(name, edns=True))
    worker.client.setblocking(False)
    try:
        message: bytes | None = worker.client.recv(65535)
    except BlockingIOError:
        message = None
    relayed = [str(asked.q.qname).rstrip(".").lower() for asked, _ in upstream.waiting()]
    assert relayed == ([name] if message is None else [])
    return answered(message)


def by_stream(worker: Rig, name: str) -> str | None:
    message = worker.ask_stream(query(name, edns=True), stream=None)
    assert message is True or isinstance(message, bytes)
    return answered(None if message is True else message)


def worker_says(case: Case, config: Config, compiled: _core.CompiledList, now: int) -> dict[str, str | None]:
    """The action on every name, by datagrams and by a stream."""
    upstream = Upstream()
    given = plane_settings(config, 1, shadow_sketches.Key((1, 2)))
    exceptions = case.exceptions(now)
    with rig(upstream, allow_clients=given["allow_clients"], views=given["views"]) as worker:
        worker.plane.set_list(compiled, [mask(case.list_names, view.lists) for view in config.views])
        worker.plane.set_exceptions(names_of(exceptions), *switched_off(exceptions, case.list_names, now))
        said = {name: by_datagram(worker, upstream, name) for name in case.names}
        assert {name: by_stream(worker, name) for name in case.names} == said
    return said


def zone_says(case: Case, folder: Path, live: InForce, now: int) -> dict[str, tuple[str | None, ...]]:
    """By both ways of looking into the zone, and as answers are counted."""
    assert live.compiled is not None
    written = folder / "rules"
    mask = counting(live, case.seen, now)
    live.compiled.write_policies(written, lists=mask, exceptions=names_of(live.exceptions), now=now, room=200)
    owners = rules(written)
    counted = {name: stops(live, name, case.seen, now) for name in case.names}
    return {
        name: (
            by_closest_encloser(owners, name),
            by_every_ancestor(owners, name),
            None if (entry := counted[name]) is None else entry.action,
        )
        for name in case.names
    }


def web_says(config: Config, snapshot: Snapshot, view: frozenset[str] | None, now: int, name: str) -> tuple[bool, bool]:
    """Whether it is stopped, by the stop page and by the public look-up."""
    live = Live(config.places)
    live.snapshot = snapshot
    page = StopPage(portal_world.standard_pages(), live, lambda: now, views=Views.of(config))
    status = page.reply(Head(b"GET", b"/", name.encode()), CLIENT).head[9:12]
    return status == b"451", bool(look_up(name, snapshot, now, view).stopped_by)


@given(cases)
@settings(deadline=None, max_examples=40)
def test_all_who_speak_of_a_name_say_what_a_worker_answers(case: Case) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, now = Path(place), int(time.time())
        config, compiled, meta = made(case, folder)
        exceptions = case.exceptions(now)
        config.places.exceptions.write_bytes(dump(exceptions))
        right = worker_says(case, config, compiled, now)

        snapshot = Snapshot(InForce(compiled, Generation.model_validate(meta), exceptions))
        zone = zone_says(case, folder, snapshot.in_force, now)
        for name, action in right.items():
            told = explain(config, name, now=now, client=CLIENT)
            decides = [one.action for one in told.entries if one.why_not is None]
            assert (told.verdict == "stopped", decides) == (action is not None, [action] if action else []), name
            if name.startswith(PORT):
                # No browser sends such a Host, and a zone has no rules for ports: docs/rpz.md.
                host = name.removeprefix(PORT)
                assert (action, zone[name][2]) == (right[host], right[host]), name
                assert bool(look_up(name, snapshot, now, case.seen).stopped_by) is (action is not None), name
                continue
            assert zone[name] == (action, action, action), name
            assert web_says(config, snapshot, case.seen, now, name) == (action is not None,) * 2, name


@given(cases)
@settings(deadline=None, max_examples=15)
def test_a_probe_expects_what_a_worker_answers(case: Case) -> None:
    """A probe knows neither exceptions nor views; of what a list has it asks what still holds."""
    plain = Case(case.lists, [], [], None, [])
    drawn = [
        (name, Entry(*key, reference="", expires=LATER))
        for action, entries in case.lists
        if action != "monitor"
        for key, lapsed in entries.items()
        if not lapsed
        for name in Entry(*key, reference="", expires=LATER).names(random.Random(7))
    ]
    asked = Case(plain.lists, [], [], None, [name for name, _ in drawn])
    with tempfile.TemporaryDirectory() as place:
        config, compiled, _ = made(asked, Path(place))
        right = worker_says(asked, config, compiled, int(time.time()))
    stops = [one for _, one in drawn]
    assert all(right[name] is not None for name, _ in drawn)
    assert {name for name, action in right.items() if action} == {n for n in right if any(o.covers(n) for o in stops)}
