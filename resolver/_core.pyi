"""The native core (Rust, core/binding): the compiled list and the UDP plane."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from os import PathLike
from typing import Literal, NotRequired, Self, TypeAlias, TypedDict, final, type_check_only

_StrPath: TypeAlias = str | PathLike[str]
_Action: TypeAlias = Literal["stop-page", "nxdomain", "nodata", "refused", "monitor"]
_Aliases: TypeAlias = Literal["relay", "trim", "stop"]
_Match: TypeAlias = Literal["exact", "subtree", "below"]
_Exception: TypeAlias = tuple[str, _Match, int]
"""A name that passes: name, kind of match, end in Unix time."""

__all__ = [
    "COUNTERS",
    "COUNTERS_MARK",
    "LIFE",
    "VERSION",
    "Applied",
    "Attention",
    "Change",
    "Changes",
    "CompileSummary",
    "CompiledList",
    "Content",
    "CoreError",
    "Examination",
    "Exceptions",
    "Finding",
    "Judgement",
    "ListError",
    "Match",
    "Names",
    "Plane",
    "Policies",
    "Reviewed",
    "Steps",
    "TcpAsk",
    "apply",
    "ask_quic",
    "changes",
    "check_bonds",
    "check_document",
    "compile",
    "covers",
    "distinct",
    "examine",
    "find",
    "first_step",
    "follow_step",
    "joined",
    "later_secret",
    "lines_in",
    "marked",
    "policy_changes",
    "restrain",
    "review_difference",
    "review_step",
    "sealed_digest",
    "set_background",
    "set_latency_sensitive",
    "summary",
    "tally",
    "tick_when_busy",
    "verdict",
    "wanted",
]

VERSION: str

class CoreError(Exception):
    """What the core refuses, in one sentence."""

class ListError(CoreError):
    """What is wrong with a document or a compiled list."""

    kind: str
    """A short code."""
    line: int
    """Of the document, from 1; 0: no line is to blame."""

# -- the compiled list: documents checked, compared, compiled; names looked up -----------------------------------------

@type_check_only
class Source(TypedDict):
    """One list as `compile` takes it, in the order of the configuration."""

    document: str
    """Path of the zstd-compressed canonical lines."""
    action: _Action
    aliases: NotRequired[_Aliases]
    """What becomes of answers for other names in which listed ones own records (default trim)."""
    ede: int
    """INFO-CODE of the Extended DNS Error (15, 16, 17); 0: none."""
    bases: Sequence[str]
    """Keys of the bases that entries may name; empty: any."""
    suspended: Sequence[str]
    """References that are left out."""
    seal: NotRequired[bytes | None]
    """Of a sealed list, whose document holds digests: the `sealed_digest` of the root under its key."""

@final
class CompileSummary:
    """What was compiled: entries of all lists, different names, octets of the file and of what queries touch."""

    entries: int
    names: int
    bytes: int
    hot_bytes: int
    suspended: int
    """Entries left out."""

def compile(sources: Sequence[Source], output: _StrPath, meta: bytes, *, max_size: int = ...) -> CompileSummary:  # noqa: A001
    """Merges up to 64 lists into `output` (whole and durable, or not at all), with `meta` kept beside them.

    No document may be larger than `max_size` octets uncompressed (default 4 GiB). Raises ListError. The
    interpreter is free meanwhile."""

# -- the desk: names gathered, steps made and applied ------------------------------------------------------------------

@final
class Names:
    """The names that an import takes, in the order in which it meets them; each has a line and the number of its
    *kind*, of which the caller knows what it says. Sets of names say which are judged one by one: last labels (`tops`),
    last but one (`seconds`), whole names (`near`), parents (`wildcards`)."""

    def __new__(
        cls, tops: Collection[str], seconds: Collection[str], near: Collection[str], wildcards: Collection[str]
    ) -> Self: ...
    def take(
        self, text: bytes, *, at: int, line: int, kind: int, writing: Literal["bare", "hosts", "rule"]
    ) -> tuple[int, int]:
        """Takes whole lines that are a name and nothing else, from the octet `at` on, the first of which has the number
        `line`. Where the first begins that is not, or stands here already, and its number."""

    def put(self, name: str, line: int, kind: int) -> tuple[int, int] | None:
        """Puts a name that is in the form of entries. Line and kind of where it stands already."""

    def add(self, name: str, line: int, kind: int) -> None:
        """Adds what a name comes with too."""

    def clear(self) -> None: ...
    def kinds(self) -> list[int]:
        """How many there are of each kind."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[int, str, int]:
        """Line, name and kind; what was added comes last."""

