"""The commands of the person on call, against a running provider: what they say, what they change, what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from resolver.base.errors import ResolverError
from resolver.base.paths import Places
from resolver.cli.main import stopsign
from resolver.config.schema import accept, load
from resolver.host import apply, run
from resolver.host.apply import everywhere
from resolver.host.metrics import kernel_drops
from resolver.ipc import control
from resolver.ipc.control import call
from resolver.ipc.peer_credentials import caller
from resolver.ipc.supervisor_lock import only_one
from tests.rigs.alert_rules import missing, promtool
from tests.rigs.dns_host import PATIENCE, Host, free_port, question, running, wait_until
from tests.rigs.load import EXPECTED, PASSED, STOPPED, Load, ask, under_load, until
from tests.rigs.provider import Provider, alarms, change, command, provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.rigs.dns_host import Address

__all__ = ["provider"]  # the fixture
Running = tuple[Provider, str]
ME = caller()


def said(host: Provider, *words: str) -> dict[str, Any]:
    done = command(host, *words, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def asked_for(op: str, host: Provider, who: str) -> str:
    return f"{op}, asked for by {ME}: configuration {accept(host.config).digest[:8]} is applied by {who}\n"


def test_workers_are_replaced_one_by_one_and_no_query_is_lost(provider: Running) -> None:
    host, _ = provider
    before = host.children()

    async def scene() -> None:
        done = await asyncio.to_thread(command, host, "workers", "restart")
        assert (done.returncode, done.stdout) == (0, "replaced: dns-0, dns-1\n"), done.stderr

    load = Load(host.address, EXPECTED)
    under_load(load, scene)
    assert f"workers restart, asked for by {ME}: dns-0, dns-1 are replaced\n" in host.log
    after = host.children()
    assert not {before["worker-0"], before["worker-1"]} & set(after.values())
    assert (after["steward"], after["app"]) == (before["steward"], before["app"])
    assert [one["pid"] for one in host.said()] == [after["worker-0"], after["worker-1"]]
    # What the predecessors counted is kept.
    wait_until(lambda: host.counters()["queries_udp4"] >= load.sent, "all of it counted")


def test_a_configuration_is_taken_up_without_a_lost_query(provider: Running) -> None:
    host, _ = provider
    before = host.children()
    change(host, stop_page={"ipv6": "2001:db8::66"})

    async def scene() -> None:
        done = await asyncio.to_thread(command, host, "reload")
        assert (done.returncode, done.stdout) == (0, "applied by dns-0, dns-1, steward, web\n"), done.stderr

    under_load(Load(host.address, EXPECTED), scene)
    after = host.children()
    assert not {before["worker-0"], before["worker-1"]} & set(after.values())
    # These re-execute: the same process ids.
    assert (after["steward"], after["app"]) == (before["steward"], before["app"]), host.log
    said = [call(path, "status")["configuration"] for path in sockets(host)]
    assert said == [accept(host.config).digest] * 3
    for who in ("dns-0, dns-1", "steward", "web"):
        assert asked_for("reload", host, who) in host.log
    assert stop_page_v6(host.address) == "2001:db8::66"


def test_everything_begins_anew_in_its_own_place_without_a_lost_query(provider: Running) -> None:
    """What an upgrade does: the supervisor is the same process with another program, and keeps sockets and lock."""
    host, _ = provider
    assert host.process is not None
    before = host.children()
    began = [call(path, "status")["began"] for path in sockets(host)]

    async def scene() -> None:
        done = await asyncio.to_thread(command, host, "restart")
        assert (done.returncode, done.stdout) == (0, "applied by dns-0, dns-1, steward, web\n"), done.stderr

    under_load(Load(host.address, EXPECTED), scene)
    assert asked_for("restart", host, "dns-0, dns-1, steward, web") in host.log
    assert not set(before.values()) & set(host.children().values())
    assert not set(began) & {call(path, "status")["began"] for path in sockets(host)}
    assert command(host, "workers", "restart").returncode == 0, "its children are its own"
    worker = host.children()["worker-0"]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: host.children().get("worker-0", worker) != worker, "another worker")
    assert host.stop() == 0
    assert "did not go" not in host.log


def test_the_zones_are_taken_up_with_all_else(provider: Running) -> None:
    host, _ = provider
    assert host.stop() == 0
    change(host, rpz={"listen": ["127.0.0.1:0"], "zones": [{"origin": "rpz.stopsign"}]})
    host.start()
    for op, zones in (("reload", ["rpz.stopsign", "rpz.more"]), ("restart", ["rpz.more"])):
        before = host.children()["primary"]
        change(host, rpz={"zones": [{"origin": origin} for origin in zones]})
        done = command(host, op)
        assert (done.returncode, done.stdout) == (0, "applied by dns-0, dns-1, steward, web, rpz\n"), done.stderr
        assert (host.children()["primary"] == before) == (op == "reload")
        wait_until(lambda: all(zone["serial"] for zone in said(host, "status")["zones"]), "they are served")
        hearts = beating(host)
        wait_until(lambda h=hearts: len(h) == 3 and all(map(int.__lt__, h, beating(host))), "they beat")  # type: ignore[misc]
        assert [zone["origin"] for zone in said(host, "status")["zones"]] == zones


def beating(host: Provider) -> list[int]:
    """What the supervisor was told last by the hearts of the steward, the web process and that of the zones."""
    assert host.process is not None
    hearts: list[int] = []
    for one in sorted(Path(f"/proc/{host.process.pid}/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # another file, which it has closed by now
            if "memfd:heartbeat of" in str(one.readlink()):
                hearts.append(int.from_bytes(one.read_bytes(), "little"))
    return hearts


def stop_page_v6(address: Address) -> str:
    """What AAAA of a blocked name is answered with; empty: nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.connect(address)
        one.send(question(7, "aces-bets.example", 28))
        answer = one.recv(4096)
    return socket.inet_ntop(socket.AF_INET6, answer[-16:]) if answer[6:8] == b"\0\1" else ""


