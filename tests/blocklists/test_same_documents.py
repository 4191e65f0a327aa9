"""The desk writes, octet for octet, what earlier builds wrote, and its signers read the same reviews.

`tests/vectors/desk-story.json` holds the digests that two builds printed by `python -m tests.rigs.desk_story`: 0304249
wherever the story comes out the same there; ac30054 for what was changed on purpose between the two (where files lie in
a repository, what a review says of a ground, that a withdrawn name comes back as a new entry). References are drawn
from the same octets each time, and the clock stands, so nothing may differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bench.desk import invented
from tests.rigs.dns_host import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAMES = 20_000
VECTORS = ROOT / "tests/vectors/desk-story.json"


def told(names: Sequence[str], folder: Path) -> dict[str, dict[str, str]]:
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in names))
    done = subprocess.run(
        [sys.executable, "-m", "tests.rigs.desk_story", str(folder / "names.txt")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def vectors(story: str) -> dict[str, dict[str, str]]:
    """The digests of a story, of whichever build each is."""
    found: dict[str, dict[str, str]] = {}
    for build in json.loads(VECTORS.read_bytes()).values():
        for step, digests in build[story].items():
            found.setdefault(step, {}).update(digests)
    return found


def test_the_desk_writes_what_earlier_builds_wrote_of_20_000_invented_names(tmp_path: Path) -> None:
    assert told(list(invented(NAMES)), tmp_path) == vectors("invented")


@pytest.mark.needs("data")
def test_the_desk_writes_what_earlier_builds_wrote_of_20_000_real_names(tmp_path: Path, real_names: list[str]) -> None:
    assert told(real_names[::8][:NAMES], tmp_path) == vectors("real")
