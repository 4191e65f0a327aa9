"""The layout of the tree: who may import whom (ARCHITECTURE.md, "Imports")."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WINGS = {"resolver.dns", "resolver.lists", "resolver.portal", "resolver.rpz"}
GROUND = {
    "resolver.audit",
    "resolver.config.schema",
    "resolver.ipc.control",
    "resolver.host.metrics",
    "resolver.base.errors",
}


def imports(path: Path) -> set[str]:
    """Every module that the file imports, at the top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("path", modules("blocklists"), ids=str)
def test_blocklists_never_import_the_provider_s_half(path: Path) -> None:
    assert not {name for name in imports(path) if within(name, {"resolver"})}


@pytest.mark.parametrize("wing", sorted(WINGS))
def test_a_wing_never_imports_another_wing(wing: str) -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in modules(wing.replace(".", "/"))
        for name in imports(path)
        if within(name, WINGS - {wing})
    }
    assert not found


def test_the_ground_imports_nothing_above_it() -> None:
    ground = [
        path for path in modules("resolver") if within(".".join(path.relative_to(ROOT).with_suffix("").parts), GROUND)
    ]
    assert ground
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in ground
        if path.name != "command.py"
        for name in imports(path)
        if within(name, WINGS | {"resolver.host.run", "resolver.cli.demo", "resolver.cli.main"})
    }
    assert not found


def test_every_file_that_the_architecture_names_is_there() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_/]+(?:\.[a-z]+)?)`", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    there = [
        name
        for name in named
        if name.partition("/")[0] in {"blocklists", "config", "core", "docs", "resolver", "tests"}
    ]
    assert len(there) > 10
    assert [name for name in there if not (ROOT / name).exists()] == []
