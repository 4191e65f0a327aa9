"""The provider's face: whatever colours, logo and contact it chooses, the page stays readable and asks for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.base.errors import ResolverError
from resolver.config.preflight.host import trial
from resolver.lists.protected import own
from resolver.portal.colours import DARK_CARD, DARK_PAPER, palette
from resolver.portal.pages import MAX_LOGO, link_to
from resolver.portal.plain_http import Head
from tests.rigs.portal_world import World, configuration

if TYPE_CHECKING:
    from pathlib import Path

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'
colours = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


def ratio(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio" and "relative luminance", word by word."""

    def luminance(colour: str) -> float:
        channels = [octet / 255 for octet in bytes.fromhex(colour[1:])]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted(luminance(colour) + 0.05 for colour in (one, other))
    return high / low


@settings(max_examples=40, deadline=None)
@given(accent=colours, background=colours, text=colours)
def test_whatever_colours_are_chosen_text_meets_aa(accent: str, background: str, text: str) -> None:
    found = palette(accent, background, text)
    dark = (DARK_PAPER, DARK_CARD)
    for name, grounds in (("ink", (found["paper"],)), ("soft", (found["paper"], found["card"])),
                          ("link", (found["paper"], found["card"])), ("dark-link", dark)):  # fmt: skip
        assert min(ratio(found[name], ground) for ground in grounds) >= 4.5, name
    assert ratio(found["accent"], found["paper"]) >= 3
    assert ratio(found["dark-accent"], DARK_PAPER) >= 3
    for name in ("accent", "dark-accent"):
        assert ratio(found[f"{name}-ink"], found[name]) >= 4.5, "the words on a button"


def page_of(folder: Path, **provider: Any) -> str:
    world = World(folder, config=configuration(folder, provider=provider))
    return world.stop_page.reply(Head(b"GET", b"/", b"example.com")).body.decode()


def test_name_logo_contact_and_colours_are_the_provider_s(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_bytes(SVG)
    page = page_of(
        tmp_path, name="Südlicht <Netz>", logo=tmp_path / "logo.svg", contact="sperren@sued.example", country="AT",
        colours={"accent": "#004488", "background": "#ffffff", "text": "#111111"},
    )  # fmt: skip
    assert "Südlicht &lt;Netz&gt; has to follow" in page
    assert f'<img src="data:image/svg+xml;base64,{base64.b64encode(SVG).decode()}" alt="">' in page
    assert 'href="mailto:sperren@sued.example"' in page
    assert "<p>Südlicht &lt;Netz&gt; (Austria) · " in page
    assert "--accent:#004488" in page


@pytest.mark.parametrize(("file", "data", "said"), [
    ("logo.gif", b"x", "is none of"), ("logo.png", b"x" * (MAX_LOGO + 1), "bytes"),
    ("logo.svg", None, "cannot be read"),
])  # fmt: skip
def test_a_logo_that_cannot_be_shown_ends_the_start(tmp_path: Path, file: str, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / file).write_bytes(data)
    with pytest.raises(ResolverError, match=said):
        page_of(tmp_path, logo=tmp_path / file)


BRAND = {
    "name": "Schulnetz <Nord>", "url": "https://school.example", "language": "de", "help_lines": [],
    "colours": {"accent": "#004488", "background": "#ffffff", "text": "#111111"},
}  # fmt: skip


@pytest.fixture
def branded(tmp_path: Path) -> World:
    views = [
        {"name": "school", "clients": ["10.1.0.0/16", "2001:db8:1::/48"], "lists": ["gambling"], "brand": BRAND},
        {"name": "plain", "clients": ["10.2.0.0/16"], "lists": ["gambling"]},
    ]
    lists = [{"name": "gambling", "repository": "/nowhere", "trusted_root": "/nowhere/root.json"}]
    return World(tmp_path, config=configuration(tmp_path, views=views, lists=lists))


@pytest.mark.parametrize(("client", "brand"), [
    ("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("2001:db8:1::9", True), ("10.2.0.1", False), ("192.0.2.1", False),
    ("", False),
])  # fmt: skip
def test_the_clients_of_a_view_with_a_brand_see_it_and_nobody_else_does(
    branded: World, client: str, *, brand: bool
) -> None:
    branded.stop_page.reply(Head(b"GET", b"/", b"example.com"), "192.0.2.9")  # kept, and not given to the other brand
    reply = branded.stop_page.reply(Head(b"GET", b"/", b"example.com"), client)
    page = reply.body.decode()
    assert ("Schulnetz &lt;Nord&gt; muss" in page) is brand, "its name, in the language that it chose"
    assert ("Nordlicht Internet has to follow" in page) is not brand
    assert ("--accent:#004488" in page) is brand
    assert ("Gambling helpline" in page) is not brand, "a brand that gives no help lines shows none"
    assert "blocking@nordlicht.example" in page, "what a brand leaves out is the provider's"
    assert 'href="https://stop.nordlicht.example/appeal' in page, "appeals have one address"
    site = b"https://school.example" if brand else b"https://nordlicht.example"
    assert b"Link: <" + site + b'>; rel="blocked-by"' in reply.head
    said = branded.stop_page.reply(Head(b"GET", b"/", b"example.com", "application/json"), client)
    assert json.loads(said.body)["blocked_by"].encode() == site


def test_the_style_of_a_brand_is_the_one_that_its_page_allows(branded: World) -> None:
    for client in ("10.1.2.3", "10.2.0.1"):
        reply = branded.stop_page.reply(Head(b"GET", b"/", b"example.com"), client)
        style = reply.body.partition(b"<style>")[2].partition(b"</style>")[0]
        assert b"'sha256-" + base64.b64encode(hashlib.sha256(style).digest()) + b"'" in reply.head


def test_an_entry_for_a_brand_s_own_site_is_held(branded: World) -> None:
    assert branded.config is not None
    assert ("school.example", "the provider's own site") in set(own(branded.config))


def test_a_brand_s_logo_and_language_are_checked_before_the_start(tmp_path: Path) -> None:
    view = {"name": "school", "clients": ["10.1.0.0/16"], "lists": [],
            "brand": {"logo": str(tmp_path / "gone.svg"), "language": "xx"}}  # fmt: skip
    config = configuration(tmp_path, views=[view])
    found = {finding.key: finding.message for finding in trial(config, tmp_path / "file.yaml", lambda _: set())}
    assert "gone.svg" in found["views[0].brand.logo"]
    assert "no pages in 'xx'" in found["views[0].brand.language"]


@pytest.mark.parametrize(("contact", "link"), [
    ("block@isp.example", "mailto:block@isp.example"), ("https://isp.example/contact", "https://isp.example/contact"),
    ("javascript:alert(1)", ""), ("+49 800 1", ""), ("a@b", ""), ("a@b.example?bcc=x@y.example", ""), ("https://", ""),
    ('"><b>@x.example', ""), ("//isp.example", ""), ("mailto:block@isp.example", "mailto:block@isp.example"),
    ("tel:+49-800-12345", "tel:+49-800-12345"), ("tel:javascript", ""), ("mailto:javascript:alert(1)", ""),
])  # fmt: skip
def test_a_contact_is_a_link_only_where_it_is_one(contact: str, link: str) -> None:
    assert link_to(contact) == link
