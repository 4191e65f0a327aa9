"""The appeals database: the same tests on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import gc
import shlex
import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from resolver.ipc.control import ControlError, UnreachableError
from resolver.ipc.issuer_decisions import Decision
from resolver.portal import clock, decisions
from resolver.portal.app import Web
from resolver.portal.database import MIGRATIONS, NEWEST, StoreError, migrate
from resolver.portal.database import engine as open_engine
from resolver.portal.store import NewAppeal, Shared, Store
from resolver.portal.tables import tables
from tests.conftest import find_program
from tests.rigs import postgres
from tests.rigs.portal_world import NOW, REFERENCE, configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from sqlalchemy.engine import Connection

    Run = Callable[[Callable[[Store], Coroutine[Any, Any, Any]]], Any]

DAY = 86400
SECRET = b"s" * 16
KEEP = 182 * DAY
NEW = NewAppeal(
    id="A-1", receipt=b"r" * 32, reference=REFERENCE, name="example.com", list="gambling", role="owner",
    ground="lawful", language="de", received=NOW, due=NOW + 14 * DAY, suspends=True, reason="Ünïcode \U0001f6b2 'x'",
    contact="me@shop.example", share_contact=True,
)  # fmt: skip


def number(count: int) -> NewAppeal:
    return replace(NEW, id=f"A-{count}", receipt=bytes([count]) * 32)


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[postgres.Server]:
    with postgres.restartable() as one:
        yield one


@pytest.fixture(scope="module")
def postgres_url(postgres_server: postgres.Server) -> str:
    return postgres_server.url


async def empty_database(server: str, name: str) -> str:
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return f"{server}/{name}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("initdb"))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'portal.db'}"
    return asyncio.run(empty_database(request.getfixturevalue("postgres_url"), "appeals"))


@pytest.fixture
def run(url: str) -> Run:
    def runner(work: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
        async def whole() -> Any:
            store = await Store.open(url)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(whole())

    return runner


def test_what_was_stored_is_there_after_a_restart(run: Run) -> None:
    async def write(store: Store) -> None:
        assert await store.add(NEW)

    async def read(store: Store) -> Any:
        return await store.by_receipt(NEW.receipt)

    run(write)
    appeal, happened = run(read)
    assert (appeal.reason, appeal.contact, appeal.share_contact) == (NEW.reason, NEW.contact, True)
    assert [(one.what, one.at) for one in happened] == [("received", NOW)]


def test_the_same_receipt_is_stored_once(run: Run) -> None:
    async def work(store: Store) -> None:
        assert [await store.add(NEW), await store.add(replace(NEW, id="A-2"))] == [True, False]
        assert [one.id for one in await store.all()] == ["A-1"]
        assert len(await store.messages("a", NOW)) == 1

    run(work)


def test_the_nearest_deadline_comes_first_and_closed_ones_last(run: Run) -> None:
    async def work(store: Store) -> None:
        for count, due in ((1, 300), (2, 100), (3, 200), (4, 50)):
            await store.add(replace(number(count), due=NOW + due))
        await store.decide(["A-4"], "upheld", "x", "y", NOW)
        assert [one.id for one in await store.all()] == ["A-2", "A-3", "A-1"]
        assert [one.id for one in await store.all(closed=True)] == ["A-2", "A-3", "A-1", "A-4"]
        assert await store.all(reference="0" * 16) == []

    run(work)


def test_an_appeal_is_decided_once(run: Run) -> None:
    async def work(store: Store) -> None:
        await store.add(NEW)
        assert await store.decide(["A-1"], "granted", "Ms Judge", "because", NOW + 5)
        assert not await store.decide(["A-1"], "upheld", "Mr Late", "no", NOW + 6)
        assert not await store.withdraw("A-1", SECRET, NOW + 7)
        assert not await store.mark("A-1", "forwarded", NOW + 8)
        found = await store.by_id("A-1")
        assert found is not None
        assert (found[0].outcome, found[0].decided_by) == ("granted", "Ms Judge")
        assert await store.counts() == {"granted": 1}

    run(work)


def test_the_words_go_on_schedule_and_the_count_stays(run: Run) -> None:
    async def work(store: Store) -> None:
        await store.add(number(1))
        await store.add(number(2))
        await store.mark("A-1", "forwarded", NOW, "with a note that names somebody")
        await store.decide(["A-1"], "upheld", "x", "public reasons", NOW)
        rounds = [await clock.round_of(store, [], NOW + moment, KEEP) for moment in (KEEP, KEEP + 1, 9 * KEEP)]
        assert rounds == [(0, 0), (0, 1), (0, 0)], "not a day early, and once"
        one, happened = await store.by_id("A-1") or pytest.fail("gone")
        assert (one.reason, one.contact, one.reasons) == ("", "", "public reasons")
        assert not any(each.note for each in happened)
        other, _ = await store.by_id("A-2") or pytest.fail("gone")
        assert other.reason == NEW.reason, "an open appeal keeps its words"

    run(work)


def test_a_receipt_says_what_the_steward_did_about_an_overdue_appeal(run: Run) -> None:
    async def work(store: Store) -> None:
        for count in (1, 2, 3):
            await store.add(number(count))
        await store.add(replace(number(4), suspends=False))
        steward = Steward(fates={"A-1": "suspended", "A-2": "held", "A-3": "nothing"})
        learnt = [await clock.learn(store, steward, moment) for moment in (NEW.due, NEW.due + 1, NEW.due + 99)]
        assert learnt == [0, 2, 0]
        assert steward.asked == [["A-1", "A-2", "A-3"], ["A-2", "A-3"]], (
            "one whose ground forbids it is never asked for"
        )
        found = {one.id: (one.suspended, one.held, one.closed) for one in await store.all()}
        assert found["A-1"] == (NEW.due + 1, None, None)
        assert found["A-2"] == (None, NEW.due + 1, None)
        assert found["A-3"] == (None, None, None), "nothing closes itself"
        _, happened = await store.by_id("A-2") or pytest.fail("gone")
        assert [one.what for one in happened] == ["received", "held"]
        assert await clock.learn(store, Steward(away=True), NEW.due + 100) == 0

    run(work)


def test_hosts_that_share_a_database_do_each_thing_once(run: Run, url: str) -> None:
    async def work(store: Store) -> None:
        await store.add(NEW)
        granted = Decision("gambling", "A-1", REFERENCE, NOW + 60, "granted", "You are right.", "Ms Judge")
        others = [await Store.open(url) for _ in range(3)]
        try:
            rounds = await asyncio.gather(
                *(clock.round_of(one, [granted], NOW + 99, KEEP) for one in (store, *others)), return_exceptions=True
            )
            done = [one for one in rounds if not isinstance(one, BaseException)]
            assert sum(closed for closed, _ in done) == 1
            keys = await asyncio.gather(*(one.form_key(7, bytes([n]) * 32) for n, one in enumerate((store, *others))))
            assert len(set(keys)) == 1
        finally:
            for one in others:
                await one.close()

    run(work)


def test_each_host_s_steward_hears_all_of_every_appeal(run: Run) -> None:
    async def work(store: Store) -> None:
        await store.add(number(1))
        one, other = Steward(), Steward()
        assert await clock.deliver(store, one, "a", NOW)
        await store.add(number(2))
        await store.withdraw("A-1", SECRET, NOW + 5)
        await store.decide(["A-2"], "upheld", "x", "y", NOW + 5)
        for steward, host in ((one, "a"), (other, "b"), (one, "a"), (other, "b")):
            assert await clock.deliver(store, steward, host, NOW + 6)
        assert sorted(one.told) == sorted(other.told)
        assert sorted(one.told) == [
            ("decision", "A-2"),
            ("received", "A-1"),
            ("received", "A-2"),
            ("withdrawn", "A-1"),
        ]
        assert other.told.index(("received", "A-1")) < other.told.index(("withdrawn", "A-1"))
        late = Steward()
        assert await clock.deliver(store, late, "c", NOW + 8 * DAY)
        assert late.told == [], "a host that comes later hears of what is open"

    run(work)


def test_the_proof_on_a_receipt_is_that_of_the_host_that_shows_it(run: Run) -> None:
    async def work(store: Store) -> None:
        await store.add(number(1))
        for host in ("a", "b"):
            await clock.deliver(store, Steward(proof=f"proof of {host}"), host, NOW)
        assert [await store.proofs("A-1", host) for host in ("a", "b", "c")] == [
            {"received": "proof of a"}, {"received": "proof of b"}, {},
        ]  # fmt: skip

    run(work)


def test_stewards_know_of_each_other_and_what_each_says(run: Run) -> None:
    async def work(store: Store) -> None:
        assert await store.present("a", "key of a", NOW, "{}") == {"a": "key of a"}
        assert await store.present("b", "key of b", NOW + DAY, "{}") == {"a": "key of a", "b": "key of b"}
        assert await store.present("b", "key of b", NOW + 9 * DAY, "{}") == {"b": "key of b"}, "a is gone for a week"
        said = Shared("a", "override/example.com", 7, "proof")
        await store.share("a", [said])
        await store.share("b", [replace(said, steward="b", leaf=3)])
        assert [(one.steward, one.leaf) for one in await store.shared()] == [("a", 7), ("b", 3)]
        await store.share("a", [])
        assert [one.steward for one in await store.shared()] == ["b"]

    run(work)


def test_several_processes_may_start_at_once_on_an_empty_database(url: str) -> None:
    program = "import asyncio, sys; from resolver.portal.store import Store; s = asyncio.run(Store.open(sys.argv[1]))"
    processes = [subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE) for _ in range(3)]
    ends = [(process.communicate(timeout=180)[1], process.returncode) for process in processes]
    assert [code for _, code in ends] == [0, 0, 0], ends


def test_a_database_of_a_newer_version_is_left_alone(run: Run, url: str) -> None:
    async def work(store: Store) -> None:
        async with store._begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    run(work)
    with pytest.raises(StoreError, match="newer version"):
        asyncio.run(Store.open(url))


def test_the_newest_form_is_the_last_migration_there_is() -> None:
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(settings).get_heads() == [NEWEST]


class Steward:
    """Takes what it is told; `away` and `refuses` are how it may be."""

    def __init__(
        self, *, away: bool = False, refuses: str = "", proof: str | None = None, fates: dict[str, str] | None = None
    ) -> None:
        self.away, self.refuses, self.proof, self.fates = away, refuses, proof, fates or {}
        self.told: list[tuple[str, str]] = []
        self.asked: list[list[str]] = []
        self.batches: list[int] = []

    async def __call__(self, op: str, **arguments: Any) -> dict[str, Any]:
        if self.away:
            raise UnreachableError("nobody listens")
        if op == "appeal-fates":
            self.asked += [arguments["appeals"]] if arguments["appeals"] else []
            return {"fates": {one: self.fates[one] for one in arguments["appeals"] if one in self.fates}}
        if self.refuses == op:
            raise ControlError("no such operation")
        answers: list[dict[str, Any]] = []
        self.batches.append(len(arguments["reports"]))
        for report in arguments["reports"]:
            if report["what"] == self.refuses:
                answers.append({"error": "nothing was decided"})
                continue
            self.told.append((report["what"], report["appeal"]))
            answers.append({"leaf": len(self.told), "proof": self.proof})
        return {"answers": answers}


def test_what_the_steward_has_to_hear_waits_while_it_is_away(run: Run) -> None:
    async def work(store: Store) -> None:
        await store.add(NEW)
        assert not await clock.deliver(store, Steward(away=True), "a", NOW)
        assert len(await store.messages("a", NOW)) == 1
        steward = Steward()
        assert await clock.deliver(store, steward, "a", NOW)
        assert await clock.deliver(store, steward, "a", NOW)
        assert steward.told == [("received", "A-1")]

    run(work)


def test_what_the_steward_refuses_waits_and_holds_nothing_up(run: Run) -> None:
    async def work(store: Store) -> None:
        await store.add(number(1))
        await store.add(number(2))
        assert await clock.deliver(store, Steward(), "a", NOW)
        await store.decide(["A-1"], "granted", "x", "y", NOW)
        await store.withdraw("A-2", SECRET, NOW)
        steward = Steward(refuses="decision")
        assert await clock.deliver(store, steward, "a", NOW)
        assert steward.told == [("withdrawn", "A-2")]
        assert [one.report["what"] for one in await store.messages("a", NOW)] == ["decision"]

    run(work)


def test_a_flood_is_told_in_batches_past_what_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "REPORTS", 4)
    ids = [f"A-{count}" for count in range(1, 10)]

    async def work(store: Store) -> None:
        await store.add_all([number(count) for count in range(1, 10)])
        assert await clock.deliver(store, Steward(), "a", NOW)
        await store.decide(ids[:5], "upheld", "x", "y", NOW)
        await store.withdraw("A-9", SECRET, NOW)
        steward = Steward(refuses="decision")
        assert await clock.deliver(store, steward, "a", NOW)
        assert steward.told == [("withdrawn", "A-9")], "five that are refused, more than a batch, hold nothing up"
        later = Steward()
        assert await clock.deliver(store, later, "a", NOW)
        assert (later.batches, len(later.told)) == ([4, 1], 5)
        assert await store.known(["A-1", "A-77"]) == {"A-1"}

    run(work)


def test_only_the_list_that_blocks_decides_and_only_about_its_entry(run: Run) -> None:
    good = Decision("gambling", "A-1", REFERENCE, NOW + 60, "granted", "You are right.", "Ms Judge")

    async def work(store: Store) -> None:
        await store.add(NEW)
        wrong = [replace(good, list="other"), replace(good, reference="0" * 16), replace(good, appeal="A-9")]
        assert await decisions.apply(store, wrong) == 0
        assert await decisions.apply(store, [good]) == 1
        assert await decisions.apply(store, [replace(good, outcome="upheld")]) == 0
        one, _ = await store.by_id("A-1") or pytest.fail("gone")
        assert (one.outcome, one.reasons, one.closed) == ("granted", "You are right.", NOW + 60)

    run(work)


def test_a_signer_s_name_is_never_too_long_for_the_receipt(run: Run) -> None:
    long = Decision("gambling", "A-1", REFERENCE, NOW + 60, "upheld", "It stands.", "Judge " + "x" * 1994)
    longest = replace(long, appeal="A-2", by="y" * 200)

    async def work(store: Store) -> None:
        await store.add_all([number(1), number(2)])
        assert await decisions.apply(store, [long, longest]) == 2
        by = [(await store.by_id(one.appeal) or pytest.fail("gone"))[0].decided_by or "" for one in (long, longest)]
        assert by[0].startswith("Judge xxx")
        assert by[0].endswith("… (2000 characters)")
        assert [len(by[0]) <= 200, by[1]] == [True, longest.by]

    run(work)


def test_a_decision_that_the_database_does_not_take_keeps_no_other_waiting(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = Store.decide

    async def refusing(store: Store, which: Sequence[str], *said: Any) -> list[str]:
        if which == ["A-1"]:
            raise StoreError("the appeals database cannot be used (value too long)")
        return await decide(store, which, *said)

    async def work(store: Store) -> None:
        await store.add_all([number(1), number(2)])
        signed = [Decision("gambling", f"A-{n}", REFERENCE, NOW + 60, "upheld", "It stands.", "x") for n in (1, 2)]
        monkeypatch.setattr(Store, "decide", refusing)
        with pytest.raises(StoreError, match="value too long"):
            await decisions.apply(store, signed)
        assert [one.id for one in await store.all()] == ["A-1"]

    run(work)


def test_the_form_key_of_a_day_stays_and_old_ones_go(run: Run) -> None:
    async def work(store: Store) -> None:
        assert await store.form_key(10, b"a" * 32) == b"a" * 32
        assert await store.form_key(10, b"b" * 32) == b"a" * 32
        assert await store.form_key(12, b"c" * 32) == b"c" * 32
        assert await store.form_key(10, b"d" * 32) == b"d" * 32, "the key of two days ago was deleted"

    run(work)


def test_the_migrations_lead_to_the_tables_that_the_code_names(run: Run) -> None:
    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), tables))

    async def work(store: Store) -> None:
        async with store._begin() as connection:
            assert await connection.run_sync(differences) == []

    run(work)


def test_a_database_of_the_first_version_is_brought_up_with_what_is_in_it(url: str) -> None:
    first = {"id": "A-1", "receipt": NEW.receipt, "reference": REFERENCE, "name": "example.com", "list": "gambling",
             "role": "", "ground": "", "language": "de", "received": NOW, "due": NOW, "suspends": True}  # fmt: skip

    async def work() -> None:
        engine = open_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(migrate, "0001")
        async with engine.begin() as connection:
            columns, values = ", ".join(f'"{name}"' for name in first), ", ".join(f":{name}" for name in first)
            await connection.execute(text(f"INSERT INTO appeals ({columns}) VALUES ({values})"), first)
        await engine.dispose()
        store = await Store.open(url)
        try:
            one, _ = await store.by_receipt(NEW.receipt) or pytest.fail("gone")
            assert (one.id, one.court) == ("A-1", "")
            assert await store.add(replace(number(2), court="Administrative Court"))
        finally:
            await store.close()

    asyncio.run(work())


def test_there_is_no_column_for_an_address(run: Run) -> None:
    def columns(connection: Connection) -> set[str]:
        found = inspect(connection)
        return {column["name"] for table in found.get_table_names() for column in found.get_columns(table)}

    async def work(store: Store) -> None:
        async with store._begin() as connection:
            names = await connection.run_sync(columns)
        assert not [name for name in names if any(word in name for word in ("ip", "address", "agent", "host"))
                    and name not in ("receipt", "description")]  # fmt: skip

    run(work)


def test_a_database_that_is_away_is_said_so_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk" * 1000)
    for url in ("sqlite:////proc/no/x.db", f"sqlite:///{tmp_path / 'junk.db'}", "postgresql://127.0.0.1:1/none"):
        with pytest.raises(StoreError, match="the appeals database cannot be used") as away:
            asyncio.run(Store.open(url))
        assert "[Errno 2]" not in str(away.value)


def test_a_database_that_cannot_be_opened_is_an_alarm_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk" * 1000)

    async def play() -> tuple[list[str], list[str]]:
        web = Web(configuration(tmp_path, portal={"database": f"sqlite:///{tmp_path / 'junk.db'}"}))
        before = web.alarms()
        keeping = asyncio.create_task(web._keep_time())
        while web.alarms() == before:  # noqa: ASYNC110 - nothing says so
            await asyncio.sleep(0.01)
        keeping.cancel()
        return before, web.alarms()

    before, (alarm,) = asyncio.run(asyncio.wait_for(play(), 60))
    assert before == ["the database is not open yet: appeals wait"]
    assert alarm.startswith("the appeals database cannot be used (")
    assert alarm.endswith("): appeals wait")


@pytest.mark.needs("initdb")
def test_a_database_server_that_was_restarted_is_used_again(postgres_server: postgres.Server) -> None:
    """Its connections are gone; the next thing that is stored or read goes through all the same."""

    async def work() -> None:
        store = await Store.open(await empty_database(postgres_server.url, "restarted"))
        try:
            for count in range(1, 4):
                assert await store.add(number(count))
                await asyncio.to_thread(postgres_server.restart)
                appeal, _ = await store.by_receipt(number(count).receipt) or (None, None)
                assert appeal is not None
                assert appeal.id == f"A-{count}"
        finally:
            await store.close()

    asyncio.run(work())


class Cut(Generator[Any, None, None]):
    """Awaits work, and has the task cancelled at the `at`-th wait."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int) -> None:
        self.work, self.left = work, at

    def __await__(self) -> Cut:
        return self

    def send(self, value: None) -> Any:
        return self._waits(self.work.send(value))

    def throw(self, *error: Any) -> Any:
        return self._waits(self.work.throw(*error))

    def _waits(self, future: Any) -> Any:
        self.left -= 1
        if self.left == 0 and (task := asyncio.current_task()):
            task.cancel()
        return future


