"""Blocks counted: each once, whatever dies when; and what of it the public log gets, a day late."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import time
from array import array
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import zstandard

from resolver import _core
from resolver._core import CompiledList
from resolver.base.dns_question import Answer
from resolver.base.errors import ResolverError
from resolver.base.paths import Places
from resolver.config.schema_upstreams import Upstream
from resolver.config.values import Endpoint
from resolver.ipc.entry_hits import MOST, Cells, waiting
from resolver.policy import generations
from resolver.policy.generations import Generations
from resolver.stats.collect import Counting
from resolver.stats.daily_counts import Counts, band_of
from resolver.stats.resolving import Resolving
from tests.rigs.counted import Ticked, raised

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from resolver.config.schema_lists import Action
    from resolver.log.writer import Event


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path / "state", tmp_path / "run", tmp_path / "state" / "log")
    found.workers.mkdir(parents=True)
    found.audit_dir.mkdir(parents=True)
    return found


@pytest.fixture
def counts(places: Places) -> Counts:
    return Counts(places.audit_dir / "counts.db")


def hundred() -> dict[str, int]:
    """The sizes of the lists: long enough for the log."""
    return {"gambling": 100}


def make_live(
    places: Places, generation: int = 1, *, action: Action = "stop-page", **lists: Sequence[str]
) -> CompiledList:
    """The live compiled list: of these lists, whose entries have these references."""
    sources: list[_core.Source] = []
    for name, references in lists.items():
        document = places.run_dir / f"{name}.zst"
        lines = [
            {"basis": "order-1", "category": "gambling", "expires": "2035-01-01T00:00:00Z",
             "issued": "2026-11-22T00:00:00Z", "match": "subtree", "name": f"{number:06}.example",
             "reference": reference}
            for number, reference in enumerate(references)
        ]  # fmt: skip
        told = "".join(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n" for line in lines)
        document.write_bytes(zstandard.compress(told.encode()))
        sources.append({"document": str(document), "action": action, "ede": 16, "bases": ["order-1"], "suspended": []})
    meta = {"generation": generation, "lists": [{"name": name, "version": 1} for name in lists]}
    _core.compile(sources, places.run_dir / "next.list", json.dumps(meta).encode())
    (places.run_dir / "next.list").rename(places.current)
    return CompiledList.open(places.current)


def begun(places: Places, opened: CompiledList, worker: int = 0) -> Cells:
    meta = json.loads(opened.meta)
    names = [one["name"] for one in meta["lists"]]
    return Cells.create(places, worker, generation=meta["generation"], lists=names, entries=opened.entries)


def met(places: Places, opened: CompiledList, hits: Mapping[str, int], worker: int = 0) -> Path:
    """What a worker leaves behind: these references stopped so many queries."""
    cells = begun(places, opened, worker)
    totals, counted = array("Q", bytes(8 * 65)), array("I", bytes(4 * opened.entries))
    for number in range(opened.entries):
        of = opened.entry(number)
        counted[number] = hits.get(of.reference, 0)
        totals[0] += counted[number]
        totals[1 + of.list] += counted[number]
    with cells.path.open("r+b") as file:
        file.seek(cells.at)
        file.write(totals.tobytes() + counted.tobytes())
    cells.close()
    return cells.path


def gather(places: Places, counts: Counts, now: str) -> None:
    for batch in waiting(places, Generations(places).open, raised):
        counts.gather(batch, at(now))


def test_what_several_workers_counted_adds_up(places: Places, counts: Counts) -> None:
    live = make_live(places, gambling=["A" * 16, "C" * 16], piracy=["B" * 16])
    for worker in range(3):
        met(places, live, {"A" * 16: 5, "B" * 16: 1, "C" * 16: 2}, worker)
    gather(places, counts, "2026-11-22")
    assert counts.day("2026-11-22") == {"gambling": 21, "piracy": 3}
    assert counts.month("2026-11") == {
        ("gambling", "A" * 16): 15, ("gambling", "C" * 16): 6, ("piracy", "B" * 16): 3,
    }  # fmt: skip
    assert not list(places.workers.glob("*.hits"))


def test_of_a_sealed_list_the_log_counts_bands_and_names_no_entry(places: Places, counts: Counts) -> None:
    live = make_live(places, police=["A" * 16, "B" * 16, "C" * 16], piracy=["D" * 16])
    met(places, live, {"A" * 16: 15, "B" * 16: 20, "C" * 16: 5, "D" * 16: 12})
    gather(places, counts, "2026-11-22")
    categories = {"A" * 16: "abuse", "D" * 16: "piracy"}
    due = counts.due(at("2027-01-03"), lambda: {"police": 30, "piracy": 10}, ["police"], lambda _: categories)
    bands = {str(event.detail["list"]): event.detail for event in due.events if event.type == "bands"}
    assert bands["police"] == {
        "month": "2026-11", "list": "police", "entries": 30, "met": 3, "not_attributed": 0, "bands": {},
        "in_bands": {"abuse": {"10-99": 1}, "no longer listed": {"10-99": 1}},
    }  # fmt: skip
    assert bands["piracy"]["bands"] == {"D" * 16: "10-99"}


def test_a_file_is_taken_when_its_worker_lets_go_of_it_and_not_before(places: Places, counts: Counts) -> None:
    live = make_live(places, gambling=["A" * 16])
    cells = begun(places, live)
    with cells.path.open("r+b") as file:
        file.seek(cells.at)
        file.write(struct.pack("<QQ", 4, 4))
        file.seek(-4, os.SEEK_END)
        file.write(struct.pack("<I", 4))
    gather(places, counts, "2026-11-22")
    assert (counts.day("2026-11-22"), cells.met) == ({}, 4)
    cells.close()
    gather(places, counts, "2026-11-22")
    assert counts.day("2026-11-22") == {"gambling": 4}


def test_a_file_that_counted_nothing_is_gone_when_its_worker_lets_go_of_it(places: Places) -> None:
    begun(places, make_live(places, gambling=["A" * 16])).close()
    assert not list(places.workers.iterdir())


def test_a_batch_that_outlived_a_crash_of_the_steward_counts_once(places: Places, counts: Counts) -> None:
    file = met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 4})
    kept = file.read_bytes()
    gather(places, counts, "2026-11-22")
    file.write_bytes(kept)  # the steward died between the transaction and the removal
    counts.close()
    again = Counts(places.audit_dir / "counts.db")
    gather(places, again, "2026-11-22")
    assert again.day("2026-11-22") == {"gambling": 4}
    assert not file.exists()


def test_what_was_counted_for_a_list_that_is_live_no_more_is_named_by_that_list(places: Places) -> None:
    told: list[Event] = []
    counting = Ticked(places, told.extend)
    met(places, make_live(places, 1, gambling=["A" * 16, "B" * 16]), {"A" * 16: 1, "B" * 16: 2})
    generations.keep(places, 1)
    met(places, make_live(places, 2, gambling=["B" * 16, "C" * 16]), {"B" * 16: 3, "C" * 16: 4})
    assert counting.tick(at("2026-11-22"), dict) is None
    assert json.loads((places.run_dir / "hits.json").read_text())["entries"] == {
        "A" * 16: 1, "B" * 16: 5, "C" * 16: 4,
    }  # fmt: skip
    later = time.time() + 1000
    assert counting.tick(later, dict) is None
    assert not list(places.generations.iterdir())


def test_what_is_only_watched_is_for_the_operator_and_not_for_the_bands(places: Places) -> None:
    told: list[Event] = []
    counting = Ticked(places, told.extend)
    met(places, make_live(places, action="monitor", gambling=["A" * 16]), {"A" * 16: 50})
    assert counting.tick(at("2026-10-31"), hundred) is None
    assert json.loads((places.run_dir / "hits.json").read_text())["entries"] == {"A" * 16: 50}
    assert counting.tick(at("2026-11-02"), hundred) is None
    assert "bands" not in [event.type for event in told]


def test_where_the_list_is_gone_its_totals_count_and_its_entries_are_dropped(places: Places, counts: Counts) -> None:
    met(places, make_live(places, 1, gambling=["A" * 16]), {"A" * 16: 7})
    make_live(places, 2, gambling=["B" * 16])
    gather(places, counts, "2026-10-31")
    assert (counts.day("2026-10-31"), counts.month("2026-10")) == ({"gambling": 7}, {})


def test_what_a_killed_worker_was_about_to_begin_is_removed(places: Places) -> None:
    for name, age in (("old", 100), ("new", 0)):
        path = places.workers / f"{name}.part"
        path.write_bytes(b"")
        os.utime(path, (time.time() - age,) * 2)
    assert list(waiting(places, lambda _generation: None, raised)) == []
    assert [path.name for path in places.workers.iterdir()] == ["new.part"]


def hits_file(header: bytes | None = None, *, total: int = 0, cell: int = 0, **said: object) -> bytes:
    """A file of counts for two entries, by default one that a worker can have written."""
    told = json.dumps({"generation": 1, "lists": ["gambling"], "entries": 2, **said}).encode()
    return (told if header is None else header) + b"\n" + struct.pack("<65Q2I", 1, total, *[0] * 63, cell, cell)


WRONG = {
    "empty": b"",
    "no keys": b"{}\n",
    "no object": b"[]\n",
    "no header": b"\0\n",
    "cut short": hits_file()[:-4],
    "a header without an end": b" " * (1 << 17),
    "nested": hits_file(b"[" * 60_000),
    "a generation without end": hits_file(b'{"generation": Infinity, "lists": ["gambling"], "entries": 2}'),
    "a generation beyond 64 bits": hits_file(generation=1 << 64),
    "a generation below zero": hits_file(generation=-1),
    "half a character": hits_file(lists=["\ud800"]),
    "a name that no list has": hits_file(lists=["a b"]),
    "one list twice": hits_file(lists=["gambling", "gambling"]),
    "more lists than there can be": hits_file(lists=[f"{number}" for number in range(65)]),
    "more queries than there can be": hits_file(total=(1 << 64) - 1),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_a_file_that_no_worker_of_ours_wrote_is_removed_and_is_an_alarm_for_an_hour(
    places: Places, data: bytes
) -> None:
    counting = Ticked(places, list)
    met(places, make_live(places, gambling=["A" * 16, "B" * 16]), {"A" * 16: 3}, worker=7)
    (places.workers / "3-1-aa.hits").write_bytes(data)
    trouble = str(counting.tick(at("2026-11-22T10:00:00"), dict))
    assert trouble.startswith("a file of counts was wrong, and is removed: worker 3: ")
    assert trouble.endswith(" (3-1-aa.hits)")
    assert not list(places.workers.iterdir())
    assert json.loads((places.run_dir / "hits.json").read_text())["entries"] == {"A" * 16: 3}, "the others count"
    assert counting.tick(at("2026-11-22T10:59:00"), dict) == trouble
    assert counting.tick(at("2026-11-22T11:01:00"), dict) is None


def test_hits_of_lists_that_the_compiled_list_does_not_have_are_of_no_entry(places: Places, counts: Counts) -> None:
    make_live(places, gambling=["A" * 16, "B" * 16])
    (places.workers / "0-1-aa.hits").write_bytes(hits_file(lists=[], cell=4))
    gather(places, counts, "2026-11-22")
    assert counts.month("2026-11") == {}
    assert not list(places.workers.iterdir())


def test_a_sum_stays_what_sqlite_and_json_can_hold(places: Places, counts: Counts) -> None:
    for number in range(3):
        (places.workers / f"0-1-{number}.hits").write_bytes(hits_file(total=MOST))
        gather(places, counts, "2026-11-22")
    assert counts.day("2026-11-22") == {"gambling": MOST}


@pytest.mark.parametrize("suffix", ["hits", "part"])
@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_no_file_keeps_no_other_file_from_being_counted(places: Places, kind: str, suffix: str) -> None:
    counting, path = Ticked(places, list), places.workers / f"0-1-aa.{suffix}"
    met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 3}, worker=7)
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    else:
        os.mkfifo(path)
    trouble = counting.tick(at("2026-11-22T10:00:00"), dict)
    assert json.loads((places.run_dir / "hits.json").read_text())["entries"] == {"A" * 16: 3}
    assert (trouble or "").startswith("blocks cannot be counted: " if suffix == "hits" else "")
    assert (trouble is None) == (suffix == "part"), "it counts nothing"


@pytest.mark.parametrize(
    ("now", "days", "months"),
    [
        ("2026-10-31T12:00:00", [], []),
        ("2026-11-01T23:59:59", [], []),
        ("2026-11-02T00:00:00", ["2026-10-31"], ["2026-10"]),
        ("2026-11-05T00:00:00", ["2026-10-31"], ["2026-10"]),
    ],
)
def test_a_day_and_a_month_are_due_when_a_whole_day_lies_between(
    places: Places, counts: Counts, now: str, days: list[str], months: list[str]
) -> None:
    met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 12})
    gather(places, counts, "2026-10-31T10:00:00")
    due = counts.due(at(now), lambda: {"gambling": 100})
    assert (list(due.days), list(due.months)) == (days, months)


def test_bands_say_nothing_of_an_entry_below_ten_and_the_exact_counts_are_forgotten(
    places: Places, counts: Counts
) -> None:
    hits = {"A" * 16: 1, "B" * 16: 9, "C" * 16: 10, "D" * 16: 99, "E" * 16: 100, "F" * 16: 12345}
    met(places, make_live(places, gambling=list(hits)), hits)
    gather(places, counts, "2026-10-31")
    due = counts.due(at("2026-11-03"), lambda: {"gambling": 100})
    day, bands = due.events
    assert (day.type, day.reference, day.detail["lists"]) == ("counts", "2026-10-31", {"gambling": 12564})
    assert (bands.type, bands.reference) == ("bands", "2026-10/gambling/0")
    assert bands.detail == {
        "month": "2026-10", "list": "gambling", "entries": 100, "met": 6, "not_attributed": 0,
        "bands": {"C" * 16: "10-99", "D" * 16: "10-99", "E" * 16: "100-999", "F" * 16: "10000+"},
    }  # fmt: skip
    counts.logged(due)
    assert not counts.due(at("2026-11-03"), dict).events
    counts.close()
    assert b"FFFFFFFF" not in (places.audit_dir / "counts.db").read_bytes()


@pytest.mark.parametrize(("entries", "told"), [(9, {}), (10, {"short": 1}), (0, {})])
def test_of_a_short_list_nothing_is_published_since_its_totals_are_about_single_entries(
    places: Places, counts: Counts, entries: int, told: dict[str, int]
) -> None:
    """Neither by a leaf that names no list; `entries` 0: the list is not in force any more."""
    sizes, long = {"short": entries, "long": 100}, {f"{number:016}": 1 for number in range(3)}
    met(places, make_live(places, short=["A" * 16]), {"A" * 16: 1})
    gather(places, counts, "2026-10-30")
    met(places, make_live(places, 2, short=["A" * 16], long=list(long)), {"A" * 16: 1, **long})
    gather(places, counts, "2026-10-31")
    due = counts.due(at("2026-11-03"), lambda: sizes)
    days = {event.reference: event.detail["lists"] for event in due.events if event.type == "counts"}
    assert days == {**({"2026-10-30": told} if told else {}), "2026-10-31": {"long": 3, **told}}
    assert [event.detail["list"] for event in due.events if event.type == "bands"] == ["long", *told]
    counts.logged(due)
    assert (counts.day("2026-10-30"), counts.month("2026-10")) == ({}, {}), "it is forgotten all the same"


def test_a_list_that_is_not_in_force_any_more_has_as_many_entries_as_were_met(places: Places, counts: Counts) -> None:
    hits = {f"{number:016}": 1 for number in range(10)}
    met(places, make_live(places, gone=list(hits)), hits)
    gather(places, counts, "2026-10-31")
    day, bands = counts.due(at("2026-11-03"), dict).events
    assert (day.detail["lists"], bands.detail["entries"]) == ({"gone": 10}, 10)


def test_bands_of_many_entries_take_several_leaves(
    places: Places, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolver.stats.daily_counts.PER_LEAF", 3)
    hits = {f"{number:016}": 10 for number in range(7)}
    met(places, make_live(places, gambling=list(hits)), hits)
    gather(places, counts, "2026-10-31")
    bands = [event for event in counts.due(at("2026-11-03"), hundred).events if event.type == "bands"]
    assert [event.reference[-1] for event in bands] == ["0", "1", "2"]
    assert sum(len(event.detail["bands"]) for event in bands) == 7


def test_the_bands_are_powers_of_ten() -> None:
    assert [band_of(hits) for hits in (0, 9, 10, 999, 1000, 10**9)] == [
        "<10", "<10", "10-99", "100-999", "1000-9999", "10000+",
    ]  # fmt: skip


class TestTheStewardsTurn:
    def test_the_hits_of_a_short_list_are_forgotten_when_they_were_due(self, places: Places) -> None:
        told: list[Event] = []
        counting = Ticked(places, told.extend)
        met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 12})
        for now in ("2026-10-31T10:00:00", "2026-11-02T10:00:00"):
            assert counting.tick(at(now), dict) is None
        assert (told, Counts(places.audit_dir / "counts.db").month("2026-10")) == ([], {})

    def test_it_logs_what_is_due_once(self, places: Places) -> None:
        told: list[Event] = []
        counting = Ticked(places, told.extend)
        met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 12})
        for now in ("2026-10-31T10:00:00", "2026-11-02T10:00:00", "2026-11-02T10:02:00", "2026-11-03T10:00:00"):
            assert counting.tick(at(now), hundred) is None
        assert [event.type for event in told] == ["counts", "bands"]

    def test_a_clock_that_was_a_year_ahead_at_the_start_holds_up_neither_a_round_nor_the_end_of_an_alarm(
        self, places: Places
    ) -> None:
        uptime = [1000.0]
        counting = Counting(places, list, uptime=lambda: uptime[0])
        make_live(places, gambling=["A" * 16])
        (places.workers / "3-1-aa.hits").write_bytes(b"")
        trouble = counting.tick(at("2027-11-22T10:00:00"), dict)
        assert (trouble or "").startswith("a file of counts was wrong")
        uptime[0] += 60.0
        met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 3})
        assert counting.tick(at("2026-11-22T10:00:10"), dict) == trouble
        assert json.loads((places.run_dir / "hits.json").read_text())["entries"] == {"A" * 16: 3}
        uptime[0] += 3600.0
        assert counting.tick(at("2026-11-22T10:00:20"), dict) is None

    def test_a_log_that_takes_nothing_is_tried_again_and_said(self, places: Places) -> None:
        told: list[Event] = []

        def append(events: Sequence[Event]) -> None:
            if not told:
                told.append(events[0])
                raise ResolverError("the disk is full")
            told.extend(events)

        counting = Ticked(places, append)
        met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 12})
        make_live(places, 2, gambling=["A" * 16])
        assert counting.tick(at("2026-10-31"), hundred) is None
        assert "the disk is full" in str(counting.tick(at("2026-11-02"), hundred))
        assert counting.tick(at("2026-11-02T00:02:00"), hundred) is None
        assert [event.type for event in told] == ["counts", "counts"]

    def test_a_full_disk_is_said_in_a_sentence_until_blocks_are_counted_again(
        self, places: Places, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(counts: Counts, *_: object) -> None:
            counts._database.execute("ROLLBACK")  # as SQLite itself does then
            raise sqlite3.OperationalError("database or disk is full")

        counting = Ticked(places, list)
        met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 3})
        with monkeypatch.context() as patch:
            patch.setattr(Counts, "_add", full)
            trouble = counting.tick(at("2026-11-22"), dict)
        assert trouble == f"blocks cannot be counted: {places.audit_dir}/counts.db: database or disk is full"
        assert counting.tick(at("2026-11-22T00:00:05"), dict) == trouble, "nobody has tried again yet"
        assert counting.tick(at("2026-11-22T00:01:00"), dict) is None
        counting.close(at("2026-11-22T00:01:00"), dict)
        assert json.loads((places.run_dir / "hits.json").read_text())["entries"] == {"A" * 16: 3}

    def test_what_nobody_foresaw_is_a_sentence_too(self, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
        def wrong(*_: object) -> None:
            raise IndexError("list index out of range")

        monkeypatch.setattr(Counts, "_add", wrong)
        met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 3})
        trouble = Ticked(places, list).tick(at("2026-11-22"), dict)
        assert trouble == "blocks cannot be counted: IndexError: list index out of range"

    def test_the_operator_sees_today_s_entries_in_the_run_directory_alone(self, places: Places) -> None:
        counting = Ticked(places, list)
        met(places, make_live(places, gambling=["A" * 16]), {"A" * 16: 3})
        counting.tick(at("2026-11-22"), dict)
        counting.close(at("2026-11-22"), dict)
        assert json.loads((places.run_dir / "hits.json").read_text()) == {
            "day": "2026-11-22", "entries": {"A" * 16: 3},
        }  # fmt: skip
        assert (places.run_dir / "hits.json").stat().st_mode & 0o077 == 0


class TestNamesThatNoLongerResolve:
    def test_the_month_s_sample_is_logged_as_two_numbers(self, counts: Counts) -> None:
        for gone in (True, False, True):
            counts.looked(at("2026-10-10"), gone=gone)
        (event,) = counts.due(at("2026-11-02"), dict).events
        assert (event.type, event.reference) == ("resolving", "2026-10")
        assert event.detail == {"month": "2026-10", "asked": 3, "gone": 2}
        counts.logged(counts.due(at("2026-11-02"), dict))
        assert not counts.due(at("2026-11-02"), dict).events

    @pytest.mark.parametrize(
        ("answers", "gone"),
        [
            (["NXDOMAIN"], True),
            (["NOERROR"], False),
            (["SERVFAIL", "NXDOMAIN"], True),
            ([None, "NOERROR"], False),
            ([None, "SERVFAIL"], None),
        ],
    )
    def test_an_upstream_that_does_not_answer_says_nothing(
        self, places: Places, answers: list[str | None], gone: bool | None
    ) -> None:
        make_live(places, gambling=["A" * 16])

        def asking(host: str, port: int, name: str, proof: object) -> Answer | None:
            assert (name, proof) == ("000000.example", None)
            return None if answers[port] is None else Answer(str(answers[port]), ())

        upstreams = [Upstream(address=Endpoint("127.0.0.1", number)) for number in range(len(answers))]
        assert Resolving(places, upstreams, lambda: 0.5, asking).look() is gone

    def test_without_a_list_nobody_is_asked(self, places: Places) -> None:
        assert Resolving(places, [Upstream(address=Endpoint("127.0.0.1", 1))], lambda: 0.5).look() is None
