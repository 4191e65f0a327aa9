"""The appeals database: what is asked of it and what is written to it, and nothing about HTTP.

Enters: frozen values. Leaves: frozen values. Rules: SQLite by default, PostgreSQL by URL, the same statements for
both; a receipt is durable before it is shown; every change of an appeal writes its event in the same transaction; what
a steward has yet to hear follows from the rows and from what it has heard, so that each of several hosts hears all;
nothing closes an appeal but a decision by a person or its author.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from resolver.portal import database
from resolver.portal.database import StoreError
from resolver.portal.listening import CHANNEL
from resolver.portal.tables import appeals, events, form_keys, shared, stewards, told, words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from sqlalchemy.engine import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

IN_A_QUERY = 1_000
WORDS = ("reason", "contact", "share_contact", "sealed", "tag")
RECENT = 7 * 86400  # seconds after its end that a steward is still told of an appeal
_INSERTS: Mapping[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}  # both with ON CONFLICT


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What its author says in an appeal, and what it is about."""

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
    reason: str
    contact: str
    share_contact: bool
    court: str = ""
    claimed: str = ""
    others: int = 0
    sealed: str = ""
    """Against an entry of a sealed list: name and reasons as they are encrypted to the issuer; `reason` is empty."""
    tag: str = ""


@dataclass(frozen=True, kw_only=True)
class NewAppeal(_Said):
    """An appeal as it comes in."""

    receipt: bytes


@dataclass(frozen=True, kw_only=True)
class Appeal(_Said):
    """An appeal as it is stored. `reason` and `contact` are empty once they were erased."""

    forwarded: int | None
    reminded: int | None
    suspended: int | None
    closed: int | None
    outcome: str | None
    decided_by: str | None
    reasons: str | None
    erased: int | None
    held: int | None = None


@dataclass(frozen=True)
class Event:
    at: int
    what: str
    note: str


@dataclass(frozen=True)
class Message:
    """Something of an appeal that a steward has yet to be told; `what` is `received` or `decided`. `place`: in the
    order of messages."""

    appeal: str
    what: str
    report: Mapping[str, Any]
    place: tuple[int, str]


@dataclass(frozen=True)
class Shared:
    """What one steward says to the others."""

    steward: str
    subject: str
    leaf: int
    proof: str


_APPEAL = select(
    *(column for column in appeals.c if column.name not in ("receipt", "secret")),
    func.coalesce(words.c.reason, "").label("reason"),
    func.coalesce(words.c.contact, "").label("contact"),
    func.coalesce(words.c.share_contact, False).label("share_contact"),
    func.coalesce(words.c.sealed, "").label("sealed"),
    func.coalesce(words.c.tag, "").label("tag"),
).select_from(appeals.outerjoin(words))


