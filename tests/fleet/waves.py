"""A canary and two waves after it, while both cities' clients ask: additions follow in turn, or go no further.

Enters: a `Fleet` of four hosts or more. Leaves: a `Row` a scenario, and the fleet as it was. The first host is the
canary, the others are of wave-1 and wave-2 in turn, so that each wave has hosts in both cities. Rules: what is said of
a stop is read on another host, as `status --all` prints it; a removal in the version that is stopped acts everywhere.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from tests.fleet.clients import Clients
from tests.fleet.provider import BROKEN, LISTED, PASSED, STOPPED
from tests.fleet.scenarios import Row, playing, timed
from tests.rigs.dns_host import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fleet.hosts import Resolver
    from tests.fleet.provider import Fleet

CANARY, WAVE_1 = 15.0, 5.0  # seconds that additions soak
EVALUATED = 4.0  # seconds of shadow evaluation on the canary
KEPT = "kept.example"  # what a guard of the canary looks after
CLIENTS = [f"10.3.0.{number}" for number in range(50, 200)]  # fewer than a hundred prove nothing in shadow evaluation
FAILING = 300.0  # questions a second to the canary that nobody can answer: enough of its answers at any rate
PATIENCE = 120.0


def waves_follow(fleet: Fleet, rate: float) -> Row:
    """The canary is well: its additions act on wave-1 after their time, then on wave-2."""
    canary, one, two = _waves(fleet)
    name, gone = "wave.example", LISTED[110]
    with playing(fleet, "a version by way of the waves", rate) as row, staged(fleet):
        began = time.monotonic()
        fleet.issuer.change("fleet", add=[name], remove=[gone])
        row.figures["s: a removal everywhere"] = fleet.everywhere(gone, PASSED, list(fleet.hosts.values()))
        fleet.everywhere(name, STOPPED, [canary])
        row.figures["s: the canary"] = time.monotonic() - began
        assert [fleet.ask(host, name) for host in one + two] == [PASSED] * len(one + two)
        for wave, what, soak in ((one, "wave-1", CANARY), (two, "wave-2", CANARY + WAVE_1)):
            fleet.everywhere(name, STOPPED, wave, PATIENCE)
            row.figures[f"s: {what}"] = acts = time.monotonic() - began
            assert acts >= soak, f"{what} did not wait: {acts:.1f} s"
    return row


def canary_goes_wrong(fleet: Fleet, rate: float) -> Row:
    """A guard there, failing answers, an addition that would stop too many: each stops both waves, and says why."""
    canary, one, two = _waves(fleet)
    others, why = one + two, f"{canary.name} (canary): "
    guards = {"protected": [KEPT], "shadow": {"watch": f"{EVALUATED:g}s", "share": "100%"}}
    with playing(fleet, "a canary that goes wrong", rate) as row, staged(fleet, guards):
        _offer(fleet, row, KEPT, remove=LISTED[111])
        _stopped(row, others, f"{why}held there: protected", "held by a guard there")
        _offer(fleet, row, "fails.example", KEPT, remove=LISTED[112])
        broken = {f"www{number}.{BROKEN}": "rcode 2, 0 answers" for number in range(50)}
        with asking(fleet, canary, FAILING, broken):
            fleet.everywhere("fails.example", STOPPED, [canary])
            _stopped(row, others, "of its answers are SERVFAIL", "its answers fail")
            assert [fleet.ask(host, "fails.example") for host in others] == [PASSED] * len(others)
        version, state = _waiting(others[0])
        with timed(row, "approve --now --everywhere"):
            others[-1].must("lists", "approve", "fleet", version, state, "--now", "--everywhere")
            fleet.everywhere("fails.example", STOPPED, others)
        _add_clients(fleet)
        with asking(fleet, canary, 1_000.0, {"www.much.example": ""}, CLIENTS):
            _offer(fleet, row, "much.example", remove=LISTED[113])
            fleet.everywhere("much.example", STOPPED, [canary])
            _stopped(row, others, "one addition would have stopped ", "it meets too many clients")
        assert [fleet.ask(host, "much.example") for host in others] == [PASSED] * len(others)
    fleet.everywhere("much.example", STOPPED, others)  # of no wave any more
    return row


def _waves(fleet: Fleet) -> tuple[Resolver, list[Resolver], list[Resolver]]:
    canary, *others = fleet.hosts.values()
    return canary, others[::2], others[1::2]


@contextlib.contextmanager
def staged(fleet: Fleet, guards: dict[str, Any] | None = None) -> Iterator[None]:
    """By reload, as an operator does it. `guards`: of the canary alone."""
    canary, one, _ = _waves(fleet)
    before = {host.name: dict(host.settings) for host in fleet.hosts.values()}
    for host in fleet.hosts.values():
        stage = "canary" if host is canary else "wave-1" if host in one else "wave-2"
        host.settings["stages"] = {"stage": stage, "canary": f"{CANARY:g}s", "wave_1": f"{WAVE_1:g}s"}
    canary.settings |= {"guards": guards} if guards else {}
    _reload(fleet)
    try:
        yield
    finally:
        for host in fleet.hosts.values():
            host.settings = before[host.name]
        _reload(fleet)


def _reload(fleet: Fleet) -> None:
    for host in fleet.hosts.values():
        host.write_config()
        host.must("reload", "--no-trial")


def _offer(fleet: Fleet, row: Row, name: str, *gone: str, remove: str) -> None:
    """A version with one addition; what it removes is gone everywhere whatever becomes of that."""
    fleet.issuer.change("fleet", add=[name], remove=[remove, *gone])
    slowest = fleet.everywhere(remove, PASSED, list(fleet.hosts.values()))
    what = "s: removals everywhere, at most"
    row.figures[what] = max(slowest, row.figures.get(what, 0.0))


def _stopped(row: Row, others: list[Resolver], why: str, what: str) -> None:
    """Every host of the waves says so on the screen of the last of them, and goes on without the addition."""
    with timed(row, f"until said: {what}"):
        wait_until(lambda: all(why in one for one in _waits(others)), f"stopped: {why}", PATIENCE)
    shown = " ".join(others[-1].command("status", "--all").stdout.split())
    for host in others:
        assert f"! {host.name}: version" in shown, shown
    assert "is stopped by" in shown, shown
    assert why in shown, shown


def _waits(others: list[Resolver]) -> list[str]:
    """For whom each of them waits, by what the last one hears of all."""
    told = json.loads(others[-1].command("status", "--all", "--json").stdout)["hosts"]
    names = {host.name for host in others}
    return [one["waits"] for host in told if host["name"] in names for one in host["lists"]]


def _waiting(host: Resolver) -> tuple[str, str]:
    (one,) = json.loads(host.must("lists", "status", "--json"))["lists"]
    return str(one["held"]["version"]), one["held"]["state"]


@contextlib.contextmanager
def asking(
    fleet: Fleet, host: Resolver, rate: float, expected: dict[str, str], sources: Sequence[str] = ()
) -> Iterator[None]:
    """Clients of this host alone meanwhile; each of their questions is answered."""
    clients = Clients(fleet.networks["clients-a"], host.unicast, rate, expected, sources)
    try:
        yield
        came = clients.end()
    finally:
        clients.kill()
    assert came.answered == came.sent > 0, f"{came.sent} asked, {came.answered} answered"
    assert not came.wrong, came.wrong[:3]


def _add_clients(fleet: Fleet) -> None:
    machine = fleet.networks["clients-a"]
    device = machine.ports["homes-a"]
    machine.ip(*(f"address replace {address}/24 dev {device}" for address in CLIENTS))
