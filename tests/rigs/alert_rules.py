"""The alert rules and the dashboard as an operator gets them, and which series they name."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import yaml

from tests.conftest import find_program
from tests.rigs.dns_host import ROOT

RULES = ROOT / "config/prometheus/stopsign.rules.yml"
DASHBOARD = ROOT / "config/grafana/stopsign.json"


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def promtool(*words: object, data: str = "") -> subprocess.CompletedProcess[str]:
    path = find_program("promtool")
    assert path
    command = [path, *map(str, words)]
    return subprocess.run(command, input=data, capture_output=True, text=True, check=False, timeout=120)


def named() -> set[str]:
    """Every series that a rule or a panel asks for."""
    text = RULES.read_text() + DASHBOARD.read_text()
    return set(re.findall(r"\bstopsign_[a-z0-9_]+", text))


def missing(exposition: str) -> set[str]:
    """What rules and dashboard name and this output does not have."""
    families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposition, flags=re.MULTILINE))
    histograms = [name for name, kind in families.items() if kind == "histogram"]
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    return named() - set(families) - parts
