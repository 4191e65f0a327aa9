"""The short form of `make fleet`: a host in each of two cities, and what becomes of questions when one of them ends."""

from __future__ import annotations

import re
import subprocess
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.fleet import scenarios
from tests.fleet.network import may_make_networks
from tests.fleet.provider import LISTED, PASSED, STOPPED, fleet
from tests.fleet.routing import GUIDE
from tests.fleet.sixth import commands

if TYPE_CHECKING:
    from pathlib import Path

RATE = 200.0


@pytest.mark.needs("bird", "curl", "dig", "initdb", "ip", "nginx", "nsd")
def test_two_cities_lose_no_question_but_those_to_a_host_that_has_just_died(tmp_path: Path) -> None:
    if not may_make_networks():
        pytest.skip("this user has no networks of its own")
    with fleet(tmp_path, {"a": 1, "b": 1}) as made:
        first, second = made.hosts.values()
        rows = [scenarios.drained(made, RATE), scenarios.database_fails_over(made, RATE, silent=False)]
        assert made.ask(first, LISTED[104]) == PASSED, "said at the other host, after the fail-over"
        rows.append(scenarios.switch_off(made, RATE, first))
        assert {row.name: row.complaints for row in rows if row.complaints} == {}
        assert all(row.came.answered + len(row.came.lost_at) == row.came.sent > 100 for row in rows)
        assert made.cities["a"].hosts() == {"10.0.0.2"}, "the first city's clients go to the other one"
        assert made.ask(second, LISTED[0]) == STOPPED


@pytest.mark.needs("systemd-analyze")
def test_systemd_reads_the_guide_s_unit_of_the_route(tmp_path: Path) -> None:
    (unit,) = re.findall(r"^    \[Unit\]\n(?:    .*\n|\n(?=    ))*", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert "BindsTo=stopsign-dns.service" in unit
    text = textwrap.dedent(unit).replace("/etc/stopsign/announce", "/dev/null").replace("/usr/sbin/birdc", "/bin/true")
    (tmp_path / "stopsign-route.service").write_text(text, encoding="utf-8")
    (tmp_path / "stopsign-dns.service").write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "stopsign-route.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "stopsign-" in line] == []


def test_the_walk_of_a_sixth_host_begins_with_its_configuration_and_ends_with_its_route() -> None:
    first, *_, last = commands()
    assert first.startswith("ssh dns1 tar ")
    assert last == "systemctl enable --now stopsign-route"
