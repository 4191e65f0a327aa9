"""What only a try shows, each on a machine where it fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from blocklists.head import Issuer
from blocklists.issuer.rehearsal import Rehearsal
from blocklists.sealed import keys
from resolver.base.paths import Places
from resolver.cli.main import stopsign
from resolver.config.finding import Finding
from resolver.config.preflight import host, remote
from resolver.config.preflight.host import trial
from resolver.config.preflight.reasons import reasons
from resolver.config.preflight.users import User, rights
from resolver.config.schema import Accepted, Config, Lines
from resolver.host.apply import TrialError, try_first
from resolver.ipc import control
from resolver.ipc.addresses import held
from tests.rigs.certificates import NAME, made
from tests.rigs.config_file import write
from tests.rigs.dns_host import PATIENCE, bound_sockets
from tests.rigs.lists_world import GROUND, settings
from tests.rigs.namespace import beside, in_a_network

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.needs("ip")
@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (["ip rule add pref 1 lookup local", "ip rule del pref 0", "ip rule add pref 0 to 192.0.2.53 prohibit"],
         "Permission denied"),
        (["ip link set lo down"], "timed out"),
    ],
    ids=["routing", "loopback"],
)  # fmt: skip
def test_an_address_that_does_not_hear_what_health_asks_is_an_error(tmp_path: Path, harm: list[str], why: str) -> None:
    """`stopsign health` asks each address from loopback, and would say no for ever."""
    config = Config.model_validate(
        {**settings(tmp_path), "dns": {**settings(tmp_path)["dns"], "listen": ["192.0.2.53:53"]}},
        context={"folder": "/"},
    )

    def scene() -> list[list[str]]:
        found = []
        with beside("192.0.2.53/24", "192.0.2.1/24"):
            for commands in ([], harm):
                for command in commands:
                    subprocess.run(command.split(), check=True)
                findings = trial(config, tmp_path / "stopsign.yaml", lambda _: set())
                found.append([one.message for one in findings if one.key == "dns.listen[0]" and one.fatal])
        return found

    before, after = in_a_network(scene)
    assert before == []
    assert after == [
        f"192.0.2.53:53 over {over} does not hear this host's loopback ({why}): `stopsign health` would always say no"
        for over in ("UDP", "TCP")
    ]


@contextmanager
def upstream(answer: bytes | None, *, tcp: bool = True) -> Iterator[str]:
    """A server that gives one answer to everything, after the id of the question; None: it is silent."""
    server, listener = bound_sockets()
    with server, listener, pytest.MonkeyPatch.context() as patch:
        if answer is not None:
            for part in (host, remote):
                patch.setattr(part, "PATIENCE", PATIENCE)  # a thread of this process may be held up
        if tcp:
            listener.listen()
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                ready, _, _ = select.select([server, listener] if tcp else [server], [], [], 0.05)
                if server in ready:
                    question, client = server.recvfrom(512)
                    if answer is not None:
                        server.sendto(question[:2] + answer, client)
                if listener in ready:
                    stream, _ = listener.accept()
                    with stream:
                        question = stream.recv(512)[2:]
                        if answer is not None:
                            stream.sendall((2 + len(answer)).to_bytes(2) + question[:2] + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def found(folder: Path, **changed: Any) -> dict[str, str]:
    """Findings by key; the warning about the tmpfs aside."""
    return {
        finding.key: finding.message
        for finding in trial(configured(folder, **changed), folder / "stopsign.yaml", held)
        if finding.key != "run_dir" or finding.fatal
    }


def configured(folder: Path, **changed: Any) -> Config:
    plain: dict[str, Any] = {
        "state_dir": str(folder / "state"),
        "run_dir": str(folder / "run"),
        "dns": {"listen": ["127.0.0.1:0"], "upstreams": ["127.0.0.1:1"], "allow_clients": []},
        "portal": {"url": "https://stop.isp.example"},
    }
    for key, value in changed.items():
        plain[key] = {**plain.get(key, {}), **value} if isinstance(value, dict) else value
    return Config.model_validate(plain, context={"folder": folder})


def reported(folder: Path, text: str) -> tuple[int, list[tuple[int, str, str]]]:
    """The exit status of `check-config`, and line, level and key of all that it says, the tmpfs aside."""
    done = CliRunner().invoke(stopsign, ["check-config", "--json", str(write(folder, text))])
    said = json.loads(done.stdout)
    assert said["ok"] == (done.exit_code == 0)
    assert {finding["file"] for finding in said["findings"]} <= {str(folder / "stopsign.yaml")}
    findings = [(found["line"], found["level"], found["key"]) for found in said["findings"]]
    return done.exit_code, [found for found in findings if found[1:] != ("warning", "run_dir")]


NOERROR = b"\x81\x80\0\1\0\0\0\0\0\0"
REFUSED = b"\x81\x85\0\1\0\0\0\0\0\0"


def test_a_machine_that_can_do_it_all_has_nothing_to_say(tmp_path: Path) -> None:
    with upstream(NOERROR) as address:
        assert found(tmp_path, dns={"upstreams": [address]}) == {}


@pytest.mark.parametrize(
    ("answer", "message"), [(REFUSED, "answers with RCODE 5"), (b"", "answers with something that is no answer")]
)
def test_an_upstream_that_does_not_resolve_is_found(tmp_path: Path, answer: bytes, message: str) -> None:
    with upstream(answer) as address:
        assert message in found(tmp_path, dns={"upstreams": [address]})["dns.upstreams[0]"]


def test_an_upstream_without_tcp_is_found_and_stops_nothing(tmp_path: Path) -> None:
    with upstream(NOERROR, tcp=False) as address:
        dns = {"listen": ["127.0.0.1:0"], "upstreams": [address], "allow_clients": []}
        plain = {
            "state_dir": str(tmp_path),
            "run_dir": str(tmp_path),
            "dns": dns,
            "portal": {"url": "https://s.example"},
        }
        config = Config.model_validate(plain, context={"folder": tmp_path})
        (said,) = [one for one in trial(config, tmp_path / "x.yaml", held) if one.key == "dns.upstreams[0]"]
    assert "over TCP cannot be asked (Connection refused): what is too long for a datagram is SERVFAIL" in said.message
    assert not said.fatal


@pytest.mark.parametrize(
    ("name", "message"),
    [(NAME, None), ("dns.other.example", "over TLS cannot be asked (Hostname mismatch"), (None, "no TLS handshake")],
)
def test_an_upstream_over_tls_that_does_not_prove_itself_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, message: str | None
) -> None:
    monkeypatch.setattr(host, "PATIENCE", PATIENCE)
    files = made(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    def serve() -> None:
        with server.accept()[0] as plain, contextlib.suppress(OSError):
            stream = plain if name is None else context.wrap_socket(plain, server_side=True)
            question = stream.recv(4096)
            stream.sendall(b"\0\x0c" + question[2:4] + NOERROR)
            stream.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        tls = {"name": name or NAME, "ca": str(files.root)}
        upstream = {"address": f"127.0.0.1:{server.getsockname()[1]}", "tls": tls}
        said = found(tmp_path, dns={"upstreams": [upstream]}).get("dns.upstreams[0]")
        thread.join()
    assert said is None if message is None else message in (said or "")


def test_an_upstream_in_clear_beside_one_over_tls_is_found(tmp_path: Path) -> None:
    sealed = {"address": "127.0.0.1:1", "tls": {"name": NAME}}
    with upstream(NOERROR) as address:
        said = found(tmp_path, dns={"upstreams": [sealed, address]})
    assert said["dns.upstreams[0]"] == "127.0.0.1:1 over TLS cannot be asked (Connection refused)"
    assert "is asked in clear, also what another one is asked over TLS while that is up" in said["dns.upstreams[1]"]


def test_a_silent_upstream_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.config.preflight.host.PATIENCE", 0.05)
    with upstream(None) as address:
        assert "does not answer within" in found(tmp_path, dns={"upstreams": [address]})["dns.upstreams[0]"]


def test_a_port_that_is_taken_is_found_for_each_transport(tmp_path: Path) -> None:
    with socket.socket() as taken, upstream(NOERROR) as address:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        here = f"127.0.0.1:{taken.getsockname()[1]}"
        findings = found(
            tmp_path, dns={"upstreams": [address], "listen": [here]}, stop_page={"listen": ["192.0.2.1:80"]}
        )
    assert "over TCP cannot be opened (Address already in use)" in findings["dns.listen[0]"]
    assert "cannot be opened" in findings["stop_page.listen[0]"]


def test_files_folders_roots_and_people_that_are_not_there_are_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 1000)
    (tmp_path / "root.json").write_text("{}")
    lists = [
        {"name": "a", "repository": str(tmp_path / "none"), "trusted_root": str(tmp_path / "none.json")},
        {"name": "b", "repository": "http://127.0.0.1:1/", "trusted_root": str(tmp_path / "root.json")},
    ]
    with upstream(NOERROR) as address:
        findings = found(
            tmp_path,
            state_dir=str(tmp_path / "file" / "state"),
            dns={"upstreams": [address]},
            lists=lists,
            guards={"popular": str(tmp_path / "none.txt")},
            control={"operators": ["nobody-here"], "operator_groups": ["no-group-here"]},
            provider={"language": "xx"},
            portal={"database": f"sqlite://{tmp_path / 'file'}"},
        )
    assert "cannot be read now" in findings.pop("lists[1].repository")
    assert findings == {
        "state_dir": f"{tmp_path / 'file'} is not a folder",
        "log.dir": f"{tmp_path / 'file'} is not a folder",
        "lists[0].repository": f"metadata/timestamp.json: no such file in {tmp_path / 'none'}",
        "lists[0].trusted_root": f"{tmp_path / 'none.json'} cannot be read (No such file or directory)",
        "lists[1].trusted_root": f"{tmp_path / 'root.json'} is not the root metadata of a repository",
        "provider.language": "there are no pages in 'xx'; ar, cs, de, en, es, fr, it, nl, pl would be right",
        "portal.database": f"{tmp_path / 'file'} is not a database that can be read (file is not a database)",
        "guards.popular": f"{tmp_path / 'none.txt'} cannot be read (No such file or directory)",
        "control.operators[0]": "there is no user 'nobody-here' on this machine",
        "control.operator_groups[0]": "there is no group 'no-group-here' on this machine",
    }


def test_a_list_that_its_repository_does_not_have_is_found(tmp_path: Path) -> None:
    desk = Rehearsal.create(tmp_path / "issuer", Issuer("Authority", "list@a.example", "appeals@a.example"))
    published, root = desk.desk.published, str(desk.desk.trusted_root)
    lists = [{"name": "gamblign", "repository": str(published), "trusted_root": root}]
    with upstream(NOERROR) as address:
        nothing = found(tmp_path, dns={"upstreams": [address]}, lists=lists)
        desk.add_basis("gambling", "order-17", GROUND)
        (tmp_path / "names.txt").write_text("a.example")
        desk.import_files("gambling", [tmp_path / "names.txt"], basis="order-17", category="gambling")
        another = found(tmp_path, dns={"upstreams": [address]}, lists=lists)
        right = found(tmp_path, dns={"upstreams": [address]}, lists=[{**lists[0], "name": "gambling"}])
        (published / "metadata" / "timestamp.json").write_text("{}")
        damaged = found(tmp_path, dns={"upstreams": [address]}, lists=lists)
    assert nothing == {"lists[0].name": f"{published} has no list 'gamblign'; it has none at all"}
    assert another == {"lists[0].name": f"{published} has no list 'gamblign'; it has 'gambling'"}
    assert right == {}
    assert "cannot be read now: " in damaged["lists[0].repository"]


def test_what_the_users_of_the_units_may_not_do_is_found_although_root_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, inside = tmp_path / "closed", tmp_path / "closed" / "state"
    inside.mkdir(parents=True)
    folder.chmod(0o711)
    inside.chmod(0o2770)
    owner, group, other = (
        User("x", uid, frozenset({gid})) for uid, gid in ((os.getuid(), 1), (1, os.getgid()), (1, 1))
    )
    assert [who.may(inside, 7) for who in (owner, group, other)] == [True, True, False]
    assert [who.may(folder, 1) for who in (owner, group, other)] == [True, True, True]
    assert [who.may(folder, 4) for who in (owner, group, other)] == [True, False, False]
    folder.chmod(0o700)
    monkeypatch.setattr(User, "named", staticmethod(lambda name, _group: User(name, 1, frozenset({1}))))
    with upstream(NOERROR) as address:
        findings = found(folder, dns={"upstreams": [address]}, run_dir=str(tmp_path / "none"))
        of_one = found(folder, dns={"upstreams": [address]}, run_dir="/run/stopsign-north")
    assert "cannot be entered by stopsign-steward, the user of its unit" in findings["state_dir"]
    assert "cannot be entered by stopsign-north-steward, the user of its unit" in of_one["state_dir"]


def test_what_is_below_the_state_folder_is_tried_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a first start as root: the folder is the steward's, and what is in it is not."""
    audit, lists, overrides = (tmp_path / "state" / name for name in ("audit", "lists", "overrides.json"))
    audit.mkdir(parents=True)
    lists.mkdir()
    overrides.write_text("{}")
    denied: list[Path] = []
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in denied and real(path, mode))
    with upstream(NOERROR) as address:
        asked: dict[str, Any] = {"dns": {"upstreams": [address]}}
        assert found(tmp_path, **asked) == {}
        for path, does in ((audit, "written"), (lists, "written"), (overrides, "read")):
            denied[:] = [path]
            assert found(tmp_path, **asked) == {"state_dir": f"{path} cannot be {does} by this user"}
        denied.clear()
        monkeypatch.setattr(User, "named", staticmethod(lambda name, _group: User(name, 1, frozenset({1}))))
        monkeypatch.setattr(User, "may", lambda _self, path, _wanted: path not in (audit, lists, overrides))
        said = [one.message for one in rights(configured(tmp_path, **asked), tmp_path) if one.key == "state_dir"]
    unit = "by stopsign-steward, the user of its unit"
    assert said == [
        f"{audit} cannot be written {unit}",
        f"{lists} cannot be written {unit}",
        f"{overrides} cannot be read {unit}",
    ]


