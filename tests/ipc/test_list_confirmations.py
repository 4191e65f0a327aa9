"""What the steward writes of its lists, the stop page reads; a file that is none says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resolver.base.paths import Places
from resolver.ipc import list_confirmations

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path, tmp_path)
    assert list_confirmations.read(places) is None
    lists: dict[str, dict[str, object]] = {
        "a": {"confirmed": "2026-11-22T12:00:00Z", "stale": False},
        "b": {"confirmed": None, "stale": True},
    }
    list_confirmations.write(places, lists)
    assert list_confirmations.read(places) == {"a": "2026-11-22T12:00:00Z", "b": ""}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lists": []}', '{"lists": {"a": 1}}', '{"lists": {"a": {}}}'])
def test_a_file_that_is_none_says_nothing(tmp_path: Path, text: str) -> None:
    places = Places(tmp_path, tmp_path, tmp_path)
    places.lists.write_text(text)
    assert list_confirmations.read(places) is None
