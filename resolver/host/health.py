"""Whether this host should get queries: what an anycast announcement or a load balancer asks every few seconds.

Enters: the addresses it listens on, and the workers' heartbeats. Leaves: every reason why not. Rules: a host that
answers from its upstreams is healthy, whatever its lists and its web process do: withdrawing it would cost more than
they are worth. What is asked for by default is the name that the workers answer by themselves (`dns.health_name`): any
other may come out of the cache long after the last upstream fell silent. A wildcard address is asked on loopback; UDP
and TCP both count. Where every address answers, but nobody counts in `run_dir`, it cannot be told: the file may name
another `run_dir` than the processes took up, and one edit for all hosts would withdraw them all. A host for policy
zones alone is asked nothing: it is healthy while the process of its zones lives and serves each of them.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from resolver.base.errors import ResolverError
from resolver.config.values import Endpoint
from resolver.ipc import rpz_status, worker_counters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.config.schema import Config

PATIENCE, TRIES = 1.5, 2
_SERVFAIL = 2


def reasons(config: Config, name: str | None) -> list[str]:
    """Why not; empty: healthy. `name` is asked for (None: `dns.health_name`); any answer but SERVFAIL will do. Raises
    `ResolverError` where it cannot be told."""
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
    for endpoint in addresses:
        for transport, ask in (("UDP", _over_udp), ("TCP", _over_tcp)):
            why = _asked(endpoint, name, ask)
            if why:
                found.append(f"{transport} {endpoint}: {why}")
    if living:
        return found
    nobody = f"no DNS worker counts in {config.places.workers}"
    if not found:
        raise ResolverError(
            f"{nobody}, but {', '.join(map(str, addresses))} answers",
            hint="the processes go on with the run_dir that they took up; where it is the same, its tmpfs is full",
        )
    return [nobody, *found]


def of_zones(config: Config) -> list[str]:
    """The same of a host for policy zones alone: its process lives, and serves every zone."""
    try:
        said = rpz_status.read(config.places)
    except (OSError, ValueError) as wrong:
        return [f"the process of the zones says nothing ({wrong})"]
    found = [said.silence] if said.silence else []
    made = {zone["origin"] for zone in said.zones if zone["serial"]}
    return found + [f"{zone.origin} is not made yet" for zone in config.rpz.zones if zone.origin not in made]


def _addresses(config: Config) -> Iterator[Endpoint]:
    for said in worker_counters.listening(config.places) or [str(endpoint) for endpoint in config.dns_listen]:
        endpoint = Endpoint.parse(said)
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        yield Endpoint(loopback.get(endpoint.host, endpoint.host), endpoint.port)


def _asked(endpoint: Endpoint, name: str, ask: object) -> str:
    """What is wrong with the answer; empty: nothing."""
    number = os.urandom(2)
    labels = [label.encode("ascii") for label in name.strip(".").split(".") if label]
    qname = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    query = number + b"\x01\0\0\1\0\0\0\0\0\0" + qname + b"\0\2\0\1"
    try:
        answer: bytes = ask(endpoint, query)  # type: ignore[operator]
    except OSError as wrong:
        return str(wrong) or type(wrong).__name__
    if not answer:
        return "the connection was closed without an answer"
    if len(answer) < 12 or answer[:2] != number:
        return "the answer is not one to this question"
    return "SERVFAIL: no upstream answers" if answer[3] & 15 == _SERVFAIL else ""


def _over_udp(endpoint: Endpoint, query: bytes) -> bytes:
    family = socket.AF_INET6 if endpoint.ipv6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.connect((endpoint.host, endpoint.port))
        for attempt in range(TRIES):
            one.send(query)
            try:
                return one.recv(4096)
            except TimeoutError:
                if attempt == TRIES - 1:
                    raise
    raise AssertionError("unreachable")


def _over_tcp(endpoint: Endpoint, query: bytes) -> bytes:
    with socket.create_connection((endpoint.host, endpoint.port), timeout=PATIENCE * TRIES) as one:
        one.sendall(len(query).to_bytes(2) + query)
        with one.makefile("rb") as answers:
            return answers.read(int.from_bytes(answers.read(2)))