@pytest.mark.parametrize(
    ("mode", "steward", "replaces"), [(0o1771, 2, False), (0o771, 2, True), (0o751, 2, False), (0o771, 1, False)]
)
def test_dns_is_not_to_replace_what_the_steward_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, steward: int, replaces: bool
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    run.chmod(mode)
    users = {
        "stopsign-dns": User("stopsign-dns", 1, frozenset({os.getgid()})),
        "stopsign-steward": User("stopsign-steward", steward, frozenset({3})),
    }
    monkeypatch.setattr(User, "named", staticmethod(lambda name, _group: users.get(name)))
    said = [one.message for one in rights(configured(tmp_path), tmp_path / "stopsign.yaml") if not one.fatal]
    wanted = f"without the sticky bit stopsign-dns may replace lists and exceptions in it: chmod 1771 {run}"
    assert said == ([f"{run}: {wanted}"] if replaces else [])


@pytest.mark.parametrize(
    ("found", "ours", "refused"),
    [
        (
            [Finding("dns.upstreams[0]", "is silent", fatal=False), Finding("run_dir", "is slow", fatal=False)],
            True,
            False,
        ),
        ([Finding("run_dir", "is slow", fatal=False), Finding("dns.upstreams[0]", "is silent")], True, True),
        ([Finding("dns.upstreams[0]", "is silent")], False, True),
        ([Finding("guards.popular", "cannot be read", denied=True)], True, True),
        ([Finding("guards.popular", "cannot be read", denied=True)], False, False),
    ],
)
def test_a_reload_is_refused_for_what_does_not_work_not_for_what_another_user_may(
    monkeypatch: pytest.MonkeyPatch, found: list[Finding], ours: bool, refused: bool
) -> None:
    """`ours`: the processes run as the user who asks for the reload."""
    monkeypatch.setattr("resolver.config.preflight.host.trial", lambda *_: found)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lines = Lines(Path("x.yaml"), {("run_dir",): 2, ("dns", "upstreams", 0): 7, ("guards",): 9})
    new = Accepted(lines.file, b"", Config.model_construct(), lines)
    said = [str(one.at(lines)) for one in found]
    warned: list[str] = []
    trying = try_first(new, {1000} if ours else {1000, 1001}, warned.append)
    if not refused:
        asyncio.run(trying)
        assert warned == [one.removesuffix(" (a warning)") for one in said], "the line says so already"
        return
    with pytest.raises(TrialError, match=r"^x\.yaml:[79]: [a-z.]+(\[0\])?: (is silent|cannot be read)") as caught:
        asyncio.run(trying)
    assert sorted(str(caught.value).splitlines()) == sorted(said)


