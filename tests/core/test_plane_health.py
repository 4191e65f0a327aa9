"""Upstreams that are slow, silent, refusing, lying, gone, or back again; and what clients get meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from dnslib import RCODE, DNSRecord

from resolver.config.schema import Config
from resolver.dns.settings import plane_settings
from resolver.ipc import shadow_sketches
from tests.rigs.dns_host import free_port
from tests.rigs.lists_world import settings
from tests.rigs.plane import PATIENCE, Rig, Upstream, answer, failing, query, rig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


QUICK = {"upstream_timeout_ms": 30, "patience_ms": 400}


def take_out_by_silence(r: Rig, upstream: Upstream, other: Upstream) -> None:
    """Questions without an answer, the worker's own too; the other upstream gives those of clients."""
    number = 0
    while r.state(0) != "down":
        number += 1
        r.send(query(f"silence{number}.example"))
        question, source = r.until(other.waiting)[0]
        other.say(answer(question), source)
        assert r.until_answered().header.rcode == 0
    assert len(upstream.waiting()) >= 2
    assert upstream.own()


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


def test_a_dead_zone_takes_no_upstream_out_which_answers_what_the_worker_asks_nor_the_host() -> None:
    upstream = Upstream()
    with rig(upstream, health_name="health.example.net", **QUICK) as r:
        for number in range(8):
            r.send(query(f"n{number}.dead.example"))

            def given_up() -> bool:
                for question, source in upstream.own():
                    upstream.say(answer(question), source)
                return not r.silent()

            r.until(given_up)
            assert r.state() in ("up", "suspect")
            assert r.ask(query("health.example.net")).header.rcode == 0
        assert len(upstream.waiting()) >= 8


def test_nothing_listens_there_so_the_next_one_is_asked_at_once() -> None:
    closed = free_port()
    second = Upstream()
    with rig(second, upstream_timeout_ms=4000) as r:
        r.plane.set_upstreams([f"127.0.0.1:{closed}", second.address])
        r.send(query("example.com"))
        question, source = r.until(second.waiting)[0]
        second.say(answer(question), source)
        assert r.until_answered().header.rcode == 0
        assert r.plane.upstreams()[0]["reason"] == "not listening"


UNWILLING = ["REFUSED", "NOTIMP", "FORMERR"]


@pytest.mark.parametrize("rcode", [*UNWILLING, "SERVFAIL"])
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
        assert r.state(0) == "up"


@pytest.mark.parametrize("rcode", UNWILLING)
def test_what_clients_choose_to_ask_takes_no_upstream_out_which_answers_what_the_worker_asks(rcode: str) -> None:
    """As RD=0, which Unbound refuses, and TYPE253, which BIND does not implement."""
    upstream = Upstream()
    with rig(upstream) as r:
        for number in range(40):
            r.send(query(f"n{number}.example", rd=0))
            question, source = upstream.take()
            upstream.say(failing(question, rcode), source)
            assert r.until_answered().header.rcode == getattr(RCODE, rcode)
            assert r.state() == "up"
        question, source = r.until(upstream.own)[0]
        upstream.say(answer(question), source)
        r.plane.pump()
        assert (r.state(), r.plane.upstreams()[0]["failing"]) == ("up", False)
        assert not upstream.own(), "asked once, and answered"


@pytest.mark.parametrize("rcode", UNWILLING)
def test_an_upstream_that_refuses_what_the_worker_asks_too_is_taken_out(rcode: str) -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second) as r:
        number = 0

        def down() -> bool:
            nonlocal number
            number += 1
            r.send(query(f"n{number}.example"))
            for question, source in (*first.waiting(), *first.own()):
                first.say(failing(question, rcode), source)
            r.plane.pump()
            for question, source in (*second.waiting(), *second.own()):
                second.say(answer(question), source)
            r.plane.pump()
            r.silent()
            return r.state() == "down"

        r.until(down)
        assert r.plane.upstreams()[0]["reason"] == "refusing"


