"""Prometheus: the workers' counters, the zones and the steward, over HTTP.

Enters: the counters of all workers, and a caller's additions (`more`: the steward's lists, guards and log). Leaves: the
text exposition format on the addresses of `metrics.listen`. Rules: no label could name a subscriber (labels are
transports, types, actions, list names, upstream addresses). A name keeps its meaning from release to release. A scrape
reads files and needs no lock, so it cannot hold up DNS.
"""

from __future__ import annotations

import socket
import threading
import time
from socketserver import TCPServer
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from resolver._core import COUNTERS
from resolver.base.errors import ResolverError
from resolver.host.socket_table import NET, listening
from resolver.host.zone_metrics import Zones
from resolver.ipc import worker_counters
from resolver.policy.exceptions import read as read_exceptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from wsgiref.types import WSGIApplication

    from prometheus_client.metrics_core import Metric

    from resolver.base.paths import Places
    from resolver.config.schema import Config, Endpoint

_IP_FREEBIND = 15  # ip(7): an address that the host gets later, as at boot; for both families
# family -> (help, label, {label's value: counter})
_LABELLED: dict[str, tuple[str, str, dict[str, str]]] = {
    "stopsign_queries": (
        "Questions that came, by transport.",
        "transport",
        {name: f"queries_{name}" for name in worker_counters.TRANSPORTS},
    ),
    "stopsign_questions": (
        "Questions that came, by type.",
        "qtype",
        {name.removeprefix("type_").upper(): name for name in COUNTERS if name.startswith("type_")},
    ),
    "stopsign_verdicts": (
        "What the lists said of a question that was on one.",
        "verdict",
        {"blocked": "blocked", "monitored": "monitored", "passed": "excused"},
    ),
    "stopsign_aliases": (
        "Answers for names that are not listed, in which a listed name owned records, by what was done.",
        "done",
        {"trimmed": "aliases_trimmed", "stopped": "aliases_stopped"},
    ),
    "stopsign_blocked_by_action": (
        "Blocked questions, by what was answered.",
        "action",
        {
            "stop-page": "blocked_stop_page",
            "nxdomain": "blocked_nxdomain",
            "nodata": "blocked_nodata",
            "refused": "blocked_refused",
        },
    ),
    "stopsign_answers": (
        "Answers to clients, by rcode.",
        "rcode",
        {
            "NOERROR": "answered_noerror",
            "NXDOMAIN": "answered_nxdomain",
            "SERVFAIL": "answered_servfail",
            "REFUSED": "answered_refused",
            "other": "answered_other",
        },
    ),
    "stopsign_dropped": (
        "Packets that were not answered, by reason.",
        "reason",
        {
            "client": "dropped_client",
            "malformed": "dropped_malformed",
            "source": "dropped_source",
            "proxy": "dropped_proxy",
            "socket-full": "send_dropped",
            "send-failed": "send_failed",
        },
    ),
    "stopsign_capped": (
        "Questions refused because too much was in flight, by whose cap it was.",
        "cap",
        {"worker": "cap_worker", "client": "cap_client", "zone": "cap_zone", "waiters": "cap_waiters"},
    ),
    "stopsign_upstream_failures": (
        "What went wrong with upstreams.",
        "kind",
        {
            "timeout": "upstream_timeouts",
            "servfail": "upstream_servfail",
            "refused": "upstream_refused",
            "mismatch": "upstream_mismatches",
            "down": "upstream_down",
            "none-left": "no_upstream",
            "gave-up": "gave_up",
        },
    ),
}
# prefix of the counters -> (family, help)
_HISTOGRAMS = {
    "upstream_rtt_": ("stopsign_upstream_rtt_seconds", "How long upstreams took to answer over UDP."),
    "wait_": (
        "stopsign_relayed_seconds",
        "How long clients waited for what was relayed for them; who joined a question in flight, as long as the first.",
    ),
}
_SINGLE = {name for _, _, by_label in _LABELLED.values() for name in by_label.values()}


class Workers(Collector):
    """The workers' counters as metric families."""

    def __init__(self, places: Places, udp_ports: Callable[[], set[int]] = set, net: Path = NET) -> None:
        self._places, self._udp_ports, self._net = places, udp_ports, net

    def collect(self) -> Iterator[Metric]:
        living = worker_counters.workers(self._places)
        sums = worker_counters.totals(self._places, living)
        for family, (about, label, by_label) in _LABELLED.items():
            counter = CounterMetricFamily(family, about, labels=[label])
            for value, name in by_label.items():
                counter.add_metric([value], sums.get(name, 0))
            yield counter
        for prefix, (family, about) in _HISTOGRAMS.items():
            yield _histogram(sums, prefix, family, about)
        yield from _by_list(sums, living)
        for name in sorted(sums):
            if name in _SINGLE or name.startswith((*_HISTOGRAMS, "blocked_list_", "monitored_list_")):
                continue
            about = name.replace("_", " ").capitalize() + ", over all workers."
            if worker_counters.is_gauge(name):
                yield GaugeMetricFamily(f"stopsign_{name.removesuffix('_now')}", about, value=sums[name])
            else:
                yield CounterMetricFamily(f"stopsign_{name}", about, value=sums[name])
        yield from _workers(living)
        drops = CounterMetricFamily("stopsign_kernel_drops", "Datagrams that the kernel dropped: the socket was full.")
        drops.add_metric([], kernel_drops(self._udp_ports(), self._net))
        yield drops
        others = GaugeMetricFamily(
            "stopsign_foreign_sockets", "Sockets of other programs where DNS listens.", labels=["transport"]
        )
        seen = [str(one.get("transport")) for one in worker_counters.foreign(self._places)]
        for transport in ("UDP", "TCP"):
            others.add_metric([transport.lower()], seen.count(transport))
        yield others


