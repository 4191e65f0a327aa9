"""Upstreams that come and go: the clients of the others never hear of it, and all gone is stale or said so."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from tests.rigs.dns_host import Host, ask_udp, free_port, question, running, wait_until
from tests.rigs.upstream import honest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

A = 1


class Moody(asyncio.DatagramProtocol):
    """Answers while it is in the mood; a TTL of one second, so that everything soon is stale."""

    def __init__(self) -> None:
        self.willing = True
        self.asked = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if self.willing:
            answer = honest(data)
            self.transport.sendto(answer[:-10] + (1).to_bytes(4) + answer[-6:], addr)


@contextlib.asynccontextmanager
async def moody(port: int) -> AsyncIterator[Moody]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Moody, ("127.0.0.1", port))
    try:
        yield protocol
    finally:
        transport.close()


def names(what: str, count: int) -> list[bytes]:
    return [question(0, f"{what}-{n}.example", A, edns=1232) for n in range(count)]


def test_a_flapping_upstream_costs_its_clients_no_answer_and_all_gone_for_a_while_is_survived(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    limits = {"patience": "5s", "upstream_timeout": "300ms"}
    host = Host(tmp_path / "host", [f"127.0.0.1:{first}", f"127.0.0.1:{second}"], more={"dns": {"limits": limits}})

    async def flapping() -> None:
        async with moody(first) as one, moody(second):
            stop = asyncio.Event()

            async def flap() -> None:
                while not stop.is_set():
                    one.willing = not one.willing
                    await asyncio.sleep(0.4)

            task = asyncio.create_task(flap())
            asked, started = 0, time.monotonic()
            while time.monotonic() < started + 2.5:
                answers = await ask_udp(host.address, names(f"flap-{asked}", 50))
                assert not [answer for answer in answers if answer[3] & 15], "SERVFAIL while one upstream is well"
                asked += 50
            stop.set()
            await task

    async def gone() -> None:
        async with moody(first) as one, moody(second) as two:
            await ask_udp(host.address, names("known", 20))
            one.willing = two.willing = False
            await asyncio.sleep(1.5)  # what is known is stale now
            for answer in await ask_udp(host.address, names("known", 20)):
                assert answer[3] & 15 == 0
                assert b"\0\x0f\0\x02\0\x03" in answer  # RFC 8914: Stale Answer
            for answer in await ask_udp(host.address, names("new", 20)):
                assert answer[3] & 15 == 2
            one.willing = two.willing = True

            async def answered() -> bool:
                (answer,) = await ask_udp(host.address, names(f"again-{time.monotonic_ns()}", 1))
                return answer[3] & 15 == 0

            async with asyncio.timeout(60):
                while not await answered():  # noqa: ASYNC110 - nobody tells when an upstream is found well
                    await asyncio.sleep(0.2)

    with running(host):
        asyncio.run(flapping())
        asyncio.run(gone())
        assert host.counters()["panics"] == 0
        wait_until(lambda: any(one["state"] == "up" for one in host.said()[0]["upstreams"]), "up again")
        told = [line for line in host.log.splitlines() if f"upstream 127.0.0.1:{second} is " in line]
        assert told, "it was down for a while"
        assert [": silent" in line for line in told] == [n % 2 == 0 for n in range(len(told))], "once a change"
        assert all("is down: silent" in line or "is up again" in line for line in told)
        assert not any(name in host.log for name in ("flap-", "known-", "new-", "again-")), "a name that was asked"
