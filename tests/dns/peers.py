"""`make peers`, the clients: programs of Debian's next releases that ask Stopsign over encrypted DNS. Outside the gate.

    python -m tests.dns.peers [--suite trixie] [--suite sid] [--only NAME]

They are not of Debian 12, or would change a machine that they are installed on (systemd-resolved takes over
/etc/resolv.conf), or are too large to be fetched by each run of the gate. So each is unpacked into a folder
(`tests.rigs.debian`) and runs in a network of its own, where Stopsign listens at the ports that clients know: 53, 853,
443. One line a client; exits 1 where one meets no block, gets another answer than over UDP for a name that is not
blocked, or asks in clear.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import click
import dns.exception
import dns.resolver

from tests.rigs.blocking_host import BLOCKED, STOP_PAGE, blocking_host
from tests.rigs.certificates import NAME, Files, made
from tests.rigs.debian import PeersError, inside, tree
from tests.rigs.dns_host import Host, running
from tests.rigs.namespace import beside, in_a_network
from tests.rigs.resolvers import OUTSIDE, Outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE, FREE, PORT, PATIENCE = "198.51.100.1", "free.example", 5300, 120.0
SITES = (STOP_PAGE, socket.inet_ntoa(OUTSIDE))
TREES = Path("/var/tmp/stopsign-clients")  # outside the source tree: linters would read what is in it
CLEAR, SEALED = ("queries_udp4", "queries_tcp"), ("queries_tls", "queries_https")


@contextlib.contextmanager
def started(root: Path, folder: Path, files: Files, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the tree, which believes the test's root."""
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/usr/sbin", "SSL_CERT_FILE": str(files.root)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*inside(root), *command], env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def told(address: str, port: int) -> set[str]:
    """What a program's client hears of the blocked name and for another one."""
    client = dns.resolver.Resolver(configure=False)
    client.nameservers, client.port = [address], port
    found = set()
    for name in (BLOCKED, FREE):
        with contextlib.suppress(dns.exception.DNSException):
            found |= {record.to_text() for record in client.resolve(name, "A", lifetime=2)}
    return found


@contextlib.contextmanager
def dnsdist(root: Path, folder: Path, files: Files) -> Iterator[Callable[[], set[str]]]:
    """It knows the plain address, and upgrades by itself (RFC 9462)."""
    (folder / "dnsdist.conf").write_text(f"""
setLocal("127.0.0.1:{PORT}")
setSecurityPollSuffix("")
newServer({{address="{HERE}:53", autoUpgrade=true, caStore="{files.root}", checkName="health.stopsign.invalid."}})
""")
    command = ("dnsdist", "--supervised", "--disable-syslog", "-C", str(folder / "dnsdist.conf"))
    with started(root, folder, files, *command):
        yield lambda: told("127.0.0.1", PORT)


@contextlib.contextmanager
def resolved(root: Path, folder: Path, files: Files) -> Iterator[Callable[[], set[str]]]:
    """It is asked at its stub, without a bus."""
    (root / "etc/systemd/resolved.conf").write_text(
        f"[Resolve]\nDNS={HERE}#{NAME}\nDNSOverTLS=yes\nDNSSEC=no\nLLMNR=no\nMulticastDNS=no\nCache=no\nFallbackDNS=\n"
    )
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nsystemd-resolve:x:996:996::/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nsystemd-resolve:x:996:\n")
    (root / "run/systemd").mkdir(parents=True, exist_ok=True)
    with started(root, folder, files, "/usr/lib/systemd/systemd-resolved"):
        yield lambda: told("127.0.0.53", 53)


