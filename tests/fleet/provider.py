"""A provider of several hosts in two cities, and all that they need: routers, upstreams, a mirror, two databases.

Enters: a folder, how many hosts each city has. Leaves: a `Fleet` that answers at 192.0.2.53 in both cities.

    clients-a - city-a - backbone - city-b - clients-b
                  |         |         |
                hosts   databases,  hosts
                        upstreams,
                        mirror

Each city's router is the route reflector of its hosts, and forwards to all of them that announce the service; where
none does, to the other city's.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blocklists.head import Basis, Issuer
from blocklists.importers.intake import Candidate
from blocklists.issuer.rehearsal import Rehearsal
from tests.conftest import find_program
from tests.fleet import routing
from tests.fleet.clients import Came, Clients
from tests.fleet.databases import Database, pair, url
from tests.fleet.hosts import Resolver, configuration, resolver
from tests.fleet.network import Networks, networks
from tests.fleet.routing import SERVICE, Bird, bird
from tests.rigs.dns_host import wait_until
from tests.rigs.program import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.fleet.network import Network

STOPPED, PASSED = "192.0.2.66", "198.51.100.7"
UPSTREAMS = {"a": "10.0.0.31", "b": "10.0.0.32"}
MIRROR = "10.0.0.33"
LISTED = [f"listed{number}.example" for number in range(200)]
EXPECTED = dict.fromkeys(LISTED[:100], STOPPED) | {f"www{n}.example.net": PASSED for n in range(2_000)}
"""What the clients ask; the other half of the list is for changes."""
BROKEN = "broken.example.com"  # below it the world outside answers SERVFAIL: it has no such zone file
ZONE = f"""$TTL 60
. SOA ns. hostmaster. 1 3600 600 86400 60
. NS ns.
ns. A {UPSTREAMS["a"]}
*. A {PASSED}
"""
BASIS = Basis(
    law="Gambling Act, section 4", authority="Regulator", order="1/2026", date="2026-11-22", territory="DE",
    court="Administrative Court of Example", overdue_suspends=True,
)  # fmt: skip


@dataclass
class Fleet:
    folder: Path
    networks: Networks
    stack: contextlib.ExitStack
    cities: dict[str, Bird]
    databases: tuple[Database, Database]
    issuer: Rehearsal
    more: dict[str, Any]
    hosts: dict[str, Resolver] = field(default_factory=dict)

    # -- hosts

    def city(self, host: str) -> str:
        return self.networks[host].name.partition("-")[0]

    def prepare(self, name: str, city: str) -> Resolver:
        """The machine of a host: its cable, its BIRD, its configuration, its folder at the mirror; not started."""
        lan, number = "ab".index(city) + 1, 11 + len(self.hosts)
        machine = self.networks.add(name)
        router = f"10.{lan}.0.1"
        self.networks.cable(machine, self.networks[f"lan-{city}"], f"10.{lan}.0.{number}/24", [f"default via {router}"])
        folder = self.folder / name
        runs = self.stack.enter_context(bird(folder / "bird", machine, routing.of_host(machine.address, router)))
        (self.folder / "mirror" / name).symlink_to(self.issuer.desk.published, target_is_directory=True)
        nearest = [UPSTREAMS[city], *(there for other, there in UPSTREAMS.items() if other != city)]
        settings = configuration(
            name, self.issuer.desk.trusted_root, repository=f"http://{MIRROR}/{name}/", database=url(*self.databases),
            upstreams=[f"{one}:53" for one in nearest], more=self.more,
        )  # fmt: skip
        made = Resolver(folder, [], workers=1, only=None, network=machine, bird=runs, settings=settings)
        self.hosts[name] = made
        return made

    def router_of(self, host: Resolver) -> Bird:
        return self.cities["a" if host.unicast.startswith("10.1.") else "b"]

    def announced(self, host: Resolver) -> bool:
        return host.unicast in self.router_of(host).hosts()

    def introduce(self) -> None:
        """Every host's configuration gets the keys of all, the same list."""
        keys = [host.log_key for host in self.hosts.values()]
        for host in self.hosts.values():
            host.set_peers(keys)

    # -- questions

    def ask(self, host: Resolver, name: str) -> str:
        """By dig, from the first city's clients, at the host's own address; the first address of the answer. A datagram
        may get lost."""
        done = subprocess.run(
            [*self.networks["clients-a"].enter, "dig", "+short", "+tries=10", "+time=1", f"@{host.unicast}", name, "A"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout.partition("\n")[0]

    def everywhere(self, name: str, answer: str, hosts: Sequence[Resolver], patience: float = 30.0) -> float:
        """Seconds until each of these hosts answers so."""
        began = time.monotonic()

        def one(host: Resolver) -> None:
            wait_until(lambda: self.ask(host, name) == answer, f"{name} is {answer} at {host.name}", patience)

        with ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(one, hosts))
        return time.monotonic() - began

    @contextlib.contextmanager
    def asked(self, rate: float) -> Iterator[list[Came]]:
        """Both cities' clients ask at this rate each meanwhile; what came of it is appended at the end."""
        came: list[Came] = []
        cities = [Clients(self.networks[f"clients-{city}"], SERVICE, rate, EXPECTED) for city in self.cities]
        try:
            time.sleep(0.5)
            yield came
            time.sleep(0.5)
            came += [one.end() for one in cities]
        finally:
            for one in cities:
                one.kill()


@contextlib.contextmanager
def fleet(folder: Path, cities: dict[str, int], more: dict[str, Any] | None = None) -> Iterator[Fleet]:
    """`cities`: how many hosts each has. Runs until the block ends."""
    with networks() as nets, contextlib.ExitStack() as stack:
        routers = _roads(nets)
        for city, router in routers.items():
            number = "ab".index(city) + 1
            others = {f"10.{3 - number}.0.0/24": f"10.0.0.{3 - number}"}
            text = routing.of_city(f"10.{number}.0.1", f"10.{number}.0.0/24", f"10.0.0.{number}", others)
            routers[city] = stack.enter_context(bird(folder / f"city-{city}", router, text))  # type: ignore[assignment]
        databases = stack.enter_context(pair(nets["db1"], nets["db2"]))
        issuer = _issuer(folder / "issuer")
        _world(stack, folder, nets["world"])
        made = Fleet(folder, nets, stack, routers, databases, issuer, more or {})  # type: ignore[arg-type]
        names = [(f"h{number}", city) for number, city in enumerate(_cities(cities), 1)]
        every = [made.prepare(name, city) for name, city in names]
        for host in every:
            host.begin_log()
        made.introduce()
        with ThreadPoolExecutor(len(every)) as pool:
            for one in pool.map(lambda host: stack.enter_context(resolver(host)), every):
                assert one.process is not None
        for host in every:
            wait_until(lambda host=host: made.announced(host), f"{host.name} is announced", 60)  # type: ignore[misc]
        yield made


def _cities(cities: dict[str, int]) -> Iterator[str]:
    for city, count in cities.items():
        yield from [city] * count


def _roads(nets: Networks) -> dict[str, Network]:
    backbone, routers = nets.switch("backbone"), {}
    for number, city in enumerate("ab", 1):
        router, lan, homes = nets.add(f"city-{city}"), nets.switch(f"lan-{city}"), nets.switch(f"homes-{city}")
        router.forward()
        nets.cable(router, lan, f"10.{number}.0.1/24")
        nets.cable(router, backbone, f"10.0.0.{number}/24")
        nets.cable(router, homes, f"10.{number + 2}.0.1/24")
        nets.cable(nets.add(f"clients-{city}"), homes, f"10.{number + 2}.0.2/24", [f"default via 10.{number + 2}.0.1"])
        routers[city] = router
    ways_home = [f"10.{2 + number}.0.0/24 via 10.0.0.{number}" for number in (1, 2)]
    routers["a"].ip(f"route add {ways_home[1]}")
    routers["b"].ip(f"route add {ways_home[0]}")
    ways = [f"10.{number}.0.0/24 via 10.0.0.{number}" for number in (1, 2)] + ways_home
    for name, address in (("db1", 21), ("db2", 22), ("world", 31)):
        nets.cable(nets.add(name), backbone, f"10.0.0.{address}/24", ways)
    device = nets["world"].ports["backbone"]
    nets["world"].ip(*(f"address add {one}/24 dev {device}" for one in (UPSTREAMS["b"], MIRROR)))
    return routers


def _issuer(folder: Path) -> Rehearsal:
    rehearsal = Rehearsal.create(folder, Issuer("Regulator", "list@regulator.example", "appeals@regulator.example"))
    rehearsal.add_basis("fleet", "order-1", BASIS)
    candidates = [Candidate(number, name, "subtree") for number, name in enumerate(LISTED, 1)]
    rehearsal.put("fleet", candidates, basis="order-1", category="gambling")
    return rehearsal


def _world(stack: contextlib.ExitStack, folder: Path, world: Network) -> None:
    """nsd as the world outside, at two addresses; nginx before what the issuer publishes, a path for each host."""
    nsd, mirror = folder / "nsd", folder / "mirror"
    nsd.mkdir(parents=True)
    mirror.mkdir()
    (nsd / "root.zone").write_text(ZONE, encoding="utf-8")
    addresses = "".join(f" ip-address: {one}\n" for one in UPSTREAMS.values())
    (nsd / "nsd.conf").write_text(
        f'server:\n server-count: 1\n{addresses} username: ""\n chroot: ""\n zonesdir: "{nsd}"\n pidfile: "{nsd}/pid"\n'
        f' xfrdfile: "{nsd}/xfrd"\n zonelistfile: "{nsd}/zones"\n xfrdir: "{nsd}"\n rrl-ratelimit: 0\n'
        " minimal-responses: yes\n"
        "remote-control:\n control-enable: no\n"
        'zone:\n name: "."\n zonefile: "root.zone"\n'
        f'zone:\n name: "{BROKEN}"\n zonefile: "broken.zone"\n',
        encoding="utf-8",
    )
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; scgi_temp_path {folder}/scgi;\n{folders}"
        f"server {{ listen {MIRROR}:80; root {mirror}; }} }}\n",
        encoding="utf-8",
    )
    for words in (("nsd", "-d", "-c", nsd / "nsd.conf"), ("nginx", "-p", folder, "-c", folder / "nginx.conf")):
        stack.enter_context(_inside(folder, world, *map(str, words)))


def _inside(folder: Path, network: Network, name: str, *words: str) -> contextlib.AbstractContextManager[Any]:
    path = find_program(name) or shutil.which(name)
    assert path
    return program(folder, *network.enter, path, *words)


def repeated(check: Callable[[], bool], seconds: float) -> bool:
    """Whether it holds for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not check():
            return False
        time.sleep(0.05)
    return True
