"""Every text in every language, and which language a reader gets."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest
from babel.messages.pofile import read_po

from resolver.portal import catalogue
from resolver.portal.language import LANGUAGES, load, negotiate, prefers_json

TRANSLATED = [code for code in LANGUAGES if code != "en"]
PLACEHOLDER = re.compile(r"%\((\w+)\)s")


def translations(code: str) -> dict[object, tuple[str, ...]]:
    with catalogue.catalogue_file(code).open("rb") as file:
        read = read_po(file, locale=code)
    return {m.id: (m.string,) if isinstance(m.string, str) else tuple(m.string) for m in read if m.id and m.string}


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_text_is_missing(code: str) -> None:
    translated = translations(code)
    missing = [m.id for m in catalogue.messages() if m.id and not all(translated.get(m.id, ("",)))]
    assert missing == []


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_is_exactly_as_the_extractor_leaves_it(code: str) -> None:
    """Otherwise: python -m resolver.portal.catalogue"""
    assert catalogue.catalogue_file(code).read_bytes() == catalogue.updated(code)


def test_the_template_for_new_languages_is_up_to_date() -> None:
    assert (catalogue.LOCALE / "messages.pot").read_bytes() == catalogue.template()


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_translation_has_the_placeholders_of_its_text_and_nothing_that_looks_like_one(code: str) -> None:
    for message, texts in translations(code).items():
        sources = [message] if isinstance(message, str) else list(message)  # type: ignore[call-overload]
        wanted = set(PLACEHOLDER.findall(sources[0]))
        for text in texts:
            # A language may write "one hour" out, without the number.
            assert wanted - {"number"} <= set(PLACEHOLDER.findall(text)) <= wanted, text
            assert "%" not in PLACEHOLDER.sub("", text), text


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_translation_is_text_and_never_markup(code: str) -> None:
    for texts in translations(code).values():
        assert not any(set(text) & set("<>&") for text in texts)


@pytest.mark.parametrize(("code", "number", "shown"), [
    ("pl", 1, "1 osobę"), ("pl", 2, "2 osoby"), ("pl", 5, "5 osób"), ("ar", 2, "شخصان"), ("ar", 3, "3 أشخاص"),
    ("ar", 14, "14 شخصًا"), ("ar", 100, "100 شخص "),
    ("cs", 5, "5 osob"), ("de", 1, "1 Person"), ("en", 1, "1 person"), ("en", 2, "2 people"),
])  # fmt: skip
def test_what_is_counted_takes_the_form_of_its_number(code: str, number: int, shown: str) -> None:
    voice = load()[code]
    text = voice.n_("Signed by at least %(number)s person.", "Signed by at least %(number)s people.", number)
    assert shown in text


def test_values_and_translations_are_escaped() -> None:
    voice = load()["de"]
    assert voice._("%(name)s is blocked", name="<b>") == "&lt;b&gt; ist gesperrt"


@pytest.mark.parametrize(("header", "code"), [
    ("", "en"), ("de", "de"), ("de-CH-1996", "de"), ("fr;q=0.5, nl;q=0.9", "nl"), ("xx, yy", "en"), ("*", "en"),
    ("fr;q=2", "en"), ("fr;q=x", "en"), ("fr;q=nan", "en"), (",,;;", "en"), ("ES", "es"), ("es;q=0", "en"),
    ("de" * 10_000, "en"),
])  # fmt: skip
def test_the_language_that_a_browser_asks_for(header: str, code: str) -> None:
    assert negotiate(header) == code


def test_the_fallback_is_the_provider_s() -> None:
    assert negotiate("xx", "cs") == "cs"


@pytest.mark.parametrize(
    ("header", "json"), [("application/json", True), ("text/html", False), ("*/*", False), ("", False)]
)
def test_json_is_only_for_those_who_ask(header: str, json: bool) -> None:
    assert prefers_json(header) is json


@pytest.mark.parametrize(
    ("code", "date"), [("en", "14 February 2026"), ("de", "14. Februar 2026"), ("pl", "14 lutego 2026")]
)
def test_a_day_is_written_as_the_language_writes_it(code: str, date: str) -> None:
    assert load()[code].day("2026-02-14") == date


def test_a_day_that_is_none_stays_as_it_is() -> None:
    assert load()["en"].day("in spring") == "in spring"


def test_a_territory_has_its_name_in_each_language() -> None:
    voices = load()
    assert [voices[code].territory("DE") for code in ("en", "fr", "ar")] == ["Germany", "Allemagne", "ألمانيا"]
    assert voices["en"].territory("AT-9") == "AT-9"


@pytest.mark.parametrize(("zone", "moment", "said"), [
    ("UTC", 1_795_000_000, "18 November 2026, 11:06 UTC"),
    ("Europe/London", 1_795_000_000, "18 November 2026, 11:06 UTC"),
    ("Europe/Berlin", 1_795_000_000, "18 November 2026, 12:06 CET (11:06 UTC)"),
    ("Europe/Berlin", 1_780_000_000, "28 May 2026, 22:26 CEST (20:26 UTC)"),
    ("Europe/Berlin", 1_795_045_000, "19 November 2026, 00:36 CET (2026-11-18 23:36 UTC)"),
    ("Asia/Kathmandu", 1_795_000_000, "18 November 2026, 16:51 +0545 (11:06 UTC)"),
])  # fmt: skip
def test_times_are_the_provider_s_with_utc_beside(zone: str, moment: int, said: str) -> None:
    assert load(zone=ZoneInfo(zone))["en"].moment(moment) == said
