"""`stopsign logs` and `stopsign audit verify --all`, as typed: five hosts, and what may be wrong with one of them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from resolver.log.note import parse_note
from tests.rigs.http_folder import served
from tests.rigs.index_world import HOSTS, NAME, Fleet, origin
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fleet:
    return Fleet(tmp_path, capsys)


def states(fleet: Fleet, *more: object, where: object = None) -> tuple[int, dict[str, str]]:
    """By host; the exit status."""
    status, out, _ = fleet.verify(where, "--json", *more)
    return status, {one["origin"].rpartition("/")[2]: one["state"] for one in json.loads(out)["logs"]}


def test_all_logs_are_verified_from_a_folder_and_over_http(fleet: Fleet) -> None:
    status, out, err = fleet.verify()
    assert (status, err) == (0, "")
    assert out.startswith(f"{NAME}: version 1, made ")
    assert out.count("  verified  ") == 5
    assert "5 logs are whole, each signed with the key that the index names" in out
    with served(fleet.published) as address:
        status, out, err = fleet.verify(address)
    assert (status, err) == (0, "")
    assert "it continues version 1, which was seen before" in out
    assert "5 of them continue the checkpoint that was seen before" in out


def test_a_log_may_be_anywhere_on_the_web(fleet: Fleet) -> None:
    world = fleet.worlds["fra-1"]
    with served(world.log_dir) as address:
        assert fleet.typed("logs", "add", fleet.desk, address, "--key", world.vkey())[0] == 0
        assert fleet.sign()[0] == 0
        shutil.rmtree(fleet.published / "fra-1")
        assert states(fleet) == (0, dict.fromkeys(HOSTS, "verified"))
    assert states(fleet) == (2, {**dict.fromkeys(HOSTS, "verified"), "fra-1": "unread"})


def test_without_a_key_it_says_that_it_trusted_the_copy(fleet: Fleet) -> None:
    _, out, _ = fleet.typed("audit", "verify", "--all", fleet.published, "--seen", fleet.seen)
    assert "whose index this is: the key came with it" in out


def test_what_is_seen_is_kept_in_the_auditor_s_own_state_unless_a_folder_is_named(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(fleet.root / "mine"))
    assert fleet.typed("audit", "verify", "--all", fleet.published, "--key", fleet.key)[0] == 0
    assert len(list((fleet.root / "mine/stopsign/seen").rglob("checkpoint-*"))) == 5


def damage(fleet: Fleet, host: str) -> None:
    path = max((fleet.published / host / "tile/entries/000.p").iterdir())
    path.write_bytes(path.read_bytes().replace(b"gambling", b"gamb1ing"))


def fork(fleet: Fleet, host: str) -> None:
    """Another history under the same key."""
    world = World(fleet.root / "fork", origin(host))
    world.audit_dir.mkdir(parents=True)
    shutil.copyfile(fleet.worlds[host].audit_dir / "log.key", world.audit_dir / "log.key")
    with world.open() as log:
        for _ in range(3):
            log.append("start", "", {})
    shutil.rmtree(fleet.published / host)
    shutil.copytree(world.log_dir, fleet.published / host)


def cut(fleet: Fleet, host: str) -> None:
    shutil.rmtree(fleet.published / host)
    shutil.copytree(fleet.root / "old", fleet.published / host)


def swap(fleet: Fleet, host: str) -> None:
    shutil.rmtree(fleet.published / host)
    shutil.copytree(fleet.published / "fra-1", fleet.published / host)


def lose(fleet: Fleet, host: str) -> None:
    shutil.rmtree(fleet.published / host)


@pytest.mark.parametrize(
    ("wrong", "state", "status"),
    [(damage, "untrue", 1), (fork, "untrue", 1), (cut, "untrue", 1), (swap, "untrue", 1), (lose, "unread", 2)],
)
def test_one_that_is_wrong_is_named_and_hides_no_other(
    fleet: Fleet, wrong: Callable[[Fleet, str], None], state: str, status: int
) -> None:
    shutil.copytree(fleet.published / "muc-1", fleet.root / "old")
    fleet.append("muc-1")
    assert fleet.verify()[0] == 0
    wrong(fleet, "muc-1")
    assert states(fleet) == (status, {**dict.fromkeys(HOSTS, "verified"), "muc-1": state})
    assert f"  {state:<8}  {origin('muc-1')}: " in fleet.verify()[1]


def test_one_untrue_and_one_unread_are_1(fleet: Fleet) -> None:
    damage(fleet, "muc-1")
    lose(fleet, "fra-2")
    assert fleet.verify()[0] == 1


def test_a_forked_log_s_checkpoint_is_kept_as_evidence(fleet: Fleet) -> None:
    fleet.verify()
    fork(fleet, "ber-1")
    fleet.verify()
    (kept,) = fleet.seen.rglob("evidence-*")
    assert kept.read_bytes() == (fleet.published / "ber-1/checkpoint").read_bytes()


# -- the end of a host


def test_a_retired_log_stays_verifiable_and_nothing_may_be_appended_or_cut(fleet: Fleet) -> None:
    shutil.copytree(fleet.published / "ber-1", fleet.root / "old")
    fleet.append("ber-1", "stop")
    assert fleet.retire("ber-1")[0] == 0
    status, out, _ = fleet.sign()
    assert status == 0
    assert out.startswith(f"retired {fleet.worlds['ber-1'].vkey()} ber-1 since ")
    status, out, _ = fleet.verify()
    assert status == 0
    assert "1 retired: nothing was appended or cut since" in out
    fleet.append("ber-1")
    assert "untrue" in fleet.verify()[1]
    assert "1 leaf came after it was retired" in fleet.verify()[1]
    cut(fleet, "ber-1")
    shutil.rmtree(fleet.seen)
    assert "it had 3 leaves when it was retired, and has 2 now" in fleet.verify()[1]


def test_a_host_that_may_write_on_is_not_retired_by_mistake(fleet: Fleet) -> None:
    status, _, err = fleet.retire("ber-1")
    assert (status, "the last leaf of" in err, "--dead" in err) == (2, True, True)
    assert fleet.retire("ber-1", "--dead")[0] == 0
    assert fleet.retire("ber-1", "--dead")[0] == 2, "it is retired already"
    assert fleet.sign()[0] == 0
    assert fleet.verify()[0] == 0


def test_a_retired_log_may_move_and_is_not_moved_where_it_is_another(fleet: Fleet) -> None:
    fleet.retire("ber-1", "--dead")
    fleet.sign()
    shutil.copytree(fleet.published / "ber-1", fleet.published / "archive/ber-1")
    key = fleet.worlds["ber-1"].vkey()
    moved = "logs", "add", fleet.desk, fleet.published / "archive/ber-1", "--at", "archive/ber-1", "--key", key
    assert fleet.typed(*moved)[0] == 0
    fleet.sign()
    shutil.rmtree(fleet.published / "ber-1")
    assert states(fleet) == (0, dict.fromkeys(HOSTS, "verified"))
    fleet.append("ber-1")
    assert fleet.add("ber-1")[0] != 0


# -- the index itself


def test_an_older_index_is_refused_and_kept_as_evidence(fleet: Fleet) -> None:
    old = (fleet.published / "index").read_bytes()
    fleet.retire("ber-1", "--dead")
    fleet.sign()
    assert fleet.verify()[0] == 0
    (fleet.published / "index").write_bytes(old)
    status, out, err = fleet.verify()
    assert (status, out) == (1, "")
    assert "version 2 of the index was seen before, this is version 1" in err
    (kept,) = fleet.seen.rglob("evidence-*")
    assert kept.read_bytes() == old


def other_desk(fleet: Fleet) -> Path:
    """The desk as it was restored from a backup: the same key, a version earlier."""
    copy = fleet.root / "restored"
    shutil.copytree(fleet.desk, copy)
    return copy


def test_a_host_that_vanishes_without_having_been_retired_is_noticed_whoever_signs_it(fleet: Fleet) -> None:
    desk = other_desk(fleet)
    shutil.rmtree(desk / "published/version")
    (desk / "published/index").unlink()
    draft = [line for line in (desk / "draft").read_text().splitlines(keepends=True) if "ber-1" not in line]
    (desk / "draft").write_text("".join(draft))
    assert fleet.typed("logs", "sign", desk)[0] == 0, "a first version of four logs, by the true key"
    assert fleet.verify()[0] == 0
    status, _, err = fleet.verify(desk / "published")
    assert (status, "another than the one that was seen before" in err) == (1, True)


@pytest.mark.parametrize("change", ["gone", "rekeyed", "older", "unnamed"])
def test_a_version_that_does_not_follow_is_refused_also_by_who_saw_none(fleet: Fleet, change: str) -> None:
    """Signed with the true key, by other means than the desk's."""
    from dataclasses import replace

    from resolver.log.index import open_index
    from resolver.log.index_desk import load_key
    from resolver.log.note import parse_vkey

    signer = load_key(fleet.desk / "index.key")
    first = open_index((fleet.published / "index").read_bytes(), parse_vkey(fleet.key))
    second = replace(first, version=2, before=first.hash)
    if change == "gone":
        second = replace(second, logs=second.logs[1:])
    elif change == "rekeyed":
        other = World(fleet.root / "other", origin("fra-1"), 9_000)
        other.open().close()
        one = replace(second.logs[0], key=parse_vkey(other.vkey()))
        second = replace(second, logs=(one, *second.logs[1:]))
    elif change == "older":
        logs = tuple(replace(one, since=one.since - 60) for one in first.logs)
        second = replace(second, made=first.made - 60, logs=logs)
    else:
        second = replace(second, before=bytes(32))
    (fleet.published / "index").write_bytes(second.sign(signer))
    (fleet.published / "version/2").write_bytes(second.sign(signer))
    assert fleet.verify()[0] == 1
    assert not list(fleet.seen.rglob("checkpoint-*"))
    (fleet.published / "version/1").unlink()
    status, _, err = fleet.verify()
    assert (status, "no version may vanish" in err) == (1, True)


