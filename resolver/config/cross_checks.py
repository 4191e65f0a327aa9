"""Parts of a configuration that contradict each other; no single value shows that.

Enters: the plain values of the file, which may be wrong in any way. Leaves: `(key, message)` for each contradiction,
for the same report as the mistakes in single values.
"""

from __future__ import annotations

from ipaddress import IPv6Network, ip_network
from os.path import normpath
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from resolver.base.proven import PORT
from resolver.config.values import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Key = tuple[str | int, ...]

_MAPPED = IPv6Network("::ffff:0:0/96")  # IPv4 addresses in IPv6 form (RFC 4291, 2.5.5.2)


def contradictions(raw: Any) -> Iterator[tuple[Key, str]]:
    yield from _lost_at_a_reboot(raw)
    yield from _same_name_twice(raw, "lists")
    yield from _same_name_twice(raw, "views")
    yield from _views_of_nothing(raw)
    yield from _two_views_on_one_prefix(raw)
    yield from _lists_nobody_signs(raw)
    yield from _waits_for_nobody(raw)
    yield from _nobody_answers(raw)
    yield from _two_on_one_port(raw)
    yield from _encrypts_nothing(raw)
    yield from _asks_itself(raw)
    yield from _zones_of_nothing(raw)
    yield from _unsayable_to_knot(raw)
    yield from _secondaries_unproven(raw)
    yield from _tells_strangers(raw)
    yield from _names_clients_to_nobody(raw)
    yield from _counts_of_nothing(raw)


def _at(raw: Any, *key: str) -> Any:
    for part in key:
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def _parts(raw: Any, *key: str) -> list[tuple[int, dict[str, Any]]]:
    found = _at(raw, *key)
    return [(at, part) for at, part in enumerate(found) if isinstance(part, dict)] if isinstance(found, list) else []


def _endpoints(raw: Any, *key: str) -> Iterator[tuple[Key, Endpoint]]:
    found = _at(raw, *key)
    for at, one in enumerate(found if isinstance(found, list) else []):
        text, port = one, 53 if key[-1] in ("upstreams", "send_to") else None
        if isinstance(one, dict):  # an upstream, which may be asked over TLS
            text, port = one.get("address"), 53 if one.get("tls") is None else PORT
        try:
            yield (*key, at), Endpoint.parse(text, default_port=port)
        except ValueError:
            continue  # reported where values are checked


def _lost_at_a_reboot(raw: Any) -> Iterator[tuple[Key, str]]:
    run_dir = _at(raw, "run_dir")
    for key in (("state_dir",), ("log", "dir")):
        kept = _at(raw, *key)
        if isinstance(kept, str) and isinstance(run_dir, str) and _is_within(kept, run_dir):
            yield key, f"is in run_dir ({run_dir}), which a reboot empties; a folder on a disk would be right"


def _is_within(path: str, folder: str) -> bool:
    return PurePath(normpath(path)).is_relative_to(normpath(folder))


def _same_name_twice(raw: Any, of: str) -> Iterator[tuple[Key, str]]:
    first: dict[object, int] = {}
    for at, part in _parts(raw, of):
        name = part.get("name")
        if isinstance(name, str) and first.setdefault(name, at) != at:
            yield (of, at, "name"), f"{name!r} is also {of}[{first[name]}]; a name of its own would be right"


def _views_of_nothing(raw: Any) -> Iterator[tuple[Key, str]]:
    known = [part.get("name") for _, part in _parts(raw, "lists")]
    for at, view in _parts(raw, "views"):
        names = view.get("lists")
        for number, name in enumerate(names if isinstance(names, list) else []):
            if name not in known:
                there = ", ".join(str(item) for item in known) or "none"
                yield ("views", at, "lists", number), f"{name!r} is not one of the lists ({there})"


def _two_views_on_one_prefix(raw: Any) -> Iterator[tuple[Key, str]]:
    """The longest of nested prefixes decides; of equal ones none can."""
    first: dict[object, Key] = {}
    for at, view in _parts(raw, "views"):
        clients = view.get("clients")
        for number, text in enumerate(clients if isinstance(clients, list) else []):
            try:
                prefix = ip_network(str(text))
            except ValueError:
                continue  # reported where values are checked
            key: Key = ("views", at, "clients", number)
            if isinstance(prefix, IPv6Network) and prefix.subnet_of(_MAPPED):
                address, length = prefix.network_address.ipv4_mapped, prefix.prefixlen - _MAPPED.prefixlen
                yield key, f"{text} is IPv4 in IPv6 form, which no client has; {address}/{length} would be right"
                continue
            other = first.setdefault(prefix, key)
            if other != key:
                there = f"views[{other[1]}].clients[{other[3]}]"
                yield key, f"{text} is also {there}, and a client has one view; another prefix would be right"


