"""The sockets of this host that listen, from the kernel's tables (proc_net(5)).

Enters: /proc/self/net. Leaves: one row a socket. Rules: everybody may read the tables, also in a sandbox that hides all
of /proc but processes. The kernel hands a table over page by page while sockets come and go, so that a row may stand
there twice, or not at all: it is read twice, and each socket counts once.
"""

from __future__ import annotations

import re
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from resolver.config.values import Endpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

NET = Path("/proc/self/net")
_LISTENING = {"tcp": "0A", "udp": "07"}  # the kernel's TCP_LISTEN, and TCP_CLOSE for a socket that is not connected


class Row(NamedTuple):
    """A socket that listens."""

    at: Endpoint
    uid: int
    """Who opened it."""
    inode: int
    last: str
    """The last column: of UDP, how many datagrams the kernel dropped because the socket was full."""


def listening(transport: str, net: Path = NET) -> Collection[Row]:
    """Those of `udp` or `tcp`, over IPv4 and IPv6; none where the kernel has no such table."""
    found = {}
    for table in (transport, f"{transport}6") * 2:
        for row in _rows(net / table, _LISTENING[transport]):
            found[row.inode] = row
    return found.values()


def _rows(table: Path, state: str) -> Iterator[Row]:
    try:
        lines = table.open(encoding="ascii")
    except OSError:
        return
    with lines:
        next(lines, None)
        for line in lines:
            columns = line.split()
            if columns[3] == state:
                host, _, port = columns[1].partition(":")
                yield Row(Endpoint(_address(host), int(port, 16)), int(columns[7]), int(columns[9]), columns[-1])
            elif state == _LISTENING["tcp"]:  # listening sockets stand first; connections may be very many
                return


def _address(digits: str) -> str:
    """Of words of 32 bits in this machine's order."""
    octets = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in re.findall("." * 8, digits))
    return str(IPv4Address(octets) if len(octets) == 4 else IPv6Address(octets))
