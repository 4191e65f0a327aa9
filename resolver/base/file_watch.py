"""Has this file changed? How one process notices what another renamed into place.

Enters: a path, now and then. Leaves: whether another file stands there than at the last look, by inode, time of change
and size: each of them would do for a file that is replaced by rename, together they also see one that was written in
place. A file that cannot be looked at counts as one that is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_Mark = tuple[int, int, int]


class Changed:
    """Remembers what it saw; one stat a look."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Mark | None] = {}

    def look(self, path: Path) -> bool:
        """True at the first look, and whenever another file is there than at the last, or none any more."""
        mark = _mark(path)
        if path in self._seen and self._seen[path] == mark:
            return False
        self._seen[path] = mark
        return True

    def there(self, path: Path) -> bool:
        """Whether a file was there at the last look."""
        return self._seen.get(path) is not None


def _mark(path: Path) -> _Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