def sockets(host: Provider) -> list[Path]:
    places = load(host.config).places
    return [places.supervisor_socket, places.control_socket, places.web_socket]


def test_a_configuration_that_one_process_cannot_take_up_is_taken_up_by_none(provider: Running) -> None:
    host, _ = provider
    before, good = host.children(), host.config.read_text()
    # Of no concern to the workers, which are asked first.
    change(host, portal={"listen": ["127.0.0.1:1"]})
    done = command(host, "reload")
    assert done.returncode == 2
    line = next(at for at, text in enumerate(host.config.read_text().splitlines(), 1) if text.startswith("portal:")) + 1
    assert f"{host.config}:{line}: portal.listen: cannot change while the sockets" in done.stderr
    assert "hint: stop it and start it again; as units: stopsign units --output" in done.stderr
    assert "systemctl restart stopsign.target" in done.stderr
    assert host.children() == before
    # Only starting shows that this cannot be: the first worker has a successor by then.
    host.config.write_text(good)
    change(host, stop_page={"ipv6": "2001:db8::66"})
    counting = host.run_dir / "workers" / "1.counters"
    counting.rename(counting.with_suffix(".kept"))
    counting.mkdir()  # a worker that starts wants a file there
    done = command(host, "reload")
    counting.rmdir()
    assert done.returncode == 2
    assert "the successor of dns-1 did not come up" in done.stderr
    after = host.children()
    assert {name: pid for name, pid in after.items() if name != "worker-0"} == {
        name: pid for name, pid in before.items() if name != "worker-0"
    }
    assert {stop_page_v6(host.address) for _ in range(16)} == {""}, "from ports that reach both workers"
    old = {call(path, "status")["configuration"] for path in sockets(host)}
    assert len(old) == 1
    assert accept(host.config).digest not in old
    # Only trying shows this; who knows better takes it up all the same.
    change(host, dns={"upstreams": ["127.0.0.1:1"]}, guards={"popular": "none.txt"})
    done = command(host, "reload")
    assert done.returncode == 2
    assert ": dns.upstreams[0]: 127.0.0.1:1 cannot be asked" in done.stderr
    assert ": guards.popular: " in done.stderr
    assert "hint: mend that; or apply it as it is, with --no-trial" in done.stderr
    assert {call(path, "status")["configuration"] for path in sockets(host)} == old
    assert any("dns.upstreams[0]: 127.0.0.1:1" in alarm for alarm in said(host, "status")["alarms"])
    change(host, guards={"popular": None})
    assert command(host, "reload", "--no-trial").returncode == 0
    assert {call(path, "status")["configuration"] for path in sockets(host)} == {accept(host.config).digest}


