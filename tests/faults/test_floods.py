"""Too much of everything: one address, one zone, connections, descriptors. Who asks as people do is answered."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import socket
import threading
import time
from typing import TYPE_CHECKING

from resolver.config.schema import load
from resolver.ipc import worker_counters
from tests.rigs.dns_host import Host, ask_tcp, ask_udp, free_port, question, running, wait_until
from tests.rigs.limits import descriptors, limited, resident
from tests.rigs.upstream import honest, upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

A = 1
CONNECTIONS = 10_000


def names(what: str, count: int) -> list[bytes]:
    return [question(0, f"{n}.{what}.example", A) for n in range(count)]


@contextlib.contextmanager
def flood(address: tuple[str, int], source: str, message: Callable[[], bytes]) -> Iterator[None]:
    """As fast as a thread can, until the block ends."""
    stop = threading.Event()

    def pour() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind((source, 0))
            one.setblocking(False)
            while not stop.is_set():
                for _ in range(200):
                    with contextlib.suppress(OSError):
                        one.sendto(message(), address)
                time.sleep(0.001)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def attacked(query: bytes) -> bytes | None:
    """An upstream to which one zone never answers."""
    return None if b"\x06victim" in query else honest(query)


def test_a_flood_from_one_address_and_an_attack_on_one_zone_leave_the_others_their_answers(tmp_path: Path) -> None:
    port = free_port()
    rng = random.Random(7)
    dns = {"rate": {"queries_per_second": 500, "burst": 2000}, "limits": {"per_zone": 64, "per_client": 2000}}
    host = Host(tmp_path / "host", [f"127.0.0.1:{port}"], more={"dns": dns})

    async def well(what: str) -> None:
        async with upstream(port, attacked, attacked):
            answers = await ask_udp(host.address, names(what, 300))
            assert not [answer for answer in answers if answer[3] & 15]

    with running(host):
        with flood(host.address, "127.0.0.2", lambda: question(rng.randrange(1 << 16), "same.example", A)):
            asyncio.run(well("one-address"))
        wait_until(lambda: host.counters()["rate_limited"] > 0, "the flood is sent to TCP")
        random_name = lambda: question(rng.randrange(1 << 16), f"{rng.randbytes(6).hex()}.victim.example", A)  # noqa: E731
        with flood(host.address, "127.0.0.3", random_name):
            asyncio.run(well("one-zone"))
        wait_until(lambda: host.counters()["cap_zone"] > 0, "the cap of the zone")
        assert host.counters()["panics"] == 0


def test_ten_thousand_connections_are_held_and_all_others_go_on(tmp_path: Path) -> None:
    port = free_port()
    limits = {"tcp_connections": 12_000, "tcp_per_client": 12_000, "tcp_idle": "10m"}
    host = Host(tmp_path / "host", [f"127.0.0.1:{port}"], more={"dns": {"limits": limits}})

    held: list[socket.socket] = []

    def connect() -> None:
        for number in range(CONNECTIONS):
            held.append(socket.create_connection(host.address, timeout=60))
            if number % 500 == 499:  # each 500th asks, and is answered
                message = question(number, "a.example", A)
                held[-1].sendall(len(message).to_bytes(2) + message)
                assert held[-1].recv(1) == b"\0"

    async def scene() -> None:
        async with upstream(port, honest, honest):
            pid = host.said()[0]["pid"]
            before = resident(pid)
            await asyncio.to_thread(connect)
            await asyncio.to_thread(
                wait_until, lambda: host.counters()["streams_now"] >= CONNECTIONS, "all of them held"
            )
            for ask in (ask_udp, ask_tcp):
                answers = await ask(host.address, names(ask.__name__.replace("_", "-"), 200))
                assert not [answer for answer in answers if answer[3] & 15]
            assert resident(pid) - before < CONNECTIONS * 16_384

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard == resource.RLIM_INFINITY else max(hard, 2 * CONNECTIONS)  # root may have more
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with running(host):
            asyncio.run(scene())
            for one in held:
                one.close()
            wait_until(lambda: host.counters()["streams_now"] == 0, "all of them gone")
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_a_descriptor_left_datagrams_are_answered_it_is_an_alarm_and_connections_again_later(
    tmp_path: Path,
) -> None:
    port = free_port()
    host = Host(tmp_path / "host", [f"127.0.0.1:{port}"])

    def alarmed() -> bool:
        (worker,) = worker_counters.workers(load(host.config).places)
        return "no file descriptor is left: new connections over TCP are closed" in worker.alarms

    async def scene() -> None:
        async with upstream(port, honest, honest):
            pid = host.said()[0]["pid"]
            await ask_udp(host.address, names("before", 50))
            assert not alarmed()
            with limited(resource.RLIMIT_NOFILE, descriptors(pid), pid):
                refused = [socket.create_connection(host.address) for _ in range(20)]
                answers = await ask_udp(host.address, names("meanwhile", 300))
                assert not [answer for answer in answers if answer[3] & 15]
                for one in refused:
                    one.close()
                await asyncio.to_thread(wait_until, alarmed, "the alarm")
            await asyncio.to_thread(wait_until, lambda: not alarmed(), "its end")
            assert host.log.count("no file descriptor is left") == host.log.count("descriptors again") == 1
            answers = await ask_tcp(host.address, names("after", 50))
            assert not [answer for answer in answers if answer[3] & 15]
            assert host.said()[0]["pid"] == pid

    with running(host):
        asyncio.run(scene())