@final
class Steps:
    """Lines that go (`-`) and lines that come (`+`), in the order of the document."""

    def __new__(cls, lines: Sequence[tuple[bytes, bytes]]) -> Self: ...
    def bases(self) -> list[str]:
        """Of the lines that come."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...

def wanted(
    names: Names,
    kinds: Sequence[tuple[str, str, tuple[str, str] | None]],
    *,
    document: tuple[_StrPath, int] | None,
    withdrawn: Sequence[str],
    replace: bool,
    random: Callable[[int], bytes],
) -> tuple[Steps, list[int]]:
    """The step that brings names onto a list whose document has so many octets; and the rows that are no entries.

    `kinds`: match, basis, and what a line says before the name and behind the reference; `None`: that is no entry.
    What stands under the same name, match and basis stays, unless its reference is `withdrawn`. `replace`: what is not
    wanted goes. Raises ListError. The interpreter is free meanwhile, but for `random`."""

@final
class Applied:
    """What was written: lines, their octets, `sha256:` over them; the hash of the file; octets of the step."""

    entries: int
    size: int
    state: str
    sha256: str
    """64 digits."""
    delta_size: int

def apply(
    old: tuple[_StrPath, int, str | None, _StrPath | None] | None,
    step: Steps | tuple[_StrPath, int],
    new: _StrPath,
    *,
    level: int,
    limit: int = ...,
    delta: _StrPath | None = None,
    marks: _StrPath | None = None,
    same_as: tuple[_StrPath, bytes, _StrPath] | None = None,
    sealed: bool = False,
) -> Applied:
    """Writes to `new` what a document becomes (its path, octets, the state where one was signed, the file of its marks
    if there may be one) by a step, made here or a delta file of so many octets; to `delta` the step, to `marks` those
    of the new document. At most `limit` octets come of it, compressed at `level`. `same_as`: a document that was made
    here, its SHA-256, by which it was checked, and its marks; what it shares with the new one is hashed no more.
    `sealed`: what the lines are that come in a delta file. Raises ListError. The interpreter is free meanwhile."""

def find(document: _StrPath, *, size: int, names: Sequence[str] = ..., references: Sequence[str] = ...) -> list[bytes]:
    """The lines of a document of at most `size` octets that have one of these names or references. Raises ListError."""

def first_step(document: _StrPath, output: _StrPath, *, size: int, level: int) -> None:
    """Writes the step from nothing to a document of at most `size` octets. Raises ListError."""

def summary(document: _StrPath, *, size: int, marks: _StrPath | None = None) -> tuple[int, int, str]:
    """Lines, octets and state of a document of at most `size` octets; no line is looked at. Its marks go to `marks`.
    Raises ListError."""

def lines_in(text: bytes) -> int:
    """How many lines end in it: line feeds."""

def marked(document: _StrPath, marks: _StrPath) -> tuple[int, int, str] | None:
    """Lines, octets and state of a document by its marks; None where the file of them is not there, is damaged, or is
    that of another document."""

@final
class Change:
    """One entry that changed."""

    kind: Literal["added", "removed", "widened", "narrowed", "prolonged", "shortened", "altered"]
    name: str
    match: _Match
    reference: str

@final
class Changes:
    """How a document changed, in entries.

    *Widened* stops more than the entries of the name did and counts as adding; *narrowed* stops less, at most as long;
    an entry whose reference stands in both is *prolonged* or *shortened* by its expiry, or *altered* elsewhere."""

    entries: int
    """In the new document."""
    unchanged: int
    added: int
    removed: int
    widened: int
    narrowed: int
    prolonged: int
    shortened: int
    altered: int
    listed: list[Change]
    """The first of them, up to the limit."""
    reused: list[str]
    """References that stood for another name or match in the old document, up to the limit: a reason to refuse."""

def changes(
    old: _StrPath | None,
    new: _StrPath,
    *,
    withdrawn: Sequence[str] = ...,
    limit: int = 100,
    sealed: bool = False,
    rekeyed: bool = False,
) -> Changes:
    """What changed between two documents that were checked before, each less the `withdrawn` references; `old` None:
    everything is added. Both are `sealed`, or neither. `rekeyed`: under another key each, so that references are
    compared. Raises ListError."""

# -- what signers and verifiers ask of a document or of a step ---------------------------------------------------------

_Kind = Literal["added", "removed", "widened", "narrowed", "prolonged", "shortened", "reworded", "withdrawn"]

@final
class Attention:
    """Names that people are to look at, references that are withdrawn, and how many entries of each kind are listed
    (`limit` None: all)."""

    def __new__(
        cls,
        *,
        protected: Sequence[str],
        suffixes: Sequence[str],
        popular: Sequence[str],
        withdrawn: Sequence[str],
        limit: int | None = None,
    ) -> Self: ...

@final
class Reviewed:
    """What a change means, entry by entry."""

    @property
    def kinds(self) -> dict[_Kind, tuple[int, list[tuple[bytes, bytes | None]]]]:
        """By kind: how many, and the canonical lines of the first of them: one, or before and after."""
    @property
    def by_basis(self) -> dict[str, tuple[int, int]]:
        """For each basis: how many entries come, how many go."""
    @property
    def noted(self) -> list[bytes]:
        """Lines that come and meet a name that people are to look at, whatever their match: those added, those widened,
        those prolonged."""

@final
class Content:
    """What a document holds, or would hold."""

    entries: int
    size: int
    """Octets, uncompressed."""
    state: str
    bases: dict[str, int]
    """How many entries that are in force stand on each basis."""
    review: Reviewed | None
    """As a first version, where there was `attention`."""

def check_document(
    document: _StrPath,
    *,
    size: int,
    bases: Sequence[str],
    sealed: bool = False,
    withdrawn: Sequence[str] = ...,
    attention: Attention | None = None,
    marks: _StrPath | None = None,
) -> Content:
    """Check every line of a document of at most `size` octets, and say what it holds. Its marks go to `marks`. Raises
    ListError."""

def review_step(step: _StrPath, size: int, attention: Attention) -> Reviewed:
    """What a delta file of at most `size` octets means. Raises ListError."""

def review_difference(old: _StrPath, new: _StrPath, size: int, attention: Attention) -> Reviewed:
    """What a document of at most `size` octets means after another; both were checked before. Raises ListError."""

def follow_step(
    old: tuple[_StrPath, int],
    step: tuple[_StrPath, int],
    review: Reviewed,
    *,
    size: int,
    bases: Sequence[str],
    withdrawn: Sequence[str] = ...,
    counted: bool = True,
    marks: _StrPath | None = None,
    compared: bool = False,
) -> Content:
    """What a document would hold after a step that means `review`; both with their octets. The document was checked
    when it came. `counted`: look at the basis of every line, and count by it. `marks`: the file with those of the
    document, if there is one; `compared` with it since it was written. Raises ListError."""

def check_bonds(old: tuple[_StrPath, int], new: tuple[_StrPath, int], *, sealed: bool, rekeyed: bool = False) -> None:
    """Raises ListError `reference-reuse` where a reference stands for another name, match or basis in the new document
    than in the old one (both with their octets); another match or basis, where the names' key of a sealed list is
    another one (`rekeyed`); or another kind where a line that only the new document has is not canonical. Nothing else
    is judged. The interpreter is free meanwhile."""

@final
class Finding:
    """An added or widened entry that a guard objects to."""

    kind: Literal["protected", "public-suffix", "popular"]
    name: str
    match: _Match
    reference: str
    against: str
    """The name that the guard looks after."""

@final
class Examination:
    """What a new document comes to beside the old one."""

    changes: Changes
    added: int
    """Added and widened."""
    removed: int
    protected: int
    """Objections by this guard in all; `findings` has the first of them up to the limit."""
    public_suffix: int
    popular: int
    findings: list[Finding]

def examine(
    old: _StrPath | None,
    new: _StrPath,
    *,
    announced: tuple[int, str, Sequence[str]],
    protected: Sequence[str],
    suffixes: Sequence[str],
    popular: Sequence[str],
    withdrawn: Sequence[str] = ...,
    limit: int = 100,
    key: bytes | None = None,
    rekeyed: bool = False,
) -> Examination:
    """Checks a new document against what was `announced` (size, state, bases), compares it with the old one, which was
    checked when it came, and lets the guards look at what was added or widened. `withdrawn`: references that are not in
    force in either; they count as neither there before nor coming.

    Raises ListError for the first thing that is wrong with the new document. `kind` is `too-large` (more than `size`
    octets come out), `damaged`, `malformed`, `order`, `reference-twice`, `no-basis` (or one that is not in `bases`),
    `no-expiry`, `ip-address`, `name`, `category`, `match`, `reference`, `time`, `crowded` (more than 16 entries for a
    name), `state-hash` or `unreadable`.

    An entry may neither stop a `protected` name nor lie at or below one; may not stop a public suffix together with
    what is below it, nor anything above one (`suffixes`: rules of the public suffix list in A-labels, with `*.` and
    `!`; every top-level domain counts); may not stop a `popular` name.

    `key`: the list is sealed, both documents hold digests. The guards hash their names under the key; what lies below a
    protected name they do not see. `name` and `against` are empty. `rekeyed`: the old document is under another key;
    then references are compared, and the guards look at every entry."""

def restrain(
    old: _StrPath | None,
    new: _StrPath,
    output: _StrPath,
    *,
    withdrawn: Sequence[str] = ...,
    sealed: bool = False,
    rekeyed: bool = False,
) -> int:
    """Writes to `output` the old document less what the new one removed, narrowed or shortened; how many entries. A
    `withdrawn` old entry lets no new one through as narrowed.

    Nothing is in it that the old one did not stop: what holds while the additions of the new one wait for a person.
    Raises ListError."""

def tally(document: _StrPath, *, size: int = ..., sealed: bool = False) -> dict[tuple[str, str, int, int], int]:
    """How many entries of a document share a basis, a category, a day of issue and a day of expiry (days since
    1970-01-01, UTC). `sealed`: its lines hold digests. Checks the form and the order of its lines. Raises ListError,
    also for more than `size` octets uncompressed (default 4 GiB). The interpreter is free meanwhile."""

def sealed_digest(key: bytes, name: str) -> bytes:
    """The 16 octets that stand for a name in a sealed list: SipHash-2-4-128 under the list's `key` (16 octets) of the
    name's wire form in lower case, root byte included. Raises ListError (`key`) for a key of another length, CoreError
    for what is no name."""

@final
class Policies:
    """What `CompiledList.write_policies` wrote."""

    names: int
    """Lines of the file."""
    owners: int
    """Owners of records: one or two a line."""
    next: int
    """First second (Unix time) at which the rules are others if nothing else changes; 0: never."""
    unsayable: int
    """Owners that the zone cannot hold: too long for it, or at or below a label that policy zones reserve (`rpz-…`)."""
    told: list[str]
    """The first of them, up to the limit."""

def policy_changes(old: _StrPath, new: _StrPath, limit: int) -> list[tuple[str, str, str]] | None:
    """What changed between two files of `write_policies`: (name, what the old one says, what the new one says), each
    two letters or empty; None where more than `limit` names changed. Raises ListError."""

@final
class Match:
    """One entry at or above a name that was looked up."""

    name: str
    """The entry's own name; empty where its list is sealed."""
    match: _Match
    list: int
    """Index in the order of the configuration."""
    action: _Action
    aliases: _Aliases
    """What becomes of answers for other names in which the name owns records."""
    ede: int
    expires: int
    """First second, Unix time, at which it no longer holds. Look-up does not leave out what has lapsed."""
    issued: int
    basis: str
    category: str
    reference: str
    distance: int
    """Labels between the two names; 0: the name itself."""
    row: int

