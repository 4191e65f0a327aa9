"""`stopsign ask`: what a support desk sees, over each transport."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from resolver import _core
from tests.rigs.certificates import made
from tests.rigs.command_line import run
from tests.rigs.dns_host import PATIENCE, bound_sockets, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REASON = {"c": ["mailto:a@isp.example"], "j": "Authority\u202e, law", "o": "Isp", "l": "en"}


def answer(query: bytes, text: str) -> bytes:
    """A blocked answer; the question has to ask for structured errors both ways."""
    asked = dns.message.from_wire(query)
    assert {int(option.otype) for option in asked.options} >= {15, 26}
    assert asked.flags & dns.flags.RD
    reply = dns.message.make_response(asked)
    if asked.question[0].rdtype == dns.rdatatype.A:
        reply.answer.append(dns.rrset.from_text(asked.question[0].name, 60, "IN", "A", "192.0.2.66"))
    error: list[dns.edns.Option] = [dns.edns.EDEOption(dns.edns.EDECode.CENSORED, text)]
    reply.use_edns(0, options=error if text else [])
    return reply.to_wire()


@contextlib.contextmanager
def served(text: str, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """UDP and TCP on one port of loopback, TCP inside TLS where there is a context."""
    (udp, tcp), over = bound_sockets(), threading.Event()
    port = udp.getsockname()[1]
    with udp, tcp:
        tcp.listen()

        def datagrams() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    message, client = udp.recvfrom(4096)
                    udp.sendto(answer(message, text), client)

        def streams() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError, OSError):
                    plain, _ = tcp.accept()
                    plain.settimeout(PATIENCE)
                    with plain if context is None else context.wrap_socket(plain, server_side=True) as stream:
                        length = int.from_bytes(stream.recv(2))
                        said = answer(stream.recv(length), text)
                        stream.sendall(len(said).to_bytes(2) + said)

        for one in (udp, tcp):
            one.settimeout(0.05)
        threads = [threading.Thread(target=work) for work in (datagrams, streams)]
        for thread in threads:
            thread.start()
        try:
            yield port
        finally:
            over.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_the_reason_of_a_block_is_shown_once_and_in_words(over: str, capsys: pytest.CaptureFixture[str]) -> None:
    with served(json.dumps(REASON)) as port:
        status, out, _ = run(capsys, "ask", "bet.example", "--over", over, "--server", f"127.0.0.1:{port}")
    assert status == 0
    assert out.splitlines() == [
        f"bet.example over {over} from 127.0.0.1:{port}",
        "A      NOERROR   192.0.2.66",
        "AAAA   NOERROR   -",
        "HTTPS  NOERROR   -",
        "Censored (EDE 16)",
        '  contact: ["mailto:a@isp.example"]',
        "  why: Authority\ufffd, law",
        "  by: Isp",
        "  l: en",
    ]


@pytest.mark.parametrize("typed", ["https://bet.example/a?b", "BET.example."])
def test_what_people_read_out_is_understood(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with served("") as port:
        out = run(capsys, "ask", typed, "--server", f"127.0.0.1:{port}")[1]
    assert out.startswith("bet.example over udp")


def test_a_program_gets_every_answer_and_the_parsed_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with served(json.dumps(REASON)) as port:
        _, out, _ = run(capsys, "ask", "bet.example", "--server", f"127.0.0.1:{port}", "--json")
    found: dict[str, Any] = json.loads(out)
    assert [(one["type"], one["rcode"], one["records"]) for one in found["answers"]] == [
        ("A", "NOERROR", ["192.0.2.66"]), ("AAAA", "NOERROR", []), ("HTTPS", "NOERROR", []),
    ]  # fmt: skip
    assert {one["ede"] for one in found["answers"]} == {16}
    assert found["answers"][0]["reason"] == REASON


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("REFERENCE https://stop.example", "  REFERENCE https://stop.example"),
        ("[1]", "  [1]"),
        ("", "no reason is given"),
    ],
)
def test_a_text_that_is_no_object_is_shown_as_it_is(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with served(text) as port:
        assert run(capsys, "ask", "bet.example", "--server", f"127.0.0.1:{port}")[1].splitlines()[-1] == said


def test_over_tls_the_server_has_to_prove_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = made(tmp_path, "dns.isp.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    with served(json.dumps(REASON), context) as port:
        at = ["ask", "bet.example", "--over", "tls", "--server", f"127.0.0.1:{port}", "--ca", files.root]
        assert run(capsys, *at, "--server-name", "dns.isp.example")[0] == 0
        status, _, said = run(capsys, *at, "--server-name", "other.example")
        assert (status, "is not verified: Hostname mismatch" in said) == (2, True)
        assert "hint" not in said


def test_a_certificate_of_an_unknown_authority_leads_to_the_option_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = made(tmp_path, "dns.isp.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    with served(json.dumps(REASON), context) as port:
        at = ["ask", "bet.example", "--over", "tls", "--server", f"127.0.0.1:{port}"]
        status, _, said = run(capsys, *at, "--server-name", "dns.isp.example")
    assert status == 2
    assert "the certificate is not verified: unable to get local issuer certificate\n" in said
    assert "hint: --ca FILE, for an authority of your own" in said


def test_over_quic_the_same_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise _core.CoreError("invalid peer certificate: UnknownIssuer")

    monkeypatch.setattr(_core, "ask_quic", refuse)
    status, _, said = run(capsys, "ask", "bet.example", "--over", "quic", "--server", "127.0.0.1:1")
    assert (status, "hint: --ca FILE" in said) == (2, True)


def test_nobody_there_is_said_and_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, said = run(capsys, "ask", "bet.example", "--over", "tcp", "--server", f"127.0.0.1:{free_port()}")
    assert (status, out) == (2, "")
    assert "no answer from 127.0.0.1" in said


def test_what_is_no_name_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, said = run(capsys, "ask", "a..b", "--server", "127.0.0.1:1")
    assert (status, "is not a name" in said) == (2, True)