def _lists_nobody_signs(raw: Any) -> Iterator[tuple[Key, str]]:
    for at, part in _parts(raw, "lists"):
        bridged, pinned = "bridge" in part, "trusted_root" in part
        if bridged == pinned:
            wrong = "stands beside a bridge, which nobody signs" if pinned else "is missing"
            yield ("lists", at, "trusted_root"), f"{wrong}; either trusted_root or bridge would be right"
        if bridged and part.get("min_threshold", 1) != 1:
            yield ("lists", at, "min_threshold"), "nobody signs a bridged list; 1 or no such line would be right"
        if part.get("on_expiry") == "hold" and not bridged:
            yield ("lists", at, "on_expiry"), "a signed entry's end is its issuer's word; hold is for a bridge"
        stage = part.get("stage") or _at(raw, "stages", "stage")
        if bridged and stage in ("wave-1", "wave-2"):
            what = "each host makes a bridged list of its own, which no host of an earlier wave runs"
            yield ("lists", at, "stage"), f"would be {stage}, but {what}; at-once would be right"
        yield from _transferred(at, part, bridged=bridged)


def _transferred(at: int, part: dict[str, Any], *, bridged: bool) -> Iterator[tuple[Key, str]]:
    is_zone = str(part.get("repository")).startswith("dns://")
    if is_zone and not bridged:
        yield ("lists", at, "repository"), "a zone is not signed as a list is; bridge would be right beside it"
    bridge = part.get("bridge")
    fetch = bridge.get("fetch") if isinstance(bridge, dict) else None
    for key in fetch if isinstance(fetch, dict) else ():
        if is_zone != (key == "tsig"):
            what = "is for files; of a zone tsig would be right" if is_zone else "is for a zone (repository: dns://…)"
            yield ("lists", at, "bridge", "fetch", key), what


def _waits_for_nobody(raw: Any) -> Iterator[tuple[Key, str]]:
    """What other hosts run comes by way of a database that they share, under the keys of their logs."""
    stages: list[tuple[Key, object]] = [(("stages", "stage"), _at(raw, "stages", "stage"))]
    stages += [(("lists", at, "stage"), part.get("stage")) for at, part in _parts(raw, "lists")]
    for key, stage in stages:
        if stage not in ("canary", "wave-1", "wave-2"):
            continue
        if not str(_at(raw, "portal", "database")).startswith("postgresql://"):
            yield key, f"{stage} needs a portal.database that the hosts share (postgresql://…); at-once would be right"
        elif stage != "canary" and not _at(raw, "log", "peers"):
            yield key, f"{stage} believes the hosts before it by log.peers, which is missing"


def _nobody_answers(raw: Any) -> Iterator[tuple[Key, str]]:
    """Without `dns` the configuration is for policy zones alone and needs one; an empty `dns` is a slip."""
    if isinstance(raw, dict) and raw.get("dns") is None:
        if "dns" in raw:
            yield ("dns",), "is empty; its settings, or no such line on a host for policy zones alone, would be right"
        elif not _parts(raw, "rpz", "zones"):
            yield ("dns",), "is missing; where your own resolvers answer, rpz.zones instead would be right"


def _two_on_one_port(raw: Any) -> Iterator[tuple[Key, str]]:
    of_tcp = (
        *("dns.listen", "dns.encrypted.tls", "dns.encrypted.https.listen"),
        *("stop_page.listen", "portal.listen", "metrics.listen", "rpz.listen", "rpz.listen_tls"),
    )
    yield from _taken_twice(raw, of_tcp)
    yield from _taken_twice(raw, ("dns.listen", "rpz.listen", "rpz.listen_tls", "dns.encrypted.quic"), of_tcp)


def _taken_twice(raw: Any, parts: Sequence[str], said: Sequence[str] = ()) -> Iterator[tuple[Key, str]]:
    """Of one transport; what is between two parts of `said` is said already."""
    first: dict[Endpoint, Key] = {}
    for part in parts:
        for key, endpoint in _endpoints(raw, *part.split(".")):
            other = first.setdefault(endpoint, key)
            if endpoint.port and other != key and part not in said:
                yield key, f"{endpoint} is already taken by {'.'.join(str(one) for one in other[:-1])}"


def _encrypts_nothing(raw: Any) -> Iterator[tuple[Key, str]]:
    encrypted = _at(raw, "dns", "encrypted")
    if isinstance(encrypted, dict) and not any(encrypted.get(key) for key in ("tls", "https", "quic")):
        yield ("dns", "encrypted"), "listens nowhere; tls, https, quic or several would be right"


def _asks_itself(raw: Any) -> Iterator[tuple[Key, str]]:
    listens = (*_endpoints(raw, "dns", "listen"), *_endpoints(raw, "dns", "encrypted", "tls"))
    own = {endpoint for _, endpoint in listens if endpoint.port}
    wildcards = {endpoint.port for endpoint in own if endpoint.is_wildcard}
    for key, upstream in _endpoints(raw, "dns", "upstreams"):
        loopback = upstream.host == "::1" or upstream.host.startswith("127.")
        if upstream in own or (loopback and upstream.port in wildcards):
            yield key, f"{upstream} is where Stopsign itself listens; the resolver behind it would be right"


def _origins(raw: Any) -> list[str]:
    return [_origin(zone.get("origin", "rpz.stopsign")) for _, zone in _parts(raw, "rpz", "zones")]


