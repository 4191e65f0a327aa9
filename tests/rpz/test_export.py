"""`stopsign rpz export` and the section `rpz` of the configuration."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import dns.zone
import pytest

from resolver.config.schema import ConfigError, load
from tests.rigs.list_documents import entry
from tests.rigs.rpz_world import ORIGIN, World

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_written_then_the_command_runs_and_the_serial_grows_with_the_zone(tmp_path: Path) -> None:
    path = tmp_path / "zone"
    zone = {"origin": ORIGIN, "run": ["cp", str(path), f"{path}.copied"], "file": str(path)}
    world = World(tmp_path, {"zones": [zone]}, actions=("stop-page", "nxdomain", "refused", "monitor"))
    world.activate(
        [entry("a.test", 1)], [entry("b.test", 2, "exact")], [entry("c.test", 3, "below")], [entry("d.test", 4)]
    )
    export = ("rpz", "export", "--config", str(world.config), "--output", str(path), "--json")
    first = json.loads(world.stopsign(*export))
    assert (first["names"], first["owners"], first["unsayable"]) == (3, 4, 0)
    assert path.read_bytes() == (tmp_path / "zone.copied").read_bytes()
    found = dns.zone.from_file(str(path), relativize=True)
    told = {f"{name} {rdata.rdtype.name} {rdata}" for name, _, rdata in found.iterate_rdatas() if str(name) != "@"}
    assert told == {
        "a.test A 192.0.2.66", "a.test AAAA 2001:db8::66", "*.a.test A 192.0.2.66", "*.a.test AAAA 2001:db8::66",
        "b.test CNAME .", "*.c.test CNAME rpz-drop.",
    }  # fmt: skip
    world.activate([entry("a.test", 1)], [], [], [])
    assert json.loads(world.stopsign(*export))["serial"] > first["serial"]


def test_a_command_that_fails_is_said(tmp_path: Path) -> None:
    world = World(tmp_path, {"zones": [{"origin": ORIGIN, "file": "zone", "run": ["false"]}]})
    world.activate([entry("a.test", 1)])
    with pytest.raises(subprocess.CalledProcessError) as failed:
        world.stopsign("rpz", "export", "--config", str(world.config), "--output", str(tmp_path / "zone"))
    assert failed.value.returncode == 2
    assert b"'false' ended with 1" in failed.value.stderr


@pytest.mark.parametrize(
    ("rpz", "wrong"),
    [
        ({"secondaries": [{"name": "a", "addresses": ["192.0.2.1/32"]}]}, "either key (a TSIG key's file) or unsigned"),
        ({"zones": [{"lists": ["nobody"]}]}, "'nobody' is not one of the lists"),
        ({"zones": [{}, {}]}, "rpz.stopsign is also rpz.zones[0]"),
        ({"zones": [{"view": "nobody"}]}, "'nobody' is not one of the views"),
        ({"listen_tls": ["127.0.0.1:853"]}, "needs certificate and private_key"),
        ({"counts": [{"zone": "rpz.stopsign"}]}, "either dnstap (a Unix socket) or protobuf"),
        ({"zones": [{"run": ["true"]}]}, "runs after a file is written, and there is no file"),
    ],
)
def test_what_contradicts_itself_is_refused(rpz: dict[str, Any], wrong: str, tmp_path: Path) -> None:
    world = World(tmp_path, rpz)
    with pytest.raises(ConfigError, match=re.escape(wrong)):
        load(world.config)
