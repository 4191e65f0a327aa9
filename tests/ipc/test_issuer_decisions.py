"""What the steward writes of decisions, the web process reads; what is no decision is left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resolver.base.paths import Places
from resolver.ipc import issuer_decisions
from resolver.ipc.issuer_decisions import Decision

if TYPE_CHECKING:
    from pathlib import Path

ONE = {
    "list": "gambling", "appeal": "A-1", "reference": "R" * 16, "decided": "2026-11-22T00:00:00Z",
    "outcome": "granted", "reasons": "You are right.", "by": "Ms Judge",
}  # fmt: skip


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path, tmp_path, tmp_path)


def test_what_is_written_is_read_and_written_where_it_changed_alone(places: Places) -> None:
    assert issuer_decisions.read(places) == []
    issuer_decisions.write(places, [ONE])
    read = issuer_decisions.read(places)
    assert read == [Decision("gambling", "A-1", "R" * 16, 1795305600, "granted", "You are right.", "Ms Judge")]
    before = places.decisions.stat().st_ino
    issuer_decisions.write(places, [ONE])
    assert places.decisions.stat().st_ino == before
    issuer_decisions.write(places, [])
    assert issuer_decisions.read(places) == []


@pytest.mark.parametrize(
    "wrong",
    [
        ONE | {"outcome": "lost"}, ONE | {"outcome": []}, ONE | {"decided": "yesterday"}, ONE | {"decided": 5},
        ONE | {"by": 5}, ONE | {"more": 1}, {"list": "gambling"}, 7, [],
    ],
)  # fmt: skip
def test_what_is_no_decision_is_left_out(places: Places, wrong: object) -> None:
    places.decisions.write_text(json.dumps({"format": 1, "decisions": [wrong, ONE]}))
    assert [one.appeal for one in issuer_decisions.read(places)] == ["A-1"]


@pytest.mark.parametrize("data", ["[" * 100_000, "[]", "7", '{"decisions": 7}', '{"decisions": null}'])
def test_a_file_that_is_none_has_no_decisions(places: Places, data: str) -> None:
    places.decisions.write_text(data)
    assert issuer_decisions.read(places) == []
