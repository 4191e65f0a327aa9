"""Lists as their publishers write them: nothing is stopped that the list lets pass, nothing that it never listed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from blocklists import admissible, document
from blocklists.impact import preview
from blocklists.importers import formats
from blocklists.importers.intake import Intake
from blocklists.importers.source import SourceError
from blocklists.issuer.command import import_
from resolver import _core
from resolver.config.schema_lists import Bridge
from resolver.lists.protected import suffix_rules
from tests.conftest import find_program
from tests.rigs.lists_world import make_entry
from tests.rigs.registers import zipped

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.entry import Match

SITES = "".join(f"site{number}.example.com\n" for number in range(40_000)).encode()


def intake(
    folder: Path, text: str | bytes, form: str = "auto", *, star: Match = "below", walls: frozenset[str] = frozenset()
) -> Intake:
    path = folder / "list"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    taken = Intake(star=star, walls=walls)
    formats.read(path, taken, form=form)
    return taken


def names(taken: Intake) -> dict[str, str]:
    return {candidate.name: candidate.match for candidate in taken.candidates}


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["gzip", "bzip2", "xz", "zstd"],
)  # fmt: skip
def test_a_compressed_file_that_breaks_off_anywhere_is_refused(tmp_path: Path, compress: object) -> None:
    whole: bytes = compress(SITES)  # type: ignore[operator]
    assert len(intake(tmp_path, whole)) == 40_000
    assert len(intake(tmp_path, whole + compress(b"more.example\n"), "domains")) == 40_001  # type: ignore[operator]
    for at in (len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 4, len(whole) - 1):
        with pytest.raises(SourceError, match="breaks off"):
            intake(tmp_path, whole[:at], "domains")


def test_a_document_that_breaks_off_is_refused_by_who_reads_it(tmp_path: Path) -> None:
    from resolver.log.errors import AuditError
    from resolver.stats.documents import read_document

    path = tmp_path / "full.zst"
    document.write(path, document.in_order(make_entry(f"n{number}.example") for number in range(300)))
    whole = path.read_bytes()
    assert len(list(read_document(path))) == 300
    for at in (len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:at])
        with pytest.raises(AuditError, match="breaks off"):
            list(read_document(path))
        with pytest.raises(document.DocumentError, match="breaks off"):
            list(document.read(path, size=1 << 20))


def test_a_zip_archive_of_one_file_and_what_signs_it_is_that_file(tmp_path: Path) -> None:
    whole = zipped({"dump.txt": SITES, "dump.txt.sig": b"\x30"})
    assert len(intake(tmp_path, whole)) == 40_000
    for at in (10, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        with pytest.raises(SourceError, match="breaks off"):
            intake(tmp_path, whole[:at], "domains")
    at = whole.index(b"dump.txt") + 2000
    with pytest.raises(SourceError, match="damaged zip data"):
        intake(tmp_path, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], "domains")
    for files, why in (
        ({"a.txt": b"a.example", "b.txt": b"b.example"}, "a zip archive of 2 files, not of one"),
        ({}, "a zip archive of 0 files"),
        ({"[Content_Types].xml": b"", "xl/workbook.xml": b""}, r"a workbook \(.xlsx\)"),
        ({f"{number:0200}": b"" for number in range(5000)}, "very many files"),
    ):
        with pytest.raises(SourceError, match=why):
            intake(tmp_path, zipped(files))
    path = tmp_path / "bomb.zip"
    path.write_bytes(zipped({"a.txt": b"a.example\n" * 300_000}))
    with pytest.raises(SourceError, match=r"more than 1,000,000 octets"):
        formats.read(path, Intake(size=1_000_000), form="domains")


def test_the_uncompressed_octets_are_bounded_and_a_repeated_name_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"a.example\n" * 300_000))
    with pytest.raises(SourceError, match=r"more than 1,000,000 octets"):
        formats.read(path, Intake(size=1_000_000), form="domains")
    taken = Intake()
    formats.read(path, taken, form="domains")
    assert (len(taken), taken.counts["noted"], len(taken.notices)) == (1, 299_999, 1000)


# Text of an ad blocker's list -> what a DNS filter stops (AdGuard, "DNS filtering rules syntax")
RULES: tuple[tuple[str, dict[str, str]], ...] = (
    ("||shop.example^\n@@||www.shop.example^\n", {"shop.example": "exact"}),
    ("||shop.example^\n@@||shop.example^\n||b.example^\n", {"b.example": "subtree"}),
    ("||shop.example^\n@@shop.example\n", {"shop.example": "below"}),
    ("||*.shop.example^\n@@||www.shop.example^\n", {}),
    ("||shop.example^\n@@|www.shop.example^\n", {"shop.example": "exact"}),
    ("||shop.example^\n@@|shop.example|\n", {"shop.example": "below"}),
    ("||shop.example^$important\n@@|shop.example^\n", {"shop.example": "subtree"}),
    ("||shop.example^$important\n@@|shop.example^$important\n", {"shop.example": "below"}),
    ("|shop.example^\n|www.shop.example|\n", {"shop.example": "exact", "www.shop.example": "exact"}),
    ("|shop.example^\n@@||www.shop.example^\n", {"shop.example": "exact"}),
    ("||www.shop.example^\n@@||shop.example^\n", {}),
    ("||a.example^\n||a.example^$badfilter\n||b.example^\n", {"b.example": "subtree"}),
    ("||a.example^$important\n@@||a.example^\n", {"a.example": "subtree"}),
    ("||a.example^$important\n@@||a.example^$important\n", {}),
    ("||a.example^$popup\n||b.example^$document\n||c.example^$all\n||d.example^$third-party\n||e.example^\n",
     {"e.example": "subtree"}),
    ("||a.example^\n@@||a.example^$document\n", {"a.example": "subtree"}),  # ignored by a DNS filter
    ("||a.example^\n@@||a.example^$dnstype=AAAA\n", {}),
    ("||a.example^$dnstype=AAAA\n||b.example^$client=10.0.0.1\n||c.example^$dnsrewrite=192.0.2.1\n||d.example^\n",
     {"d.example": "subtree"}),
    ("||d.example^\na.example\n0.0.0.0 b.example\n192.0.2.9 c.example\n",
     {"a.example": "exact", "b.example": "exact", "d.example": "subtree"}),
)  # fmt: skip


@pytest.mark.parametrize(("text", "stopped"), RULES)
def test_what_an_ad_blocker_s_list_lets_pass_is_never_stopped(
    tmp_path: Path, text: str, stopped: dict[str, str]
) -> None:
    assert names(intake(tmp_path, text, "adblock")) == stopped


def test_a_block_that_is_narrowed_or_rejected_names_what_passes(tmp_path: Path) -> None:
    taken = intake(tmp_path, "||shop.example^\n@@||www.shop.example^\n||*.b.example^\n@@||x.b.example^\n", "adblock")
    assert names(taken) == {"shop.example": "exact"}
    assert [notice.notice for notice in taken.notices] == [
        "taken as exact, not as subtree: the list lets www.shop.example pass"
    ]
    assert [(item.line, item.reason) for item in taken.rejected] == [
        (2, "lets a name pass"), (4, "lets a name pass"),
        (3, "below: the list lets x.b.example pass, and no entry says the rest"),
    ]  # fmt: skip


@pytest.mark.parametrize("rule", ["@@||ads*.example^", "@@/banner[0-9]/"])
def test_an_exception_whose_names_cannot_be_told_refuses_the_file(tmp_path: Path, rule: str) -> None:
    with pytest.raises(SourceError, match=r"line 2.*an exception whose names cannot be told"):
        intake(tmp_path, f"||a.example^\n{rule}\n", "adblock")


LABELS = st.sampled_from(["a", "b", "c"])
HOSTS = st.lists(LABELS, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "example"]))
FORMS = ["||{}^", "@@||{}^", "||{}^$important", "{}", "|{}^", "@@|{}^", "||*.{}^", "||{}^$popup"]
RULE = st.tuples(st.sampled_from(FORMS), HOSTS)
QUESTIONS = ["example", *(f"{label}.example" for label in "abc")]
QUESTIONS += [f"{one}.{two}.example" for one in "abc" for two in "abc"]
QUESTIONS += [f"{one}.{two}.{three}.example" for one in "abc" for two in "abc" for three in "abc"]


def filtered(rules: list[tuple[str, str]], name: str) -> bool:
    """AdGuard's page, read rule by rule for one question: exceptions beat blocks, `$important` beats exceptions."""

    def hit(form: str, host: str) -> bool:
        if "||" not in form:
            return name == host
        return name.endswith(f".{host}") or (name == host and "*" not in form)

    hits = {form for form, host in rules if form != "||{}^$popup" and hit(form, host)}
    if "||{}^$important" in hits:
        return True
    return bool(hits) and not any(form.startswith("@@") for form in hits)


