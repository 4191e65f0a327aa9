"""Other programs that listen where this host's DNS does.

Enters: the addresses that DNS listens on, the inodes of its own sockets, and /proc. Leaves: every foreign socket at one
of them. Rules:

- SO_REUSEPORT lets programs of one user share a port, for example an old Unbound that root started and a socket unit.
  The kernel gives each a share of the queries, and neither notices; the answers of the other are not blocked.
- A socket counts where it listens at the same port and the same address, or where one of the two is the wildcard of
  that family. A resolver at another address of this host does not matter.
- Sockets differ by their inodes, which the kernel's tables show to everybody.
- Only root and the same user see the holder of a socket (/proc/PID/fd). The supervisor's unit hides other processes, so
  the supervisor names the socket's user, and `status`, typed by root, the program.
"""

from __future__ import annotations

import contextlib
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resolver.host import socket_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from resolver.config.values import Endpoint

PROC = Path("/proc")


@dataclass(frozen=True)
class Foreign:
    """A socket of another program."""

    transport: str
    """`UDP` or `TCP`."""
    address: str
    inode: int
    user: str
    """Who opened it."""

    def alarm(self, program: str | None) -> str:
        """`program`: the holder, if this user may see it."""
        who = program or f"one of user {self.user} (as root stopsign status names it)"
        return f"another program listens on {self.transport} {self.address} too, and answers unblocked: {who}"


def foreign(own: Iterable[Endpoint], inodes: Collection[int], proc: Path = PROC) -> list[Foreign]:
    """Sockets that listen at an address of `own` and are none of `inodes`."""
    endpoints = list(own)
    return [
        Foreign(transport.upper(), str(row.at), row.inode, _user(row.uid))
        for transport in ("udp", "tcp")
        for row in socket_table.listening(transport, proc / "self" / "net")
        if row.inode not in inodes and any(_meet(row.at, endpoint) for endpoint in endpoints)
    ]


def programs(inodes: Collection[int], proc: Path = PROC) -> Mapping[int, str]:
    """Inode of a socket -> the program that holds it, for programs that this user may inspect."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, str] = {}
    for process in proc.iterdir() if wanted else ():
        # For a socket of systemd the program that it was opened for is the better answer.
        if not process.name.isdigit() or process.name == "1":
            continue
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            for fd in (process / "fd").iterdir():
                inode = wanted.get(str(fd.readlink()))
                if inode is not None:
                    name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                    found.setdefault(inode, f"{name} (pid {process.name})")
    return found


def _meet(one: Endpoint, other: Endpoint) -> bool:
    return one.port == other.port and one.shares_an_address(other)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