@final
class CompiledList:
    """A compiled file, read into memory of its own. Immutable; it may be shared."""

    @staticmethod
    def open(path: _StrPath) -> CompiledList:
        """Opens the file and checks all of it, with the interpreter free meanwhile. Raises ListError."""

    def unseal(self, list: int, key: bytearray) -> None:  # noqa: A002
        """Gives a sealed list its key (16 octets), which is overwritten with zeros here, whatever comes of it. Until
        then the list finds nothing. The core keeps it in memory that is locked and in no core dump; from the first key
        on the process is not dumpable (prctl(2)). Raises ListError (`key`: the list is not sealed, or has another key;
        `memory`: the kernel locks none)."""

    @property
    def rows(self) -> int:
        """Different names, and digests of sealed lists."""

    @property
    def entries(self) -> int: ...
    @property
    def meta(self) -> bytes: ...
    @property
    def hot_bytes(self) -> int:
        """Octets of what queries touch."""

    def look_up(self, name: str) -> list[Match]:
        """Every entry at or above the name, the most specific name first, lists in their order; whether an entry stops
        the name is for the caller to say: by `match`, `distance`, `expires`. Raises CoreError for
        what is no name."""

    def write_policies(
        self,
        output: _StrPath,
        *,
        lists: int,
        exceptions: Sequence[_Exception],
        now: int,
        room: int,
        limit: int = 100,
    ) -> Policies:
        """Writes the rules of a response policy zone to `output`, whole and durable, or not at all.

        A line is `NAME SB`: what holds for the name itself and for all below it, each `s` (stop page), `x` (NXDOMAIN),
        `n` (NODATA), `r` (REFUSED), `p` (passes, where what is above it does not) or `-` (nothing is said). Bit n of
        `lists`: list n counts. `exceptions` as for `Plane.set_exceptions`. `room`: octets of the longest name, wildcard
        label included, that fits before the zone's own. Raises ListError. The interpreter is free meanwhile."""

    def find(self, references: Set[str]) -> list[Match]:
        """The entries with these references (lists may share one), `distance` 0. One scan of the list however many they
        are, with the interpreter free meanwhile: for people, not for queries."""

    def entry(self, number: int) -> Match:
        """One of the `entries`, by the number under which `Plane.count_in` counts it; raises IndexError."""

    def sample(self, n: int, seed: int) -> list[str]:
        """`n` listed names drawn with replacement; the same for the same seed."""

