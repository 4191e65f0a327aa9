"""What lies in config/: a production configuration that the program accepts, and the schema that it prints."""

from __future__ import annotations

import json
from pathlib import Path

from resolver.config.schema import Config, load

ROOT = Path(__file__).resolve().parents[2]


def test_the_production_configuration_is_read_without_a_mistake() -> None:
    config = load(ROOT / "config" / "stopsign.yaml")
    assert [source.name for source in config.lists] == ["gambling"]
    assert config.require_dns().cache.size == 256 << 20


def test_the_schema_in_the_tree_is_the_one_of_the_program() -> None:
    """Made by `stopsign check-config --schema > config/stopsign.schema.json`."""
    schema = json.loads((ROOT / "config" / "stopsign.schema.json").read_text(encoding="utf-8"))
    assert schema == Config.model_json_schema()
