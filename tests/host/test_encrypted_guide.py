"""The guide's chapter on encrypted DNS, typed as it stands there: from a certificate to clients that upgrade."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import dns.nameserver
import dns.resolver
import pytest
import yaml

from tests.conftest import find_program
from tests.rigs.certificates import made
from tests.rigs.dns_host import PATIENCE, ROOT, Host, running
from tests.rigs.namespace import in_a_network, see
from tests.rigs.resolvers import Outside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE, SITE = "192.0.2.53", "198.51.100.7"
ROOTS = "/etc/ssl/certs/ca-certificates.crt"
GROUP = "stopsign-dns"


def chapter() -> tuple[dict[str, Any], list[str]]:
    """Its configuration, and the commands in their order."""
    guide = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    text = guide.partition("## Encrypted DNS\n")[2].partition("\n## ")[0]
    (settings,) = re.findall(r"(?m)^    dns:\n(?:^     .*\n)+", text)
    return yaml.safe_load(textwrap.dedent(settings))["dns"], re.findall(r"(?m)^ {7}(\S.*)$", text)


@contextlib.contextmanager
def site() -> Iterator[list[str]]:
    """A page that says its host's name; the first line of each request."""
    heard: list[str] = []

    class Page(BaseHTTPRequestHandler):
        wbufsize = -1  # headers and page at once
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            page = self.headers["Host"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            heard.append(self.requestline)

    with HTTPServer((SITE, 80), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield heard
        finally:
            server.shutdown()
            thread.join()


class Machine:
    """`typed`: what each command printed; `heard`: what the site was asked."""

    def __init__(
        self, folder: Path, host: Host, root: Path, ending: contextlib.ExitStack, heard: list[str]
    ) -> None:  # fmt: skip
        self._folder, self._host, self._root, self._ending, self._heard = folder, host, root, ending, heard
        self.typed: dict[str, str] = {}
        (folder / ".curlrc").write_text("verbose\n")  # for the case that it fails

    def type(self, line: str) -> None:
        """What systemd would do is done here: a restart of the service is a start, with sockets of its own."""
        program, *words = shlex.split(line.replace("/etc/", f"{self._folder}/etc/").replace(f"-g {GROUP} ", ""))
        if program == "systemctl":
            if words[0] == "restart":
                self._ending.enter_context(running(self._host))
            return
        command = [find_program(program) or program, *words]
        if program == "stopsign":
            command = [sys.executable, "-P", "-m", "resolver.cli.main", *words, "--config", str(self._host.config)]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(self._root)}
        environment["CURL_HOME"] = str(self._folder)
        done = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True,
            text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        seen = line, done.stdout, done.stderr, self._heard, self._host.process and self._host.log
        assert done.returncode == 0, "\n".join(map(str, seen))
        self.typed[line] = done.stdout + done.stderr


@pytest.mark.needs("kdig", "curl", "ip")
def test_the_chapter_leads_from_a_certificate_to_clients_that_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, commands = chapter()
    encrypted = settings["encrypted"]
    files = made(tmp_path / "acme", encrypted["name"], *map(str, encrypted["addresses"]))
    (tmp_path / "fullchain.pem").write_bytes(files.certificate.read_bytes())
    (tmp_path / "privkey.pem").write_bytes(files.key.read_bytes())
    (tmp_path / "etc/stopsign").mkdir(parents=True)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(files.root))
    for key in ("certificate", "key"):
        encrypted[key] = str(tmp_path) + encrypted[key]

    def scene() -> tuple[dict[str, str], list[object]]:
        see({"/etc/hosts": "127.0.0.1 localhost\n", ROOTS: files.root.read_text(encoding="ascii")}, tmp_path)
        outside = Outside()
        dns_of = {"listen": [f"{HERE}:53"], "allow_clients": ["192.0.2.0/24"], **settings}
        host = Host(tmp_path / "host", [f"127.0.0.1:{outside.port}"], more={"dns": dns_of})
        host.folder.mkdir()
        host.write_config()
        with contextlib.ExitStack() as ending:
            ending.callback(outside.close)
            machine = Machine(tmp_path, host, files.root, ending, ending.enter_context(site()))
            for line in commands:
                machine.type(line)
            client = dns.resolver.Resolver(configure=False)
            client.nameservers = [HERE]
            client.try_ddr(lifetime=20)
            (record,) = client.resolve("example.com", "A", lifetime=20)
            assert record.to_text() == SITE
            return machine.typed, list(client.nameservers)

    typed, servers = in_a_network(scene, [f"{HERE}/32", f"{SITE}/32"])
    asked = [said for line, said in typed.items() if line.startswith("kdig") and line.endswith("example.com")]
    for said, spoken in zip(asked, ("TLS1.3", "HTTP/2", "QUICv1"), strict=True):
        assert spoken in said
        assert SITE in said
    assert next(said for line, said in typed.items() if line.startswith("curl")).startswith("example.com")
    assert SITE in typed[f"stopsign ask example.com --over quic --server {HERE} --server-name dns.isp.example"]
    assert len(re.findall(r"SVCB\t\d dns\.isp\.example\. alpn=", typed[f"kdig @{HERE} _dns.resolver.arpa SVCB"])) == 3
    assert "For the public zone:" in typed["stopsign discovery"]
    assert "Sockets=stopsign-dns.socket stopsign-dns-tls.socket" in (
        tmp_path / "etc/systemd/system/stopsign-dns.service.d/10-listen.conf"
    ).read_text(encoding="utf-8")
    assert any(isinstance(server, dns.nameserver.DoTNameserver) for server in servers), servers
