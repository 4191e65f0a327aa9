"""Backup, restore and move of a host, typed as they stand in the guide, with another root folder for `/`."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from resolver.cli.demo import tree
from resolver.config.schema import load
from resolver.config.values import Endpoint
from tests.rigs.dns_host import PATIENCE, ROOT, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.base.paths import Places

KNOWN = {"umask", "tar", "stopsign", "systemctl"}


def typed() -> tuple[list[str], list[str]]:
    """The two blocks of commands of that chapter of the guide."""
    guide = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    chapter = guide.partition("## Backup, restore, move a host\n")[2].partition("\n## ")[0]
    first, second = (block.split("\n") for block in re.findall(r"((?:^ {4}\S.*\n)+)", chapter, re.MULTILINE))
    return [line.strip() for line in first if line], [line.strip() for line in second if line]


@dataclass
class Machine:
    """A host below `root`, with its steward as the one unit that runs."""

    root: Path
    backups: Path
    running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    said: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.root / "etc/stopsign/stopsign.yaml"

    @property
    def places(self) -> Places:
        return load(self.config).places

    def type(self, line: str) -> None:
        words = shlex.split(line)
        assert words[0] in KNOWN, line
        if words[0] == "systemctl":
            self.running.close()
            if words[1] == "start":
                self.start()
        elif words[0] == "stopsign":
            more = [] if words[1] == "audit" else ["--config", str(self.config)]
            words = [word.replace("/var/lib", f"{self.root}/var/lib") for word in words[1:]]
            if words == ["check-config"]:
                words, more = ["check-config", "--no-trial"], [str(self.config)]  # the machine is not whole
            self.said[line] = self.stopsign(*words, *more)
        elif words[0] == "tar":
            line = line.replace("/var/backups", str(self.backups)).replace("--directory /", f"--directory {self.root}")
            subprocess.run(["sh", "-c", f"umask 077; {line}"], check=True)

    def stopsign(self, *words: str, expected: int = 0) -> str:
        command = [sys.executable, "-P", "-m", "resolver.cli.main", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE)
        assert done.returncode == expected, (words, done.stdout, done.stderr)
        return done.stdout

    def start(self) -> None:
        command = [sys.executable, "-P", "-m", "resolver.cli.main", "run", "--only", "steward"]
        process = subprocess.Popen([*command, "--config", str(self.config)], cwd=ROOT, stderr=subprocess.DEVNULL)

        def end() -> None:
            process.terminate()
            process.wait(30)

        self.running.callback(end)
        wait_until(lambda: self.places.control_socket.exists() and self.places.current.exists(), "the list is live")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: that of a Unix socket has 107 octets."""
    with tempfile.TemporaryDirectory(prefix="stopsign-") as folder:
        yield Path(folder)


def test_a_host_moves_with_its_lists_its_overrides_and_its_log(short: Path) -> None:
    backup, restore = typed()
    assert (len(backup), len(restore)) == (4, 7)
    old, new = (Machine(short / name, short / "backups") for name in ("old", "new"))
    for folder in (old.config.parent, new.root, old.backups):
        folder.mkdir(parents=True)
    ports = tree.Ports(*(Endpoint("127.0.0.1", free_port()) for _ in range(3)))
    tree.plant(old.config.parent, [], ports=ports, upstream=Endpoint("127.0.0.1", 9), workers=1)
    settings = yaml.safe_load(old.config.read_text())
    del settings["log"]
    settings |= {"state_dir": "../../var/lib/stopsign", "run_dir": "../../run/stopsign"}
    old.config.write_text(yaml.safe_dump(settings))
    with old.running, new.running:
        old.start()
        listed = ("lists", "status", "--config", str(old.config))
        wait_until(lambda: "59 entries" in old.stopsign(*listed), "the list is in force")
        # It holds, and no worker runs here to follow.
        words = ("override", "allow", "aces-bets.example", "--reason", "x", "--for", "72h")
        old.stopsign(*words, "--config", str(old.config), expected=1)
        before, kept = old.places, {}
        for line in backup:
            old.type(line)
            if line.startswith("tar "):  # the log goes on meanwhile where the host does
                kept = {name: getattr(before, name).read_bytes() for name in ("log_vkey", "checkpoint", "overrides")}
        assert (old.backups / "stopsign.tar.gz").stat().st_mode & 0o077 == 0, "it holds the key of the log"
        old.running.close()
        log_key = (before.audit_dir / "log.key").read_bytes()
        shutil.rmtree(old.root)
        for line in restore:
            if line.startswith("tar "):
                new.type(line)
                shutil.rmtree(new.config.parent / "issuer" / "published")  # the list's host is away
                continue
            new.type(line)
        assert "59 entries" in new.said["stopsign lists status"], "in force as it was"
        after = new.places
        assert after.log_vkey.read_bytes() == kept["log_vkey"]
        assert (after.audit_dir / "log.key").read_bytes() == log_key
        assert after.overrides.read_bytes() == kept["overrides"]
        assert size(after.checkpoint.read_bytes()) > size(kept["checkpoint"]) > 0
        (verified,) = [said for line, said in new.said.items() if "audit verify" in line]
        assert "consistent" in verified or "verified" in verified, verified


def size(checkpoint: bytes) -> int:
    """Leaves of a log: the second line (C2SP, tlog-checkpoint)."""
    return int(checkpoint.split(b"\n")[1])