@settings(max_examples=150)
@given(st.lists(RULE, min_size=1, max_size=6))
def test_no_name_is_stopped_that_a_dns_filter_would_let_pass(
    tmp_path_factory: pytest.TempPathFactory, rules: list[tuple[str, str]]
) -> None:
    text = "".join(f"{form.format(host)}\n" for form, host in rules)
    found = names(intake(tmp_path_factory.mktemp("r"), text, "adblock"))
    taken = intake(tmp_path_factory.mktemp("r"), text, "adblock").candidates

    def stopped(name: str) -> bool:
        return any(
            (name == entry.name and entry.match != "below")
            or (name.endswith(f".{entry.name}") and entry.match != "exact")
            for entry in taken
        )

    excepted = any(form.startswith("@@") for form, _ in rules)
    for name in QUESTIONS:
        assert not stopped(name) or filtered(rules, name), (text, name, found)
        if not excepted:  # then every block can be said exactly
            assert stopped(name) == filtered(rules, name), (text, name, found)


WORDS = st.sampled_from([
    "0.0.0.0", "127.0.0.1", "::", "::1", "0:0:0:0:0:0:0:0", "127.1.2.3", "192.0.2.1", "fe80::1%lo0", "a.example",
    "b.example", "WWW.A.example", "c.example.", "localhost", "ip6-allnodes", "com", "*.d.example", "bad..example",
    "#", "# e.example", "#f.example", "a.example#x",
])  # fmt: skip
HOSTS_LINES = st.lists(
    st.builds(str.join, st.sampled_from([" ", "\t", "  \t "]), st.lists(WORDS, max_size=4)), min_size=1, max_size=6
)


