"""`stopsign demo` as a person on a fresh machine meets it: a process, its output, its ports, its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from blocklists.issuer.rehearsal import PASSPHRASE
from resolver.cli.demo import command
from resolver.cli.demo.tree import places
from resolver.ipc.supervisor_lock import only_one
from tests.rigs.dns_host import bound_sockets, free_port, wait_until
from tests.rigs.limits import state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.cli.demo.tree import Ports
    from resolver.host.sockets import Listeners

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-P", "-m", "resolver.cli.main", "demo"]
FREE = ["--dns-port", "0", "--stop-port", "0", "--portal-port", "0"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def demo(*arguments: str, patience: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=patience, check=False
    )


def in_json(*arguments: str) -> dict[str, Any]:
    done = demo("--once", "--json", *FREE, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@contextlib.contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that goes on; yields when its probes are printed."""
    with (folder.parent / "errors").open("w") as errors:
        process = subprocess.Popen(
            [*COMMAND, "--json", "--dir", str(folder), *arguments],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            process_group=0,
        )
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        assert json.loads("".join(lines) or "{}").get("ok"), "".join(lines) + (folder.parent / "errors").read_text()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        process.stdout.close()


def test_the_sample_is_blocked_explained_and_appealed() -> None:
    said = in_json()
    assert set(said) == {"ok", "active", "rejected", "probes"}
    assert said["ok"] is True
    assert said["active"] == 59
    assert said["rejected"] == 5
    assert len(said["probes"]) > 30
    assert all(set(probe) == {"ask", "expect", "got", "ok"} and probe["ok"] for probe in said["probes"])
    asked = " ".join(probe["ask"] for probe in said["probes"])
    for what in ("over UDP", "over TCP", "HTTPS", "AAAA", "EDNS", "http://", "appeal", "receipt", "audit verify"):
        assert what in asked


@pytest.mark.needs("data")
def test_the_real_names_all_become_active(tmp_path: Path, real_names: list[str]) -> None:
    names = tmp_path / "names"
    names.write_text("\n".join(real_names) + "\n")
    said = in_json("--names", str(names))
    assert said["active"] > 170_000
    assert said["active"] + said["rejected"] <= len(real_names)


