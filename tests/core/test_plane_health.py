"""Upstreams that are slow, silent, refusing, lying, gone, or back again; and what clients get meanwhile."""

from __future__ import annotations

import socket

import pytest

from tests.core.plane_rig import Rig, Upstream, answer, failing, query, rig

QUICK = {"upstream_timeout_ms": 30, "patience_ms": 400}


def take_out_by_silence(r: Rig, upstream: Upstream, other: Upstream) -> None:
    """Three questions without an answer; the other upstream gives them."""
    for number in range(3):
        r.send(query(f"silence{number}.example"))
        upstream.take()
        question, source = r.until(other.waiting)[0]
        other.say(answer(question), source)
        assert r.until_answered().header.rcode == 0


def test_a_silent_upstream_is_passed_over_within_the_clients_patience_then_taken_out() -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second, **QUICK) as r:
        take_out_by_silence(r, first, second)
        assert (r.state(0), r.state(1)) == ("down", "up")
        assert r.plane.upstreams()[0]["reason"] == "silent"
        r.send(query("next.example"))
        assert first.waiting() == []
        assert len(second.waiting()) == 1


def test_it_is_probed_beside_the_one_in_use_and_comes_back_with_its_first_good_answer() -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second, **QUICK) as r:
        take_out_by_silence(r, first, second)
        number = 0

        def probed() -> bool:
            nonlocal number
            if r.state(0) == "up":
                return True
            number += 1
            r.send(query(f"probe{number}.example"))
            question, source = second.take()
            second.say(answer(question), source)
            assert r.until_answered().header.rcode == 0
            for question, source in first.waiting():
                first.say(answer(question), source)
            return False

        # The answer to a probe comes after the slot was settled; it counts while the slot lives.
        r.until(probed)
        r.send(query("back.example"))
        assert len(first.waiting()) == 1


def test_nothing_listens_there_so_the_next_one_is_asked_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        closed = held.getsockname()[1]
    second = Upstream()
    with rig(second, upstream_timeout_ms=4000) as r:
        r.plane.set_upstreams([f"127.0.0.1:{closed}", second.address])
        r.send(query("example.com"))
        question, source = r.until(second.waiting)[0]
        second.say(answer(question), source)
        assert r.until_answered().header.rcode == 0
        assert r.plane.upstreams()[0]["reason"] == "refused"


@pytest.mark.parametrize("rcode", ["REFUSED", "NOTIMP", "SERVFAIL"])
def test_an_unwilling_upstream_is_passed_over_at_once(rcode: str) -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second) as r:
        for number in range(5):
            r.send(query(f"n{number}.example"))
            question, source = first.take()
            first.say(failing(question, rcode), source)
            r.plane.pump()
            question, source = second.take()
            second.say(answer(question), source)
            r.plane.pump()
            assert r.receive().header.rcode == 0
        assert r.state(0) == ("up" if rcode == "SERVFAIL" else "down")


def test_where_no_upstream_is_willing_the_client_hears_what_the_first_said() -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second, **QUICK) as r:
        r.send(query("bogus.example"))
        question, source = first.take()
        first.say(failing(question, "SERVFAIL"), source)
        r.plane.pump()
        second.take()
        assert r.until_answered().header.rcode == 2
        assert r.count("gave_up") == 0


def test_an_upstream_that_lies_is_taken_out() -> None:
    first, second = Upstream(seen_as="0.0.0.0"), Upstream()
    with rig(first, second) as r:
        for number in range(3):
            r.send(query(f"n{number}.example.com"))
            question, source = first.take()
            lie = bytearray(answer(question).pack())
            lie[13] ^= 0x20
            for _ in range(8):
                first.say(bytes(lie), source)
            r.plane.pump()
        assert (r.state(0), r.plane.upstreams()[0]["reason"]) == ("down", "lying")
        assert r.plane.tcp_retries_waiting == 3


def test_a_slow_upstream_is_passed_over_and_its_answers_still_fill_the_cache() -> None:
    slow, second = Upstream(), Upstream()
    with rig(slow, second, **QUICK) as r:
        late = []
        for number in range(3):
            r.send(query(f"n{number}.example"))
            late.append(slow.take())
            question, source = r.until(second.waiting)[0]
            if number < 2:
                second.say(answer(question), source)
                assert r.until_answered().header.rcode == 0
        assert r.state(0) == "down"
        question, source = late[2]
        slow.say(answer(question, "198.51.100.99"), source)
        assert str(r.until_answered().rr[0].rdata) == "198.51.100.99"
        assert r.state(0) == "down"


def test_without_any_upstream_left_a_stale_answer_is_given_else_servfail_with_the_reason() -> None:
    upstream = Upstream()
    with rig(upstream, **QUICK) as r:
        r.send(query("known.example"))
        question, source = upstream.take()
        upstream.say(answer(question, ttl=1), source)
        r.plane.pump()
        assert r.receive().rr[0].ttl == 1

        def asked_again() -> bool:
            r.send(query("known.example", rd=1))
            return bool(upstream.waiting())

        r.until(asked_again)
        while not r.silent():
            pass
        reply = r.until_answered()
        assert (reply.header.rcode, reply.rr[0].ttl) == (0, 30)
        assert r.count("cache_stale") >= 1

        r.send(query("unknown.example", edns=True))
        message = bytes(r.until_answered().pack())
        assert message[3] & 15 == 2
        assert b"\0\x0f\0\2\0\x16" in message
        # All are down by now: the stale answer comes at once.
        assert r.state() == "down"
        r.send(query("known.example"))
        assert r.until_answered().rr[0].ttl == 30


def test_no_upstream_at_all_is_answered_and_counted() -> None:
    with rig() as r:
        assert r.ask(query("example.com")).header.rcode == 2
        assert r.count("no_upstream") == 1


def test_upstreams_that_stay_keep_their_health_and_what_is_in_flight() -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second, **QUICK) as r:
        take_out_by_silence(r, first, second)
        r.send(query("in-flight.example"))
        question, source = second.take()
        r.plane.set_upstreams([second.address, first.address])
        assert [u["state"] for u in r.plane.upstreams()] == ["up", "down"]
        second.say(answer(question), source)
        r.plane.pump()
        assert r.receive().header.rcode == 0


@pytest.mark.parametrize("over_tcp", [False, True], ids=["UDP", "TCP"])
def test_one_name_says_whether_the_host_should_be_asked_whatever_the_cache_holds(over_tcp: bool) -> None:
    upstream = Upstream()
    with rig(upstream, health_name="health.example.net", **QUICK) as r:

        def asked() -> int:
            if over_tcp:
                said = r.plane.decide(bytes(query("Health.example.net").pack()), ("127.0.0.1", 4000), ("127.0.0.1", 53))
                assert isinstance(said, bytes)
                return said[3] & 15
            r.send(query("Health.example.net"))
            return int(r.until_answered().header.rcode)

        assert asked() == 0
        for number in range(3):
            r.send(query(f"silence{number}.example"))
            upstream.take()
            assert r.until_answered().header.rcode == 2
        assert r.state(0) == "down"
        assert asked() == 2
        relayed = {str(question.q.qname).lower() for question, _ in upstream.waiting()}
        assert "health.example.net." not in relayed