def stopped_by_hosts(lines: list[str]) -> set[str]:
    """hosts(5), read by hand: an address where nobody listens, then names; `#` begins a comment anywhere."""
    found: set[str] = set()
    for line in lines:
        fields = line.split("#")[0].split()
        if not fields or fields[0] not in {"0.0.0.0", "127.0.0.1", "127.1.2.3", "::", "::1", "0:0:0:0:0:0:0:0"}:
            continue
        for field in fields[1:]:
            name = field.lower().rstrip(".")
            if re.fullmatch(r"(?:[a-z0-9-]+\.)+example", name):
                found.add(name)
    return found


@settings(max_examples=200)
@given(HOSTS_LINES)
def test_a_hosts_file_stops_exactly_what_reading_it_by_hand_says(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    found = names(intake(tmp_path_factory.mktemp("h"), "\n".join(lines) + "\n", "hosts"))
    assert found == dict.fromkeys(stopped_by_hosts(lines), "exact"), lines


ZONE = """$TTL 300
$ORIGIN rpz.example.
@ IN SOA localhost. root.localhost. ( 1 3600
   600 86400 300 ) ; serial and all
@ NS localhost.
shop.example   CNAME .
*.shop.example CNAME .
www.shop.example CNAME rpz-passthru.
$ORIGIN test.rpz.example.
casino 60 CNAME *.
*.casino CNAME rpz-drop.
bet IN 60 CNAME .
self CNAME self.test.
with\\046dot CNAME .
tcp CNAME rpz-tcp-only.
safe CNAME forcesafesearch.search.example.
wall A 0.0.0.0
other A 216.239.38.120
"""
STOPPED = {
    "shop.example": "exact", "casino.test": "subtree", "bet.test": "exact", "wall.test": "exact",
}  # fmt: skip


def test_a_zone_is_read_as_a_dns_server_reads_it(tmp_path: Path) -> None:
    taken = intake(tmp_path, ZONE)
    assert names(taken) == STOPPED
    assert taken.counts["passing"] == 5
    walled = intake(tmp_path, ZONE, walls=frozenset({"forcesafesearch.search.example", "216.239.38.120"}))
    assert names(walled) == {**STOPPED, "safe.test": "exact", "other.test": "exact"}


@pytest.mark.needs("named-compilezone")
@pytest.mark.parametrize("style", ["full", "relative"])
def test_a_zone_as_bind_writes_it_gives_the_same_names(tmp_path: Path, style: str) -> None:
    lines = "".join(f"n{number}.site{number % 97}.example CNAME .\n" for number in range(3000))
    (tmp_path / "zone").write_text(ZONE.replace("$ORIGIN test", lines + "$ORIGIN test"))
    program = find_program("named-compilezone") or ""
    subprocess.run(
        [program, "-s", style, "-k", "ignore", "-o", tmp_path / "written", "rpz.example", tmp_path / "zone"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert names(intake(tmp_path, (tmp_path / "written").read_bytes())) == {
        **STOPPED, **{f"n{number}.site{number % 97}.example": "exact" for number in range(3000)}
    }  # fmt: skip


ORIGINS = st.sampled_from(["example.rpz.test.", "a.example.rpz.test.", "example", "b", "rpz.test."])
OWNERS = st.sampled_from(
    ["a", "*.a", "B", "*.b", "c.b", "*", "d.example.rpz.test.", "*.d.example.rpz.test.", "e\\046f"]
)
RULES_OF_ZONES = st.sampled_from(
    ["CNAME .", "60 CNAME .", "IN 60 CNAME *.", "60 IN CNAME rpz-drop.", "( CNAME\n  . ) ; two lines", "A 0.0.0.0"]
)
ZONE_LINES = st.lists(
    st.one_of(ORIGINS.map("$ORIGIN {}".format), st.builds("{} {}".format, OWNERS, RULES_OF_ZONES)),
    min_size=1, max_size=8,
)  # fmt: skip


@pytest.mark.needs("named-compilezone")
@settings(max_examples=30)
@given(ZONE_LINES)
def test_any_zone_gives_the_names_that_bind_finds_in_it(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("z")
    text = "$TTL 300\n$ORIGIN rpz.test.\n@ SOA a. b. 1 2 3 4 5\n@ NS a.\n" + "\n".join(lines) + "\n"
    (folder / "zone").write_text(text)
    program = find_program("named-compilezone") or ""
    done = subprocess.run(
        [program, "-s", "full", "-k", "ignore", "-i", "none", "-o", folder / "full", "rpz.test", folder / "zone"],
        check=False, capture_output=True, timeout=60,
    )  # fmt: skip
    assume(done.returncode == 0)  # BIND refuses two rules of one owner
    exact, below = set[str](), set[str]()
    for line in (folder / "full").read_text().splitlines():
        owner, _, _, kind = line.split()[:4]
        name = owner.lower().removesuffix(".rpz.test.")
        bare = name.removeprefix("*.")
        if kind in {"CNAME", "A"} and "." in bare and "\\" not in bare:
            (below if name != bare else exact).add(bare)
    expected = {name: "subtree" if name in exact & below else "exact" if name in exact else "below"
                for name in exact | below}  # fmt: skip
    assert names(intake(folder, text, "rpz")) == expected, text


def test_one_line_that_is_none_refuses_the_zone_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="line 20"):
        intake(tmp_path, ZONE + "broken\n")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("# copied from ||ads.example^ and 0.0.0.0 x\na.example\nb.example\n", "domains"),
        ("# example.com CNAME .\n0.0.0.0 a.example\n", "hosts"),
        ("[AdGuard]\na.example\n", "adblock"), ("[Adblock Plus 2.0]\n! x\na.example\n", "adblock"),
        ('"Domain","Added"\n"a.example","2026"\n', "csv"), ("sep=;\nDomain;Added\na.example;x\n", "csv"),
        ("# list of today\n#domain,added\na.example,2026\n", "csv"), ("|a.example^\n|b.example^\n", "adblock"),
        ("address=/a.example/0.0.0.0\n", "dnsmasq"), ("server:\nlocal-zone: \"a.example\" always_null\n", "unbound"),
        ("acl bad dstdomain .a.example\n", "squid"),
        ("; a zone\n$TTL 5\n@ SOA a. b. 1 2 3 4 5\nx.example CNAME .\n", "rpz"),
        ("# what a configuration begins with\n" * 3000 + "acl bad dstdomain \\\n  .a.example\n", "squid"),
    ],
)  # fmt: skip
def test_the_format_is_told_by_the_rules_and_not_by_comments(tmp_path: Path, text: str, form: str) -> None:
    (tmp_path / "list").write_text(text)
    assert formats.guess(tmp_path / "list") == form
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"):
        octets = f"\ufeff{text}".encode(encoding)
        (tmp_path / "list").write_bytes(octets)
        assert formats.guess(tmp_path / "list") == form
        assert len(intake(tmp_path, octets)) >= 1


MANY = [f"site{number}.example.com" for number in range(300)]
SQUID = """http_port 3128
acl localnet src 10.0.0.0/8
acl good dstdomain .c.example \\
  .d.example \\
  .e.example
acl bad dstdomain .a.example b.example
http_access allow good
http_access deny bad
http_access allow localnet
"""
UNBOUND = """server:
  verbosity: 1
  interface: 0.0.0.0
  access-control: 10.0.0.0/8 allow
  local-zone: "a.example" always_null
forward-zone:
  name: "."
  forward-addr: 192.0.2.1
"""
DNSMASQ = ["no-resolv", "domain-needed", "interface=eth0", "dhcp-range=192.0.2.1,192.0.2.9", "address = /a.example/"]
BIND = [
    "acl inside {",
    "  192.0.2.0/24;",
    "};",
    'zone "a.example" {',
    "  type primary;",
    "  allow-query { any; };",
    "};",
]


@pytest.mark.parametrize(
    ("lines", "form"),
    [
        ([SQUID], "squid"),
        (["acl good dstdomain \\", *(f"  {name} \\" for name in MANY), "  .e.example"], "squid"),
        ([*["refresh_pattern . 0 20% 4320"] * 300, "acl good dstdomain \\", "  .e.example"], "squid"),
        ([UNBOUND], "unbound"),
        (['local-data: "a.example CNAME b.example."', 'local-data: "a.example SOA b. c. 1 2 3 4 5"'], "unbound"),
        (DNSMASQ, "dnsmasq"),
        (["$TTL 5", "@ SOA a. b. 1 2 3 4 5", *(f"{name} A 0.0.0.0" for name in MANY)], "rpz"),
        ([*MANY[:150], "||a.example^"], "adblock"),
        ([*MANY, *["||a.example^"] * 300], "domains"),  # the first rules decide
        (BIND, "domains"),
        (["note: a list", "see_also another list", "example.com in Germany", *MANY], "domains"),
    ],
)
def test_one_line_that_a_single_format_has_decides(tmp_path: Path, lines: list[str], form: str) -> None:
    (tmp_path / "list").write_text("\n".join(lines))
    assert formats.guess(tmp_path / "list") == form


def test_a_whole_configuration_without_a_said_format_stops_what_it_denies_alone(tmp_path: Path) -> None:
    assert names(intake(tmp_path, SQUID)) == {"a.example": "subtree", "b.example": "exact"}
    assert names(intake(tmp_path, UNBOUND)) == {"a.example": "subtree"}
    assert names(intake(tmp_path, "\n".join(DNSMASQ))) == {"a.example": "subtree"}


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page"), (b"%PDF-1.7", "a PDF"), (b"PK\x03\x04....", "damaged zip data"),
        (b'<?xml version="1.0"?><r/>', "XML"), (b'[{"domain": "a.example"}]', "JSON"), (b"\x7fELF\0\0\0", "binary"),
    ],
)  # fmt: skip
def test_what_is_not_read_says_what_it_is(tmp_path: Path, octets: bytes, what: str) -> None:
    with pytest.raises(SourceError, match=what):
        intake(tmp_path, octets)


