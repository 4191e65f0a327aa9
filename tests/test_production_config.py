"""The commented production configuration is one that the program accepts."""

from __future__ import annotations

from pathlib import Path

from resolver.config import load

ROOT = Path(__file__).resolve().parents[1]


def test_the_production_configuration_is_read_without_a_mistake() -> None:
    config = load(ROOT / "config" / "stopsign.yaml")
    assert [source.name for source in config.lists] == ["gambling"]
    assert config.dns.cache.size == 256 << 20
