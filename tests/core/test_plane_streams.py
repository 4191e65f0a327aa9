"""One relay for datagrams and streams: what holds for a query that came by one holds for one that came by the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dnslib import QTYPE, RCODE, RR, TXT, DNSRecord

from tests.rigs.plane import Rig, Upstream, answer, cut, failing, query, rig

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = {"upstream_timeout_ms": 100, "patience_ms": 800}


def long(question: DNSRecord) -> DNSRecord:
    reply = question.reply()
    reply.header.ad = 0
    for number in range(10):
        reply.add_answer(RR(question.q.qname, QTYPE.TXT, ttl=300, rdata=TXT(f"{number:0200}")))
    return reply


def answer_next(
    r: Rig, upstream: Upstream, reply: DNSRecord | Callable[[DNSRecord], DNSRecord] | None = None
) -> DNSRecord:
    question, source = upstream.take()
    made = reply(question) if callable(reply) else reply
    upstream.say(made or answer(question), source)
    r.plane.pump()
    return question


def test_a_query_on_a_stream_is_asked_by_datagram_and_its_answer_comes_out_with_its_stream_and_fills_the_cache() -> (
    None
):
    upstream = Upstream()
    with rig(upstream) as r:
        asked = query("www.ExAmPlE.com", edns=True)
        assert r.ask_stream(asked, 7) is True
        question, source = upstream.take()
        upstream.say(answer(question), source)
        r.plane.pump()
        reply = r.until_stream(7)
        assert (reply.header.id, str(reply.q.qname)) == (asked.header.id, "www.ExAmPlE.com.")
        assert str(reply.rr[0].rdata) == "198.51.100.7"
        assert isinstance(r.ask_stream(query("www.example.com")), bytes)
        assert r.ask(query("www.example.com")).header.rcode == 0
        assert (r.plane.in_flight, r.stream_answers(), upstream.waiting()) == (0, [], [])


def test_equal_questions_by_datagram_and_on_streams_are_asked_once() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        assert r.ask_stream(query("example.com"), 1) is True
        r.send(query("example.com"))
        asked = [query("example.com"), query("EXAMPLE.com")]
        asked[1].header.id = asked[0].header.id
        for message in asked:
            assert r.ask_stream(message, 2) is True
        ((question, source),) = upstream.waiting()
        upstream.say(answer(question), source)
        r.plane.pump()
        assert r.receive().header.rcode == 0
        answers = [(stream, DNSRecord.parse(message)) for stream, message in r.stream_answers()]
        assert sorted((stream, str(reply.q.qname)) for stream, reply in answers) == [
            (1, "example.com."), (2, "EXAMPLE.com."), (2, "example.com."),
        ]  # fmt: skip
        assert (r.count("relayed"), r.count("joined"), r.count("repeated")) == (1, 3, 0)


@pytest.mark.parametrize(
    ("settings", "cap"),
    [
        ({"max_in_flight": 10}, "cap_worker"),
        ({"per_client_in_flight": 10}, "cap_client"),
        ({"per_zone_in_flight": 10}, "cap_zone"),
    ],
)
def test_the_caps_hold_for_streams_and_datagrams_together(settings: dict[str, int], cap: str) -> None:
    upstream = Upstream()
    with rig(upstream, **settings) as r:
        for number in range(10):
            message = query(f"n{number}.victim.example")
            if number % 2:
                r.send(message)
            else:
                assert r.ask_stream(message, number) is True
        beyond = r.ask_stream(query("n10.victim.example"))
        assert isinstance(beyond, bytes)
        assert DNSRecord.parse(beyond).header.rcode == RCODE.SERVFAIL
        assert r.ask(query("n10.victim.example")).header.rcode == RCODE.SERVFAIL
        assert r.count(cap) == 2
        for question, source in upstream.waiting():
            upstream.say(answer(question), source)
        r.plane.pump()
        assert len(r.stream_answers()) == 5
        assert r.ask_stream(query("n10.victim.example")) is True


def test_no_more_than_sixty_four_wait_for_one_question() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        for number in range(64):
            assert r.ask_stream(query("example.com"), number) is True
        assert isinstance(r.ask_stream(query("example.com")), bytes)
        assert r.count("cap_waiters") == 1


def test_a_lone_upstream_gets_the_whole_of_a_clients_patience() -> None:
    upstream = Upstream()
    with rig(upstream, upstream_timeout_ms=100, patience_ms=4000) as r:
        assert r.ask_stream(query("slow.example")) is True
        question, source = upstream.take()
        for _ in range(2):  # twice its time is over: asked again, and not given up
            r.until(upstream.waiting)
        upstream.say(answer(question), source)
        assert r.until_stream().header.rcode == 0
        assert r.count("gave_up") == 0


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR"])
def test_where_the_first_upstream_fails_the_next_one_is_asked(rcode: str) -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second) as r:
        assert r.ask_stream(query("example.com")) is True
        question, source = first.take()
        upstream_says = failing(question, rcode)
        first.say(upstream_says, source)
        r.plane.pump()
        answer_next(r, second)
        assert r.until_stream().header.rcode == 0


def test_a_silent_upstream_is_passed_over_and_its_late_answer_is_kept() -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second, **QUICK) as r:
        assert r.ask_stream(query("example.com")) is True
        late, source = first.take()
        r.until(second.waiting)
        assert r.until_stream().header.rcode == RCODE.SERVFAIL
        first.say(answer(late), source)
        r.until(lambda: r.count("upstream_late"))
        assert isinstance(r.ask_stream(query("example.com")), bytes)


def test_a_stream_gets_a_stale_answer_as_a_datagram_does_and_the_question_goes_on() -> None:
    upstream = Upstream()
    with rig(upstream, upstream_timeout_ms=60_000, patience_ms=60_000) as r:
        r.send(query("known.example"))
        question, source = upstream.take()
        upstream.say(answer(question, ttl=1), source)
        r.plane.pump()
        r.receive()
        r.until(lambda: r.ask_stream(query("known.example")) is True)
        reply = r.until_stream()
        assert (reply.header.rcode, reply.rr[0].ttl) == (0, 30)
        question, source = upstream.take()
        upstream.say(answer(question, ttl=300), source)
        r.plane.pump()
        assert r.stream_answers() == [], "one answer each"
        assert r.ask(query("known.example")).rr[0].ttl > 30


def test_of_a_truncated_answer_datagrams_have_the_tc_and_streams_the_whole_over_tcp() -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second) as r:
        assert r.ask_stream(query("long.example", "TXT"), 1) is True
        r.send(query("long.example", "TXT"))
        question, source = first.take()
        first.say(cut(question), source)
        r.plane.pump()
        assert r.receive().header.tc == 1
        assert r.stream_answers() == []
        ask = r.until_tcp()
        assert ask.upstream == first.address, "who said so has it"
        assert r.ask_stream(query("long.example", "TXT"), 2) is True
        assert (r.tcp_asks(), first.waiting(), second.waiting()) == ([], [], [])
        assert r.say_tcp(ask, long)
        answers = dict(r.stream_answers())
        assert sorted(answers) == [1, 2]
        assert all(len(DNSRecord.parse(message).rr) == 10 for message in answers.values())
        assert r.plane.in_flight == 0


def test_without_a_stream_that_waits_a_truncated_answer_asks_nobody_again() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("long.example", "TXT"))
        question, source = upstream.take()
        upstream.say(cut(question), source)
        r.plane.pump()
        assert r.receive().header.tc == 1
        assert (r.tcp_asks(), r.plane.in_flight) == ([], 0)


def test_what_is_known_to_be_too_long_for_a_datagram_is_asked_over_tcp_at_once() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("long.example", "TXT"))
        answer_next(r, upstream, cut)
        assert r.receive().header.tc == 1
        assert r.ask_stream(query("long.example", "TXT")) is True
        ask = r.until_tcp()
        assert upstream.waiting() == []
        assert r.say_tcp(ask, long)
        assert len(r.until_stream().rr) == 10
        assert r.plane.in_flight == 0


def test_nobody_waits_for_an_upstream_that_is_known_to_answer_no_tcp() -> None:
    upstream = Upstream()
    with rig(upstream, patience_ms=600_000) as r:
        r.send(query("short.example"))
        answer_next(r, upstream)

        while not r.plane.upstreams()[0]["tcp_closed"]:
            for own in r.until(r.plane.take_tcp_asks):
                r.plane.tcp_failed(own)
        over_tcp(r, upstream)
        r.plane.tcp_failed(r.until_tcp())
        assert r.until_stream().header.rcode == RCODE.SERVFAIL


def test_an_upstream_without_edns_is_asked_once_more_without_an_opt() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("plain.example", edns=True))
        first = answer_next(r, upstream, lambda question: bare(question, "FORMERR"))
        assert (len(first.ar), r.silent()) == (1, True)
        again = answer_next(r, upstream)
        assert (again.ar, again.q) == ([], first.q)
        told = r.receive()
        assert (told.header.rcode, len(told.rr), len(told.ar)) == (RCODE.NOERROR, 1, 1)
        assert (r.state(), r.plane.in_flight) == ("up", 0)


def test_an_upstream_without_edns_that_cannot_read_the_question_is_asked_twice_and_no_more() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("plain.example"))
        for _ in range(2):
            answer_next(r, upstream, lambda question: bare(question, "FORMERR"))
        assert r.receive().header.rcode == RCODE.FORMERR
        assert upstream.waiting() == []


def test_a_format_error_of_a_server_that_speaks_edns_is_its_answer() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("strange.example"))
        answer_next(r, upstream, lambda question: failing(question, "FORMERR"))
        assert r.receive().header.rcode == RCODE.FORMERR
        assert upstream.waiting() == []


def test_over_tcp_too_an_upstream_without_edns_is_asked_once_more() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        over_tcp(r, upstream)
        assert r.say_tcp(r.until_tcp(), lambda question: bare(question, "FORMERR"))
        ask = r.until_tcp()
        assert DNSRecord.parse(ask.message).ar == []
        assert r.say_tcp(ask, long)
        assert len(r.until_stream().rr) == 10


def bare(question: DNSRecord, rcode: str) -> DNSRecord:
    """An error without an OPT."""
    reply = failing(question, rcode)
    reply.ar = []
    return reply


def over_tcp(r: Rig, upstream: Upstream) -> None:
    """A stream's question that is asked over TCP."""
    assert r.ask_stream(query("long.example", "TXT")) is True
    question, source = upstream.take()
    upstream.say(cut(question), source)
    r.plane.pump()


