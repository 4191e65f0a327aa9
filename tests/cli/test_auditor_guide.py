"""docs/auditor.md, typed as it stands there, on a machine that has a key, an address and two published lists."""

from __future__ import annotations

import shlex
import threading
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard
from dnslib import EDNS0, QTYPE, RR, A, DNSRecord, EDNSOption
from dnslib.server import BaseResolver, DNSServer

from tests.rigs.command_line import run
from tests.rigs.counted import entry, month_of
from tests.rigs.http_folder import served
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "auditor.md"
ONE = entry("gone.example", 1) + entry("kept.example", 2)
TWO = entry("kept.example", 2) + entry("new.example", 3)


def commands() -> list[list[str]]:
    """What an auditor types; what is only for the provider speaks of DIR."""
    lines = [line.strip() for line in GUIDE.read_text("utf-8").splitlines() if line.startswith("    stopsign ")]
    return [shlex.split(line)[1:] for line in lines if "DIR" not in line]


class Stopping(BaseResolver):  # type: ignore[misc]
    """A resolver that stops what the second list says."""

    def resolve(self, request: DNSRecord, handler: Any) -> DNSRecord:
        reply, name = request.reply(), str(request.q.qname).rstrip(".")
        reference = next((n for suffix, n in (("kept.example", 2), ("new.example", 3)) if name.endswith(suffix)), None)
        reply.add_answer(RR(name, QTYPE.A, rdata=A("192.0.2.66" if reference else "198.51.100.1"), ttl=60))
        if reference:
            reply.add_ar(EDNS0(opts=[EDNSOption(15, (16).to_bytes(2, "big") + f"{reference:016}".encode())]))
        return reply


@contextmanager
def resolver() -> Iterator[str]:
    servers = [DNSServer(Stopping(), address="127.0.0.1", port=0, tcp=False)]
    port = servers[0].server.server_address[1]
    servers.append(DNSServer(Stopping(), address="127.0.0.1", port=port, tcp=True))
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


def test_the_guide_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world, desk = World(tmp_path / "provider"), tmp_path / "desk"
    month_of(world)
    with world.open() as log:
        for version, text in enumerate((ONE, TWO), 1):
            state = "sha256:" + sha256(text.encode()).hexdigest()
            told = {"list": "gambling", "version": version, "state": state, "action": "stop-page"}
            log.append("list-activated", f"gambling/{version}", told)
    desk.mkdir()
    (desk / "isp.vkey").write_text(world.vkey())
    (desk / "full-1.zst").write_bytes(zstandard.compress(ONE.encode()))
    (desk / "full-2.zst").write_bytes(zstandard.compress(TWO.encode()))
    monkeypatch.chdir(desk)
    assert len(commands()) >= 14
    with served(world.log_dir) as address, resolver() as asked:
        for command in commands():
            typed = [
                word.replace("https://stop.isp.example/log", address).replace("192.0.2.1:53", asked) for word in command
            ]
            status, out, err = run(capsys, *typed)
            assert status == 0, f"{shlex.join(command)}\n{out}{err}"
    assert "105" in (desk / "october.html").read_text()
    assert (desk / "published" / "witness.vkey").is_file()


def test_every_command_and_option_of_the_guide_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for line in GUIDE.read_text("utf-8").splitlines():
        if line.startswith("    stopsign "):
            words = shlex.split(line)[1:]
            names = words[: 1 if words[0] == "report" else 2]
            told = run(capsys, *names, "--help")[1]
            assert all(word in told for word in words if word.startswith("--")), line