def test_an_upstream_that_answers_datagrams_and_no_tcp_is_told_of_and_asked_all_the_same() -> None:
    upstream = Upstream()
    with rig(upstream, upstream_timeout_ms=200) as r:
        r.send(query("example.com"))
        question, source = upstream.take()
        upstream.say(answer(question), source)
        r.until_answered()

        def closed() -> bool:
            for ask in r.plane.take_tcp_asks():
                r.plane.tcp_failed(ask)
            return r.plane.upstreams()[0]["tcp_closed"]

        until = time.monotonic() + 4 * PATIENCE
        while not closed():
            assert time.monotonic() < until
            r.plane.tick()
            time.sleep(0.01)
        assert r.state() == "up"
        r.send(query("www.example.com"))
        question, source = upstream.take()
        upstream.say(answer(question), source)
        assert r.until_answered().header.rcode == 0
        (ask,) = r.until(r.plane.take_tcp_asks)
        assert r.say_tcp(ask)
        assert not r.plane.upstreams()[0]["tcp_closed"]


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
        assert len(r.tcp_asks()) == 3


def test_a_slow_upstream_is_passed_over_and_its_answers_still_fill_the_cache() -> None:
    slow, second = Upstream(), Upstream()
    with rig(slow, second, **QUICK) as r:
        r.send(query("first.example"))
        question, source = r.until(second.waiting)[0]
        second.say(answer(question), source)
        assert r.until_answered().header.rcode == 0
        r.send(query("second.example"))
        r.until(lambda: r.state(0) == "down")
        question, source = slow.waiting()[1]
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
        # Once all are down the stale answer comes at once.
        r.until(lambda: r.state() == "down")
        r.send(query("known.example"))
        assert r.receive().rr[0].ttl == 30
        over_tcp = r.ask_stream(query("known.example"))
        assert isinstance(over_tcp, bytes)
        assert DNSRecord.parse(over_tcp).rr[0].ttl == 30


def keep_until_stale(r: Rig, upstream: Upstream) -> tuple[DNSRecord, Any]:
    """An answer for known.example that is kept, and is over; returns the question that asks for it anew."""
    r.send(query("known.example"))
    question, source = upstream.take()
    upstream.say(answer(question, ttl=1), source)
    r.plane.pump()
    assert r.receive().rr[0].ttl == 1

    again: list[tuple[DNSRecord, Any]] = []

    def asked_again() -> bool:
        r.silent()  # takes the answer that is still fresh
        r.send(query("known.example"))
        again.extend(upstream.waiting())
        return bool(again)

    r.until(asked_again)
    return again[0]


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_where_an_upstream_fails_a_stale_answer_is_given_and_goes_on_being_kept(rcode: str) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        question, source = keep_until_stale(r, upstream)
        upstream.say(failing(question, rcode), source)
        reply = r.until_answered()
        assert (reply.header.rcode, reply.rr[0].ttl) == (0, 30)
        assert r.count("cache_stale") == 1
        assert r.ask(query("known.example")).rr[0].ttl == 30
        over_tcp = r.ask_stream(query("known.example"))
        assert isinstance(over_tcp, bytes)
        # Without one the failure is passed on.
        r.send(query("unknown.example"))
        question, source = upstream.take()
        upstream.say(failing(question, rcode), source)
        assert r.until_answered().header.rcode == getattr(RCODE, rcode)


@pytest.mark.parametrize(("stale", "given"), [("0s", False), ("1d", True)])
def test_the_configuration_says_for_how_long_a_stale_answer_is_given(tmp_path: Path, stale: str, given: bool) -> None:
    raw = settings(tmp_path)
    raw["dns"]["cache"] = {"stale": stale}
    made = plane_settings(Config.model_validate(raw, context={"folder": "/"}), 1, shadow_sketches.Key((1, 2)))
    upstream = Upstream()
    with rig(upstream, cache_stale_s=made["cache_stale_s"]) as r:
        question, source = keep_until_stale(r, upstream)
        upstream.say(failing(question, "SERVFAIL"), source)
        assert r.until_answered().header.rcode == (RCODE.NOERROR if given else RCODE.SERVFAIL)


def test_a_client_gets_a_stale_answer_before_its_patience_is_over_and_the_question_goes_on() -> None:
    upstream = Upstream()
    with rig(upstream, upstream_timeout_ms=60_000, patience_ms=60_000) as r:
        question, source = keep_until_stale(r, upstream)
        reply = r.until_answered()
        assert (reply.header.rcode, reply.rr[0].ttl) == (0, 30)
        assert r.count("gave_up") == 0
        assert r.ask(query("known.example")).rr[0].ttl == 30, "the next one does not wait"
        upstream.say(answer(question, ttl=300), source)
        r.plane.pump()
        assert r.ask(query("known.example")).rr[0].ttl > 30


