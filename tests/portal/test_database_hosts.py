"""Several hosts in the URL of the database: the first that takes writes is used, and a silent one is passed over."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from resolver.portal import postgres
from resolver.portal.database import StoreError
from resolver.portal.store import Store
from tests.rigs import postgres as rig
from tests.rigs.dns_host import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def there() -> Iterator[str]:
    """host:port of a server."""
    with rig.server() as url:
        yield url.rpartition("@")[2]


def url(*hosts: str) -> str:
    return f"postgresql://stopsign@{','.join(hosts)}/postgres?target_session_attrs=read-write"


async def connected(url: str, patience: float = 30.0) -> socket.socket:
    connection = await postgres.connect(url, patience)
    try:
        return connection._transport.get_extra_info("socket").dup()  # type: ignore[no-any-return]
    finally:
        await connection.close()


def test_a_url_of_several_hosts_is_one_of_each() -> None:
    assert dict(postgres.hosts("postgresql://me@a:1,b,[::1]:2/n?x=y")) == {
        "a:1": "postgresql://me@a:1/n?x=y",
        "b": "postgresql://me@b/n?x=y",
        "[::1]:2": "postgresql://me@[::1]:2/n?x=y",
    }
    assert list(postgres.hosts("postgresql://a/n")) == [("a", "postgresql://a/n")]


@pytest.mark.needs("initdb")
def test_a_host_that_is_dead_and_one_that_says_nothing_are_passed_over(there: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{silent.getsockname()[1]}", there]
        wire = asyncio.run(connected(url(*hosts), patience=8.0))
    with wire:
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == postgres.SILENT_MS


@pytest.mark.needs("initdb")
def test_a_database_that_takes_no_writes_is_passed_over_and_each_host_has_its_reason(there: str) -> None:
    dead = f"127.0.0.1:{free_port()}"
    replica = url(dead, there).replace("read-write", "standby")  # the other way round: this one takes writes
    with pytest.raises(ConnectionError, match=f"^{dead}: .+; {there} is not of the kind"):
        asyncio.run(connected(replica))


@pytest.mark.needs("initdb")
def test_the_store_uses_a_url_of_several_hosts_with_ports(there: str) -> None:
    async def opened(*hosts: str) -> None:
        await (await Store.open(url(*hosts))).close()

    dead = f"127.0.0.1:{free_port()}"
    asyncio.run(opened(dead, there))
    with pytest.raises(StoreError, match=f"{dead}: "):
        asyncio.run(opened(dead))
