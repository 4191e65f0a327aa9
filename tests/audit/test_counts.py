"""Blocks counted: each once, whatever dies when; and what of it the public log gets, a day late."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from resolver.audit.counting import Counting
from resolver.audit.counts import Counts, band_of
from resolver.audit.hits import Spool, waiting
from resolver.audit.question import Answer
from resolver.audit.resolving import Resolving
from resolver.errors import ResolverError
from resolver.places import Places
from tests.audit.test_counted import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from resolver.audit.log import Event


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


def test_what_several_workers_counted_adds_up(places: Places, counts: Counts) -> None:
    for worker in range(3):
        spool = Spool(places.workers, worker)
        spool.add([("gambling", "A" * 16, 5), ("piracy", "B" * 16, 1)])
        spool.total({"gambling": 7, "piracy": 1}, 2)
        spool.flush()
    counts.gather(waiting(places.workers), at("2026-11-22"))
    assert counts.day("2026-11-22") == {"gambling": 21, "piracy": 3}
    assert counts.month("2026-11") == {("gambling", "A" * 16): 15, ("piracy", "B" * 16): 3}
    assert not list(places.workers.glob("*.hits"))


def test_nothing_is_handed_over_before_the_last_was_taken_and_nothing_is_lost(places: Places, counts: Counts) -> None:
    spool = Spool(places.workers, 0)
    for _ in range(3):
        spool.add([("gambling", "A" * 16, 1)])
        spool.total({"gambling": 1})
        spool.flush()
    assert len(waiting(places.workers)) == 1
    counts.gather(waiting(places.workers), at("2026-11-22"))
    spool.flush()
    counts.gather(waiting(places.workers), at("2026-11-22"))
    assert counts.day("2026-11-22") == {"gambling": 3}


def test_a_worker_that_ends_hands_over_the_rest(places: Places, counts: Counts) -> None:
    spool = Spool(places.workers, 0)
    for _ in range(2):
        spool.add([("gambling", "A" * 16, 1)])
        spool.total({"gambling": 1})
        spool.flush()
    spool.flush(last=True)
    counts.gather(waiting(places.workers), at("2026-11-22"))
    assert counts.day("2026-11-22") == {"gambling": 2}


def test_a_batch_that_outlived_a_crash_of_the_steward_counts_once(places: Places, counts: Counts) -> None:
    spool = Spool(places.workers, 0)
    spool.add([("gambling", "A" * 16, 4)])
    spool.total({"gambling": 4})
    spool.flush()
    file = next(places.workers.glob("*.hits"))
    kept = file.read_bytes()
    counts.gather(waiting(places.workers), at("2026-11-22"))
    file.write_bytes(kept)  # the steward died between the transaction and the removal
    counts.close()
    again = Counts(places.audit_dir / "counts.db")
    again.gather(waiting(places.workers), at("2026-11-22"))
    assert again.day("2026-11-22") == {"gambling": 4}


def test_a_file_that_is_none_is_removed_and_counts_for_nothing(places: Places) -> None:
    for number, text in enumerate(("", "{}", "[]", 'a b\n{"id":"x","lists":{},"dropped":0}', "a b 1\n")):
        (places.workers / f"{number}-1.hits").write_text(text)
    assert waiting(places.workers) == []
    assert not list(places.workers.iterdir())


def test_more_entries_than_fit_are_dropped_and_counted(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.audit.hits.MOST", 60)
    spool = Spool(places.workers, 0)
    for reference in "ABC":
        spool.add([("gambling", reference * 16, 3)])
    spool.total({"gambling": 9})
    spool.flush()
    (batch,) = waiting(places.workers)
    assert (len(batch.hits), batch.dropped, batch.lists) == (2, 3, {"gambling": 9})


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
    spool = Spool(places.workers, 0)
    spool.add([("gambling", "A" * 16, 12)])
    spool.total({"gambling": 12})
    spool.flush()
    counts.gather(waiting(places.workers), at("2026-10-31T10:00:00"))
    due = counts.due(at(now), lambda: {"gambling": 100})
    assert (list(due.days), list(due.months)) == (days, months)


def test_bands_say_nothing_of_an_entry_below_ten_and_the_exact_counts_are_forgotten(
    places: Places, counts: Counts
) -> None:
    spool = Spool(places.workers, 0)
    met = {"A": 1, "B": 9, "C": 10, "D": 99, "E": 100, "F": 12345}
    spool.add([("gambling", name * 16, hits) for name, hits in met.items()])
    spool.total({"gambling": sum(met.values())})
    spool.flush()
    counts.gather(waiting(places.workers), at("2026-10-31"))
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


def test_bands_of_many_entries_take_several_leaves(
    places: Places, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolver.audit.counts.PER_LEAF", 3)
    spool = Spool(places.workers, 0)
    spool.add([("gambling", f"{number:016}", 10) for number in range(7)])
    spool.total({"gambling": 70})
    spool.flush()
    counts.gather(waiting(places.workers), at("2026-10-31"))
    bands = [event for event in counts.due(at("2026-11-03"), dict).events if event.type == "bands"]
    assert [event.reference[-1] for event in bands] == ["0", "1", "2"]
    assert sum(len(event.detail["bands"]) for event in bands) == 7


def test_the_bands_are_powers_of_ten() -> None:
    assert [band_of(hits) for hits in (0, 9, 10, 999, 1000, 10**9)] == [
        "<10", "<10", "10-99", "100-999", "1000-9999", "10000+",
    ]  # fmt: skip


class TestTheStewardsTurn:
    def test_it_logs_what_is_due_once(self, places: Places) -> None:
        told: list[Event] = []
        counting = Counting(places, told.extend)
        spool = Spool(places.workers, 0)
        spool.add([("gambling", "A" * 16, 12)])
        spool.total({"gambling": 12})
        spool.flush()
        for now in ("2026-10-31T10:00:00", "2026-11-02T10:00:00", "2026-11-02T10:02:00", "2026-11-03T10:00:00"):
            assert counting.tick(at(now), dict) is None
        assert [event.type for event in told] == ["counts", "bands"]

    def test_a_log_that_takes_nothing_is_tried_again_and_said(self, places: Places) -> None:
        told: list[Event] = []

        def append(events: Sequence[Event]) -> None:
            if not told:
                told.append(events[0])
                raise ResolverError("the disk is full")
            told.extend(events)

        counting = Counting(places, append)
        spool = Spool(places.workers, 0)
        spool.add([])
        spool.total({"gambling": 12})
        spool.flush()
        assert counting.tick(at("2026-10-31"), dict) is None
        assert "the disk is full" in str(counting.tick(at("2026-11-02"), dict))
        assert counting.tick(at("2026-11-02T00:02:00"), dict) is None
        assert [event.type for event in told] == ["counts", "counts"]

    def test_the_operator_sees_today_s_entries_in_the_run_directory_alone(self, places: Places) -> None:
        counting = Counting(places, list)
        spool = Spool(places.workers, 0)
        spool.add([("gambling", "A" * 16, 3)])
        spool.total({"gambling": 3})
        spool.flush()
        counting.tick(at("2026-11-22"), dict)
        counting.close(at("2026-11-22"))
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
        self, tmp_path: Path, answers: list[str | None], gone: bool | None
    ) -> None:
        compiled(tmp_path, "a.example")

        def asking(host: str, port: int, name: str) -> Answer | None:
            assert name == "a.example"
            return None if answers[port] is None else Answer(str(answers[port]), ())

        upstreams = [("127.0.0.1", number) for number in range(len(answers))]
        assert Resolving(tmp_path / "run/current.list", upstreams, lambda: 0.5, asking).look() is gone

    def test_without_a_list_nobody_is_asked(self, tmp_path: Path) -> None:
        assert Resolving(tmp_path / "none", [("127.0.0.1", 1)], lambda: 0.5).look() is None