def test_the_ports_of_the_stopsign_that_runs_are_its_own_though_it_be_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "PATIENCE", 0.2)  # of upstreams, which are not asked here
    monkeypatch.setattr(host, "_upstreams", lambda _config: ())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        here = f"127.0.0.1:{taken.getsockname()[1]}"

        async def status(*_: object) -> dict[str, Any]:
            await asyncio.sleep(0.5)
            return {"dns": [], "stop_page": [here], "portal": []}

        async def scene() -> dict[str, str]:
            places = Places(tmp_path / "state", tmp_path / "run", tmp_path / "log")
            server = await control.serve(places.web_socket, {"status": control.Operation(status)}, control.Callers)
            try:
                return await asyncio.to_thread(found, tmp_path, stop_page={"listen": [here]})
            finally:
                server.close(ends=True)

        assert asyncio.run(scene()) == {}


TEXT = """\
state_dir: state
run_dir: run
dns:
  listen: ["127.0.0.1:0"]
  upstreams: ["127.0.0.1:1"]
  allow_clients: ["10.0.0.0/8", "::/0"]
  cache: {size: 256}
stop_page:
  listen: ["192.0.2.1:80"]
portal:
  url: https://stop.isp.example
lists:
  - {name: a, repository: none, trusted_root: none.json}
guards:
  popular: none.txt
"""


