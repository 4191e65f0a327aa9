"""Policy zones beside a sealed list: what goes without it says so, and why."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from resolver.lists import compile as compiling
from resolver.policy.description import LiveList
from tests.rigs.dns_host import wait_until
from tests.rigs.list_documents import BASES, entry, write
from tests.rigs.rpz_world import NAMES, ORIGIN, World, listed, running
from tests.rigs.sealed_lists import Provider, write_sealed

if TYPE_CHECKING:
    from pathlib import Path

WHY = "list-1: a sealed list is in no policy zone; a resolver that needs it takes Stopsign in front"


def activate(world: World, provider: Provider) -> None:
    """A readable list, and a sealed one of one name."""
    write(world.folder / "0.zst", listed(NAMES))
    part = provider.part(write_sealed(world.folder / "1.zst", [entry("planted.example", 1)]).state)
    sources = [compiling._source(world.folder / f"{at}.zst", "stop-page", "trim", 15, BASES, []) for at in range(2)]
    about = [LiveList(name=f"list-{at}", action="stop-page", seal=part if at else None) for at in range(2)]
    planned = compiling.Plan((sources[0], compiling._sealed(sources[1], part)), tuple(about))
    compiling.build(planned, world.run_dir / "next.list", generation=1, now=0.0)
    (world.run_dir / "next.list").rename(world.run_dir / "current.list")


def test_the_primary_its_status_and_check_config_say_what_a_zone_goes_without(tmp_path: Path) -> None:
    named = {"origin": "rpz.sealed", "lists": ["list-1"]}
    world = World(tmp_path, {"zones": [{"origin": ORIGIN}, named]}, actions=("stop-page", "stop-page"))
    activate(world, Provider(tmp_path / "keys" / "sealed.pem"))
    with running(world):
        told = wait_until(lambda: world.said()["zones"][0]["without"], "the zone is made")
        assert told == [WHY]
        assert world.log.read_text().count(f"{ORIGIN}: made without {WHY}") == 1
        wait_until(lambda: world.said()["alarms"], "the other zone is refused")
        status = world.stopsign("rpz", "status", "--config", str(world.config))
        assert f"  without {WHY}\n" in status
        assert f"alarm: {WHY}" in status
        assert len(world.transfer(key=world.key()).nodes) == 1 + 2 * len(NAMES)
        with pytest.raises(subprocess.CalledProcessError) as checked:
            world.stopsign("check-config", "--config", str(world.config))
    said = checked.value.stdout.decode()
    assert f" rpz.zones[0]: is made without {WHY} (a warning)\n" in said
    assert f" rpz.zones[1]: is refused with {WHY}\n" in said
    assert b"planted" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
