"""Each alarm of a worker comes with what it is about, and ends with it (the table: `tests/cli/test_alarms.py`)."""

from __future__ import annotations

import gc
import json
import os
import socket
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
import uvloop

from blocklists import document
from resolver import _core
from resolver.config.schema import Config, Endpoint
from resolver.config.schema_dns import Encrypted
from resolver.dns.worker import Worker
from resolver.host.shared_secrets import SharedSecrets
from resolver.ipc import worker_counters
from resolver.policy import exceptions
from tests.rigs.certificates import NAME, made
from tests.rigs.list_documents import entry
from tests.rigs.lists_world import settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from resolver._core import Source


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr("resolver.base.file_watch.AGAIN", 0.0)
    config = Config.model_validate(settings(tmp_path), context={"folder": "/"})
    config.places.workers.mkdir(parents=True)
    return config


def compile_one(config: Config) -> None:
    path = config.places.run_dir / "listed.zst"
    document.write(path, [entry("a.example", 1, expires="2099-01-01T00:00:00Z")])
    source: Source = {"document": str(path), "action": "stop-page", "ede": 0, "bases": [], "suspended": []}
    meta = {"generation": 1, "lists": [{"name": "gambling"}]}
    _core.compile([source], config.places.current, json.dumps(meta).encode())


def alarms(config: Config) -> list[str]:
    """What `status` reads of the one worker."""
    (seen,) = worker_counters.workers(config.places)
    return seen.alarms


def play(config: Config, scene: Callable[[Worker], Awaitable[None]]) -> None:
    async def with_worker() -> None:
        await scene(Worker(config, 0, 1, SharedSecrets().now()))

    uvloop.run(with_worker())
    gc.collect()  # a plane ends in the thread that made it


def test_no_list_then_one_then_none_then_a_damaged_one(config: Config) -> None:
    current = config.places.current

    async def scene(worker: Worker) -> None:
        await worker.poll()
        assert alarms(config) == ["there is no compiled list yet: everything is forwarded"]
        current.write_bytes(b"{")
        await worker.poll()
        (alarm,) = alarms(config)
        assert alarm.startswith("the compiled list is refused (")
        assert alarm.endswith("there is no other: everything is forwarded")
        compile_one(config)
        await worker.poll()
        assert alarms(config) == []
        current.unlink()
        await worker.poll()
        assert alarms(config) == [f"{current} is gone; the list that is loaded goes on"]
        current.write_bytes(b"{")
        await worker.poll()
        (alarm,) = alarms(config)
        assert alarm.startswith("the compiled list is refused (")
        assert alarm.endswith("; the list before it goes on")
        compile_one(config)
        await worker.poll()
        assert alarms(config) == []

    play(config, scene)


def test_exceptions_that_are_gone_or_damaged(config: Config) -> None:
    compile_one(config)
    passes, now = config.places.exceptions, int(time.time())
    one = exceptions.Bypass("list", "gambling", now, now + 3600, "root")
    exceptions.change(config.places, partial(exceptions.LiveExceptions.on, new=one))
    good = passes.read_bytes()

    async def scene(worker: Worker) -> None:
        await worker.poll()
        assert alarms(config) == []
        passes.unlink()
        await worker.poll()
        assert alarms(config) == [f"{passes} is gone; those before them go on"]
        passes.write_bytes(b"{")
        await worker.poll()
        (alarm,) = alarms(config)
        assert alarm.startswith("the exceptions cannot be understood (")
        assert alarm.endswith("; those before them go on")
        passes.unlink()
        passes.mkdir()
        await worker.poll()
        (alarm,) = alarms(config)
        assert alarm.startswith(f"{passes} cannot be read (")
        passes.rmdir()
        passes.write_bytes(good)
        await worker.poll()
        assert alarms(config) == []

    play(config, scene)


def test_a_worker_that_has_no_room_for_its_counters(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is seen all the same; its successor, which has room, ends the alarm."""
    compile_one(config)
    plane = _core.Plane

    def no_room(asked: _core.PlaneSettings) -> _core.Plane:
        if asked.get("counters_path"):
            raise _core.CoreError("No space left on device")
        return plane(asked)

    async def scene(worker: Worker) -> None:
        await worker.poll()

    with monkeypatch.context() as patch:
        patch.setattr("resolver.dns.worker.Plane", no_room)
        play(config, scene)
    assert alarms(config) == ["what worker 0 counts is seen by nobody: No space left on device"]
    (seen,) = worker_counters.workers(config.places)
    assert (seen.said["pid"], seen.counters) == (os.getpid(), {})
    play(config, scene)
    assert alarms(config) == []


def test_a_socket_of_quic_that_cannot_be_served_is_an_alarm(config: Config) -> None:
    compile_one(config)

    async def scene(worker: Worker) -> None:
        def said() -> list[str]:
            worker._claim()
            worker._say()
            return alarms(config)

        await worker.poll()
        with socket.create_server(("127.0.0.1", 0)) as wrong, socket.socket(type=socket.SOCK_DGRAM) as right:
            right.bind(("127.0.0.1", 0))
            worker._unclaimed = [wrong.fileno()]
            assert said() == ["DNS over QUIC is not served: not a datagram socket"]
            os.dup2(right.fileno(), wrong.fileno())
            assert (said(), worker._unclaimed) == ([], [])

    play(config, scene)


def test_a_certificate_that_is_wrong_then_right_then_wrong_and_one_that_ends_soon(config: Config) -> None:
    compile_one(config)
    folder = config.places.run_dir / "tls"
    files = made(folder)
    files.key.unlink()
    encrypted = Encrypted(name=NAME, certificate=files.certificate, key=files.key, tls=[Endpoint("127.0.0.1", 0)])
    config = config.model_copy(update={"dns": config.require_dns().model_copy(update={"encrypted": encrypted})})

    async def scene(worker: Worker) -> None:
        def said() -> list[str]:
            assert worker._identity is not None
            worker._identity.look()
            worker._say()
            return alarms(config)

        await worker.poll()
        (alarm,) = said()
        assert alarm == f"encrypted DNS is refused: {files.key} cannot be read (No such file or directory)"
        made(folder)
        assert said() == []
        files.certificate.write_bytes(b"")
        (alarm,) = said()
        assert alarm.startswith(f"the certificate of encrypted DNS stays the one before: {files.certificate} holds no")
        made(folder, days=13)
        (alarm,) = said()
        assert alarm.startswith("the certificate of encrypted DNS ends on ")
        made(folder, days=15)
        assert said() == []

    play(config, scene)
