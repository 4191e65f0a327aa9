"""The clock of a host jumps, forwards and back, while it serves (libfaketime under every process of it)."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from resolver.base.timestamps import as_time
from resolver.config.schema import load
from resolver.ipc import control
from tests.rigs.dns_host import wait_until
from tests.rigs.load import PASSED, STOPPED, ask
from tests.rigs.provider import Provider, provider

__all__ = ["provider"]  # the fixture
LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
HOUR = 3600.0
LISTED, OTHER = "aces-bets.example", "debian.org"


@pytest.fixture
def offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with what is added to the clock; asked for before the provider is started."""
    assert LIBRARY is not None
    path = tmp_path / "offset"
    path.write_text("+0\n")
    for name, value in {
        "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(path), "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }.items():  # fmt: skip
        monkeypatch.setitem(os.environ, name, value)
    return path


@pytest.mark.needs("faketime")
def test_an_hour_and_a_year_off_in_both_directions(offset: Path, provider: tuple[Provider, str]) -> None:
    host, _ = provider
    socket = load(host.config).places.control_socket
    before = host.children()

    def alarms(*, of_the_clock: bool) -> list[str]:
        return [alarm for alarm in status()["alarms"] if alarm.startswith("the clock went back") is of_the_clock]

    def status() -> dict[str, Any]:
        return control.call(socket, "status", timeout=30.0)

    def seen(shift: float) -> Any:
        """The steward has looked at its list since the jump."""
        part = status()["lists"][0]
        return part["refusal"] or abs(as_time(part["confirmed"]) - time.time() - shift) < 300

    def answered(expected: str) -> bool:
        return ask(host.address, LISTED) == expected

    for jump, shift, listed in [
        ("+1h", HOUR, STOPPED),
        ("-1h", -HOUR, STOPPED),
        ("+370d", 370 * 24 * HOUR, PASSED),
        ("-370d", -370 * 24 * HOUR, STOPPED),
        ("+0", 0.0, STOPPED),
    ]:
        offset.write_text(f"{jump}\n")
        wait_until(partial(seen, shift), f"the steward's clock at {jump}")
        # An entry that has ended never stops anything: in a year none of these is left.
        wait_until(partial(answered, listed), f"the answer at {jump}")
        assert ask(host.address, OTHER) == PASSED
        if jump == "+370d":
            wait_until(partial(alarms, of_the_clock=False), "an alarm: nothing that was signed is of today")
        if jump == "-370d":
            wait_until(partial(alarms, of_the_clock=True), "an alarm: the list was compiled in the future")
    # What the steward wrote an hour ahead may keep the clock's own alarm up for that hour, where it looked in time.
    wait_until(lambda: not alarms(of_the_clock=False), "no other alarm is left")
    assert host.children() == before
