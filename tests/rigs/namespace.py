"""A network of a test's own: a thread in a namespace, and whatever it starts there; and one beside it, for clients.

Only the thread is in it: everything that the test opens or starts from `work` is, and the rest of the run is not.
Needs root, as CI has it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.rigs.dns_host import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")
_CLONE_NEWNET, _CLONE_NEWNS = 0x40000000, 0x00020000  # unshare(2)


def in_a_network(work: Callable[[], T], addresses: Sequence[str] = ()) -> T:
    """What `work` returns or raises, in a network with a loopback that has these addresses too."""
    came: list[T] = []
    wrong: list[BaseException] = []

    def run() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
                pytest.skip(f"this user has no network of its own ({os.strerror(ctypes.get_errno())})")
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            for address in addresses:
                subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)
            came.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again where the test waits
            wrong.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if wrong:
        raise wrong[0]
    return came[0]


def see(texts: Mapping[str, str], folder: Path) -> None:
    """From now on this thread, and what it starts, reads these texts in place of the machine's files. They lie in
    `folder`."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
        pytest.skip("this user has no mounts of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for number, (path, text) in enumerate(texts.items()):
        seen = folder / f"seen{number}"
        seen.write_text(text, encoding="utf-8")
        subprocess.run(["mount", "--bind", str(seen), path], check=True)


@contextlib.contextmanager
def beside(here: str, there: str) -> Iterator[Callable[[], None]]:
    """Another network joined to this thread's by a cable, with these addresses (`192.0.2.53/24`) at its ends; what
    moves the calling thread there. It ends with the process that holds it.

    Neither end gives itself an IPv6 address: that would come a second or two later, and a browser then drops what it
    waits for ("the network has changed").
    """

    def run(*command: str) -> None:
        subprocess.run(command, check=True)

    own = Path("/proc/thread-self/ns/net").readlink()
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        network = Path(f"/proc/{holder.pid}/ns/net")
        wait_until(lambda: network.readlink() != own, "there is another network")
        run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(holder.pid))
        run("ip", "link", "set", "here", "addrgenmode", "none")
        run("ip", "address", "add", here, "dev", "here")
        run("ip", "link", "set", "here", "up")
        of_there = (
            ["link", "set", "lo", "up"],
            ["link", "set", "there", "addrgenmode", "none"],
            ["address", "add", there, "dev", "there"],
            ["link", "set", "there", "up"],
        )
        for command in of_there:
            run("nsenter", f"--net={network}", "ip", *command)

        def move() -> None:
            with network.open("rb") as other:
                if ctypes.CDLL(None, use_errno=True).setns(other.fileno(), 0):
                    raise OSError(ctypes.get_errno(), "setns")

        yield move
    finally:
        holder.kill()
        holder.wait()
