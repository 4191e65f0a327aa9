"""A primary of response policy zones for tests: the process itself, on lists compiled by hand, without a steward."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dns.message
import dns.name
import dns.query
import dns.rdatatype
import dns.tsig
import dns.xfr
import dns.zone
import yaml

from resolver import _core
from resolver.rpz import keys
from tests.rigs.dns_host import ROOT, free_port, wait_until
from tests.rigs.list_documents import BASES, entry, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from blocklists.entry import Entry

STOP, STOP6 = "192.0.2.66", "2001:db8::66"
NAMES = [f"casino-{number}.test" for number in range(300)]
ORIGIN = "rpz.stopsign"


@dataclass
class World:
    """A folder with a configuration and the live generation; `start` runs the process."""

    folder: Path
    more: dict[str, Any] = field(default_factory=dict)
    """Of the configuration's `rpz`."""
    actions: Sequence[str] = ("stop-page",)
    views: Sequence[dict[str, Any]] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    generation: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run_dir.mkdir(exist_ok=True)
        self.make_key("secondary")
        self.write_config()

    @property
    def config(self) -> Path:
        return self.folder / "rpz.yaml"  # beside the configuration of a `Host` in the same folder

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    def write_config(self) -> None:
        rpz = {
            "listen": [f"127.0.0.1:{self.port}"],
            "zones": [{"origin": ORIGIN}],
            "secondaries": [{"name": "one", "addresses": ["127.0.0.1/32"], "key": "secondary.key"}],
            **self.more,
        }
        settings = {
            "state_dir": "state",
            "run_dir": "run",
            "dns": {"listen": ["127.0.0.1:0"], "upstreams": ["127.0.0.1:5335"], "allow_clients": ["127.0.0.0/8"]},
            "stop_page": {"ipv4": STOP, "ipv6": STOP6},
            "portal": {"url": "http://127.0.0.1:8080"},
            "lists": [
                {"name": name, "repository": "published", "trusted_root": "root.json", "action": action}
                for name, action in zip(self.names, self.actions, strict=True)
            ],
            "views": list(self.views),
            "rpz": rpz,
        }
        self.config.write_text(yaml.safe_dump(settings))

    @property
    def names(self) -> list[str]:
        return [f"list-{at}" for at in range(len(self.actions))]

    @property
    def counts(self) -> dict[str, str]:
        """Where resolvers say what they answered."""
        return {how: str(where) for one in self.more.get("counts", ()) for how, where in one.items()}

    def make_key(self, name: str) -> Path:
        """A TSIG key's file, made by the command."""
        path = self.folder / f"{name}.key"
        self.stopsign("rpz", "key", name, "--output", str(path))
        return path

    def key(self, name: str = "secondary") -> dns.tsig.Key:
        return keys.read(self.folder / f"{name}.key")

    def activate(self, *lists: Iterable[Entry]) -> None:
        """Puts a generation in its place, as the steward does."""
        sources: list[_core.Source] = []
        self.generation += 1
        for at, entries in enumerate(lists):
            path = self.folder / f"{at}.zst"
            write(path, entries)
            action = self.actions[at]
            source = {"document": str(path), "action": action, "ede": 0, "bases": BASES, "suspended": []}
            sources.append(source)  # type: ignore[arg-type]
        meta = {"format": 1, "generation": self.generation, "lists": [{"name": name} for name in self.names]}
        _core.compile(sources, self.run_dir / "next.list", json.dumps(meta).encode())
        (self.run_dir / "next.list").rename(self.run_dir / "current.list")

    def stopsign(self, *arguments: str) -> str:
        """Runs a command; what it prints."""
        command = [sys.executable, "-P", "-m", "resolver.cli.main", *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, check=True, timeout=120)
        return done.stdout.decode()

    def start(self) -> None:
        command = [sys.executable, "-P", "-m", "resolver.rpz.primary", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        wait_until(self.serving, "the zone is not served")

    def serving(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log.read_text()}"
        return bool(self.serial())

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0

    def said(self) -> dict[str, Any]:
        with contextlib.suppress(OSError):
            found: dict[str, Any] = json.loads((self.run_dir / "rpz" / "said.json").read_bytes())
            return found
        return {"zones": [], "alarms": []}

    def serial(self) -> int:
        """The serial that is served now."""
        return next((int(zone["serial"]) for zone in self.said()["zones"]), 0)

    @property
    def log(self) -> Path:
        return self.folder / "primary.log"

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def transfer(self, zone: dns.zone.Zone | None = None, *, key: dns.tsig.Key | None = None) -> dns.zone.Zone:
        """The zone by dnspython, which checks every TSIG: whole, or what changed since `zone`, applied to it."""
        held = dns.zone.Zone(dns.name.from_text(ORIGIN)) if zone is None else zone
        query, _ = dns.xfr.make_query(held, keyring=key)
        dns.query.inbound_xfr("127.0.0.1", held, query, port=self.port, timeout=30, lifetime=60)
        return held

    def ask(self, query: dns.message.Message) -> dns.message.Message:
        """One message over TCP."""
        return dns.query.tcp(query, "127.0.0.1", port=self.port, timeout=30)

    def exported(self) -> dns.zone.Zone:
        """The zone of `stopsign rpz export`, read by dnspython."""
        return dns.zone.from_text(self.stopsign("rpz", "export", "--config", str(self.config)), relativize=True)


def listed(names: Iterable[str], start: int = 0) -> Iterator[Entry]:
    """Subtree entries."""
    return (entry(name, start + number) for number, name in enumerate(sorted(set(names))))


@contextlib.contextmanager
def running(world: World) -> Iterator[World]:
    try:
        world.start()
        yield world
    finally:
        if world.process is not None and world.process.poll() is None:
            world.process.kill()
            world.process.wait(30)


def said(message: bytes) -> tuple[int, tuple[str, ...]]:
    """What an answer comes to: its rcode and its addresses."""
    parsed = dns.message.from_wire(message)
    wanted = (dns.rdatatype.A, dns.rdatatype.AAAA)
    return parsed.rcode(), tuple(sorted(str(r) for rrset in parsed.answer if rrset.rdtype in wanted for r in rrset))
