"""A signed parent zone with a signed and an unsigned zone in it, as BIND serves them, and validators that ask Stopsign.

parent.test                              signed; a wildcard at *.wild
listed.parent.test, below.parent.test    signed, delegated with a DS
unsigned.parent.test                     not signed, delegated without a DS
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.conftest import find_program
from tests.rigs.dns_host import free_port, wait_until
from tests.rigs.resolvers import unbound_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

APEX = "parent.test"
OUTSIDE = "198.51.100.7"
HEAD = """$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 300
@ IN NS ns
ns IN A 127.0.0.1
www IN A 198.51.100.7
"""
SIGNED = ("listed", "below")
ZONES = {
    **{f"{child}.{APEX}": HEAD + "@ IN A 198.51.100.7\nok IN A 198.51.100.7\n" for child in (*SIGNED, "unsigned")},
    APEX: HEAD
    + "*.wild IN A 198.51.100.7\n"
    + "".join(f"{child} IN NS ns.{child}\nns.{child} IN A 127.0.0.1\n" for child in (*SIGNED, "unsigned")),
}


def sign(folder: Path) -> str:
    """Signs all but the unsigned zone, children first. Returns the trust anchor as a DNSKEY record."""
    anchor = ""
    for zone, text in ZONES.items():
        (folder / zone).write_text(text)
        if zone.startswith("unsigned"):
            shutil.copy(folder / zone, folder / f"{zone}.signed")
            continue
        key = _run(folder, "dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", zone).strip()
        if zone == APEX:
            (folder / zone).write_text(text + "".join((folder / f"dsset-{c}.{APEX}.").read_text() for c in SIGNED))
        # One key for everything; what is left of its life is no matter here.
        _run(folder, "dnssec-signzone", "-q", "-z", "-S", "-o", zone, "-f", f"{zone}.signed", zone)
        lines = (folder / f"{key}.key").read_text().splitlines()
        anchor = next(line for line in lines if not line.startswith(";"))
    return anchor


def _run(folder: Path, *command: str) -> str:
    path = find_program(command[0])
    assert path
    done = subprocess.run([path, *command[1:]], cwd=folder, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def served(folder: Path, command: list[str], answers: Callable[[], object], what: str) -> Iterator[None]:
    """A server, from its first answer on."""
    path = find_program(command[0])
    assert path
    log = folder / f"{command[0]}.log"
    with log.open("wb") as out:
        process = subprocess.Popen([path, *command[1:]], stdout=out, stderr=out, cwd=folder)
    try:
        wait_until(answers, f"{what} does not answer")
        yield
    except AssertionError as wrong:
        raise AssertionError(f"{wrong}\n{log.read_text(errors='replace')[-3000:]}") from wrong
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.kill()
            process.wait()


def named(folder: Path) -> tuple[list[str], int]:
    """BIND with the zones, willing to recurse, as any upstream is."""
    port = free_port()
    zones = "\n".join(f'zone "{zone}" {{ type primary; file "{zone}.signed"; }};' for zone in ZONES)
    (folder / "named.conf").write_text(f"""
options {{
    directory "{folder}"; pid-file none; session-keyfile none; listen-on-v6 {{ none; }};
    listen-on port {port} {{ 127.0.0.1; }}; recursion yes; dnssec-validation no; allow-query {{ any; }};
}};
controls {{ }};
{zones}
""")
    return ["named", "-g", "-c", str(folder / "named.conf"), "-n", "1"], port


def unbound(folder: Path, forward_to: int, anchor: str, *, aggressive: bool = False) -> tuple[list[str], int]:
    """Unbound, which validates what Stopsign answers."""
    port = free_port()
    server = [
        "ede: yes", f'trust-anchor: "{anchor}"', f"aggressive-nsec: {'yes' if aggressive else 'no'}",
        'local-zone: "test." nodefault',
    ]  # fmt: skip
    return unbound_command(folder, port, forward_to, server), port


def recursor(folder: Path, forward_to: int, _anchor: str) -> tuple[list[str], int]:
    """PowerDNS Recursor, likewise."""
    port = free_port()
    (folder / "recursor").mkdir()
    digest = next(line for line in (folder / f"dsset-{APEX}.").read_text().splitlines() if " 2 " in line)
    ds = digest.split("DS", 1)[1].strip().split(None, 3)
    (folder / "anchors.lua").write_text(f'addTA("{APEX}", "{ds[0]} {ds[1]} {ds[2]} {ds[3].replace(" ", "")}")\n')
    return [
        "pdns_recursor", f"--config-dir={folder}/recursor", f"--socket-dir={folder}/recursor", "--daemon=no",
        "--threads=1", "--local-address=127.0.0.1", f"--local-port={port}", "--allow-from=127.0.0.0/8",
        "--disable-syslog=yes", f"--forward-zones-recurse=.=127.0.0.1:{forward_to}", "--dont-query=",
        "--dnssec=validate", f"--lua-config-file={folder}/anchors.lua", "--hint-file=no", "--setuid=", "--setgid=",
        "--write-pid=no", "--security-poll-suffix=",
    ], port  # fmt: skip


def kresd(folder: Path, forward_to: int, anchor: str) -> tuple[list[str], int]:
    """Knot Resolver, likewise."""
    port = free_port()
    (folder / "kresd.conf").write_text(f"""
net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
cache.open(10 * MB, 'lmdb://{folder}/cache')
modules = {{ 'policy' }}
trust_anchors.add([[{anchor}]])
policy.add(policy.all(policy.FORWARD({{'127.0.0.1@{forward_to}'}})))
log_target('stderr')
""")
    (folder / "cache").mkdir()
    return ["kresd", "-n", "-c", str(folder / "kresd.conf"), str(folder)], port