def test_an_upstream_that_fails_most_names_is_told_of_and_one_broken_zone_is_not() -> None:
    upstream = Upstream()
    with rig(upstream) as r:

        def says(rcode: str, name: str) -> bool:
            for number in range(100):
                r.send(query(name.format(number)))
                question, source = upstream.take()
                upstream.say(failing(question, rcode), source)
                r.until_answered()
            return r.plane.upstreams()[0]["failing"]

        assert not says("SERVFAIL", "n{}.broken.example")
        assert says("SERVFAIL", "n{}.example")
        assert r.state() == "up"
        assert not says("NXDOMAIN", "m{}.example")


def silence_all(r: Rig) -> None:
    """Nobody answers until all are down; the clients hear of it."""
    number = 0
    while any(upstream["state"] != "down" for upstream in r.plane.upstreams()):
        number += 1
        r.send(query(f"silence{number}.example"))
        assert r.until_answered().header.rcode == 2


def until_gone(r: Rig, *upstreams: Upstream) -> None:
    """No word for a client's whole patience: then nothing is counted as asked."""

    others = r.new_client()

    def gone() -> bool:
        r.send(query(f"gone{r.count('relayed')}.example"), others)
        return r.count("no_upstream") > 0

    r.until(gone)
    for upstream in upstreams:
        upstream.waiting()
        upstream.own()


def comes_back(r: Rig, upstream: Upstream) -> None:
    """It answers clients again, and is up with its first answer in time; on a busy machine not each one here is."""
    for number in itertools.count():
        name, before = f"back{number}.example.", time.monotonic()
        r.send(query(name))
        assert r.silent(), "it may know"

        def asked(name: str = name) -> list[tuple[DNSRecord, Any]]:
            nonlocal before
            # Questions of before may still be on their way to it.
            if not (found := [one for one in upstream.waiting() if one[0].q.qname == name]):
                before = time.monotonic()
            return found

        question, source = r.until(asked)[0]
        upstream.say(answer(question), source)
        r.plane.pump()
        in_time = time.monotonic() - before < QUICK["upstream_timeout_ms"] / 1000
        assert r.receive().header.rcode == 0
        if in_time:
            assert r.plane.upstreams()[1]["state"] == "up"
            return


def test_when_all_upstreams_are_gone_servfail_comes_at_once_over_udp_and_tcp_and_a_word_ends_that() -> None:
    first, second = Upstream(), Upstream()
    with rig(first, second, **{**QUICK, "patience_ms": 3000}) as r:
        silence_all(r)
        until_gone(r, first, second)
        before = r.count("no_upstream")
        for number in range(50):
            message = query(f"n{number}.example", edns=True)
            r.send(message)
            reply = r.client.recv(512)
            assert reply[3] & 15 == 2
            assert b"\0\x0f\0\2\0\x16" in reply
            over_tcp = r.ask_stream(message)
            assert isinstance(over_tcp, bytes)
            assert over_tcp[3] & 15 == 2
        assert r.count("no_upstream") == before + 100
        for upstream in (first, second):
            assert len([1 for question, _ in upstream.waiting() if str(question.q.qname) != "."]) <= 1, "the probe"

        question, source = r.until(second.own)[0]
        second.say(failing(question, "REFUSED"), source)
        r.plane.pump()
        assert (r.state(0), r.state(1)) == ("down", "down"), "it lives, and is not known to be of use"
        assert r.plane.upstreams()[1]["reason"] == "refusing"
        second.waiting()
        comes_back(r, second)
        second.waiting()
        r.send(query("again.example"))
        assert [str(question.q.qname) for question, _ in second.waiting()] == ["again.example."]


def test_an_outage_shorter_than_the_clients_patience_costs_nobody_an_answer() -> None:
    """As when the resolver behind is restarted."""
    closed = free_port()
    with rig(upstream_timeout_ms=30) as r:
        r.plane.set_upstreams([f"127.0.0.1:{closed}"])
        r.send(query("early.example"))
        r.until(lambda: r.state() == "down")
        r.until(lambda: r.count("probes"))
        r.send(query("early.example", "AAAA"))
        assert r.silent()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(("127.0.0.1", closed))
            back.setblocking(False)

            def asked() -> bool:
                with contextlib.suppress(BlockingIOError):
                    message, source = back.recvfrom(512)
                    back.sendto(bytes(answer(DNSRecord.parse(message)).pack()), source)
                return r.state() in ("up", "suspect")

            r.until(asked)
            assert r.until_answered().header.rcode == 0


