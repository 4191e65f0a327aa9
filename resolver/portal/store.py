"""The appeals database: what is asked of it and what is written to it, and nothing about HTTP.

Enters: frozen values. Leaves: frozen values. Rules: SQLite by default, PostgreSQL by URL, the same statements for
both; a receipt is durable before it is shown; every change of an appeal writes its event, and what the steward must
hear of it, in the same transaction; nothing closes an appeal but a decision by a person or its author.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from sqlalchemy import Select, delete, event, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from resolver import durable
from resolver.errors import ResolverError
from resolver.portal.tables import appeals, events, form_keys, outbox, proofs, words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, RowMapping

NEWEST = "0003"  # the last step in `migrations/`
MIGRATIONS = Path(__file__).parent / "migrations"
PROVED = {"appeal-received": "received", "appeal-decided": "decided"}  # what of it the receipt shows
_MIGRATING = 0x53544F50  # PostgreSQL's advisory lock: several hosts start at once, one of them migrates


class StoreError(ResolverError):
    """The appeals database cannot be used now."""


@dataclass(frozen=True)
class NewAppeal:
    """An appeal as it comes in."""

    id: str
    receipt: bytes
    reference: str
    name: str
    list: str
    role: str
    ground: str
    language: str
    received: int
    due: int
    suspends: bool
    reason: str
    contact: str
    share_contact: bool
    court: str = ""


@dataclass(frozen=True)
class Appeal:
    """An appeal as it stands. `reason` and `contact` are empty once they were erased."""

    id: str
    reference: str
    name: str
    list: str
    role: str
    ground: str
    language: str
    received: int
    due: int
    suspends: bool
    forwarded: int | None
    reminded: int | None
    suspended: int | None
    closed: int | None
    outcome: str | None
    decided_by: str | None
    reasons: str | None
    erased: int | None
    reason: str
    contact: str
    share_contact: bool
    court: str = ""


@dataclass(frozen=True)
class Event:
    at: int
    what: str
    note: str


@dataclass(frozen=True)
class Message:
    """Something the steward has yet to be told."""

    number: int
    op: str
    arguments: Mapping[str, Any]


_APPEAL = select(
    *(column for column in appeals.c if column.name != "receipt"),
    func.coalesce(words.c.reason, "").label("reason"),
    func.coalesce(words.c.contact, "").label("contact"),
    func.coalesce(words.c.share_contact, False).label("share_contact"),
).select_from(appeals.outerjoin(words))


class Store:
    """One engine; every method is one transaction. Raises StoreError when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    async def open(cls, url: str) -> Store:
        """Open and bring to the newest form. `url` is the configuration's, without a driver."""
        if url.startswith("sqlite:"):
            _reach(Path(url.removeprefix("sqlite:///")))
        store = cls(_engine(url))
        try:
            async with store._begin() as connection:
                await connection.run_sync(migrate)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (DBAPIError, SQLAlchemyError, OSError) as error:
            raise StoreError(f"the appeals database cannot be used ({_reason(error)})") from error

    # -- appeals

    async def add(self, new: NewAppeal) -> bool:
        """Store it with its first event and the word to the steward. False: it is there (the form came twice)."""
        fields = {name: getattr(new, name) for name in NewAppeal.__dataclass_fields__}
        said = {name: fields.pop(name) for name in ("reason", "contact", "share_contact")}
        try:
            async with self._begin() as connection:
                await connection.execute(insert(appeals).values(fields))
                await connection.execute(insert(words).values(appeal=new.id, **said))
                await _note(connection, new.id, new.received, "received")
                about = {name: fields[name] for name in ("reference", "name", "list", "ground", "received", "due")}
                await _tell(connection, "appeal-received", new.received, appeal=new.id, **about)
        except IntegrityError:
            return False
        return True

    async def by_receipt(self, receipt: bytes) -> tuple[Appeal, tuple[Event, ...]] | None:
        return await self._one(_APPEAL.where(appeals.c.receipt == receipt))

    async def by_id(self, appeal: str) -> tuple[Appeal, tuple[Event, ...]] | None:
        return await self._one(_APPEAL.where(appeals.c.id == appeal))

    async def _one(self, query: Select[Any]) -> tuple[Appeal, tuple[Event, ...]] | None:
        async with self._begin() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                return None
            happened = await connection.execute(
                select(events.c.at, events.c.what, events.c.note)
                .where(events.c.appeal == row["id"])
                .order_by(events.c.number)
            )
            return _appeal(row), tuple(Event(*values) for values in happened)

    async def all(self, *, closed: bool = False, reference: str | None = None) -> list[Appeal]:
        """Open appeals (or all), the nearest deadline first."""
        query = _APPEAL.order_by(appeals.c.closed.is_not(None), appeals.c.due, appeals.c.id)
        if not closed:
            query = query.where(appeals.c.closed.is_(None))
        if reference is not None:
            query = query.where(appeals.c.reference == reference)
        async with self._begin() as connection:
            return [_appeal(row) for row in (await connection.execute(query)).mappings()]

    async def counts(self) -> Mapping[str, int]:
        """How many appeals there are by outcome; `open` for those without one."""
        query = select(func.coalesce(appeals.c.outcome, "open"), func.count()).group_by(appeals.c.outcome)
        async with self._begin() as connection:
            return {str(outcome): int(number) for outcome, number in await connection.execute(query)}

    async def mark(self, appeal: str, what: str, at: int, note: str = "") -> bool:
        """Write `forwarded` or `reminded` on an appeal that is open, or that we mended. False: it is not."""
        waits = appeals.c.closed.is_(None) | (appeals.c.outcome == "mended")
        async with self._begin() as connection:
            changed = await connection.execute(update(appeals).where(appeals.c.id == appeal, waits).values({what: at}))
            if changed.rowcount:
                await _note(connection, appeal, at, what, note)
            return bool(changed.rowcount)

    async def suspend(self, overdue: Appeal, at: int) -> bool:
        """Ask the steward, once, to suspend the entry of an appeal that nobody decided in time."""
        async with self._begin() as connection:
            changed = await connection.execute(
                update(appeals)
                .where(appeals.c.id == overdue.id, appeals.c.closed.is_(None), appeals.c.suspended.is_(None))
                .values(suspended=at)
            )
            if changed.rowcount:
                await _note(connection, overdue.id, at, "suspended")
                await _tell(connection, "appeal-overdue", at, appeal=overdue.id, reference=overdue.reference,
                            name=overdue.name, list=overdue.list, due=overdue.due)  # fmt: skip
            return bool(changed.rowcount)

    async def decide(self, appeal: str, outcome: str, by: str, reasons: str, at: int) -> bool:
        """Close an open appeal with a person's decision. False: it is closed or there is none."""
        async with self._begin() as connection:
            changed = await connection.execute(
                update(appeals)
                .where(appeals.c.id == appeal, appeals.c.closed.is_(None))
                .values(closed=at, outcome=outcome, decided_by=by, reasons=reasons)
            )
            if changed.rowcount:
                await _note(connection, appeal, at, "decided")
                entry = await connection.execute(select(appeals.c.reference).where(appeals.c.id == appeal))
                reference = entry.scalar_one()
                told = {"appeal": appeal, "reference": reference, "outcome": outcome, "by": by, "decided": at}
                await _tell(connection, "appeal-decided", at, **told)
            return bool(changed.rowcount)

    async def withdraw(self, appeal: str, at: int) -> bool:
        """Close an open appeal because its author says so, and delete what was said in it."""
        async with self._begin() as connection:
            changed = await connection.execute(
                update(appeals)
                .where(appeals.c.id == appeal, appeals.c.closed.is_(None))
                .values(closed=at, outcome="withdrawn")
            )
            if changed.rowcount:
                await _note(connection, appeal, at, "withdrawn")
                entry = await connection.execute(select(appeals.c.reference).where(appeals.c.id == appeal))
                told = {"appeal": appeal, "reference": entry.scalar_one(), "outcome": "withdrawn", "decided": at}
                await _tell(connection, "appeal-decided", at, **told)
                await _erase(connection, [appeal], at)
        if changed.rowcount:
            await self._forget()
        return bool(changed.rowcount)

    async def erase(self, closed_before: int, at: int) -> int:
        """Delete what can name a person from appeals closed before that time; how many."""
        due = select(appeals.c.id).where(appeals.c.closed < closed_before, appeals.c.erased.is_(None))
        async with self._begin() as connection:
            ids = list((await connection.execute(due)).scalars())
            if ids:
                await _erase(connection, ids, at)
        if ids:
            await self._forget()
        return len(ids)

    async def _forget(self) -> None:
        """SQLite keeps what was written in a journal beside the database until it is folded in: fold it in now."""
        if self._engine.dialect.name == "sqlite":
            async with self._begin() as connection:
                await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    # -- what the steward has yet to hear

    async def messages(self, limit: int = 100) -> list[Message]:
        async with self._begin() as connection:
            rows = await connection.execute(select(outbox).order_by(outbox.c.number).limit(limit))
            return [Message(row.number, row.op, json.loads(row.arguments)) for row in rows]

    async def told(self, message: Message, proof: str | None = None) -> None:
        """The steward has it; `proof`: that it stands in the log now."""
        async with self._begin() as connection:
            gone = await connection.execute(delete(outbox).where(outbox.c.number == message.number))
            if proof is not None and gone.rowcount and message.op in PROVED:
                appeal, what = str(message.arguments["appeal"]), PROVED[message.op]
                await connection.execute(delete(proofs).where(proofs.c.appeal == appeal, proofs.c.what == what))
                await connection.execute(insert(proofs).values(appeal=appeal, what=what, proof=proof))

    async def proofs(self, appeal: str) -> Mapping[str, str]:
        """What of an appeal stands in the log (`received`, `decided`), with the proof of each."""
        async with self._begin() as connection:
            found = await connection.execute(select(proofs.c.what, proofs.c.proof).where(proofs.c.appeal == appeal))
            return {str(what): str(proof) for what, proof in found}

    # -- form tokens

    async def form_key(self, day: int, fresh: bytes) -> bytes:
        """The key of that day, which all hosts share; `fresh` where there is none yet. Older ones are removed."""
        try:
            async with self._begin() as connection:
                await connection.execute(delete(form_keys).where(form_keys.c.day < day - 1))
                await connection.execute(insert(form_keys).values(day=day, key=fresh))
                return fresh
        except IntegrityError:
            async with self._begin() as connection:
                key = await connection.execute(select(form_keys.c.key).where(form_keys.c.day == day))
                return bytes(key.scalar_one())


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


