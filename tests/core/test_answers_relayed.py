"""What passes, passes as the upstream said it: dnslib composes the upstream's answers and reads the client's."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import pytest
from dnslib import (
    AAAA,
    CNAME,
    EDNS0,
    MX,
    NS,
    PTR,
    QTYPE,
    RCODE,
    RD,
    RR,
    SOA,
    SRV,
    TXT,
    A,
    DNSRecord,
    EDNSOption,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.rigs.answers import decided, extended_error, plane, question
from tests.rigs.plane import Relayed, finish, relayed

ZONE = SOA("ns", "me", (1, 1, 1, 1, 30))
LABEL = st.from_regex(r"[a-zA-Z0-9_]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?", fullmatch=True)
NAMES = st.lists(LABEL, min_size=1, max_size=6).map(".".join)
ADDRESS4 = st.ip_addresses(v=4).map(str)
ADDRESS6 = st.ip_addresses(v=6).map(str)
DATA: dict[str, st.SearchStrategy[Any]] = {
    "A": ADDRESS4.map(A),
    "AAAA": ADDRESS6.map(AAAA),
    "CNAME": NAMES.map(CNAME),
    "NS": NAMES.map(NS),
    "PTR": NAMES.map(PTR),
    "MX": st.builds(MX, NAMES, st.integers(0, 65535)),
    "SRV": st.builds(SRV, *[st.integers(0, 65535)] * 3, NAMES),
    "TXT": st.binary(max_size=200).map(TXT),
    "SOA": st.builds(SOA, NAMES, NAMES, st.tuples(*[st.integers(0, 2**31 - 1)] * 5)),
    "TYPE65280": st.binary(min_size=1, max_size=60).map(RD),
}


@st.composite
def records(draw: st.DrawFn, owner: str, least: int = 0) -> list[RR]:
    made = []
    for _ in range(draw(st.integers(least, 4))):
        rtype = draw(st.sampled_from(list(DATA)))
        number = int(rtype[4:]) if rtype.startswith("TYPE") else getattr(QTYPE, rtype)
        at = owner if draw(st.booleans()) else draw(NAMES)
        made.append(RR(at, number, ttl=draw(st.integers(1, 2**31 - 1)), rdata=draw(DATA[rtype])))
    return made


@dataclass(frozen=True)
class Exchange:
    """What a client asks, and what the upstream says to it."""

    name: str
    qtype: str
    asked: dict[str, Any]
    sections: list[list[RR]]
    flags: dict[str, int]
    options: list[tuple[int, bytes]]


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    name = draw(NAMES)
    bits = {bit: draw(st.integers(0, 1)) for bit in ("rd", "ad", "cd")}
    edns = {"edns": draw(st.none() | st.sampled_from([512, 1232, 4096])), "do": draw(st.booleans())}
    flags = {bit: draw(st.integers(0, 1)) for bit in ("aa", "ad", "ra")}
    flags["rcode"] = draw(st.sampled_from([0, 0, 2, 3]))
    options = draw(
        st.lists(
            st.tuples(
                st.sampled_from([3, 10, 15]),
                st.binary(max_size=20) | st.text(max_size=5).map(lambda why: b"\0\3" + why.encode()),
            )
        )
    )
    sections = [draw(records(name)) for _ in range(3)]
    return Exchange(name, draw(st.sampled_from(list(DATA))), bits | edns, sections, flags, options)


def said(forward: Relayed, sections: list[list[RR]], flags: dict[str, int], options: list[tuple[int, bytes]]) -> bytes:
    """The upstream's answer to what was relayed."""
    reply = DNSRecord.parse(forward.query).reply(ra=flags.get("ra", 1), aa=flags.get("aa", 0))
    reply.header.ad, reply.header.rcode = flags.get("ad", 0), flags.get("rcode", 0)
    reply.rr, reply.auth, reply.ar = (list(section) for section in sections)
    reply.add_ar(EDNS0(udp_len=4096, opts=[EDNSOption(code, data) for code, data in options]))
    return bytes(reply.pack())


def is_extended_error(data: bytes) -> bool:
    """Two octets of INFO-CODE, then UTF-8 (RFC 8914, section 2)."""
    with contextlib.suppress(UnicodeDecodeError):
        data[2:].decode()
        return len(data) >= 2
    return False


def content(message: DNSRecord) -> list[list[tuple[str, int, int, int, str]]]:
    """The records of the three sections, the OPT apart. A name that is compressed into the question has its case, which
    is the client's own in the answer; only text keeps the upstream's."""
    sections = [[rr for rr in section if rr.rtype != QTYPE.OPT] for section in (message.rr, message.auth, message.ar)]
    return [[(str(rr.rname).lower(), rr.rtype, rr.rclass, rr.ttl, _data(rr)) for rr in rrs] for rrs in sections]


def _data(rr: RR) -> str:
    return repr(rr.rdata) if rr.rtype == QTYPE.TXT else repr(rr.rdata).lower()