@pytest.mark.parametrize(
    ("form", "text", "stopped"),
    [
        ("dnsmasq", ("address=/a.example/b.example/0.0.0.0\nserver=/www.a.example/192.0.2.1\nlocal=/c.example/\n"
         "address=/d.example/192.0.2.7\naddress=/e.example/#\nno-resolv\n"),
         {"a.example": "exact", "b.example": "subtree", "c.example": "subtree", "e.example": "subtree"}),
        ("unbound", ('server:\nlocal-zone: "a.example" always_nxdomain\nlocal-zone: "b.example." redirect\n'
         'local-data: "b.example. A 0.0.0.0"\nlocal-zone: "c.example" redirect\nlocal-data: "c.example A 192.0.2.1"\n'
         'local-zone: "ok.a.example" transparent\nverbosity: 1\n'),
         {"a.example": "exact", "b.example": "subtree"}),
        ("squid", "acl bad dstdomain .a.example b.example\n.c.example\n",
         {"a.example": "subtree", "b.example": "exact", "c.example": "subtree"}),
    ],
)  # fmt: skip
def test_blocks_of_other_programs_mean_what_they_mean_there(
    tmp_path: Path, form: str, text: str, stopped: dict[str, str]
) -> None:
    assert names(intake(tmp_path, text, form)) == stopped


