"""The stop page, as a blocked site's visitors, apps and scanners meet it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from resolver.policy.exceptions import Bypass, LiveExceptions, NameException
from resolver.portal.live import Snapshot
from resolver.portal.plain_http import Head, Reply
from resolver.portal.stop_page import name_of
from tests.rigs.portal_world import META, NOW, REFERENCE, ListedName, World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def get(world: World, host: str | bytes, *, target: str = "/", accept: str = "", accept_language: str = "") -> Reply:
    sent = host if isinstance(host, bytes) else host.encode()
    return world.stop_page.reply(Head(b"GET", target.encode(), sent, accept, accept_language))


def status(reply: Reply) -> int:
    return int(reply.head[9:12])


def text(reply: Reply) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", reply.body.decode()))


@pytest.mark.parametrize("host", ["example.com", "EXAMPLE.com", "www.example.com", "example.com.", "example.com:80",
                                  "a.b.c.example.com:8080", "exact.example", "www.below.example"])  # fmt: skip
def test_a_blocked_host_is_answered_with_451_and_who_blocks(world: World, host: str) -> None:
    reply = get(world, host)
    assert status(reply) == 451
    assert b'\r\nLink: <https://nordlicht.example>; rel="blocked-by"\r\n' in reply.head


@pytest.mark.parametrize("host", ["", "127.0.0.1", "[::1]:80", "example.org", "www.exact.example", "below.example",
"com",
                                  "lapsed.example", "watched.example", "notexample.com", "example.com:80:80",
                                  b"b\xc3\xbccher.example", "a" * 300, "..", "-", "example.com/../x"])  # fmt: skip
def test_any_other_host_is_answered_with_421(world: World, host: str | bytes) -> None:
    reply = get(world, host)
    assert status(reply) == 421
    assert b"blocked-by" not in reply.head


@pytest.mark.parametrize("said", [
    "example.com", "Joint Authority", "Germany", "17/2026", "14 February 2026", "Gambling Act, section 9",
    "Administrative Court, Halle", REFERENCE, "Gambling Authority", "Unlicensed gambling",
    "18 November 2026, 06:00 UTC",
    "Signed by at least 2 people", "within 14 days", "Nordlicht Internet", "Gambling helpline", "Help for all",
    "Nothing.",
])  # fmt: skip
def test_the_page_says(world: World, said: str) -> None:
    assert said in text(get(world, "example.com"))


def test_the_way_to_the_appeal_carries_the_reference_and_the_entry_s_name(world: World) -> None:
    link = f'href="https://stop.nordlicht.example/appeal?reference={REFERENCE}&amp;name=example.com"'
    assert link in get(world, "www.example.com").body.decode()


def test_a_page_of_two_lists_leads_to_an_appeal_against_each(tmp_path: Path) -> None:
    meta = {**META, "lists": [META["lists"][0], {**META["lists"][0], "name": "piracy"}]}
    entries = (
        ListedName("example.com", reference=REFERENCE),
        ListedName("example.com", reference="8ZK3M9Q2XW4T8RBC", list=1),
    )
    world = World(tmp_path, entries=entries, meta=meta)
    page = get(world, "example.com").body.decode()
    links = [
        f"https://stop.nordlicht.example/appeal?reference={r}&name=example.com" for r in (REFERENCE, "8ZK3M9Q2XW4T8RBC")
    ]
    assert all(f'href="{link.replace("&", "&amp;")}"' in page for link in links)
    told = json.loads(get(world, "example.com", accept="application/json").body)
    assert (told["appeal"], told["appeals"]) == (links[0], links)


def test_help_is_shown_by_category(world: World) -> None:
    assert "Gambling helpline" not in text(get(world, "www.below.example"))


def test_a_basis_that_keeps_an_overdue_block_says_so(world: World) -> None:
    assert "the block stays until it is made" in text(get(world, "www.below.example"))


def test_an_internationalised_name_is_shown_in_both_forms(world: World) -> None:
    shown = text(get(world, "xn--bcher-kva.example"))
    assert "bücher.example" in shown
    assert "xn--bcher-kva.example" in shown


@pytest.mark.parametrize(
    "host", ["evil-marker.example.com", "<b>evil-marker</b>.example.com", 'evil-marker".example.com']
)
def test_the_host_is_never_echoed(world: World, host: str) -> None:
    reply = get(world, host)
    assert b"evil-marker" not in reply.head + reply.body


def test_nothing_of_a_visit_is_set_run_or_fetched(world: World) -> None:
    reply = get(world, "example.com")
    head = reply.head.decode()
    assert "set-cookie" not in head.lower()
    assert "Cache-Control: no-store\r\n" in head
    assert "Referrer-Policy: no-referrer\r\n" in head
    assert "X-Content-Type-Options: nosniff\r\n" in head
    assert "default-src 'none'" in head
    assert "'unsafe-inline'" not in head
    body = reply.body.decode()
    assert not re.search(
        r"<script|<form|<iframe|<link|javascript:|\son[a-z]+=|\ssrc=\"(?!data:)|\sstyle=|@import|url\(", body
    )


@pytest.mark.parametrize(("accept", "kind"), [
    ("", b"text/html"), ("*/*", b"text/html"), ("text/html,application/json;q=0.9", b"text/html"),
    ("application/json", b"application/json"), ("application/json, text/plain, */*", b"application/json"),
    ("application/problem+json", b"application/json"), ("text/html;q=0.1, application/json;q=0.2", b"application/json"),
    ("application/json;q=nonsense", b"text/html"),
])  # fmt: skip
def test_json_is_given_where_it_is_asked_for(world: World, accept: str, kind: bytes) -> None:
    reply = get(world, "example.com", accept=accept)
    assert b"\r\nContent-Type: " + kind in reply.head
    if kind == b"application/json":
        said = json.loads(reply.body)
        assert said["blocked"] is True
        assert said["entries"][0]["basis"]["law"] == "Gambling Act, section 9"
        assert said["entries"][0]["reference"] == REFERENCE


@pytest.mark.parametrize(("header", "target", "code"), [
    ("de-AT, en;q=0.5", "/", "de"), ("tlh, fr;q=0.3", "/", "fr"), ("", "/", "en"), ("ar", "/", "ar"), ("de;q=0",
    "/", "en"),
    ("de", "/?lang=pl", "pl"), ("de", "/page?x=1&lang=cs", "cs"), ("de", "/?lang=xx", "de"), ("de", "/?lang=plx", "de"),
])  # fmt: skip
def test_the_page_is_in_the_reader_s_language(world: World, header: str, target: str, code: str) -> None:
    reply = get(world, "example.com", accept_language=header, target=target)
    assert f"\r\nContent-Language: {code}\r\n".encode() in reply.head
    assert f'<html lang="{code}"'.encode() in reply.body


def test_arabic_is_read_from_right_to_left_and_names_stay_apart(world: World) -> None:
    body = get(world, "xn--mgbh0fb.example", accept_language="ar").body.decode()
    assert '<html lang="ar" dir="rtl">' in body
    assert '<bdi class="name">مثال.example</bdi>' in body


def test_the_chooser_offers_every_language_in_its_own_words(world: World) -> None:
    body = get(world, "example.com").body.decode()
    for code, endonym in (("de", "Deutsch"), ("cs", "Čeština"), ("ar", "العربية")):
        assert re.search(rf'<a href="\?lang={code}" lang="{code}"[^>]*>{endonym}</a>', body)


@pytest.mark.parametrize(
    "passes",
    [
        LiveExceptions(bypasses=(Bypass("all", "", NOW - 1, NOW + 1, "root"),)),
        LiveExceptions(bypasses=(Bypass("list", "gambling", NOW - 1, NOW + 1, "root"),)),
        LiveExceptions(bypasses=(Bypass("name", "example.com", NOW - 1, NOW + 1, "root"),)),
        LiveExceptions(overrides=(NameException("example.com", "exact", NOW + 1),)),
    ],
)
def test_a_name_that_is_let_through_is_not_called_blocked(world: World, passes: LiveExceptions) -> None:
    world.live.snapshot = Snapshot(replace(world.live.snapshot.in_force, exceptions=passes))
    assert status(get(world, "example.com")) == 421


def test_an_entry_ends_by_itself_while_the_page_is_kept_ready(world: World) -> None:
    assert status(get(world, "example.com")) == 451
    world.clock.now = 1_830_000_000
    assert status(get(world, "example.com")) == 421


def test_a_page_is_rendered_once_and_anew_when_the_lists_change(world: World) -> None:
    first = get(world, "a.example.com")
    assert get(world, "b.example.com") is first
    world.live.snapshot = replace(world.live.snapshot)
    assert get(world, "a.example.com") is not first


def test_what_is_kept_ready_stays_within_its_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.portal.stop_page.MAX_CACHED", 40_000)
    for code in ("en", "de", "fr", "nl", "es", "it"):
        get(world, "example.com", target=f"/?lang={code}")
    cache = world.stop_page._cache
    assert len(cache) < 6
    assert sum(len(r.head) + len(r.body) for r in cache.values()) == world.stop_page._cached_bytes <= 40_000


@pytest.mark.parametrize(("host", "name"), [
    (b"Example.COM:80", "example.com"), (b"example.com.", "example.com"), (b"a_b.example", "a_b.example"),
    (b"127.0.0.1", ""),
    (b"example.com:http", ""), (b"exa mple.com", ""), (b"[2001:db8::1]", ""), (b"example..com", ""), (b"\x00", ""),
])  # fmt: skip
def test_the_name_in_a_host(host: bytes, name: str) -> None:
    assert name_of(host) == name