def test_mistakes_and_what_does_not_work_stand_in_one_report_each_with_its_line(tmp_path: Path) -> None:
    wrong = [
        (5, "error", "dns.upstreams[0]"), (6, "warning", "dns.allow_clients[1]"), (9, "error", "stop_page.listen[0]"),
        (13, "error", "lists[0].repository"), (13, "error", "lists[0].trusted_root"), (15, "error", "guards.popular"),
    ]  # fmt: skip
    assert reported(tmp_path, TEXT) == (2, sorted([*wrong, (7, "mistake", "dns.cache.size")]))
    assert reported(tmp_path, TEXT.replace("{size: 256}", "{size: 1MiB}")) == (1, wrong)
    done = CliRunner().invoke(stopsign, ["check-config", str(tmp_path / "stopsign.yaml")])
    lines = [line.removeprefix(f"{tmp_path / 'stopsign.yaml'}:") for line in done.stdout.splitlines()]
    assert lines[1].startswith("5: dns.upstreams[0]: 127.0.0.1:1 cannot be asked")
    assert lines[-1].startswith("15: guards.popular: ")


def test_what_cannot_be_read_is_named_as_not_tried_and_nothing_is_made_up_in_its_place(tmp_path: Path) -> None:
    mistakes = {"run_dir: run": "run_dir: 3", "none.json}": "none.json, actoin: x}", '"127.0.0.1:1"': "localhost"}
    text = TEXT.replace("{size: 256}", "{size: 1MiB}")
    for right, mistake in mistakes.items():
        text = text.replace(right, mistake)
    assert reported(tmp_path, text) == (2, [
        (2, "mistake", "run_dir"), (4, "untried", "dns.listen"),
        (5, "untried", "dns.upstreams"), (5, "mistake", "dns.upstreams[0]"), (6, "warning", "dns.allow_clients[1]"),
        (9, "untried", "stop_page.listen"), (12, "untried", "lists"), (13, "mistake", "lists[0].actoin"),
        (15, "error", "guards.popular"),
    ])  # fmt: skip
    error = str(CliRunner().invoke(stopsign, ["check-config", str(tmp_path / "stopsign.yaml")]).exception)
    assert ":4: dns.listen: is not tried before run_dir is mended\n" in error
    assert ":12: lists: is not tried before what is wrong with it is mended\n" in error


