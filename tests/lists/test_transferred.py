"""A zone from its primary: what is transferred, what an unchanged one costs, and what is refused."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blocklists.errors import VerifyError
from blocklists.fetch import Deadline
from blocklists.importers import formats
from blocklists.importers.intake import Intake
from blocklists.transfer import transfer
from resolver.config.schema import Config
from resolver.lists.fetch import Mirror
from resolver.policy.explain import explain
from tests.conftest import find_program
from tests.rigs.dns_host import free_port, wait_until
from tests.rigs.lists_world import World, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ZONE = "rpz.example"
KEY = 'key "feed" {\n\talgorithm hmac-sha256;\n\tsecret "c3RvcHNpZ24gdGVzdHMgYSBrZXkgb2YgMzIgYiE=";\n};\n'
OTHER = KEY.replace('"feed"', '"other"')
SECRET = "c3RvcHNpZ24gdGVzdHMgYSBrZXkgb2YgMzIgYiE="
HUNDRED = [f"n{number}.example" for number in range(100)]


def zone(serial: int, names: list[str]) -> str:
    rules = "".join(f"{name} CNAME .\n*.{name} CNAME .\n" for name in names)
    return f"$TTL 300\n@ SOA a. b. {serial} 3600 600 86400 300\n@ NS localhost.\n{rules}"


@dataclass
class Between:
    """A proxy before a primary: it counts connections, and closes one after `cut` octets of answers."""

    port: int
    cut: int | None = None
    connections: int = 0
    answered: int = 0
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def address(self) -> str:
        return f"dns://127.0.0.1:{self.listener.getsockname()[1]}/{ZONE}"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            # either may hang up
            with client, socket.create_connection(("127.0.0.1", self.port), timeout=20) as primary, suppress(OSError):
                self._pass(client, primary)

    def _pass(self, client: socket.socket, primary: socket.socket) -> None:
        left, other = self.cut, {client: primary, primary: client}
        while ready := select.select(list(other), [], [], 20)[0]:
            for one in ready:
                data = one.recv(1 << 16)
                if one is primary:
                    self.answered += len(data)
                    if left is not None:
                        data, left = data[:left], left - len(data)
                if data:
                    other[one].sendall(data)
                if not data or (left is not None and left <= 0):
                    return


@contextmanager
def between(port: int) -> Iterator[Between]:
    made = Between(port)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.listener.shutdown(socket.SHUT_RDWR)
        made.listener.close()
        thread.join(30)


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
        try:
            wait_until(lambda: process.poll() is not None or asked(port, folder) is not None, f"{command[0]} answers")
            assert process.poll() is None, (folder / "said").read_text()
            yield
        finally:
            process.terminate()
            process.wait(30)


def asked(port: int, folder: Path) -> int | None:
    """The serial there, asked without the code under test."""
    command = [find_program("dig") or "", "+short", "+time=1", "+tries=1", "+tcp", "@127.0.0.1", "-p", str(port)]
    done = subprocess.run(
        [*command, "-k", str(folder / "feed.key"), ZONE, "SOA"], capture_output=True, text=True, timeout=20, check=False
    )
    words = done.stdout.split()
    return int(words[2]) if done.returncode == 0 and len(words) == 7 else None


@contextmanager
def nsd(folder: Path) -> Iterator[int]:
    """NSD, which makes steps from one zone file to the next."""
    port = free_port()
    (folder / "feed.key").write_text(KEY)
    (folder / "feed.key").chmod(0o600)
    (folder / "zone").write_text(zone(1, HUNDRED))
    (folder / "nsd.conf").write_text(f"""
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  xfrdir: "{folder}"
  server-count: 1
remote-control:
  control-enable: no
key:
  name: feed
  algorithm: hmac-sha256
  secret: "{SECRET}"
zone:
  name: {ZONE}
  zonefile: zone
  store-ixfr: yes
  create-ixfr: yes
  provide-xfr: 127.0.0.1 feed
