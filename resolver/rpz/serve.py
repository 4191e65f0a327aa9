"""The sockets of the zones: datagrams, streams and TLS, for secondaries alone.

Enters: sockets that the supervisor opened. Leaves: what `answer` decided. Rules: a transfer is made and signed while
it is sent, and no faster than the secondary reads; one that reads nothing for `STALLED` seconds is cut off;
connections and transfers are bounded; an address that is no secondary's is closed without a word. TLS is RFC 9103:
version 1.3, ALPN `dot`; a client that offers no ALPN at all is served too.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING

from resolver.rpz.answer import Reply, Transfer, decide
from resolver.rpz.zone import RpzError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from resolver.rpz.answer import Refusal, Secondary, Served

IDLE, STALLED, HANDSHAKE = 30.0, 60.0, 10.0
MOST_CONNECTIONS = 256
BUFFER = 256 << 10  # octets that may wait for one secondary

log = logging.getLogger("stopsign.rpz")


class Server:
    """See the module. `zones` is asked for each message; `has` hears which serial a secondary was given, `refused` who
    got none and why."""

    def __init__(
        self,
        secondaries: Sequence[Secondary],
        zones: Callable[[], Mapping[str, Served]],
        *,
        transfers: int,
        has: Callable[[str, str, int, str], None],
        refused: Callable[[Refusal], None],
    ) -> None:
        self._secondaries, self._zones, self._has, self._refused = secondaries, zones, has, refused
        self._room = asyncio.Semaphore(transfers)
        self._connections: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[asyncio.DatagramTransport] = []

    async def start(
        self,
        udp: Sequence[socket.socket],
        tcp: Sequence[socket.socket],
        tls: Sequence[socket.socket],
        about: Tls | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        for one in udp:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self.reply), sock=one)
            self._datagrams.append(transport)
        for one in tcp:
            self._servers.append(await asyncio.start_server(self._connected, sock=one))
        for one in tls:
            assert about is not None  # noqa: S101 - the configuration's check
            context = about.context()
            self._servers.append(
                await asyncio.start_server(
                    self._connected, sock=one, ssl=context, ssl_handshake_timeout=HANDSHAKE, ssl_shutdown_timeout=2.0
                )
            )

    async def stop(self) -> None:
        """Ends what runs: a secondary asks again."""
        for server in self._servers:
            server.close()
        for transport in self._datagrams:
            transport.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def reply(self, data: bytes, peer: str) -> bytes | None:
        """The answer to a datagram."""
        found = self._reply_to(data, peer, stream=False)
        return (found.data or None) if isinstance(found, Reply) else None

    def _reply_to(self, data: bytes, peer: str, *, stream: bool) -> Reply | Transfer | None:
        found = decide(data, peer, stream=stream, secondaries=self._secondaries, zones=self._zones())
        if isinstance(found, Reply) and found.refusal is not None:
            self._refused(found.refusal)
        return found

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MOST_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._converse(reader, writer, writer.get_extra_info("peername")[0])
        except (OSError, EOFError, TimeoutError) as ended:
            log.debug("a connection ended: %s", ended)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        writer.transport.set_write_buffer_limits(high=BUFFER)
        while True:
            async with asyncio.timeout(IDLE):
                data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            found = self._reply_to(data, peer, stream=True)
            if found is None or (isinstance(found, Reply) and not found.data):
                return
            if isinstance(found, Transfer):
                await self._transfer(found, writer)
            else:
                await _send(writer, found.data)

    async def _transfer(self, transfer: Transfer, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._room:
                for message in transfer.messages:
                    await _send(writer, transfer.signer.sign(message))
        finally:
            transfer.close()
        log.info("%s: %s of %s, serial %d", transfer.secondary, transfer.what, transfer.zone, transfer.serial)
        self._has(transfer.secondary, transfer.zone, transfer.serial, transfer.what)


async def _send(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(2, "big") + message)
    async with asyncio.timeout(STALLED):
        await writer.drain()
    # drain comes back at once while there is room: others shall have their turn
    await asyncio.sleep(0)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, reply: Callable[[bytes, str], bytes | None]) -> None:
        self._reply = reply
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._reply(data, addr[0])
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


class Tls:
    """The certificate of the listeners for transfers over TLS."""

    def __init__(self, certificate: Path, private_key: Path) -> None:
        self._certificate, self._private_key = certificate, private_key

    def context(self) -> ssl.SSLContext:
        """Raises `RpzError` where the files are not what they should be."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["dot"])
        try:
            context.load_cert_chain(self._certificate, self._private_key)
        except (OSError, ssl.SSLError) as error:
            raise RpzError(f"{self._certificate} and its key cannot be used ({error})") from error
        return context
