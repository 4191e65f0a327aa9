"""Importers: files as the world has them; every line that is not taken is reported with its number and reason."""

from __future__ import annotations

import gzip
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import idna
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from publicsuffixlist import PSLFILE

from blocklists import admissible, entry, impact
from blocklists.importers import formats, source
from blocklists.importers.intake import Intake
from blocklists.importers.source import MAX_LINE, SourceError
from tests.conftest import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator


def intake(folder: Path, text: str | bytes, form: str = "auto", name: str = "list.txt") -> Intake:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    taken = Intake()
    formats.read(path, taken, form=form)
    return taken


def names(taken: Intake) -> list[tuple[str, str]]:
    return [(candidate.name, candidate.match) for candidate in taken.candidates]


def rejected(taken: Intake) -> list[tuple[int, str]]:
    return [(rejection.line, rejection.reason) for rejection in taken.rejected]


def test_a_plain_list_is_taken_with_all_its_oddities(tmp_path: Path) -> None:
    taken = intake(
        tmp_path,
        "\ufeff# casinos\r\nExample.COM\r\n\r\n  spaced.example   # why\n*.below.example\n.dotted.example\n"
        "trailing.example.\n"
        "münchen.example\nxn--mnchen-3ya.test\n_dmarc.under.example\nexample.com\n",
    )
    assert names(taken) == [
        ("example.com", "subtree"), ("spaced.example", "subtree"), ("below.example", "below"),
        ("dotted.example", "subtree"), ("trailing.example", "subtree"), ("xn--mnchen-3ya.example", "subtree"),
        ("xn--mnchen-3ya.test", "subtree"), ("_dmarc.under.example", "subtree"),
    ]  # fmt: skip
    assert taken.rejected == []
    assert [(notice.line, notice.notice) for notice in taken.notices] == [(11, "stands already in line 2")]
    assert taken.lines == 11


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"192.0.2.1", "IP address"),
        (b"2001:db8::1", "IP address"),
        (b"193.172.39.6.", "IP address"),
        (b"http://example.com/page", "URL"),
        (b"localhost", "single label"),
        (b"com", "single label"),
        (b"exa mple.com", "more than one word"),
        (b"a..example", "empty label"),
        (b"-a.example", "hyphen"),
        (b"<script>.example", "character"),
        (b"a" * 64 + b".example", "63 octets"),
        (b"\xff\xfe.example", "not UTF-8"),
        (b"a" * (MAX_LINE + 10), "too long"),
        (b"http.example/page", "a path"),
        (b"a.example:8443", "a port"),
        (b"someone@a.example", "an e-mail address"),
        (b"192.0.2.0/24", "a network"),
        (b"ads*.example", "a wildcard inside a name"),
        ("☃☃-.example".encode(), "internationalised"),
        (b"\x1b[31mred.example", "character"),
    ],
)
def test_what_is_no_name_is_rejected_with_its_line_and_the_rest_goes_on(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    taken = intake(tmp_path, b"first.example\n" + line + b"\nlast.example\n", form="domains")
    assert names(taken) == [("first.example", "subtree"), ("last.example", "subtree")]
    assert [number for number, _ in rejected(taken)] == [2]
    assert reason in taken.rejected[0].reason
    assert taken.rejected[0].text.isprintable()


def test_a_public_suffix_is_taken_as_exact_and_said(tmp_path: Path) -> None:
    taken = intake(
        tmp_path,
        "bet.br\nco.uk\ngithub.io\n*.github.io\nexample.github.io\nfoo.ck\nwww.ck\nelastx.net\nyoutube.local\nx.onion\n",
    )
    assert names(taken) == [
        ("bet.br", "exact"), ("co.uk", "exact"), ("github.io", "exact"), ("example.github.io", "subtree"),
        ("foo.ck", "exact"), ("www.ck", "subtree"),
    ]  # fmt: skip
    assert "a public suffix: taken as exact, not as subtree" in [notice.notice for notice in taken.notices]
    assert [line for line, _ in rejected(taken)] == [4, 8, 9, 10]
    assert [reason for _, reason in rejected(taken)][:2] == [
        "github.io (below) is a public suffix: strangers' sites lie below it",
        next(reason for _, reason in rejected(taken) if "lies above the public suffix" in reason),
    ]


def test_compressed_files_are_told_by_their_octets_not_by_their_names(tmp_path: Path) -> None:
    text = b"a.example\nb.example\n"
    for data in (gzip.compress(text), zstandard.ZstdCompressor().compress(text), gzip.compress(text) * 2):
        assert {name for name, _ in names(intake(tmp_path, data))} == {"a.example", "b.example"}


@pytest.mark.parametrize(
    "data", [gzip.compress(b"a.example\n" * 999, mtime=0)[:-20], b"\x1f\x8b rubbish", b"\x28\xb5\x2f\xfd rubbish"]
)
def test_a_file_that_cannot_be_read_is_said_as_a_whole(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match=r"list\.txt"):
        intake(tmp_path, data)
    with pytest.raises(SourceError, match="No such file"):
        formats.read(tmp_path / "none", Intake())
    with pytest.raises(SourceError, match="no format 'xml'"):
        intake(tmp_path, b"", form="xml")


def test_a_hosts_file_gives_its_names_and_leaves_out_the_machine_s_own(tmp_path: Path) -> None:
    taken = intake(
        tmp_path,
        "# hosts\n127.0.0.1 localhost\n::1 ip6-localhost\nfe80::1%lo0 localhost\n0.0.0.0 0.0.0.0\n"
        "0.0.0.0 Ads.example tracker.example # two\n::\tsix.example\n127.0.0.1\nads.example\n0.0.0.0 198.51.100.7\n",
    )
    assert names(taken) == [("ads.example", "exact"), ("tracker.example", "exact"), ("six.example", "exact")]
    assert [number for number, _ in rejected(taken)] == [8, 9, 10]
    assert len(taken.notices) == 4


def test_a_policy_zone_gives_exact_below_and_subtree(tmp_path: Path) -> None:
    taken = intake(
        tmp_path,
        """$TTL 300
$ORIGIN rpz.example.
@ IN SOA localhost. root.localhost. (
        1 ; serial
        3600 600 86400 300 )
  IN NS localhost.
both.example           CNAME .
*.both.example         CNAME .
exact.example          300 IN CNAME *.
*.below.example        CNAME rpz-drop.
full.example.rpz.example. CNAME .
local.example          A 0.0.0.0
                       AAAA ::
good.example           CNAME rpz-passthru.
32.1.2.0.192.rpz-ip    CNAME .
ns.example.rpz-nsdname CNAME .
odd.example            MX 10 mail.example.
safe.example           CNAME forcesafesearch.search.example.
old.example            CNAME old.example.
tcp.example            CNAME rpz-tcp-only.
""",
    )
    assert names(taken) == [
        ("both.example", "subtree"), ("exact.example", "exact"), ("below.example", "below"), ("full.example", "exact"),
        ("local.example", "exact"),
    ]  # fmt: skip
    assert [(line, reason.partition(":")[0]) for line, reason in rejected(taken)] == [
        (14, "lets a name pass"), (15, "a trigger by address or name server"),
        (16, "a trigger by address or name server"), (17, "a record of type MX is no rule"),
        (18, "leads to forcesafesearch.search.example., which is no wall unless --walls names it"),
        (19, "lets a name pass"), (20, "lets a name pass"),
    ]  # fmt: skip


def test_ad_blocker_rules_are_taken_where_they_name_a_host_and_nothing_else(tmp_path: Path) -> None:
    taken = intake(
        tmp_path,
        """[Adblock Plus 2.0]
! comment
||ads.example^
||Important.example^$important
||*.below.example^
plain.example
0.0.0.0 hosts.example
@@||good.example^
||party.example^$third-party
example.com##.banner
/banner[0-9]+/
||example.com/path
|https://x.example/
||wild*.example^
-banner-
""",
    )
    assert names(taken) == [
        ("ads.example", "subtree"), ("important.example", "subtree"), ("below.example", "below"),
        ("plain.example", "exact"), ("hosts.example", "exact"),
    ]  # fmt: skip
    assert [line for line, _ in rejected(taken)] == [8, 9, 10, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_has_a_ground_for_each_row(tmp_path: Path, delimiter: str) -> None:
    rows = [
        ["Domain", "match", "basis", "category", "expires", "remark"],
        ["a.example", "exact", "order-1", "gambling", "2027-01-01", '"x"'],
        ["b.example", "", "", "", "2027-01-01T12:00:00Z", ""],
        ["c.example", "regex", "", "", "", ""],
        ["d.example", "", "order 1", "", "", ""],
        ["e.example", "", "", "", "soon", ""],
        ["f.example", "exact"],
        [],
        ["10.0.0.1", "", "", "", "", ""],
    ]
    taken = intake(tmp_path, "".join(delimiter.join(row) + "\r\n" for row in rows))
    first, second = taken.candidates
    assert (first.name, first.match, first.basis, first.category, first.expires) == (
        "a.example", "exact", "order-1", "gambling", "2027-01-01T00:00:00Z",
    )  # fmt: skip
    assert (second.match, second.basis, second.expires) == ("subtree", None, "2027-01-01T12:00:00Z")
    assert [line for line, _ in rejected(taken)] == [4, 5, 6, 7, 9]


def test_a_table_without_a_name_is_refused_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column 'name'"):
        intake(tmp_path, "a,b\n1,2\n", form="csv")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("# x\nexample.com\n", "domains"), ("0.0.0.0 a.example\n", "hosts"), ("::1 localhost\n", "hosts"),
        ("$TTL 5\n", "rpz"), ("a.example CNAME .\n", "rpz"), ("! x\n", "adblock"), ("||a.example^\n", "adblock"),
        ("name;basis\n", "csv"), ("", "domains"),
    ],
)  # fmt: skip
def test_the_format_is_told_by_the_first_lines(tmp_path: Path, text: str, form: str) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    assert formats.guess(path) == form


