"""The relay over real sockets, with the test as upstream and as the attacker on the way to it."""

from __future__ import annotations

import os
import random
import resource
import socket

import pytest
from dnslib import QTYPE, RR, A, DNSRecord

from resolver import _core
from tests.rigs.limits import descriptors, limited
from tests.rigs.plane import Upstream, answer, failing, query, rig

REMOTE = "0.0.0.0"


def test_an_answer_goes_back_with_the_clients_own_id_and_case_and_fills_the_cache() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        asked = query("www.ExAmPlE.com", edns=True)
        r.send(asked)
        question, source = upstream.take()
        upstream.say(answer(question), source)
        r.plane.pump()
        reply = r.receive()
        assert (reply.header.id, str(reply.q.qname)) == (asked.header.id, "www.ExAmPlE.com.")
        assert str(reply.rr[0].rdata) == "198.51.100.7"
        assert str(r.ask(query("WWW.example.com")).rr[0].rdata) == "198.51.100.7"
        assert upstream.waiting() == []
        assert r.plane.in_flight == 0


def test_ipv6_is_relayed_as_ipv4_is() -> None:
    upstream = Upstream("::1")
    with rig(upstream, host="::1") as r:
        r.send(query("example.com"))
        question, source = upstream.take()
        upstream.say(answer(question), source)
        r.plane.pump()
        assert str(r.receive().rr[0].rdata) == "198.51.100.7"
        assert r.count("queries_udp6") == 1


def test_the_first_question_leaves_also_where_no_descriptor_is_left() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        with limited(resource.RLIMIT_NOFILE, descriptors(os.getpid()), os.getpid()):
            for name in ("one.example", "two.example", "three.example", "four.example"):
                r.send(query(name))
        assert len(upstream.waiting()) == 4
        assert r.plane.upstreams()[0]["state"] == "up"


UDP_GRO = 104  # linux/udp.h: a socket with it takes what was joined as it comes


@pytest.mark.parametrize("joined", [True, False])
def test_a_batch_passes_through_the_kernel_as_one_datagram_each_way_unless_it_is_not_to(joined: bool) -> None:
    upstream = Upstream()
    with rig(upstream, udp_gso=joined) as r:
        for one in (upstream.socket, r.client):
            one.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        names = [f"name-{letter}.example" for letter in "abcdefgh"]
        for name in names:
            r.client.send(query(name).pack())
        r.plane.pump()
        questions: list[DNSRecord] = []
        length = len(query(names[0], edns=True).pack())
        while len(questions) < len(names):
            came, source = upstream.socket.recvfrom(65535)
            assert len(came) == (length * len(names) if joined else length)
            questions += [DNSRecord.parse(came[at : at + length]) for at in range(0, len(came), length)]
        for question in questions:
            upstream.say(answer(question), source)
        r.plane.pump()
        answers: list[DNSRecord] = []
        length = len(answer(questions[0]).pack())
        while len(answers) < len(names):
            came = r.client.recv(65535)
            assert len(came) == (length * len(names) if joined else length)
            answers += [DNSRecord.parse(came[at : at + length]) for at in range(0, len(came), length)]
        assert sorted(str(reply.q.qname) for reply in answers) == [f"{name}." for name in names]


def test_questions_leave_with_random_ids_ports_and_letter_case() -> None:
    upstream = Upstream(seen_as=REMOTE)
    with rig(upstream, remote_sockets=16) as r:
        ids, ports, names = set(), set(), set()
        for _ in range(200):
            r.send(query("a-name-with-many-letters.example.com", rd=0))
            question, source = upstream.take()
            ids.add(question.header.id)
            ports.add(source[1])
            names.add(str(question.q.qname))
        assert len(ids) > 190
        assert len(ports) == 16
        assert len(names) > 190
        assert {name.lower() for name in names} == {"a-name-with-many-letters.example.com."}


def test_towards_loopback_there_are_four_sockets_and_no_random_case() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        ports, names = set(), set()
        for _ in range(100):
            r.send(query("Example.com", rd=0))
            question, source = upstream.take()
            ports.add(source[1])
            names.add(str(question.q.qname))
        assert (len(ports), names) == (4, {"example.com."})


