"""Answers and queries at the borders of what is usual: too long, without a question, with what is not for clients."""

from __future__ import annotations

import struct

import pytest
from dnslib import AAAA, EDNS0, MX, QTYPE, RR, A, DNSRecord, EDNSOption

from tests.rigs.plane import Rig, Upstream, answer, query, rig


def with_hosts(question: DNSRecord, *, opt_first: bool = False) -> DNSRecord:
    """Eight mail servers and their addresses of both families."""
    reply = question.reply()
    reply.header.ad = 0
    hosts = [f"mail{number}.example.com" for number in range(8)]
    for host in hosts:
        reply.add_answer(RR("example.com", QTYPE.MX, ttl=300, rdata=MX(host, 10)))
    if opt_first:
        reply.add_ar(EDNS0(udp_len=1232))
    for number, host in enumerate(hosts):
        reply.add_ar(RR(host, QTYPE.A, ttl=300, rdata=A(f"192.0.2.{number}")))
        reply.add_ar(RR(host, QTYPE.A, ttl=300, rdata=A(f"198.51.100.{number}")))
        reply.add_ar(RR(host, QTYPE.AAAA, ttl=300, rdata=AAAA(f"2001:db8::{number}")))
    return reply


def asked(r: Rig, upstream: Upstream, question: DNSRecord, reply: DNSRecord | None) -> bytes:
    """What the client gets over UDP; `reply` is the upstream's, if it is to be asked."""
    r.send(question)
    if reply is not None:
        relayed, source = upstream.take()
        reply.header.id, reply.questions = relayed.header.id, relayed.questions
        upstream.say(reply, source)
        r.plane.pump()
    assert upstream.waiting() == []
    return r.client.recv(65535)


@pytest.mark.parametrize("opt_first", [False, True])
@pytest.mark.parametrize("size", [None, 512, 700, 1232])
def test_addresses_are_left_out_in_whole_sets_and_tc_is_not_said(size: int | None, opt_first: bool) -> None:
    upstream = Upstream()
    question = query("example.com", "MX")
    if size:
        question.add_ar(EDNS0(udp_len=size))
    whole = with_hosts(question, opt_first=opt_first)
    with rig(upstream) as r:
        for reply in (whole, None):  # from the upstream, then from the cache
            message = asked(r, upstream, question, reply)
            assert len(message) <= (size or 512)
            told = DNSRecord.parse(message)
            assert (told.header.tc, len(told.rr), told.auth) == (0, 8, [])
            addresses = [rr for rr in told.ar if rr.rtype != QTYPE.OPT]
            expected = [rr for rr in whole.ar if rr.rtype != QTYPE.OPT]
            assert [(str(rr.rname), rr.rtype, repr(rr.rdata)) for rr in addresses] == [
                (str(rr.rname), rr.rtype, repr(rr.rdata)) for rr in expected[: len(addresses)]
            ]
            assert len(addresses) % 3 in (0, 2), "a set in part"
            if size == 1232:
                assert addresses == expected
            elif not opt_first or reply is None:
                assert addresses, "there was room for some"


@pytest.mark.parametrize("octets", [1, 2, 468, 1400, 3900])
def test_a_query_with_padding_of_up_to_4096_octets_is_a_query(octets: int) -> None:
    upstream = Upstream()
    question = query("example.com")
    question.add_ar(EDNS0(udp_len=1232, opts=[EDNSOption(12, bytes(octets))]))
    with rig(upstream) as r:
        message = asked(r, upstream, question, answer(question))
        assert (DNSRecord.parse(message).header.rcode, len(DNSRecord.parse(message).rr)) == (0, 1)


@pytest.mark.parametrize("octets", [4200, 9000, 60_000])
def test_a_longer_one_is_a_format_error_of_a_server_that_speaks_edns(octets: int) -> None:
    upstream = Upstream()
    question = query("example.com")
    question.add_ar(EDNS0(udp_len=1232, flags="do", opts=[EDNSOption(12, bytes(octets))]))
    with rig(upstream) as r:
        told = DNSRecord.parse(asked(r, upstream, question, None))
        assert (told.header.rcode, told.header.tc, str(told.q.qname)) == (1, 0, "example.com.")
        assert [(rr.rtype, rr.rclass, rr.edns_do) for rr in told.ar] == [(QTYPE.OPT, 1232, 1)]


@pytest.mark.parametrize("rcode", range(6))
def test_an_error_that_is_a_header_alone_is_an_answer_and_nothing_else_is(rcode: int) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("example.com", edns=True))
        relayed, source = upstream.take()
        upstream.say(struct.pack(">6H", relayed.header.id, 0x8180 | rcode, 0, 0, 0, 0), source)
        r.plane.pump()
        if rcode in (0, 3):
            assert r.silent()
            assert r.count("upstream_mismatches") == 1
            upstream.say(answer(relayed), source)
            r.plane.pump()
            assert len(r.receive().rr) == 1
            return
        if rcode == 1:  # FORMERR without an OPT may mean "no EDNS here": it is asked once more without one
            relayed, source = upstream.take()
            assert relayed.ar == []
            upstream.say(struct.pack(">6H", relayed.header.id, 0x8180 | rcode, 0, 0, 0, 0), source)
            r.plane.pump()
        told = r.receive()
        assert (told.header.rcode, str(told.q.qname), len(told.ar)) == (rcode, "example.com.", 1)
        assert r.count("upstream_mismatches") == 0


def test_what_is_between_the_upstream_and_us_does_not_reach_the_client() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        question = query("example.com", edns=True)
        r.send(question)
        relayed, source = upstream.take()
        reply = answer(relayed)
        codes = [b"", b"\0", b"\0\3\xff", b"\0\3fine"]
        reply.add_ar(EDNS0(udp_len=4096, opts=[EDNSOption(15, code) for code in codes]))
        reply.add_ar(RR("late.example.com", QTYPE.A, ttl=60, rdata=A("192.0.2.9")))
        message = bytearray(reply.pack())
        message[11] += 1
        tsig = b"\3key\0" + struct.pack(">HHIH", 250, 255, 0, 16) + bytes(16)
        upstream.say(bytes(message) + tsig, source)
        r.plane.pump()
        told = r.receive()
        assert [rr.rtype for rr in told.ar] == [QTYPE.A, QTYPE.OPT]
        assert str(told.ar[0].rname) == "late.example.com."
        assert [(option.code, bytes(option.data)) for option in told.ar[1].rdata] == [(15, b"\0\3fine")]
