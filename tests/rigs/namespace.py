"""A network of a test's own: a thread in a namespace, and whatever it starts there.

Only the thread is in it: everything that the test opens or starts from `work` is, and the rest of the run is not.
Needs root, as CI has it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000  # unshare(2)


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
