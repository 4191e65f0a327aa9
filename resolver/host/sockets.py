"""The listening sockets: opened here or received from systemd, and inherited by the processes.

Enters: endpoints of the configuration. Leaves: open sockets. The supervisor keeps them for as long as it lives, so a
port is never closed while a worker is replaced: what arrives meanwhile waits in the kernel's queue.

Rules:
- UDP and TCP of one address have the same port, one socket a worker (SO_REUSEPORT: the kernel spreads the clients).
- A port that another program holds is an error, also where SO_REUSEPORT would let two servers of one user share it
  silently: each would then get half of the queries.
- IPv6 sockets are V6ONLY, so that `0.0.0.0` and `[::]` can both be bound.
- Port 0 means any free port; UDP and TCP still agree on it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from resolver.base.errors import ResolverError
from resolver.config.values import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SOCKETS = "STOPSIGN_SOCKETS"
_FIRST_SYSTEMD_FD = 3
BACKLOG = 4096
OF_WORKERS = ("udp", "tcp", "dns_tls", "dns_https", "dns_quic")  # uses whose sockets are shared out to the DNS workers


class SocketError(ResolverError):
    """An address cannot be listened on."""


class Wanted(TypedDict, total=False):
    """Addresses by use; `workers`: sockets for each address of DNS (default 1)."""

    dns: Sequence[Endpoint]
    dns_tls: Sequence[Endpoint]
    dns_https: Sequence[Endpoint]
    dns_quic: Sequence[Endpoint]
    workers: int
    stop_page: Sequence[Endpoint]
    portal: Sequence[Endpoint]
    rpz: Sequence[Endpoint]
    rpz_tls: Sequence[Endpoint]


@dataclass
class Listeners:
    """All sockets by use. `udp[a]`, and likewise each of `OF_WORKERS`: of address a, one worker after the other."""

    udp: list[list[socket.socket]] = field(default_factory=list)
    tcp: list[list[socket.socket]] = field(default_factory=list)
    dns_tls: list[list[socket.socket]] = field(default_factory=list)
    dns_https: list[list[socket.socket]] = field(default_factory=list)
    dns_quic: list[list[socket.socket]] = field(default_factory=list)
    stop_page: list[socket.socket] = field(default_factory=list)
    portal: list[socket.socket] = field(default_factory=list)
    rpz_udp: list[socket.socket] = field(default_factory=list)
    rpz_tcp: list[socket.socket] = field(default_factory=list)
    rpz_tls: list[socket.socket] = field(default_factory=list)

    def of_worker(self, index: int, workers: int) -> dict[str, list[int]]:
        """The file descriptors that DNS worker `index` of `workers` serves. The kernel gives every socket its share of
        the clients, so none is left out: with more sockets than workers some serve several, with fewer some share."""
        dealt = {use: _dealt(groups, index, workers) for use in OF_WORKERS if (groups := getattr(self, use))}
        if self.dns_quic:  # a connection is one process's, so none of these is shared: with too few, some have none
            dealt["dns_quic"] = [one.fileno() for group in self.dns_quic for one in group[index::workers]]
        return dealt

    def of_dns(self) -> tuple[list[Endpoint], set[int]]:
        """The addresses of DNS, and the inodes of its sockets, by which the kernel's tables name them."""
        every = [one for group in (*self.udp, *self.tcp) for one in group]
        return [bound_to(group[0]) for group in self.udp], {os.fstat(one.fileno()).st_ino for one in every}

    def of_web(self) -> dict[str, list[int]]:
        return {"stop_page": [s.fileno() for s in self.stop_page], "portal": [s.fileno() for s in self.portal]}

    def of_rpz(self) -> dict[str, list[int]]:
        every = {"rpz_udp": self.rpz_udp, "rpz_tcp": self.rpz_tcp, "rpz_tls": self.rpz_tls}
        return {use: [s.fileno() for s in sockets] for use, sockets in every.items()}

    def addresses(self) -> dict[str, list[str]]:
        """The addresses by use, port 0 resolved."""
        return {
            "dns": [str(bound_to(group[0])) for group in self.udp],
            "dns_tls": [str(bound_to(group[0])) for group in self.dns_tls],
            "dns_https": [str(bound_to(group[0])) for group in self.dns_https],
            "dns_quic": [str(bound_to(group[0])) for group in self.dns_quic],
            "stop_page": [str(bound_to(s)) for s in self.stop_page],
            "portal": [str(bound_to(s)) for s in self.portal],
            "rpz": [str(bound_to(s)) for s in self.rpz_tcp],
            "rpz_tls": [str(bound_to(s)) for s in self.rpz_tls],
        }

    def descriptors(self) -> dict[str, Any]:
        """All of them, for `of_descriptors` in the same process after a re-exec, which inherits them."""
        for one in self._every():
            one.set_inheritable(True)
        return {
            **{use: [[one.fileno() for one in group] for group in getattr(self, use)] for use in OF_WORKERS},
            **{
                use: [one.fileno() for one in getattr(self, use)]
                for use in ("stop_page", "portal", "rpz_udp", "rpz_tcp", "rpz_tls")
            },
        }

    @classmethod
    def of_descriptors(cls, given: Mapping[str, Any]) -> Listeners:
        def kept(fd: int) -> socket.socket:
            one = socket.socket(fileno=fd)
            one.setblocking(False)
            one.set_inheritable(False)
            return one

        listeners = cls()
        for use, fds in given.items():
            getattr(listeners, use).extend(
                [kept(fd) for fd in group] if use in OF_WORKERS else kept(group) for group in fds
            )
        return listeners

    def close(self) -> None:
        for one in self._every():
            one.close()

    def _every(self) -> Iterator[socket.socket]:
        for group in (group for use in OF_WORKERS for group in getattr(self, use)):
            yield from group
        for group in (self.stop_page, self.portal, self.rpz_udp, self.rpz_tcp, self.rpz_tls):
            yield from group