def flip_id(reply: DNSRecord) -> bytes:
    reply.header.id ^= 0x0101
    return bytes(reply.pack())


def flip_case(reply: DNSRecord) -> bytes:
    message = bytearray(reply.pack())
    message[13] ^= 0x20
    return bytes(message)


def other_question(reply: DNSRecord) -> bytes:
    message = bytearray(reply.pack())
    message[14] ^= 1
    return bytes(message)


def other_type(reply: DNSRecord) -> bytes:
    message = bytearray(reply.pack())
    message[12 + 8 + 8 + 5 + 1] = 28
    return bytes(message)


def not_an_answer(reply: DNSRecord) -> bytes:
    message = bytearray(reply.pack())
    message[2] &= 0x7F
    return bytes(message)


def other_opcode(reply: DNSRecord) -> bytes:
    message = bytearray(reply.pack())
    message[2] |= 0x28
    return bytes(message)


def two_questions(reply: DNSRecord) -> bytes:
    message = bytearray(reply.pack())
    message[5] = 2
    return bytes(message)


def lies_about_its_records(reply: DNSRecord) -> bytes:
    message = bytearray(reply.pack())
    message[7] = 9
    return bytes(message)


FORGERIES = [
    flip_id,
    flip_case,
    other_question,
    other_type,
    not_an_answer,
    other_opcode,
    two_questions,
    lies_about_its_records,
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forged_answer_gets_nothing_in_and_the_true_one_still_counts(forge: object) -> None:
    upstream = Upstream(seen_as=REMOTE)
    assert callable(forge)
    with rig(upstream) as r:
        r.send(query("victim.example.com"))
        question, source = upstream.take()
        for _ in range(5):
            upstream.say(forge(answer(question, "203.0.113.66")), source)
        r.plane.pump()
        assert r.silent()
        assert r.plane.in_flight == 1
        assert r.count("upstream_strays") + r.count("upstream_mismatches") == 5
        upstream.say(answer(question), source)
        r.plane.pump()
        assert str(r.receive().rr[0].rdata) == "198.51.100.7"
        assert str(r.ask(query("victim.example.com")).rr[0].rdata) == "198.51.100.7"


def test_an_answer_from_another_address_or_to_another_port_gets_nothing_in() -> None:
    upstream, attacker = Upstream(), Upstream()
    with rig(upstream) as r:
        ports = set()
        for number in range(40):
            r.send(query(f"n{number}.example.com"))
            question, source = upstream.take()
            ports.add(source)
        r.send(query("victim.example.com"))
        question, source = upstream.take()
        forged = answer(question, "203.0.113.66")
        attacker.say(forged, source)
        for other in ports - {source}:
            upstream.say(forged, other)
        r.plane.pump()
        assert r.silent()
        upstream.say(answer(question), source)
        r.plane.pump()
        assert str(r.receive().rr[0].rdata) == "198.51.100.7"
    attacker.socket.close()


def test_after_eight_mismatches_the_question_goes_over_tcp_and_datagrams_no_longer_count() -> None:
    upstream = Upstream(seen_as=REMOTE)
    with rig(upstream) as r:
        r.send(query("victim.example.com"))
        question, source = upstream.take()
        for _ in range(8):
            upstream.say(flip_case(answer(question, "203.0.113.66")), source)
        assert r.plane.pump()
        upstream.say(answer(question, "203.0.113.66"), source)
        r.plane.pump()
        assert r.silent()
        (ask,) = r.tcp_asks()
        assert ask.upstream == upstream.address
        assert str(DNSRecord.parse(ask.message).q.qname).lower() == "victim.example.com."
        assert r.say_tcp(ask)
        assert str(r.receive().rr[0].rdata) == "198.51.100.7"
        assert str(r.ask(query("victim.example.com")).rr[0].rdata) == "198.51.100.7"
        assert r.say_tcp(ask)
        assert r.silent()
        assert r.count("over_tcp") == 1


def test_when_tcp_fails_too_the_clients_hear_of_it_when_their_patience_is_over() -> None:
    upstream = Upstream(seen_as=REMOTE)
    with rig(upstream, upstream_timeout_ms=100, patience_ms=350) as r:
        r.send(query("victim.example.com", edns=True))
        question, source = upstream.take()
        for _ in range(8):
            upstream.say(flip_case(answer(question)), source)
        tried = 0

        def told() -> bool:
            nonlocal tried
            for ask in r.tcp_asks():
                tried += 1
                r.plane.tcp_failed(ask)
            return r.count("gave_up") == 1

        r.until(told)
        reply = r.client.recv(512)
        assert reply[3] & 15 == 2
        assert b"\0\x0f\0\2\0\x17" in reply
        assert tried >= 2, "an upstream that is being restarted may be back"


def test_a_port_that_somebody_has_found_is_given_up_and_its_questions_go_over_tcp() -> None:
    upstream = Upstream(seen_as=REMOTE)
    with rig(upstream, remote_sockets=1) as r:
        r.send(query("victim.example.com"))
        question, source = upstream.take()
        ids = random.Random(7).sample([i for i in range(65536) if i != question.header.id], 8)
        for guess in ids:
            forged = answer(question, "203.0.113.66")
            forged.header.id = guess
            upstream.say(forged, source)
        r.plane.pump()
        assert len(r.tcp_asks()) == 1
        r.send(query("other.example.com"))
        _, new_source = upstream.take()
        assert new_source != source


def test_one_question_is_in_flight_for_a_name_and_all_who_wait_are_answered_in_their_own_case() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        clients = [r.new_client() for _ in range(20)]
        names = ["ExamPle.com", "EXAMPLE.com", "example.COM"]
        for number, client in enumerate(clients):
            r.send(query(names[number % 3]), client)
        ((question, source),) = upstream.waiting()
        upstream.say(answer(question), source)
        r.plane.pump()
        for number, client in enumerate(clients):
            assert str(r.receive(client).q.qname) == f"{names[number % 3]}."
        assert (r.count("relayed"), r.count("joined")) == (1, 19)


def test_other_types_and_flags_are_other_questions() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        checking_disabled = query("example.com")
        checking_disabled.header.cd = 1
        for message in (
            query("example.com"),
            query("example.com", "AAAA"),
            checking_disabled,
            query("example.com", rd=0),
        ):
            r.send(message)
        assert len(upstream.waiting()) == 4


def test_the_sixty_fifth_who_waits_is_told_so_and_a_retransmit_takes_its_own_place() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        first = query("example.com")
        for _ in range(3):
            r.send(first)
        for number in range(63):
            again = query("example.com")
            again.header.id = (first.header.id + 1 + number) & 0xFFFF
            r.send(again)
        assert r.silent()
        beyond = query("example.com")
        beyond.header.id = (first.header.id + 64) & 0xFFFF
        assert r.ask(beyond).header.rcode == 2
        ((question, source),) = upstream.waiting()
        upstream.say(answer(question), source)
        r.plane.pump()
        answered = [r.receive().header.id for _ in range(64)]
        assert len(set(answered)) == 64
        assert r.silent()
        assert (r.count("repeated"), r.count("cap_waiters")) == (2, 1)


def test_a_late_answer_still_fills_the_cache() -> None:
    upstream = Upstream()
    with rig(upstream, upstream_timeout_ms=20, patience_ms=40) as r:
        r.send(query("late.example.com"))
        question, source = upstream.take()
        assert r.until_answered().header.rcode == 2
        assert r.plane.in_flight == 1 + len(upstream.own())
        upstream.say(answer(question), source)
        r.until(lambda: r.count("upstream_late"))
        assert str(r.ask(query("late.example.com")).rr[0].rdata) == "198.51.100.7"


@pytest.mark.parametrize(
    ("settings", "names", "cap"),
    [
        ({"max_in_flight": 10}, [f"n{i}.zone{i}.example" for i in range(11)], "cap_worker"),
        ({"per_client_in_flight": 10}, [f"n{i}.zone{i}.example" for i in range(11)], "cap_client"),
        ({"per_zone_in_flight": 10}, [f"n{i}.victim.example" for i in range(11)], "cap_zone"),
    ],
)
def test_above_a_cap_the_answer_is_servfail_and_below_it_again_there_is_room(
    settings: dict[str, int], names: list[str], cap: str
) -> None:
    upstream = Upstream()
    with rig(upstream, **settings) as r:
        for name in names[:-1]:
            r.send(query(name))
        assert r.silent()
        assert r.ask(query(names[-1])).header.rcode == 2
        assert r.count(cap) == 1
        for question, source in upstream.waiting():
            upstream.say(answer(question), source)
        r.plane.pump()
        for _ in names[:-1]:
            assert r.receive().header.rcode == 0
        r.send(query(names[-1]))
        assert len(upstream.waiting()) == 1


def test_a_cap_on_one_zone_leaves_others_alone() -> None:
    upstream = Upstream()
    with rig(upstream, per_zone_in_flight=5) as r:
        for number in range(8):
            r.send(query(f"r{number}.victim.example"))
        r.send(query("www.other.example"))
        for number in range(8):
            r.send(query(f"domain{number}.example"))
        assert len(upstream.waiting()) == 5 + 1 + 8


def test_a_truncated_answer_passes_as_truncated_and_for_seconds_others_are_sent_to_tcp_at_once() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("large.example.com"))
        question, source = upstream.take()
        reply = question.reply()
        reply.header.tc = 1
        upstream.say(reply, source)
        r.plane.pump()
        assert r.receive().header.tc == 1
        again = r.ask(query("LARGE.example.com", edns=True))
        assert (again.header.tc, again.rr, upstream.waiting()) == (1, [], [])
        # A question over TCP goes to the upstream over TCP at once; what comes back serves datagrams too.
        assert r.ask_stream(query("large.example.com")) is True

        def whole(question: DNSRecord) -> DNSRecord:
            reply = question.reply()
            for number in range(200):
                reply.add_answer(RR("large.example.com", QTYPE.A, ttl=300, rdata=A(f"198.51.100.{number}")))
            return reply

        assert r.say_tcp(r.until_tcp(), whole)
        assert upstream.waiting() == []
        assert len(r.until_stream().rr) == 200
        kept = r.ask_stream(query("large.example.com"))
        assert isinstance(kept, bytes)
        assert len(DNSRecord.parse(kept).rr) == 200
        assert (r.ask(query("large.example.com")).header.tc, upstream.waiting()) == (1, [])


