"""The alert rules over invented days, by promtool: each fires for what it is about, and a quiet day wakes nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.rigs.alert_rules import DASHBOARD, RULES, alerts, promtool

if TYPE_CHECKING:
    from pathlib import Path


# A quiet day, sampled every minute. What an alert changes of it stands below.
QUIET = {
    'up{job="stopsign"}': "1x400",
    'stopsign_worker_heartbeat_age_seconds{worker="0"}': "0.5x400",
    'stopsign_worker_generation{worker="0"}': "7x400",
    'stopsign_worker_generation{worker="1"}': "7x400",
    'stopsign_worker_alarms{worker="0"}': "0x400",
    'stopsign_foreign_sockets{transport="udp"}': "0x400",
    # Worker 1 has not asked the second upstream yet.
    'stopsign_upstream_up{worker="0",upstream="127.0.0.1:5335"}': "1x400",
    'stopsign_upstream_up{worker="0",upstream="127.0.0.1:5336"}': "1x400",
    'stopsign_upstream_up{worker="1",upstream="127.0.0.1:5335"}': "1x400",
    'stopsign_answers_total{rcode="NOERROR"}': "0+60000x400",
    'stopsign_answers_total{rcode="SERVFAIL"}': "0+60x400",
    'stopsign_queries_total{transport="udp4"}': "0+60000x400",
    'stopsign_verdicts_total{verdict="blocked"}': "0+600x400",
    'stopsign_relayed_seconds_bucket{le="0.05"}': "0+6000x400",
    'stopsign_relayed_seconds_bucket{le="2.0"}': "0+6000x400",
    'stopsign_relayed_seconds_bucket{le="+Inf"}': "0+6000x400",
    "stopsign_kernel_drops_total": "0x400",
    'stopsign_capped_total{cap="zone"}': "0x400",
    'stopsign_upstream_failures_total{kind="mismatch"}': "0x400",
    "stopsign_loops_total": "0x400",
    "stopsign_panics_total": "0x400",
    "stopsign_tap_dropped_total": "0x400",
    'stopsign_list_confirmed_timestamp_seconds{list="gambling"}': "0+60x400",
    'stopsign_list_stale{list="gambling"}': "0x400",
    'stopsign_list_refused{list="gambling"}': "0x400",
    'stopsign_list_held{list="gambling"}': "0x400",
    "stopsign_appeals_held": "0x400",
    "stopsign_appeals_waiting": "40x400",
    "stopsign_reports_refused_total": "0x400",
    'stopsign_list_entries{list="gambling"}': "1000x400",
    'stopsign_list_version{list="gambling"}': "3x400",
    'stopsign_bypass{kind="all",list=""}': "0x400",
    'stopsign_bypass{kind="list",list="gambling"}': "0x30 1x10 0x360",
    "stopsign_log_failing": "0x400",
    "stopsign_steward_alarms": "0x400",
    "stopsign_rpz_alarms": "0x400",
    "stopsign_rpz_heartbeat_age_seconds": "2x400",
    'stopsign_rpz_serial{zone="rpz.stopsign"}': "1000+60x400",
    'stopsign_rpz_secondary_serial{secondary="bind",zone="rpz.stopsign"}': "1000+60x400",
}
# What goes wrong -> what fires, and when it must have (minutes).
DAYS: list[tuple[dict[str, str], str, int]] = [
    ({'up{job="stopsign"}': "0x400"}, "StopsignMetricsGone", 3),
    ({'stopsign_worker_heartbeat_age_seconds{worker="0"}': "0+60x400"}, "StopsignWorkerSilent", 5),
    ({'stopsign_foreign_sockets{transport="udp"}': "4x400"}, "StopsignForeignSocket", 3),
    ({'stopsign_upstream_up{worker="0",upstream="127.0.0.1:5335"}': "0x400",
      'stopsign_upstream_up{worker="0",upstream="127.0.0.1:5336"}': "0x400"}, "StopsignNoUpstream", 2),
    ({'stopsign_upstream_up{worker="0",upstream="127.0.0.1:5335"}': "0x400"}, "StopsignUpstreamDown", 6),
    ({'stopsign_answers_total{rcode="SERVFAIL"}': "0+6000x400"}, "StopsignServfail", 12),
    ({'stopsign_relayed_seconds_bucket{le="0.05"}': "0+3000x400"}, "StopsignSlow", 17),
    ({"stopsign_kernel_drops_total": "0+6000x400"}, "StopsignKernelDrops", 12),
    ({'stopsign_capped_total{cap="zone"}': "0+600x400"}, "StopsignCapReached", 12),
    ({'stopsign_upstream_failures_total{kind="mismatch"}': "0+600x400"}, "StopsignUpstreamForged", 12),
    ({"stopsign_loops_total": "0+5x400"}, "StopsignLoop", 5),
    ({"stopsign_panics_total": "0x30 1x370"}, "StopsignPanic", 35),
    ({'stopsign_worker_generation{worker="1"}': "6x400"}, "StopsignWorkersDiffer", 4),
    ({"stopsign_tap_dropped_total": "0+60x400"}, "StopsignRecordsLost", 25),
    ({'stopsign_list_confirmed_timestamp_seconds{list="gambling"}': "-90000x400"}, "StopsignListUnconfirmed", 2),
    ({'stopsign_list_stale{list="gambling"}': "1x400"}, "StopsignListStale", 1),
    ({'stopsign_list_refused{list="gambling"}': "1x400"}, "StopsignListRefused", 65),
    ({'stopsign_list_held{list="gambling"}': "12x400"}, "StopsignListHeld", 245),
    ({"stopsign_appeals_held": "12x400"}, "StopsignAppealsHeld", 12),
    ({"stopsign_appeals_waiting": "170000x400"}, "StopsignAppealsFull", 12),
    ({"stopsign_reports_refused_total": "0+1x400"}, "StopsignReportsRefused", 65),
    ({'stopsign_list_held{list="gambling"}': "12x400", 'stopsign_list_version{list="gambling"}': "0x400",
      'stopsign_list_entries{list="gambling"}': "0x400"}, "StopsignListWaits", 12),
    ({'stopsign_list_entries{list="gambling"}': "0x400"}, "StopsignListEmpty", 12),
    ({'stopsign_bypass{kind="all",list=""}': "1x400"}, "StopsignBypass", 62),
    ({'stopsign_verdicts_total{verdict="blocked"}': "5x400"}, "StopsignNothingBlocked", 130),
    ({'stopsign_verdicts_total{verdict="blocked"}': "0+20000x400"}, "StopsignBlocksJump", 25),
    ({"stopsign_log_failing": "1x400"}, "StopsignLogFailing", 7),
    ({"stopsign_steward_alarms": "2x400"}, "StopsignAlarm", 35),
    ({'stopsign_worker_alarms{worker="0"}': "1x400"}, "StopsignAlarm", 35),
    ({"stopsign_rpz_alarms": "1x400"}, "StopsignAlarm", 35),
    ({"stopsign_rpz_heartbeat_age_seconds": "0+60x400"}, "StopsignZonesSilent", 5),
    ({'stopsign_rpz_secondary_serial{secondary="bind",zone="rpz.stopsign"}': "9x400"}, "StopsignSecondaryBehind", 20),
]  # fmt: skip


def day(changed: dict[str, str], expected: str | None, minutes: int) -> dict[str, Any]:
    """One invented day: `expected` fires at `minutes`; without it nothing ever does, at any of several moments."""
    assert set(changed) <= set(QUIET)
    series = [{"series": name, "values": values} for name, values in (QUIET | changed).items()]
    # Whether one fires is asked of ALERTS, so that its texts need not be said again here.
    ask = f'count by (alertname) (ALERTS{{alertstate="firing",alertname="{expected}"}})' if expected else "ALERTS"
    found = [{"labels": f'{{alertname="{expected}"}}', "value": 1}] if expected else []
    moments = [minutes] if expected else [1, 10, 60, 200, 390]
    tests = [{"expr": ask, "eval_time": f"{at}m", "exp_samples": found} for at in moments]
    return {"interval": "1m", "input_series": series, "promql_expr_test": tests, "name": expected or "a quiet day"}


@pytest.mark.needs("promtool")
def test_each_alert_fires_for_what_it_is_about_and_a_quiet_day_wakes_nobody(tmp_path: Path) -> None:
    assert {alert for _, alert, _ in DAYS} == set(alerts())
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stderr
    days = [day({}, None, 0), *(day(*one) for one in DAYS)]
    tests = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": days}
    (tmp_path / "days.yml").write_text(yaml.safe_dump(tests))
    done = promtool("test", "rules", tmp_path / "days.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_says_how_urgent_it_is_and_what_it_is_about() -> None:
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in {"page", "ticket"}, name
        assert "$labels" in rule["annotations"]["summary"], name


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert len(panels) > 20
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert '{instance=~"$instance"' in target["expr"]
