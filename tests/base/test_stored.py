"""State files: what a person hears of one that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resolver.base.stored import StateError, Stored, load

if TYPE_CHECKING:
    from pathlib import Path


class Kept(Stored):
    number: int


def test_what_is_damaged_and_what_cannot_be_read_are_two_things(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    for content, why in ((b"{}", "number: Field required"), (b"", "Invalid JSON: EOF while parsing a value")):
        file.write_bytes(content)
        with pytest.raises(StateError) as damaged:
            load(file, Kept)
        assert str(damaged.value).startswith(f"{file} is damaged ({why}")
        assert damaged.value.hint == "restore it from a backup"
    with pytest.raises(StateError) as unread:
        load(tmp_path, Kept)
    assert str(unread.value) == f"{tmp_path} cannot be read (Is a directory)"
    assert unread.value.hint == "its owner is the steward's user"
