"""What `status` gathers, from files and sockets made by hand: no process of a provider runs here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from click.testing import CliRunner

from resolver._core import COUNTERS, COUNTERS_MARK
from resolver.base import disk_space
from resolver.base.paths import Places
from resolver.cli import operate
from resolver.cli import status as gathering
from resolver.cli.main import stopsign
from resolver.cli.status import Sample, sample, status
from resolver.config.schema import Config, Endpoint, load
from resolver.host.metrics import Bypassed, Exposition, Workers
from resolver.ipc import control, worker_counters
from resolver.ipc.control import UnreachableError
from resolver.policy import exceptions
from tests.rigs.config_file import GOOD, write
from tests.rigs.lists_world import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.model_validate(settings(tmp_path), context={"folder": "/"})


@pytest.fixture(autouse=True)
def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of heartbeats: this process may be held up between writing one and looking at it."""
    monkeypatch.setattr(worker_counters, "LATE", 20.0)
    monkeypatch.setattr(worker_counters, "SILENT", 50.0)


def counted(config: Config, index: int, *, beat: float, **values: int) -> None:
    """A worker's counters, its last heartbeat `beat` seconds ago."""
    found = {"heartbeat_ms": int((time.monotonic() - beat) * 1000), **values}
    path = config.places.counters(index)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(found.get(name, 0).to_bytes(8, "little") for name in COUNTERS) + COUNTERS_MARK)


def says(config: Config, index: int, pid: int, **more: Any) -> None:
    path = config.places.counters(index).with_suffix(".json")
    path.write_text(json.dumps({"pid": pid, "index": index, **more}))


def look(config: Config, before: Sample | None = None) -> dict[str, Any]:
    now = sample(config.places)
    return status(config, before or now, now)