def _dealt(groups: list[list[socket.socket]], index: int, workers: int) -> list[int]:
    return [one.fileno() for group in groups for one in group[index::workers] or [group[index % len(group)]]]


def open_listeners(**wanted: Unpack[Wanted]) -> Listeners:
    """Open all or none. Raises `SocketError`, which names the address and the reason."""
    listeners = Listeners()
    with contextlib.ExitStack() as undo:
        undo.callback(listeners.close)
        for endpoint in wanted.get("dns", ()):
            udp, tcp = _open_pair(endpoint, wanted.get("workers", 1))
            listeners.udp.append(udp)
            listeners.tcp.append(tcp)
        workers = wanted.get("workers", 1)
        listeners.dns_tls += [_open(a, socket.SOCK_STREAM, workers) for a in wanted.get("dns_tls", ())]
        listeners.dns_https += [_open(a, socket.SOCK_STREAM, workers) for a in wanted.get("dns_https", ())]
        listeners.dns_quic += [_open(a, socket.SOCK_DGRAM, workers) for a in wanted.get("dns_quic", ())]
        listeners.stop_page += [_open(a, socket.SOCK_STREAM, 1)[0] for a in wanted.get("stop_page", ())]
        listeners.portal += [_open(a, socket.SOCK_STREAM, 1)[0] for a in wanted.get("portal", ())]
        for endpoint in wanted.get("rpz", ()):
            udp, tcp = _open_pair(endpoint, 1)
            listeners.rpz_udp += udp
            listeners.rpz_tcp += tcp
        for endpoint in wanted.get("rpz_tls", ()):
            # Unbound asks for the SOA by UDP at the port of its transfers, TLS or not
            udp, tcp = _open_pair(endpoint, 1)
            listeners.rpz_udp += udp
            listeners.rpz_tls += tcp
        undo.pop_all()
    return listeners


def parse(text: str) -> Endpoint:
    """`127.0.0.1:53` or `[::1]:53`. Raises `SocketError`: a name needs a resolver, and this is one."""
    try:
        return Endpoint.parse(text)
    except ValueError as wrong:
        raise SocketError(str(wrong)) from wrong


def free_endpoint(wanted: Endpoint) -> Endpoint:
    """`wanted`; for port 0 with a port that is free over UDP and TCP, and not held. Raises
    `SocketError` where it is taken."""
    udp, tcp = _open_pair(wanted, 1)
    found = bound_to(udp[0])
    for one in (*udp, *tcp):
        one.close()
    return found


def bound_to(one: socket.socket) -> Endpoint:
    host, port = one.getsockname()[:2]
    return Endpoint(host, port)


def _open_pair(address: Endpoint, workers: int) -> tuple[list[socket.socket], list[socket.socket]]:
    for attempt in range(50):
        udp = _open(address, socket.SOCK_DGRAM, workers)
        try:
            return udp, _open(bound_to(udp[0]), socket.SOCK_STREAM, workers)
        except SocketError:
            for one in udp:
                one.close()
            if address.port or attempt == 49:
                raise
    raise AssertionError("unreachable")


