"""The short form of `make fleet`: a host in each of two cities, and what becomes of questions when one of them ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet import scenarios
from tests.fleet.network import may_make_networks
from tests.fleet.provider import LISTED, PASSED, STOPPED, fleet

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
