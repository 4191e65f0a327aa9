"""Pages: templates, the one style sheet, the provider's face, and the headers that keep a page harmless.

Enters: a template's name, a voice and values. Leaves: HTML that needs nothing else: no script, no external resource.
The style is inline and allowed by its hash, the logo is a data URL, so that `default-src 'none'` can hold everywhere.
"""

from __future__ import annotations

import base64
import copy
import hashlib
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text
from resolver.config.discovery import USUAL_PORTS, services
from resolver.config.values import contact_uri, domain_name, is_mailbox
from resolver.portal import language
from resolver.portal.colours import palette
from resolver.portal.facts import CATEGORIES
from resolver.portal.help_lines import USUAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resolver.config.schema import Config
    from resolver.config.schema_portal import HelpLine
    from resolver.portal.help_lines import OurLine

TEMPLATES = Path(__file__).parent / "templates"
_PORTS = {"http": 80, "https": 443}
TITLES = {"dot": "DNS over TLS (DoT)", "h2": "DNS over HTTPS (DoH)", "doq": "DNS over QUIC (DoQ)"}
MAX_LOGO = 64 * 1024  # it is part of every page
LOGO_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class Face:
    """Who the reader is dealing with, as every page shows it."""

    name: str
    url: str
    contact: str
    contact_link: str
    country: str  # ISO 3166; empty: not said
    language: str  # of a page, where the browser asks for none that we have
    logo: str  # a data URL; empty: the name alone
    portal: str  # the portal's address, without a final slash
    help_lines: tuple[HelpLine, ...]
    decide_days: int
    fact_hours: int
    keep_months: int

    def help_for(self, category: str, sealed: bool = False) -> Sequence[HelpLine | OurLine]:
        """The provider's lines for a category; for a sealed entry those of all Europe where it named none for it."""
        own = [line for line in self.help_lines if not line.categories or category in line.categories]
        if sealed and not any(line.categories for line in own):
            return [*USUAL.get(category, ()), *own]
        return own


def face_of(config: Config) -> Face:
    provider, clocks = config.provider, config.portal.clocks
    contact = provider.contact or ""
    return Face(
        name=config.provider_name,
        url=config.provider_url,
        contact=contact,
        contact_link=link_to(contact),
        country=provider.country or "",
        language=provider.language,
        logo=_logo(provider.logo) if provider.logo else "",
        portal=config.portal.url.rstrip("/"),
        help_lines=tuple(provider.help_lines),
        decide_days=round(clocks.decide / 86400),
        fact_hours=round(clocks.fact / 3600),
        keep_months=round(clocks.keep / (30.4 * 86400)),
    )


@dataclass(frozen=True)
class ShownService:
    """One protocol of encrypted DNS, as people type it into a device."""

    title: str
    at: str


def shown_services(config: Config) -> list[ShownService]:
    encrypted = None if config.dns is None else config.dns.encrypted
    if encrypted is None:
        return []
    shown = []
    for service in services(encrypted):
        usual = service.port == USUAL_PORTS[service.alpn]
        host = encrypted.name if usual else f"{encrypted.name}:{service.port}"
        path = service.dohpath.removesuffix("{?dns}")
        shown.append(ShownService(TITLES[service.alpn], f"https://{host}{path}" if path else host))
    return shown


def link_to(contact: str) -> str:
    """Where a contact leads: a web address, a mailbox, or what is written with `mailto:` or `tel:`; empty for anything
    else, which is shown as text."""
    if contact.startswith(("https://", "http://")) and urlsplit(contact).hostname:
        return contact
    if is_mailbox(contact) or contact.startswith(("mailto:", "tel:")):
        return contact_uri(contact) or ""
    return ""


def _logo(path: Path) -> str:
    kind = LOGO_TYPES.get(path.suffix.lower())
    if kind is None:
        raise ResolverError(f"the logo {path} is none of {', '.join(LOGO_TYPES)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ResolverError(f"the logo {path} cannot be read ({error.strerror})") from error
    if len(data) > MAX_LOGO:
        raise ResolverError(
            f"the logo {path} has {len(data)} bytes", hint=f"it is part of every page: {MAX_LOGO} at most"
        )
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


class Pages:
    """Renders. One for the process, and one for each brand; everything in it is read once, at the start."""

    def __init__(self, config: Config) -> None:
        self.services = shown_services(config)
        self.voices: Mapping[str, language.Voice] = language.load(zone=ZoneInfo(config.portal.time_zone))
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip
        self._environment.filters["rfc3339"] = as_text
        self._environment.globals.update(
            languages=language.LANGUAGES,
            link_to=link_to,
            category=category,
        )
        # compiled now: a broken template ends the start, not a reader's visit, and the first reader waits for none,
        # nor for the names of places in the provider's language
        for template in self._environment.list_templates(extensions=["html"]):
            self._environment.get_template(template)
        self._show(config)

    def branded(self, config: Config) -> Pages:
        """The same pages with the face of `config.provider`."""
        pages = copy.copy(self)
        pages._show(config)
        return pages

    def _show(self, config: Config) -> None:
        self.face = face_of(config)
        colours = config.provider.colours
        style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
        style = "".join(style.partition("*/\n")[2].splitlines())  # without the comment; rules have no line comments
        for name, value in palette(colours.accent, colours.background, colours.text).items():
            style = style.replace(f"@{name}@", value)
        self._style = Markup(style)  # noqa: S704 - our own file and colours
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
        )
        self.voices[self.face.language].territory("")

    @property
    def origin(self) -> str:
        """The portal's origin as browsers send it with a form (RFC 6454, 6.2): without the port that the scheme has
        anyhow, a name as A-labels, an IPv6 address in its short form."""
        parts = urlsplit(self.face.portal)
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{IPv6Address(host)}]"
        elif not host.isascii():
            host = domain_name(host)
        port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
        return f"{parts.scheme}://{host}{port}"

    def policy(self, *, forms: bool) -> str:
        """The Content-Security-Policy of a page with or without a form of its own."""
        target = "'self'" if forms else "'none'"
        return f"{self._policy}; form-action {target}"

    def render(self, template: str, code: str, /, **values: Any) -> bytes:
        voice = self.voices[code]
        here = Here(values.pop("at", ""), values.pop("query", {}), code, values.pop("chosen", True))
        return (
            self._environment.get_template(template)
            .render(
                face=self.face,
                style=self._style,
                voice=voice,
                _=voice._,
                n_=voice.n_,
                language=voice.language,
                here=here,
                **values,
            )
            .encode()
        )


@dataclass(frozen=True)
class Here:
    """The page's own address, for links that keep the reader's language."""

    path: str
    query: Mapping[str, str]
    code: str
    chosen: bool  # the reader chose the language; otherwise links leave it to the browser

    def in_language(self, code: str) -> str:
        return f"{self.path}?{urlencode({**self.query, 'lang': code})}"

    def to(self, path: str, **query: str) -> str:
        if self.chosen:
            query["lang"] = self.code
        return f"{path}?{urlencode(query)}" if query else path


def category(slug: str, voice: language.Voice) -> str:
    """A category in words; one that is not known here is shown as the list writes it."""
    return voice.plain(CATEGORIES[slug]) if slug in CATEGORIES else slug.replace("-", " ").capitalize()
