"""A worker as a process: both families, upstreams that lie over UDP, answers as large as TCP allows, its end."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import re
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import pytest

from blocklists import document
from resolver import _core
from resolver.base.paths import Places
from resolver.config.schema import Config, load
from resolver.dns.worker import SWEEP, Worker, list_is_back
from resolver.host.shared_secrets import SharedSecrets
from resolver.ipc import shadow_sketches
from resolver.policy import exceptions
from resolver.policy.in_force import Follower
from resolver.rpz.rules import stops
from tests.rigs.dns_host import (
    PATIENCE,
    Host,
    ask_tcp,
    ask_udp,
    free_port,
    question,
    running,
    until,
    wait_until,
    written,
)
from tests.rigs.limits import no_descriptor_left
from tests.rigs.list_documents import entry
from tests.rigs.lists_world import settings
from tests.rigs.streams import Streams
from tests.rigs.upstream import honest, upstream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from resolver._core import Source
    from tests.rigs.dns_host import Address

    Answering = Callable[[bytes], bytes | None]
    Asking = Callable[[Address, Sequence[bytes]], Awaitable[list[bytes]]]

A, TXT = 1, 16


def large(query: bytes) -> bytes:
    """A TXT answer of 65,535 octets, to the last one."""
    end = query.index(b"\0", 12) + 5
    head = query[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0" + query[12:end] + b"\xc0\x0c\0\x10\0\x01\0\0\0\x3c"
    size = 65_535 - len(head) - 2
    text = (b"\xff" + b"x" * 255) * (size // 256)
    rest = size - len(text)
    return head + size.to_bytes(2) + text + (bytes([rest - 1]) + b"y" * (rest - 1) if rest else b"")


def truncated(query: bytes) -> bytes:
    return query[:2] + b"\x83\x80\0\x01\0\0\0\0\0\0" + query[12 : query.index(b"\0", 12) + 5]


def lying(query: bytes) -> bytes:
    """An answer to another question, under the right id."""
    return honest(query[:12] + b"\x05wrong\x07example\0\0\x01\0\x01")


@pytest.fixture
def port() -> int:
    return free_port()


def host(tmp_path: Path, port: int, *listen: str) -> Host:
    return Host(tmp_path / "host", [f"127.0.0.1:{port}"], listen=listen or ("127.0.0.1:0",))


def test_ipv4_and_ipv6_are_served_alike_over_udp_and_tcp(tmp_path: Path, port: int) -> None:
    async def scene(provider: Host, ask: Asking) -> None:
        async with upstream(port, honest, honest):
            for address in provider.addresses():
                (answer,) = await ask(address, [question(0, "a.example", A)])
                assert answer.endswith(b"\xc6\x33\x64\x07"), address

    with running(host(tmp_path, port, "127.0.0.1:0", "[::1]:0")) as provider:
        assert [address[0] for address in provider.addresses()] == ["127.0.0.1", "::1"]
        assert provider.said()[0]["upstreams"][0]["state"] == "not asked yet"
        asyncio.run(scene(provider, ask_tcp))
        wait_until(lambda: provider.said()[0]["upstreams"][0]["state"] == "up", "it was heard over TCP")
        asyncio.run(scene(provider, ask_udp))


def test_wildcard_addresses_answer_from_the_address_that_was_asked(tmp_path: Path, port: int) -> None:
    async def scene(provider: Host) -> None:
        async with upstream(port, honest, honest):
            for listening in provider.addresses():
                asked = ("127.0.0.3" if listening[0] == "0.0.0.0" else "::1", listening[1])
                # A connected socket takes an answer from nowhere else.
                (answer,) = await ask_udp(asked, [question(0, "a.example", A)])
                assert answer.endswith(b"\xc6\x33\x64\x07")

    with running(host(tmp_path, port, "0.0.0.0:0", "[::]:0")) as provider:
        asyncio.run(scene(provider))


def test_after_too_many_wrong_answers_the_question_is_asked_over_tcp(tmp_path: Path, port: int) -> None:
    async def scene(provider: Host) -> None:
        async with upstream(port, lying, honest, copies=20):
            (answer,) = await ask_udp(provider.address, [question(0, "a.example", A)])
            assert answer.endswith(b"\xc6\x33\x64\x07")

    with running(host(tmp_path, port)) as provider:
        asyncio.run(scene(provider))
        wait_until(lambda: provider.counters()["over_tcp"] == 1, "counted")
        assert provider.counters()["upstream_mismatches"] > 0


def test_truncation_passes_over_udp_and_the_whole_answer_over_tcp(tmp_path: Path, port: int) -> None:
    query = question(0, "large.example", TXT)

    async def scene(provider: Host) -> None:
        async with upstream(port, truncated, large):
            (short,) = await ask_udp(provider.address, [query])
            assert short[2] & 0x02
            for _ in range(2):
                (whole,) = await ask_tcp(provider.address, [query])
                assert len(whole) == 65_535
                assert whole[2:] == large(query)[2:]

    with running(host(tmp_path, port)) as provider:
        asyncio.run(scene(provider))


def test_without_any_upstream_the_client_hears_servfail_and_why(tmp_path: Path, port: int) -> None:
    async def scene(provider: Host) -> None:
        for ask in (ask_udp, ask_tcp):
            (answer,) = await ask(provider.address, [question(0, "a.example", A, edns=1232)])
            assert answer[3] & 15 == 2
            # RFC 8914: option 15, info code 22 or 23
            assert b"\0\x0f\0\x02\0\x16" in answer or b"\0\x0f\0\x02\0\x17" in answer

    limits = {"dns": {"limits": {"patience": "1s", "upstream_timeout": "300ms"}}}
    provider = host(tmp_path, port)
    provider.more = limits
    with running(provider):
        asyncio.run(scene(provider))


def test_a_worker_that_is_told_to_go_answers_what_it_has_in_flight(tmp_path: Path, port: int) -> None:
    """It is stopped for good here, with its supervisor: the answer still comes."""
    came = asyncio.Event

    async def scene(provider: Host) -> None:
        asked, release = came(), came()

        class Slow(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
                self.transport = transport

            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                asked.set()
                self.waiting = asyncio.create_task(self.later(data, addr))

            async def later(self, data: bytes, addr: tuple[str, int]) -> None:
                await release.wait()
                self.transport.sendto(honest(data), addr)

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Slow, ("127.0.0.1", port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.connect(provider.address)
            one.send(question(7, "slow.example", A))
            async with asyncio.timeout(PATIENCE):
                await asked.wait()
                assert provider.process is not None
                os.kill(provider.process.pid, signal.SIGTERM)
                await asyncio.sleep(0.5)
                release.set()
                answer = await asyncio.get_running_loop().sock_recv(one, 4096)
        assert answer.endswith(b"\xc6\x33\x64\x07")
        transport.close()

    with running(host(tmp_path, port)) as provider:
        asyncio.run(scene(provider))
        assert provider.process is not None
        assert provider.process.wait(30) == 0


def test_workers_tell_how_many_clients_would_meet_what_is_watched_under_one_key(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(parents=True)
    sources = [_source(tmp_path, "listed", "stop-page"), _source(tmp_path, "coming", "monitor")]
    meta = {"generation": 1, "lists": [{"name": "g"}, {"name": "g+new", "watched": "g", "document": "coming.zst"}]}
    _core.compile(sources, tmp_path / "run" / "current.list", json.dumps(meta).encode())
    with running(Host(tmp_path, [f"127.0.0.1:{free_port()}"], workers=2)) as host:
        for worker in host.said():
            environment = Path(f"/proc/{worker['pid']}/environ").read_bytes().split(b"\0")
            drawn = [one for one in environment if re.fullmatch(rb"STOPSIGN_\w+=[0-9a-f]{32,}", one)]
            assert drawn == [f"STOPSIGN_HEALTH_MARK={worker['health_mark']}".encode()], "the key is not in it"
        for number in range(1, 151):
            for name in ("coming.example", "elsewhere.example") if number <= 30 else ("elsewhere.example",):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                    one.bind((f"127.0.1.{number}", 0))
                    one.sendto(question(number, name, A), host.address)

        def seen() -> tuple[float, float]:
            """All clients, and those that asked for the name, joined over the workers."""
            joined: shadow_sketches.Seen = {}
            keys = set()
            for key, told in shadow_sketches.read(host.run_dir / "workers"):
                keys.add(key)
                shadow_sketches.join(joined, told)
            assert len(keys) <= 1
            everyone, met = joined.get("g/coming.zst", (b"", {}))
            counted = [_core.distinct(sketch) for sketch in met.values()]
            return _core.distinct(everyone) if everyone else 0.0, sum(counted)

        wait_until(lambda: 120 < seen()[0] < 180 and 24 < seen()[1] < 36, "150 clients, of which 30 asked for it")
        for path, data in written(tmp_path / "run"):
            assert b"127.0.1." not in data, path


def in_this_thread(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    """Of a worker too: it is a circle of objects, and whichever thread collects it later must not end its plane."""
    asyncio.run(scene())
    gc.collect()


def test_after_a_reboot_a_worker_waits_for_the_list_that_was_live_and_never_for_long(tmp_path: Path) -> None:
    places = Places(tmp_path / "state", tmp_path / "run", tmp_path / "log")

    def waits(by: float, meanwhile: Callable[[], object] = lambda: None) -> bool:
        async def scene() -> bool:
            stop = asyncio.Event()
            waiting = asyncio.create_task(list_is_back(places, by, stop))
            await asyncio.sleep(0)  # it has looked once
            waited = not waiting.done()
            meanwhile()
            async with asyncio.timeout(PATIENCE):
                await waiting
            return waited

        return asyncio.run(scene())

    late = time.monotonic() + 3600
    assert not waits(late), "nothing was ever live"
    for folder in (places.state_dir, places.run_dir):
        folder.mkdir()
    places.generation.touch()
    soon = time.monotonic() + 0.5
    assert waits(soon), "the steward is dead"
    assert not waits(soon), "one that is started later"
    assert waits(late, places.current.touch)
    assert not waits(late)


def test_a_bypass_ends_by_itself_with_nobody_there_to_take_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steward is dead, the file stays as it is: the worker looks at the clock."""
    config = Config.model_validate(settings(tmp_path, casino={}, games={}), context={"folder": "/"})
    places, now = config.places, [1_900_000_000.0]
    monkeypatch.setattr("resolver.dns.in_use.time.time", lambda: now[0])
    meta = json.dumps({"generation": 1, "lists": [{"name": "casino"}, {"name": "games"}]}).encode()
    places.run_dir.mkdir()
    _core.compile([_source(tmp_path, name, "stop-page") for name in ("casino", "games")], places.current, meta)

    async def scene() -> None:
        worker = Worker(config, 0, 1, SharedSecrets().now())
        streams = Streams(worker.plane)
        at = int(now[0])
        for kind, of, span in (("list", "casino", 60), ("all", "", 30), ("name", "games.example", 90)):
            one = exceptions.Bypass(cast("exceptions.Kind", kind), of, at, at + span, "root")
            exceptions.change(places, partial(exceptions.LiveExceptions.on, new=one))

        async def stopped() -> list[str]:
            await worker.poll()
            asked = {name: question(1, f"{name}.example", A) for name in ("casino", "games")}
            return [name for name, query in asked.items() if is_stopped(streams.ask(query))]

        found = []
        for later in (0, 29, 30, 59, 60):
            now[0] = at + later
            found.append(await stopped())
        assert found == [[], [], [], [], ["casino"]]

    in_this_thread(scene)


