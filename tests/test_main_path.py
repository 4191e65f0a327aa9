"""The main path with everything as in production: an issuer publishes, the processes of `stopsign run` serve.

A load of questions goes on all the while, each of which must be answered once, correctly and in time: that is what
"no query is lost" means here.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from blocklists.issuer.rehearsal import Rehearsal
from resolver.cli.demo import tree
from resolver.config.schema import load
from resolver.host.run import REBOOTED
from tests.rigs.dns_host import PATIENCE, question, wait_until
from tests.rigs.load import EXPECTED, PASSED, STOPPED, A, Load, ask, first_answer, under_load, until
from tests.rigs.provider import Provider, provider

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["provider"]  # the fixture
REFRESH = 2.0  # as the demo's configuration says


def test_a_new_version_is_active_within_the_refresh_interval_and_loses_no_query(
    provider: tuple[Provider, str],
) -> None:
    host, _ = provider
    before = host.children()
    rehearsal = Rehearsal.open(host.folder / "issuer")
    come, gone = "brand-new.example", "wild-dice.example"
    assert (ask(host.address, come), ask(host.address, gone)) == (PASSED, STOPPED)

    async def scene() -> None:
        await asyncio.to_thread(rehearsal.change, tree.LIST, add=[come], remove=[gone])
        done = lambda: all(one["lists"][0]["version"] == 2 for one in host.said())  # noqa: E731
        await until(done, "version 2 on every worker", REFRESH * 1.1 + 2.0 + SLACK)
        assert await asyncio.to_thread(ask, host.address, come) == STOPPED
        assert await asyncio.to_thread(ask, host.address, gone) == PASSED

    under_load(Load(host.address, EXPECTED), scene)
    assert host.children() == before, "something was restarted"
    assert all(one["entries"] == 59 for one in host.said())


# A machine that does several things at once starts threads late; the interval itself is what is measured.
SLACK = 3.0


@pytest.mark.parametrize("process", ["steward", "app"])
def test_dns_goes_on_with_a_process_killed_and_it_comes_back(provider: tuple[Provider, str], process: str) -> None:
    host, _ = provider
    before = host.children()

    async def scene() -> None:
        os.kill(before[process], signal.SIGKILL)
        again = lambda: host.children().get(process, before[process]) != before[process]  # noqa: E731
        await until(again, f"another {process}", 20)

    under_load(Load(host.address, EXPECTED), scene)
    after = host.children()
    assert {name: pid for name, pid in after.items() if name != process} == {
        name: pid for name, pid in before.items() if name != process
    }


def test_a_list_goes_on_when_its_steward_comes_back(provider: tuple[Provider, str]) -> None:
    """Killed while nothing is published, it must neither lose what is active nor the next version."""
    host, _ = provider
    os.kill(host.children()["steward"], signal.SIGKILL)
    rehearsal = Rehearsal.open(host.folder / "issuer")
    rehearsal.change(tree.LIST, add=["later.example"])
    wait_until(lambda: ask(host.address, "later.example") == STOPPED, "the version that came meanwhile")
    assert ask(host.address, "aces-bets.example") == STOPPED


def test_a_worker_killed_under_load_loses_only_what_it_held(provider: tuple[Provider, str]) -> None:
    """Its socket stays open in the supervisor: what comes meanwhile waits, and is answered by its successor."""
    host, _ = provider
    before = host.children()
    load = Load(host.address, EXPECTED, patience=20.0)

    async def scene() -> None:
        os.kill(before["worker-0"], signal.SIGKILL)
        again = lambda: host.children().get("worker-0", before["worker-0"]) != before["worker-0"]  # noqa: E731
        await until(again, "another worker", 20)
        await until(lambda: len(host.said()) == 2 and host.said()[0]["pid"] == host.children()["worker-0"], "up", 20)

    async def both() -> None:
        ended = asyncio.Event()

        async def act() -> None:
            await scene()
            ended.set()

        await asyncio.gather(load.run(ended.is_set), act())

    asyncio.run(both())
    assert not load.wrong, load.wrong[:5]
    # Two batches of 64 at most were in its hands, and what it had relayed.
    assert len(load.lost) <= 256, f"{len(load.lost)} of {load.sent}"


def test_malformed_packets_are_dropped_or_answered_and_never_stop_a_worker(provider: tuple[Provider, str]) -> None:
    host, _ = provider
    before = host.children()
    rng = random.Random(20261122)
    good = question(1, "www.lucky-wheel.example", A, edns=1232)
    shapes: list[Callable[[], bytes]] = [
        lambda: rng.randbytes(rng.randrange(600)),
        lambda: good[: rng.randrange(len(good))],
        lambda: bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.1 else b for b in good),
        lambda: good[:12] + b"\xc0\x0c" + good[14:],  # a name that points at itself
        lambda: good[:12] + b"\x3f" + b"a" * 63 + b"\xc0\x0c\0\1\0\1",
        lambda: good[:4] + rng.randbytes(8) + good[12:],
        lambda: good + rng.randbytes(rng.randrange(400)),
    ]

    async def scene() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.connect(host.address)
            for _ in range(200):
                for shape in shapes:
                    one.send(shape())
                await asyncio.sleep(0.005)
        for _ in range(40):
            reader, writer = await asyncio.open_connection(*host.address)
            message = rng.choice(shapes)()
            writer.write(len(message).to_bytes(2) + message)
            writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                await reader.read()
            writer.close()

    under_load(Load(host.address, EXPECTED), scene)
    assert host.children() == before
    counters = wait_until(host.counters, "counters")
    assert counters["panics"] == 0
    assert counters["dropped_malformed"] > 0


def test_a_damaged_list_is_refused_and_the_old_one_goes_on(provider: tuple[Provider, str]) -> None:
    """The steward is stopped, so that nobody mends it before the workers see it."""
    host, _ = provider
    os.kill(host.children()["steward"], signal.SIGSTOP)
    current = host.run_dir / "current.list"
    good = current.read_bytes()
    for damage in (b"", good[:1000], good[:-1], good[:500] + bytes([good[500] ^ 255]) + good[501:], b"\0" * len(good)):
        damaged = current.with_name("damaged")
        damaged.write_bytes(damage)
        damaged.replace(current)
        wait_until(lambda: all("refused" in " ".join(one["alarms"]) for one in host.said()), "the alarm")
        assert ask(host.address, "aces-bets.example") == STOPPED
        shutil.copy(host.folder / "state/generation.list", damaged)
        damaged.replace(current)
        wait_until(lambda: not any(one["alarms"] for one in host.said()), "the good list again")
    current.unlink()
    wait_until(lambda: all("is gone" in " ".join(one["alarms"]) for one in host.said()), "the alarm")
    assert ask(host.address, "aces-bets.example") == STOPPED
    os.kill(host.children()["steward"], signal.SIGCONT)


def test_no_address_of_a_client_and_no_name_that_is_not_blocked_reaches_a_disk(provider: tuple[Provider, str]) -> None:
    host, _ = provider
    under_load(Load(host.address, {"never-written-down.example": PASSED, "aces-bets.example": STOPPED}), _a_moment)
    assert host.stop() == 0
    config = load(host.folder / "stopsign.yaml")
    assert config.places.state_dir.is_dir()
    for path in host.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"never-written-down" not in path.read_bytes(), path


async def _a_moment() -> None:
    await asyncio.sleep(1.5)


def test_it_ends_in_order_and_can_be_started_again(provider: tuple[Provider, str]) -> None:
    host, _ = provider
    thrown = ["bypass", "on", "lucky-wheel.example", "--dir", str(host.folder)]
    assert subprocess.run([sys.executable, "-m", "resolver.cli.main", *thrown], check=False).returncode == 0
    address = host.address
    assert host.stop() == 0
    assert "did not go" not in host.log
    shutil.rmtree(host.run_dir)  # as a reboot does
    with ThreadPoolExecutor() as threads:
        starting = threads.submit(host.start)
        began = time.monotonic()
        first = first_answer(address, "aces-bets.example")
        # workers wait so long for the steward, and no longer; a busy machine may need more
        assert first == STOPPED or time.monotonic() - began > REBOOTED, "nothing was forwarded before"
        starting.result()
        wait_until(lambda: ask(address, "aces-bets.example") == STOPPED, "the list is back")
        assert first_answer(address, "www.lucky-wheel.example") == PASSED, "what a person let pass does so"
    assert json.loads((host.run_dir / "addresses.json").read_bytes())["pid"]