@contextlib.contextmanager
def firefox(root: Path, folder: Path, files: Files) -> Iterator[Callable[[], set[str]]]:
    """Its administrator's policies name the resolver. It goes where the answer leads: to the stop page, or to the site
    of the other name."""
    (program,) = (path for path in (root / "usr/lib").glob("firefox*") if (path / "application.ini").exists())
    template = f"https://{HERE}/dns-query"
    policies = {
        "Certificates": {"Install": [str(files.root)]},
        "DNSOverHTTPS": {"Enabled": True, "ProviderURL": template, "Locked": True, "Fallback": False},
        "DisableTelemetry": True, "DisableAppUpdate": True, "CaptivePortal": False, "NetworkPrediction": False,
        "OverrideFirstRunPage": "", "OverridePostUpdatePage": "",
    }  # fmt: skip
    (program / "distribution").mkdir(exist_ok=True)
    (program / "distribution/policies.json").write_text(json.dumps({"policies": policies}))
    (root / "etc/resolv.conf").write_text(f"nameserver {HERE}\n")
    came: set[tuple[str, str]] = set()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                came.add((self.headers["Host"], self.connection.getsockname()[0]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with contextlib.ExitStack() as ending:
        for address in SITES:
            site = ending.enter_context(ThreadingHTTPServer((address, 80), Site))
            threading.Thread(target=site.serve_forever, daemon=True).start()
            ending.callback(site.shutdown)
        (folder / "profile").mkdir()
        command = [f"/usr/lib/{program.name}/{program.name}", "--headless", "--no-remote", "--profile"]
        command += [str(folder / "profile"), f"http://{BLOCKED}/", f"http://{FREE}/"]
        ending.enter_context(started(root, folder, files, *command))
        yield lambda: {address for host, address in came if host in (BLOCKED, FREE)}


# How it is started, and by what it asks.
CLIENTS = {
    "dnsdist": (dnsdist, "queries_tls"),
    "systemd-resolved": (resolved, "queries_tls"),
    "firefox": (firefox, "queries_https"),
}
PACKAGES = {"trixie": {"firefox": "firefox-esr"}, "sid": {}}


def serving(folder: Path, files: Files) -> Host:
    encrypted = {
        "name": NAME, "certificate": str(files.certificate), "key": str(files.key), "tls": [f"{HERE}:853"],
        "https": {"listen": [f"{HERE}:443"]}, "quic": [f"{HERE}:853"],
    }  # fmt: skip
    return blocking_host(
        folder, {"encrypted": encrypted, "listen": [f"{HERE}:53"], "allow_clients": ["198.51.100.0/24"]}
    )


def wrong(name: str, root: Path, folder: Path) -> str | None:
    """What is wrong with that client; None: nothing."""
    files = made(folder / "tls", NAME, HERE)
    start, sealed = CLIENTS[name]
    (folder / "client").mkdir()
    with contextlib.closing(Outside()) as outside, beside(f"{HERE}/24", "198.51.100.2/24"):
        subprocess.run(["ip", "route", "add", "default", "via", "198.51.100.2"], check=True)
        host = serving(folder / "host", files)
        host.upstreams = [f"127.0.0.1:{outside.port}"]
        with running(host), start(root, folder / "client", files) as answers:
            wanted = told(HERE, 53)
            assert STOP_PAGE in wanted
            deadline = time.monotonic() + PATIENCE
            while True:
                before = host.counters()
                found = answers()
                time.sleep(0.5)  # after which they are counted
                after = host.counters()
                if found == wanted and after[sealed] > 0 and all(after[one] == before[one] for one in CLEAR):
                    return None
                if time.monotonic() > deadline:
                    asked = ", ".join(f"{one}: {after[one]}" for one in (*CLEAR, *SEALED))
                    said = (folder / "client/log").read_text(errors="replace")[-600:]
                    return f"it heard {sorted(found)}, over UDP {sorted(wanted)}; {asked}; {said}"


@click.command()
@click.option("--suite", "suites", multiple=True, type=click.Choice(list(PACKAGES)), help="[default: all]")
@click.option("--only", type=click.Choice(list(CLIENTS)), help="One client alone.")
@click.option("--trees", type=click.Path(path_type=Path), default=TREES, help="Where they are unpacked.")
def main(suites: tuple[str, ...], only: str | None, trees: Path) -> None:
    """Programs of Debian's newer releases ask Stopsign over encrypted DNS."""
    failed = 0
    for suite in suites or tuple(PACKAGES):
        packages = {name: PACKAGES[suite].get(name, name) for name in CLIENTS}
        try:
            root, versions = tree(suite, list(packages.values()), trees)
        except PeersError as error:
            sys.exit(f"peers: error: {error}")
        for name, package in packages.items():
            if only not in (None, name):
                continue
            folder = Path(tempfile.mkdtemp(prefix="stopsign-peers-"))
            folder.chmod(0o755)  # systemd-resolved reads the root's certificate as a user of its own
            what = in_a_network(partial(wrong, name, root, folder), [f"{address}/32" for address in SITES])
            shutil.rmtree(folder, ignore_errors=True)
            failed += what is not None
            result = "ok" if what is None else f"WRONG ({what})"
            click.echo(f"{time.strftime('%Y-%m-%d')} {suite} {package} {versions.get(package, '?')}: {result}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