@given(exchanges())
def test_the_client_gets_every_record_that_the_upstream_sent(exchange: Exchange) -> None:
    asked, flags = question(exchange.name, exchange.qtype, **exchange.asked), exchange.flags
    on = plane(None)
    forward = relayed(on, asked)
    sent = DNSRecord.parse(forward.query)
    assert (sent.header.rd, sent.header.cd, sent.q.qtype) == (asked.header.rd, asked.header.cd, asked.q.qtype)
    assert str(sent.q.qname).lower() == str(asked.q.qname).lower()
    dnssec_ok = bool(asked.ar and asked.ar[0].edns_do)
    assert [(rr.rtype, rr.rclass, bool(rr.edns_do), rr.rdata) for rr in sent.ar] == [(QTYPE.OPT, 1232, dnssec_ok, [])]

    message = said(forward, exchange.sections, flags, exchange.options)
    answer = finish(on, forward, message)
    assert answer is not None
    reply, upstream = DNSRecord.parse(answer), DNSRecord.parse(message)
    assert content(reply) == content(upstream)
    header = reply.header
    assert (header.id, header.qr, header.tc) == (asked.header.id, 1, 0)
    assert (header.rd, header.cd) == (asked.header.rd, asked.header.cd)
    assert (header.aa, header.ra, header.rcode) == (flags["aa"], flags["ra"], flags["rcode"])
    assert header.ad == (flags["ad"] if asked.header.ad or dnssec_ok else 0)
    assert reply.q.qname.label == asked.q.qname.label
    opts = [rr for rr in reply.ar if rr.rtype == QTYPE.OPT]
    assert len(opts) == len(asked.ar)
    for opt in opts:
        assert (opt.rclass, bool(opt.edns_do)) == (1232, dnssec_ok)
        said_why = [(code, data) for code, data in exchange.options if code == 15 and is_extended_error(data)]
        assert [(option.code, bytes(option.data)) for option in opt.rdata] == said_why


@pytest.mark.parametrize("qtype", ["A", "TXT", "TYPE65280"])
def test_what_was_kept_is_given_again_to_the_next_in_its_own_case(qtype: str) -> None:
    on = plane(None)
    data = {"A": A("192.0.2.1"), "TXT": TXT("x" * 100), "TYPE65280": RD(b"\0\1\2")}[qtype]
    first = question("www.example.com", qtype)
    forward = relayed(on, first)
    rr = RR("www.example.com", first.q.qtype, ttl=300, rdata=data)
    message = said(forward, [[rr], [], []], {"ad": 1}, [(15, b"\0\4forged")])
    assert finish(on, forward, message) is not None
    for edns in (None, 1232):
        asked = question("wWw.eXample.coM", qtype, edns=edns)
        reply = decided(on, asked)
        [given_again] = reply.rr
        assert (str(given_again.rname), given_again.rtype) == ("wWw.eXample.coM.", rr.rtype)
        assert repr(given_again.rdata) == repr(data)
        assert 290 <= given_again.ttl <= 300
        assert extended_error(reply) == (None if edns is None else (4, "forged"))
    authentic = on.ask_stream(question("www.example.com", qtype, ad=1))
    assert isinstance(authentic, bytes)
    assert DNSRecord.parse(authentic).header.ad == 1
    for other in (
        question("www.example.com", qtype, rd=0),
        question("www.example.com", qtype, cd=1),
        question("www.example.com", qtype, edns=1232, do=True),
        question("www.example.com", "MX"),
        question("example.com", qtype),
    ):
        relayed(on, other)


@pytest.mark.parametrize(
    ("what", "sections", "flags", "kept"),
    [
        ("TTL 0", [[RR("a.example", ttl=0, rdata=A("192.0.2.1"))], [], []], {}, False),
        ("NODATA without SOA", [[], [], []], {}, False),
        ("NXDOMAIN without SOA", [[], [], []], {"rcode": 3}, False),
        ("a referral", [[], [RR("example", QTYPE.NS, ttl=60, rdata=NS("ns.example"))], []], {}, False),
        ("NODATA", [[], [RR("example", QTYPE.SOA, ttl=60, rdata=ZONE)], []], {}, True),
        ("NXDOMAIN", [[], [RR("example", QTYPE.SOA, ttl=9, rdata=ZONE)], []], {"rcode": 3}, True),
        ("SERVFAIL", [[], [], []], {"rcode": 2}, True),
        ("an address", [[RR("a.example", ttl=60, rdata=A("192.0.2.1"))], [], []], {}, True),
    ],
)
def test_what_is_kept(what: str, sections: list[list[RR]], flags: dict[str, int], kept: bool) -> None:
    on = plane(None)
    forward = relayed(on, question("a.example"))
    assert finish(on, forward, said(forward, sections, flags, [])) is not None
    again = on.ask_stream(question("a.example"))
    assert isinstance(again, bytes) == kept, what
    if isinstance(again, bytes):
        reply = DNSRecord.parse(again)
        assert RCODE.get(reply.header.rcode) == RCODE.get(flags.get("rcode", 0))
        assert all(rr.ttl <= 30 for rr in reply.auth)


def test_an_answer_to_something_else_is_none() -> None:
    on = plane(None)
    forward = relayed(on, question("www.example.com"))
    right = said(forward, [[RR("www.example.com", ttl=60, rdata=A("192.0.2.1"))], [], []], {}, [])
    wrong = {
        "nothing": b"",
        "a header": right[:12],
        "another id": bytes([right[0] ^ 1]) + right[1:],
        "a query": right[:2] + bytes([right[2] & 0x7F]) + right[3:],
        "another opcode": right[:2] + bytes([right[2] | 0x08]) + right[3:],
        "another name": right.replace(b"\3www", b"\3wwx", 1),
        "another case": right.replace(b"\3www", b"\3wWw", 1),
        "cut short": right[:-1],
        "two questions": right[:5] + b"\2" + right[6:],
    }
    for what, message in wrong.items():
        assert finish(on, forward, message) is None, what
    assert finish(on, forward, right) is not None