class Store:
    """One engine; every method is one transaction. Raises StoreError when the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # In a file there are no messages to save; and SQLite's mode is changed by a thread, so that a task which is
        # cancelled meanwhile would never give its connection back.
        has_messages = engine.dialect.name == "postgresql"
        self._at_once = engine.execution_options(isolation_level="AUTOCOMMIT") if has_messages else engine

    @classmethod
    async def open(cls, url: str) -> Store:
        """Open and bring to the newest form. `url` is the configuration's, without a driver."""
        store = cls(database.engine(url))
        try:
            async with store._begin() as connection:
                await connection.run_sync(database.migrate)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        async with self._using(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def _single(self) -> AsyncIterator[AsyncConnection]:
        """For statements that need no transaction around them: half as many messages, from hosts that always ask."""
        async with self._using(self._at_once) as connection:
            yield connection

    @asynccontextmanager
    async def _using(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            async with engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (DBAPIError, SQLAlchemyError, OSError) as error:
            raise StoreError(f"the appeals database cannot be used ({_reason(error)})") from error

    # -- appeals

    async def add(self, new: NewAppeal) -> bool:
        """Store it with its first event. False: it is there (the form came twice)."""
        return await self.add_all([new])

    async def add_all(self, every: Sequence[NewAppeal]) -> bool:
        """All of one form, or none of them. False: one of them is there."""
        try:
            async with self._begin() as connection:
                for new in every:
                    fields = {name: getattr(new, name) for name in NewAppeal.__dataclass_fields__}
                    said = {name: fields.pop(name) for name in WORDS}
                    await connection.execute(insert(appeals).values(fields))
                    await connection.execute(insert(words).values(appeal=new.id, **said))
                    await _note(connection, new.id, new.received, "received")
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
        async with self._single() as connection:
            return [_appeal(row) for row in (await connection.execute(query)).mappings()]

    async def counts(self) -> Mapping[str, int]:
        """How many appeals there are by outcome; `open` for those without one."""
        query = select(func.coalesce(appeals.c.outcome, "open"), func.count()).group_by(appeals.c.outcome)
        async with self._single() as connection:
            return {str(outcome): int(number) for outcome, number in await connection.execute(query)}

    async def mark(self, appeal: str, what: str, at: int, note: str = "") -> bool:
        """Write `forwarded` or `reminded` on an appeal that is open, or that we mended. False: it is not."""
        waits = appeals.c.closed.is_(None) | (appeals.c.outcome == "mended")
        async with self._begin() as connection:
            changed = await connection.execute(update(appeals).where(appeals.c.id == appeal, waits).values({what: at}))
            if changed.rowcount:
                await _note(connection, appeal, at, what, note)
            return bool(changed.rowcount)

    async def came_due(self, fates: Mapping[str, str], at: int) -> int:
        """Write what a steward did about overdue appeals that are open: `suspended` or `held`; how many were new."""
        new = 0
        async with self._begin() as connection:
            for appeal, fate in fates.items():
                if fate not in ("suspended", "held"):
                    continue
                still = appeals.c.closed.is_(None) & appeals.c[fate].is_(None)
                changed = await connection.execute(
                    update(appeals).where(appeals.c.id == appeal, still).values({fate: at})
                )
                if changed.rowcount:
                    await _note(connection, appeal, at, fate)
                new += changed.rowcount
        return new

    async def decide(self, which: Sequence[str], outcome: str, by: str, reasons: str, at: int) -> list[str]:
        """Close appeals with a person's decision; those that were open."""
        closed = []
        async with self._begin() as connection:
            for appeal in which:
                changed = await connection.execute(
                    update(appeals)
                    .where(appeals.c.id == appeal, appeals.c.closed.is_(None))
                    .values(closed=at, outcome=outcome, decided_by=by, reasons=reasons)
                )
                if changed.rowcount:
                    await _note(connection, appeal, at, "decided")
                    closed.append(appeal)
        return closed

    async def known(self, ids: Sequence[str]) -> set[str]:
        """Those of these appeals that are here, open or closed."""
        async with self._begin() as connection:
            found = set[str]()
            for at in range(0, len(ids), IN_A_QUERY):
                some = select(appeals.c.id).where(appeals.c.id.in_(ids[at : at + IN_A_QUERY]))
                found.update((await connection.execute(some)).scalars())
            return found

    async def withdraw(self, appeal: str, secret: bytes, at: int) -> bool:
        """Close an open appeal because its author says so, and delete what was said in it. `secret`: the receipt's, by
        which stewards know that the author says so."""
        async with self._begin() as connection:
            changed = await connection.execute(
                update(appeals)
                .where(appeals.c.id == appeal, appeals.c.closed.is_(None))
                .values(closed=at, outcome="withdrawn", secret=secret)
            )
            if changed.rowcount:
                await _note(connection, appeal, at, "withdrawn")
                await _erase(connection, [appeal], at)
        if changed.rowcount:
            await self._forget()
        return bool(changed.rowcount)

    async def erase(self, closed_before: int, at: int) -> int:
        """Delete what can name a person from appeals closed before that time; how many."""
        due = select(appeals.c.id).where(appeals.c.closed < closed_before, appeals.c.erased.is_(None))
        async with self._single() as connection:
            ids = list((await connection.execute(due)).scalars())
        if ids:
            async with self._begin() as connection:
                await _erase(connection, ids, at)
        if ids:
            await self._forget()
        return len(ids)

    async def _forget(self) -> None:
        """SQLite keeps what was written in a journal beside the database until it is folded in: fold it in now."""
        if self._engine.dialect.name == "sqlite":
            async with self._begin() as connection:
                await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    # -- what a steward has yet to hear, and what stewards say to each other

    async def messages(
        self, steward: str, now: int, limit: int = 100, after: tuple[int, str] = (0, "")
    ) -> list[Message]:
        """What this steward has not heard of appeals that are open, or ended of late; the oldest first, beyond
        the place `after`. It hears that one came in before it hears how that ended."""
        of_late = appeals.c.closed.is_(None) | (appeals.c.closed > now - RECENT)
        columns = [appeals.c[name] for name in (*_ABOUT, "id", "receipt", "secret", "outcome", "closed")]
        received, decided = told.alias(), told.alias()
        query = (
            select(*columns, received.c.what.label("has_received"))
            .select_from(
                appeals.outerjoin(received, _heard(received, steward, "received")).outerjoin(
                    decided, _heard(decided, steward, "decided")
                )
            )
            .where((appeals.c.received > after[0]) | (appeals.c.received == after[0]) & (appeals.c.id > after[1]))
            .where(of_late, received.c.what.is_(None) | (appeals.c.closed.is_not(None) & decided.c.what.is_(None)))
            .order_by(appeals.c.received, appeals.c.id)
            .limit(limit)
        )
        async with self._single() as connection:
            return [_message(row) for row in (await connection.execute(query)).mappings()]

    async def heard(self, proofs: Sequence[tuple[Message, str]], steward: str) -> None:
        """The steward has them; with each the proof that it stands in its log."""
        if not proofs:
            return
        rows = [
            {"appeal": message.appeal, "what": message.what, "steward": steward, "proof": proof}
            for message, proof in proofs
        ]
        try:
            async with self._begin() as connection:
                await connection.execute(insert(told), rows)
        except IntegrityError:  # another round of the same host was quicker with one; all are reported once more
            return

    async def proofs(self, appeal: str, steward: str) -> Mapping[str, str]:
        """What of an appeal stands in this steward's log (`received`, `decided`), with the proof of each."""
        query = select(told.c.what, told.c.proof).where(
            told.c.appeal == appeal, told.c.steward == steward, told.c.proof != ""
        )
        async with self._single() as connection:
            return {str(what): str(proof) for what, proof in await connection.execute(query)}

    async def present(self, steward: str, vkey: str, now: int, report: str, stages: str = "") -> Mapping[str, str]:
        """Say that this steward is there, what its host runs, and what hosts of later waves need of it; the keys of the
        logs of all that were there of late, by name."""
        row = {"vkey": vkey, "seen": now, "report": report, "stages": stages}
        upsert = _INSERTS[self._engine.dialect.name](stewards).values(steward=steward, **row)
        async with self._single() as connection:
            await connection.execute(upsert.on_conflict_do_update(index_elements=["steward"], set_=row))
            query = select(stewards.c.steward, stewards.c.vkey).where(stewards.c.seen > now - RECENT)
            return {str(name): str(key) for name, key in await connection.execute(query)}

    async def reports(self, now: int) -> list[tuple[str, int, str]]:
        """Name, time and report of every host that was there of late."""
        query = select(stewards.c.steward, stewards.c.seen, stewards.c.report).where(stewards.c.seen > now - RECENT)
        async with self._single() as connection:
            return [(row.steward, row.seen, row.report) for row in await connection.execute(query)]

    async def stages(self, steward: str, now: int) -> list[str]:
        """What the other hosts of earlier waves say, of those that were there of late."""
        said = stewards.c.stages
        query = select(said).where(said != "", stewards.c.steward != steward, stewards.c.seen > now - RECENT)
        async with self._single() as connection:
            return list((await connection.execute(query)).scalars())

    async def share(self, steward: str, said: Sequence[Shared]) -> None:
        """What this steward says to the others now, instead of all that it said before. They hear of it at once."""
        async with self._begin() as connection:
            await connection.execute(delete(shared).where(shared.c.steward == steward))
            for one in said:
                row = {"steward": steward, "subject": one.subject, "leaf": one.leaf, "proof": one.proof}
                await connection.execute(insert(shared).values(row))
            if self._engine.dialect.name == "postgresql":
                await connection.execute(text(f"NOTIFY {CHANNEL}"))

    async def shared(self) -> list[Shared]:
        """What all stewards say."""
        async with self._single() as connection:
            rows = await connection.execute(select(shared).order_by(shared.c.steward, shared.c.leaf))
            return [Shared(row.steward, row.subject, row.leaf, row.proof) for row in rows]

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


async def _note(connection: AsyncConnection, appeal: str, at: int, what: str, note: str = "") -> None:
    await connection.execute(insert(events).values(appeal=appeal, at=at, what=what, note=note))


async def _erase(connection: AsyncConnection, ids: Sequence[str], at: int) -> None:
    await connection.execute(delete(words).where(words.c.appeal.in_(ids)))
    await connection.execute(update(told).where(told.c.appeal.in_(ids)).values(proof=""))
    await connection.execute(update(events).where(events.c.appeal.in_(ids)).values(note=""))
    await connection.execute(update(appeals).where(appeals.c.id.in_(ids)).values(erased=at))


_ABOUT = ("reference", "name", "list", "ground", "received", "due")


def _heard(of: Any, steward: str, what: str) -> Any:
    return (of.c.appeal == appeals.c.id) & (of.c.steward == steward) & (of.c.what == what)


def _message(row: RowMapping) -> Message:
    place = row["received"], row["id"]
    if row["has_received"] is None:
        about = {name: row[name] for name in _ABOUT}
        return _report(place, "received", "received", **about, receipt=bytes(row["receipt"]).hex())
    if row["outcome"] == "withdrawn":
        return _report(place, "decided", "withdrawn", secret=bytes(row["secret"] or b"").hex())
    return _report(place, "decided", "decision")


def _report(place: tuple[int, str], what: str, reported: str, **more: Any) -> Message:
    appeal = place[1]
    return Message(appeal, what, {"what": reported, "appeal": appeal, **more}, place)


def _appeal(row: RowMapping) -> Appeal:
    return Appeal(**{name: row[name] for name in Appeal.__dataclass_fields__})


def _reason(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).partition("\n")[0] or type(cause).__name__
