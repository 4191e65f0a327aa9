"""The native core (Rust, core/binding): the compiled list and the UDP plane."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict, final

class CoreError(Exception):
    """What the core refuses, in one sentence."""

# -- the plane: every datagram of one worker ---------------------------------------------------------------------------

COUNTERS: list[str]
"""Names of the u64 counters, in the order in which they stand in the counters file (little endian, eight bytes each).

The first, `heartbeat_ms`, is CLOCK_MONOTONIC at the last `tick`; those that end in `_now` are gauges; all others only
grow. `blocked_list_0` to `blocked_list_63` count by index of the list in the compiled list's `meta`."""

class View(TypedDict):
    """Clients for which only some lists hold."""

    clients: Sequence[str]
    """Prefixes; the most specific prefix over all views decides, and a client of no view gets every list."""
    lists: int
    """Bit n stands for list n of the compiled list's `meta`."""

class Rate(TypedDict):
    """A token bucket for each IPv4 address and each IPv6 /56; above it the answer is TC."""

    queries_per_second: float
    burst: float

class PlaneSettings(TypedDict):
    """What a worker's plane needs. Only `allow_clients` must be there."""

    allow_clients: Sequence[str]
    stop_ipv4: NotRequired[str | None]
    stop_ipv6: NotRequired[str | None]
    portal_url: NotRequired[str]
    """Goes into the EDE text after the reference; empty: the reference alone."""
    views: NotRequired[Sequence[View]]
    cache_bytes: NotRequired[int]
    """This worker's share of the cache (default 32 MiB)."""
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
    """Sockets, so random ports, towards each upstream that is not on loopback (default 256; opened as they are needed)."""
    seed: NotRequired[int | None]
    """For tests: random ids, ports' choice and letter case from this seed; none: from the operating system."""

class UpstreamState(TypedDict):
    """An upstream as `Plane.upstreams` reports it."""

    address: str
    state: str
    """`up`, `suspect` or `down`."""
    reason: str
    """Why it is not up: `silent`, `refused` (nothing listens), `refusing` (answers REFUSED), `lying`, `unreachable`; else empty."""
    rtt_us: int
    answers: int
    timeouts: int
    mismatches: int

@final
class Forward:
    """A query that Python asks an upstream over TCP: `query` is the message to send (own random id, OPT rebuilt)."""

    query: bytes
    upstreams: list[str]
    """Addresses to try, best first."""
    for_stream: bool
    """Made by `decide` (a client's stream waits for it); false: made by `take_tcp_retries`."""

@final
class Plane:
    """Everything a worker does with datagrams. All methods are called from the one thread of its event loop."""

    def __init__(self, settings: PlaneSettings) -> None:
        """Raises CoreError for a setting that cannot be."""

    def fileno(self) -> int:
        """The epoll descriptor that holds every socket of the plane, for `loop.add_reader(plane, plane.pump)`."""

    def pump(self) -> None:
        """Receives, decides, answers and relays what waits: at most 8 batches of 64. Never raises for what a packet holds."""

    def tick(self) -> None:
        """Heartbeat, time-outs, retries, sockets' retirement. Every 20 ms while `in_flight`, else once a second."""

    @property
    def in_flight(self) -> int:
        """Queries that wait for an upstream (and late ones still listened for)."""

    def listen(self, fd: int) -> None:
        """Serves the bound UDP socket `fd` (left open when the plane goes; the caller owns it). Raises CoreError."""

    def stop_listening(self) -> None:
        """Takes no more queries from the sockets of `listen` (a successor does); what is in flight is still answered."""

    def set_list(self, compiled: CompiledList | None) -> None:
        """From the next query on this list holds; None: none."""

    def set_passes(self, passes: Sequence[tuple[str, str, int]], bypass_all: bool, bypass_lists: int) -> None:
        """What passes whatever the lists say: (name, `exact` | `subtree` | `below`, until as Unix time), all, or a mask of lists."""

    def set_upstreams(self, addresses: Sequence[str]) -> None:
        """`127.0.0.1:5335`, `[::1]:53` in order of preference; queries in flight to an upstream that stays are kept."""

    def upstreams(self) -> list[UpstreamState]:
        """Their health, in order of preference."""

    def decide(self, message: bytes, client: str, port: int) -> bytes | Forward | None:
        """The same decision for a message from a stream: the answer, what to ask upstream, or None: close the connection."""

    def take_tcp_retries(self) -> list[Forward]:
        """Queries whose datagrams drew too many wrong answers: ask over TCP, then `finish` or `fail` each. Empty as a rule."""

    @property
    def tcp_retries_waiting(self) -> int:
        """How many `take_tcp_retries` would return; read it after `pump`."""

    def finish(self, forward: Forward, answer: bytes) -> bytes | None:
        """An upstream's answer: checked and cached. For a stream's forward the client's answer, None where `answer` is not an
        answer to it; for one of `take_tcp_retries` the waiting clients are answered here, and the result is None."""

    def fail(self, forward: Forward, ede: int) -> bytes:
        """No upstream answered: a stale answer if there is one, else SERVFAIL with this EDE (22 or 23); for one of
        `take_tcp_retries` the waiting clients are answered here, and the result is empty."""

    def upstream_spoke(self, address: str, well: bool) -> None:
        """What a TCP connection to an upstream showed, for its health."""

    def flush_cache(self) -> None: ...
    def counters(self) -> dict[str, int]:
        """The counters as they are now."""

    def drain_hits(self) -> list[tuple[int, int]]:
        """(row, hits) of the current compiled list since the last call; bounded, what was beyond is in `hits_dropped`."""
