"""The sockets of the zones: datagrams, streams and TLS, for secondaries alone.

Enters: sockets that the supervisor opened. Leaves: what `answer` decided. Rules: a transfer is made and signed while
it is sent, and no faster than the secondary reads; one that reads nothing for `STALLED` seconds is cut off;
connections and transfers are bounded, connections of one address too; one from an address that is no secondary's is
closed as it comes in, before TLS, without a word, and takes no place. TLS is RFC 9103: version 1.3, ALPN `dot`; a
client that offers no ALPN at all is served too.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING

from blocklists.errors import why
from resolver.rpz.answer import STRANGER, Reply, Transfer, at, decide
from resolver.rpz.zone import RpzError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from resolver.rpz.answer import Refusal, Secondary, Served

IDLE, STALLED, HANDSHAKE, GOODBYE = 30.0, 60.0, 10.0, 2.0
MOST_CONNECTIONS, OF_ONE_ADDRESS = 256, 64
BACKLOG = 100
AGAIN = 1.0  # seconds until a connection is accepted again where no descriptor was left
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
        self._connections: dict[asyncio.Task[None], str] = {}  # with the address that each is of
        self._listeners: list[socket.socket] = []
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
            self._listen(one, None)
        for one in tls:
            assert about is not None  # noqa: S101 - the configuration's check
            self._listen(one, about.context())

    async def stop(self) -> None:
        """Ends what runs: a secondary asks again."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
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

    def _listen(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        listener.listen(BACKLOG)
        self._listeners.append(listener)
        self._wait(listener, context)

    def _wait(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener, context)

    def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            one, (peer, *_) = listener.accept()
        except (BlockingIOError, ConnectionError):  # it is gone again
            return
        except OSError as wrong:
            log.warning("no connection can be accepted (%s)", wrong.strerror)
            loop.remove_reader(listener)
            loop.call_later(AGAIN, self._wait, listener, context)
            return
        if not at(peer, self._secondaries):
            one.close()
            self._refused(STRANGER)
        elif len(self._connections) >= MOST_CONNECTIONS or [*self._connections.values()].count(peer) >= OF_ONE_ADDRESS:
            one.close()
        else:
            one.setblocking(False)
            task = loop.create_task(self._connected(one, peer, context))
            self._connections[task] = peer
            task.add_done_callback(self._connections.pop)

    async def _connected(self, one: socket.socket, peer: str, context: ssl.SSLContext | None) -> None:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        waits = {} if context is None else {"ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": GOODBYE}
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, one, ssl=context, **waits)
        except OSError as failed:
            log.debug("a handshake failed: %s", failed)
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await self._converse(reader, writer, peer)
        except (OSError, EOFError, TimeoutError) as ended:
            log.debug("a connection ended: %s", ended)
        finally:
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
            raise RpzError(f"{self._certificate} and its key cannot be used ({why(error)})") from error
        return context
