"""Who else listens where DNS does: sockets that share its port, and an old Unbound that does."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import pytest

from resolver.config.schema import Endpoint, accept
from resolver.host import run
from resolver.host.foreign import foreign, programs
from resolver.ipc import worker_counters
from tests.rigs.dns_host import Host, free_port, unbound, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def port() -> int:
    return free_port()


def shared(host: str, port: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if ":" in host:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind((host, port))
    if kind is socket.SOCK_STREAM:
        one.listen()
    return one


def inode(one: socket.socket) -> int:
    return os.fstat(one.fileno()).st_ino


@pytest.mark.parametrize(
    ("own", "other", "meets"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::1", "::1", True),
        ("::", "::1", True),
        ("127.0.0.1", "::1", False),
    ],
)
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["UDP", "TCP"])
def test_a_socket_at_the_same_address_or_at_the_wildcard_is_seen(
    port: int, own: str, other: str, meets: bool, kind: socket.SocketKind
) -> None:
    with shared(own, port, kind) as ours, shared(other, port, kind) as theirs:
        expected = [("UDP" if kind is socket.SOCK_DGRAM else "TCP", str(Endpoint(other, port)), inode(theirs))]

        def found() -> list[tuple[str, str, int]]:
            there = foreign([Endpoint(own, port)], {inode(ours)})
            return [(one.transport, one.address, one.inode) for one in there]

        if meets:
            wait_until(lambda: found() == expected, "it is seen, though a look may miss it while others come and go")
        else:
            assert found() == []
        assert foreign([Endpoint(own, port)], {inode(ours), inode(theirs)}) == []
        assert programs([inode(theirs)])[inode(theirs)].endswith(f" (pid {os.getpid()})")


def test_connections_and_clients_are_no_listeners(port: int) -> None:
    """One that is connected from that very port answers nobody."""
    with shared("127.0.0.1", port) as ours, shared("127.0.0.1", port) as client:
        client.connect(("127.0.0.1", 9))
        assert foreign([Endpoint("127.0.0.1", port)], {inode(ours)}) == []
    with shared("127.0.0.1", port, socket.SOCK_STREAM) as ours, socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = ours.accept()
        with accepted:
            assert foreign([Endpoint("127.0.0.1", port)], {inode(ours)}) == []


def test_a_socket_that_stands_twice_in_the_table_is_said_once(tmp_path: Path) -> None:
    """As where another one was closed between two pages of it."""
    row = "  7: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0\n"
    (tmp_path / "self" / "net").mkdir(parents=True)
    (tmp_path / "self" / "net" / "udp").write_text("  sl  local_address\n" + row + row)
    (found,) = foreign([Endpoint("127.0.0.1", 53)], set(), tmp_path)
    assert (found.transport, found.address, found.inode) == ("UDP", "127.0.0.1:53", 4711)


def test_where_the_kernel_has_no_table_nothing_is_said(tmp_path: Path) -> None:
    assert foreign([Endpoint("127.0.0.1", 53)], set(), tmp_path) == []


@pytest.mark.needs("unbound")
def test_an_old_unbound_on_the_port_is_an_alarm_with_its_name_until_it_is_gone(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "OTHERS", 0.05)
    monkeypatch.setattr(run, "LEAVING", 0.05)
    host = Host(tmp_path, ["127.0.0.1:9"], listen=[f"127.0.0.1:{port}"])
    host.write_config()
    accepted = accept(host.config)

    async def scene() -> None:
        provider = run.Provider(accepted, wings=("dns",))
        looking = asyncio.create_task(provider.look_for_others())
        await asyncio.sleep(0.2)
        assert provider.foreign == []
        old = unbound(tmp_path / "old", port)
        process = await asyncio.to_thread(old.__enter__)
        await _until(lambda: {one.transport for one in provider.foreign} == {"UDP", "TCP"})
        assert {one.address for one in provider.foreign} == {f"127.0.0.1:{port}"}
        assert f"UDP 127.0.0.1:{port} too, and answers unblocked: unbound (pid {process.pid})" in caplog.text
        told = worker_counters.foreign(accepted.config.places)
        assert {one["transport"] for one in told} == {"UDP", "TCP"}, "what the metrics read"
        await asyncio.to_thread(old.__exit__, None, None, None)
        await _until(lambda: provider.foreign == [])
        assert worker_counters.foreign(accepted.config.places) == []
        looking.cancel()
        provider.listeners.close()

    asyncio.run(scene())


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