def test_what_is_no_configuration_at_all_is_reported_in_the_same_form(tmp_path: Path) -> None:
    assert reported(tmp_path, "dns: [") == (2, [(1, "mistake", "")])
    assert reported(tmp_path, "- 1") == (2, [(1, "mistake", "")])


@pytest.mark.parametrize(("listen", "behind", "warned"), [
    (["127.0.0.1:0"], [], True), (["127.0.0.1:0", "[::1]:0"], [], True), (["127.0.0.1:0"], ["127.0.0.1/32"], False),
    (["0.0.0.0:0"], [], False), ([], [], False),
])  # fmt: skip
def test_a_portal_on_loopback_that_does_not_know_its_web_server_is_a_warning(
    tmp_path: Path, listen: list[str], behind: list[str], warned: bool
) -> None:
    portal = {"url": "https://stop.isp.example", "listen": listen, "behind": behind}
    assert ("portal.behind" in found(tmp_path, portal=portal)) is warned


@pytest.mark.parametrize(("tls", "plain", "warned"), [
    ("192.0.2.1", "192.0.2.1", False), ("192.0.2.1", "192.0.2.2", True), ("192.0.2.1", "0.0.0.0", False),
    ("0.0.0.0", "192.0.2.1", False), ("192.0.2.1", "[::]", True), ("[::]", "[2001:db8::1]", False),
])  # fmt: skip
def test_unbound_finds_the_serial_where_zones_over_tls_and_in_clear_share_an_address(
    tmp_path: Path, tls: str, plain: str, *, warned: bool
) -> None:
    secondaries = [{"name": "lab", "addresses": ["127.0.0.1/32"], "unsigned": True}]
    listen = {"listen": [f"{plain}:53"], "listen_tls": [f"{tls}:853"], "certificate": "cert.pem"}
    rpz = {"zones": [{"origin": "a.example"}], "secondaries": secondaries, **listen, "private_key": "key.pem"}
    config = Config.model_validate({**settings(tmp_path), "rpz": rpz}, context={"folder": "/"})
    assert [found.key for found in host._zones_for_unbound(config)] == ["rpz.listen_tls[0]"] * warned