def test_upstreams_that_still_speak_are_not_gone_however_late_or_unwilling() -> None:
    slow = Upstream()
    with rig(slow, **QUICK) as r:
        silence_all(r)
        slow.waiting()
        late = time.monotonic() + 2 * QUICK["patience_ms"] / 1000

        def spoke() -> bool:
            for question, source in slow.own():
                slow.say(failing(question, "SERVFAIL"), source)
            return time.monotonic() > late

        r.until(spoke)
        assert r.state() == "down"
        r.send(query("late.example"))
        assert r.silent()
        assert r.count("no_upstream") == 0


def test_a_reload_with_another_upstream_asks_it() -> None:
    gone, new = Upstream(), Upstream()
    with rig(gone, **QUICK) as r:
        silence_all(r)
        until_gone(r, gone)
        r.plane.set_upstreams([gone.address, new.address])
        r.send(query("new.example"))
        question, source = new.take()
        new.say(answer(question), source)
        assert r.until_answered().header.rcode == 0
        new.socket.close()


def test_with_no_client_to_probe_for_what_the_upstream_says_of_the_root_brings_it_up() -> None:
    """A host that was withdrawn has no clients: its health must not wait for them."""
    upstream = Upstream()
    with rig(upstream, health_name="health.example.net", **QUICK) as r:
        silence_all(r)
        until_gone(r, upstream)
        assert r.ask(query("health.example.net")).header.rcode == 2
        until = time.monotonic() + 4 * PATIENCE
        while r.state() != "up":
            assert time.monotonic() < until
            r.plane.tick()
            for question, source in upstream.own():
                upstream.say(answer(question), source)
            r.plane.pump()
            time.sleep(0.01)
        assert r.ask(query("health.example.net")).header.rcode == 0


def other_case(lie: bytearray) -> None:
    lie[13] ^= 0x20


def other_name(lie: bytearray) -> None:
    lie[13] ^= 0x01


def other_id(lie: bytearray) -> None:
    lie[0] ^= 0xFF


@pytest.mark.parametrize("wrong", [other_case, other_name, other_id])
def test_an_upstream_that_answers_another_question_lies_and_is_not_silent(wrong: Callable[[bytearray], None]) -> None:
    upstream = Upstream(seen_as="0.0.0.0")
    with rig(upstream, **QUICK) as r:

        def down() -> bool:
            r.send(query(f"n{r.count('relayed')}.example"))
            for question, source in (*upstream.waiting(), *upstream.own()):
                lie = bytearray(answer(question).pack())
                wrong(lie)
                upstream.say(bytes(lie), source)
            return r.state() == "down"

        r.until(down)
        assert r.plane.upstreams()[0]["reason"] == "lying"


def test_noise_from_its_address_takes_no_upstream_out_that_answers() -> None:
    upstream = Upstream(seen_as="0.0.0.0")
    with rig(upstream, **QUICK) as r:
        for number in range(20):
            r.send(query(f"n{number}.example"))
            question, source = upstream.take()
            for wrong in (other_case, other_name, other_id):
                noise = bytearray(answer(question).pack())
                wrong(noise)
                upstream.say(bytes(noise), source)
            upstream.say(answer(question), source)
            assert r.until_answered().header.rcode == 0
            assert (r.state(), r.plane.upstreams()[0]["reason"]) == ("up", "")


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
                said = r.ask_stream(query("Health.example.net"))
                assert isinstance(said, bytes)
                return said[3] & 15
            r.send(query("Health.example.net"))
            return int(r.until_answered().header.rcode)

        assert asked() == 0
        for number in range(3):
            r.send(query(f"silence{number}.example"))
            upstream.take()
            assert r.until_answered().header.rcode == 2
        r.until(lambda: asked() == 2)
        assert r.state(0) == "down"
        relayed = {str(question.q.qname).lower() for question, _ in upstream.waiting()}
        assert "health.example.net." not in relayed
