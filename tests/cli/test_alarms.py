"""docs/alarms.md is true: each alert and each alarm that the program can say has its row there."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.rigs.alert_rules import alerts
from tests.rigs.dns_host import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDE = ROOT / "docs/alarms.md"
# Where alarms are spelt out as sentences, besides calls of `_alarm`.
SAYING = {
    "resolver/cli/status.py": {"_alarms"},
    "resolver/ipc/worker_counters.py": {"alarms"},
    "resolver/policy/bypass.py": {"alarms"},
    "resolver/base/disk_space.py": {"alarms"},
    "resolver/host/foreign.py": {"alarm"},
    "resolver/host/run.py": {"_status"},
    "resolver/ipc/rpz_status.py": {"complaints"},
    "resolver/lists/report.py": {"_alarms_of", "nothing_yet", "_held_long"},
    "resolver/stats/collect.py": {"_turn"},
    "resolver/lists/ledger.py": {"_unwritten"},
    "resolver/lists/people.py": {"configuration_refused"},
    "resolver/policy/overrides.py": {"put"},
    "resolver/rpz/export.py": {"run_after"},
    "resolver/policy/in_force.py": {"read_list", "poll_exceptions"},
    "resolver/rpz/primary.py": {"telling"},
}
SHORTEST = 12  # letters of a sentence's longest fixed part, below which it is no sentence


def fixed(node: ast.AST) -> Iterator[str]:
    """The longest part of each sentence in this piece of a program that is always the same."""
    inner = {id(part) for joined in ast.walk(node) if isinstance(joined, ast.JoinedStr) for part in ast.walk(joined)}
    for found in ast.walk(node):
        parts: list[str] = []
        if isinstance(found, ast.JoinedStr):
            parts = [str(part.value) for part in found.values if isinstance(part, ast.Constant)]
        elif isinstance(found, ast.Constant) and isinstance(found.value, str) and id(found) not in inner:
            parts = [found.value]
        longest = max(parts, key=len, default="").strip(" :;,.()'")
        if len(longest) >= SHORTEST and " " in longest:
            yield longest


def sentences(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    saying = SAYING.get(str(path.relative_to(ROOT)), set())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in saying:
            body = node.body[1:] if ast.get_docstring(node) else node.body
            for statement in body:
                yield from fixed(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_alarm":
            yield from fixed(node.args[1])


def rows() -> list[list[str]]:
    lines = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_each_alert_has_its_row_with_a_command_to_type_first() -> None:
    told = {row[0].strip("`"): row[1] for row in rows() if row[0].startswith("`Stopsign")}
    assert list(told) == list(alerts()), "the same, in the same order"
    assert all(command.startswith("`") and command.endswith("`") for command in told.values())


def test_each_alarm_has_its_row() -> None:
    guide = re.sub(r"\s+", " ", GUIDE.read_text(encoding="utf-8"))
    found = {sentence for path in (ROOT / "resolver").rglob("*.py") for sentence in sentences(path)}
    assert {sentence for sentence in found if sentence not in guide} == set()
    # It looks at what the program says:
    assert {"there is no compiled list yet", "no DNS worker counts in"} <= found
    assert len(found) > 25


def test_what_spells_alarms_out_is_where_the_table_says() -> None:
    for path, names in SAYING.items():
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert names <= there, path


def test_each_command_that_the_guide_names_exists() -> None:
    from resolver.cli.main import COMMANDS

    named = set(re.findall(r"`stopsign ([a-z-]+)", GUIDE.read_text(encoding="utf-8")))
    assert named
    assert named <= set(COMMANDS) | {"run"}
