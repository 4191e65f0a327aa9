"""What the resolver says of itself (RFC 9462, RFC 9606) and of canary names, over real sockets and on streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from resolver import _core
from resolver.config.discovery import own_answers
from resolver.config.schema import Config
from tests.rigs.plane import Rig, Upstream, compiled, rig

if TYPE_CHECKING:
    from pathlib import Path

ENCRYPTED = {
    "name": "dns.isp.example",
    "certificate": "/c",
    "key": "/k",
    "tls": ["0.0.0.0:853", "[::]:853"],
    "https": {"listen": ["0.0.0.0:443"], "path": "/ask"},
    "addresses": ["192.0.2.53", "2001:db8::53"],
}


def config(**serving: object) -> Config:
    raw = {
        "state_dir": "/x",
        "run_dir": "/y",
        "portal": {"url": "https://stop.isp.example/"},
        "lists": [{"name": "a", "repository": "/l", "trusted_root": "/r", "reason": "blocked"}],
        "dns": {"listen": ["0.0.0.0:53"], "upstreams": ["127.0.0.1:1"], "allow_clients": [], **serving},
    }
    return Config.model_validate(raw, context={"folder": "/"})


def asked(name: str, rtype: str, **more: bool) -> dns.message.Message:
    message = dns.message.make_query(name, rtype, use_edns=0, payload=1232)
    if more.get("rd") is False:
        message.flags &= ~dns.flags.RD
    return message


def both(r: Rig, question: dns.message.Message) -> dns.message.Message:
    """The answer, which is the same over UDP and TCP."""
    r.send(question.to_wire())
    over_udp = dns.message.from_wire(r.client.recv(65535))
    over_tcp = r.ask_stream(question.to_wire())
    assert isinstance(over_tcp, bytes)
    assert dns.message.from_wire(over_tcp).to_text() == over_udp.to_text()
    assert question.is_response(over_udp)
    return over_udp


def texts(reply: dns.message.Message, section: str = "answer") -> list[str]:
    return [record.to_text() for rrset in getattr(reply, section) for record in rrset]


def test_what_is_served_is_designated_with_its_addresses() -> None:
    upstream = Upstream()
    with rig(upstream, own_answers=own_answers(config(encrypted=ENCRYPTED))) as r:
        reply = both(r, asked("_DNS.resolver.ARPA", "SVCB"))
        hints = 'ipv4hint="192.0.2.53" ipv6hint="2001:db8::53"'
        assert sorted(texts(reply)) == [
            f'1 dns.isp.example. alpn="dot" port="853" {hints}',
            f'2 dns.isp.example. alpn="h2" port="443" {hints} dohpath="/ask{{?dns}}"',
        ]
        assert sorted(texts(reply, "additional")) == ["192.0.2.53", "2001:db8::53"]
        assert reply.flags & dns.flags.AA
        assert both(r, asked("_dns.resolver.arpa", "A")).answer == []
        assert upstream.waiting() == []
        assert r.count("blocked") == 0


def test_without_encrypted_dns_nothing_is_designated() -> None:
    upstream = Upstream()
    with rig(upstream, own_answers=own_answers(config())) as r:
        for name in ("_dns.resolver.arpa", "resolver.arpa", "x.y.resolver.arpa"):
            reply = both(r, asked(name, "SVCB"))
            assert (reply.rcode(), reply.answer, len(reply.authority)) == (0, [], 1)
        assert upstream.waiting() == []


def test_only_addresses_that_are_listened_on_are_hints() -> None:
    listening = {**ENCRYPTED, "addresses": [], "tls": ["0.0.0.0:853", "192.0.2.7:8853"]}
    with rig(Upstream(), own_answers=own_answers(config(encrypted=listening))) as r:
        found = texts(both(r, asked("_dns.resolver.arpa", "SVCB")))
        assert sorted(found) == [
            '1 dns.isp.example. alpn="dot" port="853" ipv4hint="192.0.2.7"',
            '2 dns.isp.example. alpn="dot" port="8853" ipv4hint="192.0.2.7"',
            '3 dns.isp.example. alpn="h2" port="443" ipv4hint="192.0.2.7" dohpath="/ask{?dns}"',
        ]


@pytest.mark.parametrize("rd", [True, False])
@pytest.mark.parametrize("name", ["resolver.arpa", "dns.isp.example"])
def test_the_resolver_s_information_is_authoritative_also_for_who_asks_without_recursion(name: str, rd: bool) -> None:
    """RFC 9606, 3: the client sets RD to 0 and discards an answer without AA."""
    upstream = Upstream()
    with rig(upstream, own_answers=own_answers(config(encrypted=ENCRYPTED))) as r:
        reply = both(r, asked(name, "RESINFO", rd=rd))
        assert texts(reply) == ['"exterr=3,15,19,22-23" "infourl=https://stop.isp.example/resolver"']
        assert reply.flags & dns.flags.AA
        assert upstream.waiting() == []


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ({}, "exterr=3,15,19,22-23"),
        ({"cache": {"stale": "0s"}}, "exterr=15,22-23"),
        ({"qname_minimisation": True}, "qnamemin exterr=3,15,19,22-23"),
    ],
)
def test_information_says_what_is_true_here(serving: dict[str, object], said: str) -> None:
    with rig(Upstream(), own_answers=own_answers(config(**serving))) as r:
        (text,) = texts(both(r, asked("resolver.arpa", "RESINFO")))
        assert text.replace('"', "") == f"{said} infourl=https://stop.isp.example/resolver"


def test_other_types_of_the_resolver_s_own_name_are_relayed() -> None:
    upstream = Upstream()
    with rig(upstream, own_answers=own_answers(config(encrypted=ENCRYPTED))) as r:
        r.send(asked("dns.isp.example", "A").to_wire())
        assert r.silent()
        assert len(upstream.waiting()) == 1


def test_a_canary_that_is_configured_does_not_exist_and_is_no_block(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream, own_answers=own_answers(config(canaries=["use-application-dns.net"]))) as r:
        r.plane.set_list(compiled(tmp_path, ["blocked.example"]))
        for rtype in ("A", "AAAA", "HTTPS"):
            reply = both(r, asked("use-application-dns.net", rtype))
            assert (reply.rcode(), reply.answer, len(reply.authority)) == (3, [], 1)
            assert reply.options == ()
        assert r.count("blocked") == 0
        for name in ("www.use-application-dns.net", "mask.icloud.com"):
            r.send(asked(name, "A").to_wire())
            assert r.silent()
        assert len(upstream.waiting()) == 2


def test_what_does_not_fit_a_datagram_asks_for_tcp() -> None:
    long = {**ENCRYPTED, "addresses": [f"2001:db8:1:2:3:4:5:{at:x}" for at in range(1, 60)]}
    with rig(Upstream(), own_answers=own_answers(config(encrypted=long))) as r:
        question = asked("_dns.resolver.arpa", "SVCB")
        r.send(question.to_wire())
        assert dns.message.from_wire(r.client.recv(65535)).flags & dns.flags.TC
        over_tcp = r.ask_stream(question.to_wire())
        assert isinstance(over_tcp, bytes)
        assert len(texts(dns.message.from_wire(over_tcp))) == 2


def test_a_message_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(_core.CoreError, match="own_answers"):
        _core.Plane({"allow_clients": [], "own_answers": [(bytes(12), False)]})