@pytest.mark.parametrize(
    ("was", "typed"),
    [
        (
            {"dns.encrypted.tls": [], "dns.encrypted.quic": []},
            "stopsign-dns-tls@north.socket stopsign-dns-quic@north.socket, systemctl restart stopsign-dns@north",
        ),
        ({"dns.encrypted.tls": ["0.0.0.0:853"]}, "systemctl restart stopsign.target"),
        ({"dns.encrypted.tls": [], "dns.listen": ["0.0.0.0:53"]}, "systemctl restart stopsign.target"),
    ],
)
def test_new_ports_of_encrypted_dns_are_opened_as_the_guide_says(was: Mapping[str, object], typed: str) -> None:
    at = Path("/run/stopsign-north")
    assert apply.to_change(was, Places(Path("/x"), at, Path("/z"))).endswith(typed)


def test_with_a_broken_file_all_goes_on_with_what_was_accepted_workers_that_die_and_who_is_on_call(
    provider: Running,
) -> None:
    host, _ = provider
    before = host.children()["worker-0"]
    host.config.write_text(host.config.read_text() + "dns: {listen: [")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: host.children().get("worker-0", before) != before, "another worker")
    wait_until(lambda: host.said()[0]["pid"] == host.children()["worker-0"], "it serves")
    assert ask(host.address, "aces-bets.example") == STOPPED
    for words in (
        ("health",), ("status",), ("cache", "flush"), ("workers", "restart"), ("lists", "status"), ("bypass", "show"),
        ("override", "allow", "aces-bets.example", "--reason", "a test"), ("explain", "aces-bets.example"),
    ):  # fmt: skip
        done = command(host, *words)
        assert done.returncode == 0, done.stderr
        assert "stopsign.yaml:" in done.stderr
        assert "going on with the configuration that the running processes applied at " in done.stderr
    assert "is overridden since" in done.stdout
    for words in (("reload",), ("restart",), ("units",)):
        done = command(host, *words)
        assert (done.returncode, "is not YAML" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"dns": {"upstreams": ["localhost"]}}, "localhost"),
        ({"dns": {"listen": ["127.0.0.1:1"]}}, "dns.listen: cannot change while the sockets and folders are held"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_and_the_old_one_goes_on(
    provider: Running, settings: dict[str, dict[str, Any]], error: str
) -> None:
    host, _ = provider
    before = host.children()
    good = host.config.read_text()
    change(host, **settings)
    broken = host.config.read_text()
    done = command(host, "reload")
    assert done.returncode == 2
    assert error in done.stderr
    # By signal there is nobody to tell: after the steward's alarm the supervisor says it too.
    assert host.process is not None
    assert host.log.count("the new configuration is refused") == 1
    host.process.send_signal(signal.SIGHUP)
    wait_until(lambda: host.log.count("the new configuration is refused") == 2, "a word in the log")
    assert host.children() == before
    assert host.config.read_text() == broken != good
    assert ask(host.address, "aces-bets.example") == STOPPED
    host.config.write_text(good)
    alarm, *others = said(host, "status")["alarms"]
    assert "the new configuration is refused, the old one goes on" in alarm
    assert error in alarm
    assert not others
    assert refusals(host) == [{"mistakes": 1, "goes_on": load(host.config).digest}], "the same mistake twice: one leaf"
    assert command(host, "reload").returncode == 0
    assert said(host, "status")["alarms"] == []


def test_a_file_that_is_no_configuration_at_all_leaves_an_alarm_and_a_leaf_too(provider: Running) -> None:
    host, _ = provider
    good = host.config.read_text()
    host.config.write_text(good + "dns: {listen: [\n")
    done = command(host, "reload")
    assert done.returncode == 2
    assert "is not YAML" in done.stderr
    assert "the log does not say so" not in done.stderr
    broken = host.config.read_text()
    host.config.write_text(good)
    assert "is not YAML" in said(host, "status")["alarms"][0]
    assert len(refusals(host)) == 1
    host.config.write_text(broken)
    # With the steward silent the refusal is still said, and that the log does not know of it.
    steward = host.children()["steward"]
    os.kill(steward, signal.SIGSTOP)
    try:
        done = command(host, "reload")
    finally:
        os.kill(steward, signal.SIGCONT)
    assert done.returncode == 2
    assert "is not YAML" in done.stderr
    assert "the log does not say so: the steward does not answer" in done.stderr


def test_a_supervisor_that_hangs_refuses_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, ["127.0.0.1:9"])
    host.write_config()
    places = load(host.config).places
    places.run_dir.mkdir()
    monkeypatch.setattr("resolver.host.apply.AGREE", 0.3)
    told: list[str] = []

    async def hear(_peer: control.Peer, request: Mapping[str, Any]) -> control.Reply:
        told.append(request["text"])
        return {}

    async def agree(_peer: control.Peer, _request: Mapping[str, Any]) -> control.Reply:
        return {}

    async def scene() -> None:
        steward = {"configuration-refused": hear, "check-reload": agree, "status": agree}
        operations = {op: control.Operation(handle) for op, handle in steward.items()}
        async with (await control.serve(places.control_socket, operations, control.Callers)).server:
            with pytest.raises(control.UnreachableError, match="the supervisor does not answer") as caught:
                await everywhere(host.config, "reload", warn=pytest.fail)
        assert str(caught.value.hint).startswith("nothing is applied; it hangs or is busy; ")
        assert "stopsign status says which, docs/alarms.md what to do" in str(caught.value.hint)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(places.supervisor_socket))
        hung.listen()
        asyncio.run(scene())
    assert told == []


