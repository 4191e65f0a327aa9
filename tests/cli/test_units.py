"""The systemd units: accepted by systemd itself, each in the sandbox that the operator's guide promises."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resolver.base.errors import ResolverError
from resolver.base.wings import WINGS
from resolver.cli import options
from resolver.cli.units import DROP_IN, of
from resolver.config.schema import load
from tests.rigs.dns_host import PATIENCE, Host

if TYPE_CHECKING:
    from resolver.config.schema import Config

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "systemd").glob("stopsign*.[st][oeai][crvm]*"))
LASTING = [unit for unit in UNITS if unit.suffix in (".service", ".socket") and not unit.with_suffix(".timer").exists()]
NEWER = ("RestartSteps", "RestartMaxDelaySec")
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units beside each other, their program being one that exists here."""
    directory = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace("/opt/stopsign/bin/stopsign", "/bin/true")
        (directory / unit.name).write_text(text, encoding="utf-8")
    for name, text in of(load(ROOT / "config" / "stopsign.yaml")).drop_ins.items():
        (directory / f"{name}.d").mkdir()
        (directory / f"{name}.d" / DROP_IN).write_text(text, encoding="utf-8")
    return directory


def test_there_is_a_unit_for_each_process_and_port() -> None:
    assert {unit.name for unit in UNITS} == {
        "stopsign.target",
        "stopsign-collect.service",
        "stopsign-collect.timer",
        "stopsign-dns.service",
        "stopsign-dns.socket",
        "stopsign-dns-tls.socket",
        "stopsign-dns-https.socket",
        "stopsign-dns-quic.socket",
        "stopsign-rpz.service",
        "stopsign-rpz.socket",
        "stopsign-rpz-tls.socket",
        "stopsign-steward.service",
        "stopsign-timestamp.service",
        "stopsign-timestamp.timer",
        "stopsign-web.service",
        "stopsign-web.socket",
    }


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(installed / unit.name) for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    # An older systemd says of what it does not know that it ignores it (253 and older: the growing pause).
    ignored = re.compile(rf"Unknown key (name )?'({'|'.join(NEWER)})' in section .Service., ignoring")
    ours = [line for line in checked.stderr.splitlines() if "stopsign" in line and not ignored.search(line)]
    assert (checked.returncode, ours) == (0, [])


