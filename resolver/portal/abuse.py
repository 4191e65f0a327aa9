"""Against floods: buckets in memory, keyed so that nobody can be found in them.

Enters: a client's address and the time. Leaves: whether it may go on. Rules: one bucket for a household (an IPv4
address, a /56 of IPv6) and a larger one for the network around it (a /24, a /48), since who has a /48 has 256
households; a key is an HMAC of the prefix under a secret that is forgotten every hour; nothing is ever written; memory
is bounded, and when it is full the whole is forgotten rather than anybody refused.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ROTATION = 3600.0
MAX_BUCKETS = 100_000
WIDER = 4  # times a household's allowance is that of the network around it


@dataclass(frozen=True)
class Allowance:
    """`burst` at once, then one every `every` seconds."""

    burst: int
    every: float


class Buckets:
    """Token buckets for one kind of request. `clock` is monotonic; `random` gives the secret."""

    def __init__(self, allowance: Allowance, clock: Callable[[], float], random: Callable[[int], bytes]) -> None:
        self._allowance, self._clock, self._random = allowance, clock, random
        self._until = clock()
        self._secret = b""
        self._empty_at: dict[bytes, float] = {}  # the time to which a bucket is spoken for

    def take(self, address: str, cost: int = 1) -> float:
        """0 where the request may go on; else the seconds to wait. `cost`: how much of the allowance it takes, never
        more than a household has at once."""
        now = self._clock()
        if now >= self._until or len(self._empty_at) >= MAX_BUCKETS:
            self._secret, self._until = self._random(32), now + ROTATION
            self._empty_at.clear()
        burst, wait, taken = self._allowance.burst, 0.0, {}
        for prefix, times in zip(prefixes(address), (1, WIDER), strict=True):
            every = self._allowance.every / times
            key = hmac.digest(self._secret, prefix, "sha256")[:16]
            spoken_for = max(self._empty_at.get(key, now), now) + every * min(cost, burst)
            wait = max(wait, spoken_for - now - burst * times * every)
            taken[key] = spoken_for
        if wait > 0:
            return wait
        self._empty_at |= taken
        return 0.0


def prefixes(address: str) -> tuple[bytes, bytes]:
    """What two buckets stand for: an IPv4 address and its /24, or a /56 and its /48 of IPv6; two common ones for what
    is neither."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return b"household", b"network"
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    packed = parsed.packed
    return (packed, packed[:3]) if parsed.version == 4 else (packed[:7], packed[:6])


def client_address(peer: str, forwarded: Sequence[str], proxies: Sequence[Network]) -> str:
    """Who asks: the peer, or behind trusted proxies the last address in X-Forwarded-For that is none of them."""
    chain = [peer, *reversed([part.strip() for line in forwarded for part in line.split(",")][-16:])]
    for address in chain:
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return peer
        if not any(parsed.version == proxy.version and parsed in proxy for proxy in proxies):
            return address
    return peer
