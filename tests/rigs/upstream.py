"""An upstream resolver in this process that answers what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from tests.rigs.dns_host import Address

    Answering = Callable[[bytes], bytes | None]
    Asking = Callable[[Address, Sequence[bytes]], Awaitable[list[bytes]]]


def honest(query: bytes) -> bytes:
    """One address for every name."""
    end = query.index(b"\0", 12) + 5
    record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x33\x64\x07"
    return query[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0" + query[12:end] + record


@contextlib.asynccontextmanager
async def upstream(port: int, udp: Answering, tcp: Answering, copies: int = 1) -> AsyncIterator[None]:
    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if reply := udp(data):
                for _ in range(copies):
                    self.transport.sendto(reply, addr)

    kept: list[asyncio.StreamWriter] = []
    over = False

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if over:  # it came in the moment of the end
            writer.transport.abort()
            return
        kept.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while reply := tcp(await reader.readexactly(int.from_bytes(await reader.readexactly(2)))):
                writer.write(len(reply).to_bytes(2) + reply)
                await writer.drain()
        writer.close()

    datagrams, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, ("127.0.0.1", port))
    server = await asyncio.start_server(stream, "127.0.0.1", port)
    try:
        yield
    finally:
        over = True
        datagrams.close()
        server.close()
        for writer in kept:
            writer.transport.abort()
        await asyncio.sleep(0.05)  # what was closed comes to its end
