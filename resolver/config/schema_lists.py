"""The part of the configuration (`resolver.config.schema`) about lists: where they come from, what they may do, and
what holds their updates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from blocklists.importers.mapping import Mapping
from resolver.config.schema_portal import Brand
from resolver.config.values import (
    Country,
    Day,
    FilePath,
    Name,
    Part,
    Prefix,
    Seconds,
    Share,
    Size,
    Slug,
    Text,
    WebUrlOrPath,
)

Action = Literal["stop-page", "nxdomain", "nodata", "refused", "monitor"]
Match = Literal["exact", "subtree", "below"]
Stage = Literal["at-once", "canary", "wave-1", "wave-2"]
EDE = {"blocked": 15, "censored": 16, "filtered": 17, "none": 0}  # INFO-CODE of a list's `reason` (RFC 8914)
MAX_LISTS = 64  # a view is a mask of 64 bits in the core


class Cap(Part):
    """What may be added before a person is asked: at most `number`, and at most `share` of what is active."""

    number: int = Field(ge=0)
    share: Share


class Caps(Part):
    """`always` additions pass every share (a list of ten entries may grow by one), never the numbers."""

    update: Cap = Cap(number=5_000, share=0.10)
    day: Cap = Cap(number=10_000, share=0.20)
    week: Cap = Cap(number=20_000, share=0.40)
    always: int = Field(default=25, ge=0)


class Scope(Part):
    """What this issuer may ask of this provider, whatever it signs. Empty or absent: no limit of that kind."""

    matches: list[Match] = []
    categories: list[Slug] = []
    territories: list[Text] = []
    below: list[Name] = []  # only names at or below these
    entries: int | None = Field(default=None, ge=0)


class PublisherSignature(Part):
    """A detached signature beside a bridged file. A `beside` that begins with a dot is appended to the file's name."""

    beside: Text = ".minisig"
    kind: Literal["minisign", "signify", "gpg"] = "minisign"
    key: FilePath  # the publisher's public key; of gpg a keyring (gpg --export)


class Fetching(Part):
    """How the publisher of a bridged file serves it."""

    ca: FilePath | None = None  # trust these certificates alone, not the system's
    certificate: FilePath | None = None  # of this client
    key: FilePath | None = None  # none: in the certificate's file
    bearer: FilePath | None = None  # its first line is the token
    redirects: int = Field(default=0, ge=0, le=5)
    newest: Text | None = None  # `repository` is a page: of its links that match, the greatest by the first group
    checksum: Text | None = None  # of SHA-256 or SHA-512, beside the file: .sha256 is appended, else a name
    signature: PublisherSignature | None = None
    tsig: FilePath | None = None  # of a zone (`repository: dns://…`): the key's file, as tsig-keygen writes it


class Bridge(Part):
    """An unsigned CSV of a regulator, imported as an issuer of its own; the stop page says that it is unsigned."""

    issuer: Text
    contact: Text | None = None
    law: Text
    authority: Text
    order: Text
    date: Day
    territory: Country
    court: Text | None = None
    category: Slug
    match: Match = "subtree"  # of a bare name, as `stopsign issuer import` has it; a hosts line is that name alone
    star: Literal["below", "subtree"] = "below"  # what `*.name` means
    walls: list[Text] = []  # targets of rules that count as a block, besides addresses where nobody listens
    format: Text = "auto"  # a format of `stopsign issuer formats`; auto: found by the look of the file
    mapping: Mapping | None = None  # where a register has its names, grounds, days and withdrawals: docs/lists.md
    column: Text | None = None  # in short for a table: number or heading of the column with the name
    fetch: Fetching = Fetching()
    lifetime: Seconds = 30 * 86400.0
    # A file that lost a larger share of its names waits for a person. None: what the mapping expects, else 50%.
    shrink_at_most: Share | None = None


class ListSource(Part):
    name: Slug
    repository: WebUrlOrPath
    trusted_root: FilePath | None = None  # only a bridge has none
    refresh: Seconds = 300.0
    deadline: Seconds = 60.0  # one for the whole refresh
    action: Action = "stop-page"
    reason: Literal["blocked", "censored", "filtered", "none"] = "censored"
    # The extended error's text for clients that ask for structured errors (drafts: docs/people.md): json, or the same
    # text as for all others. With json, `explained` is what such a client gets where `action` is stop-page.
    explain: Literal["text", "json"] = "text"
    explained: Literal["nxdomain", "nodata", "stop-page"] = "stop-page"
    # Answers for names that are not listed, with records of one that is: without those (trim), as if the listed name
    # had been asked for (stop), or as they are (relay).
    aliases: Literal["relay", "trim", "stop"] = "trim"
    min_threshold: int = Field(default=2, ge=1)
    approve_first: bool = False  # true: the first load needs no person (the demo, tests)
    stage: Stage | None = None  # when additions act here, of all hosts that share the database; none: `stages.stage`
    urgent: bool = False  # orders due within 30 minutes: a held addition alarms at once, not after `alarm_held`
    alarm_held: Seconds = 4 * 3600.0
    stale_after: Seconds = 14 * 86400.0
    on_expiry: Literal["lapse", "hold"] = "lapse"
    max_entries: int = Field(default=5_000_000, ge=1)
    max_size: Size = 2 << 30  # of the uncompressed document
    caps: Caps = Caps()
    scope: Scope = Scope()
    bridge: Bridge | None = None


class Shadow(Part):
    """New entries are evaluated against live queries before they act. Sketches live in memory and know no client."""

    watch: Seconds = 0.0  # how long an addition is evaluated before it acts (urgent lists: at most 10m); 0s: not at all
    share: Share = 0.01  # of all different clients that one entry may meet before a person is asked


class Overdue(Part):
    """Entries that overdue appeals suspend by themselves within a day; those beyond wait for a person. Strangers file
    appeals: what they can open together is bounded as what an issuer can add is."""

    day: int = Field(default=50, ge=0)  # of all lists together
    list: Cap = Cap(number=20, share=0.01)  # of one list; the share is that of its entries
    always: int = Field(default=3, ge=0)  # of one list, whatever the share comes to


class Guards(Part):
    protected: list[Name] = []
    overdue: Overdue = Overdue()
    popular: FilePath | None = None  # one name a line, most popular first; plain or .gz
    popular_top: int = Field(default=100_000, ge=1)
    shadow: Shadow = Shadow()


class Stages(Part):
    """Additions act on the canaries first and on one wave after the other. The same on all hosts, but for `stage`."""

    stage: Stage = "at-once"
    canary: Seconds = 1800.0  # how long a canary has run a version before wave-1 follows (urgent lists: at most 10m)
    wave_1: Seconds = 2 * 3600.0  # the same of wave-1, before wave-2 follows
    servfail: Share = 0.05  # of a host's answers since it runs a version; above, the waves after it stop
    shadow: Share = 0.005  # of all clients that one addition would have met there in shadow evaluation; likewise


class View(Part):
    """Whom which lists hold for. Of prefixes in each other the longest decides, wherever it stands; a client of no view
    gets every list."""

    name: Slug
    clients: list[Prefix] = Field(min_length=1)
    lists: list[Slug]
    brand: Brand | None = None  # none: the stop page shows `provider`
