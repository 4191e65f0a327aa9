"""Debian's own resolvers, fed by Stopsign as `config/rpz/` says, with only addresses and folders replaced."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from tests.conftest import find_program
from tests.rigs.dns_host import ROOT, question, roomy, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.rigs.rpz_world import World

SNIPPETS = ROOT / "config" / "rpz"
OUTSIDE = socket.inet_aton("198.51.100.7")
OUTSIDE6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7")
TTL = (1).to_bytes(4)  # a second: PowerDNS keeps whole answers, also of names that a zone has stopped since
LOADING = 240.0


class Outside:
    """The world outside, one thread: every name has an A and an AAAA record and nothing else. It remembers who was
    asked for."""

    def __init__(self, address: bytes = OUTSIDE, ttl: bytes = TTL) -> None:
        self.address, self.ttl = address, ttl
        self.asked: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        roomy(self._socket, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                data, client = self._socket.recvfrom(4096)
                self._socket.sendto(self.answer(data), client)
            except OSError:  # it is closed
                return

    def answer(self, data: bytes) -> bytes:
        """Its answer to a query."""
        end, labels = 12, []
        while data[end]:
            labels.append(data[end + 1 : end + 1 + data[end]])
            end += 1 + data[end]
        end += 1
        self.asked[b".".join(labels).decode("latin-1").lower()] += 1
        qtype = int.from_bytes(data[end : end + 2])
        address = {1: self.address, 28: OUTSIDE6}.get(qtype)
        head = data[:2] + (b"\x85\x80" if data[2] & 1 else b"\x84\x00") + b"\0\1"
        if address is None:
            soa = b"\0\0\6\0\1" + TTL + (22).to_bytes(2) + b"\0\0" + TTL * 5
            return head + b"\0\0\0\1\0\0" + data[12 : end + 4] + soa
        record = b"\xc0\x0c" + data[end : end + 4] + self.ttl + len(address).to_bytes(2) + address
        return head + b"\0\1\0\0\0\0" + data[12 : end + 4] + record

    def close(self) -> None:
        self._socket.close()


@dataclass
class Resolver:
    """One of them: how it is configured and started."""

    name: str
    folder: Path
    command: list[str]
    """The program by its name."""
    port: int
    prefix: list[str] = field(default_factory=list)
    """Of a command that runs in another tree; empty: the program is this system's."""
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "log"

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def start(self) -> None:
        program, *arguments = self.command
        command = [*self.prefix, program if self.prefix else _program(program), *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()  # BIND writes its copy then; a killed manager would leave its workers behind
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
            self.process.wait(30)

    def blocks(self, name: str, wanted: bytes) -> bool:
        """Is `wanted` in the answer for the name's A record?"""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log.read_text(errors='replace')[-3000:]}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
            one.settimeout(1.0)
            one.connect(self.address)
            one.send(question(1, name, 1))
            return wanted in one.recv(4096)
        return False

    def wait(self, name: str, wanted: bytes, patience: float = LOADING) -> None:
        try:
            wait_until(lambda: self.blocks(name, wanted), f"{self.name} does not answer {name} as it should", patience)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.log.read_text(errors='replace')[-3000:]}") from None


def snippet(name: str, *replaced: tuple[str, str]) -> str:
    """The example, with addresses and folders of the test. Each must be there."""
    text = (SNIPPETS / name).read_text()
    for example, real in replaced:
        assert example in text, f"{example!r} is not in {name}"
        text = text.replace(example, real)
    return text


def told_to(name: str, example: str, real: str | None) -> str:
    """The example for the way back, where Stopsign counts."""
    return "" if real is None else snippet(name, (example, real))


def unbound_command(folder: Path, port: int, forward_to: int, server: Sequence[str], more: str = "") -> list[str]:
    """Writes a configuration of Unbound that asks another port of loopback, and returns what starts it. `server`: lines
    of that clause; `more`: other clauses."""
    own = "".join(f"\n    {line}" for line in server)
    (folder / "unbound.conf").write_text(f"""
server:
    interface: 127.0.0.1@{port}
    do-not-query-localhost: no
    chroot: ""
    username: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    num-threads: 1{own}
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{forward_to}
{more}
""")
    return ["unbound", "-d", "-c", str(folder / "unbound.conf")]


def unbound(world: World, folder: Path, port: int, outside: int) -> Resolver:
    rules = snippet("unbound.conf", ("192.0.2.53@5354", f"127.0.0.1@{world.port}"), ("/var/lib/unbound", str(folder)))
    return Resolver("unbound", folder, unbound_command(folder, port, outside, ['trust-anchor-file: ""'], rules), port)


def bind(world: World, folder: Path, port: int, outside: int) -> Resolver:
    key = world.folder / "stopsign-bind.key"
    zones = snippet(
        "named.conf.local",
        ("192.0.2.53 port 5354", f"127.0.0.1 port {world.port}"),
        ("/etc/bind/stopsign-bind.key", str(key)),
        ("/var/cache/bind", str(folder)),
    )
    (folder / "named.conf").write_text(f"""
options {{
    directory "{folder}";
    pid-file none;
    session-keyfile "{folder}/session.key";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    forwarders {{ 127.0.0.1 port {outside}; }};
    forward only;
    dnssec-validation no;
    recursion yes;
    {snippet("named.conf.options")}
    {told_to("named.conf.counts", "/run/stopsign/rpz/bind.dnstap", world.counts.get("dnstap"))}
}};
controls {{ }};
{zones}
""")
    return Resolver(
        "named",
        folder,
        ["named", "-f", "-L", str(folder / "log"), "-n", "1", "-c", str(folder / "named.conf")],
        port,
    )