def test_names_that_are_listed_alone_or_only_from_below_are_asked_for_as_they_are_listed(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("*.wild.example\ngithub.io\n192.0.2.7\n")
    said = in_json("--names", str(names))
    assert (said["ok"], said["active"], said["rejected"]) == (True, 2, 1)
    asked = {probe["ask"] for probe in said["probes"]}
    assert {"www.wild.example A over UDP", "github.io A over UDP"} <= asked
    assert not {"wild.example A over UDP", "www.github.io A over UDP"} & asked


def test_without_a_terminal_the_table_has_no_colours_and_nothing_moves() -> None:
    done = demo("--once", *FREE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "59 entries active" in done.stdout
    assert "WRONG" not in done.stdout
    for line in ("appeal", "dig @127.0.0.1", "/receipt/", "stopsign explain"):
        assert line in done.stdout


def test_a_probe_that_comes_out_wrong_ends_in_status_1() -> None:
    """An upstream that is not there: names that are not listed get no answer."""
    nobody = free_port()
    done = demo("--once", "--json", *FREE, "--upstream", f"127.0.0.1:{nobody}")
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert not said["ok"]
    wrong = [probe["ask"] for probe in said["probes"] if not probe["ok"]]
    assert wrong == [] or all(name.split()[0] in {"debian.org", "wikipedia.org", "python.org"} for name in wrong)
    assert wrong


@pytest.mark.parametrize("option", ["--dns-port", "--stop-port", "--portal-port"])
def test_a_port_that_is_taken_is_named_with_a_hint(option: str) -> None:
    free, other = bound_sockets()
    free.close()  # UDP, which is tried first
    with other:
        other.listen()
        port = str(other.getsockname()[1])
        rest = [word for word in FREE if word.startswith("--") and word != option]
        done = demo("--once", option, port, *(word for name in rest for word in (name, "0")))
    assert done.returncode == 2
    assert done.stdout == ""
    errors = done.stderr.splitlines()
    assert errors[0] == f"stopsign: error: TCP port {port} of 127.0.0.1 is taken by another program", "before all else"
    assert errors[1].startswith("hint: ")


def test_a_file_without_a_name_is_refused(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("# nothing\n192.0.2.1\n")
    done = demo("--once", *FREE, "--names", str(names))
    assert done.returncode == 2
    assert "no line of" in done.stderr
    assert "hint: " in done.stderr


def test_it_serves_until_it_is_interrupted_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    with serving(folder, *FREE, "--workers", "2") as process:
        addresses = json.loads((folder / "run/addresses.json").read_bytes())
        assert addresses["services"] == ["dns-0", "dns-1", "steward", "web"]
        offspring = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        # Beside the provider's processes there is multiprocessing's own resource tracker.
        children = [pid for pid in offspring if b"resolver.host.child" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(children) == 4
        # It cannot restart with a new program, and says so at once; that is no refusal of its configuration.
        done = on_call("restart", folder)
        assert (done.returncode, "is a part of `stopsign demo`, and cannot restart alone" in done.stderr) == (2, True)
        assert "`stopsign reload` applies the configuration" in done.stderr
        assert on_call("reload", folder).stdout == "applied by dns-0, dns-1, steward, web\n"
        assert "the new configuration is refused" not in (folder / "processes.log").read_text()
        # It looks after its host as `stopsign run` does: what is gone from `run_dir` comes back.
        (folder / "run/supervisor.sock").unlink()
        wait_until((folder / "run/supervisor.sock").exists, "the supervisor listens again")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not (folder / "run/addresses.json").exists()


def test_a_folder_whose_demo_runs_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "stopsign.yaml").write_text("# of the demo that runs\n")
    with only_one(places(tmp_path)):
        done = demo("--once", *FREE, "--dir", str(tmp_path))
    assert (done.returncode, f"another Stopsign already runs with {tmp_path / 'run'}" in done.stderr) == (2, True)
    assert (tmp_path / "stopsign.yaml").read_text() == "# of the demo that runs\n"
    assert {one.name for one in tmp_path.iterdir()} == {"run", "stopsign.yaml"}


def on_call(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "resolver.cli.main", command, "--dir", str(folder)]
    return subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)


def test_its_tree_is_what_the_other_commands_work_on_and_can_be_taken_up_again(tmp_path: Path) -> None:
    folder, days = tmp_path / "tree", []
    for arguments in ((), ("--names", str(tmp_path / "names"))):
        (tmp_path / "names").write_text("another.example\n")
        assert demo("--once", *FREE, "--dir", str(folder), *arguments).returncode == 0
        days.append(datetime.now(UTC).date().isoformat())
    for place in ("issuer/desk.json", "published/metadata", "state", "run", "log/checkpoint", "log/log.vkey"):
        assert (folder / place).exists(), place
    readme = (ROOT / "README.md").read_text()
    for place in ("issuer", "log", "issuer/signers"):
        assert (folder / place).is_dir(), place
        assert f"FOLDER/{place}`" in readme
    assert f"`{PASSPHRASE.decode()}`" in readme
    # what docs/auditor.md says of a walk without a provider
    day, key = days[0], str(folder / "log/log.vkey")
    assert audit("verify", str(folder / "log"), "--key", key).startswith("127.0.0.1/log/")
    proof = str(tmp_path / "proof")
    assert "on list demo" in audit(
        "was-blocked", "aces-bets.example", "--on", day, "--output", proof, "--dir", str(folder)
    )
    (found,) = (tmp_path / "proof").iterdir()
    checked = audit("check-blocked", str(found), "aces-bets.example", "--key", key, "--log", str(folder / "log"))
    assert "Proved: leaf" in checked


def audit(*words: str) -> str:
    command = [sys.executable, "-m", "resolver.cli.main", "audit", *words]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs("dig", "kdig")
def test_dig_and_kdig_see_what_the_design_says(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    with serving(folder, *FREE):
        port = json.loads((folder / "run/addresses.json").read_bytes())["dns"][0].rpartition(":")[2]

        def asked(program: str, *words: str) -> str:
            command = [program, "@127.0.0.1", "-p", port, *words]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout

        for program in ("dig", "kdig"):
            for transport in ("+notcp", "+tcp"):
                for name in ("aces-bets.example", "www.aces-bets.example", "A.b.C.aces-bets.EXAMPLE"):
                    assert asked(program, transport, "+short", name, "A").split() == ["192.0.2.66"]
                for qtype in ("AAAA", "HTTPS", "TXT"):
                    nothing = asked(program, transport, "aces-bets.example", qtype)
                    assert "NOERROR" in nothing
                    assert "ANSWER: 0" in nothing
                    assert "SOA" in nothing
                assert asked(program, transport, "+short", "debian.org", "A").split() == ["198.51.100.7"]
        explained = asked("dig", "+edns=0", "aces-bets.example", "A")
        assert "EDE: 16" in explained
        assert "http://127.0.0.1" in explained
        plain = asked("dig", "+noedns", "aces-bets.example", "A")
        assert "EDE" not in plain
        assert "OPT" not in plain


def test_its_ports_are_nobody_elses_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are signed meanwhile, and other programs open ports."""
    tried: list[int] = []

    async def meanwhile(*given: Any, **_: object) -> int:
        ports: Ports = given[2]
        listeners: Listeners = given[3]
        for port, kind in (
            (ports.dns, socket.SOCK_DGRAM), (ports.dns, socket.SOCK_STREAM), (ports.stop_page, socket.SOCK_STREAM),
            (ports.portal, socket.SOCK_STREAM),
        ):  # fmt: skip
            with socket.socket(type=kind) as one, pytest.raises(OSError, match="in use"):
                one.bind((port.host, port.port))
            tried.append(port.port)
        assert [len(group) for group in (*listeners.udp, *listeners.tcp)] == [3, 3]
        return 0

    monkeypatch.setattr(command, "_demo", meanwhile)
    assert CliRunner().invoke(command.demo, ["--once", "--workers", "3", *FREE]).exit_code == 0
    assert len(tried) == 4


def test_killed_outright_it_takes_its_processes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    with serving(folder, *FREE) as process:
        children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        process.kill()
        process.wait(60)
        wait_until(lambda: not any(alive(pid) for pid in children), "children that nobody supervises")


def alive(pid: int) -> bool:
    return state_of(pid) not in ("", "Z")