# -- the verdict: what a worker decides, for those who tell people of it ----------------------------------------------

@final
class Exceptions:
    """What an operator lets pass, parsed once for many verdicts. Immutable."""

    def __new__(cls, names: Sequence[_Exception], bypass_all: bool, bypass_lists: int) -> Exceptions:
        """As for `Plane.set_exceptions`. Raises CoreError for what is no name or no kind of match."""

@final
class Judgement:
    """What the lists and the exceptions together say about one name."""

    stop: Match | None
    """The entry that stops it."""
    monitored: Match | None
    """The first entry of a list that only counts."""
    excused: bool
    """An exception for a name let it through where an entry would have stopped or counted it."""
    entries: list[tuple[Match, Literal["expired", "other-view", "bypassed", "monitors", "stops"]]]
    """Every entry that covers the name, by list, then the most specific first, and what it does, exceptions for names
    aside. Of those that stop the name, the first is `stop`."""

def verdict(compiled: CompiledList, qname: str, exceptions: Exceptions, view: int, now: int) -> Judgement:
    """The worker's own decision. Bit n of `view`: list n holds for the client. `now`: Unix seconds. Raises CoreError
    where `qname` is no name."""

def covers(name: str, match: _Match, qname: str) -> bool:
    """Whether an entry or exception for `name` of this kind of match covers `qname`. Raises CoreError where one is no
    name, or no kind of match."""

