"""What the steward writes of its lists, the stop page reads; a file that is none says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resolver.base.paths import Places
from resolver.ipc.list_confirmations import Confirmations, write

if TYPE_CHECKING:
    from pathlib import Path

LISTS: dict[str, dict[str, object]] = {
    "a": {"confirmed": "2026-11-22T12:00:00Z", "stale": False},
    "b": {"confirmed": None, "stale": True},
}
TIMES = {"a": "2026-11-22T12:00:00Z", "b": ""}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path, tmp_path)
    confirmations = Confirmations(places)
    assert confirmations.poll() == {}
    write(places, LISTS)
    assert confirmations.poll() == TIMES
    assert confirmations.poll() is confirmations.poll(), "nothing changed"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"lists": []}', '{"lists": {"a": 1}}', '{"lists": {"a": {}}}', "[" * 100_000, None]
)
def test_a_file_that_is_none_says_nothing(tmp_path: Path, text: str | None) -> None:
    places = Places(tmp_path, tmp_path, tmp_path)
    write(places, LISTS)
    confirmations = Confirmations(places)
    assert confirmations.poll() == TIMES
    if text is None:
        places.lists.unlink()
    else:
        places.lists.write_text(text)
    assert confirmations.poll() == TIMES