def test_whenever_a_task_is_cancelled_its_connection_comes_back(url: str) -> None:
    async def cut(work: Coroutine[Any, Any, Any], at: int) -> bool:
        try:
            await Cut(work, at)
        except asyncio.CancelledError:
            return True
        return False

    async def work() -> None:
        await (await Store.open(url)).close()
        engine = open_engine(url)
        store = Store(engine)
        try:
            for ask in (store.counts, store.all, partial(store.by_id, "A-1"), partial(store.add, NEW)):
                cuts = 0
                while await asyncio.create_task(cut(ask(), cuts + 1)):
                    cuts += 1
                    while engine.sync_engine.pool.checkedout():  # type: ignore[attr-defined]  # a task gives it back
                        gc.collect()  # what was lost is found here, and said
                        await asyncio.sleep(0.001)
                assert cuts > 1
        finally:
            await store.close()

    asyncio.run(work())


# -- SQLite alone


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_what_is_erased_is_overwritten_on_the_disk(tmp_path: Path) -> None:
    async def work() -> None:
        store = await Store.open(f"sqlite:///{tmp_path / 'portal.db'}")
        await store.add(replace(NEW, reason="unmistakable-words " * 50))
        await store.decide(["A-1"], "upheld", "x", "y", NOW)
        assert b"unmistakable-words" in written(tmp_path)
        assert await store.erase(NOW + 1, NOW + 2) == 1
        assert b"unmistakable-words" not in written(tmp_path)
        await store.close()

    asyncio.run(work())


