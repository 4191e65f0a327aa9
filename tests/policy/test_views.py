"""Views: the worker, `explain`, the stop page and the look-up say the same to every client."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from blocklists import document
from resolver import _core
from resolver.config.schema import Config
from resolver.dns.in_use import InUse
from resolver.dns.settings import plane_settings
from resolver.dns.transitions import Transitions
from resolver.ipc import shadow_sketches
from resolver.policy.explain import explain
from resolver.policy.views import Views, address_in
from resolver.portal.live import Live
from resolver.portal.pages import Pages
from resolver.portal.plain_http import Head
from resolver.portal.site import Portal
from resolver.portal.stop_page import StopPage
from resolver.portal.transparency import Transparency
from resolver.portal.web import Ask
from tests.rigs.list_documents import entry
from tests.rigs.lists_world import settings
from tests.rigs.plane import Upstream, query, rig

if TYPE_CHECKING:
    from pathlib import Path

    from resolver._core import Source
    from resolver.base.paths import Places

LISTS = ("casino", "games")
VIEWS = [
    {"name": "town", "clients": ["127.1.0.0/16"], "lists": ["casino"]},
    {"name": "street", "clients": ["127.1.2.0/24", "2001:db8:1::/48"], "lists": ["games"]},
    {"name": "all", "clients": ["127.0.0.0/8"], "lists": ["casino", "games"]},
    {"name": "house", "clients": ["127.1.2.3"], "lists": []},
]
CASES = [
    ("127.9.9.9", {"casino", "games"}),
    ("127.1.0.0", {"casino"}),
    ("127.1.255.255", {"casino"}),
    ("127.1.2.0", {"games"}),
    ("127.1.2.255", {"games"}),
    ("127.1.2.3", set()),
]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = configured(tmp_path, *LISTS)
    compile_lists(tmp_path, made.places)
    return made


def configured(folder: Path, *lists: str) -> Config:
    raw: dict[str, Any] = settings(folder, **{name: {} for name in lists})
    raw["views"] = VIEWS
    raw["dns"]["allow_clients"] = ["127.0.0.0/8", "2001:db8::/32"]
    return Config.model_validate(raw, context={"folder": "/"})


def compile_lists(folder: Path, places: Places) -> None:
    """Each list has one name, `LIST.example`."""
    places.run_dir.mkdir(parents=True, exist_ok=True)
    sources: list[Source] = []
    for number, name in enumerate(LISTS):
        document.write(folder / f"{name}.zst", [entry(f"{name}.example", number, expires="2099-01-01T00:00:00Z")])
        of = str(folder / f"{name}.zst")
        sources.append({"document": of, "action": "stop-page", "ede": 0, "bases": [], "suspended": []})
    about = [{"name": name, "version": 1, "bases": {}, "issuer": {}} for name in LISTS]
    meta = {"generation": 1, "compiled": "2026-11-18T06:00:00Z", "lists": about}
    _core.compile(sources, places.current, json.dumps(meta).encode())


def stopped_by_dns(config: Config, client: str) -> set[str]:
    """What a worker with this configuration stops for a client at that address."""
    upstream = Upstream()
    given = plane_settings(config, 1, shadow_sketches.Key((1, 2)))
    with rig(upstream, allow_clients=given["allow_clients"], views=given["views"]) as worker:
        in_use = InUse(config, 0, worker.plane, Transitions(0))
        asyncio.run(in_use.poll())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind((client, 0))
            one.connect((worker.host, worker.port))
            for name in LISTS:
                worker.send(query(f"{name}.example"), one)
        passed = {str(asked.q.qname).split(".")[0] for asked, _ in upstream.waiting()}
        assert worker.count("blocked") + len(passed) == len(LISTS)
        in_use.close()
    return set(LISTS) - passed


def stopped_by_explain(config: Config, client: str) -> set[str]:
    said = {name: explain(config, f"{name}.example", now=time.time(), client=client).verdict for name in LISTS}
    return {name for name, verdict in said.items() if verdict == "stopped"}


def stopped_by_web(config: Config, client: str) -> tuple[set[str], set[str]]:
    """By the stop page, and by the public look-up."""
    live, pages, views = Live(config.places), Pages(config), Views.of(config)
    live.poll()
    page = StopPage(pages, live, time.time, views=views)
    shown = {
        name
        for name in LISTS
        if page.reply(Head(b"GET", b"/", f"{name}.example".encode()), client).head[9:12] == b"451"
    }
    portal = Portal(
        pages,
        live,
        Transparency(live, config.places.log_dir, "here"),
        time.time,
        time.monotonic,
        os.urandom,
        (1, 1),
        "here",
        views=views,
    )

    async def looked_up(name: str) -> bool:
        ask = Ask("GET", "/", {"name": f"{name}.example"}, accept="application/json", address=client)
        return bool(json.loads((await portal.answer(ask)).body)["blocked"])

    return shown, {name for name in LISTS if asyncio.run(looked_up(name))}


@pytest.mark.parametrize(("client", "expected"), CASES)
def test_everybody_who_speaks_of_a_name_says_what_dns_says_to_that_client(
    config: Config, client: str, expected: set[str]
) -> None:
    assert stopped_by_dns(config, client) == expected
    assert stopped_by_explain(config, client) == expected
    assert stopped_by_web(config, client) == (expected, expected)


@pytest.mark.parametrize("lists", [("games", "casino"), ("new", "casino", "games"), ("casino", "new", "games")])
@pytest.mark.parametrize(("client", "expected"), CASES)
def test_a_list_that_comes_or_moves_changes_no_client_s_lists_before_it_is_compiled(
    config: Config, tmp_path: Path, lists: tuple[str, ...], client: str, expected: set[str]
) -> None:
    """After a reload workers begin by the new configuration with the generation that is there."""
    reloaded = configured(tmp_path, *lists)
    assert reloaded.places == config.places
    assert stopped_by_dns(reloaded, client) == expected
    assert stopped_by_explain(reloaded, client) == expected


def test_an_address_of_no_view_or_none_at_all_gets_every_list_and_a_mapped_one_is_the_ipv4_address(
    config: Config,
) -> None:
    views = Views.of(config)
    for text, lists in [
        ("2001:db8:1::7", frozenset({"games"})),
        ("2001:db8:2::7", None),
        ("::ffff:127.1.2.9", frozenset({"games"})),
        ("fe80::1%eth0", None),
        ("192.0.2.1", None),
        ("", None),
        ("not an address", None),
    ]:
        assert views.of_client(address_in(text)).lists == lists, text
    assert stopped_by_web(config, "") == ({"casino", "games"}, {"casino", "games"})
