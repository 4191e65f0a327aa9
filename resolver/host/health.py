"""Whether this host should get queries: an anycast announcement or a load balancer asks every few seconds.

Enters: the addresses it listens on, and the workers' heartbeats. Leaves: every reason why not. Rules:

- A host that answers from its upstreams is healthy, whatever the state of its lists and its web process: withdrawing it
  would cost more.
- The question is for the name that the workers answer themselves (`dns.health_name`). Any other name may come from the
  cache long after the last upstream fell silent.
- The TXT record of that name is the mark of this provider's run, which the workers' own files have too. An answer
  without it comes from another program on the same port (SO_REUSEPORT), and does not count.
- The questions come from loopback, to which the workers always answer that name, with any `dns.allow_clients`; behind a
  PROXY header without a client (LOCAL) where loopback is one of `dns.proxy_protocol.accept_from`. A wildcard address is
  asked on loopback. UDP and TCP both count.
- Where every address answers but nobody counts in `run_dir`, the result is unknown: the file may name another `run_dir`
  than the processes use, and one edit for all hosts would withdraw them all.
- A host for policy zones alone is asked nothing: it is healthy while the process of its zones lives and serves each of
  them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING

from blocklists.errors import why
from resolver.base.errors import ResolverError
from resolver.config.values import Endpoint
from resolver.ipc import rpz_status, worker_counters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from resolver.config.schema import Config

PATIENCE, TRIES = 1.5, 2
Ask = Callable[[Endpoint, bytes, bytes], bytes]
"""(address, bytes before the message, message) -> the answer; empty: none."""
MARK = "STOPSIGN_HEALTH_MARK"
"""In the environment of the workers: the TXT answer of `dns.health_name`; each supervisor has its own."""
_NS, _TXT = 2, 16
_SERVFAIL = 2
_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"  # a PROXY header of version 2 without addresses


@dataclass(frozen=True)
class Asking:
    """What is asked at each address."""

    name: str
    marks: frozenset[str] = frozenset()
    """The answer must contain one of these; empty: any answer but SERVFAIL is right."""
    balancers: tuple[IPv4Network | IPv6Network, ...] = ()

    @property
    def question(self) -> bytes:
        labels = [label.encode("ascii") for label in self.name.strip(".").split(".") if label]
        qname = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
        return qname + (_TXT if self.marks else _NS).to_bytes(2) + b"\0\1"

    def wrong(self, endpoint: Endpoint, ask: Ask) -> str:
        """What is wrong with the answer of that address; empty: nothing."""
        number = os.urandom(2)
        source = _loopback(endpoint)
        believed = any(ip_address(source) in prefix for prefix in self.balancers)
        try:
            answer = ask(endpoint, _LOCAL if believed else b"", number + b"\1\0\0\1\0\0\0\0\0\0" + self.question)
        except OSError as wrong:
            return why(wrong) or type(wrong).__name__
        if not answer:
            return "the connection was closed without an answer"
        if len(answer) < 12 or answer[:2] != number:
            return "the answer is not one to this question"
        if self.marks and answer[3] & 15 != _SERVFAIL and not any(_text(mark) in answer for mark in self.marks):
            return "another program answers there"
        return "SERVFAIL: no upstream answers" if answer[3] & 15 == _SERVFAIL else ""


def _text(mark: str) -> bytes:
    """As it stands in a TXT record."""
    return bytes([len(mark)]) + mark.encode()


def reasons(config: Config, name: str | None) -> list[str]:
    """Why not; empty: healthy. `name` is asked for (None: `dns.health_name`); any answer but SERVFAIL will do. Raises
    `ResolverError` where that is unknown."""
    name = name or config.require_dns().health_name
    found = []
    living = worker_counters.workers(config.places)
    ages = {worker.index: worker.heartbeat_age() for worker in living}
    found += [
        f"dns-{index} gave no sign of life for {age:.0f} s"
        for index, age in ages.items()
        if age > worker_counters.SILENT
    ]
    addresses = list(_addresses(config))
    found += wrong(config, name, addresses, living)
    if living:
        return found
    nobody = f"no DNS worker counts in {config.places.workers}"
    if not found:
        raise ResolverError(
            f"{nobody}, but {', '.join(map(str, addresses))} answers",
            hint="the processes run with the run_dir of their own configuration; if it is this one, its tmpfs is full",
        )
    return [nobody, *found]


def of_zones(config: Config) -> list[str]:
    """The same for a host for policy zones alone: its process lives, and serves every zone."""
    try:
        said = rpz_status.read(config.places)
    except (OSError, ValueError) as wrong:
        return [f"the process of the zones says nothing ({why(wrong)})"]
    found = [said.silence] if said.silence else []
    made = {zone["origin"] for zone in said.zones if zone["serial"]}
    return found + [f"{zone.origin} is not made yet" for zone in config.rpz.zones if zone.origin not in made]


def wrong(
    config: Config, name: str, addresses: Iterable[Endpoint], living: Sequence[worker_counters.Worker]
) -> Iterator[str]:
    """What is wrong with the answers of these addresses, one sentence each."""
    marks = {str(worker.said.get("health_mark", "")) for worker in living}
    # A worker of an older version has no mark: then any answer is right, as for another name.
    dns = config.require_dns()
    known = marks if name == dns.health_name and all(marks) else set()
    asking = Asking(name, frozenset(known), tuple(dns.proxy_protocol.accept_from))
    for endpoint in addresses:
        for transport, ask in (("UDP", _over_udp), ("TCP", _over_tcp)):
            if said := asking.wrong(endpoint, ask):
                yield f"{transport} {endpoint}: {said}"


def _addresses(config: Config) -> Iterator[Endpoint]:
    for endpoint in worker_counters.listening(config.places) or config.dns_listen:
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        yield Endpoint(loopback.get(endpoint.host, endpoint.host), endpoint.port)


def _loopback(endpoint: Endpoint) -> str:
    return "::1" if endpoint.ipv6 else "127.0.0.1"


def _over_udp(endpoint: Endpoint, header: bytes, query: bytes) -> bytes:
    family = socket.AF_INET6 if endpoint.ipv6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.bind((_loopback(endpoint), 0))
        one.connect((endpoint.host, endpoint.port))
        for attempt in range(TRIES):
            one.send(header + query)
            try:
                return one.recv(4096)
            except TimeoutError:
                if attempt == TRIES - 1:
                    raise
    raise AssertionError("unreachable")


def _over_tcp(endpoint: Endpoint, header: bytes, query: bytes) -> bytes:
    """A worker that drains closes a connection on which nothing was asked yet: then its successor is asked."""
    address, answer = (endpoint.host, endpoint.port), b""
    for _ in range(TRIES):
        opened = socket.create_connection(address, PATIENCE * TRIES, source_address=(_loopback(endpoint), 0))
        with opened as one, contextlib.suppress(ConnectionError):
            one.sendall(header + len(query).to_bytes(2) + query)
            with one.makefile("rb") as answers:
                answer = answers.read(int.from_bytes(answers.read(2)))
        if answer:
            break
    return answer
