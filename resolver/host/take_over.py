"""The last step of a take-over: sockets of DNS that were bound to one interface receive from all.

Enters: the supervisor's process id, and the addresses of DNS. Its sockets were opened by a socket unit with
`BindToDevice=lo`, so that the workers could start while the old resolver still answered every client. Leaves: the same
sockets without a device: from that moment each query goes to workers that serve. Rules:

- The kernel lets only root free a socket from its device (CAP_NET_RAW), and the supervisor has no capability. So its
  sockets are borrowed (pidfd_getfd(2)): what is free in one process is free in all that hold it.
- The process id comes from a process of lower rights, so only sockets at an address of DNS are touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from resolver.base.errors import ResolverError
from resolver.host.sockets import bound_to

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from resolver.config.values import Endpoint

_PIDFD_GETFD = 438  # the same number on every architecture
_NAME = 16  # octets of an interface's name, at most
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def hear_everybody(pid: int, addresses: Collection[Endpoint]) -> list[str]:
    """The sockets that were bound to one interface until now, as `UDP 192.0.2.53:53`. Raises `ResolverError`."""
    freed = []
    try:
        for one in _borrowed(pid):
            with one:
                if one.family in _FAMILIES and bound_to(one) in addresses and device(one):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")
                    freed.append(f"{'UDP' if one.type == socket.SOCK_DGRAM else 'TCP'} {bound_to(one)}")
    except OSError as wrong:
        raise ResolverError(
            f"the sockets of process {pid} cannot be opened to clients ({wrong.strerror})", hint="root may"
        ) from wrong
    return sorted(set(freed))


def device(one: socket.socket) -> str:
    """The interface that this socket is bound to; empty: all."""
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _NAME).rstrip(b"\0").decode()


def devices(sockets: Iterable[socket.socket]) -> list[str]:
    """The interfaces that some of them are bound to."""
    return sorted({name for one in sockets if (name := device(one))})


def _borrowed(pid: int) -> Iterator[socket.socket]:
    """The sockets of another process. Raises `OSError`."""
    kernel = ctypes.CDLL(None, use_errno=True)
    with contextlib.ExitStack() as undo:
        process = os.pidfd_open(pid)
        undo.callback(os.close, process)
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if not str(link.readlink()).startswith("socket:"):
                    continue
            except FileNotFoundError:  # closed meanwhile
                continue
            descriptor = kernel.syscall(_PIDFD_GETFD, process, int(link.name), 0)
            if descriptor < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            yield socket.socket(fileno=descriptor)
