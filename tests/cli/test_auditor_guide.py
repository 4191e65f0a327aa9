"""docs/auditor.md, typed as it stands there, in its order; what the page says a command prints, it prints.

The page is a walk of three people, who share a folder here: an auditor with the log's key, a published list and an
address, a regulator who is a witness, and somebody at the provider.
"""

from __future__ import annotations

import re
import shlex
import shutil
import threading
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from dnslib import EDNS0, QTYPE, RR, A, DNSRecord, EDNSOption
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from resolver.lists.ledger import Event
from resolver.log.note import parse_vkey
from resolver.log.witness import load_witness
from tests.rigs.command_line import run
from tests.rigs.dns_host import free_port
from tests.rigs.http_folder import served
from tests.rigs.lists_world import Clock, World, make_entry, settings
from tests.rigs.walk import check, steps, words
from tests.rigs.witness_http import witness

if TYPE_CHECKING:
    from collections.abc import Iterator

GUIDE = Path(__file__).parents[2] / "docs" / "auditor.md"
CASINO, DICE, POKER = (
    make_entry(f"{name}.example", expires="2027-11-01T00:00:00Z") for name in ("casino", "dice", "poker")
)
STOPPED = {"poker.example": POKER.reference}


class Stopping(BaseResolver):  # type: ignore[misc]
    """A resolver that does what the log says."""

    def resolve(self, request: DNSRecord, handler: Any) -> DNSRecord:
        reply, name = request.reply(), str(request.q.qname).rstrip(".")
        reference = next((ref for suffix, ref in STOPPED.items() if name.endswith(suffix)), None)
        reply.add_answer(RR(name, QTYPE.A, rdata=A("192.0.2.66" if reference else "198.51.100.1"), ttl=60))
        if reference:
            reply.add_ar(EDNS0(opts=[EDNSOption(15, (16).to_bytes(2, "big") + reference.encode())]))
        return reply


@contextmanager
def resolver() -> Iterator[str]:
    silent = DNSLogger("-request,-reply")
    port = free_port()
    servers = [DNSServer(Stopping(), address="127.0.0.1", port=port, tcp=tcp, logger=silent) for tcp in (False, True)]
    threads = [threading.Thread(target=one.server.serve_forever, args=(0.01,)) for one in servers]
    for thread in threads:
        thread.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        for one, thread in zip(servers, threads, strict=True):
            one.server.shutdown()
            thread.join()
            one.server.server_close()


class Story:
    """What the provider of the page did, from October on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        own = {"log": {"origin": "stop.isp.example/log"}}
        (folder / "stopsign.yaml").write_text(yaml.safe_dump(settings(folder) | own))
        self.clock = Clock(datetime(2026, 10, 1, 12, tzinfo=UTC).timestamp())
        self.world = World(folder, self.clock, more=own)
        self._until(10, 2)
        self._take(1, [CASINO, DICE])
        self._until(10, 6)
        self._append(
            "appeal-received", CASINO.reference, {"appeal": "one", "ground": "rights", "received": self.clock()}
        )
        self._until(10, 8)
        told = {"appeal": "one", "outcome": "upheld", "decided": self.clock()}
        self._append("appeal-decided", CASINO.reference, told)
        self._until(11, 2)
        self._append("counts", "2026-10-12", {"day": "2026-10-12", "lists": {"gambling": 105}})
        self._until(11, 22)
        self._take(2, [CASINO, POKER])
        self._until(11, 24)
        self.world.take(2, [CASINO, POKER], suspended=[CASINO.reference])

    def _until(self, month: int, day: int) -> None:
        """Stopped and started again, so that the days between are no silence."""
        self._append("stop", "", {})
        self.clock.now = datetime(2026, month, day, 12, tzinfo=UTC).timestamp()
        self._append("start", "", {})

    def _append(self, kind: str, reference: str, detail: dict[str, Any]) -> None:
        self.world.ledger.append([Event(kind, reference, detail)])

    def _take(self, version: int, entries: list[Any]) -> None:
        outcome = self.world.take(version, entries)
        if outcome.kind != "active":
            held = self.world.last
            self.world.register.approve("gambling", version, held.state, by="alice")
        shutil.copyfile(self.world.folder / f"gambling-{version}.zst", self.world.folder / f"full-{version}.zst")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Story]]:
    story, desk = Story(tmp_path / "provider"), tmp_path / "desk"
    desk.mkdir()
    shutil.copyfile(story.world.config.places.log_dir / "log.vkey", desk / "isp.vkey")
    for number in (1, 2):
        shutil.copyfile(story.world.folder / f"full-{number}.zst", desk / f"full-{number}.zst")
    monkeypatch.chdir(desk)
    yield desk, story
    story.world.stop()


def test_the_page_can_be_walked_and_prints_what_it_says(
    desk: tuple[Path, Story], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, story = desk
    key = parse_vkey((folder / "isp.vkey").read_text().strip())
    told = {"DIR": str(story.world.folder)}
    walk = steps(GUIDE)
    assert len(walk) >= 20
    with ExitStack() as running:
        told["https://stop.isp.example/log"] = running.enter_context(served(story.world.config.places.log_dir))
        told["192.0.2.1:53"] = running.enter_context(resolver())
        for step in walk:
            if "VKEY" in step.command and "VKEY" not in told:
                asked = load_witness(folder / "asked.key")
                address = running.enter_context(witness(folder / "seen.sqlite", [key], asked))
                told |= {"https://asked.regulator.example": address, "VKEY": str(asked.verifier)}
            check(step, told, run(capsys, *words(step, told)))
    assert "105" in (folder / "october.html").read_text()


def test_every_command_and_option_of_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    typed = [step.command for step in steps(GUIDE)]
    for page in (GUIDE, GUIDE.with_name("report.md")):
        typed += re.findall(r"^    stopsign (.*)", page.read_text("utf-8"), re.MULTILINE)
    for line in typed:
        said = shlex.split(line)
        names = said[: 1 if said[0] == "report" else 2]
        told = run(capsys, *names, "--help")[1]
        assert all(word in told for word in said if word.startswith("--")), line


def test_the_page_is_short() -> None:
    assert len(GUIDE.read_text("utf-8").splitlines()) <= 250