def _origin(text: object) -> str:
    """A zone's name in one form, with or without its dot."""
    return str(text).rstrip(".").lower()


def _zones_of_nothing(raw: Any) -> Iterator[tuple[Key, str]]:
    known = [part.get("name") for _, part in _parts(raw, "lists")]
    views = [part.get("name") for _, part in _parts(raw, "views")]
    first: dict[object, int] = {}
    for at, zone in _parts(raw, "rpz", "zones"):
        origin = _origin(zone.get("origin", "rpz.stopsign"))
        if first.setdefault(origin, at) != at:
            yield (
                ("rpz", "zones", at),
                f"{origin} is also rpz.zones[{first[origin]}]; an origin of its own would be right",
            )
        names = zone.get("lists")
        for number, name in enumerate(names if isinstance(names, list) else []):
            if name not in known:
                there = ", ".join(str(item) for item in known) or "none"
                yield ("rpz", "zones", at, "lists", number), f"{name!r} is not one of the lists ({there})"
        if "view" in zone and "lists" in zone:
            yield ("rpz", "zones", at, "view"), "stands beside lists; one of them would be right"
        elif "view" in zone and zone["view"] not in views:
            yield ("rpz", "zones", at, "view"), f"{zone['view']!r} is not one of the views"
        if zone.get("run") and "file" not in zone:
            yield ("rpz", "zones", at, "run"), "runs after a file is written, and there is no file"


def _unsayable_to_knot(raw: Any) -> Iterator[tuple[Key, str]]:
    """Keys that Knot Resolver 6 would ignore without an error (`resolver.rpz.knot6`)."""
    refusing = {str(part.get("name")) for _, part in _parts(raw, "lists") if part.get("action") == "refused"}
    of_view = {str(part.get("name")): part.get("lists") for _, part in _parts(raw, "views")}
    for at, zone in _parts(raw, "rpz", "zones"):
        if zone.get("dialect") != "knot6":
            continue
        names = zone.get("lists", of_view.get(str(zone.get("view")), list(refusing)))
        refused = [name for name in names if str(name) in refusing] if isinstance(names, list) else []
        if refused and zone.get("refused", "drop") == "drop":
            wrong = f"{refused[0]} refuses, and dialect knot6 cannot say drop"
            yield ("rpz", "zones", at, "refused"), f"{wrong}; nxdomain or nodata would be right"
        if _origin(zone.get("origin", "")).rpartition(".")[2].startswith("rpz-"):
            yield ("rpz", "zones", at, "origin"), "dialect knot6 passes over names under rpz-…; another would be right"


def _secondaries_unproven(raw: Any) -> Iterator[tuple[Key, str]]:
    origins = _origins(raw)
    for at, secondary in _parts(raw, "rpz", "secondaries"):
        if ("key" in secondary) == bool(secondary.get("unsigned")):
            yield ("rpz", "secondaries", at), "either key (a TSIG key's file) or unsigned: true would be right"
        names = secondary.get("zones")
        for number, name in enumerate(names if isinstance(names, list) else []):
            if _origin(name) not in origins:
                yield ("rpz", "secondaries", at, "zones", number), f"{name!r} is not one of rpz.zones"
    if _at(raw, "rpz", "listen_tls") and not (_at(raw, "rpz", "certificate") and _at(raw, "rpz", "private_key")):
        yield ("rpz", "listen_tls"), "needs certificate and private_key"


def _tells_strangers(raw: Any) -> Iterator[tuple[Key, str]]:
    upstreams = list(_endpoints(raw, "dns", "upstreams"))
    known = {endpoint for _, endpoint in upstreams}
    over_tls = {("dns", "upstreams", at) for at, part in _parts(raw, "dns", "upstreams") if part.get("tls") is not None}
    sealed = {endpoint for key, endpoint in upstreams if key in over_tls}
    for key, upstream in _endpoints(raw, "dns", "proxy_protocol", "send_to"):
        if upstream not in known:
            yield key, f"{upstream} is not one of dns.upstreams"
        elif upstream in sealed:
            yield key, f"{upstream} is asked over TLS, where no header goes; another way to it would be right"


def _names_clients_to_nobody(raw: Any) -> Iterator[tuple[Key, str]]:
    tap = _at(raw, "dns", "dnstap")
    if isinstance(tap, dict) and tap.get("client_addresses") is True and "socket" not in tap:
        yield ("dns", "dnstap", "client_addresses"), "is true without a socket; a socket beside it would be right"


def _counts_of_nothing(raw: Any) -> Iterator[tuple[Key, str]]:
    origins = _origins(raw)
    for at, count in _parts(raw, "rpz", "counts"):
        if ("dnstap" in count) == ("protobuf" in count):
            yield ("rpz", "counts", at), "either dnstap (a Unix socket) or protobuf (an address) would be right"
        if _origin(count.get("zone", "rpz.stopsign")) not in origins:
            yield ("rpz", "counts", at, "zone"), f"{count.get('zone', 'rpz.stopsign')!r} is not one of rpz.zones"