def test_who_begins_anew_for_another_reload_is_looked_at_when_it_is_back(tmp_path: Path) -> None:
    """Two people type `reload` at once: the later one finds that the steward hangs up."""
    host = Host(tmp_path, ["127.0.0.1:9"])
    host.write_config()
    socket_path, began = load(host.config).places.control_socket, 1

    async def steward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal began
        if json.loads(await reader.readline())["op"] == "reload":
            began += 1
        else:
            said = {"ok": True, "began": began, "configuration": accept(host.config).digest}
            writer.write(json.dumps(said).encode() + b"\n")
        writer.close()

    async def scene() -> list[str]:
        socket_path.parent.mkdir()
        async with await asyncio.start_unix_server(steward, str(socket_path)):
            return (await everywhere(host.config, "reload", tries=False, warn=pytest.fail)).replaced

    assert asyncio.run(scene()) == ["steward"]
    assert began == 2


@dataclass
class HungUp(Host):
    """One that is told to reload in the moment in which it starts."""

    told: bool = False

    def serving(self) -> bool:
        if not self.told and (self.run_dir / "supervisor.lock").exists():
            self.told = True
            self.hang_up()
        return super().serving()

    def hang_up(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)


def test_sighup_ends_no_supervisor_that_starts_and_reload_takes_none_that_begins_anew_for_dead(tmp_path: Path) -> None:
    heard = "the new configuration is refused"  # what is tried first does not work: there is no such upstream
    with running(HungUp(tmp_path / "host", ["127.0.0.1:9"])) as host, ThreadPoolExecutor() as threads:

        def begins_anew() -> bool:
            with socket.socket(socket.AF_UNIX) as one:
                return one.connect_ex(str(host.run_dir / "supervisor.sock")) == errno.ECONNREFUSED

        wait_until(lambda: host.log.count(heard) == 1, "what was held comes")
        anew = threads.submit(command, host, "restart", "--no-trial")
        wait_until(begins_anew, "it begins anew")
        host.hang_up()
        done = command(host, "reload", "--no-trial")
        assert (done.returncode, done.stdout) == (0, "applied by dns-0\n"), done.stderr
        assert anew.result().returncode == 0
        wait_until(lambda: host.log.count(heard) == 2, "what was held over it comes")


def test_who_starts_is_known_by_the_supervisor_s_lock_and_by_its_word(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path, tmp_path)
    sockets = {name: tmp_path / name for name in ("dns", "steward", "web")}

    def starting(**living: dict[str, Any]) -> list[str]:
        return apply._starting(living, sockets, places)

    assert starting() == []
    with only_one(places):
        assert starting() == starting(web={}) == ["the supervisor"]
    assert starting() == []
    children = [{"name": name, "pid": pid} for name, pid in (("dns-0", 1), ("steward", 2), ("web", None))]
    assert starting(dns={"services": children}) == ["steward"]
    assert starting(dns={"services": children}, steward={}) == []


