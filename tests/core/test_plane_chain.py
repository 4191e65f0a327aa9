"""The chain of a query over real sockets: who is served, what is stopped, what is answered from where."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

import pytest
from dnslib import QTYPE, DNSRecord

from resolver import _core
from tests.rigs.plane import STOP_PAGE, Rig, Upstream, answer, compiled, query, rig
from tests.rigs.streams import BALANCER

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.entry import Match


def test_a_client_that_is_not_allowed_gets_nothing() -> None:
    upstream = Upstream()
    with rig(upstream, allow_clients=["192.0.2.0/24"]) as r:
        r.send(query("example.com"))
        assert r.silent()
        assert upstream.waiting() == []
        assert r.count("dropped_client") == 1


@pytest.mark.parametrize(
    ("what", "message", "rcode"),
    [
        ("an answer", b"\0\1\x81\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1", None),
        ("eleven octets", b"\0\1\1\0\0\1\0\0\0\0\0", None),
        ("a notify", b"\0\1\x21\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1", 4),
        ("no question", b"\0\1\1\0\0\0\0\0\0\0\0\0", 1),
        ("a pointer as its name", b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", 1),
        ("a transfer", b"\0\1\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\xfc\0\1", 5),
        ("class CHAOS", b"\0\1\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\3", 5),
        ("EDNS version 1", b"\0\1\1\0\0\1\0\0\0\0\0\1\7example\3com\0\0\1\0\1\0\0\x29\4\xd0\0\1\0\0\0\0", 0),
    ],
)
def test_the_parse_table_holds_over_the_wire(what: str, message: bytes, rcode: int | None) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(message)
        if rcode is None:
            assert r.silent(), what
            assert r.count("dropped_malformed") == 1
        else:
            reply = r.client.recv(512)
            assert (reply[:2], reply[3] & 15) == (b"\0\1", rcode), what
        assert upstream.waiting() == []
        assert r.ask(query("example.com", "ANY")).header.rcode == 0


def test_a_listed_name_is_stopped_and_never_reaches_an_upstream(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream, portal_url="https://stop.example/") as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]))
        (tmp_path / "cells").write_bytes(bytes(8 * 65 + 4))
        r.plane.count_in(tmp_path / "cells", 0)
        for name in ("blocked.example", "www.Blocked.Example"):
            reply = r.ask(query(name))
            assert [str(rr.rdata) for rr in reply.rr] == [STOP_PAGE]
            assert str(reply.q.qname) == f"{name}."
        with_edns = r.ask(query("blocked.example", "HTTPS", edns=True)).pack()
        assert b"\0\x100000000000000000 https://stop.example/" in bytes(with_edns)
        assert upstream.waiting() == []
        assert (r.count("blocked"), r.count("blocked_list_0"), r.count("type_https")) == (3, 3, 1)
        counted = (tmp_path / "cells").read_bytes()
        assert [int.from_bytes(counted[at : at + 8], "little") for at in (0, 8, 16)] == [3, 3, 0]
        assert counted[-4:] == bytes([3, 0, 0, 0])


def test_a_new_list_holds_from_the_next_query_on_whatever_is_cached(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("soon.example"))
        question, source = upstream.take()
        upstream.say(answer(question), source)
        r.plane.pump()
        assert str(r.receive().rr[0].rdata) == "198.51.100.7"
        assert str(r.ask(query("soon.example")).rr[0].rdata) == "198.51.100.7"
        r.plane.set_list(compiled(tmp_path, ["soon.example"]))
        assert str(r.ask(query("soon.example")).rr[0].rdata) == STOP_PAGE
        r.plane.set_list(None)
        assert str(r.ask(query("soon.example")).rr[0].rdata) == "198.51.100.7"


def test_a_pass_and_a_bypass_let_through_what_a_list_stops(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]))
        cases: list[tuple[list[tuple[str, Match, int]], bool, int]] = [
            ([("blocked.example", "subtree", 4_000_000_000)], False, 0),
            ([], True, 0),
            ([], False, 1),
        ]
        for exceptions, everything, lists in cases:
            r.plane.set_exceptions(exceptions, everything, lists)
            r.send(query("blocked.example", rd=0))
            assert str(upstream.take()[0].q.qname) == "blocked.example."
        r.plane.set_exceptions([("blocked.example", "exact", 1)], False, 2)
        assert str(r.ask(query("blocked.example")).rr[0].rdata) == STOP_PAGE
        assert r.count("excused") == 1


def test_views_choose_the_lists_and_a_client_of_no_view_gets_every_list(tmp_path: Path) -> None:
    upstream = Upstream()
    views = [["127.0.0.0/8"]]
    with rig(upstream, views=views) as r:
        r.plane.set_list(compiled(tmp_path, ["one.example"], ["two.example"]), [0b10])
        assert str(r.ask(query("two.example")).rr[0].rdata) == STOP_PAGE
        r.send(query("one.example"))
        assert str(upstream.take()[0].q.qname) == "one.example."
    upstream = Upstream("::1")
    with rig(upstream, views=views, host="::1") as r:
        r.plane.set_list(compiled(tmp_path, ["one.example"], ["two.example"]), [0b10])
        assert str(r.ask(query("one.example")).rr[0].rdata) == STOP_PAGE


def test_a_list_counts_under_the_number_that_it_is_given(tmp_path: Path) -> None:
    with rig(Upstream()) as r:
        r.plane.set_list(compiled(tmp_path, ["one.example"], ["two.example"]), counters=[63, 0])
        r.ask(query("one.example"))
        assert (r.count("blocked_list_63"), r.count("blocked_list_0"), r.count("blocked_list_1")) == (1, 0, 0)
        r.plane.set_list(compiled(tmp_path, ["two.example"]))
        r.ask(query("two.example"))
        assert (r.count("blocked_list_63"), r.count("blocked_list_0"), r.count("blocked")) == (1, 1, 2)


def test_a_list_that_monitors_counts_and_lets_pass(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.plane.set_list(compiled(tmp_path, ["seen.example"], action="monitor"))
        r.send(query("seen.example"))
        assert str(upstream.take()[0].q.qname) == "seen.example."
        assert (r.count("monitored"), r.count("monitored_list_0"), r.count("blocked")) == (1, 1, 0)


def test_any_is_answered_with_hinfo_and_a_listed_name_is_stopped_for_it_too(tmp_path: Path) -> None:
    with rig(Upstream()) as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]))
        assert [QTYPE[rr.rtype] for rr in r.ask(query("fine.example", "ANY")).rr] == ["HINFO"]
        stopped = r.ask(query("blocked.example", "ANY"))
        assert (stopped.rr, [QTYPE[rr.rtype] for rr in stopped.auth]) == ([], ["SOA"])


def test_above_its_rate_a_client_is_sent_to_tcp_and_there_it_is_answered(tmp_path: Path) -> None:
    with rig(Upstream(), rate={"queries_per_second": 1, "burst": 3}) as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]))
        truncated = [r.ask(query("blocked.example")).header.tc for _ in range(5)]
        assert truncated == [0, 0, 0, 1, 1]
        over_tcp = r.ask_stream(query("blocked.example"))
        assert isinstance(over_tcp, bytes)
        assert str(DNSRecord.parse(over_tcp).rr[0].rdata) == STOP_PAGE


@pytest.mark.parametrize(
    ("bind", "host", "client"),
    [("0.0.0.0", "127.0.0.1", "127.0.0.2"), ("::", "::1", "::1")],
)
def test_on_a_wildcard_address_the_answer_comes_from_the_address_that_was_asked(
    bind: str, host: str, client: str, tmp_path: Path
) -> None:
    upstream = Upstream(host)
    with rig(upstream, bind=bind, host=host) as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]))
        asking = r.new_client(client)
        r.send(query("blocked.example"), asking)
        assert str(r.receive(asking).rr[0].rdata) == STOP_PAGE
        r.send(query("relayed.example"), asking)
        question, source = upstream.take()
        upstream.say(answer(question), source)
        r.plane.pump()
        assert str(r.receive(asking).rr[0].rdata) == "198.51.100.7"


def test_an_upstream_that_is_the_plane_itself_raises_the_alarm_and_does_not_go_round() -> None:
    r = Rig(upstream_timeout_ms=20, patience_ms=100)
    try:
        r.plane.set_upstreams([f"127.0.0.1:{r.port}"])
        r.send(query("example.com"))
        assert r.until_answered().header.rcode == 2
        assert 1 <= r.count("loops") <= 6
    finally:
        r.close()


def test_a_wake_takes_eight_batches_and_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    with rig(Upstream()) as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]))
        message = bytes(query("blocked.example").pack())
        for _ in range(600):
            r.client.send(message)
        r.plane.pump()
        assert r.count("blocked") == 512
        r.plane.pump()
        assert (r.count("blocked"), r.count("batches")) == (600, 10)


def test_a_stopped_listener_takes_no_queries_and_still_answers_what_is_in_flight() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("early.example"))
        question, source = upstream.take()
        r.plane.stop_listening()
        r.send(query("late.example"))
        upstream.say(answer(question), source)
        r.plane.pump()
        assert str(r.receive().q.qname) == "early.example."
        assert upstream.waiting() == []


def test_the_counters_file_shows_what_the_plane_counts(tmp_path: Path) -> None:
    path = tmp_path / "0.counters"
    with rig(Upstream(), counters_path=str(path)) as r:
        r.ask(query("example.com", "ANY"))
        r.plane.tick()
        data = path.read_bytes()
        assert data[-8:] == _core.COUNTERS_MARK
        words = memoryview(data[:-8]).cast("Q")
        shown = dict(zip(_core.COUNTERS, words, strict=True))
        assert shown == r.plane.counters()
        assert shown["type_any"] == shown["answered"] == 1
        assert shown["heartbeat_ms"] > 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "allow_clients: must be given"),
        ({"allow_clients": ["10.0.0.1/8"]}, "bits are set beyond its length"),
        ({"allow_clients": [], "stop_ipv4": "::1"}, "stop_ipv4: ::1 is of the other family"),
        ({"allow_clients": [], "stop_ipv6": "nowhere"}, 'stop_ipv6: "nowhere" is not an address'),
        ({"allow_clients": [], "views": [{"clients": []}]}, "views"),
        ({"allow_clients": [], "cache_bytes": -1}, "cache_bytes"),
        ({"allow_clients": [], "cash_bytes": 1}, "cash_bytes: no such setting"),
        ({"allow_clients": [], "counters_path": "/dev/null/x"}, "/dev/null/x"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings: dict[str, object], said: str) -> None:
    with pytest.raises(_core.CoreError) as refused:
        _core.Plane(settings)  # type: ignore[arg-type]
    assert said in str(refused.value)


def test_what_is_no_datagram_socket_or_address_is_refused() -> None:
    plane = _core.Plane({"allow_clients": []})
    with socket.socket() as stream, pytest.raises(_core.CoreError, match="not a datagram socket"):
        plane.listen(stream.fileno())
    for number in (-1, 1 << 30):
        with pytest.raises(_core.CoreError, match="Bad file descriptor"):
            plane.listen(number)
    with pytest.raises(_core.CoreError, match="not an address with a port"):
        plane.set_upstreams(["127.0.0.1"])
    with pytest.raises(_core.CoreError, match="an exception is exact, subtree or below"):
        plane.set_exceptions([("example.com", "everything", 1)], False, 0)  # type: ignore[list-item]


def test_a_stream_gets_the_same_decision_and_its_answer_fills_the_cache(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream, proxy_from=[BALANCER]) as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]))
        assert r.ask_stream(b"short") is False
        assert r.ask_stream(query("example.com"), 2, "192.0.2.1") is False
        asked = query("www.Fine.example", edns=True)
        assert r.ask_stream(asked, 9, "::1") is True
        question, source = upstream.take()
        upstream.say(answer(question), source)
        r.plane.pump()
        reply = r.until_stream(9)
        assert (reply.header.id, str(reply.q.qname)) == (asked.header.id, "www.Fine.example.")
        assert str(r.ask(query("www.fine.example")).rr[0].rdata) == "198.51.100.7"


def test_whatever_is_sent_to_it_the_plane_goes_on(tmp_path: Path) -> None:
    rng = random.Random(20261122)
    upstream = Upstream()
    with rig(upstream, rate={"queries_per_second": 10_000, "burst": 5_000}) as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]))
        names = ["www.blocked.example", "blocked.example", "fine.example", "."]
        seeds = [bytes(query(name, "HTTPS", edns=True).pack()) for name in names]
        for _ in range(20):
            for _ in range(100):
                junk = bytearray(rng.choice(seeds))
                for _ in range(rng.randrange(6)):
                    junk[rng.randrange(len(junk))] = rng.randrange(256)
                junk += rng.randbytes(rng.choice([0, 0, 0, 1, 20, 1500]))
                r.client.send(bytes(junk[rng.randrange(2) * rng.randrange(len(junk)) :]))
            r.plane.pump()
            upstream.waiting_raw()
        r.plane.pump()
        assert r.count("panics") == 0
        assert r.count("queries_udp4") == 2000
        while not r.silent():
            pass
        assert str(r.ask(query("blocked.example")).rr[0].rdata) == STOP_PAGE


@pytest.mark.parametrize("action", ["stop-page", "nxdomain", "nodata", "refused"])
def test_what_validators_ask_about_a_listed_name_is_relayed_and_every_other_type_is_stopped(
    tmp_path: Path, action: str
) -> None:
    """DS and DNSKEY speak of a whole zone, in which not every name is listed."""
    upstream = Upstream()
    with rig(upstream) as r:
        r.plane.set_list(compiled(tmp_path, ["listed.example"], action=action))
        for name in ("listed.example", "www.listed.example"):
            for qtype in ("DS", "DNSKEY"):
                r.send(query(name, qtype, edns=True))
                question, source = upstream.take()
                assert (str(question.q.qname), QTYPE[question.q.qtype]) == (f"{name}.", qtype)
                upstream.say(question.reply(), source)
                assert r.until_answered().header.rcode == 0
        assert (r.count("blocked"), r.count("excused"), r.count("monitored")) == (0, 0, 0)
        for qtype in ("A", "RRSIG", "NSEC", "NSEC3", "TYPE59", "HTTPS", "SOA", "NS", "ANY"):
            number = getattr(QTYPE, qtype, 59)
            r.ask(bytes(query("listed.example").pack()[:-4]) + number.to_bytes(2) + b"\0\1")
        assert r.count("blocked") == 9
        assert upstream.waiting() == []


@pytest.mark.parametrize("name", ["resolver.arpa", "_dns.resolver.arpa", "ReSolver.ARPA", "a.b.resolver.arpa"])
@pytest.mark.parametrize("qtype", ["SVCB", "A", "AAAA", "DS", "SOA"])
def test_resolver_arpa_is_answered_here_and_never_forwarded(name: str, qtype: str) -> None:
    """RFC 9462: an upstream that designates its own encrypted resolver would take clients past the list."""
    upstream = Upstream()
    with rig(upstream, cache_bytes=0) as r:
        number = {"SVCB": 64}.get(qtype) or getattr(QTYPE, qtype)
        message = bytes(query(name).pack()[:-4]) + number.to_bytes(2) + b"\0\1"
        reply = r.ask(message)
        assert (reply.header.rcode, reply.rr, reply.header.ra) == (0, [], 1)
        (soa,) = reply.auth
        assert (str(soa.rname).lower(), QTYPE[soa.rtype], soa.ttl) == ("resolver.arpa.", "SOA", 60)
        assert upstream.waiting() == []


def test_what_only_looks_like_resolver_arpa_is_relayed() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        within = b"\x0aa\x08resolver\x04arpa\x00"  # the same octets, but they begin within a label
        for name in (b"\x09xresolver\x04arpa\x00", b"\x04arpa\x00", b"\x08resolver\x04arpa\x03com\x00", within):
            r.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1")
            assert r.silent()
        assert len(upstream.waiting_raw()) == 4