def test_a_name_that_unbound_answers_within_a_zone_that_blocks_passes(tmp_path: Path) -> None:
    taken = intake(
        tmp_path,
        'local-zone: "a.example" static\nlocal-data: "www.a.example A 192.0.2.7"\nlocal-data: "b.example A 0.0.0.0"\n'
        'local-data: "c.example AAAA 2001:db8::7"\nlocal-zone: "d.example" redirect\nlocal-data: "d.example A ::"\n',
        "unbound",
    )
    assert names(taken) == {"a.example": "exact", "b.example": "exact", "d.example": "subtree"}
    assert [(item.line, item.text) for item in taken.rejected] == [(2, "www.a.example"), (4, "c.example")]
    assert [notice.notice for notice in taken.notices] == [
        "taken as exact, not as subtree: the list lets www.a.example pass"
    ]


def test_of_a_configuration_of_squid_the_acls_alone_that_it_denies_are_blocks(tmp_path: Path) -> None:
    taken = intake(
        tmp_path,
        "acl bad dstdomain .casino.example \\\n  games.example # two of them\n"
        "acl bank dstdomain .bank.example \\\n# its second name\n  www.casino.example\n"
        "acl kept dstdomain .kept.example\nacl worse dstdomain .worse.example\nacl fine dstdomain .fine.example\n"
        "visible_hostname proxy.isp.example\ncache_peer parent.isp.example parent 3128 0\n"
        "logformat x %ts www.isp.example\n.apart.example\n"
        "http_access allow localnet \\\n  BANK !worse\nhttp_access deny bad\nhttp_access deny !fine\n",
        "squid",
    )
    assert names(taken) == {
        "casino.example": "exact", "games.example": "exact", "worse.example": "subtree", "apart.example": "subtree",
    }  # fmt: skip
    reasons = {item.text: item.reason for item in taken.rejected}
    assert reasons.pop(".bank.example") == reasons.pop(".fine.example")
    assert reasons["acl kept dstdomain .kept.example"] == "an acl that no http_access denies"
    assert reasons["visible_hostname proxy.isp.example"] == "neither acl … dstdomain nor one name alone"
    assert "cache_peer parent.isp.example parent 3128 0" in reasons