GUIDE = Path(__file__).parents[2] / "docs" / "appeals.md"
PLACES = {"sqlite": "/var/lib/stopsign-web/portal.db", "postgresql": "postgresql://stopsign@db.isp.example/appeals"}


def typed(database: str, place: str, folder: Path) -> list[list[str]]:
    """The guide's two commands for this database, backup and restore, with this test's places in them."""
    lines = [line.strip() for line in GUIDE.read_text("utf-8").splitlines() if line.startswith("    ")]
    found = [line for line in lines if PLACES[database] in line]
    assert len(found) == 2, found
    commands = [
        shlex.split(line.replace(PLACES[database], place).replace("/var/backups", str(folder))) for line in found
    ]
    return [[find_program(program) or program, *rest] for program, *rest in commands]


SQLITE = pytest.param("sqlite", marks=pytest.mark.needs("sqlite3"))
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.needs("initdb"))


@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL])
def test_a_backup_taken_while_it_runs_can_be_put_back_as_the_guide_says(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()

    async def work() -> None:
        if database == "sqlite":
            place, url = str(tmp_path / "portal.db"), f"sqlite:///{tmp_path / 'portal.db'}"
        else:
            place = url = await empty_database(request.getfixturevalue("postgres_url"), "kept")
        backup, restore = typed(database, place, backups)
        store = await Store.open(url)
        await store.add(NEW)
        await asyncio.to_thread(subprocess.run, backup, check=True, timeout=60)
        await store.decide(["A-1"], "upheld", "x", "y", NOW)
        await store.add(number(2))
        await store.close()
        await asyncio.to_thread(subprocess.run, restore, check=True, timeout=60)
        again = await Store.open(url)
        one, happened = await again.by_receipt(NEW.receipt) or pytest.fail("gone")
        assert (one.reason, one.closed, [each.what for each in happened]) == (NEW.reason, None, ["received"])
        assert [one.id for one in await again.all(closed=True)] == ["A-1"], "what came after the backup is gone"
        assert [message.report["what"] for message in await again.messages("a", NOW)] == ["received"]
        assert await again.add(number(3)), "what is restored can be written to"
        await again.close()

    asyncio.run(work())
