"""The relay towards upstreams over TLS: no datagram goes there, and their health is judged by their connections."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from dnslib import DNSRecord

from resolver._core import CoreError
from tests.rigs.plane import Rig, Upstream, answer, query, rig

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = {"upstream_timeout_ms": 30, "patience_ms": 400}


@contextlib.contextmanager
def sealed(*more: Upstream, **settings: object) -> Iterator[tuple[Rig, Upstream]]:
    first = Upstream()
    with rig(first, *more, tls_to=[first.address], **settings) as r:
        yield r, first
        assert first.waiting_raw() + first.own_raw() == [], "in clear"


def test_a_datagram_that_nobody_here_can_answer_is_asked_over_tls_and_padded() -> None:
    with sealed() as (r, first):
        r.send(query("example.com", edns=True))
        ask = r.until_tcp()
        assert (ask.upstream, len(ask.message) % 128) == (first.address, 0)
        (opt,) = DNSRecord.parse(ask.message).ar
        assert [(option.code, set(option.data)) for option in opt.rdata] == [(12, {0})]
        assert r.say_tcp(ask)
        assert str(r.receive().rr[0].rdata) == "198.51.100.7"
        known = r.plane.upstreams()[0]
        assert (known["state"], known["answers"], known["tcp_closed"]) == ("up", 1, False)
        assert r.count("over_tcp") == 0, "that counts what is asked so besides"


@pytest.mark.parametrize("fault", ["not proven", "not listening"])
def test_one_that_is_not_proven_or_not_there_is_down_and_what_waits_goes_to_the_next(fault: str) -> None:
    second = Upstream()
    with sealed(second) as (r, _):
        for name in ("one.example", "two.example"):
            r.send(query(name))
        asks = r.until(r.tcp_asks)
        r.plane.tcp_failed(asks[0], fault)
        assert (r.state(), r.plane.upstreams()[0]["reason"]) == ("down", fault)
        for _ in asks:
            question, source = second.take()
            second.say(answer(question), source)
            assert r.until_answered().header.rcode == 0
        r.send(query("three.example"))
        second.take()
        with pytest.raises(CoreError):
            r.plane.tcp_failed(asks[0], "a bad day")


def test_one_that_is_silent_or_hangs_up_is_doubted_and_asked_by_the_worker_itself_over_tls() -> None:
    with sealed(**QUICK) as (r, _):
        r.send(query("dead.example"))
        r.until_tcp()
        r.until(r.plane.take_tcp_overdue)
        assert r.plane.upstreams()[0]["reason"] == "silent"
        own = r.until(lambda: [ask for ask in r.plane.take_tcp_asks() if b"dead" not in ask.message])
        assert r.plane.tcp_answered(own[0], bytes(answer(DNSRecord.parse(own[0].message)).pack()))
        assert r.state() == "up", "the name is to blame"
        r.send(query("odd.example"))
        r.plane.tcp_failed(r.until_tcp())
        assert (r.state(), r.plane.upstreams()[0]["reason"]) == ("suspect", "silent")


def test_where_it_is_the_only_one_and_down_clients_wait_for_it_and_it_is_tried_again_over_tls() -> None:
    with sealed(**QUICK) as (r, _):
        r.send(query("one.example"))
        r.plane.tcp_failed(r.until_tcp(), "not listening")
        assert (r.state(), r.silent()) == ("down", True)
        assert r.say_tcp(r.until_tcp())
        assert r.until_answered().header.rcode == 0
        assert r.state() == "up"
        r.send(query("two.example"))

        def gave_up() -> bool:
            for ask in r.tcp_asks():
                r.plane.tcp_failed(ask, "not proven")
            return r.count("gave_up") == 1

        r.until(gave_up)
        assert r.receive().header.rcode == 2
