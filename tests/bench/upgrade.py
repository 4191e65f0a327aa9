"""`python -m tests.bench.upgrade --root DIR --deb FILE`: the Debian package exchanged under load, on a whole Debian.

Enters: a root that debootstrap made, which stays as it is, and the package that `make deb` made. Leaves: one line of
JSON for each way to come to another program: sent, lost, wrong, latencies, how long it took, which version ran before
and after, and whether the sockets are the same ones. It is what docs/operator.md says, in a container of
systemd-nspawn: install, `stopsign units`, enable; then, while `core/load` asks, `apt install` of a package that differs
in its version, and `systemctl restart`. Needs root.

    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3 bookworm DIR
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from resolver.cli.demo import tree
from resolver.config.schema import Endpoint
from tests.rigs.dns_host import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKETS, WINDOW, WORKERS = 32, 60_000, 2
SHARED = Path("/srv")  # where the machine sees the folder that is made here


class Machine:
    """A Debian that runs in a container; `run` does something on it."""

    def __init__(self, container: int) -> None:
        self._children = Path(f"/proc/{container}/task/{container}/children")

    def command(self, *words: object) -> list[str]:
        # Looked for each time: the first child is not the machine's init, but makes it.
        init = next(iter(self._children.read_text().split()), "0")
        return ["nsenter", "--target", init, "--all", *map(str, words)]

    def run(self, *words: object) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout


@contextlib.contextmanager
def booted(root: Path, shared: Path) -> Iterator[Machine]:
    """What is written goes to memory, and is gone at the end."""
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--directory", str(root), "--boot"]
    command += ["--volatile=overlay", "--private-network", f"--bind={shared}:{SHARED}", "--console=pipe"]
    with (shared / "console").open("wb") as console:
        container = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
    try:
        machine = Machine(container.pid)

        def up() -> bool:
            ask = machine.command("systemctl", "is-system-running")
            return subprocess.run(ask, capture_output=True, check=False).stdout.strip() in {b"running", b"degraded"}

        wait_until(up, "the machine boots")
        yield machine
    finally:
        container.send_signal(signal.SIGTERM)
        try:
            container.wait(30)
        except subprocess.TimeoutExpired:
            container.kill()
            container.wait()


def other_version(deb: Path, folder: Path) -> Path:
    """The same package with a higher version, so that one sees which program runs."""
    unpacked = folder / "unpacked"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, unpacked], check=True)
    for path in (
        unpacked / "DEBIAN/control",
        *unpacked.glob("opt/stopsign/lib/python3*/site-packages/stopsign-*/METADATA"),
    ):
        path.write_text(path.read_text().replace("\nVersion: ", "\nVersion: 1000.", 1))
    made = folder / "new.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", unpacked, made],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(unpacked)
    return made


def prepare(shared: Path, deb: Path) -> None:
    """Both packages, the load, a published list, the configuration."""
    build = ["cargo", "build", "--release", "--locked", "--quiet", "--package", "load"]
    subprocess.run(build, cwd=ROOT / "core", check=True)
    shutil.copy(ROOT / "core/target/release/load", shared / "load")
    shutil.copy(deb, shared / "old.deb")
    other_version(deb, shared)
    local = Endpoint("127.0.0.1", 53)
    made = tree.plant(shared / "tree", [], ports=tree.Ports(local, local, local), upstream=local, workers=WORKERS)
    settings = yaml.safe_load((ROOT / "config/stopsign.yaml").read_text())
    settings["provider"].pop("help_lines")
    settings["dns"] |= {"listen": ["0.0.0.0:53"], "workers": WORKERS, "allow_clients": ["127.0.0.0/8"]}
    settings["dns"]["limits"] = {"per_client": WINDOW}  # all of the load is one client
    settings["stop_page"]["listen"] = ["0.0.0.0:80"]
    settings["rpz"] = {
        "listen": ["0.0.0.0:5354"],
        "zones": [{}],
        "counts": [{"dnstap": "/run/stopsign/rpz/one.dnstap"}],
    }
    one = yaml.safe_load(made.config.read_text())["lists"][0]
    settings["lists"] = [
        one | {"repository": f"{SHARED}/tree/published", "trusted_root": f"{SHARED}/tree/issuer/root.json"}
    ]
    (shared / "stopsign.yaml").write_text(yaml.safe_dump(settings))
    lines = [f"www{n}.lucky-wheel.example A\nwww.zone{n}.example{n % 50}.net A" for n in range(2_000)]
    (shared / "queries").write_text("\n".join(lines) + "\n")
    for path in (shared, *shared.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def install(machine: Machine) -> None:
    """As the operator's guide has it."""
    machine.run("apt-get", "install", "--yes", f"{SHARED}/old.deb")
    machine.run("cp", f"{SHARED}/stopsign.yaml", "/etc/stopsign/stopsign.yaml")
    machine.run("stopsign", "units", "--output", "/etc/systemd/system")
    machine.run("systemctl", "daemon-reload")
    units = (
        "stopsign-dns.socket",
        "stopsign-web.socket",
        "stopsign.target",
        "stopsign-rpz.socket",
        "stopsign-rpz.service",
    )
    machine.run("systemctl", "enable", "--quiet", "--now", *units)

    def well() -> bool:
        said = status(machine)
        return all(worker["entries"] for worker in said["workers"]) and all(zone["serial"] for zone in said["zones"])

    wait_until(well, "the list is live")