def test_an_index_by_another_key_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    assert fleet.typed("logs", "init", tmp_path / "forger", NAME)[0] == 0
    key = (tmp_path / "forger/published/index.vkey").read_text().strip()
    assert fleet.verify(key=key)[0] == 1
    assert fleet.verify()[0] == 0
    world = fleet.worlds["fra-1"]
    fleet.typed("logs", "add", tmp_path / "forger", world.log_dir, "--at", "fra-1", "--key", world.vkey())
    fleet.typed("logs", "sign", tmp_path / "forger")
    shutil.copytree(fleet.published / "fra-1", tmp_path / "forger/published/fra-1")
    status, _, err = fleet.typed("audit", "verify", "--all", tmp_path / "forger/published", "--seen", fleet.seen)
    assert (status, "seen before" in err) == (1, True), "the key that came with it is not the one of this name"


def test_an_index_whose_text_was_changed_is_refused(fleet: Fleet) -> None:
    path = fleet.published / "index"
    path.write_bytes(path.read_bytes().replace(b"fra-1 since", b"fra-9 since"))
    status, _, err = fleet.verify()
    assert (status, "is not valid" in err) == (1, True)


def test_the_time_of_an_index_is_held_against_the_clock(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no proof of anything: a remark."""
    monkeypatch.setattr("resolver.cli.audit_all.time.time", lambda: 1_600_000_000.0)
    status, out, _ = fleet.verify()
    assert (status, "still to come by this machine's clock" in out) == (0, True)


def test_a_host_that_writes_no_more_is_named(fleet: Fleet) -> None:
    assert ": nothing since" not in fleet.verify()[1].split(origin("fra-1"))[0]
    out = fleet.verify()[1]
    assert f"{origin('fra-1')}: 2 leaves, the newest of 2026-11-22T12Z: nothing since" in out


def test_what_is_typed_wrongly_is_said(fleet: Fleet) -> None:
    for words in (
        ("--all", fleet.published, fleet.published / "fra-1"),
        ("--all", fleet.published, "--save", fleet.root / "kept"),
        (fleet.published / "fra-1", "--seen", fleet.seen),
        (),
    ):
        assert fleet.typed("audit", "verify", *words)[0] == 2, words
    assert fleet.verify(fleet.root / "nowhere")[0] == 2
    assert fleet.verify(fleet.published / "fra-1")[0] == 2, "a log is no index"


def test_json_has_what_the_lines_have(fleet: Fleet) -> None:
    lose(fleet, "fra-2")
    status, out, _ = fleet.verify(None, "--json")
    told: dict[str, Any] = json.loads(out)
    assert (status, told["ok"], told["index"]["version"], told["index"]["seen"]) == (2, False, 1, 0)
    assert told["logs"][0]["size"] == 2
    assert told["logs"][1]["error"]


# -- the desk


def test_the_desk_signs_only_what_is_new_and_verified(fleet: Fleet) -> None:
    assert fleet.sign()[0] == 2, "nothing has changed"
    damage(fleet, "muc-1")
    assert fleet.add("muc-1")[0] == 2
    assert fleet.typed("logs", "init", fleet.desk, NAME)[0] == 2, "there is one"
    assert fleet.typed("logs", "add", fleet.root, fleet.published / "fra-1", "--key", fleet.key)[0] == 2, "no desk"
    for address in (
        "../fra-1",
        "ftp://a.example/log",
        "https://u:p@a.example/log",
        "version/1",
        "index",
        "a b",
        "/etc",
    ):
        key = fleet.worlds["fra-1"].vkey()
        words = "logs", "add", fleet.desk, fleet.published / "fra-1", "--at", address, "--key", key
        assert fleet.typed(*words)[0] == 2, address


def test_a_clock_that_was_set_back_signs_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.retire("ber-1", "--dead")
    monkeypatch.setattr("resolver.cli.logs.time.time", lambda: 1_600_000_000.0)
    status, _, err = fleet.sign()
    assert (status, "not signed" in err, "2020-09-13" in err) == (2, True, True)
    monkeypatch.undo()
    assert fleet.sign()[0] == 0


def test_the_key_of_another_index_signs_nothing(fleet: Fleet, tmp_path: Path) -> None:
    fleet.typed("logs", "init", tmp_path / "other", "other.example/logs")
    fleet.retire("ber-1", "--dead")
    assert fleet.typed("logs", "sign", fleet.desk, "--key-file", tmp_path / "other/index.key")[0] == 2


def test_only_the_owner_reads_the_key(fleet: Fleet) -> None:
    assert (fleet.desk / "index.key").stat().st_mode & 0o777 == 0o600
    assert not [path for path in fleet.published.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()]


def test_the_index_is_a_note_that_others_read(fleet: Fleet) -> None:
    text = parse_note((fleet.published / "index").read_bytes()).text
    assert text.splitlines()[:3] == [NAME, "stopsign-logs/v1", "version 1"]