""")
    command = [find_program("nsd") or "", "-d", "-c", str(folder / "nsd.conf")]
    with running(command, folder, port):
        yield port


def changed(folder: Path, port: int, text: str, serial: int) -> None:
    """Until those who served the old zone have gone: for a moment they and their successors have the same sockets."""
    (folder / "zone").write_text(text)
    pid = int((folder / "pid").read_text())
    before = servers(pid)
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: asked(port, folder) == serial, f"serial {serial}")
    wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in before), "the old servers have gone")


def servers(pid: int) -> list[int]:
    """The processes below that one, or itself, that started no other."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [one for child in children for one in servers(int(child))] or [pid]


@contextmanager
def named(folder: Path) -> Iterator[int]:
    """BIND, which takes updates and keeps them as steps."""
    port = free_port()
    (folder / "feed.key").write_text(KEY)
    (folder / "feed.key").chmod(0o600)
    (folder / "zone").write_text(zone(1, HUNDRED))
    (folder / "named.conf").write_text(f"""
{KEY}
options {{ directory "{folder}"; pid-file none; session-keyfile "{folder}/session.key"; recursion no;
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; dnssec-validation no; }};
controls {{ }};
zone "{ZONE}" {{ type primary; file "{folder}/zone"; allow-update {{ key feed; }}; allow-transfer {{ key feed; }};
  notify no; check-names ignore; }};
""")
    command = [find_program("named") or "", "-g", "-n", "1", "-c", str(folder / "named.conf")]
    with running(command, folder, port):
        yield port


def updated(folder: Path, port: int, *steps: str) -> None:
    text = "\n".join([f"server 127.0.0.1 {port}", f"zone {ZONE}", *steps, "send", ""])
    nsupdate = find_program("nsupdate") or ""
    subprocess.run([nsupdate, "-k", str(folder / "feed.key")], input=text.encode(), check=True, timeout=60)


def names(path: Path) -> set[str]:
    intake = Intake()
    formats.read(path, intake)
    assert {found.match for found in intake.candidates} == {"subtree"}
    return {found.name for found in intake.candidates}


def fetched(there: Between, to: Path, key: Path | None, *, most: int = 1 << 20) -> None:
    transfer(there.address, to, key, Deadline(30), most=most)


@pytest.mark.needs("nsd", "dig")
def test_an_unchanged_zone_costs_one_question_and_a_changed_one_its_steps(tmp_path: Path) -> None:
    to, key = tmp_path / "fetched", tmp_path / "feed.key"
    with nsd(tmp_path) as port, between(port) as there:
        fetched(there, to, key)
        assert (names(to), there.connections) == (set(HUNDRED), 2)  # the SOA, the zone
        whole, there.connections, there.answered = there.answered, 0, 0
        before = to.stat().st_ino
        fetched(there, to, key)
        assert (there.connections, there.answered < 300, to.stat().st_ino) == (1, True, before)
        changed(tmp_path, port, zone(2, [*HUNDRED[1:], "new.example"]), 2)
        there.connections = there.answered = 0
        fetched(there, to, key)
        assert names(to) == {*HUNDRED[1:], "new.example"}
        assert (there.connections, there.answered < whole / 3) == (2, True)
        lines = to.read_text().splitlines()
        assert lines[0] == f"; {there.address}"
        assert lines[1].startswith(f"{ZONE}. IN SOA a. b. 2 ")
        assert len(lines) == len(set(lines)) == 2 + 1 + 2 * 100

        to.write_text(
            to.read_text().replace("n50.example.rpz", "n50.elsewhere.rpz")
        )  # another file than the steps' own
        changed(tmp_path, port, zone(3, [name for name in HUNDRED if name != "n50.example"]), 3)
        fetched(there, to, key)
        assert names(to) == {*HUNDRED} - {"n50.example"}  # whole


