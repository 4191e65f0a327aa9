"""Whether other machines and programs do their part: the hosts of the lists, the appeals database.

Enters: a configuration without mistakes. Leaves: findings. An unreachable list host is a warning, since a day without
it does no harm; a reachable one must have the list under its name. An unusable database means that no appeal is
accepted. Nothing is written.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata
from tuf.api.serialization import DeserializationError

from blocklists.errors import VerifyError
from blocklists.fetch import Deadline, place
from blocklists.head import lists_in
from resolver.config.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuf.api.metadata import Snapshot, Targets, Timestamp

    from blocklists.fetch import Place
    from resolver.config.schema import Config
    from resolver.config.schema_lists import ListSource

PATIENCE = 3.0
LARGEST, SHOWN = 1 << 24, 20  # bytes of one file of metadata; names


def far(config: Config) -> Iterator[Finding]:
    yield from _hosts(config)
    yield from _database(config)


def _hosts(config: Config) -> Iterator[Finding]:
    lists = [(at, source) for at, source in enumerate(config.lists) if not source.bridge]
    with ThreadPoolExecutor(len(lists) or 1) as asking:
        for found in asking.map(lambda one: _host(*one), lists):
            if found is not None:
                yield found


def _host(at: int, source: ListSource) -> Finding | None:
    key, where = f"lists[{at}].repository", place(source.repository, Deadline(PATIENCE))
    try:
        offered = _offered(where)
    except DownloadHTTPError as error:
        return Finding(key, str(error))
    except (VerifyError, DeserializationError, KeyError) as error:  # KeyError: a snapshot without targets
        return Finding(key, f"{source.repository} cannot be read now: {error}", fatal=False)
    finally:
        where.close()
    if source.name in offered:
        return None
    # Quoted, and some of them: whatever these strings are, an operator's terminal is to show them.
    there = f"it has {', '.join(map(repr, offered[:SHOWN]))}" if offered else "it has none at all"
    return Finding(f"lists[{at}].name", f"{source.repository} has no list {source.name!r}; {there}")


def _offered(where: Place) -> list[str]:
    """The names of the lists that a repository has. Nothing is verified: the steward does that."""
    timestamp: Metadata[Timestamp] = _metadata(where, "timestamp")
    snapshot: Metadata[Snapshot] = _metadata(where, f"{timestamp.signed.snapshot_meta.version}.snapshot")
    targets: Metadata[Targets] = _metadata(where, f"{snapshot.signed.meta['targets.json'].version}.targets")
    return lists_in(targets.signed.targets)


def _metadata(where: Place, role: str) -> Metadata[Any]:
    path, data = f"metadata/{role}.json", b""
    for chunk in where.read(path):
        data += chunk
        if len(data) > LARGEST:
            raise VerifyError("malformed", f"{path} is larger than {LARGEST} bytes")
    found: Metadata[Any] = Metadata.from_bytes(data)
    if found.signed.type != role.rpartition(".")[2]:
        raise VerifyError("malformed", f"{path} is {found.signed.type} metadata")
    return found


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