def test_a_reload_names_who_is_dead_and_exits_1(tmp_path: Path) -> None:
    """As units, each on its own: the others take it up."""
    with running(Host(tmp_path / "host", ["127.0.0.1:9"])) as host:
        places = load(host.config).places
        done = command(host, "reload", "--no-trial")
        assert (done.returncode, done.stdout, done.stderr) == (0, "applied by dns-0\n", "")
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(places.control_socket))  # what a steward that was killed leaves behind
        done = command(host, "reload", "--no-trial")
        assert (done.returncode, done.stdout) == (1, "applied by dns-0\n")
        assert done.stderr.startswith("stopsign: warning: the steward is dead: it reads the file when it starts")
        done = command(host, "reload", "--no-trial", "--json")
        assert (done.returncode, json.loads(done.stdout)) == (1, {"replaced": ["dns-0"], "dead": ["the steward"]})


def test_what_is_stopped_leaves_no_socket_by_which_it_would_be_dead(provider: tuple[Provider, str]) -> None:
    host, _ = provider
    places = load(host.config).places
    sockets = (places.supervisor_socket, places.control_socket, places.web_socket)
    assert command(host, "restart").returncode == 0
    wait_until(host.serving, "it serves again")
    assert all(control.has_socket(path) for path in sockets)
    assert host.process is not None
    host.process.terminate()
    assert host.process.wait(60) == 0
    assert not any(control.has_socket(path) for path in sockets)


def test_a_child_that_waits_to_be_started_again_is_dead(tmp_path: Path) -> None:
    sockets = {name: tmp_path / name for name in ("dns", "steward", "web", "rpz")}
    (tmp_path / "web").touch()
    children = [{"name": name, "pid": pid} for name, pid in (("dns-0", None), ("dns-1", 2), ("web", None))]
    assert apply._dead({"dns": {"services": children}}, sockets) == ["the web process", "dns-0"]
    assert apply._dead({"web": {}}, sockets) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (control.UnreachableError("the steward does not answer"), "is unknown: the steward does not"),
        (ResolverError("x.yaml:3: dns: is missing"), "is refused, the old one goes on: x.yaml:3: dns: is missing"),
    ],
)
def test_the_log_says_of_a_reload_by_signal_whether_it_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wrong: ResolverError, said: str
) -> None:
    async def raises(*_: object, **__: object) -> None:
        raise wrong

    monkeypatch.setattr(run, "everywhere", raises)
    asyncio.run(run._reload(tmp_path))
    (record,) = caplog.records
    assert said in record.message


def refusals(host: Provider) -> list[dict[str, Any]]:
    """The details of the leaves that say so."""
    done = command(host, "audit", "show", "--type", "configuration-refused", "--json")
    return [json.loads(line)["detail"] for line in done.stdout.splitlines()]


def test_a_hung_worker_is_killed_and_replaced_while_its_port_stays_open(provider: Running) -> None:
    host, _ = provider
    before = host.children()["worker-0"]
    # What waits for the successor comes from one client, of whose queries it relays 512 at a time.
    load = Load(host.address, EXPECTED, rate=100, patience=30.0)

    async def both() -> None:
        ended = asyncio.Event()

        async def act() -> None:
            os.kill(before, signal.SIGSTOP)
            silent = f"dns-0 (pid {before}), no sign of life for"
            await until(lambda: any(silent in one for one in alarms(host)), "an alarm", 40)
            await until(lambda: host.children().get("worker-0", before) != before, "another worker", 40)
            await asyncio.sleep(1.0)
            ended.set()

        await asyncio.gather(load.run(ended.is_set), act())

    asyncio.run(both())
    assert not load.wrong, load.wrong[:5]
    assert not load.lost, f"{len(load.lost)} of {load.sent}"
    assert "hangs; it is killed" in host.log
    (died,) = [one["died"] for one in said(host, "status")["services"] if one["died"]]
    assert died["how"] == "hung and was killed"
    wait_until(lambda: alarms(host) == [], "all is well")


def test_a_process_that_waits_to_be_started_again_is_down_until_it_is(tmp_path: Path) -> None:
    with running(Host(tmp_path / "host", ["127.0.0.1:9"])) as host:
        supervisor = load(host.config).places.supervisor_socket

        def is_down() -> bool:
            return "dns-0 is down" in call(supervisor, "status")["alarms"]

        def killed_again() -> bool:  # its pause doubles each time
            (service,) = call(supervisor, "status")["services"]
            if service["pid"] is not None:
                with contextlib.suppress(ProcessLookupError):  # its supervisor is about to notice
                    os.kill(service["pid"], signal.SIGKILL)
            return is_down()

        wait_until(killed_again, "it waits")
        wait_until(lambda: not is_down(), "it runs again")