def _open(address: Endpoint, kind: socket.SocketKind, count: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        # Alone first: without SO_REUSEPORT bind fails if any socket, with any options, holds the port.
        with _socket(address, kind) as alone:
            alone.bind((address.host, address.port))
            address = bound_to(alone)
            if kind is socket.SOCK_STREAM:
                alone.listen(1)
        for _ in range(count):
            one = _socket(address, kind)
            opened.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((address.host, address.port))
            if kind is socket.SOCK_STREAM:
                one.listen(BACKLOG)
    except OSError as wrong:
        for one in opened:
            one.close()
        raise _explained(address, kind, wrong) from wrong
    return opened


def _socket(address: Endpoint, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if address.ipv6 else socket.AF_INET
    one = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if address.ipv6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind is socket.SOCK_STREAM:
        # Connections of the last run in TIME_WAIT do not keep the port.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return one


def _explained(address: Endpoint, kind: socket.SocketKind, wrong: OSError) -> SocketError:
    transport = "TCP" if kind is socket.SOCK_STREAM else "UDP"
    if wrong.errno == errno.EADDRINUSE:
        return SocketError(
            f"{transport} port {address.port} of {address.host} is taken by another program",
            hint=f"see who with: ss -lunpt 'sport = :{address.port}'; or choose another port",
        )
    if wrong.errno == errno.EACCES:
        return SocketError(
            f"{transport} port {address.port} of {address.host} needs more rights than this user has",
            hint="ports below 1024 need CAP_NET_BIND_SERVICE; under systemd the socket units open them",
        )
    if wrong.errno == errno.EADDRNOTAVAIL:
        return SocketError(f"{address.host} is no address of this machine", hint="ip address show lists them")
    return SocketError(f"cannot listen on {transport} {address}: {os.strerror(wrong.errno or 0)}")


def from_systemd(environment: Mapping[str, str], pid: int) -> Listeners | None:
    """The sockets that systemd opened for this process (sd_listen_fds(3)), or None where it did not.

    A socket is what its `FileDescriptorName=` says (`dns-tls`, `dns-https`, `dns-quic`, `stop-page`, `portal`, `rpz`,
    `rpz-tls`), and DNS otherwise. Several of one address (`ReusePort=yes`) are dealt out to the workers in turn.
    """
    if environment.get("LISTEN_PID") != str(pid):
        return None
    count = int(environment.get("LISTEN_FDS", "0"))
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    listeners = Listeners()
    groups: dict[tuple[str, str], list[socket.socket]] = {}
    for offset in range(count):
        one = socket.socket(fileno=_FIRST_SYSTEMD_FD + offset)
        one.setblocking(False)
        os.set_inheritable(one.fileno(), False)
        name = names[offset] if offset < len(names) else ""
        if name == "stop-page":
            listeners.stop_page.append(one)
        elif name == "portal":
            listeners.portal.append(one)
        elif name == "rpz":
            (listeners.rpz_udp if one.type == socket.SOCK_DGRAM else listeners.rpz_tcp).append(one)
        elif name == "rpz-tls":
            (listeners.rpz_udp if one.type == socket.SOCK_DGRAM else listeners.rpz_tls).append(one)
        else:
            plain = "udp" if one.type == socket.SOCK_DGRAM else "tcp"
            use = {"dns-tls": "dns_tls", "dns-https": "dns_https", "dns-quic": "dns_quic"}.get(name, plain)
            groups.setdefault((use, str(bound_to(one))), []).append(one)
    for (use, _), group in groups.items():
        getattr(listeners, use).append(group)
    return listeners


def taken_or_opened(environment: Mapping[str, str], **wanted: Unpack[Wanted]) -> Listeners:
    """The sockets that systemd opened for this process; for each other use, sockets opened here: a portal behind a web
    server needs no socket unit."""
    listeners = from_systemd(environment, os.getpid()) or Listeners()
    if listeners.udp or listeners.tcp:
        wanted.pop("dns", None)
    if listeners.dns_tls:
        wanted.pop("dns_tls", None)
    if listeners.dns_https:
        wanted.pop("dns_https", None)
    if listeners.dns_quic:
        wanted.pop("dns_quic", None)
    if listeners.stop_page:
        wanted.pop("stop_page", None)
    if listeners.portal:
        wanted.pop("portal", None)
    if listeners.rpz_udp or listeners.rpz_tcp:
        wanted.pop("rpz", None)
    if listeners.rpz_tls:
        wanted.pop("rpz_tls", None)
    more = open_listeners(**wanted)
    for use in fields(Listeners):
        getattr(listeners, use.name).extend(getattr(more, use.name))
    return listeners


def handed_over(environment: Mapping[str, str]) -> dict[str, list[int]]:
    """What the supervisor passed to this process: use -> file descriptors. Empty where there is none."""
    given = json.loads(environment.get(SOCKETS, "{}"))
    return {use: [int(fd) for fd in fds] for use, fds in given.items()}