# -- the plane: every datagram of one worker ---------------------------------------------------------------------------

LIFE: float
"""Seconds for which an answer is of use, at least: what comes after its clients gave up fills the cache."""

COUNTERS: list[str]
"""Names of the u64 counters, in the order in which they stand in the counters file (little endian, eight bytes each).

The first, `heartbeat_ms`, is CLOCK_MONOTONIC at the last `tick`; those that end in `_now` are gauges; all others only
grow. `blocked_list_0` to `blocked_list_63` count by index of the list in the compiled list's `meta`."""

COUNTERS_MARK: bytes
"""The last eight bytes of such a file: of these names; a version that counts other things writes others."""

@type_check_only
class Rate(TypedDict):
    """A token bucket for each IPv4 address and each IPv6 /56; above it the answer is TC."""

    queries_per_second: float
    burst: float

@type_check_only
class Tap(TypedDict):
    """Blocked answers as dnstap frames, which wait for `Plane.take_tap`."""

    identity: str
    version: str
    client_addresses: bool
    """The client's address and port are in them."""

@type_check_only
class StreamLimits(TypedDict):
    """What the connections of clients may cost."""

    total: int
    """At this many the one that has been idle longest gives way."""
    per_client: int
    in_flight: int
    """Queries of one connection that wait for answers; while there are so many it is not read."""
    idle_ms: int
    """A connection that completes no query for so long ends."""
    stalled_ms: int
    """And one that does not read its answers for so long."""
    unwritten: int
    """Octets of one connection that wait to be written."""

