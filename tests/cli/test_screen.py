"""The status screen from plain values: what is wrong comes first, and silence hides nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from rich.console import Console

from resolver.cli.screen import ago, screen
from tests.rigs.dns_host import ROOT
from tests.rigs.lists_world import settings

if TYPE_CHECKING:
    from pathlib import Path

LIST = {
    "name": "gambling", "version": 41, "entries": 172_465, "action": "stop-page", "stale": False, "refusal": None,
    "confirmed": "2026-11-25T20:20:00Z", "blocked_per_second": 12.0, "held": {"added": 3, "version": 42},
}  # fmt: skip
SAID: dict[str, Any] = {
    "host": "resolver-1", "version": "1.0", "at": "2026-11-25T20:50:00Z", "up": 7300,
    "serves_dns": True,
    "workers": [{"index": 0, "pid": 7, "queries_per_second": 900.0, "heartbeat_age": 0.4, "generation": 9,
                 "entries": 172_465, "in_flight": 3, "state": "lives"}],
    "queries": {"transports": {"udp4": 1.0, "tcp": 0.0}, "per_second": 900.0, "instant": 1.0, "total": 5,
                "over": 1.0, "blocked": 0.25, "cached": 0.5,
                "relayed": 0.2,
                "dropped": 0.0, "turned_away": 0.0, "other": 0.05, "servfail": 0.0, "refused": 0.0, "stale": 0.0},
    "upstreams": [{"address": "127.0.0.1:5335", "state": "down", "reason": "silent", "failing": False,
                   "rtt_ms": 0.0}],
    "services": [{"name": "dns-0", "pid": 7, "restarts": 2, "state": "lives",
                  "died": {"at": "2026-11-25T20:40:00Z", "how": "was killed by SIGKILL"}, "up": None},
                 {"name": "web", "pid": None, "restarts": None, "state": "dead", "died": None, "up": None}],
    "lists": [LIST], "zones": [], "log": {"leaves": 1234, "trouble": None},
    "disk": {"log": 5_400_000, "state_dir": {"free": 12 << 30, "of": 40 << 30}, "run_dir": None},
    "passing": {"bypasses": [{"kind": "list", "of": "piracy"}], "overrides": 2},
    "alarms": ["upstream 127.0.0.1:5335 is down: silent"],
}  # fmt: skip


def shown(said: dict[str, Any], *curve: float, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(screen(said, curve))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_what_is_wrong_stands_right_below_the_title() -> None:
    lines = shown(SAID)
    assert lines[0] == "Stopsign 1.0 on resolver-1   2026-11-25T20:50:00Z   up 2 h"
    assert lines[1] == "alarm: upstream 127.0.0.1:5335 is down: silent"


def test_what_others_say_of_themselves_does_nothing_to_a_terminal() -> None:
    lines = shown({**SAID, "alarms": ["\x1b[2Jall\nis well"]})
    assert lines[1] == "alarm: \ufffd[2Jall\ufffdis well"


def test_who_was_started_again_says_how_it_ended_and_when() -> None:
    assert "dns-0 was killed by SIGKILL 10 min ago" in shown(SAID)


def test_a_unit_of_its_own_that_is_younger_than_the_host_s_supervisor_is_told() -> None:
    def told(up: int, dns: int = 7300, restarts: int | None = None) -> list[str]:
        unit = {"name": "steward", "pid": 8, "restarts": restarts, "state": "lives", "died": None, "up": up}
        lines = shown({**SAID, "up": dns, "services": [unit]})
        return [line for line in lines if line.startswith("steward was")]

    assert told(180) == ["steward was started 3 min ago: how it ended before is in its journal"]
    assert told(180, restarts=0) == [], "a child of the supervisor, which knows"
    assert told(7290) == told(3700) == told(180, dns=190) == []


def test_the_shares_say_of_what_they_are() -> None:
    lines = shown(SAID)
    assert lines[2].split()[:2] == ["900", "q/s"]
    words = "of the last 1 s: blocked 25.0% cached 50.0% relayed 20.0% dropped 0% turned away 0% other 5.0%"
    assert " ".join(" ".join(lines[3:5]).split()).startswith(words)
    outage = {
        "per_second": 0.0,
        "instant": 0.25,
        "over": None,
        "servfail": 0.25,
        "refused": 0.5,
        "stale": 0.1,
        "other": None,
    }
    lines = shown({**SAID, "queries": {**SAID["queries"], **outage}})
    assert lines[2].split()[:2] == ["0", "q/s"]
    said = " ".join(" ".join(lines[3:5]).split())
    assert said.startswith("nothing was asked in the last 0.25 s; of all 5 since the start: blocked 25.0%")
    assert said.endswith("other –")
    assert lines[5] == "  of the answers in that time: SERVFAIL 25.0%, REFUSED 50.0%, stale 10.0%"
    lines = shown({**SAID, "queries": {**SAID["queries"], "transports": {"udp4": 0.75, "tcp": 0.0, "tls": 0.25}}})
    assert "  by transport: udp4 75.0%, tls 25.0%" in lines
    lines = shown({**SAID, "queries": {**SAID["queries"], "per_second": 0.0, "over": 40.0}})
    assert lines[3].startswith("  nothing was asked in the last 1 s; of the last 40 s:")
    lines = shown({**SAID, "queries": {**SAID["queries"], "over": None, "total": 0}})
    assert lines[3].startswith("  nothing was asked yet:")


def test_an_upstream_that_is_up_and_fails_says_so() -> None:
    lines = shown({**SAID, "upstreams": [{**SAID["upstreams"][0], "state": "up", "reason": "", "failing": True}]})
    assert any(line.startswith("127.0.0.1:5335") and line.endswith("mostly SERVFAIL or REFUSED") for line in lines)


def test_each_list_says_how_old_it_is_and_what_waits_for_a_person() -> None:
    (line,) = [line.split("  ") for line in shown(SAID) if line.startswith("gambling")]
    assert [word.strip() for word in line if word] == [
        "gambling", "41", "172,465", "stop-page", "12", "30 min ago", "held: 3 of version 42",
    ]  # fmt: skip
    refused = {**LIST, "refusal": {"code": "signature"}, "stale": True, "action": "monitor"}
    first = {**LIST, "version": None, "entries": 0}
    assert any(line.endswith("first load: 3 of version 42") for line in shown({**SAID, "lists": [first]}))
    lines = shown({**SAID, "lists": [{**LIST, "confirmed": None}]})
    assert any(line.startswith("gambling") and " not yet " in line for line in lines)
    assert any(line.endswith("refused: signature") for line in shown({**SAID, "lists": [refused]}))


def test_without_the_steward_the_rest_is_there() -> None:
    known = [{"name": "gambling", "version": 41, "blocked_per_second": 12.0}]
    lines = shown({**SAID, "lists": known, "log": None, "up": None})
    assert any(line.startswith("gambling  41") and "12" in line for line in lines)
    room, word = "state_dir: 12.0 GiB free", "passing by a person's word: bypasses 1, overrides 2"
    assert lines[-2:] == [f"the steward does not say   {room}", word]
    assert shown(SAID)[-2:] == [f"1,234 leaves, 5.1 MiB   {room}", word]
    assert any(line.split() == ["web", "dead", "-", "-"] for line in lines)


def test_what_nobody_could_find_out_is_shown_as_unknown() -> None:
    """A steward that never could open its log; a /proc, a disk and an upstream that say nothing."""
    worker = {**SAID["workers"][0], "pid": None, "generation": None}
    unknown = {
        "workers": [worker], "log": {"leaves": None, "trouble": "the log cannot be written: …"},
        "disk": {"log": None, "state_dir": None, "run_dir": None}, "passing": {"bypasses": [], "overrides": None},
        "upstreams": [{**SAID["upstreams"][0], "rtt_ms": None}],
        "queries": {**SAID["queries"], **dict.fromkeys(("over", "servfail", "refused", "stale", "blocked"))},
        "lists": [{**LIST, "version": None, "confirmed": None, "held": None}],
    }  # fmt: skip
    assert shown({**SAID, **unknown})[-1] == "log: unknown, the log cannot be written: …"


def test_who_is_dead_or_hung_or_silent_stands_before_those_that_live() -> None:
    states = ("lives", "hung", "silent")
    workers = [{**SAID["workers"][0], "index": index, "state": state} for index, state in enumerate(states)]
    lines = shown({**SAID, "workers": workers})
    first = next(at for at, line in enumerate(lines) if line.startswith("process")) + 1
    assert [line.split()[:2] for line in lines[first : first + 4]] == [
        ["dns-1", "hung"], ["dns-2", "silent"], ["web", "dead"], ["dns-0", "lives"],
    ]  # fmt: skip


def test_each_zone_says_how_old_it_is_and_who_was_not_given_it() -> None:
    one = {"name": "bind", "serial": 1_795_639_000, "by": "IXFR"}
    zone = {"origin": "rpz.stopsign", "serial": 1_795_639_000, "owners": 200_000, "transfers": {"AXFR": 1, "IXFR": 7},
            "secondaries": [one, {"name": "unbound", "serial": None, "by": None}]}  # fmt: skip
    (line,) = [line for line in shown({**SAID, "zones": [zone]}) if line.startswith("rpz.stopsign")]
    assert " ".join(line.split()) == "rpz.stopsign 1795639000 200,000 13 min ago 8 not given it: unbound"
    (line,) = [line for line in shown({**SAID, "zones": [{**zone, "secondaries": [one]}]}) if "rpz.stopsign" in line]
    assert line.endswith("1 have it")


def test_a_terminal_of_80_columns_cuts_no_number_and_no_word() -> None:
    worker = {
        "index": 10, "pid": 4_194_303, "queries_per_second": 123_456.0, "heartbeat_age": 99.9, "generation": 12_345,
        "entries": 1_234_567, "in_flight": 16_384, "state": "hung",
    }  # fmt: skip
    service = {"name": "dns-10", "pid": 4_194_303, "restarts": 123, "state": "hung", "died": None, "up": None}
    upstream = {"address": "[2001:db8:1234::53]:5335", "state": "suspect", "reason": "what it said", "rtt_ms": 1234.5}
    one = {**LIST, "name": "gambling-denmark", "entries": 1_234_567, "held": {"added": 5_000, "version": 1_234}}
    busy = {**SAID, "workers": [worker], "services": [service], "upstreams": [upstream], "lists": [one]}
    lines = shown(busy, width=80)
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]
    words = " ".join(" ".join(lines).split())
    for row in (
        "dns-10 hung 4194303 123,456 16,384 99.9 s ago 12345 1,234,567 123",
        "[2001:db8:1234::53]:5335 suspect 1234.5 ms what it said",
        "gambling-denmark 41 1,234,567 stop-page 12 30 min ago held: 5,000 of version 1234",
    ):
        assert row in words


def test_the_curve_is_drawn_between_nothing_and_the_most() -> None:
    assert any("▁▅█  of 100 q/s at most" in line for line in shown(SAID, 0.0, 50.0, 100.0))


def test_watching_without_a_terminal_prints_screen_below_screen_until_nobody_reads_on(tmp_path: Path) -> None:
    """With every process dead: `stopsign status --watch | head` is what a script over ssh types."""
    config = tmp_path / "stopsign.yaml"
    config.write_text(yaml.safe_dump(settings(tmp_path)))
    watching = subprocess.Popen(
        [sys.executable, "-P", "-m", "resolver.cli.main", "status", "--watch", "--config", str(config)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stdout is not None
    assert watching.stderr is not None
    titles = 0
    while titles < 2:
        line = watching.stdout.readline()
        assert line, watching.stderr.read()
        titles += line.startswith("Stopsign ")
    watching.stdout.close()
    watching.wait(timeout=60)
    assert watching.stderr.read() == ""
    watching.stderr.close()


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (59, "59 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (2 * 86400, "2 d")]
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert ago(seconds) == text
