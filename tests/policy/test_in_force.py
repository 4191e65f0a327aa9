"""One follower of what is in force: what it reads, and what it keeps when a file is gone or damaged."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from resolver.base import file_watch
from resolver.base.paths import Places
from resolver.policy import exceptions
from resolver.policy.exceptions import Bypass, LiveExceptions
from resolver.policy.in_force import Follower
from tests.rigs.portal_world import ENTRIES, META, NOW, activate

if TYPE_CHECKING:
    from pathlib import Path

OFF = Bypass("name", "example.com", NOW, NOW + 60, "somebody")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path / "state", tmp_path / "run", tmp_path / "log")
    found.run_dir.mkdir()
    return found


def is_stopped(follower: Follower, name: str) -> bool:
    judgement = follower.now.judge(name, NOW)
    return judgement is not None and judgement.stop is not None


def test_without_files_nothing_is_in_force_and_the_list_is_missed(places: Places) -> None:
    follower = Follower(places)
    assert follower.poll()
    assert (follower.now.compiled, follower.now.generation, follower.now.entries) == (None, None, 0)
    assert follower.now.trouble == "there is no compiled list yet"
    assert not is_stopped(follower, "example.com")
    assert not follower.poll()


def test_a_value_is_replaced_when_a_file_changed_and_only_then(places: Places) -> None:
    activate(places.current)
    follower = Follower(places)
    assert [follower.poll(), follower.poll()] == [True, False]
    first = follower.now
    assert (first.generation, first.names, first.trouble) == (4, ["gambling", "watched"], None)
    assert is_stopped(follower, "www.example.com")
    exceptions.change(places, partial(LiveExceptions.on, new=OFF))
    assert [follower.poll(), follower.poll()] == [True, False]
    assert not is_stopped(follower, "www.example.com")
    assert (first.exceptions, follower.now.compiled) == (LiveExceptions(), first.compiled), "a value never changes"
    activate(places.current, ENTRIES, {**META, "generation": 5})
    assert follower.poll()
    assert (follower.now.generation, first.generation) == (5, 4)


def test_that_the_log_has_a_bypass_changes_nothing(places: Places) -> None:
    live, _ = exceptions.change(places, partial(LiveExceptions.on, new=OFF))
    follower = Follower(places)
    follower.poll()
    exceptions.change(places, lambda found: found.logged(live.pending_log))
    assert not follower.poll()


def test_what_is_gone_stays_in_force_until_it_is_back(places: Places) -> None:
    activate(places.current)
    exceptions.change(places, partial(LiveExceptions.on, new=OFF))
    follower = Follower(places)
    follower.poll()
    before = follower.now
    places.current.unlink()
    places.exceptions.unlink()
    assert [follower.poll(), follower.poll()] == [True, False]
    now = follower.now
    assert (now.compiled, now.exceptions) == (before.compiled, before.exceptions)
    assert now.list_trouble == f"{places.current} is gone; the list that is loaded goes on"
    assert now.exceptions_trouble == f"{places.exceptions} is gone; those before them go on"
    activate(places.current)
    exceptions.change(places, lambda _: LiveExceptions())
    assert follower.poll()
    assert (follower.now.trouble, follower.now.exceptions) == (None, LiveExceptions())


def test_what_cannot_be_read_is_tried_again_and_changes_nothing_meanwhile(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_watch, "AGAIN", 0.0)
    places.current.write_bytes(b"no list")
    follower = Follower(places)
    follower.poll()
    assert str(follower.now.list_trouble).startswith("the compiled list is refused (")
    assert str(follower.now.list_trouble).endswith("; there is no other")
    activate(places.current)
    follower.poll()
    good = follower.now
    places.current.unlink()
    places.current.write_bytes(b"no list")
    places.exceptions.write_text(json.dumps({"format": 1}))
    assert [follower.poll(), follower.poll()] == [True, False], "tried again, with the same result"
    assert (follower.now.compiled, follower.now.exceptions) == (good.compiled, good.exceptions)
    assert str(follower.now.list_trouble).endswith("; the list before it goes on")
    assert str(follower.now.exceptions_trouble).endswith("; those before them go on")