@contextlib.contextmanager
def hung(path: Path) -> Iterator[None]:
    """A socket at which somebody listens, and answers nobody."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        one.listen()
        yield


def test_who_is_dead_or_hung_or_silent_is_said_first_and_in_these_words(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PATIENCE", 0.3)
    gone = subprocess.Popen(["true"])
    gone.wait()
    for index, (beat, pid) in enumerate(((0.1, os.getpid()), (0.1, gone.pid), (90, os.getpid()), (25, os.getpid()))):
        counted(config, index, beat=beat)
        says(config, index, pid, alarms=[f"complaint {index}"])
    with hung(config.places.control_socket):
        said = look(config)
    assert [worker["state"] for worker in said["workers"]] == ["lives", "dead", "hung", "silent"]
    assert [alarm.partition(",")[0] for alarm in said["alarms"]] == [
        f"dead: the supervisor does not answer at {config.places.supervisor_socket} (No such file or directory)",
        f"dead: dns-1 (pid {gone.pid})",
        f"hung: the steward does not answer at {config.places.control_socket} (no answer within 0.3 s)",
        f"hung: dns-2 (pid {os.getpid()})",
        f"silent: dns-3 (pid {os.getpid()})",
        "dns-0: complaint 0", "dns-1: complaint 1", "dns-2: complaint 2", "dns-3: complaint 3",
    ]  # fmt: skip
    assert {one["name"]: one["state"] for one in said["services"]} == {"steward": "hung"}


def test_a_process_that_its_supervisor_has_started_and_that_does_not_listen_yet(config: Config) -> None:
    services = [{"name": "steward", "pid": os.getpid(), "restarts": 0, "died": None}]

    async def told(_peer: control.Peer, _request: Mapping[str, Any]) -> control.Reply:
        return {"services": services}

    async def seen(socket: Path) -> str:
        operations = {"status": control.Operation(told, anyone=True)}
        async with (await control.serve(config.places.supervisor_socket, operations, control.Callers)).server:
            said = await asyncio.to_thread(look, config)
        (alarm,) = [one for one in said["alarms"] if str(socket) in one]
        return str(alarm)

    path = config.places.control_socket
    config.places.run_dir.mkdir(parents=True)
    assert asyncio.run(seen(path)).startswith(f"starts: the steward does not answer at {path} (")
    services[0]["pid"] = None
    assert asyncio.run(seen(path)).startswith(f"dead: the steward does not answer at {path} (")


@pytest.mark.parametrize("words", [("workers", "restart"), ("cache", "flush")])
def test_what_the_supervisor_does_is_not_waited_for_where_it_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str]
) -> None:
    """All workers may take ten minutes, but it says at once that it lives."""
    monkeypatch.setattr(operate, "PATIENCE", 0.1)
    places = load(write(tmp_path, GOOD)).places
    places.run_dir.mkdir()
    with hung(places.supervisor_socket):
        done = CliRunner().invoke(stopsign, [*words, "--dir", str(tmp_path)])
    assert isinstance(done.exception, UnreachableError)
    assert str(done.exception).endswith("supervisor.sock (no answer within 0.1 s)")
    assert "what it has not begun by now" in str(done.exception.hint)
    assert "stopsign status says which, docs/alarms.md what to do" in str(done.exception.hint)


def test_of_a_worker_of_another_version_the_heartbeat_alone_is_read(config: Config) -> None:
    counted(config, 0, beat=1.0, blocked=7)
    path = config.places.counters(0)
    path.write_bytes(path.read_bytes()[:-8] + b"another.")
    worker = worker_counters.workers(config.places)[0]
    assert set(worker.counters) == {"heartbeat_ms"}
    assert 1.0 <= worker.heartbeat_age() < 60
    assert worker_counters.totals(config.places)["blocked"] == 0


def test_status_exits_1_where_nobody_lives_at_all(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD))
    words = ["status", "--json", "--dir", str(tmp_path)]
    counted(config, 0, beat=90)
    says(config, 0, os.getpid())
    done = CliRunner().invoke(stopsign, words)
    assert (done.exit_code, json.loads(done.stdout)["workers"][0]["state"]) == (1, "hung")
    counted(config, 0, beat=0)
    assert CliRunner().invoke(stopsign, words).exit_code == 0, "one worker answers clients, whoever is dead"


def test_version_says_also_what_the_processes_run_where_it_is_told_which(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    said = CliRunner().invoke(stopsign, ["version"]).stdout
    for which in (["--dir", str(tmp_path)], ["--config", str(tmp_path / "stopsign.yaml")]):
        done = CliRunner().invoke(stopsign, ["version", *which])
        assert (done.exit_code, done.stdout) == (0, f"{said}dns: dead\nsteward: dead\n")


def test_a_worker_that_is_a_zombie_is_dead(config: Config) -> None:
    """Its parent hangs, so nobody has buried it."""
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    counted(config, 0, beat=0.1)
    says(config, 0, zombie.pid)
    assert look(config)["workers"][0]["state"] == "dead"
    zombie.wait()


def test_heartbeats_are_as_old_as_they_were_before_anybody_was_waited_for(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PATIENCE", 0.3)
    counted(config, 0, beat=1.0)
    now = sample(config.places)
    time.sleep(0.2)
    with hung(config.places.control_socket), hung(config.places.supervisor_socket):
        said = status(config, now, now)
    age = now.workers[0].heartbeat_age(now.at)
    assert said["workers"][0]["heartbeat_age"] == round(age, 1)


ASKED = {
    "queries_udp4": 90, "queries_tcp": 10, "blocked": 20, "cache_hits": 30, "relayed": 25, "retried": 5, "joined": 9,
    "repeated": 1, "dropped_client": 3, "loops": 2, "refused_by_table": 4, "cap_zone": 3,
    "no_upstream": 3, "answered": 80, "answered_servfail": 8, "answered_refused": 4, "cache_stale": 2,
}  # fmt: skip
SHARES = {
    "blocked": 0.2, "cached": 0.3, "relayed": 0.3, "dropped": 0.05, "turned_away": 0.1, "other": 0.05,
    "servfail": 0.1, "refused": 0.05, "stale": 0.025,
}  # fmt: skip


def shares(said: dict[str, Any]) -> dict[str, Any]:
    assert said["queries"].keys() >= SHARES.keys()
    return {name: said["queries"][name] for name in SHARES}


def test_each_question_is_in_one_share_and_the_shares_say_of_what_they_are(config: Config) -> None:
    counted(config, 0, beat=0.1)
    nothing = sample(config.places)
    assert shares(look(config)) == dict.fromkeys(SHARES), "of nothing there is no share"
    counted(config, 0, beat=0.1, **ASKED)
    first = sample(config.places)
    said = status(config, nothing, first)
    assert shares(said) == SHARES
    assert said["queries"]["transports"] == {
        "udp4": 0.9,
        "tcp": 0.1,
        **dict.fromkeys(("udp6", "tls", "https", "quic"), 0.0),
    }
    assert said["queries"]["over"] == said["queries"]["instant"] == round(first.at - nothing.at, 2)
    # Nothing more was asked: the shares are of all since the start, and that is said.
    said = status(config, first, sample(config.places))
    assert shares(said) == SHARES
    assert (said["queries"]["per_second"], said["queries"]["over"]) == (0.0, None)
    # But something was asked a while ago: they are of the time since then, the rate is not.
    said = status(config, first, sample(config.places), nothing)
    assert shares(said) == SHARES
    assert said["queries"]["per_second"] == 0.0
    assert said["queries"]["over"] is not None
    # Then only blocked names.
    counted(config, 0, beat=0.1, **{**ASKED, "queries_udp4": 190, "blocked": 120, "answered": 180})
    said = status(config, first, sample(config.places))
    assert shares(said) == {**dict.fromkeys(SHARES, 0.0), "blocked": 1.0}
    assert said["queries"]["over"] is not None


def test_shares_never_come_to_more_than_all_while_counters_grow(config: Config) -> None:
    counted(config, 0, beat=0.1, queries_udp4=10, blocked=6, cache_hits=6)
    said = shares(look(config))
    assert (said["blocked"], said["cached"], said["other"]) == (0.5, 0.5, 0.0)


def seen(address: str, state: str, rtt_us: int = 0) -> dict[str, Any]:
    return {"address": address, "state": state, "reason": "silent" if state == "down" else "", "rtt_us": rtt_us}


@pytest.mark.parametrize(
    ("trouble", "alarm"),
    [
        ({"failing": True}, "upstream 127.0.0.1:1 answers most questions with SERVFAIL or REFUSED"),
        ({"tcp_closed": True}, "upstream 127.0.0.1:1 answers no TCP: what is too long for a datagram is SERVFAIL"),
        ({"state": "down", "reason": "silent"}, "upstream 127.0.0.1:1 is down: silent"),
    ],
)
def test_what_one_worker_sees_of_an_upstream_is_an_alarm_said_once_and_ends(
    config: Config, trouble: dict[str, Any], alarm: str
) -> None:
    for number, found in ((1, [alarm]), (4, [])):
        for index in range(3):
            counted(config, index, beat=0.1)
            says(
                config, index, os.getpid(), upstreams=[seen("127.0.0.1:1", "up") | (trouble if index >= number else {})]
            )
        said = look(config)
        assert [one for one in said["alarms"] if "127.0.0.1:1" in one] == found


def test_no_worker_at_all_is_an_alarm_until_one_counts(config: Config) -> None:
    alarm = f"no DNS worker counts in {config.places.workers}"
    assert alarm in look(config)["alarms"]
    counted(config, 0, beat=0.1)
    assert alarm not in look(config)["alarms"]


def test_what_a_worker_cannot_have_said_is_an_alarm_and_hides_nothing_else(config: Config) -> None:
    for index in (0, 1):
        counted(config, index, beat=0.1)
        says(config, index, os.getpid())
    config.places.counters(0).with_suffix(".json").write_bytes(b"[" * 100_000)
    seen = look(config)
    (alarm,) = [one for one in seen["alarms"] if one.startswith("dns-")]
    assert alarm.startswith("dns-0: what it says of itself cannot be right: ")
    assert [(one["pid"], one["state"]) for one in seen["workers"]] == [(None, "lives"), (os.getpid(), "lives")]


def test_a_cap_that_is_reached_is_an_alarm_that_names_it(config: Config) -> None:
    counted(config, 0, beat=0.1, cap_client=7)
    before = Sample(100.0, [], sample(config.places).sums)
    counted(config, 0, beat=0.1, cap_client=107, cap_zone=30, cap_worker=5)
    now = sample(config.places)
    said = status(config, before, Sample(110.0, now.workers, now.sums))
    assert [one for one in said["alarms"] if one.startswith("the cap")] == [
        "the cap of a client (dns.limits.per_client) is reached: 10 questions a second get SERVFAIL",
        "the cap of a zone (dns.limits.per_zone) is reached: 3 questions a second get SERVFAIL",
    ]


def test_an_upstream_that_nobody_asked_is_neither_up_nor_down(config: Config) -> None:
    one, two, three = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
    for index, states in enumerate((("up", "down", "not asked yet"), ("not asked yet", "suspect", "not asked yet"))):
        counted(config, index, beat=0.1)
        upstreams = [seen(address, state, 2000) for address, state in zip((one, two), states, strict=False)]
        says(config, index, os.getpid(), upstreams=[*upstreams, seen(three, states[2])])
    said = {one["address"]: (one["state"], one["rtt_ms"]) for one in look(config)["upstreams"]}
    assert said == {one: ("up", 2.0), two: ("down", 2.0), three: ("not asked yet", None)}
    (up,) = [family for family in Workers(config.places).collect() if family.name == "stopsign_upstream_up"]
    found = {(sample.labels["worker"], sample.labels["upstream"]): sample.value for sample in up.samples}
    assert found == {("0", one): 1, ("0", two): 0, ("1", two): 1}


def test_the_off_switch_is_counted_for_prometheus_and_no_name_is_told(config: Config) -> None:
    config.places.run_dir.mkdir(parents=True, exist_ok=True)
    for kind, of in (("list", "gambling"), ("name", "a.example"), ("name", "b.example")):
        one = exceptions.Bypass(cast("exceptions.Kind", kind), of, 100, 200, "alice", "why")
        exceptions.change(config.places, partial(exceptions.LiveExceptions.on, new=one))

    def found(now: float) -> dict[tuple[str, str], float]:
        (family,) = Bypassed(config.places, ["gambling", "piracy"], lambda: now).collect()
        return {(one.labels["kind"], one.labels["list"]): one.value for one in family.samples}

    on = {("all", ""): 0, ("name", ""): 2, ("list", "gambling"): 1, ("list", "piracy"): 0}
    assert found(199) == on
    assert found(200) == dict.fromkeys(on, 0)


def test_a_bypass_is_named_with_the_steward_dead(config: Config) -> None:
    config.places.run_dir.mkdir(parents=True, exist_ok=True)
    one = exceptions.Bypass("list", "gambling", 0, exceptions.FOR_EVER, "alice", "a wrong list")
    exceptions.change(config.places, partial(exceptions.LiveExceptions.on, new=one))
    said = look(config)
    alarm = "list gambling is bypassed since 1970-01-01T00:00:00Z by alice, until it is switched off: a wrong list"
    assert alarm in said["alarms"]
    assert said["passing"]["bypasses"][0]["by"] == "alice"


def test_what_was_counted_of_a_list_is_told_by_its_name(config: Config) -> None:
    counted(config, 0, beat=0.1, blocked=7, blocked_list_3=5, blocked_list_1=2, monitored_list_1=4)
    lists = [("gambling", 1, 3), ("piracy", 2, 1)]
    told = [{"name": name, "version": version, "counter": counter} for name, version, counter in lists]
    says(config, 0, os.getpid(), lists=told)
    totals = look(config)["totals"]
    assert totals["blocked"] == 7
    assert totals["blocked_by_list"] == {"gambling": 5, "piracy": 2}
    assert totals["monitored_by_list"] == {"gambling": 0, "piracy": 4}
    assert not [name for name in totals if "_list_" in name]


def test_what_the_log_takes_and_what_is_left_of_the_disk_is_told(config: Config) -> None:
    places = config.places
    assert look(config)["disk"] == {"log": None, "state_dir": None, "run_dir": None}, "nothing there"
    for folder, size in ((places.log_dir / "tile", 1000), (places.audit_dir, 24)):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * size)
    places.run_dir.mkdir(exist_ok=True)
    disk = look(config)["disk"]
    assert disk["log"] == 1024
    assert 0 < disk["state_dir"]["free"] <= disk["state_dir"]["of"]
    assert disk["run_dir"] is not None


def test_the_log_s_files_are_not_counted_at_every_look(config: Config) -> None:
    for folder in (config.places.log_dir, config.places.audit_dir):
        folder.mkdir(parents=True)
    file = config.places.log_dir / "file"
    found = []
    for size, minute in ((10, 1), (20, 1), (20, 2)):
        file.write_bytes(b"x" * size)
        found.append(gathering.log_octets(config.places, minute))
    assert found == [10, 10, 20]


def test_a_disk_is_an_alarm_where_little_is_left_of_it_in_share_and_in_octets(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path / "state", tmp_path / "run", tmp_path / "log")
    left = {places.state_dir: (40 << 30, 63 << 20), places.run_dir: (64 << 20, 4 << 20)}

    def usage(of: Path) -> SimpleNamespace:
        return SimpleNamespace(total=left[of][0], free=left[of][1])

    monkeypatch.setattr("resolver.base.disk_space.shutil.disk_usage", usage)
    limit = "is nearly full: less than 5% and less than 64 MiB are free"
    assert disk_space.alarms(places) == [f"the file system of {places.state_dir} {limit}"]
    assert f"the file system of {config.places.state_dir} {limit}" in look(config)["alarms"]
    left |= {places.state_dir: (40 << 30, 65 << 20), places.run_dir: (64 << 20, 3 << 20)}
    assert disk_space.alarms(places) == [f"the file system of {places.run_dir} {limit}"]
    left |= {places.state_dir: (40 << 30, 0), places.run_dir: (64 << 20, 1 << 20)}
    assert disk_space.alarms(places) == [
        f"the file system of {places.state_dir} is full: less than 1 MiB is free",
        f"the file system of {places.run_dir} {limit}",
    ]


def test_metrics_are_served_on_an_address_that_the_host_only_gets_later() -> None:
    """As at boot, where nothing waits for the network."""
    served = Exposition([Endpoint("192.0.2.1", 0), Endpoint("127.0.0.1", 0)], [])
    assert all(served.ports)
    with urllib.request.urlopen(f"http://127.0.0.1:{served.ports[1]}/metrics", timeout=20) as answer:
        assert answer.status == 200
    served.close()