def test_what_no_descriptor_was_left_to_read_is_read_once_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of connections takes the last one just when a list that has nothing left, or the off switch, comes."""
    monkeypatch.setattr("resolver.base.file_watch.AGAIN", 0.0)
    config = Config.model_validate(settings(tmp_path, casino={}), context={"folder": "/"})
    places, meta = config.places, json.dumps({"generation": 1, "lists": [{"name": "casino"}]}).encode()
    places.run_dir.mkdir()
    full = [_source(tmp_path, "casino", "stop-page")]
    document.write(tmp_path / "nothing.zst", [])
    emptied: list[Source] = [{**full[0], "document": str(tmp_path / "nothing.zst")}]
    off = exceptions.Bypass("list", "casino", int(time.time()), int(time.time()) + 3600, "root")

    async def scene(change: Callable[[], object]) -> None:
        _core.compile(full, places.current, meta)
        places.exceptions.unlink(missing_ok=True)
        worker, watch = Worker(config, 0, 1, SharedSecrets().now()), Follower(places)
        streams, number = Streams(worker.plane), itertools.count(1)

        async def stopped() -> tuple[bool, bool]:
            """By a worker, and in the zones."""
            await worker.poll()
            watch.poll()
            answer = streams.ask(question(next(number), "casino.example", A), stream=1)
            return is_stopped(answer), stops(watch.now, "casino.example", None, time.time()) is not None

        assert await stopped() == (True, True)
        change()
        with no_descriptor_left():
            assert await stopped() == (True, True)
            assert watch.now.trouble
        assert await stopped() == (False, False)
        assert watch.now.trouble is None

    in_this_thread(lambda: scene(lambda: _core.compile(emptied, places.current, meta)))
    in_this_thread(lambda: scene(lambda: exceptions.change(places, partial(exceptions.LiveExceptions.on, new=off))))


def is_stopped(answer: bytes | bool) -> bool:
    """It is an answer, and no failure to relay."""
    return isinstance(answer, bytes) and answer[3] & 15 != 2


def _source(folder: Path, name: str, action: Literal["stop-page", "monitor"]) -> Source:
    """A list of the one name `NAME.example`."""
    document.write(folder / f"{name}.zst", [entry(f"{name}.example", len(name), expires="2099-01-01T00:00:00Z")])
    return {"document": str(folder / f"{name}.zst"), "action": action, "ede": 0, "bases": [], "suspended": []}


def test_a_worker_that_cannot_say_what_it_is_logs_that_once_and_once_that_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = host(tmp_path, free_port())
    one.folder.mkdir()
    one.write_config()
    in_the_way = one.run_dir / "workers" / "0.json"
    in_the_way.mkdir(parents=True)

    def logged() -> list[str]:
        return [record.message for record in caplog.records if record.message.startswith(str(in_the_way))]

    async def scene() -> None:
        stop = asyncio.Event()
        worker = Worker(load(one.config), 0, 1, SharedSecrets().now())
        await worker.start({})
        serving = asyncio.create_task(worker.run(stop))
        await until(lambda: bool(logged()))
        await asyncio.sleep(4 * SWEEP)
        assert logged() == [f"{in_the_way}: cannot be written (Is a directory)"]
        in_the_way.rmdir()
        await until(lambda: len(logged()) > 1)
        stop.set()
        await serving

    in_this_thread(scene)
    assert logged()[1:] == [f"{in_the_way}: written again"]
