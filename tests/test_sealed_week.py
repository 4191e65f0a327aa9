"""A week with a sealed list, at its desk, its mirror and a provider, and a search of all that they wrote: no name.

The week goes by on the test's clock and ends now: then a worker and the web process take the provider over, and are
asked for the names by DNS, on the stop page and in the portal. The worker's memory is read as a core dump would hold
it. What is typed at a terminal is its reader's; what commands print otherwise is searched too.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
import urllib.parse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from blocklists.issuer import sealing, withdraw
from resolver.base.errors import ResolverError
from resolver.config.schema import load
from resolver.lists import difference
from resolver.log.writer import Log
from resolver.policy.explain import Leads
from resolver.stats.publish import publish
from tests.rigs.command_line import run
from tests.rigs.counted import Ticked
from tests.rigs.dns_host import PATIENCE, Host, ask_tcp, ask_udp, question, running, wait_until
from tests.rigs.issuer_world import World as Readable
from tests.rigs.lists_world import Clock, received, settings
from tests.rigs.planted import MARK, dumped, found, names
from tests.rigs.sealed_provider import Scene
from tests.rigs.sealed_world import LIST, cheap
from tests.rigs.web_process import served

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAYS, STOP = 7, "192.0.2.66"
PLANTED = names(1000)


class Week:
    """`said`: what the commands printed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.said, self.capsys = folder, folder / "said", capsys
        self.said.mkdir()
        clock = Clock(time.time() - DAYS * 86_400)
        self.readable = Readable(folder / "readable", datetime.fromtimestamp(clock(), UTC))
        desk = self.readable.rehearsal.desk
        other = {"repository": str(self.readable.published), "trusted_root": str(desk.trusted_root)}
        portal = {"url": "https://stop.isp.example", "clocks": {"decide": "2d"}}
        self.scene = Scene(folder, {"reason": "censored"}, clock, {"gambling": other}, portal=portal)
        self.register = self.scene.isp.register
        self.suspended = ""
        """The reference of an entry that the issuer withdraws."""
        self.register.take(self.scene.follow(1).fetch(clock()))

    def follow(self) -> None:
        """The provider refreshes; a person looks at what is held, and approves it."""
        self.scene.refresh()
        held = self.register.fetching[LIST].held
        if held is not None:
            self.keep(difference.difference(self.scene.isp.config, LIST, 100), self.register.status())
            self.register.approve(LIST, held.version, held.state, "anna")
        assert self.register.fetching[LIST].held is None

    def day(self) -> None:
        self.scene.later(days=1)
        self.readable.later(days=1)
        for desk in (self.scene.issuer.rehearsal, self.readable.rehearsal):
            desk.refresh_timestamp()
        self.register.tick()

    def keep(self, *said: Any) -> None:
        (self.said / f"{len(list(self.said.iterdir()))}.json").write_text(json.dumps(said, default=str))

    def reference(self, name: str) -> str:
        match = self.scene.judge(name).stop
        assert match is not None, name
        return match.reference

    def pass_by(self) -> None:
        """What happens in a week."""
        issuer, register = self.scene.issuer, self.register
        self.follow()
        self.day()
        issuer.rehearsal.change(LIST, add=PLANTED[:800], basis="order-17", category="child-abuse")
        self.follow()
        self.day()
        issuer.rehearsal.change(LIST, add=PLANTED[800:900], remove=PLANTED[:5], category="abuse", match="exact")
        self.follow()
        self.day()
        issuer.subscribe("south")
        issuer.version()
        self.follow()
        sealing.unsubscribe(issuer.desk, LIST, "south")
        issuer.rehearsal.change(LIST, add=PLANTED[900:], remove=PLANTED[5:10], basis="order-17", category="abuse")
        self.follow()
        self.day()
        wanted = [self.reference(name) for name in PLANTED[10:14]]
        self.suspended = wanted[0]
        issuer.rehearsal.publish(
            withdraw.suspend(issuer.desk, LIST, wanted[:1], reason="a slip", now=issuer.now, author="alice")
        )
        self.follow()
        for number, reference in enumerate(wanted[1:]):
            received(self.scene.isp, f"A-{number}", reference, "", list=LIST)
        self.keep(register.appeals.decide({"A-0": wanted[1]}, "mended", "anna", seconds=86_400.0))
        self.keep(register.appeals.decide({"A-1": wanted[2]}, "upheld", "anna"))
        self.day()
        for name in PLANTED[20:30]:
            register.questions.explain(name, None, Leads(), "anna")
        with pytest.raises(ResolverError) as refusal:
            register.people.allow(PLANTED[20], "subtree", "a mistake", "anna", 3600.0)
        self.keep(str(refusal.value), refusal.value.hint)
        register.people.allow("", "subtree", "a mistake", "anna", 7200.0, wanted[3])
        for _ in range(DAYS - 5):
            self.day()
        self.follow()
        # ten were removed, one is withdrawn by the issuer, and of one an appeal is overdue
        assert len(self.scene.stopped(*PLANTED)) == 1000 - 12
        self.scene.isp.stop()
        assert abs(self.scene.isp.clock() - time.time()) < 3600

    def configured(self) -> Path:
        """The provider's configuration, with a zone of all lists for other resolvers."""
        isp = self.scene.isp
        tree = {**settings(isp.folder, **isp.lists), **isp.more}
        tree["dns"] |= {"workers": 1, "cache": {"size": "4MiB"}}
        tree["stop_page"] = {"ipv4": STOP, "listen": ["127.0.0.1:0"]}
        tree["portal"] |= {"listen": ["127.0.0.1:0"]}
        tree["rpz"] = {"listen": ["127.0.0.1:0"], "zones": [{"origin": "rpz.isp.example"}]}
        file = isp.folder / "stopsign.yaml"
        file.write_text(yaml.safe_dump(tree))
        return file


