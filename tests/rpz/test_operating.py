"""The process of the zones by itself, as a unit runs it: it applies a configuration, and is seen."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import dns.message
import dns.query
import dns.tsig
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest

from resolver.base.paths import Places
from resolver.cli.main import stopsign
from resolver.config.schema import ConfigError, accept, load
from resolver.host.zone_metrics import Zones
from resolver.ipc import rpz_status
from resolver.ipc.control import call
from resolver.policy import exceptions
from resolver.policy.in_force import Follower
from resolver.rpz.told import _READY as READY
from resolver.rpz.told import _START as START
from resolver.rpz.told import _control_frame as control_frame
from tests.rigs.config_file import GOOD, write
from tests.rigs.dns_host import PATIENCE, free_port, wait_until
from tests.rigs.rpz_world import NAMES, ORIGIN, World, listed, running

if TYPE_CHECKING:
    from pathlib import Path


def change(world: World, **rpz: Any) -> None:
    world.more.update(rpz)
    world.write_config()


def asked(world: World, what: str) -> Any:
    return call(load(world.config).places.rpz_socket, "status")[what]


def refusal(world: World, op: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        world.stopsign(op, "--config", str(world.config))
    assert refused.value.returncode == 2
    return str(refused.value.stderr.decode())


@pytest.mark.parametrize("op", ["reload", "restart"])
def test_a_configuration_is_taken_up_in_its_own_place(world: World, op: str) -> None:
    assert world.process is not None
    began = asked(world, "began")
    change(world, zones=[{"origin": ORIGIN, "ttl": "90s"}, {"origin": "rpz.second"}])
    # Nothing is tried: this world has neither an upstream nor an issuer.
    assert world.stopsign(op, "--no-trial", "--config", str(world.config)) == "applied by rpz\n"
    assert world.process.poll() is None
    assert asked(world, "pid") == world.process.pid
    assert asked(world, "began") != began
    assert asked(world, "configuration") == accept(world.config).digest
    wait_until(lambda: [bool(zone["serial"]) for zone in world.said()["zones"]] == [True, True], "both zones")
    assert {rdataset.ttl for _, rdataset in world.transfer(key=world.key()).iterate_rdatasets()} == {90}


def test_what_it_cannot_use_or_change_is_refused_and_the_old_goes_on(world: World) -> None:
    good = world.config.read_text()
    (world.folder / "short.key").write_text('key "short" { algorithm hmac-sha256; secret "abcd"; };')
    (world.folder / "short.key").chmod(0o640)
    one = {"name": "one", "addresses": ["127.0.0.1/32"], "key": "short.key"}
    change(world, secondaries=[one])
    assert "shorter than 128 bits" in refusal(world, "reload")
    change(world, secondaries=[{**one, "key": "secondary.key"}], listen=[f"127.0.0.1:{free_port()}"])
    assert "rpz.listen: cannot change" in refusal(world, "restart")
    world.config.write_text(good)
    assert asked(world, "configuration") == accept(world.config).digest
    assert len(world.transfer(key=world.key()).nodes) == 1 + 2 * len(NAMES)


def test_a_configuration_is_checked_beside_it_although_it_holds_the_ports(world: World) -> None:
    with pytest.raises(
        subprocess.CalledProcessError
    ) as wanting:  # its list has no host; that is not what is asked here
        world.stopsign("check-config", "--json", str(world.config))
    keys = {finding["key"] for finding in json.loads(wanting.value.stdout)["findings"]}
    assert "dns.upstreams[0]" in keys
    assert not [key for key in keys if key.startswith("rpz")]


def test_status_tells_each_zone_and_who_has_it(world: World) -> None:
    def shown() -> list[str]:
        lines = world.stopsign("status", "--config", str(world.config)).splitlines()
        return [" ".join(line.split()) for line in lines if line.startswith(f"{ORIGIN} ")]

    def told() -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(world.stopsign("status", "--json", "--config", str(world.config)))
        return answer

    (line,) = shown()
    assert re.fullmatch(rf"{ORIGIN} \d+ 600 \d+ s ago 0 not given it: one", line), line
    world.transfer(key=world.key())
    wait_until(lambda: world.said()["zones"][0]["transfers"] == {"AXFR": 1, "IXFR": 0}, "it is counted")
    (line,) = shown()
    assert re.fullmatch(rf"{ORIGIN} \d+ 600 \d+ s ago 1 1 have it", line), line
    said = told()
    assert said["zones"][0]["secondaries"] == [{"name": "one", "serial": world.serial(), "by": "AXFR"}]
    (rpz,) = [one for one in said["services"] if one["name"] == "rpz"]
    assert 0 <= rpz.pop("up") < 600
    assert rpz == {"name": "rpz", "pid": asked(world, "pid"), "restarts": None, "died": None, "state": "lives"}
    world.stop()
    with pytest.raises(subprocess.CalledProcessError) as nobody:
        told()
    assert nobody.value.returncode == 1
    said = json.loads(nobody.value.stdout)
    assert said["zones"][0]["origin"] == ORIGIN, "what was served last is still shown"
    assert any("the process of the zones does not answer" in alarm for alarm in said["alarms"])


def test_prometheus_is_told_of_zones_and_secondaries_by_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    places = load(world.config).places
    registry = CollectorRegistry()
    registry.register(Zones(places))

    def scraped() -> dict[str, float]:
        lines = generate_latest(registry).decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    before = scraped()
    assert f'stopsign_rpz_secondary_serial{{secondary="one",zone="{ORIGIN}"}}' not in before
    world.transfer(key=world.key())
    wait_until(lambda: world.said()["zones"][0]["secondaries"][0]["serial"], "a transfer")
    after = scraped()
    assert after[f'stopsign_rpz_serial{{zone="{ORIGIN}"}}'] == world.serial() == pytest.approx(time.time(), abs=600)
    assert after[f'stopsign_rpz_secondary_serial{{secondary="one",zone="{ORIGIN}"}}'] == world.serial()
    assert after[f'stopsign_rpz_transfers_total{{kind="AXFR",zone="{ORIGIN}"}}'] == 1
    assert after[f'stopsign_rpz_owners{{zone="{ORIGIN}"}}'] == 600
    assert after["stopsign_rpz_alarms"] == 0
    assert after["stopsign_rpz_heartbeat_age_seconds"] < rpz_status.SILENT
    assert not [name for name in after if "127.0.0.1" in name]
    world.stop()
    # The clock goes on; nobody says anything any more.
    later = time.monotonic() + 2 * rpz_status.SILENT
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert scraped()["stopsign_rpz_heartbeat_age_seconds"] > rpz_status.SILENT
    assert rpz_status.read(places).complaints[0].startswith("the process of the zones gave no sign of life for")


def test_it_says_that_it_lives_while_nothing_changes(world: World) -> None:
    wait_until(lambda: rpz_status.read(load(world.config).places).age > 0.5, "a quiet moment")
    wait_until(lambda: rpz_status.read(load(world.config).places).age < 0.5, "a sign of life", rpz_status.SILENT)


def test_that_the_log_was_told_of_a_bypass_makes_no_zone_anew(tmp_path: Path) -> None:
    places = Places(tmp_path / "state", tmp_path / "run", tmp_path / "log")
    one = exceptions.Bypass("list", "gambling", 0, exceptions.FOR_EVER, "somebody")
    live, _ = exceptions.change(places, lambda found: found.on(one))
    watch = Follower(places)
    assert watch.poll()
    exceptions.change(places, lambda found: found.logged(live.pending_log))
    assert not watch.poll()
    exceptions.change(places, lambda found: found.off("list", "gambling", now=1, by="somebody"))
    assert watch.poll()


def test_who_is_refused_is_counted_by_reason_and_logged_once(world: World) -> None:
    question = dns.message.make_query(ORIGIN, "SOA")
    signed = dns.message.make_query(ORIGIN, "SOA")
    signed.use_tsig(dns.tsig.Key("other", b"0" * 32, dns.tsig.HMAC_SHA256))
    for _ in range(3):
        dns.query.udp(question, "127.0.0.1", port=world.port, timeout=30)
    with pytest.raises(dns.tsig.PeerBadKey):
        dns.query.udp(signed, "127.0.0.1", port=world.port, timeout=30)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(question.to_wire(), ("127.0.0.1", world.port))

    def told() -> dict[tuple[str | None, str], int]:
        return {(one["secondary"], one["why"]): one["times"] for one in world.said().get("refused", ())}

    wanted = {("one", "it does not sign"): 3, ("one", "unknown key"): 1, (None, "its address is no secondary's"): 1}
    wait_until(lambda: told() == wanted, "it is not counted")
    shown = world.stopsign("rpz", "status", "--config", str(world.config))
    assert "refused: 3 requests of one: it does not sign\n" in shown
    assert "refused: 1 request of somebody: its address is no secondary's\n" in shown
    said = world.log.read_text()
    assert said.count("asks for a zone and is refused") == len(wanted)
    assert "127.0.0.2" not in said
    registry = CollectorRegistry()
    registry.register(Zones(load(world.config).places))
    assert (
        'stopsign_rpz_refused_total{secondary="one",why="it does not sign"} 3.0' in generate_latest(registry).decode()
    )


def test_no_text_of_the_zones_process_moves_the_cursor_of_who_looks(tmp_path: Path) -> None:
    places = load(write(tmp_path, GOOD)).places
    told: dict[str, Any] = {"origin": f"{ORIGIN}\x1b[2J"}
    told |= {"without": ["\x1b]0;title\x07"], "secondaries": [{"name": "\x1b[1m"}]}
    rpz_status.write(places, [told], ["\x1b[31mall is well"], [{"secondary": None, "why": "\x9b2J", "times": 2}])
    said = CliRunner().invoke(stopsign, ["rpz", "status", "--dir", str(places.run_dir.parent)])
    assert said.exit_code == 0, said.output
    assert said.output.splitlines() == [
        f"{ORIGIN}\ufffd[2J: serial 0, 0 owners, 0 changes kept",
        "  without \ufffd]0;title\ufffd",
        "  \ufffd[1m has asked for nothing yet",
        "refused: 2 requests of somebody: \ufffd2J",
        "alarm: \ufffd[31mall is well",
    ]


def test_it_ends_in_silence_while_a_resolver_tells_it_what_it_answers(tmp_path: Path) -> None:
    tap = tmp_path / "tap.sock"
    world = World(tmp_path, {"counts": [{"dnstap": str(tap)}]})
    world.activate(listed(NAMES))
    with running(world), socket.socket(socket.AF_UNIX) as resolver:
        resolver.settimeout(PATIENCE)
        resolver.connect(str(tap))
        resolver.sendall(control_frame(READY, b"protobuf:dnstap.Dnstap"))
        assert resolver.recv(4096)
        resolver.sendall(control_frame(START, b"protobuf:dnstap.Dnstap"))
        world.stop()
    assert "Traceback" not in world.log.read_text()


def test_a_zone_is_meant_with_its_dot_and_without(tmp_path: Path) -> None:
    zone = {"origin": "rpz.stopsign."}
    world = World(tmp_path, {"zones": [zone], "counts": [{"dnstap": "a"}, {"dnstap": "b", "zone": "RPZ.stopsign"}]})
    config = load(world.config)
    assert [count.zone for count in config.rpz.counts] == [config.rpz.zones[0].origin] * 2
    world.more = {"zones": [zone, {"origin": "rpz.stopsign"}]}
    world.write_config()
    with pytest.raises(ConfigError, match=r"is also rpz.zones\[0\]"):
        load(world.config)