@type_check_only
class PlaneSettings(TypedDict):
    """What a worker's plane needs. Only `allow_clients` must be there."""

    allow_clients: Sequence[str]
    stop_ipv4: NotRequired[str | None]
    stop_ipv6: NotRequired[str | None]
    portal_url: NotRequired[str]
    """Goes into the EDE text after the reference; empty: the reference alone."""
    health_name: NotRequired[str | None]
    """Answered here without error while an upstream is up, else SERVFAIL; loopback and `proxy_from` always may ask."""
    health_mark: NotRequired[str]
    """What TXT of that name answers (at most 255 octets; empty: nothing)."""
    own_answers: NotRequired[Sequence[tuple[bytes, bool]]]
    """What this resolver says of itself: messages, each with whether it answers every type of its question's name that
    has no message of its own, or its question's type alone. At and below `resolver.arpa` all else is NODATA."""
    views: NotRequired[Sequence[Sequence[str]]]
    """The prefixes of each view; the most specific one of all decides, and a client of no view gets every list."""
    cache_bytes: NotRequired[int]
    """This worker's share of the cache (default 32 MiB)."""
    cache_stale_s: NotRequired[int]
    """For how long after its time an answer may be given when upstreams fail (default a day; 0: never)."""
    counters_path: NotRequired[str | None]
    rate: NotRequired[Rate | None]
    patience_ms: NotRequired[int]
    """How long a client waits for an upstream, over all of them (default 4000)."""
    upstream_timeout_ms: NotRequired[int]
    """After how long the next upstream is asked (default 1000)."""
    max_in_flight: NotRequired[int]
    per_client_in_flight: NotRequired[int]
    per_zone_in_flight: NotRequired[int]
    remote_sockets: NotRequired[int]
    """Sockets, so random ports, towards each upstream that is not on loopback (default 256; opened as they are
    needed).
    """
    udp_gso: NotRequired[bool]
    """May datagrams of a batch to one destination be handed to the kernel as one (default true)?"""
    proxy_from: NotRequired[Sequence[str]]
    """Prefixes of balancers: what comes from them must begin with a PROXY header (version 2), which says who asks."""
    proxy_to: NotRequired[Sequence[str]]
    """The upstreams to which questions carry such a header."""
    tls_to: NotRequired[Sequence[str]]
    """The upstreams that are asked over TLS alone: each question to one is a `TcpAsk`."""
    tap: NotRequired[Tap | None]
    streams: NotRequired[StreamLimits]
    https_path: NotRequired[str]
    """Where DNS over HTTPS is asked for."""
    sketch_key: NotRequired[tuple[int, int] | None]
    """Two secret words, the same for all workers whose sketches are to be joined; none: random ones."""
    seed: NotRequired[int | None]
    """For tests: random ids, ports' choice and letter case from this seed; none: from the operating system."""

@type_check_only
class Explanation(TypedDict):
    """How a list explains itself to clients that read structured errors: parts of a JSON object, each whole members."""

    action: str | None
    """What such a client gets instead of the stop page; none: the stop page."""
    bases: Mapping[str, tuple[bytes, bytes]]
    """By key of the legal basis, the beginning: whole, and without justification and organization."""
    categories: Mapping[str, bytes]
    otherwise: bytes
    """The sub-error, by the entry's category, and of all others."""
    around: tuple[bytes, bytes]
    """What comes before and after the entry's reference."""