class Worker(Host):
    """A worker over what the week left."""

    def write_config(self) -> None:
        """It is there already."""


def asked(host: Host, planted: Sequence[str]) -> None:
    """Clients ask for the names; each is blocked."""
    queries = [
        question(number, name.upper() if number % 2 else name, 1, edns=1232) for number, name in enumerate(planted)
    ]

    async def scene() -> None:
        for ask in (ask_udp, ask_tcp):
            for query, answer in zip(queries, await ask(host.address, queries), strict=True):
                assert socket.inet_aton(STOP) in answer, query

    asyncio.run(scene())


def visit(address: tuple[str, int], path: str, host: str, form: dict[str, str] | None = None) -> str:
    body = "" if form is None else urllib.parse.urlencode(form)
    kind = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if body else ""
    with socket.create_connection(address, timeout=PATIENCE) as one:
        method = "POST" if body else "GET"
        one.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{kind}Connection: close\r\n\r\n{body}".encode())
        return b"".join(iter(lambda: one.recv(65_536), b"")).decode()


def appeal(portal: tuple[str, int], host: str, reference: str, name: str) -> None:
    """By the reference; its author says the name too, in the form and in the reasons."""
    form = visit(portal, f"/appeal?reference={reference}", host)
    token = re.search(r'name="token" value="([^"]+)"', form)
    assert token is not None
    fields = {"reference": reference, "name": name, "reason": f"the shop at {name} is ours", "token": token[1]}
    time.sleep(3.1)  # a form that is sent faster is a robot's
    assert "303" in visit(portal, "/appeal", host, fields)[:20]


def command(week: Week, file: Path, *words: str, keeps: bool = True) -> str:
    """Typed by the operator; `keeps`: what it prints may lie in a file or be mailed to somebody."""
    _, out, err = run(week.capsys, *words, "--config", file)
    if keeps:
        week.keep([word for word in words if MARK not in word], out, err)
    return out + err


def operate(week: Week, file: Path) -> None:
    """The commands that read files, which may speak of lists, names or references."""
    reference, suspended = week.reference(PLANTED[101]), week.suspended
    for words in (
        ("status", "--json"), ("lists", "diff", LIST), ("rpz", "export"), ("audit", "show", "--json"), ("report",),
        ("report", "--json"), ("check-config", "--no-trial"), ("appeals", "list"), ("explain", suspended),
        ("bypass", "on", LIST), ("bypass", "show"), ("bypass", "off"), ("bypass", "on", reference),
    ):  # fmt: skip
        command(week, file, *words)
    # what the operator typed stands on the terminal
    command(week, file, "audit", "was-blocked", PLANTED[100], "--on", time.strftime("%Y-%m-%d"), keeps=False)


@pytest.fixture
def week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Week:
    cheap(monkeypatch)
    return Week(tmp_path, capsys)


def test_no_name_of_a_sealed_list_is_written_anywhere_in_a_week(week: Week, caplog: pytest.LogCaptureFixture) -> None:
    week.pass_by()
    file, config = week.configured(), load(week.folder / "isp" / "stopsign.yaml")
    with running(Worker(week.folder / "isp", [])) as host:
        wait_until(lambda: host.said()[0].get("generation"), "the lists are active", 3 * PATIENCE)
        memory = dumped(host.said()[0]["pid"]).lower()
        assert MARK.encode() not in memory, "a core dump before anybody asked"
        assert b"generation" in memory or not memory, "the memory that was read is the worker's"
        asked(host, PLANTED[100:800])
        assert host.stop() == 0
    here = urllib.parse.urlsplit(config.portal.url).netloc
    with served(config, time.time) as web:
        wait_until(lambda: " 451 " in visit(web.stop_page, "/", PLANTED[100])[:20], "the stop page")
        for name in PLANTED[100:110]:
            visit(web.stop_page, f"/{name}", name)
            visit(web.portal, f"/?name={name}", here)
        for name in PLANTED[110:112]:
            assert week.reference(name) in visit(web.portal, f"/?name={week.reference(name)}", here)
            appeal(web.portal, here, week.reference(name), name)
    operate(week, file)
    later = time.time() + 40 * 86_400  # when the month's counts are due too
    with Log.open(config.places, lambda: later, origin=config.log_origin) as log:
        counting = Ticked(config.places, log.append_many, lambda: [LIST])
        assert counting.tick(time.time(), dict) is None
        assert counting.tick(later, dict) is None
        counting.close(later, dict)
    publish(config.places, time.time() + 10 * 86_400)
    assert json.loads(config.places.report.read_text())["blocks"]["total"] > 1000, "blocks are counted"
    week.keep(caplog.text)
    assert len([path for path in week.folder.rglob("*") if path.is_file()]) > 200
    assert found(week.folder, PLANTED) == {}
    (week.folder / "control.log").write_text(f"a client asked for {PLANTED[7].upper()}")
    assert list(found(week.folder, PLANTED)) == ["control.log"], "the search finds what is there"
