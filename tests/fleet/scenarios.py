"""What happens to a provider's hosts while both cities' clients ask, and what the clients see of it.

Enters: a `Fleet`, how many questions a second each city asks. Leaves: a `Row` a scenario. Rules: an answer is the right
one or it is a complaint; a question may be lost only in the scenario's own window, while routers still
send it to a host that has just died; what is to hold at all hosts is asked at each host's own address.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fleet.clients import Came
from tests.fleet.provider import LISTED, PASSED, STOPPED, UPSTREAMS, Fleet
from tests.rigs.dns_host import wait_until
from tests.rigs.provider import alarms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.databases import Database
    from tests.fleet.hosts import Resolver

AT_ONCE = 2.0  # seconds within which every host holds what was said of all
ROUNDING = 0.1  # seconds: routers are asked by a command


@dataclass
class Row:
    """Of one scenario. `figures`: seconds and numbers by what they are of."""

    name: str
    came: Came = field(default_factory=lambda: Came(0, 0, [], []))
    window: tuple[float, float] | None = None
    figures: dict[str, float] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)

    @property
    def in_window(self) -> int:
        return sum(self._within(at) for at in self.came.lost_at)

    @property
    def complaints(self) -> list[str]:
        outside = [at for at in self.came.lost_at if not self._within(at)]
        found = [f"{len(outside)} lost while every host was well"] if outside else []
        return found + [f"wrong: {one}" for one in self.came.wrong[:3]]

    def _within(self, at: float) -> bool:
        return self.window is not None and self.window[0] - ROUNDING <= at <= self.window[1] + ROUNDING

    def at_once(self, what: str, seconds: float) -> None:
        self.figures[what] = seconds
        if seconds > AT_ONCE:
            self.late.append(f"{what}: {seconds:.1f} s")


@contextlib.contextmanager
def playing(fleet: Fleet, name: str, rate: float) -> Iterator[Row]:
    row = Row(name)
    with fleet.asked(rate) as came:
        yield row
    for one in came:
        row.came += one


def _first(fleet: Fleet, city: str = "a") -> Resolver:
    return next(host for host in fleet.hosts.values() if fleet.router_of(host) is fleet.cities[city])


def _withdrawn(fleet: Fleet, host: Resolver) -> None:
    wait_until(lambda: not fleet.announced(host), f"{host.name} is withdrawn")


def _announced(fleet: Fleet, host: Resolver) -> None:
    wait_until(lambda: fleet.announced(host), f"{host.name} is announced")


@contextlib.contextmanager
def timed(row: Row, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    row.figures[f"s {what}"] = time.monotonic() - began


# -- hosts that end


def drained(fleet: Fleet, rate: float) -> Row:
    """`systemctl stop stopsign-route`, and `start` after a while."""
    host = _first(fleet)
    with playing(fleet, "drained, taken back", rate) as row:
        with timed(row, "until withdrawn"):
            host.withdraw()
            _withdrawn(fleet, host)
        host.announce()
        _announced(fleet, host)
    return row


def stopped(fleet: Fleet, rate: float) -> Row:
    """`systemctl stop stopsign.target`, which ends the route first; then it is started."""
    host = _first(fleet)
    with playing(fleet, "stopped, started", rate) as row:
        assert host.stop() == 0
        with timed(row, "until it serves again"):
            host.start()
            _announced(fleet, host)
    return row


def process_killed(fleet: Fleet, rate: float, process: str) -> Row:
    """kill -9 of one process; the supervisor starts it again."""
    host = _first(fleet)
    before = host.children()[process]
    with playing(fleet, f"kill -9 of a host's {process}", rate) as row:
        now = time.monotonic()
        row.window = (now, now) if process.startswith("worker") else None
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: before not in host.children().values() and _serves(host, before), f"another {process}")
        row.figures["s until another serves"] = time.monotonic() - now
    return row


def _serves(host: Resolver, dead: int) -> bool:
    """Every process of it, and none of them says that it is the dead one."""
    return len(host.children()) == 3 and all(one["pid"] != dead for one in host.said()) and host.serving()


def supervisor_killed(fleet: Fleet, rate: float) -> Row:
    """kill -9 of the supervisor, with which its processes end; the machine and its BIRD live."""
    host = _first(fleet)
    assert host.process is not None
    with playing(fleet, "kill -9 of a host's supervisor", rate) as row:
        children, began = host.children().values(), time.monotonic()
        host.process.kill()
        _withdrawn(fleet, host)
        row.window = (began, time.monotonic())
        row.figures["s until withdrawn"] = row.window[1] - began
        host.process.wait(30)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the others have ended")
        host.withdraw()
        host.start()
        _announced(fleet, host)
    return row


def switched_off(fleet: Fleet, rate: float) -> Row:
    """The cable is pulled at the switch, so that no router sees its own port go down; every process is killed."""
    host = _first(fleet)
    row = switch_off(fleet, rate, host)
    host.withdraw()
    fleet.networks["lan-a"].plug(host.name)
    host.start()
    _announced(fleet, host)
    return row


def switch_off(fleet: Fleet, rate: float, host: Resolver) -> Row:
    """And it stays off."""
    lan = fleet.networks["lan-a"]
    with playing(fleet, "a host is switched off", rate) as row:
        began = time.monotonic()
        lan.pull(host.name)
        host.die()
        _withdrawn(fleet, host)
        row.window = (began, time.monotonic())
        row.figures["s until withdrawn"] = row.window[1] - began
    return row


def upgraded(fleet: Fleet, rate: float) -> Row:
    """Every host, one after the other, as a package's upgrade does it."""
    with playing(fleet, "every host restarted, as by an upgrade", rate) as row:
        for host in fleet.hosts.values():
            host.must("restart", "--no-trial")
    return row


