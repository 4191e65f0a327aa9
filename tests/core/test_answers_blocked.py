"""Blocked answers as dnslib reads them: an oracle that shares no line with the core."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from dnslib import QTYPE, RCODE

from tests.rigs.answers import PORTAL, STOP4, STOP6, decided, extended_error, plane, question
from tests.rigs.plane import compiled, relayed

if TYPE_CHECKING:
    from pathlib import Path

NAME = "bLocked.eXample"
REFERENCE = "0000000000000000"
TYPES = ["A", "AAAA", "HTTPS", "SVCB", "TXT", "MX", "NS", "SOA", "CNAME", "PTR", "SRV", "ANY", "TYPE65280"]


@pytest.mark.parametrize(
    ("action", "qtype", "rcode", "address"),
    [
        *(("stop-page", qtype, "NOERROR", {"A": STOP4, "AAAA": STOP6}.get(qtype)) for qtype in TYPES),
        *(("nodata", qtype, "NOERROR", None) for qtype in TYPES),
        *(("nxdomain", qtype, "NXDOMAIN", None) for qtype in TYPES),
        *(("refused", qtype, "REFUSED", None) for qtype in TYPES),
    ],
)
def test_each_action_answers_each_type_as_the_table_says(
    tmp_path: Path, action: str, qtype: str, rcode: str, address: str | None
) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"], action=action), stop_ipv4=STOP4, stop_ipv6=STOP6)
    for name in (NAME, f"wWw.{NAME}", f"a.b.c.{NAME}"):
        reply = decided(on, question(name, qtype))
        assert RCODE.get(reply.header.rcode) == rcode
        assert [(rr.rname, rr.rtype, str(rr.rdata)) for rr in reply.rr] == (
            [(reply.q.qname, reply.q.qtype, address)] if address else []
        )
        assert all(0 < rr.ttl <= 60 for rr in [*reply.rr, *reply.auth])
        if address or action == "refused":
            assert reply.auth == []
        else:
            # "no" can be kept only by the SOA beside it: of the entry's own name, for no more than a minute (RFC 2308).
            [soa] = reply.auth
            assert (soa.rtype, str(soa.rname).lower()) == (QTYPE.SOA, "blocked.example.")
            assert soa.rdata.times[4] == soa.ttl


@pytest.mark.parametrize("qtype", ["DS", "DNSKEY"])
def test_what_speaks_of_a_whole_zone_is_relayed(tmp_path: Path, qtype: str) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"]), stop_ipv4=STOP4)
    assert on.ask_stream(question(NAME, qtype)) is True


@pytest.mark.parametrize("qtype", ["A", "AAAA"])
def test_a_family_without_a_stop_page_has_no_data(tmp_path: Path, qtype: str) -> None:
    reply = decided(plane(compiled(tmp_path, ["blocked.example"])), question(NAME, qtype))
    assert (reply.header.rcode, reply.rr, len(reply.auth)) == (0, [], 1)


def test_flags_and_edns_are_answered_in_every_combination(tmp_path: Path) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"]), stop_ipv4=STOP4)
    for rd, cd, ad, edns in itertools.product((0, 1), (0, 1), (0, 1), (None, 0, 512, 1232, 4096, 65535)):
        for do in (False, True) if edns is not None else (False,):
            reply = decided(on, question(NAME, rd=rd, cd=cd, ad=ad, edns=edns, do=do))
            assert [str(rr.rdata) for rr in reply.rr] == [STOP4]
            assert extended_error(reply) == (None if edns is None else (16, f"{REFERENCE} {PORTAL}"))


@pytest.mark.parametrize("action", ["stop-page", "nodata", "nxdomain", "refused"])
def test_the_extended_error_stands_beside_every_action(tmp_path: Path, action: str) -> None:
    reply = decided(plane(compiled(tmp_path, ["blocked.example"], action=action)), question(NAME, edns=1232))
    assert extended_error(reply) == (16, f"{REFERENCE} {PORTAL}")


def test_the_longest_name_is_answered_with_reference_and_portal(tmp_path: Path) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"]), stop_ipv4=STOP4)
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 45, NAME])
    assert len(bytes(question(longest).pack())) == 12 + 255 + 4
    for qtype in ("A", "AAAA", "HTTPS"):
        assert extended_error(decided(on, question(longest, qtype, edns=512))) == (16, f"{REFERENCE} {PORTAL}")


def test_a_list_that_only_counts_lets_everything_pass(tmp_path: Path) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"], action="monitor"))
    for qtype in ("A", "HTTPS", "TXT"):
        relayed(on, question(NAME, qtype))
    assert on.count("monitored") == 3


def test_an_entry_that_has_lapsed_stops_nothing(tmp_path: Path) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"], expires="2021-01-01T00:00:00Z"))
    relayed(on, question(NAME))


@pytest.mark.parametrize(
    ("match", "stopped", "passing"),
    [
        ("exact", ["blocked.example"], ["www.blocked.example", "example", "xblocked.example"]),
        ("subtree", ["blocked.example", "www.blocked.example", "a.b.blocked.example"], ["example", "xblocked.example"]),
        ("below", ["www.blocked.example", "a.b.blocked.example"], ["blocked.example", "blocked.example.org"]),
    ],
)
def test_what_an_entry_matches(tmp_path: Path, match: str, stopped: list[str], passing: list[str]) -> None:
    on = plane(compiled(tmp_path, ["blocked.example"], match=match), stop_ipv4=STOP4)
    for name in stopped:
        assert [str(rr.rdata) for rr in decided(on, question(name)).rr] == [STOP4]
    for name in passing:
        relayed(on, question(name))
