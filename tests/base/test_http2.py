"""One GET over HTTP/2: what is sent, and every way in which a server may answer."""

from __future__ import annotations

import socket
import threading

import pytest

from resolver.base.http2 import HttpError, get

SETTINGS, ACKED = b"\0\0\0\4\0\0\0\0\0", b"\0\0\0\4\1\0\0\0\0"
OK, LAST = b"\x88", 1


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def answered(*frames: bytes, path: str = "/dns-query?dns=AAAA") -> tuple[bytes, bytes]:
    """The body, and all that the client sent."""
    ours, theirs = socket.socketpair()
    sent = []

    def serve() -> None:
        theirs.sendall(b"".join(frames))
        theirs.shutdown(socket.SHUT_WR)
        while part := theirs.recv(4096):
            sent.append(part)

    server = threading.Thread(target=serve)
    server.start()
    try:
        body = get(ours, "dns.isp.example", path, "application/dns-message")
    finally:
        ours.close()
        server.join()
        theirs.close()
    return body, b"".join(sent)


def test_the_request_is_a_preface_settings_and_one_block_of_plain_headers() -> None:
    body, sent = answered(SETTINGS, frame(1, 4, OK), frame(0, LAST, b"answer"))
    block = b"\x82\x87\x01\x0fdns.isp.example\x04\x13/dns-query?dns=AAAA\x0f\x04\x17application/dns-message"
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert body == b"answer"
    assert sent == preface + SETTINGS + frame(1, 5, block) + ACKED


def test_a_long_path_has_its_length_in_several_octets() -> None:
    path = "/" + "x" * 400
    _, sent = answered(frame(1, 4, OK), frame(0, LAST, b""), path=path)
    assert b"\x04\x7f\x92\x02" + path.encode() in sent, "RFC 7541, 5.1: 127 + 0x12 + 2 * 128 = 401"


@pytest.mark.parametrize(
    ("frames", "body"),
    [
        ([frame(1, 4, OK), frame(0, 0, b"an"), frame(0, LAST, b"swer")], b"answer"),
        ([frame(1, 4, OK), frame(0, 8 | LAST, b"\x02answer\0\0")], b"answer"),
        ([frame(1, 4 | 8, b"\x01" + OK + b"\0"), frame(0, LAST, b"x")], b"x"),
        ([frame(1, 4, b"\x20" + OK), frame(0, LAST, b"x")], b"x"),
        ([frame(1, 4 | LAST, OK)], b""),
        ([frame(6, 0, b"12345678", 0), frame(8, 0, b"\0\0\1\0", 0), frame(1, 4, OK), frame(0, LAST, b"x")], b"x"),
        ([frame(0, LAST, b"pushed", 2), frame(1, 4, OK), frame(0, LAST, b"x")], b"x"),
    ],
)
def test_what_a_server_may_send_is_read(frames: list[bytes], body: bytes) -> None:
    assert answered(SETTINGS, ACKED, *frames)[0] == body


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([frame(1, 5, b"\x8d")], "status 404"),
        ([frame(1, 5, b"\x08\x03502")], "other than 200"),
        ([frame(1, 5, b"")], "other than 200"),
        ([frame(3, 0, b"\0\0\0\7")], "error 7"),
        ([frame(7, 0, b"\0\0\0\1\0\0\0\2", 0)], "error 2"),
        ([frame(1, 4, OK), *[frame(0, 0, bytes(16_384))] * 4], "longer than any DNS message"),
    ],
)
def test_what_is_no_answer_is_an_error_with_its_reason(frames: list[bytes], why: str) -> None:
    with pytest.raises(HttpError, match=why):
        answered(SETTINGS, *frames)


@pytest.mark.parametrize("sent", [b"", SETTINGS, SETTINGS[:4], frame(1, 4, OK) + b"\0\0\5"])
def test_a_connection_that_ends_early_is_an_error(sent: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        answered(sent)
