"""No room on the disk, or on the tmpfs: DNS goes on, and with room again everything is as it should be."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from blocklists.issuer.rehearsal import Rehearsal
from resolver.cli.demo import tree
from resolver.config.schema import load
from resolver.ipc import control
from resolver.policy import exceptions
from tests.rigs.dns_host import Host, ask_udp, question, running, wait_until
from tests.rigs.limits import can_mount, fill, full_disk, small_tmpfs
from tests.rigs.load import EXPECTED, STOPPED, Load, ask, under_load, until
from tests.rigs.provider import Provider, provider

__all__ = ["provider"]  # the fixture
COMES = "comes-meanwhile.example"


def version(host: Provider) -> set[int]:
    return {one["lists"][0]["version"] for one in host.said()}


def test_with_the_disk_full_dns_goes_on_and_nothing_becomes_active_before_its_leaf(
    provider: tuple[Provider, str],
) -> None:
    host, _ = provider
    steward = host.children()["steward"]

    async def scene() -> None:
        rehearsal = Rehearsal.open(host.folder / "issuer")
        await asyncio.to_thread(rehearsal.change, tree.LIST, add=[COMES])
        # Its log is a file too, so it can only be asked.
        socket = load(host.config).places.control_socket
        await until(lambda: control.call(socket, "status", timeout=20.0)["alarms"], "an alarm", 60)
        assert await asyncio.to_thread(ask, host.address, COMES) != STOPPED

    with full_disk(steward):
        under_load(Load(host.address, EXPECTED), scene)
        assert version(host) == {1}
    wait_until(lambda: ask(host.address, COMES) == STOPPED, "the version that waited")
    assert host.children()["steward"] == steward


def test_with_the_tmpfs_full_a_new_list_is_taken_up_and_a_killed_worker_comes_back(
    provider: tuple[Provider, str],
) -> None:
    """The supervisor and the workers can write nothing: neither counters nor what they say of themselves."""
    host, _ = provider
    assert host.process is not None
    before = host.children()
    workers = [before["worker-0"], before["worker-1"]]
    with full_disk(host.process.pid, *workers):
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: host.children().get("worker-0", workers[0]) != workers[0], "another worker")
        Rehearsal.open(host.folder / "issuer").change(tree.LIST, add=[COMES])
        # Each of the two sockets: which worker answers depends on the client's port.
        for _ in range(3):
            wait_until(lambda: {ask(host.address, COMES) for _ in range(16)} == {STOPPED}, "active on both workers")
        under_load(Load(host.address, EXPECTED), a_second)
    after = host.children()
    assert after["worker-1"] == workers[1]
    # With room again the next worker counts where everybody sees it.
    os.kill(after["worker-0"], signal.SIGKILL)

    def pids() -> list[int | None]:
        return [one["pid"] for one in host.said()]

    wait_until(lambda: pids() == [host.children().get("worker-0"), workers[1]], "both say what they are")
    wait_until(lambda: version(host) == {2}, "said by both")


async def a_second() -> None:
    await asyncio.sleep(1.0)


def a_worker_starts_on_a_tmpfs_without_an_octet_left(tmp_path: Path) -> None:
    """The same on a real file system, where a page that was not taken beforehand would be a SIGBUS."""
    host = Host(tmp_path / "host", ["127.0.0.1:9"], more={"dns": {"limits": {"patience": "500ms"}}})
    host.run_dir.mkdir(parents=True)
    with small_tmpfs(host.run_dir, "2m"), running(host):
        assert (host.run_dir / "reserve").stat().st_size == exceptions.ROOM, "for the off switch"
        for _ in range(2):
            fill(host.run_dir)
            os.kill(worker(host), signal.SIGKILL)
            fill(host.run_dir)
            asyncio.run(ask_udp(host.address, [question(0, f"{n}.example", 1) for n in range(20)]))
        assert "SIGBUS" not in host.log


if can_mount():  # a machine that lets nobody mount has the limits above alone
    test_a_worker_starts_on_a_tmpfs_without_an_octet_left = a_worker_starts_on_a_tmpfs_without_an_octet_left


def worker(host: Host) -> int:
    """Of the one worker: it may have nowhere to say it itself."""
    assert host.process is not None
    pids = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text(encoding="ascii").split()
    return int(pids[-1])