# -- hosts that are cut off


def cut_from_database(fleet: Fleet, rate: float) -> Row:
    """In silence, from both databases; meanwhile something is said that is to hold everywhere."""
    host, *others = fleet.hosts.values()
    name = LISTED[101]
    with playing(fleet, "cut from the databases", rate) as row, contextlib.ExitStack() as cuts:
        for database in fleet.databases:
            cuts.enter_context(fleet.router_of(host).network.silence(host.unicast, database.network.address))
        others[0].must("override", "allow", name, "--reason", "a test", "--everywhere")
        row.at_once("s at the others", fleet.everywhere(name, PASSED, others))
        with timed(row, "until it says so"):
            _away(host)
        assert fleet.ask(host, name) == STOPPED
        cuts.close()
        row.figures["s until it follows"] = fleet.everywhere(name, PASSED, [host])
        _back(host)
    return row


def cut_from_upstream(fleet: Fleet, rate: float) -> Row:
    """From the nearer of its two."""
    host = _first(fleet)
    cut = fleet.router_of(host).network.silence(host.unicast, UPSTREAMS["a"])
    with playing(fleet, "cut from its upstream", rate) as row, cut:
        wait_until(lambda: host.said()[0]["upstreams"][0]["state"] != "up", "its upstream is found down")
        time.sleep(1.0)
    return row


def cut_from_all_upstreams(fleet: Fleet, rate: float) -> Row:
    """Its health says no, and the loop withdraws it at the third time. Until then it answers from its cache."""
    host = _first(fleet)
    with playing(fleet, "cut from all upstreams", rate) as row, contextlib.ExitStack() as cuts:
        began = time.monotonic()
        for address in UPSTREAMS.values():
            cuts.enter_context(fleet.router_of(host).network.silence(host.unicast, address))
        _withdrawn(fleet, host)
        row.window = (began, time.monotonic())
        row.figures["s until withdrawn"] = row.window[1] - began
        cuts.close()
        _announced(fleet, host)
    return row


# -- lists, and what is of the provider


def damaged_list(fleet: Fleet, rate: float) -> Row:
    """One host's mirror serves damaged files while a new version comes out; then it is mended."""
    host, *others = fleet.hosts.values()
    folder, name = fleet.folder / "mirror" / host.name, "fresh.example"
    with playing(fleet, "given a damaged list", rate) as row:
        folder.unlink()
        fleet.issuer.change("fleet", add=[name])
        shutil.copytree(fleet.issuer.desk.published, folder)
        for file in (folder / "targets").rglob("*.zst"):
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 0xFF
            file.write_bytes(data)
        row.figures["s at the others"] = fleet.everywhere(name, STOPPED, others)
        wait_until(lambda: any("fleet" in one for one in alarms(host)), "the alarm")
        assert fleet.ask(host, name) == PASSED
        assert fleet.ask(host, LISTED[0]) == STOPPED
        shutil.rmtree(folder)
        folder.symlink_to(fleet.issuer.desk.published, target_is_directory=True)
        row.figures["s once it is mended"] = fleet.everywhere(name, STOPPED, [host])
    return row


