"""The caller: one rule for the off switch, which writes files, and for every request at a control socket.

Enters: the user of a process. Leaves: its name, and for root also the login, as `root (login alice)`. Rules: the kernel
proves the user (at a socket by SO_PEERCRED). The login only helps the reader of the journal. It is accepted from root
alone, who could write anything anyway.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from blocklists.text import shown

LONGEST = 64  # letters of a login
_ROOT = 0
_NOBODY = 0xFFFF_FFFF  # no login: a service, a container


def caller() -> str:
    """Who runs this process."""
    return who(os.geteuid(), login())


def who(uid: int, login: object) -> str:
    """The user, and the login that a process of root names."""
    user = named(uid)
    if uid != _ROOT or not isinstance(login, str) or login in ("", user):
        return user
    return f"{user} (login {shown(login[:LONGEST])})"


def login(kept: Path = Path("/proc/self/loginuid")) -> str | None:
    """For a process of root: the user who logged in, which the kernel keeps through sudo and su; without a login, the
    user that sudo names."""
    if os.geteuid() != _ROOT:
        return None
    try:
        uid = int(kept.read_text(encoding="ascii"))
    except (OSError, ValueError):  # a kernel without audit
        uid = _NOBODY
    return os.environ.get("SUDO_USER") if uid == _NOBODY else named(uid)


def named(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