def status(machine: Machine) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(machine.run("stopsign", "status", "--json"))
    return answer


def versions(machine: Machine) -> dict[str, str]:
    """Which program each process runs, as it says itself."""
    program = """if True:
        import json
        from pathlib import Path
        from resolver.config.schema import load
        from resolver.ipc.control import call
        places = load(Path("/etc/stopsign/stopsign.yaml")).places
        paths = [places.supervisor_socket, places.control_socket, places.web_socket, places.rpz_socket]
        print(json.dumps({path.stem: call(path, "status")["version"] for path in paths}))
    """
    found: dict[str, str] = json.loads(machine.run("/opt/stopsign/bin/python", "-c", program))
    return found


def sockets(machine: Machine) -> list[str]:
    """The inodes of what listens on port 53 over UDP."""
    lines = machine.run("cat", "/proc/net/udp").splitlines()[1:]
    return sorted(line.split()[9] for line in lines if line.split()[1].endswith(":0035"))


def measure(machine: Machine, way: list[str], rate: int, seconds: float) -> dict[str, Any]:
    wait_until(lambda: not status(machine)["alarms"], "all is well")
    before, held = versions(machine), sockets(machine)
    ask = [SHARED / "load", "ask", "127.0.0.1:53", SHARED / "queries", "--rate", rate, "--seconds", seconds]
    ask += ["--sockets", SOCKETS, "--window", WINDOW]
    load = subprocess.Popen(machine.command(*ask), stdout=subprocess.PIPE, text=True)
    time.sleep(seconds / 10)
    began = time.monotonic()
    machine.run(*way)
    took = time.monotonic() - began
    said, _ = load.communicate(timeout=seconds + 60)
    assert took < seconds, "the load ended before the new program served"
    wait_until(lambda: not status(machine)["alarms"], "all is well again")
    return {
        "way": " ".join(way), "took_s": round(took, 1), **json.loads(said), "before": before,
        "after": versions(machine), "same_sockets": sockets(machine) == held,
    }  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--root", type=Path, required=True, help="a Debian, made with debootstrap")
    options.add_argument("--deb", type=Path, required=True, help="the package")
    options.add_argument("--rate", type=int, default=20_000, help="queries a second")
    options.add_argument("--seconds", type=float, default=60.0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="stopsign-upgrade-") as made:
        shared = Path(made)
        prepare(shared, given.deb)
        with booted(given.root, shared) as machine:
            install(machine)
            answering = subprocess.Popen(machine.command(SHARED / "load", "answer", "127.0.0.1:5335", "198.51.100.7"))
            try:
                for way in (
                    ["apt-get", "install", "--yes", f"{SHARED}/new.deb"],
                    ["systemctl", "restart", "stopsign-dns"],
                ):
                    print(json.dumps(measure(machine, way, given.rate, given.seconds)), flush=True)
            finally:
                answering.kill()
                answering.wait()


if __name__ == "__main__":
    main()