def test_status_is_one_screen_and_the_same_in_json(provider: Running) -> None:
    host, _ = provider
    answer: dict[str, Any] = {}

    async def look() -> None:  # while they come: the shares are of what was asked between two looks
        await asyncio.sleep(1.0)
        answer.update(await asyncio.to_thread(said, host, "status"))

    under_load(Load(host.address, EXPECTED), look)
    assert [worker["index"] for worker in answer["workers"]] == [0, 1]
    assert {one["name"] for one in answer["services"]} == {"dns-0", "dns-1", "steward", "web"}
    assert answer["lists"][0]["entries"] == 59
    assert answer["queries"]["total"] > 100
    assert 0.3 < answer["queries"]["blocked"] < 0.7
    assert answer["upstreams"][0]["state"] == "up"
    assert answer["alarms"] == []
    screen = command(host, "status")
    assert screen.returncode == 0
    assert screen.stdout.splitlines()[0].startswith("Stopsign ")
    assert screen.stdout.splitlines()[1].rstrip() == "alarm: none", "nothing is wrapped in a pipe"
    assert len(screen.stdout.splitlines()) <= 24
    for word in ("q/s", "dns-0", "demo", "alarm: none"):
        assert word in screen.stdout


async def _a_second() -> None:
    await asyncio.sleep(1.0)


def test_status_names_who_does_not_answer_and_shows_the_rest(provider: Running) -> None:
    host, _ = provider
    assert host.process is not None
    os.kill(host.process.pid, signal.SIGSTOP)
    os.kill(host.children()["steward"], signal.SIGKILL)
    try:
        answer = said(host, "status")
        assert [worker["state"] for worker in answer["workers"]] == ["lives", "lives"]
        assert answer["alarms"][0].startswith("dead: the steward does not answer")
        assert answer["alarms"][1].startswith("hung: the supervisor does not answer")
        done = command(host, "bypass", "on")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[0] == "everything passes: nothing is blocked"
        assert done.stdout.splitlines()[-1] == "2 follow: dns-0, dns-1"
        assert {ask(host.address, "aces-bets.example") for _ in range(16)} == {PASSED}, "from ports that reach both"
        assert any("everything passes" in alarm for alarm in said(host, "status")["alarms"])
    finally:
        os.kill(host.process.pid, signal.SIGCONT)


def test_health_says_no_with_the_reason_when_queries_would_not_be_answered(provider: Running) -> None:
    host, _ = provider
    assert command(host, "health").stdout == "healthy\n"
    good = host.config.read_text()
    address = f"{host.address[0]}:{host.address[1]}"
    host.config.write_text(yaml.safe_dump({**yaml.safe_load(good), "run_dir": "elsewhere"}))
    change(host, dns={"listen": [address]})  # the port as it came out
    elsewhere = host.config.read_text()
    done = command(host, "health")
    assert (done.returncode, done.stdout) == (2, ""), "an edited file is no reason to withdraw a host"
    assert f"no DNS worker counts in {host.folder / 'elsewhere'}" in done.stderr
    assert f"{address} answers" in done.stderr
    host.config.write_text(good)
    for worker in ("worker-0", "worker-1"):
        os.kill(host.children()[worker], signal.SIGSTOP)
    done = command(host, "health")
    assert done.returncode == 1
    assert "UDP 127.0.0.1" in done.stdout
    assert host.stop() == 0
    done = command(host, "health")
    assert done.returncode == 1
    assert ": Connection refused\n" in done.stdout
    host.config.write_text(elsewhere)
    assert command(host, "health").returncode == 1, "dead is dead, whatever the file says"


def test_a_run_dir_that_somebody_emptied_becomes_whole_again_and_answers_stay_as_they_were(provider: Running) -> None:
    host, _ = provider
    before = host.children()
    assert command(host, "bypass", "on", "wild-dice.example").returncode == 0
    expected = {**EXPECTED, "wild-dice.example": PASSED}
    load = Load(host.address, expected, rate=300, patience=20.0)

    async def scene() -> None:
        for path in host.run_dir.iterdir():
            # what a process writes meanwhile may keep its folder
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        whole = lambda: len(host.said()) == 2 and set(host.children().values()).isdisjoint(before.values())  # noqa: E731
        await until(whole, "new processes", 60)

    under_load(load, scene)
    wait_until(host.serving, "all of them answer")
    assert [alarm.partition(" since")[0] for alarm in said(host, "status")["alarms"]] == [
        "wild-dice.example is bypassed"
    ]
    assert command(host, "health").stdout == "healthy\n"
    assert (host.run_dir / "taken-up.yaml").read_bytes() == host.config.read_bytes()
    assert command(host, "reload").returncode == 0


