"""DNS questions that the demo asks, and what it reads in the answers.

Enters: an address, a name, a type, a transport. Leaves: an `Answer`: the rcode, the data of the answer section, the
Extended DNS Error. Raises `OSError` where nobody answers in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dnslib import EDNS0, QTYPE, RCODE, DNSQuestion, DNSRecord

from resolver.base.dns_question import exchange, extended_error

if TYPE_CHECKING:
    from resolver.config.schema import Endpoint

Transport = Literal["UDP", "TCP"]


@dataclass(frozen=True)
class Answer:
    """What came back, as a person reads it."""

    rcode: str
    data: tuple[str, ...]
    ede: int | None = None
    ede_text: str = ""

    def __str__(self) -> str:
        if self.rcode == "NOERROR" and not self.data:
            return "NODATA"
        return ", ".join(self.data) or self.rcode


def ask(server: Endpoint, name: str, qtype: str, transport: Transport = "UDP", *, edns: bool = False) -> Answer:
    """One question, asked again over UDP where the datagram got lost."""
    query = DNSRecord(q=DNSQuestion(name, QTYPE.reverse[qtype]))
    query.header.rd = 1
    if edns:
        query.add_ar(EDNS0(udp_len=1232))
    reply = exchange(server.host, server.port, query, tcp=transport == "TCP")
    records = tuple(str(record.rdata) for record in reply.rr)
    return Answer(str(RCODE.get(reply.header.rcode)), records, *extended_error(reply))
