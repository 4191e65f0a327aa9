"""Has this file changed? So a process notices what another renamed into place.

Enters: a path, now and then. Leaves: whether another file stands there than at the last look, by inode, time of change
and size: each of them would do for a file that is replaced by rename, together they also see one that was written in
place. A file that cannot be looked at counts as one that is not there. One that could not be read, as when no file
descriptor is left, is seen again after `AGAIN`: what it says must not be lost until somebody writes it once more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_Mark = tuple[int, int, int]
AGAIN = 2.0  # seconds


class Changed:
    """Remembers the last look at each path; one stat a look."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Mark | None] = {}
        self._unread: dict[Path, tuple[_Mark | None, float]] = {}
        """Files that could not be read, and when to look again, in CLOCK_MONOTONIC."""

    def look(self, path: Path) -> bool:
        """True at the first look, and whenever another file is there than at the last, or none any more; and for one
        that is `unread`, now and then."""
        mark = _mark(path)
        unread, again = self._unread.get(path, (None, 0.0))
        if path in self._seen and self._seen[path] == mark and (unread is None or time.monotonic() < again):
            return False
        if unread != mark:
            self._unread.pop(path, None)
        self._seen[path] = mark
        return True

    def read(self, path: Path) -> None:
        """The file of the last look was read."""
        self._unread.pop(path, None)

    def unread(self, path: Path) -> None:
        """The file of the last look could not be read."""
        self._unread[path] = self._seen[path], time.monotonic() + AGAIN

    def there(self, path: Path) -> bool:
        """Whether a file was there at the last look."""
        return self._seen.get(path) is not None


def _mark(path: Path) -> _Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
