"""Octets from a static host (a directory, http, https), within one overall deadline: of lists, and of logs too.

Enters: a place and relative paths. Leaves: chunks of octets, or `VerifyError` (`deadline`, `unreachable`, `malformed`),
or python-tuf's `DownloadHTTPError` where the place says that there is no such file.

Rules
- One deadline covers all of it, every read too: time-outs by operation are no bound, as a host that sends an octet a
  second never runs into one.
- How many octets are too many is the caller's to say (python-tuf stops at the signed length).
- `blocklists/web.py` has what speaks HTTP. It is imported for an address that is a URL: the desk, whose repository is a
  directory, loads neither TLS nor sockets.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadHTTPError

from blocklists.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 1 << 16
"""Octets of one read."""


class Deadline:
    """A point on the monotonic clock that everything has to be done by."""

    def __init__(
        self, seconds: float, clock: Callable[[], float] = time.monotonic, *, within: Deadline | None = None
    ) -> None:
        self.seconds, self._clock, self._within = seconds, clock, within
        self._end = clock() + seconds

    def again(self) -> None:
        """Let the time begin again, as for the next file of many; what it is `within` goes on."""
        self._end = self._clock() + self.seconds

    def left(self) -> float:
        """Seconds that are left, more than 0. Raises VerifyError `deadline`."""
        left = self._end - self._clock()
        if self._within is not None:
            left = min(left, self._within.left())
        if left <= 0:
            raise VerifyError("deadline", f"not done within {self.seconds:g} s", hint="a slow or a stalling host")
        return left


class Place(Protocol):
    """A repository: a web host or a folder."""

    name: str
    """Its address or its path, for people."""

    def read(self, path: str) -> Iterator[bytes]:
        """The file's octets. Raises DownloadHTTPError (404) where there is none."""

    def close(self) -> None:
        """Let go of what is kept open between two files."""


def place(repository: str, deadline: Deadline) -> Place:
    """The place that an operator wrote down: an http(s) URL or a directory. Raises VerifyError."""
    if "://" not in repository:
        return Directory([Path(repository)], deadline)
    parts = urlsplit(repository)
    if parts.scheme == "file":
        return Directory([Path(parts.path)], deadline)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise VerifyError(
            "malformed", f"{repository!r} is not a repository", hint="a directory, http://host/… or https://host/…"
        )
    from blocklists.web import Web

    return Web(parts.scheme, parts.hostname, parts.port, parts.path.strip("/"), deadline)


class Directory:
    """A repository in the file system; several folders lie over each other, the first that has a file wins."""

    def __init__(self, folders: list[Path], deadline: Deadline) -> None:
        self._folders, self._deadline = folders, deadline
        self.name = str(folders[0])

    def read(self, path: str) -> Iterator[bytes]:
        """As `Place.read`."""
        for folder in self._folders:
            try:
                # O_NONBLOCK: opening a pipe that somebody left here would wait for ever
                handle = os.open(folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise VerifyError("unreachable", f"{folder / path}: {error.strerror}") from None
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise VerifyError("malformed", f"{folder / path} is not a regular file")
                while chunk := self._chunk(file, path):
                    yield chunk
            return
        raise DownloadHTTPError(f"{path}: no such file in {self._folders[0]}", 404)

    def close(self) -> None:
        """As `Place.close`: nothing is kept open."""

    def _chunk(self, file: IO[bytes], path: str) -> bytes:
        self._deadline.left()
        try:
            return file.read(CHUNK)
        except OSError as error:
            raise VerifyError("unreachable", f"{path}: {error.strerror}") from None
