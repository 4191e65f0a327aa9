"""The part of the configuration (`resolver.config.schema`) that people see: stop page, portal, the provider itself."""

from __future__ import annotations

from resolver.config.values import (
    Colour,
    Country,
    Database,
    FilePath,
    IPv4,
    IPv6,
    Language,
    Listen,
    Part,
    Prefix,
    Seconds,
    Slug,
    Text,
    TimeZone,
    WebUrl,
)

FACT = frozenset({"mistake"})  # grounds of an appeal that the provider itself can mend


class StopPage(Part):
    listen: list[Listen] = []
    ipv4: IPv4 | None = None
    ipv6: IPv6 | None = None


class Clocks(Part):
    """How long an appeal may wait, and how long what it says is kept."""

    fact: Seconds = 48 * 3600.0
    decide: Seconds = 14 * 86400.0
    keep: Seconds = 182 * 86400.0

    def of(self, ground: str) -> float:
        """Seconds until an appeal on this ground is overdue."""
        return self.fact if ground in FACT else self.decide


class Portal(Part):
    listen: list[Listen] = []
    url: WebUrl
    database: Database | None = None  # none: state_dir/portal.db
    time_zone: TimeZone = "UTC"  # of the times on pages, as Europe/Berlin; UTC stands beside
    # Reverse proxies whose X-Forwarded-For is believed: for rate limits in memory, never stored.
    behind: list[Prefix] = []
    clocks: Clocks = Clocks()


class HelpLine(Part):
    """Where a person finds help; `categories` empty: shown for every category of entry."""

    name: Text
    phone: Text | None = None
    url: WebUrl | None = None
    text: Text | None = None
    categories: list[Slug] = []


class Colours(Part):
    accent: Colour = "#8a1c1c"
    background: Colour = "#ffffff"
    text: Colour = "#1a1a1a"


class Provider(Part):
    """Who blocks: shown on every page; `url` is the `blocked-by` of RFC 7725."""

    name: Text | None = None
    url: WebUrl | None = None
    contact: Text | None = None
    country: Country | None = None
    # The id under which this portal is registered as a filtering database. Without an id the portal's host name stands
    # for it. `stopsign discovery` prints what to register.
    filtering_database: Text | None = None
    # The language of pages when the browser asks for none that we have: one of resolver/portal/locale, or English.
    language: Language = "en"
    logo: FilePath | None = None
    colours: Colours = Colours()
    help_lines: list[HelpLine] = []

    def branded(self, brand: Brand) -> Provider:
        """As the clients of a view with this brand see it: a key that the brand leaves out is the provider's."""
        return self.model_copy(update={key: getattr(brand, key) for key in brand.model_fields_set})


class Brand(Part):
    """What the stop page shows to the clients of one view in place of `provider`; a key that is left out is the
    provider's, and `help_lines: []` shows none."""

    name: Text = ""
    url: WebUrl = ""
    contact: Text = ""
    language: Language = "en"
    logo: FilePath | None = None
    colours: Colours = Colours()
    help_lines: list[HelpLine] = []
