"""The addresses that the running processes of one host hold.

Enters: what the supervisor says. Leaves: `run_dir/addresses.json`; the addresses of all processes, as they say at their
control sockets.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from resolver.base import atomic
from resolver.ipc import control
from resolver.ipc.control import ControlError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from resolver.base.paths import Places

BUSY = 10.0  # seconds: a busy process that was not waited for would look like a port that another program holds
USES = ("dns", "dns_tls", "dns_https", "dns_quic", "stop_page", "portal", "rpz", "rpz_tls", "metrics")


def write(places: Places, said: Mapping[str, Any]) -> None:
    """Replace what the supervisor says of itself. Raises `OSError`."""
    atomic.replace(places.addresses, json.dumps(said).encode())


def remove(places: Places) -> None:
    places.addresses.unlink(missing_ok=True)


def held(places: Places) -> set[str]:
    """All of them, as `address:port`; none where nobody runs."""
    sockets = (places.supervisor_socket, places.web_socket, places.rpz_socket, places.control_socket)
    with ThreadPoolExecutor(len(sockets)) as asking:
        return {address for addresses in asking.map(_held_by, sockets) for address in addresses}


def _held_by(socket_path: Path) -> list[str]:
    try:
        said = control.call(socket_path, "status", timeout=BUSY)
    except ControlError:
        return []
    return [str(address) for use in USES for address in said.get(use, ())]
