"""A primary that serves one zone of `NAMES`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rigs.rpz_world import NAMES, World, listed, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.activate(listed(NAMES))
    with running(world):
        yield world