async def _note(connection: AsyncConnection, appeal: str, at: int, what: str, note: str = "") -> None:
    await connection.execute(insert(events).values(appeal=appeal, at=at, what=what, note=note))


async def _tell(connection: AsyncConnection, op: str, since: int, **arguments: object) -> None:
    await connection.execute(insert(outbox).values(op=op, arguments=json.dumps(arguments), since=since))


async def _erase(connection: AsyncConnection, ids: Sequence[str], at: int) -> None:
    for table in (words, proofs):
        await connection.execute(delete(table).where(table.c.appeal.in_(ids)))
    await connection.execute(update(events).where(events.c.appeal.in_(ids)).values(note=""))
    await connection.execute(update(appeals).where(appeals.c.id.in_(ids)).values(erased=at))


def _appeal(row: RowMapping) -> Appeal:
    return Appeal(**{name: row[name] for name in Appeal.__dataclass_fields__})


def _reach(path: Path) -> None:
    """The file is there, for its owner alone, and a database: found out before a thread of aiosqlite meets it."""
    try:
        durable.make_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version")
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the appeals database cannot be used ({path}: {error})") from error


def _engine(url: str) -> AsyncEngine:
    if url.startswith("postgresql://"):
        asyncpg = "postgresql+asyncpg" + url.removeprefix("postgresql")
        return create_async_engine(asyncpg, pool_pre_ping=True, pool_size=4)
    engine = create_async_engine("sqlite+aiosqlite" + url.removeprefix("sqlite"))
    event.listen(engine.sync_engine, "connect", _on_sqlite_connect)
    return engine


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # secure_delete: what is erased is overwritten; synchronous FULL: a receipt that was shown survives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _reason(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).partition("\n")[0] or type(cause).__name__
