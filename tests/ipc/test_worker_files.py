"""What a worker says of itself, read as what a stranger may have written."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from resolver.base.paths import Places
from resolver.config.values import Endpoint
from resolver.ipc import convergence, rpz_status, shadow_sketches, worker_counters, worker_files
from resolver.policy.exceptions import LiveExceptions, change

if TYPE_CHECKING:
    from pathlib import Path

NESTED = b"[" * 100_000
UPSTREAM = {"address": "192.0.2.53:53", "state": "up"}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path / "state", tmp_path / "run", tmp_path / "log")
    found.workers.mkdir(parents=True)
    return found


def said(**more: object) -> bytes:
    return json.dumps({"pid": 4242, "generation": 3, **more}).encode()


WRONG = {
    "nested": NESTED,
    "no object": b"[1]",
    "no pid": b"{}",
    "nobody's pid": said(pid=-1),
    "a pid beyond the kernel's": said(pid=1 << 70),
    "a generation without end": b'{"pid": 1, "generation": Infinity}',
    "a generation that is a text": said(generation="7"),
    "lists without names": said(lists=[{}]),
    "alarms that are one": said(alarms="all is well"),
    "an upstream in no state": said(upstreams=[{**UPSTREAM, "state": "fine"}]),
    "a certificate that ends never": said(certificate_ends=1 << 64),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_cannot_be_right_is_an_alarm_and_hides_no_other_worker(places: Places, data: bytes) -> None:
    places.counters(0).with_suffix(".json").write_bytes(data)
    places.counters(1).with_suffix(".json").write_bytes(said(upstreams=[UPSTREAM], lists=[{"name": "a", "version": 2}]))
    (places.workers / "0x.json").write_bytes(NESTED)
    first, second = worker_counters.workers(places)
    assert (first.said, second.said["generation"], second.alarms) == ({}, 3, [])
    (alarm,) = first.alarms
    assert alarm.startswith("what it says of itself cannot be right: ")
    assert worker_counters.queries(worker_counters.totals(places)) == 0
    change(places, lambda _: LiveExceptions())
    assert len(convergence.convergence_of(places).lagging) == 2, "neither says the mark"


def test_what_another_version_says_is_read_as_far_as_it_is_known(places: Places) -> None:
    places.counters(0).with_suffix(".json").write_bytes(said(mood="good", upstreams=[{**UPSTREAM, "colour": "red"}]))
    (worker,) = worker_counters.workers(places)
    assert (worker.said["pid"], worker.said["lists"], worker.alarms) == (4242, [], [])


@pytest.mark.parametrize("data", [NESTED, b'{"dns": ["nowhere"]}', b'{"foreign": [7]}', b"7"])
def test_addresses_that_cannot_be_are_none(places: Places, data: bytes) -> None:
    places.addresses.write_bytes(data)
    assert (worker_counters.listening(places), worker_counters.foreign(places)) == ([], [])
    places.addresses.write_bytes(b'{"pid": 1, "dns": ["192.0.2.1:53"]}')
    assert worker_counters.listening(places) == [Endpoint("192.0.2.1", 53)]


@pytest.mark.parametrize("data", [NESTED, b"[]", b"{}", b'{"beat": 1, "zones": [7], "alarms": []}'])
def test_what_the_zones_cannot_have_said_is_a_value_error(places: Places, data: bytes) -> None:
    places.rpz_said.parent.mkdir()
    places.rpz_said.write_bytes(data)
    with pytest.raises(ValueError):
        rpz_status.read(places)
    assert rpz_status.longest_ttl(places) == 0.0


def test_sketches_that_are_nested_are_passed_over(places: Places) -> None:
    (places.workers / "0.watched").write_bytes(NESTED)
    assert list(shadow_sketches.read(places.workers)) == []


def test_what_an_earlier_run_left_is_swept_whatever_it_is(places: Places, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (places.workers / "folder" / "below").mkdir(parents=True)
    (places.workers / "0.json").touch()
    (places.workers / "link").symlink_to(kept)
    os.mkfifo(places.workers / "pipe")
    worker_files.sweep(places)
    assert not list(places.workers.iterdir())
    assert (kept / "file").exists()


def test_what_a_worker_writes_is_what_is_read(places: Places) -> None:
    places.counters(0).write_bytes(int(time.monotonic() * 1000).to_bytes(8, "little"))
    files = worker_files.WorkerFiles(places, 0)
    files.claim()
    state = worker_counters.State(
        pid=os.getpid(),
        generation=7,
        lists=(worker_counters.ListInUse(name="gambling", version=2),),
        upstreams=(worker_counters.UpstreamSeen(address="192.0.2.53:53", state="up", rtt_us=400),),
    )
    assert files.say(state)
    assert not files.say(state), "nothing changed"
    (worker,) = worker_counters.workers(places)
    assert worker.said == state.model_dump(mode="json")