def said_of_all(fleet: Fleet, rate: float) -> Row:
    """An override, its end, an approval, a suspension: each at every host."""
    every = list(fleet.hosts.values())
    with playing(fleet, "said of all hosts", rate) as row:
        overridden(fleet, row, LISTED[102])
        every[0].must("override", "lift", LISTED[102], "--everywhere")
        row.at_once("s: its end", fleet.everywhere(LISTED[102], STOPPED, every))
        row.at_once("s: approval", _approved(fleet, every))
        row.at_once("s: suspension", _suspended(fleet, every))
    return row


def overridden(fleet: Fleet, row: Row, name: str) -> None:
    every = list(fleet.hosts.values())
    every[-1].must("override", "allow", name, "--reason", "a test", "--everywhere")
    row.at_once("s: override", fleet.everywhere(name, PASSED, every))


def _approved(fleet: Fleet, every: list[Resolver]) -> float:
    """A public suffix is held at each host until a person at one of them approves it."""
    fleet.issuer.change("fleet", add=["mooo.com"])
    for host in every:
        wait_until(lambda host=host: _held(host), f"held at {host.name}")  # type: ignore[misc]
    version, state = _held(every[0])
    every[0].must("lists", "approve", "fleet", version, state, "--everywhere")
    return fleet.everywhere("mooo.com", STOPPED, every)


def _held(host: Resolver) -> tuple[str, str]:
    (one,) = json.loads(host.must("lists", "status", "--json"))["lists"]
    held = one["held"]
    return (str(held["version"]), held["state"]) if held else ("", "")


def _suspended(fleet: Fleet, every: list[Resolver]) -> float:
    """An appeal at one host becomes overdue (`portal.clocks.fact`); seconds from the first host to the last."""
    host, name = every[0], LISTED[103]
    page = host.network.run("curl", "--silent", f"http://127.0.0.1:8080/?name={name}")
    (reference, *_) = re.findall(r"reference=([0-9A-Z]{16})", page)
    form = host.network.run("curl", "--silent", f"http://127.0.0.1:8080/appeal?reference={reference}")
    (token,) = re.findall(r'name="token" value="([^"]+)"', form)
    fields = {"token": token, "reference": reference, "name": name, "ground": "mistake", "reason": "It is not theirs."}
    words = [word for key, text in fields.items() for word in ("--data-urlencode", f"{key}={text}")]
    time.sleep(3.1)  # a form that is sent faster than a person types is refused
    done = host.network.run("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}",
                            "--header", "Origin: http://stop.isp.example", "--header", "Host: stop.isp.example",
                            *words, "http://127.0.0.1:8080/appeal")  # fmt: skip
    assert done == "303", done
    wait_until(lambda: any(fleet.ask(one, name) == PASSED for one in every), "suspended somewhere", 90)
    return fleet.everywhere(name, PASSED, every)


def database_fails_over(fleet: Fleet, rate: float, *, silent: bool = True) -> Row:
    """The primary ends (`silent`: its machine too, so that nobody refuses a connection); the replica is promoted."""
    every = list(fleet.hosts.values())
    primary, replica = fleet.databases
    with playing(fleet, "the database fails over", rate) as row:
        if silent:
            fleet.networks["backbone"].pull(primary.network.name)
        primary.kill()
        with timed(row, "until all say so"):
            for host in every:
                _away(host)
        replica.promote()
        with timed(row, "until all are back"):
            for host in every:
                _back(host)
        overridden(fleet, row, LISTED[104])
        _listen(replica, len(every))
    return row


def _away(host: Resolver) -> None:
    wait_until(lambda: any("database cannot be used" in one for one in alarms(host)), f"{host.name} says so")


def _back(host: Resolver) -> None:
    wait_until(lambda: not any("database" in one for one in alarms(host)), f"{host.name} is back")


def _listen(database: Database, hosts: int) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    wait_until(lambda: int(database.ask(query)) == hosts, "every host listens")
