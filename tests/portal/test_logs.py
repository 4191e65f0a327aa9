"""The logs of all hosts as the portal shows them: by the index alone, with what hosts report and can prove."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from resolver.portal.app import Web
from resolver.portal.fleet import hosts_of, report_of
from resolver.portal.logs import Logs
from resolver.portal.store import Store
from resolver.portal.web import Answer, Ask
from tests.rigs.http_folder import served
from tests.rigs.index_world import HOSTS, Fleet, origin
from tests.rigs.portal_world import NOW, REFERENCE, World, configuration

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fleet:
    """Of which one is retired."""
    made = Fleet(tmp_path / "fleet", capsys)
    made.retire("ber-1", "--dead")
    made.sign()
    return made


def portal(fleet: Fleet, folder: Path) -> World:
    return World(folder, config=configuration(folder, log={"index": {"dir": str(fleet.published), "key": fleet.key}}))


def report(fleet: Fleet, host: str, version: int = 3, action: str = "stop-page", checkpoint: str = "") -> str:
    one = {"name": "gambling", "version": version, "entries": 6, "action": action, "held": None}
    said = checkpoint or (fleet.worlds[host].log_dir / "checkpoint").read_text()
    return report_of("0.1.0", {"alarms": [], "generation": 1, "lists": [one]}, [], said)


def ask(world: World, rows: list[tuple[str, int, str]], *asked: Ask) -> list[Answer]:
    """With these reports in the database."""

    async def go() -> list[Answer]:
        assert world.config is not None
        world.config.state_dir.mkdir(exist_ok=True, parents=True)
        world.portal.store = store = await Store.open(world.config.database_url)
        try:
            for name, seen, said in rows:
                await store.present(name, f"key of {name}", seen, said)
            return [await world.portal.answer(one) for one in asked]
        finally:
            await store.close()

    return asyncio.run(go())


def test_the_page_lists_every_log_with_its_newest_checkpoint(fleet: Fleet, tmp_path: Path) -> None:
    world = portal(fleet, tmp_path)
    rows = [(host, NOW - 5, report(fleet, host)) for host in ("fra-1", "muc-2")]
    page, told = ask(
        world, rows, Ask("GET", "/transparency", {}), Ask("GET", "/transparency", {}, accept="application/json")
    )
    logs: list[dict[str, Any]] = json.loads(told.body)["logs"]
    assert [one["origin"] for one in logs] == [origin(host) for host in HOSTS]
    assert [one["size"] for one in logs] == [2, None, None, 2, 2]
    assert [bool(one["until"]) for one in logs] == [False, False, False, False, True]
    text = page.body.decode()
    assert all(f'<a href="/logs/{host}/checkpoint">{origin(host)}</a>' in text for host in HOSTS)
    assert logs[0]["root"] in text
    assert "stopsign audit verify --all https://stop.nordlicht.example/logs" in text
    assert "The logs of all servers" in text


def test_a_checkpoint_counts_only_by_the_signature_of_that_log_s_key(fleet: Fleet, tmp_path: Path) -> None:
    world = portal(fleet, tmp_path)
    good = (fleet.worlds["fra-1"].log_dir / "checkpoint").read_text()
    forged = good.replace("\n2\n", "\n9\n")
    stolen = good.replace(origin("fra-1"), origin("fra-2"))
    rows = [
        ("fra-1", NOW, report(fleet, "fra-1", checkpoint=forged)),
        ("fra-2", NOW, report(fleet, "fra-2", checkpoint=stolen)),
        ("muc-1", NOW, report(fleet, "muc-1", checkpoint="x" * 5000)),
        ("muc-2", NOW, json.dumps({"checkpoint": [1], "lists": "none"})),
    ]
    (told,) = ask(world, rows, Ask("GET", "/transparency", {}, accept="application/json"))
    assert [one["size"] for one in json.loads(told.body)["logs"]] == [None, None, None, None, 2]


def test_a_look_up_by_reference_says_at_which_hosts_the_block_stands(fleet: Fleet, tmp_path: Path) -> None:
    world = portal(fleet, tmp_path)
    rows = [
        ("fra-1", NOW - 5, report(fleet, "fra-1")),
        ("fra-2", NOW - 5, report(fleet, "fra-2", version=2)),
        ("muc-1", NOW - 5, report(fleet, "muc-1", action="monitor")),
        ("muc-2", NOW - 3600, report(fleet, "muc-2")),
        ("stranger", NOW - 5, report(fleet, "fra-1", checkpoint="stop.isp.example/log/stranger\n1\n")),
        ("ber-1", NOW - 5, report(fleet, "ber-1")),  # retired
    ]
    page, told, by_name = ask(
        world, rows,
        Ask("GET", "/", {"name": REFERENCE}),
        Ask("GET", "/", {"name": REFERENCE}, accept="application/json"),
        Ask("GET", "/", {"name": "example.com"}, accept="application/json"),
    )  # fmt: skip
    assert json.loads(told.body)["hosts"] == {"same": ["fra-1"], "other": ["fra-2", "muc-1"], "silent": ["muc-2"]}
    rows_shown = dict(re.findall(r'<div class="row"><dt>(Servers[^<]*)</dt><dd>([^<]*)</dd>', page.body.decode()))
    assert rows_shown == {
        "Servers where this block stands": "fra-1",
        "Servers that run another version of the list": "fra-2, muc-1",
        "Servers that were not heard of lately": "muc-2",
    }
    assert "hosts" not in json.loads(by_name.body)


def test_without_an_index_nothing_of_it_is_shown_or_served(fleet: Fleet, tmp_path: Path) -> None:
    world = World(tmp_path)
    rows = [("fra-1", NOW, report(fleet, "fra-1"))]
    page, file, found = ask(
        world,
        rows,
        Ask("GET", "/transparency", {}),
        Ask("GET", "/logs/index", {}),
        Ask("GET", "/", {"name": REFERENCE}),
    )
    assert (file.status, b"/logs" in page.body, b"Servers" in found.body) == (404, False, False)


def test_the_index_and_the_logs_below_it_are_served_and_verify(
    fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = portal(fleet, tmp_path / "portal")
    mirror = tmp_path / "mirror"
    for path in fleet.published.rglob("*"):
        if path.is_file():
            name = str(path.relative_to(fleet.published))
            (answer,) = [asyncio.run(world.portal.answer(Ask("GET", f"/logs/{name}", {})))]
            assert answer.status == 200, name
            (mirror / name).parent.mkdir(parents=True, exist_ok=True)
            (mirror / name).write_bytes(answer.body)
    with served(mirror) as address:
        assert fleet.verify(address)[0] == 0
    (fleet.published / "draft").write_text("secret")
    (fleet.published / "other").mkdir()
    shutil.copyfile(fleet.published / "index", fleet.published / "other/checkpoint")
    for name in ("draft", "other/checkpoint", "../index.key", "fra-1/../../index.key", "version/0", "fra-1", "index/",
                 "fra-1/checkpoint.new", "version/99"):  # fmt: skip
        assert asyncio.run(world.portal.answer(Ask("GET", f"/logs/{name}", {}))).status == 404, name


def test_an_index_that_does_not_count_changes_nothing_and_is_an_alarm(fleet: Fleet, tmp_path: Path) -> None:
    config = configuration(tmp_path, log={"index": {"dir": str(fleet.published), "key": fleet.key}})
    web = Web(config)
    assert (len(web.portal.logs.shown()), web.alarms()) == (5, ["the database is not open yet: appeals wait"])
    path = fleet.published / "index"
    second = path.read_bytes()
    for wrong in (second.replace(b"fra-1 since", b"fra-9 since"), (fleet.published / "version/1").read_bytes(), b""):
        path.unlink()
        path.write_bytes(wrong)
        assert len(web.portal.logs.shown()) == 5
        assert web.alarms()[0].startswith(f"the index of logs in {fleet.published} does not count: "), wrong
    path.unlink()
    assert web.portal.logs.shown()[4].until
    assert "is missing" in web.alarms()[0]
    path.write_bytes(second)
    web.portal.logs.index()
    assert web.alarms() == ["the database is not open yet: appeals wait"]


def test_what_hosts_report_is_read_once_for_many_pages(fleet: Fleet, tmp_path: Path) -> None:
    from resolver.log.note import parse_vkey

    logs = Logs(fleet.published, parse_vkey(fleet.key))
    assert logs.is_due(NOW)
    asyncio.run(logs.learn(hosts_of([("fra-1", NOW, report(fleet, "fra-1"))], NOW), NOW))
    assert [logs.is_due(NOW + passed) for passed in (0, 9, 10, -1)] == [False, False, True, True]
    assert not Logs().is_due(NOW), "nobody asks the database where there is no index"