@pytest.mark.parametrize(("port", "serial", "unsigned", "warned"), [
    (853, 5354, True, True), (853, 53, True, False), (853, 5354, False, False), (8853, 5354, True, False),
])  # fmt: skip
def test_zones_over_tls_at_853_are_a_warning_where_unbound_takes_them(
    tmp_path: Path, port: int, serial: int, unsigned: bool, warned: bool
) -> None:
    secondary: dict[str, Any] = {"name": "one", "addresses": ["192.0.2.13/32"]}
    secondary |= {"unsigned": True} if unsigned else {"key": "secondary.key"}
    rpz = {
        "listen": [f"192.0.2.53:{serial}"], "listen_tls": [f"192.0.2.53:{port}"], "secondaries": [secondary],
        "certificate": "rpz.pem", "private_key": "rpz.key", "zones": [{"origin": "rpz.stopsign"}],
    }  # fmt: skip
    config = Config.model_validate({**settings(tmp_path), "rpz": rpz}, context={"folder": "/"})
    assert [found.key for found in host._zones_for_unbound(config)] == ["rpz.listen_tls[0]"] * warned


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "128.0.0.0/1", "::/0", "2000::/3"])
def test_an_open_resolver_is_a_warning_alone(everybody: str, tmp_path: Path) -> None:
    with upstream(NOERROR) as address:
        plain = settings(tmp_path)
        dns = {**plain["dns"], "upstreams": [address], "allow_clients": ["10.0.0.0/8", everybody]}
        text = yaml.safe_dump({**plain, "dns": dns, "lists": []})
        (status, [(_, level, key)]) = reported(tmp_path, text)
    assert (status, level, key) == (0, "warning", "dns.allow_clients[1]")


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (None, 0o600, "No such file or directory: no sealed list opens"),
        (b"junk", 0o600, "is no private key in PEM"),
        (b"junk", 0o644, "can be read by others than its owner"),
    ],
)
def test_a_key_of_sealed_lists_that_opens_none_is_an_error(
    tmp_path: Path, content: bytes | None, mode: int, why: str
) -> None:
    key = tmp_path / "sealed.key"
    if content is not None:
        key.write_bytes(content)
        key.chmod(mode)
    config = Config.model_validate({**settings(tmp_path), "sealed_key": str(key)}, context={"folder": "/"})
    (found,) = host._sealed_key(config)
    assert (found.key, found.fatal, why in found.message) == ("sealed_key", True, True), found
    key.unlink(missing_ok=True)
    keys.create(key)
    assert list(host._sealed_key(config)) == []