@pytest.fixture(scope="module")
def of_north(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The templates as systemd reads them for the instance `north`, with users and folders."""
    root = tmp_path_factory.mktemp("instances")
    subprocess.run([sys.executable, ROOT / "packaging/instances.py", root / "units", root / "share"], check=True)
    for made in [*(root / "units").iterdir(), *(root / "share").iterdir()]:
        text = made.read_text(encoding="utf-8").replace("%i", "north").replace("NAME", "north")
        (root / made.name.replace("@.", "@north.")).write_text(text, encoding="utf-8")
    return root


def named_in(text: str) -> set[str]:
    """Paths, units, users, groups and credentials that a unit, sysusers or tmpfiles name outside comments."""
    said = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("#", "Description=")))
    return set(re.findall(r"[\w/.@%-]*stopsign[\w/.@%-]*", said))


def test_a_second_provider_on_the_host_shares_the_program_with_the_first_and_nothing_else(of_north: Path) -> None:
    sources = [unit for unit in (ROOT / "systemd").iterdir() if "timestamp" not in unit.name]
    first = set().union(*(named_in(unit.read_text(encoding="utf-8")) for unit in sources))
    second = set().union(*(named_in(unit.read_text(encoding="utf-8")) for unit in of_north.iterdir() if unit.is_file()))
    assert first & second == {"/opt/stopsign", "/opt/stopsign/bin/stopsign"}
    assert all("north" in name for name in second - first), "a name that no other instance has"
    users = dict.fromkeys(name for name in second if re.fullmatch(r"stopsign-north(-[a-z]+)?", name))
    assert set(users) == {"stopsign-north", *(f"stopsign-north-{wing}" for wing in ("dns", "steward", "web", "rpz"))}


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units_of_an_instance(of_north: Path, tmp_path: Path) -> None:
    for unit in (of_north / "units").iterdir():
        text = unit.read_text(encoding="utf-8").replace("/opt/stopsign/bin/stopsign", "/bin/true")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"{tmp_path}/stopsign@north.target",
         *(f"{tmp_path}/{unit.name.replace('@', '@north')}" for unit in (of_north / "units").iterdir())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ignored = re.compile(rf"Unknown key (name )?'({'|'.join(NEWER)})' in section .Service., ignoring")
    ours = [line for line in checked.stderr.splitlines() if "stopsign" in line and not ignored.search(line)]
    assert (checked.returncode, ours) == (0, [])


def of_instance(tmp_path: Path, **changed: str) -> Config:
    paths = {"state_dir": "/var/lib/stopsign-north", "run_dir": "/run/stopsign-north", **changed}
    text = (ROOT / "config" / "stopsign.yaml").read_text(encoding="utf-8")
    for key, value in paths.items():
        text = re.sub(rf"(?m)^(\s*{key}:).*", rf"\1 {value}", text)
    file = tmp_path / "stopsign.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def test_the_drop_ins_of_an_instance_are_for_its_own_units(tmp_path: Path) -> None:
    made = of(of_instance(tmp_path, database="sqlite:////var/lib/stopsign-north-web/portal.db"))
    assert all("@north." in unit for unit in (*made.drop_ins, *made.enable))
    assert "stopsign@north.target" in made.enable
    assert len(made.hints) == 1
    assert not [text for text in made.drop_ins.values() if "ReadWritePaths" in text], (
        "its folders are those of its units"
    )


def test_who_can_read_the_web_unit_s_password_needs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = of_instance(tmp_path, database="postgresql://stopsign@db/appeals")
    monkeypatch.setattr(options, "CREDENTIALS", tmp_path)
    own = str(tmp_path / "pgpass")
    monkeypatch.setenv("PGPASSFILE", own)
    given = tmp_path / "stopsign-north.pgpass"
    given.write_text("db:5432:appeals:stopsign:secret\n", encoding="utf-8")
    options.use_password(config)
    assert os.environ["PGPASSFILE"] == own
    monkeypatch.delenv("PGPASSFILE")
    options.use_password(config)
    assert os.environ["PGPASSFILE"] == str(given)


@pytest.mark.parametrize(("key", "value"), [
    ("database", "sqlite:////var/lib/stopsign-web/portal.db"), ("state_dir", "/var/lib/stopsign"),
    ("state_dir", "/var/lib/stopsign-south"), ("database", "sqlite:////var/lib/stopsign-south-web/portal.db"),
])  # fmt: skip
def test_an_instance_that_would_write_to_another_s_folder_is_refused(tmp_path: Path, key: str, value: str) -> None:
    config = of_instance(tmp_path, **{"database": "sqlite:////var/lib/stopsign-north-web/portal.db", key: value})
    with pytest.raises(ResolverError, match="another provider"):
        of(config)


@pytest.mark.parametrize(("run_dir", "instance"), [
    ("/run/stopsign-north", "north"), ("/run/stopsign", ""), ("/run/stopsign-web", ""), ("/run/stopsign-a-b", ""),
    ("/run/stopsign-aaaaaaaaaaaaaaa", ""), ("/srv/run/stopsign-north", ""),
])  # fmt: skip
def test_an_instance_is_named_by_its_run_dir(tmp_path: Path, run_dir: str, instance: str) -> None:
    assert of_instance(tmp_path, run_dir=run_dir).places.instance == instance


def settings(unit: Path) -> dict[str, str]:
    lines = [line for line in unit.read_text(encoding="utf-8").splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def seconds(text: str) -> float:
    return float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


@pytest.mark.parametrize("unit", LASTING, ids=lambda unit: unit.name)
def test_no_unit_is_ever_given_up_whatever_it_dies_of(unit: Path) -> None:
    """systemd's own limits (five starts in 10 s, twenty triggers in 2 s) leave a unit failed until a person comes, and
    a service that hit its limit takes its socket unit along: the port closes."""
    said = settings(unit)
    assert said["StartLimitIntervalSec"] == "0"
    if unit.suffix == ".socket":
        assert said["TriggerLimitIntervalSec"] == "0"
        return
    assert said["Restart"] == "always"
    first, most = seconds(said["RestartSec"]), seconds(said["RestartMaxDelaySec"])
    assert first < most, "the pause grows"
    # It never shrinks again by itself (systemd counts restarts since somebody started the unit), so that what waits in
    # the sockets of DNS must bear the longest one: no client waits more than 5 s for an answer.
    assert most <= (5 if unit.name == "stopsign-dns.service" else 30)
    assert int(said["RestartSteps"]) > 0


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("service", SERVICES, ids=lambda unit: unit.name)
def test_each_service_has_the_exposure_that_the_guide_says(service: Path, installed: Path) -> None:
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(installed / service.name)],
        capture_output=True,
        text=True,
        check=True,
    )
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    guide = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    (promised,) = re.findall(rf"^\| `{re.escape(service.name)}`.*\| ([\d.]+) \|$", guide, re.MULTILINE)
    # Each release of systemd weighs a little differently.
    assert float(exposure) == pytest.approx(float(promised), abs=0.25)


CONFINED = """
import ctypes, os, sys
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
kept = ctypes.c_void_p(seccomp.seccomp_init(KILL_PROCESS))
for name in sys.argv[1].split():
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:  # else it is one of another processor's
        assert seccomp.seccomp_rule_add(kept, ALLOW, number, 0) == 0
assert seccomp.seccomp_load(kept) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""


def system_calls(unit: Path) -> set[str]:
    """What the unit's filter leaves, its sets taken apart by systemd."""

    def of(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        listed = subprocess.run(
            ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        return set().union(*(of(line.strip()) for line in listed[1:] if line.strip() and "#" not in line))

    allowed = of("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE):
        named = set().union(*(of(name) for name in line.removeprefix("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("wing", WINGS)
def test_each_wing_lives_under_the_system_call_filter_of_its_unit(wing: str, tmp_path: Path) -> None:
    """A call that the filter does not know would end it with SIGSYS."""
    allowed = system_calls(ROOT / "systemd" / f"stopsign-{wing}.service")
    assert "sendmmsg" in allowed
    assert "setpriority" not in allowed
    if os.geteuid() == 0:  # whom no unit runs as: root gives a file to whom its folder belongs
        allowed.add("fchown")
    more = {
        "stop_page": {"ipv4": "192.0.2.66", "listen": ["127.0.0.1:0"]},
        "rpz": {"listen": ["127.0.0.1:0"], "zones": [{"origin": "rpz.example"}]},
    }
    host = Host(tmp_path, ["127.0.0.1:9"], more=more)
    host.write_config()
    command = [sys.executable, "-P", "-m", "resolver.cli.main", "run", "--config", str(host.config), "--only", wing]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        process = subprocess.Popen(
            [sys.executable, "-c", CONFINED, " ".join(sorted(allowed)), *command],
            env={**os.environ, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="acts as two users")
def test_dns_writes_beside_the_steward_s_files_and_replaces_none() -> None:
    """In a folder as systemd-tmpfiles makes it, also where a worker was taken over."""
    tmpfiles = (ROOT / "systemd/stopsign.tmpfiles").read_text()
    line = re.search(r"^d /run/stopsign +(\d+) ", tmpfiles, re.MULTILINE)
    assert line is not None
    assert re.search(r"^d /run/stopsign/generations +0755 stopsign-steward ", tmpfiles, re.MULTILINE)
    dns, steward = 60_101, 60_102
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is root's alone
        run = Path(folder) / "run"
        run.mkdir()
        os.chown(run, steward, dns)
        run.chmod(int(line[1], 8))
        Path(folder).chmod(0o755)

        def acted(user: int, command: list[str]) -> bool:
            done = subprocess.run(command, user=user, group=user, extra_groups=[], capture_output=True, check=False)
            return done.returncode == 0

        def wrote(user: int, name: str, text: str) -> bool:
            """Whether the user could put a file of its own under the name, as the program does."""
            write = 'printf %s "$2" > "$1.$$.new" && { mv -fT "$1.$$.new" "$1" || { rm "$1.$$.new"; exit 1; }; }'
            return acted(user, ["sh", "-c", write, "-", str(run / name), text])

        for name in ("current.list", "passes.json"):
            assert wrote(steward, name, "the steward's")
            assert not wrote(dns, name, "a worker's")
            assert not acted(dns, ["rm", "-f", str(run / name)])
            assert wrote(steward, name, "later")
            assert (run / name).read_text() == "later"
        assert wrote(dns, "addresses.json", "one")
        assert wrote(dns, "addresses.json", "two")
        assert wrote(steward, "addresses.json", "a worker cannot keep a name from the steward")
        assert sorted(path.name for path in run.iterdir()) == ["addresses.json", "current.list", "passes.json"]


def test_systemd_is_to_open_a_udp_and_a_tcp_socket_a_worker_and_address(tmp_path: Path) -> None:
    config = tmp_path / "stopsign.yaml"
    config.write_text(
        "{state_dir: state, run_dir: run, portal: {url: 'http://127.0.0.1'}, stop_page: {listen: ['192.0.2.66:80']},"
        " dns: {listen: ['192.0.2.53:53', '[2001:db8::53]:53'], workers: 3, upstreams: [127.0.0.1], allow_clients: []}}"
    )
    made = {unit: text.splitlines() for unit, text in of(load(config)).drop_ins.items()}
    dns = made["stopsign-dns.socket"]
    assert dns[1:4] == ["[Socket]", "ListenDatagram=", "ListenStream="], "what the unit itself says is taken back"
    for address in ("192.0.2.53:53", "[2001:db8::53]:53"):
        assert (dns.count(f"ListenDatagram={address}"), dns.count(f"ListenStream={address}")) == (3, 3)
    assert made["stopsign-web.socket"][1:] == ["[Socket]", "ListenStream=", "ListenStream=192.0.2.66:80"]
    assert made["stopsign-dns.service"][1:3] == ["[Service]", "Sockets=stopsign-dns.socket"]


def test_a_start_of_the_service_opens_the_sockets_that_encrypted_dns_has_made_needed(tmp_path: Path) -> None:
    """What `systemctl restart stopsign-dns` then does was tried with systemd 252 and 257 under traffic."""
    text = (ROOT / "config" / "stopsign.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^  # (encrypted:|  (?:name|certificate|key|tls|addresses|https|quic):)", r"  \1", text)
    (tmp_path / "stopsign.yaml").write_text(text, encoding="utf-8")
    made = of(load(tmp_path / "stopsign.yaml"))
    units = [f"stopsign-dns{kind}.socket" for kind in ("", "-tls", "-https", "-quic")]
    assert f"Sockets={' '.join(units)}\n" in made.drop_ins["stopsign-dns.service"]
    assert "Sockets=stopsign-web.socket\n" in made.drop_ins["stopsign-web.service"]
    first, new = made.hints
    assert first.endswith(f"systemctl enable --now {' '.join(units)} stopsign-web.socket stopsign.target")
    opens = f"systemctl enable {' '.join(units[1:])}; systemctl restart stopsign-dns"
    assert new.endswith(f"are new: systemctl daemon-reload; {opens}")


ZONES_ALONE = """
state_dir: /var/lib/stopsign
run_dir: /run/stopsign
portal: {url: "https://stop.isp.example", database: "sqlite:///var/lib/stopsign-web/portal.db"}
stop_page: {listen: ["192.0.2.66:80"]}
rpz:
  listen: ["192.0.2.53:5354"]
  zones: [{origin: rpz.stopsign, file: /var/lib/stopsign-zones/rpz.stopsign.zone}]
  counts: [{dnstap: /run/stopsign/rpz/bind.dnstap}, {dnstap: "/srv/tap of bind/100%.sock"}]
"""


def test_a_host_for_policy_zones_alone_opens_what_it_names_and_starts_no_dns(tmp_path: Path) -> None:
    config = tmp_path / "stopsign.yaml"
    config.write_text(ZONES_ALONE)
    made = of(load(config))
    rpz = made.drop_ins["stopsign-rpz.socket"].splitlines()[1:]
    assert rpz == [
        "[Socket]",
        "ListenDatagram=",
        "ListenStream=",
        *(f"Listen{kind}=192.0.2.53:5354" for kind in ("Datagram", "Stream")),
    ]
    assert "ConditionPathExists=!/" in made.drop_ins["stopsign-rpz-tls.socket"]
    assert "ConditionPathExists=!/" in made.drop_ins["stopsign-dns.service"]
    assert made.drop_ins["stopsign-rpz.service"].splitlines()[1:] == [
        "[Service]",
        "Sockets=stopsign-rpz.socket",
        'ReadWritePaths=/var/lib/stopsign-zones "/srv/tap of bind"',
    ]
    assert len(made.drop_ins["stopsign-steward.service"].splitlines()) == 1, "what its unit says is enough"
    assert made.drop_ins["stopsign-web.service"].splitlines()[1:] == ["[Service]", "Sockets=stopsign-web.socket"]
    assert made.enable == ("stopsign-web.socket", "stopsign-rpz.socket", "stopsign-rpz.service", "stopsign.target")


def test_a_host_without_zones_starts_none_of_their_units(tmp_path: Path) -> None:
    config = tmp_path / "stopsign.yaml"
    config.write_text(
        "{state_dir: state, run_dir: /run/stopsign, portal: {url: 'http://127.0.0.1'},"
        " dns: {listen: ['192.0.2.53:53'], upstreams: [127.0.0.1], allow_clients: []},"
        " rpz: {listen: ['192.0.2.1:5354']}}"
    )
    made = of(load(config))
    assert made.enable == ("stopsign-dns.socket", "stopsign.target")
    for unit in ("stopsign-rpz.socket", "stopsign-rpz.service", "stopsign-web.socket"):
        assert made.drop_ins[unit].endswith("ConditionPathExists=!/\n")
    assert f"ReadWritePaths={tmp_path / 'state'}" in made.drop_ins["stopsign-steward.service"], "a folder of its own"


def test_no_file_opens_the_folder_of_another_process_to_a_sandbox(tmp_path: Path) -> None:
    config = tmp_path / "stopsign.yaml"
    config.write_text(ZONES_ALONE.replace("-web/portal.db", "/portal.db").replace("-zones/rpz", "/rpz"))
    made = of(load(config))
    assert "ReadWritePaths" not in made.drop_ins["stopsign-web.service"]
    assert made.drop_ins["stopsign-rpz.service"].splitlines()[-1] == 'ReadWritePaths="/srv/tap of bind"'


def test_the_units_as_shipped_serve_zones_and_encrypted_dns_to_this_host_alone() -> None:
    for unit in (
        "stopsign-rpz.socket",
        "stopsign-rpz-tls.socket",
        "stopsign-dns-tls.socket",
        "stopsign-dns-https.socket",
        "stopsign-dns-quic.socket",
    ):
        text = (ROOT / "systemd" / unit).read_text(encoding="utf-8")
        assert {address.rpartition(":")[0] for address in re.findall(r"^Listen\w+=(.+)$", text, re.MULTILINE)} == {
            "127.0.0.1",
            "[::1]",
        }
