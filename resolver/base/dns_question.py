"""One DNS question to a live server, over UDP, TCP or TLS, and the parts of the answer that show who blocked it.

`exchange` sends a question as it is and returns the reply; `ask` asks a resolver with EDNS and reads the answer.
"""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dnslib import EDNS0, QTYPE, RCODE, RR, DNSError, DNSRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.base.proven import Proof

EDE = 15  # the EDNS option, RFC 8914
PATIENCE = 2.0
TRIES = 3


@dataclass(frozen=True)
class Answer:
    """What came back."""

    rcode: str
    records: tuple[str, ...]
    ede: int | None = None
    text: str = ""
    owners: tuple[str, ...] = ()
    """The names that own the records, each once, in lower case without a final dot."""
    beside: tuple[str, ...] = ()
    """Likewise, those of the additional section."""

    def __str__(self) -> str:
        said = f"{self.rcode} {' '.join(self.records)}".rstrip()
        return said if self.ede is None else f"{said} (EDE {self.ede}: {self.text})"


def ask(
    host: str,
    port: int,
    name: str,
    kind: str = "A",
    *,
    tcp: bool = False,
    tries: int = TRIES,
    proof: Proof | None = None,
) -> Answer | None:
    """The answer; `None` where there is none within the patience, `tries` times `PATIENCE` over UDP. With a proof over
    TLS alone, to a server that has it."""
    question = DNSRecord.question(name, kind)
    question.add_ar(EDNS0(udp_len=1232))
    try:
        reply = exchange(host, port, question, tcp=tcp, tries=tries, proof=proof)
    except (OSError, DNSError):
        return None
    records = tuple(str(record.rdata) for record in reply.rr)
    owners, beside = _owners(reply.rr), _owners(record for record in reply.ar if record.rtype != QTYPE.OPT)
    return Answer(str(RCODE.get(reply.header.rcode)), records, *extended_error(reply), owners, beside)


def _owners(records: Iterable[RR]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(record.rname).lower().removesuffix(".") for record in records))


def exchange(
    host: str,
    port: int,
    question: DNSRecord,
    *,
    tcp: bool = False,
    tries: int = TRIES,
    proof: Proof | None = None,
) -> DNSRecord:
    """The reply to `question`, which is sent under a random id, over UDP up to `tries` times.

    Raises `OSError` where nobody answers in time or the answer carries another id, `DNSError` where it is no message.
    """
    question.header.id = secrets.randbelow(1 << 16)
    packet = bytes(question.pack())
    over_stream = tcp or proof is not None
    said = over_tcp(host, port, packet, proof=proof) if over_stream else _over_udp(host, port, packet, tries)
    reply = DNSRecord.parse(said)
    if reply.header.id != question.header.id:
        raise ConnectionError("the answer carries another id than the question")
    return reply


def extended_error(reply: DNSRecord) -> tuple[int | None, str]:
    """INFO-CODE and text of the last Extended DNS Error (RFC 8914); `None` and no text where there is none."""
    code, text = None, ""
    for record in reply.ar:
        if record.rtype == QTYPE.OPT:
            for option in record.rdata:
                if option.code == EDE:
                    code, text = int.from_bytes(option.data[:2], "big"), option.data[2:].decode("utf-8", "replace")
    return code, text


def _over_udp(host: str, port: int, packet: bytes, tries: int) -> bytes:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(PATIENCE)
        link.connect((host, port))
        for attempt in range(tries):
            link.send(packet)
            try:
                return link.recv(65535)
            except TimeoutError:
                if attempt == tries - 1:
                    raise
    raise TimeoutError


def over_tcp(
    host: str, port: int, packet: bytes, *, proof: Proof | None = None, patience: float = PATIENCE * TRIES
) -> bytes:
    """What the server answers to the message. Raises `OSError`, also where it does not prove who it is."""
    connected = socket.create_connection((host, port), timeout=patience)
    with connected if proof is None else proof.wrapped(connected) as stream:
        stream.sendall(len(packet).to_bytes(2, "big") + packet)
        with stream.makefile("rb") as answers:
            size = int.from_bytes(answers.read(2), "big")
            reply = answers.read(size)
    if not size or len(reply) < size:
        raise ConnectionResetError("the connection ended before the answer did")
    return reply