def bind920(world: World, folder: Path, port: int, outside: int) -> Resolver:
    """9.20 and newer, which can wait for its policy zones."""
    one = bind(world, folder, port, outside)
    settings = (folder / "named.conf").read_text()
    instead = next(line[2:].strip() for line in settings.splitlines() if "servfail-until-ready" in line)
    (folder / "named.conf").write_text(
        settings.replace("\n    break-dnssec", "\nbreak-dnssec").replace("\nbreak-dnssec yes;", f"\n{instead}")
    )
    return one


def powerdns(world: World, folder: Path, port: int, outside: int) -> Resolver:
    rules = snippet(
        "recursor.lua",
        ("192.0.2.53:5354", f"127.0.0.1:{world.port}"),
        ("/etc/powerdns/stopsign-powerdns.key", str(world.folder / "stopsign-powerdns.key")),
        ("/var/lib/pdns-recursor", str(folder)),
    )
    rules += told_to("recursor.counts.lua", "192.0.2.53:5355", world.counts.get("protobuf"))
    (folder / "stopsign.lua").write_text(rules)
    (folder / "recursor.conf").write_text(f"""
local-address=127.0.0.1
local-port={port}
socket-dir={folder}
lua-config-file={folder}/stopsign.lua
forward-zones-recurse=.=127.0.0.1:{outside}
dnssec=off
dont-query=
security-poll-suffix=
threads=1
daemon=no
disable-syslog=yes
""")
    return Resolver("pdns_recursor", folder, ["pdns_recursor", f"--config-dir={folder}"], port)


def powerdns5(world: World, folder: Path, port: int, outside: int) -> Resolver:
    """5.2 and newer: YAML alone, and the same rules."""
    one = powerdns(world, folder, port, outside)
    (folder / "recursor.conf").unlink()
    settings = yaml.safe_load(snippet("recursor.yml", ("/etc/powerdns/stopsign.lua", f"{folder}/stopsign.lua")))
    settings["recursor"] |= {
        "socket_dir": str(folder),
        "forward_zones_recurse": [{"zone": ".", "forwarders": [f"127.0.0.1:{outside}"]}],
        "security_poll_suffix": "",
        "threads": 1,
        "daemon": False,
    }
    settings |= {
        "incoming": {"listen": [f"127.0.0.1:{port}"], "allow_notify_from": ["127.0.0.0/8"]},
        "outgoing": {"dont_query": []},
        "dnssec": {"validation": "off"},
        "logging": {"disable_syslog": True},
    }
    (folder / "recursor.yml").write_text(yaml.safe_dump(settings))
    return one


def knot(world: World, folder: Path, port: int, outside: int) -> Resolver:
    rules = snippet("kresd.conf", ("/var/lib/stopsign-zones", str(world.folder / "file")))
    (folder / "kresd.conf").write_text(f"""
net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
trust_anchors.remove('.')
cache.size = 10 * MB
{rules}
policy.add(policy.all(policy.STUB('127.0.0.1@{outside}')))
""")
    return Resolver("kresd", folder, ["kresd", "-n", "-c", str(folder / "kresd.conf"), str(folder)], port)


def knot6(world: World, folder: Path, port: int, outside: int) -> Resolver:
    """Version 6 under its manager, which sees a new file; it reads the zone in its own dialect."""
    settings = yaml.safe_load(snippet("knot-resolver6.yaml", ("/var/lib/stopsign-zones", str(world.folder / "file"))))
    options = {"authoritative": False, "dnssec": False}
    settings |= {
        "rundir": str(folder),
        "workers": 1,
        "management": {"unix-socket": str(folder / "api.sock")},
        "network": {"listen": [{"interface": f"127.0.0.1@{port}"}]},
        "dnssec": {"enable": False},
        "forward": [{"subtree": ".", "servers": [f"127.0.0.1@{outside}"], "options": options}],
        "cache": {"storage": str(folder / "cache"), "size-max": "10M"},
    }
    (folder / "cache").mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return Resolver("knot-resolver", folder, ["knot-resolver", "-c", str(folder / "config.yaml")], port)


def dnsdist(_world: World | None, folder: Path, port: int, stopsign: int, second: int = 0) -> Resolver:
    """In front of Stopsign's DNS; `second`: the resolver that stands in for it, if it is another."""
    rules = snippet(
        "dnsdist.conf",
        ("192.0.2.1:53", f"127.0.0.1:{port}"),
        ("192.0.2.53:53", f"127.0.0.1:{stopsign}"),
        ("192.0.2.11:53", f"127.0.0.1:{second or stopsign}"),
        ('{"10.0.0.0/8", "2001:db8::/32"}', '{"127.0.0.0/8"}'),
    )
    (folder / "dnsdist.conf").write_text(rules)
    return Resolver("dnsdist", folder, ["dnsdist", "--supervised", "-C", str(folder / "dnsdist.conf")], port)


MAKERS: tuple[Callable[[World, Path, int, int], Resolver], ...] = (unbound, bind, powerdns, knot)


@contextlib.contextmanager
def every(
    world: World, ports: Mapping[str, int], outside: int, *, listed: str, stop: bytes
) -> Iterator[list[Resolver]]:
    """All of them that have a port, started and then waited for until each stops `listed`; ended whatever happens."""
    found: list[Resolver] = []
    try:
        for make in (make for make in MAKERS if make.__name__ in ports):
            folder = world.folder / make.__name__
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            found.append(make(world, folder, ports[make.__name__], outside))
            found[-1].start()
        for one in found:
            one.wait(listed, stop)
        yield found
    finally:
        for one in found:
            one.stop()


def _program(name: str) -> str:
    found = find_program(name)
    assert found is not None, name
    return found