@pytest.mark.needs("named", "dig", "nsupdate")
def test_steps_of_bind_are_the_zone_that_it_has(tmp_path: Path) -> None:
    to, key = tmp_path / "fetched", tmp_path / "feed.key"
    with named(tmp_path) as port, between(port) as there:
        fetched(there, to, key)
        for name in ("a", "b"):
            updated(tmp_path, port, f"add {name}.example.{ZONE} 60 CNAME .", f"add *.{name}.example.{ZONE} 60 CNAME .")
        updated(tmp_path, port, f"delete a.example.{ZONE}", f"delete *.a.example.{ZONE}", f"delete n7.example.{ZONE}",
                f"delete *.n7.example.{ZONE}")  # fmt: skip
        there.answered = 0
        fetched(there, to, key)
        assert there.answered < 2000
        assert names(to) == {*HUNDRED, "b.example"} - {"n7.example"}
        dig = [find_program("dig") or "", "+noall", "+answer", "+onesoa", "@127.0.0.1", "-p", str(port), "-k", str(key)]
        dig += [ZONE, "AXFR"]
        written = subprocess.run(dig, capture_output=True, check=True, timeout=60).stdout
        (tmp_path / "dug").write_bytes(written)  # what an issuer imports
        assert names(tmp_path / "dug") == names(to)


@pytest.mark.needs("nsd", "dig")
def test_what_is_cut_unsigned_too_large_or_older_is_refused_and_the_last_good_zone_stays(tmp_path: Path) -> None:
    to, key, other = tmp_path / "fetched", tmp_path / "feed.key", tmp_path / "other.key"
    other.write_text(OTHER)
    other.chmod(0o600)
    with nsd(tmp_path) as port, between(port) as there:
        fetched(there, to, key)
        good = to.read_bytes()
        changed(tmp_path, port, zone(7, [f"m{number}.example" for number in range(3000)]), 7)
        for cut, reason in ((600, "unreachable"), (70_000, "unreachable"), (1, "unreachable")):
            there.cut = cut
            with pytest.raises(VerifyError) as refused:
                fetched(there, to, key)
            assert (refused.value.reason, to.read_bytes()) == (reason, good)
        there.cut = None
        for with_key, reason in ((None, "missing"), (other, "signature-threshold"), (tmp_path / "none", "storage")):
            with pytest.raises(VerifyError) as refused:
                fetched(there, to, with_key)
            assert (refused.value.reason, to.read_bytes()) == (reason, good)
        with pytest.raises(VerifyError) as refused:
            fetched(there, to, key, most=5000)
        assert (refused.value.reason, to.read_bytes()) == ("too-large", good)
        to.write_bytes(good.replace(b" SOA a. b. 1 ", b" SOA a. b. 9 "))
        with pytest.raises(VerifyError, match="serial 7 after serial 9") as refused:
            fetched(there, to, key)
        assert refused.value.reason == "rollback"


def test_a_primary_that_stalls_is_left_at_the_deadline(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun, address = time.monotonic(), f"dns://127.0.0.1:{silent.getsockname()[1]}/{ZONE}"
        with pytest.raises(VerifyError) as refused:
            transfer(address, tmp_path / "x", None, Deadline(0.3), most=1000)
    assert (refused.value.reason, time.monotonic() - begun < 20) == ("deadline", True)


@pytest.mark.needs("nsd", "dig")
def test_a_zone_is_bridged_with_its_ground(tmp_path: Path) -> None:
    bridge = {
        "issuer": "Board", "law": "Act", "authority": "Board", "order": "1", "date": "2026-01-01", "territory": "DE",
        "category": "gambling", "fetch": {"tsig": str(tmp_path / "feed.key")},
    }  # fmt: skip
    with nsd(tmp_path) as port, between(port) as there:
        part = {"name": "gambling", "repository": there.address, "approve_first": True, "bridge": bridge}
        config = Config.model_validate({**settings(tmp_path), "lists": [part]}, context={"folder": "/"})
        world = World(tmp_path, more={"lists": [part]})
        mirror = Mirror(config.lists[0], config.places.list("gambling"))
        assert world.register.take(mirror.fetch(world.clock())).kind == "active"
        found = explain(config, "www.n1.example", now=world.clock())
        assert (found.verdict, found.entries[0].basis["order"]) == ("stopped", "1")
        there.connections = 0
        assert mirror.fetch(world.clock() + 300).version == 1
        assert there.connections == 1
