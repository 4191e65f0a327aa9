"""Against floods: buckets in memory, keyed so that nobody can be found in them.

Enters: a client's address and the time. Leaves: whether it may go on. Rules: the key is an HMAC of the address (of its
/56 for IPv6: one household) under a secret that is forgotten every hour; nothing is ever written; memory is bounded,
and when it is full the whole is forgotten rather than anybody refused.
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

    def take(self, address: str) -> float:
        """0 where the request may go on; else the seconds to wait."""
        now = self._clock()
        if now >= self._until or len(self._empty_at) >= MAX_BUCKETS:
            self._secret, self._until = self._random(32), now + ROTATION
            self._empty_at.clear()
        key = hmac.digest(self._secret, household(address), "sha256")[:16]
        spoken_for = max(self._empty_at.get(key, now), now) + self._allowance.every
        wait = spoken_for - now - self._allowance.burst * self._allowance.every
        if wait > 0:
            return wait
        self._empty_at[key] = spoken_for
        return 0.0


def household(address: str) -> bytes:
    """What one bucket stands for: an IPv4 address, or a /56 of IPv6; one common bucket for what is neither."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return b""
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.packed if parsed.version == 4 else parsed.packed[:7]


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
