"""Answers for names that are not listed, in which a listed name owns records: over real sockets, from the upstream,
from the cache and stale, by datagram and over TCP."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from dnslib import CNAME, DNAME, MX, QTYPE, RCODE, RR, SOA, A, DNSRecord

from resolver import _core
from tests.rigs.plane import STOP_PAGE, Rig, Upstream, compiled, failing, query, rig
from tests.rigs.streams import BALANCER

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.entry import Match

REAL = "198.51.100.7"
ALIAS, LISTED, BEHIND = "alias.bet.", "slot.bet.", "cdn.example."
WHOLE = [(ALIAS, "CNAME", LISTED), (LISTED, "CNAME", BEHIND), (BEHIND, "A", REAL)]
TRIMMED = WHOLE[:1]


def shown(reply: DNSRecord) -> list[tuple[str, str, str]]:
    return [(str(rr.rname), str(QTYPE[rr.rtype]), str(rr.rdata)) for rr in reply.rr]


def led(question: DNSRecord, ttl: int = 300) -> DNSRecord:
    """alias.bet is an alias of slot.bet, and that one of cdn.example."""
    reply = question.reply()
    reply.header.ad = 0
    reply.add_answer(RR(question.q.qname, QTYPE.CNAME, ttl=ttl, rdata=CNAME(LISTED)))
    reply.add_answer(RR(LISTED, QTYPE.CNAME, ttl=ttl, rdata=CNAME(BEHIND)))
    reply.add_answer(RR(BEHIND, QTYPE.A, ttl=ttl, rdata=A(REAL)))
    return reply


def relay(r: Rig, upstream: Upstream, message: DNSRecord | None = None, ttl: int = 300) -> DNSRecord:
    """The answer to a question that the upstream is asked."""
    r.send(message or query("alias.bet"))
    question, source = upstream.take()
    upstream.say(led(question, ttl), source)
    return r.until_answered()


@pytest.mark.parametrize(
    ("aliases", "expected", "counted"),
    [
        ("trim", TRIMMED, {"aliases_trimmed": 2}),
        ("relay", WHOLE, {}),
        ("stop", [(ALIAS, "A", STOP_PAGE)], {"aliases_stopped": 2, "blocked": 2, "blocked_list_0": 2}),
    ],
)
def test_an_alias_of_a_listed_name_gets_what_the_list_says_from_the_upstream_and_from_the_cache(
    tmp_path: Path, aliases: str, expected: list[tuple[str, str, str]], counted: dict[str, int]
) -> None:
    upstream = Upstream()
    with rig(upstream, portal_url="https://stop.example/") as r:
        r.plane.set_list(compiled(tmp_path, ["slot.bet"], aliases=aliases))
        edns = query("alias.bet", edns=True)
        first, again = relay(r, upstream, edns), r.ask(edns)
        assert shown(first) == shown(again) == expected
        assert r.count("cache_hits") == 1
        for name in ("aliases_trimmed", "aliases_stopped", "blocked", "blocked_list_0"):
            assert r.count(name) == counted.get(name, 0), name
        for reply in (first, again):
            why = b"\0\x100000000000000000 https://stop.example/"
            assert (why in bytes(reply.pack())) == (aliases != "relay")
            assert {rr.ttl for rr in reply.rr} <= ({300, 299} if aliases == "relay" else {60})
        # The target itself is stopped as ever.
        assert shown(r.ask(query("slot.bet"))) == [(LISTED, "A", STOP_PAGE)]


@pytest.mark.parametrize("aliases", ["trim", "stop", "relay"])
def test_the_address_of_a_listed_name_beside_an_answer_is_left_out_and_the_answer_stands(
    tmp_path: Path, aliases: str
) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.plane.set_list(compiled(tmp_path, ["slot.bet"], aliases=aliases))
        r.send(query("mail.example", "MX"))
        question, source = upstream.take()
        reply = question.reply()
        reply.add_answer(RR("mail.example", QTYPE.MX, ttl=300, rdata=MX(LISTED)))
        reply.add_ar(RR(LISTED, QTYPE.A, ttl=300, rdata=A(REAL)))
        upstream.say(reply, source)
        for told in (r.until_answered(), r.ask(query("mail.example", "MX"))):
            assert [str(rr.rdata) for rr in told.rr] == [f"10 {LISTED}"]
            assert [str(rr.rdata) for rr in told.ar] == ([REAL] if aliases == "relay" else [])


def test_a_change_of_the_list_or_of_a_pass_holds_from_the_next_query_on_whatever_is_cached(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        assert shown(relay(r, upstream)) == WHOLE
        assert shown(r.ask(query("alias.bet"))) == WHOLE
        for names, expected in ((["slot.bet"], TRIMMED), (["other.bet"], WHOLE), (["cdn.example"], WHOLE[:2])):
            r.plane.set_list(compiled(tmp_path, names))
            for _ in range(3):
                assert shown(r.ask(query("alias.bet"))) == expected, names
        r.plane.set_list(compiled(tmp_path, ["slot.bet"]))
        until = int(time.time()) + 3600
        cases: list[tuple[list[tuple[str, Match, int]], bool, int, list[tuple[str, str, str]]]] = [
            ([("slot.bet", "exact", until)], False, 0, WHOLE),
            ([("alias.bet", "exact", until)], False, 0, TRIMMED),
            ([], True, 0, WHOLE),
            ([], False, 1, WHOLE),
            ([], False, 2, TRIMMED),
            ([("slot.bet", "exact", 1)], False, 0, TRIMMED),
        ]
        for passed, everything, lists, expected in cases:
            r.plane.set_exceptions(passed, everything, lists)
            assert shown(r.ask(query("alias.bet"))) == expected, (passed, everything, lists)
        r.plane.set_list(None)
        assert shown(r.ask(query("alias.bet"))) == WHOLE
        assert upstream.waiting() == []


def test_clients_of_different_views_share_what_is_cached_and_not_what_is_left_out(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream, views=[["127.0.0.2"], ["127.0.0.3"], ["127.0.0.4"]]) as r:
        r.plane.set_list(compiled(tmp_path, ["slot.bet"], ["cdn.example"]), [1, 2, 0])
        clients = {last: client(r, f"127.0.0.{last}") for last in (1, 2, 3, 4)}
        for one in clients.values():
            r.send(query("alias.bet"), one)
        ((question, source),) = upstream.waiting()
        upstream.say(led(question), source)
        expected = {1: TRIMMED, 2: TRIMMED, 3: WHOLE[:2], 4: WHOLE}
        assert {last: shown(r.until_answered(one)) for last, one in clients.items()} == expected
        for last in (4, 1, 3, 2, 4):
            r.send(query("alias.bet"), clients[last])
            assert shown(r.until_answered(clients[last])) == expected[last]
        assert r.count("cache_hits") == 5


def client(r: Rig, address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    made.connect((r.host, r.port))
    r.sockets.append(made)
    return made


def test_a_list_that_monitors_counts_and_an_entry_that_has_lapsed_does_nothing(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.plane.set_list(compiled(tmp_path, ["slot.bet"], action="monitor"))
        assert shown(relay(r, upstream)) == shown(r.ask(query("alias.bet"))) == WHOLE
        assert (r.count("monitored"), r.count("monitored_list_0"), r.count("blocked")) == (2, 2, 0)
        r.plane.set_list(compiled(tmp_path, ["slot.bet"], expires="2026-01-01T00:00:00Z"))
        assert shown(r.ask(query("alias.bet"))) == WHOLE
        r.plane.set_list(compiled(tmp_path, ["slot.bet"], match="below"))
        assert shown(r.ask(query("alias.bet"))) == WHOLE
        assert r.count("aliases_trimmed") == 0


def test_a_stale_answer_is_trimmed_too(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        assert shown(relay(r, upstream, ttl=1)) == WHOLE
        r.plane.set_list(compiled(tmp_path, ["slot.bet"]))
        again: list[tuple[DNSRecord, Any]] = []

        def asked_again() -> bool:
            r.silent()
            r.send(query("alias.bet"))
            again.extend(upstream.waiting())
            return bool(again)

        r.until(asked_again)
        while not r.silent():
            pass
        question, source = again[0]
        upstream.say(failing(question, "SERVFAIL"), source)
        reply = r.until_answered()
        assert (shown(reply), reply.rr[0].ttl, reply.header.rcode) == (TRIMMED, 30, RCODE.NOERROR)
        assert r.count("cache_stale") == 1


def test_an_answer_on_a_stream_is_judged_for_its_client_relayed_and_from_the_cache(tmp_path: Path) -> None:
    upstream, tap = Upstream(), {"identity": "here", "version": "1", "client_addresses": True}
    with rig(upstream, tap=tap, views=[["192.0.2.1"]], allow_clients=["192.0.2.0/24"], proxy_from=[BALANCER]) as r:
        r.plane.set_list(compiled(tmp_path, ["slot.bet"], aliases="stop"), [0])
        message, clients = query("alias.bet"), ("192.0.2.1", "192.0.2.2")
        assert [r.ask_stream(message, n, client) for n, client in enumerate(clients)] == [True, True]
        question, source = upstream.take()
        upstream.say(led(question), source)
        answers: dict[int, bytes] = {}

        def both() -> bool:
            answers.update(r.stream_answers())
            return len(answers) == 2

        r.until(both)
        expected = [WHOLE, [(ALIAS, "A", STOP_PAGE)]]
        assert [shown(DNSRecord.parse(answers[n])) for n in (0, 1)] == expected
        again = [r.ask_stream(message, n) for n, _ in enumerate(clients)]
        assert [shown(DNSRecord.parse(one)) for one in again if isinstance(one, bytes)] == expected
        frames = r.plane.take_tap()
        assert (frames.count(bytes([192, 0, 2, 2])), frames.count(bytes([192, 0, 2, 1]))) == (2, 0)


def test_the_end_of_a_chain_is_not_told_where_the_chain_is_cut_and_what_nobody_lists_is_left_alone(
    tmp_path: Path,
) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.plane.set_list(compiled(tmp_path, ["slot.bet", "under.slot.example"]))

        def answered(name: str, *records: RR, rcode: int = 0, auth: RR | None = None) -> DNSRecord:
            r.send(query(name))
            question, source = upstream.take()
            reply = question.reply()
            reply.header.rcode = rcode
            for record in records:
                reply.add_answer(record)
            if auth is not None:
                reply.add_auth(auth)
            upstream.say(reply, source)
            return r.until_answered()

        def alias(owner: str, target: str) -> RR:
            return RR(owner, QTYPE.CNAME, ttl=300, rdata=CNAME(target))

        soa = RR("example", QTYPE.SOA, ttl=300, rdata=SOA("ns.example", "x.example", (1, 2, 3, 4, 300)))
        gone = answered("gone.bet", alias("gone.bet", LISTED), alias(LISTED, "dead.example"), rcode=3, auth=soa)
        assert (gone.header.rcode, shown(gone), gone.auth) == (0, [("gone.bet.", "CNAME", LISTED)], [])
        # Nothing in it is of a listed name: it leads to one, and that is for the next question.
        only = answered("only.bet", alias("only.bet", LISTED), rcode=3, auth=soa)
        assert (only.header.rcode, len(only.auth)) == (3, 1)
        records = [
            RR("old.example", QTYPE.DNAME, ttl=300, rdata=DNAME("slot.example")),
            alias("under.old.example", "under.slot.example"),
            RR("under.slot.example", QTYPE.A, ttl=300, rdata=A(REAL)),
        ]
        assert len(answered("under.old.example", *records).rr) == 2
        mail = RR("mail.example", QTYPE.MX, ttl=300, rdata=MX(LISTED))
        assert [kind for _, kind, _ in shown(answered("mail.example", mail))] == ["MX"]


def test_who_records_blocked_answers_gets_an_alias_that_is_stopped_with_the_entry_s_name(tmp_path: Path) -> None:
    tap: Any = {"identity": "here", "version": "1", "client_addresses": False}
    for aliases, frames in (("trim", 0), ("stop", 2)):
        upstream = Upstream()
        with rig(upstream, tap=tap) as r:
            r.plane.set_list(compiled(tmp_path, ["slot.bet"], aliases=aliases))
            relay(r, upstream)
            r.ask(query("alias.bet"))
            assert r.count("tap_frames") == frames
            assert r.plane.take_tap().count(b"\x04slot\x03bet\x00") == frames


def test_what_becomes_of_aliases_is_one_of_three(tmp_path: Path) -> None:
    assert {compiled(tmp_path, ["a.example"], aliases=one).look_up("a.example")[0].aliases for one in
            ("trim", "stop", "relay")} == {"trim", "stop", "relay"}  # fmt: skip
    with pytest.raises(_core.CoreError, match="aliases"):
        compiled(tmp_path, ["a.example"], aliases="cut")