@pytest.mark.parametrize(
    ("of_list", "key"),
    [
        ({"explain": "json", "explained": "nodata"}, None),
        ({"explain": "json", "explained": "stop-page", "action": "nxdomain"}, None),
        ({"explain": "json", "explained": "nxdomain", "action": "nxdomain"}, None),
        ({"explain": "json", "explained": "nodata", "action": "nxdomain"}, "lists[0].explained"),
        ({"explain": "json", "explained": "nodata", "action": "monitor"}, "lists[0].explained"),
        ({"explained": "nodata"}, "lists[0].explained"),
        ({"explain": "text", "explained": "stop-page"}, "lists[0].explained"),
        ({}, None),
    ],
)
def test_explained_without_effect_is_a_warning(of_list: dict[str, str], key: str | None) -> None:
    assert [one for one, _ in of_reasons(of_list, "block@isp.example")] == ([] if key is None else [key])


@pytest.mark.parametrize(
    ("explain", "contact", "said"),
    [
        ("json", None, "is missing: the structured errors of a name nobody"),
        ("json", "https://isp.example/help", "'https://isp.example/help' is no mailbox"),
        ("json", "tel:+49-30-123456", None),
        ("text", None, None),
    ],
)
def test_structured_errors_without_a_contact_are_a_warning(explain: str, contact: str | None, said: str | None) -> None:
    found = of_reasons({"explain": explain}, contact)
    assert [key for key, _ in found] == ([] if said is None else ["provider.contact"])
    assert all(message.startswith(said or "") for _, message in found)


def of_reasons(of_list: dict[str, str], contact: str | None) -> list[tuple[str, str]]:
    """Keys and messages of the warnings about structured errors."""
    config = Config.model_validate(
        {
            "state_dir": "/x", "run_dir": "/y", "portal": {"url": "https://stop.isp.example"},
            "provider": {} if contact is None else {"contact": contact},
            "lists": [{"name": "a", "repository": "/l", "trusted_root": "/r", **of_list}],
        },
        context={"folder": "/"},
    )  # fmt: skip
    found = list(reasons(config))
    assert not any(one.fatal for one in found)
    return [(one.key, one.message) for one in found]