@settings(max_examples=60)
@given(st.binary(max_size=400), st.sampled_from(sorted(formats.FORMATS)))
def test_no_file_whatever_stops_an_importer(tmp_path_factory: pytest.TempPathFactory, data: bytes, form: str) -> None:
    folder = tmp_path_factory.mktemp("junk")
    try:
        taken = intake(folder, data, form=form)
    except SourceError:
        return
    assert all(entry.is_name(candidate.name) for candidate in taken.candidates)
    assert all(item.text.isprintable() and item.line >= 1 for item in taken.rejected)


@pytest.mark.needs("data")
def test_what_can_be_read_once_is_not_read_for_a_bar(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert source.count(tmp_path / "pipe") == 0
    (tmp_path / "file").write_text("a.example\nb.example\n")
    assert source.count(tmp_path / "file") == 2


@pytest.mark.parametrize("how", ["pipe", "fifo"])
@pytest.mark.parametrize(
    ("form", "line"),
    [("auto", "site{}.example.com\n"), ("csv", "site{}.example.com;x\n"), ("adblock", "||site{}.example.com^\n"),
     ("squid", ".site{}.example.com\n"), ("domains", "site{}.example.com\n")],
)  # fmt: skip
def test_a_pipe_gives_every_name_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, line: str, how: str
) -> None:
    """More than a reader's first look takes, and more than a pipe holds."""
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    text = "name;note\n" * (form == "csv") + "".join(line.format(number) for number in range(70_000))
    with piped(tmp_path, text.encode(), how) as path:
        taken = Intake()
        formats.read(path, taken, form=form)
    assert len(taken) == 70_000
    assert taken.rejected == []
    assert list((tmp_path / "t").iterdir()) == []