def test_without_recursion_desired_nothing_is_kept_or_shared() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        for _ in range(2):
            r.send(query("example.com", rd=0))
            question, source = upstream.take()
            assert question.header.rd == 0
            upstream.say(answer(question), source)
            r.plane.pump()
            assert r.receive().header.rcode == 0


def test_what_an_upstream_says_beyond_an_answer_does_not_stop_the_plane() -> None:
    upstream = Upstream()
    rng = random.Random(20261122)
    with rig(upstream) as r:
        r.send(query("example.com"))
        question, source = upstream.take()
        good = bytes(answer(question).pack())
        for _ in range(3):
            for _ in range(200):
                junk = bytearray(good)
                for _ in range(rng.randrange(1, 8)):
                    junk[rng.randrange(2, len(junk))] = rng.randrange(256)
                upstream.say(bytes(junk[: rng.randrange(len(junk) + 1)]), source)
            r.plane.pump()
        assert r.count("panics") == 0
        r.plane.tick()
        assert r.ask(query("example.com", "ANY")).header.rcode == 0


def test_servfail_of_the_only_upstream_passes_as_it_said_it() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        r.send(query("bogus.example.com"))
        question, source = upstream.take()
        upstream.say(failing(question, "SERVFAIL"), source)
        r.plane.pump()
        assert r.receive().header.rcode == 2


def test_a_client_that_is_gone_costs_the_others_nothing() -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        gone.sendto(bytes(query("example.com").pack()), ("127.0.0.1", r.port))
        r.send(query("example.com"))
        gone.close()
        ((question, source),) = upstream.waiting()
        upstream.say(answer(question), source)
        r.plane.pump()
        assert r.receive().header.rcode == 0
        assert r.ask(query("example.com")).header.rcode == 0


def test_the_same_seed_gives_the_same_ids() -> None:
    def ids() -> list[int]:
        upstream = Upstream()
        with rig(upstream, seed=7) as r:
            found = []
            for number in range(5):
                r.send(query(f"n{number}.example.com"))
                found.append(upstream.take()[0].header.id)
            return found

    assert ids() == ids()
    assert isinstance(_core.COUNTERS, list)
