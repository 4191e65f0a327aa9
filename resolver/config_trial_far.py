"""What only a try shows of other machines and other programs: the hosts of the lists, the appeals database.

Enters: a configuration without mistakes. Leaves: findings. A list's host may be away for a day without harm, so that it
is a warning; a database that cannot be used means that no appeal is taken. Nothing is written anywhere.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tuf.api.exceptions import DownloadHTTPError

from blocklists.errors import VerifyError
from blocklists.fetch import Deadline, place
from resolver.config_finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.config import Config

PATIENCE = 3.0
_AWAY = 500  # a status from here on speaks of the host, not of the file


def far(config: Config) -> Iterator[Finding]:
    yield from _hosts(config)
    yield from _database(config)


def _hosts(config: Config) -> Iterator[Finding]:
    far = [(at, one.repository) for at, one in enumerate(config.lists) if "://" in one.repository and not one.bridge]
    with ThreadPoolExecutor(len(far) or 1) as asking:
        for found in asking.map(lambda one: _host(*one), far):
            if found is not None:
                yield found


def _host(at: int, repository: str) -> Finding | None:
    key, where = f"lists[{at}].repository", place(repository, Deadline(PATIENCE))
    try:
        next(iter(where.read("metadata/timestamp.json")), b"")
    except DownloadHTTPError as error:
        status = error.status_code
        why = f"{repository} has no metadata/timestamp.json (status {status})"
        return Finding(key, why, fatal=status < _AWAY)
    except VerifyError as error:
        return Finding(key, f"{repository} cannot be read now: {error}", fatal=False)
    finally:
        where.close()
    return None


def _database(config: Config) -> Iterator[Finding]:
    url = config.database_url
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:///"))
        try:
            if path.exists() and (why := _no_database(path)):
                yield Finding("portal.database", f"{path} {why}", denied=not os.access(path, os.R_OK))
        except PermissionError:
            yield Finding("portal.database", f"{path} cannot be looked at by this user", denied=True)
    elif why := asyncio.run(_refused(url)):
        yield Finding("portal.database", f"{url} {why}", fatal=False)


def _no_database(path: Path) -> str | None:
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            database.execute("PRAGMA schema_version").fetchone()
        database.close()
    except sqlite3.Error as error:
        return f"is not a database that can be read ({error})"
    return None


async def _refused(url: str) -> str | None:
    import asyncpg

    try:
        connection = await asyncpg.connect(url, timeout=PATIENCE)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return f"cannot be used by this user ({error or 'no answer in time'})"
    await connection.close()
    return None
