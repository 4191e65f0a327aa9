"""The soak, short: `make soak` is the long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.soak import play

if TYPE_CHECKING:
    from pathlib import Path


def test_a_short_soak_finds_nothing_wrong_lost_or_growing(tmp_path: Path) -> None:
    found = play(tmp_path / "tree", seconds=6.0, rate=500.0)
    assert found.complaints == []
    assert found.asked > 500
    assert found.connections > 3