def test_the_cache_is_flushed_on_every_worker(provider: Running) -> None:
    host, _ = provider
    under_load(Load(host.address, EXPECTED), _a_second)
    wait_until(lambda: host.counters()["cache_entries_now"] > 50, "something cached")
    assert said(host, "cache", "flush")["told"] == ["dns-0", "dns-1"]
    assert f"cache flush, asked for by {ME}: dns-0, dns-1 forget every cached answer\n" in host.log
    wait_until(lambda: host.counters()["cache_entries_now"] == 0, "nothing cached")


@pytest.mark.needs("promtool")
def test_metrics_are_scraped_and_name_no_client(provider: Running) -> None:
    host, _ = provider
    port = free_port()
    change(host, metrics={"listen": [f"127.0.0.1:{port}"]})
    assert command(host, "reload").returncode == 0

    def scraped() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    wait_until(scraped, "the exposition")
    under_load(Load(host.address, EXPECTED), _a_second)
    text = scraped()
    for family in (
        'stopsign_queries_total{transport="udp4"}', 'stopsign_verdicts_total{verdict="blocked"}',
        'stopsign_blocked_by_list_total{list="demo"}', "stopsign_upstream_rtt_seconds_bucket",
        'stopsign_worker_heartbeat_age_seconds{worker="1"}', "stopsign_kernel_drops_total",
    ):  # fmt: skip
        assert family in text, text[:3000]
    # Whatever an alert or a panel asks for is there, and Prometheus has nothing to say against the form of it.
    assert missing(text) == set()
    checked = promtool("check", "metrics", data=text)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    labels = [line for line in text.splitlines() if "{" in line and not line.startswith("#")]
    assert not [line for line in labels if "127.0.0.1" in line.split("{")[1] and "upstream=" not in line]


def test_what_the_kernel_dropped_is_read_from_its_own_table(tmp_path: Path) -> None:
    header = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref  drops"
    )
    row = " 1: {address} 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 {inode} 2 0000000000000000 {drops}"
    rows = [
        row.format(address=address, inode=inode, drops=drops)
        for address, inode, drops in (("0100007F:0035", 12, 7), ("0100007F:1388", 13, 9), ("0100007F:0035", 12, 7))
    ]  # the first once more, as where another socket was closed meanwhile
    (tmp_path / "udp").write_text("\n".join([header, *rows]) + "\n")
    assert kernel_drops({53}, tmp_path) == 7
    assert kernel_drops({53, 5000}, tmp_path) == 16
    assert kernel_drops({54}, tmp_path) == 0


def test_take_over_frees_the_sockets_of_every_transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypted = {
        "name": "dns.isp.example", "certificate": "dns.pem", "key": "dns.key",
        "tls": ["127.0.0.1:1853"], "https": {"listen": ["127.0.0.1:1443"]}, "quic": ["127.0.0.1:1853"],
    }  # fmt: skip
    dns = {"listen": ["127.0.0.1:1053"], "upstreams": ["127.0.0.1:1"], "allow_clients": [], "encrypted": encrypted}
    plain = {"state_dir": "state", "run_dir": "run", "dns": dns, "portal": {"url": "http://localhost"}}
    (tmp_path / "stopsign.yaml").write_text(yaml.safe_dump(plain))
    monkeypatch.setattr("resolver.ipc.control.call", lambda *_, **__: {"pid": 7})
    heard: list[str] = []
    monkeypatch.setattr(
        "resolver.host.take_over.hear_everybody", lambda pid, addresses: heard.extend(map(str, [pid, *addresses]))
    )
    CliRunner().invoke(stopsign, ["take-over", "--dir", str(tmp_path)])
    assert heard == ["7", "127.0.0.1:1053", "127.0.0.1:1853", "127.0.0.1:1443", "127.0.0.1:1853"]
