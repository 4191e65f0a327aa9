"""The dashboard and the alert rules before a real Prometheus that scraped a real provider under load: each panel shows
something, and no expression is one that Prometheus does not understand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import subprocess
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import dns.name
import dns.query
import dns.xfr
import dns.zone
import pytest
import yaml

from tests.conftest import find_program
from tests.rigs.alert_rules import DASHBOARD, RULES, alerts
from tests.rigs.dns_host import free_port, wait_until
from tests.rigs.load import EXPECTED, PASSED, Load, under_load
from tests.rigs.provider import Provider, change, provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["provider"]  # the fixture
EVERY, WINDOW = 1, 10  # seconds between two scrapes, and that a rate looks back
ZONE = "rpz.stopsign"
# What has no series before it has happened: a guard that held something, a refresh that was refused.
QUIET = {"Guards and refusals"}
# More than are asked for: so some are relayed at any time.
MANY = EXPECTED | {f"www{number}.example.net": PASSED for number in range(100_000)}


class Prometheus:
    """It scrapes one provider."""

    def __init__(self, port: int) -> None:
        self._at = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self._at}/{path}", timeout=10) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as refused:
            if refused.code == 503:  # it only starts
                raise
            said = json.load(refused)
        assert said["status"] == "success", said
        return said["data"]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def values(self, expression: str) -> list[float]:
        found = self.get("query?" + urllib.parse.urlencode({"query": expression}))["result"]
        return [float(one["value"][1]) for one in found]


@contextlib.contextmanager
def prometheus(folder: Path, target: int) -> Iterator[Prometheus]:
    program = find_program("prometheus")
    assert program
    folder.mkdir()
    settings = {
        "global": {"scrape_interval": f"{EVERY}s", "evaluation_interval": f"{EVERY}s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "stopsign", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    port = free_port()
    command = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        it = Prometheus(port)

        def scrapes() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return it.values("up") == [1.0]
            except OSError:
                return False

        wait_until(scrapes, "Prometheus scrapes")
        yield it
    finally:
        process.terminate()
        process.wait(30)


def panels() -> dict[str, list[str]]:
    """The expressions of each, as Grafana fills in what stands for something."""
    found: dict[str, list[str]] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        expressions = [target["expr"] for target in panel.get("targets", ())]
        filled = [one.replace("$__rate_interval", f"{WINDOW}s").replace("$instance", ".*") for one in expressions]
        assert not [one for one in filled if "$" in one]
        if filled:
            found[panel["title"]] = filled
    return found


@pytest.mark.needs("prometheus")
def test_each_panel_shows_something_of_a_provider_under_load(provider: tuple[Provider, str], tmp_path: Path) -> None:
    host, _ = provider
    assert host.stop() == 0
    metrics = free_port()
    zones = {"listen": ["127.0.0.1:0"], "zones": [{"origin": ZONE}]}
    secondary = {"name": "one", "addresses": ["127.0.0.1/32"], "unsigned": True}
    change(host, metrics={"listen": [f"127.0.0.1:{metrics}"]}, rpz={**zones, "secondaries": [secondary]})
    host.start()
    with prometheus(tmp_path / "prometheus", metrics) as it:

        async def look() -> None:
            await asyncio.to_thread(transfer, host.addresses("rpz")[0])
            await asyncio.sleep(WINDOW)
            for title, expressions in panels().items():
                for expression in expressions:
                    values = await asyncio.to_thread(it.values, expression)
                    shown = [value for value in values if not math.isnan(value)]
                    assert shown or title in QUIET, f"{title}: {expression}: {values}"

        # So few that a zone's cap is not reached where the upstream is held up by other tests for a second or two.
        under_load(Load(host.address, MANY, rate=200.0), look)
        assert it.values("sum(stopsign_queries_total)") > [100.0]
        chosen = json.loads(DASHBOARD.read_text())["templating"]["list"][1]["query"]["query"]
        (series,) = re.findall(r"label_values\((\w+), instance\)", chosen)
        assert len(it.values(series)) == 1, "there is a host to choose"
        wait_until(lambda: all(rule["health"] != "unknown" for rule in it.rules()), "every rule is evaluated")
        assert {rule["name"] for rule in it.rules()} == set(alerts())
        assert [rule["lastError"] for rule in it.rules() if "lastError" in rule] == []
        assert not [one for one in it.get("alerts")["alerts"] if one["state"] == "firing"]
        # What was slow for a moment makes one wait for its time to fire.
        wait_until(lambda: it.get("alerts")["alerts"] == [], "none is about to fire")


def transfer(address: tuple[str, int]) -> None:
    zone = dns.zone.Zone(dns.name.from_text(ZONE))
    query, _ = dns.xfr.make_query(zone)

    def served() -> bool:
        try:
            dns.query.inbound_xfr(address[0], zone, query, port=address[1], timeout=10, lifetime=20)
        except dns.xfr.TransferError:  # not made yet
            return False
        return True

    wait_until(served, "the zone")