def test_what_is_wrong_with_a_pipe_s_file_names_the_pipe(tmp_path: Path) -> None:
    text = b"||a.example.com^\n@@/x/\n192.0.2.1\n"
    with piped(tmp_path, text, "pipe") as path, pytest.raises(SourceError, match=rf"^{path}, line 2"):
        formats.read(path, Intake())
    with piped(tmp_path, b"a.example.com\n192.0.2.1\n", "fifo") as path:
        taken = Intake()
        formats.read(path, taken)
        assert [item.file for item in taken.rejected] == [path.name]
    text, most = b"a.example.com\n" * 100_000, "more than 1,000,000 octets"
    with piped(tmp_path, text, "pipe") as path, pytest.raises(SourceError, match=rf"^{path}: {most}$"):
        formats.read(path, Intake(size=1_000_000))
    with pytest.raises(SourceError, match="Is a directory"):
        formats.read(tmp_path, Intake())


@contextmanager
def piped(folder: Path, octets: bytes, how: str) -> Iterator[Path]:
    """What a shell's `<(…)` names, or a FIFO, that a thread writes these octets into."""
    path, ends = folder / "fifo", list[int]()
    if how == "pipe":
        ends += os.pipe()
        path = Path(f"/dev/fd/{ends[0]}")
    else:
        os.mkfifo(path)

    def pour() -> None:
        with suppress(BrokenPipeError), os.fdopen(ends[1], "wb") if ends else path.open("wb") as end:
            end.write(octets)

    thread = Thread(target=pour)
    thread.start()
    try:
        yield path
    finally:
        if ends:
            os.close(ends[0])
        thread.join()