class Bypassed(Collector):
    """The off switch, from the file that the workers read. Names are counted, never named."""

    def __init__(self, places: Places, lists: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._places, self._lists, self._clock = places, lists, clock

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "stopsign_bypass",
            "1 while everything, or this list, is bypassed; of names, how many are.",
            labels=["kind", "list"],
        )
        try:
            on = read_exceptions(self._places.exceptions).holding(self._clock())
        except ResolverError:
            on = ()  # the workers keep the last good ones; that is an alarm
        family.add_metric(["all", ""], sum(1 for one in on if one.kind == "all"))
        family.add_metric(["name", ""], sum(1 for one in on if one.kind == "name"))
        for name in self._lists:
            family.add_metric(["list", name], sum(1 for one in on if (one.kind, one.of) == ("list", name)))
        yield family


def _histogram(sums: Mapping[str, int], prefix: str, name: str, about: str) -> HistogramMetricFamily:
    """Each counter holds its own bucket; Prometheus wants them cumulated."""
    buckets: list[tuple[str, float]] = []
    seen = 0
    for counter in COUNTERS:
        if counter.startswith(f"{prefix}le_"):
            seen += sums[counter]
            buckets.append((str(int(counter.removeprefix(f"{prefix}le_").removesuffix("ms")) / 1000), seen))
    buckets.append(("+Inf", seen + sums.get(f"{prefix}more", 0)))
    family = HistogramMetricFamily(name, about)
    family.add_metric([], buckets, sum_value=sums.get(f"{prefix}sum_us", 0) / 1e6)
    return family


def _by_list(sums: Mapping[str, int], living: Sequence[worker_counters.Worker]) -> Iterator[Metric]:
    for what, verb in (("blocked", "Blocked questions"), ("monitored", "Questions that a monitored list matched")):
        family = CounterMetricFamily(f"stopsign_{what}_by_list", f"{verb}, by list.", labels=["list"])
        for name, count in worker_counters.by_list(what, sums, living).items():
            family.add_metric([name], count)
        yield family


def _workers(living: Sequence[worker_counters.Worker]) -> Iterator[Metric]:
    age = GaugeMetricFamily("stopsign_worker_heartbeat_age_seconds", "Time since a sign of life.", labels=["worker"])
    entries = GaugeMetricFamily("stopsign_worker_entries", "Entries of the list in use.", labels=["worker"])
    generation = GaugeMetricFamily("stopsign_worker_generation", "Generation of the list in use.", labels=["worker"])
    alarms = GaugeMetricFamily("stopsign_worker_alarms", "What a worker complains of.", labels=["worker"])
    up = GaugeMetricFamily(
        "stopsign_upstream_up",
        "1: the worker asks this upstream; 0: it finds it down. Nothing where it has not asked it yet.",
        labels=["worker", "upstream"],
    )
    ends = GaugeMetricFamily(
        "stopsign_certificate_ends_timestamp_seconds",
        "When the certificate of encrypted DNS does.",
        labels=["worker"],
    )
    for worker in living:
        label = [str(worker.index)]
        if (until := worker.said.get("certificate_ends")) is not None:
            ends.add_metric(label, float(until))
        age.add_metric(label, worker.heartbeat_age())
        entries.add_metric(label, float(worker.said.get("entries") or 0))
        generation.add_metric(label, float(worker.said.get("generation") or 0))
        alarms.add_metric(label, len(worker.alarms))
        for upstream in worker.said.get("upstreams", ()):
            if upstream["state"] != worker_counters.NOT_ASKED:
                up.add_metric([*label, str(upstream["address"])], upstream["state"] != "down")
    yield from (age, entries, generation, alarms, up, ends)


def kernel_drops(ports: set[int], net: Path = NET) -> int:
    """Datagrams for these UDP ports that the kernel dropped."""
    return sum(int(row.last) for row in listening("udp", net) if row.at.port in ports)


class Exposition:
    """A scrape target on each of the configured addresses, in threads of its own; `close` ends it."""

    def __init__(self, listen: Sequence[Endpoint], collectors: Iterable[Collector]) -> None:
        registry = CollectorRegistry()
        for collector in collectors:
            registry.register(collector)
        app = make_wsgi_app(registry)
        self._servers = [_server(endpoint, app) for endpoint in listen]
        self._threads = [threading.Thread(target=s.serve_forever, args=(0.5,), daemon=True) for s in self._servers]
        for thread in self._threads:
            thread.start()

    @property
    def ports(self) -> list[int]:
        return [int(server.server_address[1]) for server in self._servers]

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()


def expose(config: Config, *more: Collector) -> Exposition:
    """Starts to serve `metrics.listen`. Raises `OSError` where a port is taken."""
    ports = {endpoint.port for endpoint in config.dns_listen}
    bypassed = Bypassed(config.places, [source.name for source in config.lists])
    own = [Workers(config.places, lambda: ports), bypassed, Zones(config.places)]
    return Exposition(config.metrics.listen, [*own, *more])


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """A scrape is no event; its client is written nowhere."""


def _server(endpoint: Endpoint, app: WSGIApplication) -> WSGIServer:
    class Family(WSGIServer):
        address_family = socket.AF_INET6 if endpoint.ipv6 else socket.AF_INET

        def server_bind(self) -> None:
            self.socket.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
            TCPServer.server_bind(self)  # HTTPServer's own asks the DNS for the address's name
            self.server_name, self.server_port = endpoint.host, int(self.server_address[1])
            self.setup_environ()

    return make_server(endpoint.host, endpoint.port, app, Family, _Quiet)
