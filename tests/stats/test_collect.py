"""From a subscriber's query to the count: a real worker, a real list, and nothing of the subscriber on the way."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from resolver.base.dns_question import ask
from resolver.base.paths import Places
from resolver.ipc.entry_hits import waiting
from resolver.policy.generations import Generations
from tests.rigs.counted import compiled, raised
from tests.rigs.dns_host import PATIENCE, Host, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that is asked again is counted again."""
    monkeypatch.setattr("resolver.base.dns_question.PATIENCE", PATIENCE)


def counted(host: Host) -> tuple[dict[str, int], dict[tuple[str, str], int], int]:
    """What all workers handed over: by list, by entry, and what can no longer be named."""
    places = Places(host.folder / "state", host.run_dir, host.folder / "state" / "log")
    lists, entries, dropped = Counter[str](), Counter[tuple[str, str]](), 0
    for batch in waiting(places, Generations(places).open, raised):
        lists.update(batch.lists)
        dropped += batch.dropped
        for name, reference, count in batch.hits():
            entries[name, reference] += count
    return dict(lists), dict(entries), dropped


def ask_all(host: Host, names: Sequence[str], *, tcp: bool = False) -> None:
    (address, port), *_ = host.addresses()
    for name in names:
        answer = ask(address, port, name, tcp=tcp)
        assert answer is not None
        assert answer.records == ("192.0.2.66",)


def test_a_worker_that_is_killed_loses_nothing_that_it_counted(tmp_path: Path) -> None:
    compiled(tmp_path, "a.example", "b.example")
    host = Host(tmp_path, upstreams=["127.0.0.1:1"])
    host.start()
    try:
        ask_all(host, ["a.example", "b.example", "deep.a.example"])
        assert counted(host)[0] == {}  # it counts on
        (killed,) = [said["pid"] for said in host.said()]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: all(said["pid"] != killed for said in host.said()), "a successor")
        assert counted(host) == ({"gambling": 3}, {("gambling", "A" * 16): 2, ("gambling", "B" * 16): 1}, 0)
        ask_all(host, ["b.example"], tcp=True)
    finally:
        assert host.stop() == 0
    assert counted(host) == ({"gambling": 4}, {("gambling", "A" * 16): 2, ("gambling", "B" * 16): 2}, 0)


def test_a_worker_that_ends_hands_over_what_it_stopped_and_nothing_else(tmp_path: Path) -> None:
    compiled(tmp_path, "a.example", "b.example")
    host = Host(tmp_path, upstreams=["127.0.0.1:1"])
    host.start()
    try:
        ask_all(host, ["a.example", "deep.below.a.example", "b.example"])
        ask_all(host, ["a.example"], tcp=True)
        (address, port), *_ = host.addresses()
        ask(address, port, "never.listed.example")
    finally:
        assert host.stop() == 0
    assert counted(host) == ({"gambling": 4}, {("gambling", "A" * 16): 3, ("gambling", "B" * 16): 1}, 0)
    written = b"".join(path.read_bytes() for path in host.run_dir.rglob("*") if path.is_file())
    assert b"never.listed" not in written
    assert b"deep.below" not in written
