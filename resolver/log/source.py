"""Where a reader finds a log: a folder, or a web address. Both are only believed as far as hashes and signatures go.

Enters: a path of the tlog-tiles layout and the most bytes it may have. Leaves: bytes, or `MissingError`. Rules: nothing
longer than its limit is read, nothing waits for ever, a redirect leads nowhere else than http and https.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import urllib3

from resolver.log.disk import RealDisk
from resolver.log.errors import AuditError, MissingError

TIMEOUT = 20.0


class Source(Protocol):
    """A log's public files."""

    where: str
    parallel: int
    """How many files may usefully be asked for at a time."""

    def fetch(self, path: str, limit: int) -> bytes: ...


class Folder:
    """A copy on this machine."""

    parallel = 1

    def __init__(self, root: Path) -> None:
        self.where = str(root)
        self._root = root
        self._disk = RealDisk()

    def fetch(self, path: str, limit: int) -> bytes:
        """Raises `MissingError`, or `AuditError` where the file is longer than `limit` or cannot be read."""
        try:
            return self._disk.read(self._root / path, limit)
        except OSError as wrong:
            raise AuditError(f"{self._root / path}: {wrong.strerror}") from wrong


class Web:
    """A log on any static web host."""

    parallel = 8

    def __init__(self, prefix: str) -> None:
        self.where = prefix.rstrip("/")
        self._pool = urllib3.PoolManager(
            num_pools=2, maxsize=self.parallel, timeout=urllib3.Timeout(TIMEOUT), retries=urllib3.Retry(3, redirect=3)
        )

    def fetch(self, path: str, limit: int) -> bytes:
        """Raises `MissingError` on 404 and 410, `AuditError` on all else that is not 200 or is longer than `limit`."""
        url = f"{self.where}/{path}"
        try:
            answer = self._pool.request("GET", url, preload_content=False, headers={"Accept-Encoding": "gzip"})
            try:
                if answer.status in {404, 410}:
                    raise MissingError(f"{url} is missing")
                if answer.status != 200:
                    raise AuditError(f"{url} answers {answer.status}")
                data = answer.read(limit + 1, decode_content=True)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as wrong:
            raise AuditError(f"{url} cannot be read: {wrong}") from wrong
        if len(data) > limit:
            raise AuditError(f"{url} is longer than {limit} bytes")
        return data


def open_source(where: str) -> Source:
    """A folder or a web address, by its spelling."""
    if where.startswith(("http://", "https://")):
        return Web(where)
    if not Path(where).is_dir():
        raise AuditError(f"there is no folder {where}", hint="a log is a folder with `checkpoint` and `tile/` in it")
    return Folder(Path(where))
