"""The appeals database itself: opened, and brought to the newest form.

Enters: the configuration's URL, without a driver. Leaves: an engine, or `StoreError`. Rules: SQLite by default,
PostgreSQL by URL; of several processes that start at once, one migrates and the others find it done.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from sqlalchemy import event, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from blocklists import durable
from blocklists.errors import why
from resolver.base.errors import ResolverError
from resolver.portal.postgres import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

NEWEST = "0007"  # the last step in `migrations/`
MIGRATIONS = Path(__file__).parent / "migrations"
RESTED_SECONDS = 5.0
_MIGRATING = 0x53544F50  # PostgreSQL's advisory lock: several hosts start at once, one of them migrates


class StoreError(ResolverError):
    """The appeals database cannot be used now."""


def engine(url: str) -> AsyncEngine:
    """Raises `StoreError` where an SQLite file cannot be used."""
    if url.startswith("postgresql://"):
        made = create_async_engine("postgresql+asyncpg://", async_creator=partial(connect, url), pool_size=4)
        _try_after_rest(made.sync_engine)
        return made
    _reach(Path(url.removeprefix("sqlite:///")))
    made = create_async_engine("sqlite+aiosqlite" + url.removeprefix("sqlite"))
    event.listen(made.sync_engine, "connect", _on_sqlite_connect)
    return made


def migrate(connection: Connection, to: str = NEWEST) -> None:
    """Bring the database to the newest form, whichever it has. Of several processes one does it, the others find it
    done. Raises StoreError for a database of a newer version."""
    if _form(connection) == to:
        return
    with _alone(connection):
        form = _form(connection)
        if form is not None and form > NEWEST:
            raise StoreError(
                "the appeals database is of a newer version of Stopsign", hint="install that version again"
            )
        settings = AlembicConfig()
        settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        settings.attributes["connection"] = connection
        command.upgrade(settings, to)


def _form(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Until the transaction ends (PostgreSQL) or the block does (SQLite) nobody else migrates."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATING})
        yield
        return
    lock = os.open(f"{connection.engine.url.database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        connection.commit()
    finally:
        os.close(lock)


def _try_after_rest(made: Engine) -> None:
    """A connection is another one where it is closed, or has rested and is found dead before it is used. The pool's
    own `pool_pre_ping` tries it each time, with three messages: of what 200 hosts cost, that was a third."""

    @event.listens_for(made, "checkin")
    def rest(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(made, "checkout")
    def use(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError  # the server has ended, and all of the others with it
        now = time.monotonic()
        if now - record.info.get("used", now) < RESTED_SECONDS:
            return
        try:
            made.dialect.do_ping(connection)
        except made.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error  # the others have rested as long


def _reach(path: Path) -> None:
    """The file is there, for its owner alone, and a database: found out before a thread of aiosqlite meets it."""
    try:
        durable.make_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version")
    except OSError as error:
        raise StoreError(f"the appeals database cannot be used ({why(error)})") from error
    except sqlite3.Error as error:
        raise StoreError(f"the appeals database cannot be used ({path}: {error})") from error


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # secure_delete: what is erased is overwritten; synchronous FULL: a receipt that was shown survives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
