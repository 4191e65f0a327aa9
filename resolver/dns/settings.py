"""From the configuration to the settings of a worker: the one place where a key of `dns` becomes one of the core's.

Enters: the configuration, the number of workers. Leaves: `PlaneSettings`, whose keys and defaults `resolver/_core.pyi`
lists and the core checks by name.
"""

from __future__ import annotations

import math
import socket
from importlib import metadata
from typing import TYPE_CHECKING

from resolver.config.discovery import own_answers

if TYPE_CHECKING:
    from resolver._core import PlaneSettings
    from resolver.config.schema import Config
    from resolver.ipc.shadow_sketches import Key

LONGEST = 0xFFFF_FFFF  # seconds that the core can count
STALLED, UNWRITTEN = 5.0, 1 << 20  # seconds that a client may leave its answers unread, and octets


def plane_settings(config: Config, workers: int, key: Key, health_mark: str = "") -> PlaneSettings:
    """The core's settings for one of `workers` workers, which share `key`."""
    dns = config.require_dns()
    limits = dns.limits
    return {
        "allow_clients": [str(prefix) for prefix in dns.allow_clients],
        "stop_ipv4": None if config.stop_page.ipv4 is None else str(config.stop_page.ipv4),
        "stop_ipv6": None if config.stop_page.ipv6 is None else str(config.stop_page.ipv6),
        "portal_url": config.portal.url,
        "health_name": dns.health_name,
        "health_mark": health_mark,
        "own_answers": own_answers(config),
        "views": [[str(prefix) for prefix in view.clients] for view in config.views],
        "cache_bytes": dns.cache.size // workers,
        "cache_stale_s": min(math.ceil(dns.cache.stale), LONGEST),
        "rate": None
        if dns.rate is None
        else {"queries_per_second": float(dns.rate.queries_per_second), "burst": float(dns.rate.burst)},
        "patience_ms": int(limits.patience * 1000),
        "upstream_timeout_ms": int(limits.upstream_timeout * 1000),
        "max_in_flight": limits.in_flight,
        "per_client_in_flight": limits.per_client,
        "per_zone_in_flight": limits.per_zone,
        "udp_gso": dns.udp_gso,
        "proxy_from": [str(prefix) for prefix in dns.proxy_protocol.accept_from],
        "proxy_to": [str(endpoint) for endpoint in dns.proxy_protocol.send_to],
        "tls_to": [str(upstream) for upstream in dns.upstreams if upstream.tls is not None],
        "tap": None
        if dns.dnstap.socket is None
        else {
            "identity": socket.gethostname(),
            "version": _version(),
            "client_addresses": dns.dnstap.client_addresses,
        },
        "https_path": "" if dns.encrypted is None or dns.encrypted.https is None else dns.encrypted.https.path,
        "streams": {
            "total": limits.tcp_connections,
            "per_client": limits.tcp_per_client,
            "in_flight": limits.tcp_in_flight,
            "idle_ms": int(limits.tcp_idle * 1000),
            "stalled_ms": int(STALLED * 1000),
            "unwritten": UNWRITTEN,
        },
        "sketch_key": key.words,
    }


def _version() -> str:
    try:
        return f"stopsign {metadata.version('stopsign')}"
    except metadata.PackageNotFoundError:  # run from its source tree
        return "stopsign"
