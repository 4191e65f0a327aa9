"""`stopsign audit`, as typed: results on standard output, complaints on standard error, 0, 1 or 2."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resolver.log.writer import Event
from tests.rigs.command_line import run
from tests.rigs.http_folder import served
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from pathlib import Path


PROVIDER = """
state_dir: "{root}/state"
run_dir: "{root}/run"
log: {{dir: "{root}/log"}}
dns: {{listen: ["127.0.0.1:0"], upstreams: ["127.0.0.1:1"], allow_clients: []}}
portal: {{url: "https://stop.isp.example"}}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    with world.open() as log:
        log.append("list-activated", "gambling", {"version": 3})
        log.append("appeal-received", "7ZK3M9Q2XW4T8RBC", {"reason": "this is my bakery"})
        log.append_many(Event("heartbeat", "", {}) for _ in range(300))
    return world


def test_verify_says_what_it_proved_and_what_it_could_not(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "audit", "verify", world.log_dir, "--key", world.vkey())
    assert status == 0
    assert "each of the 302 leaves" in out
    assert "self-consistent only" in out


def test_verify_without_a_key_says_that_it_trusted_the_copy(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the key came with the copy" in run(capsys, "audit", "verify", world.log_dir)[1]


def test_a_kept_checkpoint_is_saved_and_used_next_time(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    kept = world.root / "kept"
    assert run(capsys, "audit", "verify", world.log_dir, "--save", kept)[0] == 0
    with world.open() as log:
        log.append("stop", "", {})
    status, out, _ = run(capsys, "audit", "verify", world.log_dir, "--checkpoint", kept, "--json")
    assert (status, json.loads(out)["kept"], json.loads(out)["self_consistent_only"]) == (0, [302], False)


def test_a_log_is_verified_over_http(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with served(world.log_dir) as address:
        status, out, err = run(capsys, "audit", "verify", address, "--key", world.vkey(), "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["size"] == 302


def test_what_is_not_true_exits_1_and_names_the_leaf(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    path = world.log_dir / "tile/entries/000"
    path.write_bytes(path.read_bytes().replace(b"gambling", b"gamb1ing"))
    status, out, err = run(capsys, "audit", "verify", world.log_dir, "--json")
    assert (status, json.loads(out)["leaf"]) == (1, 0)
    assert err.startswith("stopsign: error: leaf 0 is not what the tree holds")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere/at/all"], "there is no folder"),
        ([".", "--key", "nonsense"], "not a verifier key"),
        ([".", "--checkpoint", "/nowhere/kept"], "/nowhere/kept"),
    ],
)
def test_what_cannot_be_done_exits_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "audit", "verify", *arguments)
    assert (status, out) == (2, "")
    assert said in err


def test_show_lists_leaves_and_only_what_is_published(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "audit", "show", world.log_dir, "--all")
    assert status == 0
    assert len(out.splitlines()) == 302
    assert '{"version": 3}' in out.splitlines()[0]
    assert "detail not published" in out.splitlines()[1]


def test_show_finds_by_type_and_reference_newest_last(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "audit", "show", world.log_dir, "--type", "heartbeat", "--last", "2", "--json")
    assert [json.loads(line)["index"] for line in out.splitlines()] == [300, 301]
    _, out, _ = run(capsys, "audit", "show", world.log_dir, "--reference", "gambling", "--json")
    assert [json.loads(line)["detail"] for line in out.splitlines()] == [{"version": 3}]
    status, out, err = run(capsys, "audit", "show", world.log_dir, "--type", "nonsense")
    types = "appeal-received, heartbeat, list-activated"
    told = f"stopsign: warning: no leaf has that type or that reference; types here: {types}\n"
    assert (status, out, err) == (0, "", told)


def test_a_probe_that_asks_nothing_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path / "empty")
    with world.open() as log:
        log.append("start", "", {})
    status, _, err = run(capsys, "audit", "probe", "--log", world.log_dir, "--resolver", "127.0.0.1:1")
    assert (status, "nothing was asked: the log activated none of the documents" in err) == (2, True)


def test_a_probe_that_may_ask_nothing_says_why(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "audit", "probe", "--log", world.log_dir, "--resolver", "127.0.0.1:1")
    assert (status, "version 3, was not asked: give its document by --document, " in out) == (2, True)
    assert "nothing was asked: the remarks say why" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.example", "--between", "2026-11-30", "2026-11-01"], "2026-11-01 is before 2026-11-30"),
        (["7ZK3-M9Q2-XW4T-8RBC", "--on", "2026-11-30"], "is the reference of an entry, and a name is asked for"),
    ],
)
def test_what_was_typed_wrong_is_said(
    world: World, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.root / "stopsign.yaml").write_text(PROVIDER.format(root=world.root))
    status, out, err = run(capsys, "audit", "was-blocked", *arguments, "--dir", world.root)
    assert (status, out, said in err) == (2, "", True)
