"""The off switch waits until those who decide follow, and says who does not."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from resolver.base.errors import ResolverError
from resolver.cli.main import stopsign
from resolver.config.schema import load
from resolver.ipc import convergence, rpz_status
from resolver.policy import exceptions
from resolver.policy.exceptions import FOR_EVER, Bypass, LiveExceptions, NameException
from tests.rigs.config_file import GOOD, write

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.base.paths import Places

ALL = LiveExceptions(bypasses=(Bypass("all", "", 0, FOR_EVER, "somebody"),))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setattr(convergence, "PATIENCE", 0.1)
    places = load(write(tmp_path, GOOD)).places
    places.workers.mkdir(parents=True)
    return places


def worker(places: Places, index: int, took_up: LiveExceptions, *, age: float = 0.0) -> None:
    places.counters(index).write_bytes(int((time.monotonic() - age) * 1000).to_bytes(8, "little"))
    places.counters(index).with_suffix(".json").write_text(json.dumps({"pid": 1, "passes": took_up.mark}))


def primary(places: Places, *made_of: LiveExceptions) -> None:
    rpz_status.write(places, [{"origin": f"{at}", "passes": one.mark} for at, one in enumerate(made_of)], [])


def bypass(places: Places, *words: str) -> Result:
    return CliRunner().invoke(stopsign, ["bypass", *words, "--dir", str(places.run_dir.parent)])


def test_all_follow(places: Places) -> None:
    worker(places, 0, ALL)
    worker(places, 1, ALL)
    primary(places, ALL, ALL)
    done = bypass(places, "on")
    assert (done.exit_code, done.stderr) == (0, "")
    first, about, last = done.stdout.splitlines()
    assert (first, last) == ("everything passes: nothing is blocked", "3 follow: dns-0, dns-1, rpz")
    assert about.startswith("  everything since ")
    said = json.loads(bypass(places, "on", "--json").stdout)
    assert said.pop("bypasses")[0]["kind"] == "all"
    assert said.pop("before")["kind"] == "all"
    assert said == {"all": True, "lists": [], "names": [], "follow": ["dns-0", "dns-1", "rpz"], "behind": []}


def test_an_approved_list_is_waited_for_at_each_worker_that_lives(places: Places) -> None:
    for index, (generation, age) in enumerate(((7, 0.0), (6, 0.0), (6, 60.0))):
        worker(places, index, ALL, age=age)
        said = {"pid": 1, "generation": generation}
        places.counters(index).with_suffix(".json").write_text(json.dumps(said))
    assert convergence.wait_for_generation(places, 6).follow == ("dns-0", "dns-1")
    seen = convergence.wait_for_generation(places, 7)
    assert (seen.follow, seen.late) == (("dns-0",), ("dns-1 does not say that it uses generation 7",))
    (silent,) = seen.silent
    assert re.fullmatch(r"dns-2 gave no sign of life for 6\d s", silent)


def test_who_does_not_follow_is_named_and_the_others_are_counted(places: Places) -> None:
    worker(places, 0, ALL)
    worker(places, 1, LiveExceptions())
    worker(places, 2, ALL, age=70.0)
    primary(places, ALL, LiveExceptions())
    done = bypass(places, "on")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "1 follow: dns-0"
    assert [line.partition(": warning: ")[2] for line in done.stderr.splitlines()[:2]] == [
        "dns-1 does not say that it uses this", "rpz does not say that it uses this",
    ]  # fmt: skip
    assert "dns-2 gave no sign of life for " in done.stderr
    assert exceptions.read(places.exceptions).mark == ALL.mark
    rpz_status.write(places, [{"origin": "of a version that does not say"}], [])
    done = bypass(places, "show")
    assert (done.exit_code, "dns-1 does not say" in done.stderr, "rpz does not say" in done.stderr) == (0, True, True)


def test_where_nobody_runs_it_is_written_and_said(places: Places) -> None:
    worker(places, 0, ALL, age=100.0)
    done = bypass(places, "on")
    assert done.exit_code == 1
    assert "follow" not in done.stdout
    assert done.stderr == (f"stopsign: warning: nobody runs with {places.run_dir}: this holds from the next start on\n")
    assert exceptions.read(places.exceptions).mark == exceptions.read(places.bypass).mark == ALL.mark
    shutil.rmtree(places.workers)
    done = bypass(places, "on")
    assert done.exit_code == 1
    assert f"{places.run_dir} was empty: the running processes restore it, and use this" in done.stderr


def test_switched_on_again_it_says_what_was_and_keeps_its_end_unless_another_is_said(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_795_000_000.0
    monkeypatch.setattr("resolver.cli.bypass.time.time", lambda: now)
    monkeypatch.setattr("resolver.ipc.peer_credentials.caller", lambda: "alice")

    def on(*words: str) -> tuple[int, str]:
        done = bypass(places, "on", *words, "--reason", " ".join(words) or "none said")
        (one,) = exceptions.read(places.exceptions).bypasses
        said = (line for line in done.stderr.splitlines() if "already" in line)
        return one.until, next(said, "").partition("by alice, ")[2]

    later, much_later = int(now) + 7200, int(now) + 86400
    assert on("--for", "2h") == (later, "")
    stays = "until 2026-11-18T13:06:40Z, as before (--for says another)"
    assert on() == (later, f"until 2026-11-18T13:06:40Z: --for 2h; now {stays}")
    assert on("--for", "1d") == (
        much_later, "until 2026-11-18T13:06:40Z: none said; now until 2026-11-19T11:06:40Z",
    )  # fmt: skip
    assert on("--for", "ever") == (
        FOR_EVER, "until 2026-11-19T11:06:40Z: --for 1d; now until it is switched off",
    )  # fmt: skip
    assert on() == (
        FOR_EVER,
        "until it is switched off: --for ever; now until it is switched off, as before (--for says another)",
    )
    assert on("--for", "2h")[0] == later
    bypass(places, "on")
    assert exceptions.read(places.exceptions).bypasses[0].reason == "--for 2h", "none is said anew"
    now += 7200
    assert on() == (FOR_EVER, ""), "that one has ended"
    before = json.loads(bypass(places, "on", "--json").stdout)["before"]
    assert (before["by"], before["until"], before["reason"]) == ("alice", None, "none said")


def test_a_list_that_was_taken_out_of_the_configuration_is_switched_back_on(places: Places) -> None:
    exceptions.change(places, lambda live: live.on(Bypass("list", "gone", 0, FOR_EVER, "somebody")))
    done = bypass(places, "off", "gone")
    assert done.stdout.splitlines()[0] == "blocking as the lists say"
    assert exceptions.read(places.exceptions).bypasses == ()


def test_switched_off_what_was_not_on_or_passes_all_the_same_is_said(places: Places) -> None:
    def warned(*on: Bypass, off: str, overrides: tuple[NameException, ...] = ()) -> list[str]:
        exceptions.change(places, lambda _: LiveExceptions(overrides, on))
        worker(places, 0, exceptions.read(places.exceptions).off("name", off, now=0, by="").ended(time.time()))
        done = bypass(places, "off", off)
        assert done.exit_code == 0
        return [line.partition(": warning: ")[2] for line in done.stderr.splitlines()]

    def on(name: str, until: int = FOR_EVER) -> Bypass:
        return Bypass("name", name, 0, until, "somebody")

    assert warned(on("a.example"), off="a.example") == []
    assert warned(on("b.example"), off="a.example") == ["a.example was not on"]
    assert warned(on("example", 1), off="a.example") == ["a.example was not on"], "that one has ended"
    assert warned(on("example"), off="a.example") == ["a.example was not on; it goes on passing: example is on"]
    assert warned(*ALL.bypasses, off="a.example") == ["a.example was not on; it goes on passing: everything is on"]
    assert warned(on("a.example"), on("example"), off="a.example") == ["a.example goes on passing: example is on"]
    assert warned(off="a.example", overrides=(NameException("example", "subtree", FOR_EVER),)) == [
        "a.example was not on; it goes on passing: example is overridden (stopsign override lift example)"
    ]


@pytest.mark.parametrize("span", ["0h", "0.0m", "9" * 400 + "d", "2", "h"])
def test_what_is_no_time_is_refused_and_changes_nothing(places: Places, span: str) -> None:
    assert bypass(places, "on", "--for", span).exit_code == 2
    assert not places.exceptions.exists()


def test_a_bypass_may_be_one_of_seconds(places: Places) -> None:
    bypass(places, "on", "--for", "90s")
    (one,) = exceptions.read(places.exceptions).bypasses
    assert one.until - one.since == 90


def test_where_there_is_no_such_folder_nothing_is_changed(places: Places) -> None:
    places.workers.rmdir()
    places.run_dir.rmdir()
    done = bypass(places, "on")
    assert isinstance(done.exception, ResolverError)
    assert "nobody runs there, and nothing is changed" in str(done.exception)
    assert not places.run_dir.exists()
    assert not places.bypass.exists()


def test_a_writer_that_hangs_does_not_hold_the_off_switch(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the steward may, on a stalled disk: it holds the lock and never lets go."""
    monkeypatch.setattr(exceptions, "PATIENCE", 0.1)
    stalled = os.open(places.run_dir, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(stalled, fcntl.LOCK_EX)
    bypass(places, "on")
    os.close(stalled)
    assert exceptions.read(places.exceptions).mark == ALL.mark
