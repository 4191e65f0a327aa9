"""Each preset's sample, bridged: its ground, its days and its withdrawals on the stop page and in the look-up."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest

from blocklists.importers.mapping import presets
from resolver.config.schema import Config
from resolver.lists.fetch import Mirror
from resolver.policy.views import Views
from resolver.portal.live import Live
from resolver.portal.plain_http import Head
from resolver.portal.site import Portal
from resolver.portal.stop_page import StopPage
from resolver.portal.transparency import Transparency
from resolver.portal.web import Ask
from tests.rigs.lists_world import World, settings
from tests.rigs.portal_world import Counter, standard_pages
from tests.rigs.registers import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

GROUND = {"law": "Act 12", "authority": "Board", "order": "register", "date": "2026-01-02", "territory": "PL",
          "court": "Court of Halle"}  # fmt: skip
DAYS = {
    "2026-01-02": "2 January 2026", "2026-09-30": "30 September 2026",
    "2026-06-30T22:30:00Z": "30 June 2026",
    "2026-08-12T12:22:21Z": "12 August 2026", "2026-10-01T07:00:00Z": "1 October 2026",
    None: "22 November 2026",  # when this provider saw it first
}  # fmt: skip


def plain(body: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body.decode()))


@pytest.mark.parametrize("preset", sorted(presets()))
def test_the_stop_page_and_the_look_up_show_what_each_register_says(tmp_path: Path, preset: str) -> None:
    sample = SAMPLES[preset]
    (tmp_path / "register").write_bytes(sample.data)
    mapping = presets()[preset].model_dump(exclude={"title", "publisher", "seen", "note", "expect"}, exclude_none=True)
    bridge = {"issuer": "Board", "category": "gambling", **GROUND, "mapping": mapping}
    part = {"name": "gambling", "repository": str(tmp_path / "register"), "approve_first": True, "bridge": bridge}
    world = World(tmp_path, more={"lists": [part]})
    config = Config.model_validate({**settings(tmp_path), "lists": [part]}, context={"folder": "/"})
    mirror = Mirror(config.lists[0], config.places.list("gambling"))
    assert world.register.take(mirror.fetch(world.clock())).kind == "active"

    live, pages, views = Live(config.places), standard_pages(), Views.of(config)
    assert live.poll()
    stop = StopPage(pages, live, world.clock, views=views)
    transparency = Transparency(live, config.places.log_dir, config.host_name)
    portal = Portal(
        pages, live, transparency, world.clock, world.clock, Counter(), (86400, 86400), config.host_name, views=views
    )
    authority, order, day = sample.ground or ("Board", "register", "2026-01-02")
    for name, match, since in sample.names:
        host = f"www.{name}" if match == "below" else name
        reply = stop.reply(Head(b"GET", b"/", host.encode(), "", ""))
        answer = asyncio.run(portal.answer(Ask("GET", "/", {"name": host}, accept="")))
        for body in (reply.body, answer.body):
            assert f'datetime="{since or "2026-11-22T12:00:00Z"}"'.encode() in body
            page = plain(body)
            for said in (name, "Act 12", authority, order, DAYS[day], DAYS[since], "Court of Halle", "Poland"):
                assert said in page, (preset, name, said, page)
        told = json.loads(asyncio.run(portal.answer(Ask("GET", "/", {"name": host}, accept="application/json"))).body)
        assert authority in json.dumps(told, ensure_ascii=False)
    for gone in ("wykreslony.example", "dawne.example", "page.example", "p.example"):
        assert stop.reply(Head(b"GET", b"/", gone.encode(), "", "")).head.split()[1] == b"421"