def test_over_tcp_too_the_next_upstream_is_asked_where_one_fails_or_errs_or_is_silent() -> None:
    for trouble in ("failed", "SERVFAIL", "REFUSED", "silent"):
        first, second = Upstream(), Upstream()
        with rig(first, second, **QUICK) as r:
            over_tcp(r, first)
            ask = r.until_tcp()
            if trouble == "failed":
                r.plane.tcp_failed(ask)
            elif trouble != "silent":
                assert r.say_tcp(ask, lambda question: failing(question, trouble))  # noqa: B023 - called at once
            after = r.until_tcp()
            assert (ask.upstream, after.upstream) == (first.address, second.address), trouble
            assert (r.plane.take_tcp_overdue() == [ask.number]) == (trouble == "silent")
            assert ask.question == after.question
            assert r.say_tcp(after, long)
            assert len(r.until_stream().rr) == 10
            assert r.state() == "up", "what comes of TCP is no matter of datagrams"


def test_a_lone_upstream_is_asked_again_over_tcp_and_either_answer_counts() -> None:
    for late in (False, True):
        upstream = Upstream()
        with rig(upstream, upstream_timeout_ms=100, patience_ms=4000) as r:
            over_tcp(r, upstream)
            asks = [r.until_tcp(), r.until_tcp()]
            assert r.say_tcp(asks[0 if late else 1], long)
            assert len(r.until_stream().rr) == 10
            assert r.say_tcp(asks[1 if late else 0], long)
            assert r.stream_answers() == []


def test_what_is_no_answer_over_tcp_is_not_taken() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        over_tcp(r, upstream)
        ask = r.until_tcp()

        def other_question(question: DNSRecord) -> DNSRecord:
            question.q.qname = "other.example"
            return answer(question)

        for wrong in (cut, other_question):
            assert not r.say_tcp(ask, wrong)
        for junk in (b"", ask.message[:2], ask.message, ask.message[:12]):
            assert not r.plane.tcp_answered(ask, junk)
        assert r.count("upstream_mismatches") == 6
        assert r.stream_answers() == []
        assert r.say_tcp(ask, long)
        assert len(r.until_stream().rr) == 10


def test_a_late_answer_over_tcp_fills_the_cache() -> None:
    upstream = Upstream()
    with rig(upstream, upstream_timeout_ms=50, patience_ms=100) as r:
        over_tcp(r, upstream)
        ask = r.until_tcp()
        assert r.until_stream().header.rcode == RCODE.SERVFAIL
        assert r.say_tcp(ask, lambda question: answer(question, "198.51.100.9"))
        assert r.count("upstream_late") == 1