def test_the_real_lists_lose_their_addresses_alone(real_names: list[str]) -> None:
    taken = Intake()
    for pattern in ("stevenblack-*", "ut1-gambling-*"):
        (path,) = DATA.glob(pattern)
        formats.read(path, taken)
    assert {reason.partition("IP address")[1] for _, reason in rejected(taken)} == {"IP address"}
    assert len(rejected(taken)) == 14
    wanted = {name.lower().rstrip(".") for name in real_names} - {item.text for item in taken.rejected}
    assert {candidate.name for candidate in taken.candidates} == wanted
    assert [candidate.name for candidate in taken.candidates if candidate.match == "exact"] == ["bet.br"]


# -- impact ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("com", True), ("co.uk", True), ("github.io", True), ("anything.ck", True), ("www.ck", False),
     ("example.com", False), ("example", False), ("xn--55qx5d.cn", True)],
)  # fmt: skip
def test_public_suffixes_are_known_icann_and_private(name: str, suffix: bool) -> None:
    assert admissible.is_public_suffix(name) is suffix


def test_the_suffixes_are_those_that_a_library_of_others_makes_of_the_list() -> None:
    lines = Path(PSLFILE).read_text(encoding="utf-8").splitlines()
    rules = [line.split()[0] for line in lines if line.strip() and not line.startswith("//")]
    known = admissible.suffixes()
    ours = {*known.names, *(f"*.{name}" for name in known.wildcards), *(f"!{name}" for name in known.exceptions)}
    strange = {rule for rule in rules if not rule.isascii()}
    assert len(strange) > 100
    mapped = {idna.encode(rule, uts46=True).decode("ascii") if rule in strange else rule for rule in rules}
    assert ours == mapped


def test_the_preview_names_suffixes_shared_hosts_and_popular_names() -> None:
    from tests.rigs.issuer_world import make_entry

    entries = [
        make_entry("github.io"), make_entry("google.com"), make_entry("drive.google.com", match="exact"),
        make_entry("example.net", match="below"), make_entry("quiet.example"),
    ]  # fmt: skip
    found = {
        (finding.kind, finding.entry.name): finding
        for finding in impact.preview(
            entries, popular=["google.com", "mail.google.com", "example.net", "a.example.net"]
        )
    }
    assert set(found) == {
        ("public-suffix", "github.io"), ("shared-host", "github.io"), ("shared-host", "drive.google.com"),
        ("popular", "google.com"), ("popular", "example.net"), ("never", "google.com"),
    }  # fmt: skip
    assert found["popular", "google.com"].count == 2
    assert found["popular", "example.net"].against == ("a.example.net",)
    assert all(finding.sentence() for finding in found.values())
