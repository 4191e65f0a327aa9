"""TLS towards the upstreams: who must prove what, and that nothing is said to anybody who does not."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from resolver.base.proven import Proof, pin_of
from resolver.dns.upstreams import Timing
from tests.rigs.certificates import NAME, Files, made
from tests.rigs.dns_host import PATIENCE, play, receive, send, until
from tests.rigs.played_upstream import Core, echo, first_two, upstream

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

SECRET = b"a question that nobody else may read"


def server(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def pin(files: Files) -> bytes:
    return pin_of(load_pem_x509_certificate(files.certificate.read_bytes()).public_bytes(Encoding.DER))


# What the server has, what is demanded -> why it is not asked.
UNPROVEN: dict[str, tuple[dict[str, float], dict[str, Any], str]] = {
    "another name": ({"days": 90}, {"name": "dns.other.example", "ca": True}, "Hostname mismatch"),
    "a root of nobody's": ({"days": 90}, {"name": NAME}, "unable to get local issuer certificate"),
    "another key": ({"days": 90}, {"pins": frozenset({bytes(32)})}, "its key is none of the pins"),
    "the name and another key": ({"days": 90}, {"name": NAME, "ca": True, "pins": frozenset({bytes(32)})}, "its key"),
    "an end that is past": ({"days": -0.5, "begins": -2}, {"name": NAME, "ca": True}, "certificate has expired"),
    "a file of roots that is not there": ({"days": 90}, {"name": NAME, "ca": False}, "No such file"),
}


@pytest.mark.parametrize("case", UNPROVEN)
def test_a_server_that_does_not_prove_itself_hears_nothing(tmp_path: Path, case: str) -> None:
    has, demanded, why = UNPROVEN[case]
    files, heard = made(tmp_path, **has), list[bytes]()
    ca = {True: files.root, False: tmp_path / "nowhere", None: None}[demanded.get("ca")]

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    async def scene() -> None:
        async with upstream(listening, tls=server(files)) as played:
            core = Core(proofs={played.address: Proof(**{**demanded, "ca": ca})})
            numbers = [core.ask(played.address, SECRET) for _ in range(30)]
            await until(lambda: len(core.faults) == 30)
            assert core.faults == dict.fromkeys(numbers, "not proven")
            assert why in core.upstreams.troubles[played.address]
            core.upstreams.close()
        assert SECRET not in b"".join(heard)

    play(scene)


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    said = await reader.read(4096)
    send(writer, said)
    await writer.drain()
    return said


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    return await reader.read(4096)


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    return await reader.read()


@pytest.mark.parametrize(
    ("behaviour", "fault"),
    [(plain, "not proven"), (hangs_up, "not proven"), (says_nothing, None)],
    ids=["plain DNS", "hangs up", "silent"],
)
def test_a_port_that_speaks_no_tls_reads_no_question(behaviour, fault: str | None) -> None:  # type: ignore[no-untyped-def]
    heard = list[bytes]()

    async def recording(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await behaviour(reader, writer))

    async def scene() -> None:
        # Of one that says nothing alone the time ends: what is said must not come after that on a busy machine.
        timing = Timing(opening=PATIENCE if fault else 0.3)
        async with upstream(recording) as played:
            core = Core(timing=timing, proofs={played.address: Proof(NAME)})
            number = core.ask(played.address, SECRET)
            await until(lambda: core.faults == {number: fault})
            await until(lambda: bool(heard))
            core.upstreams.close()
        assert heard[0][:1] == b"\x16", "it began with a handshake"
        assert SECRET not in b"".join(heard)

    play(scene)


@pytest.mark.parametrize("demanded", ["name", "pin", "both", "pin of an old certificate"])
def test_who_proves_itself_is_asked_on_one_connection_and_may_answer_out_of_order(
    tmp_path: Path, demanded: str
) -> None:
    old = demanded.endswith("old certificate")
    files = made(tmp_path, days=-0.5 if old else 90, begins=-2)
    name, ca = (None, None) if demanded.startswith("pin") else (NAME, files.root)
    pins = frozenset() if demanded == "name" else frozenset({pin(files), bytes(32)})

    async def backwards(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            for message in reversed([await receive(reader) for _ in range(4)]):
                send(writer, message)

    async def scene() -> None:
        async with upstream(backwards, tls=server(files)) as played:
            core = Core(proofs={played.address: Proof(name, ca, pins)})
            texts = [b"q%d" % number for number in range(4)]
            numbers = [core.ask(played.address, text) for text in texts]
            await core.said(4)
            assert core.heard == list(zip(reversed(numbers), reversed(texts), strict=True))
            assert len(played.connections) == 1
            assert core.upstreams.troubles == {}
            core.upstreams.close()

    play(scene)


def test_one_that_closes_after_two_answers_costs_no_question(tmp_path: Path) -> None:
    files = made(tmp_path)

    async def scene() -> None:
        async with upstream(first_two, tls=server(files)) as played:
            core = Core(proofs={played.address: Proof(NAME, files.root)})
            texts = [b"q%d" % number for number in range(30)]
            for text in texts:
                core.ask(played.address, text)
            assert sorted(await core.said(30)) == sorted(texts)
            assert core.faults == {}
            core.upstreams.close()

    play(scene)


def test_a_broken_one_costs_a_handshake_now_and_then_and_is_used_again_when_it_is_mended(tmp_path: Path) -> None:
    wrong, right = made(tmp_path / "wrong"), made(tmp_path / "right")

    async def scene() -> None:
        async with upstream(echo, tls=server(wrong)) as played:
            core = Core(timing=Timing(opening=5.0, pause=60.0), proofs={played.address: Proof(NAME, right.root)})
            core.ask(played.address, SECRET)
            await until(lambda: len(core.faults) == 1)
            core.upstreams.sweep()
            for _ in range(20):
                core.ask(played.address, SECRET)
            assert list(core.faults.values()) == ["not proven"] * 21, "at once, while it pauses"
            port = int(played.address.rpartition(":")[2])
            (line,) = core.upstreams._lines.values()
            line._opens_at = 0.0  # the pause is over
        async with upstream(echo, port, tls=server(right)):
            core.ask(played.address, b"again")
            assert await core.said(1) == [b"again"]
            assert core.upstreams.troubles == {}
            core.upstreams.close()

    play(scene)
