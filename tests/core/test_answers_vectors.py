"""The datagrams of tests/vectors over real sockets, and the same octets as a stream's messages."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rigs.answers import plane
from tests.rigs.plane import STREAM_LIMITS, Upstream, rig

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "datagrams.txt"


def rows() -> Iterator[tuple[str, bytes, str]]:
    """What it is, the datagram, and the answer (hexadecimal, `nothing` or `passes`)."""
    for row in VECTORS.read_text().split("\n= ")[1:]:
        what, sent, answered = row.splitlines()[:3]
        yield what, bytes.fromhex(sent.removeprefix("> ")), answered.removeprefix("< ")


def question(message: bytes) -> bytes:
    """The question section, its name in lower case (length octets are below `A`)."""
    end = 12
    while message[end]:
        end += 1 + message[end]
    return message[12:end].lower() + message[end : end + 5]


def arrived(upstream: Upstream) -> list[bytes]:
    """The datagrams that reached the upstream, as octets: dnslib reads no name with a zero in a label."""
    found = []
    upstream.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(upstream.socket.recv(65535))
    return found


@pytest.mark.parametrize(("what", "sent", "answered"), [pytest.param(*row, id=row[0]) for row in rows()])
def test_each_datagram_gets_the_answer_that_stands_beside_it(what: str, sent: bytes, answered: str) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(sent)
        relayed = arrived(upstream)
        if answered == "passes":
            # The question, in lower case, and an OPT of our own that ends the message.
            assert [message[12:-11] for message in relayed] == [question(sent)]
            assert relayed[0][-11:-6] == b"\0\0\x29\x04\xd0"
            return
        assert relayed == []
        if answered == "nothing":
            assert r.silent()
        else:
            assert r.client.recv(65535).hex() == answered


def test_a_stream_is_answered_with_the_same_octets() -> None:
    on = plane(None, streams=STREAM_LIMITS | {"total": 1000, "per_client": 1000})
    for number, (what, sent, answered) in enumerate(rows()):
        decision = on.ask_stream(sent, number)
        match answered:
            case "passes":
                assert decision is True, what
            case "nothing":
                assert decision is False, what
            case _:
                assert isinstance(decision, bytes), what
                assert decision.hex() == answered, what


@pytest.mark.parametrize("length", [0, 1, 2, 12, 17, 29, 30, 40])
def test_a_query_cut_anywhere_never_reaches_an_upstream(length: int) -> None:
    whole = next(sent for what, sent, _ in rows() if what == "EDNS with a cookie and a client subnet")
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(whole[:length])
        assert upstream.waiting() == []
        assert r.count("panics") == 0
