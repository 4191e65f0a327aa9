"""`python -m resolver.host.child [--background N] MODULE ARGUMENTS…`: run a module that dies with its parent.

The supervisor owns the sockets. If it were killed outright, its children would hold the ports with nobody to replace
them, and a new supervisor could not start. So the kernel sends SIGTERM when the parent dies (prctl(2),
PR_SET_PDEATHSIG); a parent that died before the request is noticed.

The child's memory holds the queries of subscribers, so it is never written anywhere: no core file (RLIMIT_CORE), no
dump for a program that collects them, and no process of the same user may look in (PR_SET_DUMPABLE).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import runpy
import signal
import sys
from typing import NoReturn

from resolver._core import set_background, tick_when_busy
from resolver.config.sealed import USE
from resolver.host.sockets import SOCKETS
from resolver.host.systemd import HEARTBEAT, NOT_YET

PARENT = "STOPSIGN_PARENT"
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def re_execute() -> NoReturn:
    """Execute this program again in the same process: same id, same parent, same inherited sockets; configuration and
    code as they are now. The request for the parent's death signal survives (prctl(2)). Its heartbeat is reset: until
    the first beat it has the time of a start."""
    handed = json.loads(os.environ.get(SOCKETS, "{}"))
    for heart in handed.get(HEARTBEAT, ()):
        os.pwrite(heart, NOT_YET, 0)
    if handed.pop(USE, None) is not None:
        os.environ[SOCKETS] = json.dumps(handed)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _ask_kernel(_PR_SET_DUMPABLE, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # a starting parent blocks it for itself only
    parent = os.environ.pop(PARENT, None)
    if parent is not None:
        _ask_kernel(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):
            sys.exit(0)
    if sys.argv[1] == "--background":
        tick_when_busy()
        set_background(int(sys.argv[2]))  # before the import, which takes a second of processor time
        del sys.argv[1:3]
    module = sys.argv[1]
    sys.argv[:] = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _ask_kernel(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) failed")


if __name__ == "__main__":
    main()