@type_check_only
class UpstreamState(TypedDict):
    """An upstream as `Plane.upstreams` reports it."""

    address: str
    state: Literal["up", "suspect", "down"]
    reason: str
    """Why it is not up: `silent`, `not listening`, `refusing` (answers the worker's own question with an error),
    `lying` (what comes from it fits no question), `unreachable`, `not proven` (over TLS); else empty.
    """
    failing: bool
    """Most of its last hundred answers to clients' questions, or of those of half a minute where there were fewer, were
    SERVFAIL, REFUSED, NOTIMP or FORMERR, and to names of many domains: one broken zone makes none fail.
    """
    tcp_closed: bool
    """It is up, and three questions of the worker's own over TCP in a row had no answer."""
    rtt_us: int
    answers: int
    timeouts: int
    mismatches: int
    """Datagrams from its address that fit no question."""

@final
class TcpAsk:
    """A question that Python is to ask one upstream over TCP, or over TLS (`tls_to`)."""

    number: int
    """Tells it from all others; `Plane.take_tcp_overdue` names it."""
    question: int
    """The same each time that one question is asked."""
    upstream: str
    message: bytes
    """To be sent (random id, OPT rebuilt)."""
    header: bytes
    """The PROXY header at the beginning of its connection; empty: none."""

@final
class Plane:
    """Everything a worker does with queries. All methods are called from the one thread of its event loop."""

    def __new__(cls, settings: PlaneSettings) -> Self:
        """Raises CoreError for a setting that cannot be."""

    def fileno(self) -> int:
        """The epoll descriptor that holds every socket of the plane, for `loop.add_reader(plane, plane.pump)`."""

    def pump(self) -> bool:
        """Receives, accepts, decides, answers and relays what waits: at most 8 batches of 64. Never raises for what a
        packet holds. True: `take_tcp_overdue` or `take_tcp_asks` has something."""

    def tick(self) -> bool:
        """Heartbeat, time-outs, retries, sockets' retirement. Every 20 ms while `in_flight`, else once a second. True:
        as for `pump`."""

    @property
    def in_flight(self) -> int:
        """Queries that wait for an upstream (and late ones still listened for)."""

    def listen(self, fd: int) -> None:
        """Serves the bound UDP socket `fd`; the caller owns it, keeps it open as long as the plane, and closes it. An
        IPv6 wildcard socket is to be IPV6_V6ONLY. Raises CoreError."""

    def listen_stream(self, fd: int, kind: Literal["tcp", "tls", "https"] = "tcp") -> None:
        """Accepts DNS over TCP, TLS or HTTPS at the bound and listening socket `fd`, which stays the caller's. Raises
        CoreError."""

    def listen_quic(self, fd: int) -> bool:
        """Serves DNS over QUIC at the bound datagram socket `fd`, which stays the caller's. False: another process
        serves it, and is to end first. Raises CoreError."""

    def share(self, tickets: bytes, period: int, rotation: int, quic: bytes) -> None:
        """What the next identities have in common with those of other workers; without, nothing. `tickets`: the secret
        (32 octets) of session tickets in period number `period`, of `rotation` seconds each, counted from the machine's
        start. Tickets of the current period and of the one before are opened, if `period` is not later. `quic`: 32
        octets, for connection ids and resets."""

    def set_identity(self, chain: bytes, key: bytes) -> None:
        """The certificate and its key (PEM) for new connections over TLS; those that are open keep theirs. Raises
        CoreError, and keeps the one before."""

    def stop_listening(self) -> None:
        """Takes no more queries (a successor does); what is in flight is still answered, connections end after that."""

    @property
    def streams(self) -> int:
        """Connections of clients."""

    @property
    def streams_busy(self) -> bool:
        """A connection waits for answers, or for its client to read them."""

    def set_list(
        self, compiled: CompiledList | None, views: Sequence[int] = ..., counters: Sequence[int] = ...
    ) -> None:
        """From the next query on this list holds; None: none. `views`: for the clients of each view, in the order of
        the setting, the lists that hold (bit n: list n of its `meta`); every list where nothing is given.
        `counters`: under which number each list counts in `COUNTERS` (0 to 63); its own where nothing is given.
        """

    def explain(self, explanations: Sequence[Explanation | None]) -> None:
        """How the lists of the compiled file explain themselves to clients that read structured errors, by index; None:
        as to all others. A new list explains nothing until this is called.
        """

    def set_exceptions(self, exceptions: Sequence[_Exception], bypass_all: bool, bypass_lists: int) -> None:
        """Replace the exceptions: for names, for everything, or for a mask of lists. Raises CoreError for what is no
        name or no kind of match."""

    def set_upstreams(self, addresses: Sequence[str]) -> None:
        """`127.0.0.1:5335`, `[::1]:53` in order of preference; queries in flight to an upstream that stays are kept.
        Raises CoreError for what is no address."""

    def upstreams(self) -> list[UpstreamState]:
        """Their health, in order of preference."""

    def take_tcp_asks(self) -> list[TcpAsk]:
        """Questions to be asked over TCP: call `tcp_answered` or `tcp_failed` for each, unless its `LIFE` is over."""

    def take_tcp_overdue(self) -> list[int]:
        """The numbers of those that were not answered in time. They may still be, and are then of use."""

    def tcp_answered(self, ask: TcpAsk, message: bytes) -> bool:
        """What came for it: checked, kept, given to those who wait. False: no answer to it; call `tcp_failed`."""

    def tcp_failed(self, ask: TcpAsk, fault: str | None = None) -> None:
        """No connection brought an answer. The next upstream is asked, or the same again when its time is over.
        `fault`: why none could be opened, a `reason` of `UpstreamState`; none: one was, or nobody knows. Raises
        CoreError for another word."""

    def note_starved(self, starved: bool) -> None:
        """Whether there is no file descriptor for another connection: for the counters."""

    def take_tap(self) -> bytes:
        """The dnstap frames that wait, each after four octets of length; empty where none do or no `tap` is set. At
        most a MiB waits, what is beyond is in `tap_dropped`."""

    def flush_cache(self) -> None: ...
    def counters(self) -> dict[str, int]:
        """The counters as they are now."""

    def count_in(self, path: _StrPath, at: int) -> None:
        """From the next query on what each entry of the list meets is counted in this file, whose totals begin at octet
        `at` (its form stands in `resolver.ipc.entry_hits`); `set_list` ends it. Raises CoreError."""

    def set_shadow_lists(self, lists: Sequence[tuple[int, int, str]]) -> None:
        """Lists of the compiled file whose entries are only evaluated: (its number, the number of the list that they
        would join, an id that names them whatever the file). To be said after each `set_list`; what has the same id as
        before goes on."""

    def shadow_sketches(self) -> dict[str, tuple[bytes, dict[str, bytes]]]:
        """By id: a sketch of all clients for whom the list would hold, and one for each entry that some client met, by
        reference. A client is an IPv4 address or an IPv6 /56; sketches know none of them (see `distinct`)."""