def test_a_hosts_line_that_leads_elsewhere_is_no_block_unless_it_is_named(tmp_path: Path) -> None:
    text = "0.0.0.0 a.example\n216.239.38.120 www.search.example\n::1 b.example\n"
    assert names(intake(tmp_path, text)) == {"a.example": "exact", "b.example": "exact"}
    walled = intake(tmp_path, text, walls=frozenset({"216.239.38.120"}))
    assert names(walled)["www.search.example"] == "exact"


def test_a_star_means_the_names_below_unless_the_import_says_that_it_means_the_name_too(tmp_path: Path) -> None:
    assert names(intake(tmp_path, "*.a.example\n")) == {"a.example": "below"}
    assert names(intake(tmp_path, "*.a.example\n", star="subtree")) == {"a.example": "subtree"}


@pytest.mark.parametrize(
    ("line", "taken", "reason"),
    [
        ("youtube.local", {}, "meets local, a protected name: special use"),
        ("*.hidden.onion", {}, "meets onion, a protected name: special use"),
        ("0emm.com", {}, "lies above the public suffix"),
        ("elastx.net", {}, "lies above the public suffix"),
        ("*.github.io", {}, "is a public suffix"),
        (".github.io", {}, "is a public suffix"),
        ("github.io", {"github.io": "exact"}, None),  # its front page
        ("somebody.github.io", {"somebody.github.io": "subtree"}, None),
    ],
)
@pytest.mark.parametrize("star", ["below", "subtree"])
def test_what_can_be_an_entry_nowhere_is_rejected_with_its_line_and_reason(
    tmp_path: Path, line: str, taken: dict[str, str], reason: str | None, star: Match
) -> None:
    found = intake(tmp_path, f"a.example\n{line}\n", "domains", star=star)
    assert names(found) == {"a.example": "subtree", **taken}
    assert [(item.line, reason is not None and reason in item.reason) for item in found.rejected] == (
        [] if reason is None else [(2, True)]
    )
    if reason is not None:
        written = make_entry(line.removeprefix("*").removeprefix("."), match="below" if line[0] == "*" else "subtree")
        assert [finding.kind for finding in preview([written])][:1] in (["never"], ["public-suffix"])


