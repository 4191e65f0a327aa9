"""Languages: which one a reader gets, and every text in it.

Enters: an Accept-Language header and, where the reader chose one, its code. Leaves: a `Voice`, which says each text,
date and place in that language. Rules: English is the source; a catalogue is a plain gettext `.po` file under
`locale/` that a translator edits, read as it is (nothing to compile, nothing that can be stale); a text is always
plain text and is escaped when it is said, so that a translation can never carry markup; values put into it are escaped
as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from babel import Locale
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

LOCALE = Path(__file__).parent / "locale"


@dataclass(frozen=True)
class Language:
    """One of the languages on offer: its code, its name in itself, and the direction it is read in."""

    code: str
    endonym: str
    direction: str = "ltr"
    dates: str = ""  # the locale whose dates are written, where it is not the code's own
    comma: str = ", "


LANGUAGES: Mapping[str, Language] = {
    language.code: language
    for language in (
        Language("en", "English", dates="en_GB"),  # day before month, as nearly everywhere
        Language("de", "Deutsch"),
        Language("fr", "Français"),
        Language("nl", "Nederlands"),
        Language("es", "Español"),
        Language("it", "Italiano"),
        Language("pl", "Polski"),
        Language("cs", "Čeština"),
        Language("ar", "العربية", "rtl", comma="، "),
    )
}


class Voice:
    """Everything said in one language. Templates call `_` for a text and `n_` for one that counts something."""

    def __init__(self, language: Language, texts: NullTranslations, zone: tzinfo = UTC) -> None:
        self.language, self._zone = language, zone
        self._texts = texts
        self._locale = Locale.parse(language.dates or language.code)

    def plain(self, message: str) -> str:
        """The text as it stands in the catalogue; English where there is none."""
        return self._texts.gettext(message)

    def _(self, message: str, **values: object) -> Markup:
        return self._said(self.plain(message), values)

    def n_(self, singular: str, plural: str, number: int, **values: object) -> Markup:
        """As `_`, in the form that the language has for this number, which the text calls `number`."""
        return self._said(
            self._texts.ngettext(singular, plural, number), {**values, "number": escape(self.number(number))}
        )

    def _said(self, text: str, values: Mapping[str, object]) -> Markup:
        escaped = escape(text)
        if not values:
            return Markup(str(escaped).replace("%%", "%"))  # noqa: S704 - escaped just now
        return escaped % {name: self._apart(value) for name, value in values.items()}

    def _apart(self, value: object) -> object:
        """A value kept apart from the direction of the text around it (first strong isolate, UAX 9)."""
        apart = self.language.direction == "rtl" and isinstance(value, str) and not isinstance(value, Markup)
        return f"\u2068{value}\u2069" if apart else value

    def date(self, moment: int) -> str:
        """A day where the provider is, written out: 22 November 2026."""
        return format_date(datetime.fromtimestamp(moment, self._zone), "long", locale=self._locale)

    def day(self, text: str) -> str:
        """A day given as `YYYY-MM-DD`, written out; as it stands where it is none."""
        try:
            return format_date(date.fromisoformat(text), "long", locale=self._locale)
        except ValueError:
            return text

    def moment(self, moment: int) -> str:
        """A day and a time of day where the provider is, and in UTC, with the day where that is another:
        `22 November 2026, 07:06 CET (06:06 UTC)`."""
        here, there = datetime.fromtimestamp(moment, self._zone), datetime.fromtimestamp(moment, UTC)
        if here.utcoffset():
            day = "" if here.date() == there.date() else f"{there:%Y-%m-%d} "
            time = f"{here:%H:%M} {here.tzname()} ({day}{there:%H:%M} UTC)"
        else:
            time = f"{there:%H:%M} UTC"
        return f"{self.date(moment)}{self.language.comma}{self._apart(time)}"

    def number(self, number: float) -> str:
        return format_decimal(number, locale=self._locale)

    def territory(self, code: str) -> str:
        """A territory's name from its ISO 3166 code; what is no such code is shown as it stands."""
        return str(self._locale.territories.get(code.upper(), code))


def load(directory: Path = LOCALE, zone: tzinfo = UTC) -> dict[str, Voice]:
    """A voice for every language, which tells times as in `zone`; a catalogue that cannot be read is a fault of the
    installation and raises."""
    return {code: Voice(language, texts(code, directory), zone) for code, language in LANGUAGES.items()}


def texts(code: str, directory: Path = LOCALE) -> NullTranslations:
    """The translated texts of one language. English is the source and needs none."""
    if code == "en":
        return NullTranslations()
    with (directory / code / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=code)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


@lru_cache(maxsize=512)
def negotiate(accept_language: str, fallback: str = "en") -> str:
    """The code of the language on offer that the header prefers (RFC 9110, 12.5.4; basic filtering of RFC 4647)."""
    best, best_quality = fallback, 0.0
    for item in accept_language[:1000].split(","):
        tag, _, parameter = item.strip().partition(";")
        code = tag.strip().lower().partition("-")[0]
        quality = _quality(parameter)
        if code in LANGUAGES and quality > best_quality:
            best, best_quality = code, quality
    return best


@lru_cache(maxsize=512)
def prefers_json(accept: str) -> bool:
    """Whether an Accept header asks for JSON rather than for a page; no header, or a wildcard, asks for the page."""
    json = html = 0.0
    for item in accept[:1000].split(","):
        kind, _, parameter = item.strip().partition(";")
        kind = kind.strip().lower()
        if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
            json = max(json, _quality(parameter))
        elif kind in ("text/html", "application/xhtml+xml"):
            html = max(html, _quality(parameter))
    return json > html


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        quality = float(value.strip())
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