def distinct(sketch: bytes) -> float:
    """How many different clients a sketch saw: HyperLogLog in 512 octets, 5% off as a rule. Raises CoreError."""

def later_secret(tickets: bytes, periods: int) -> bytes:
    """The secret of session tickets so many periods later (see `Plane.share`); there is no way back."""

def set_background(nice: int) -> None:
    """Run this thread, and those that it starts from now on, at lower priority than threads that answer queries: by
    `nice` (0 to 19), and by a slice so long that any other preempts it. Linux before 6.12 applies `nice` only."""

def set_latency_sensitive() -> None:
    """Run this thread, and those that it starts from now on, as soon as it wakes: before background threads, and before
    others with the default slice. Linux before 6.12 ignores it."""

def tick_when_busy() -> None:
    """From now on, while this process works, check the slices of its background threads every 250 us instead of at the
    kernel's tick, so a latency-sensitive thread waits no longer for them. It costs nothing while the process is idle.
    To be called once, by a thread that is not in the background. Linux before 6.12 ignores it."""

def joined(one: bytes, other: bytes) -> bytes:
    """What two sketches under one `sketch_key` saw together. Raises CoreError."""

# -- a client, for `stopsign ask` --------------------------------------------------------------------------------------

def ask_quic(message: bytes, server: str, name: str, authorities: bytes, patience: float) -> bytes:
    """The answer over QUIC (RFC 9250) of the server at that address and port, whose certificate must say `name` by the
    word of one of `authorities` (PEM). It blocks, `patience` seconds at most. Raises CoreError, which says why."""