def test_desk_and_bridge_take_a_file_for_the_same_unless_told_otherwise(tmp_path: Path) -> None:
    text = "a.example\n*.b.example\n.c.example\n"
    bridge = Bridge(issuer="B", law="L", authority="A", order="1", date="2026-01-01", territory="DE", category="x")
    said = Intake(bridge.match, star=bridge.star)
    (tmp_path / "list").write_text(text)
    formats.read(tmp_path / "list", said)
    assert names(said) == names(intake(tmp_path, text)) == {
        "a.example": "subtree", "b.example": "below", "c.example": "subtree",
    }  # fmt: skip
    defaults = {option.name: option.default for option in import_.params}
    assert (defaults["match"], defaults["star"]) == (bridge.match, bridge.star)


def test_a_table_whose_column_sounds_like_a_withdrawal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="sounds as if its rows were withdrawn"):
        intake(tmp_path, "domain;added;deleted\na.example;2026-01-01;2026-02-01\n")


def test_rejections_and_notices_name_their_file(tmp_path: Path) -> None:
    taken = intake(tmp_path, "a.example\na.example\n192.0.2.1\n")
    assert [item.file for item in taken.rejected] + [item.file for item in taken.notices] == ["list", "list"]


NEAR = st.sampled_from([
    "com", "co.uk", "uk", "github.io", "io", "ck", "foo.ck", "www.ck", "elastx.net", "kawasaki.jp", "city.kawasaki.jp",
    "compute.amazonaws.com", "amazonaws.com", "google.com", "time.google.com", "x.time.google.com", "ntp.org", "local",
    "a.local", "b.onion", "home.arpa", "arpa", "example.com", "a.example.github.io", "example", "debian.org",
])  # fmt: skip


@settings(max_examples=120)
@given(NEAR, st.sampled_from(["", "x.", "www.", "a.b."]), st.sampled_from(["exact", "subtree", "below"]))
def test_the_desk_refuses_exactly_what_the_provider_s_guards_would_hold_for_ever(
    tmp_path_factory: pytest.TempPathFactory, name: str, before: str, match: Match
) -> None:
    path = tmp_path_factory.mktemp("g") / "full.zst"
    summary = document.write(path, [make_entry(before + name, match=match)])
    protected = [name for names in admissible.PROTECTED.values() for name in names]
    found = _core.examine(
        None, path, announced=(summary.size, summary.state, ["order-17"]), protected=protected,
        suffixes=list(suffix_rules()), popular=[],
    ).findings  # fmt: skip
    assert (admissible.refusal(before + name, match) is not None) == bool(found)
