"""The entry: its fields, its canonical line, its order."""

from __future__ import annotations

import base64
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklists.entry import (
    Entry,
    EntryError,
    as_text,
    as_time,
    explain_name,
    is_name,
    parse,
    references,
    reversed_labels,
)
from tests.rigs.issuer_world import make_entry

LINE = (
    b'{"basis":"order-17","category":"gambling","expires":"2027-11-22T12:00:00Z","issued":"2026-11-22T12:00:00Z",'
    b'"match":"subtree","name":"example.com","reference":"7ZK3M9Q2XW4T8RBC"}\n'
)
ENTRY = make_entry("example.com", "7ZK3M9Q2XW4T8RBC")


def test_the_canonical_line_is_the_one_that_is_written_down() -> None:
    assert ENTRY.line() == LINE
    assert parse(LINE) == ENTRY
    assert parse(LINE.rstrip()) == ENTRY


def test_optional_fields_stand_in_their_place_and_text_is_escaped() -> None:
    entry = make_entry("example.com", impact='Hält "Mails" auf', removal_requested="2026-11-20T00:00:00Z")
    fields = json.loads(entry.line())
    assert list(fields) == sorted(fields)
    assert entry.line() == json.dumps(fields, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    assert parse(entry.line()) == entry


@pytest.mark.parametrize(
    "name",
    ["example.com", "a.b", "com", "xn--mnchen-3ya.example", "_dmarc.example.com", "1.example", "a" * 63 + ".example",
     ".".join(["a" * 49] * 5) + ".de", "0.0.0.0.example.com", "3com.com", "x-.y".replace("-", "_")],
)  # fmt: skip
def test_names_in_the_form_of_entries_are_taken(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "no name"),
        ("Example.com", "character"),
        ("example.com.", "empty label"),
        (".example.com", "empty label"),
        ("a..b", "empty label"),
        ("-a.example", "hyphen"),
        ("a-.example", "hyphen"),
        ("a" * 64 + ".example", "63 octets"),
        (".".join(["a" * 50] * 5) + ".de", "253 octets"),
        ("münchen.example", "character"),
        ("a b.example", "character"),
        ("<b>.example", "character"),
        ("a\n.example", "character"),
        ("192.0.2.1", "IP address"),
        ("1.2.3", "IP address"),
        ("example.0x7f", "IP address"),
        ("2001:db8::1", "IP address"),
        ("[2001:db8::1]", "IP address"),
        ("example.com:80", "character"),
        ("12345", "IP address"),
    ],
)
def test_other_names_are_refused_with_the_reason(name: str, reason: str) -> None:
    assert not is_name(name)
    assert reason in explain_name(name)
    with pytest.raises(EntryError, match=reason):
        make_entry(name)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("basis", "", "no basis"),
        ("basis", "order 17", "basis 'order 17'"),
        ("category", "Gambling!", "category"),
        ("expires", "2027-11-22", "expires"),
        ("expires", "2027-02-30T00:00:00Z", "expires"),
        ("expires", "2026-11-22T12:00:00Z", "not after issued"),
        ("issued", "2026-11-22T12:00:00+00:00", "issued"),
        ("match", "regex", "match"),
        ("reference", "7ZK3M9Q2XW4T8RBI", "reference"),
        ("reference", "7zk3m9q2xw4t8rbc", "reference"),
        ("removal_requested", "yesterday", "removal_requested"),
        ("impact", "", "impact"),
        ("impact", "two\nlines", "impact"),
        ("impact", "x" * 401, "impact"),
    ],
)
def test_each_field_is_checked_and_named(field: str, value: str, reason: str) -> None:
    fields = json.loads(LINE) | {field: value}
    with pytest.raises(EntryError, match=reason):
        parse(json.dumps(fields, separators=(",", ":"), sort_keys=True).encode())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINE.replace(b'","category"', b'", "category"'), "canonical"),
        (LINE.replace(b"example", rb"ex\u0061mple"), "canonical"),
        (LINE.replace(b'"basis":"order-17",', b'"basis":"order-17","basis":"order-17",'), "canonical"),
        (LINE.replace(b'"basis":"order-17",', b""), "no basis"),
        (LINE.replace(b'"expires":"2027-11-22T12:00:00Z",', b""), "no expires"),
        (LINE.replace(b'"match"', b'"action":"drop","match"'), "unknown field 'action'"),
        (LINE.replace(b'"subtree"', b"1"), "text"),
        (b"[]\n", "object"),
        (b"{\n", "JSON"),
        (b"\xff\n", "JSON"),
        (b"[" * 3000 + b"\n", "JSON"),
        (b'{"name":"' + b"a" * 5000 + b'"}', "longer"),
    ],
)
def test_a_line_that_is_not_canonical_is_refused(line: bytes, reason: str) -> None:
    with pytest.raises(EntryError, match=reason):
        parse(line)


def test_the_order_is_by_labels_from_the_right_then_match_then_reference() -> None:
    names = ["a.com", "z.a.com", "b.com", "a-b.com", "com", "a.de", "x.y.a.com"]
    ordered = sorted((make_entry(name) for name in names), key=Entry.order)
    assert [entry.name for entry in ordered] == ["com", "a.com", "x.y.a.com", "z.a.com", "a-b.com", "b.com", "a.de"]
    assert make_entry("a.com", match="below").order() < make_entry("a.com", match="exact").order()


label = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,8}[a-z0-9_])?", fullmatch=True)


@given(st.lists(label, min_size=1, max_size=6), st.lists(label, min_size=1, max_size=6))
def test_text_order_is_the_order_of_the_labels(one: list[str], other: list[str]) -> None:
    as_lists = (one[::-1] < other[::-1]) if one != other else False
    assert (reversed_labels(".".join(one)) < reversed_labels(".".join(other))) == as_lists


@given(st.text(max_size=80))
def test_what_is_no_name_has_a_reason_that_can_be_printed(text: str) -> None:
    if not is_name(text):
        assert explain_name(text)


def test_references_are_distinct_random_and_of_crockford_s_alphabet() -> None:
    found = references(10_000, os.urandom)
    assert len(set(found)) == 10_000
    assert all(len(reference) == 16 for reference in found)
    assert set("".join(found)) == set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert references(2, lambda count: b"\0" * count) == ["0" * 16] * 2


@given(st.integers(0, 20).flatmap(lambda count: st.binary(min_size=10 * count, max_size=10 * count)))
def test_references_are_base32_in_another_alphabet(octets: bytes) -> None:
    # RFC 4648 section 6, by Python's own encoder
    alphabet = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    expected = base64.b32encode(octets).translate(alphabet).decode()
    assert "".join(references(len(octets) // 10, lambda _: octets)) == expected


def test_times_go_there_and_back() -> None:
    for text in ("2026-11-22T12:00:00Z", "0900-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        assert as_text(as_time(text)) == text
