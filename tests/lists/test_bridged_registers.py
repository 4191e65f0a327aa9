"""docs/lists.md: a register as it is really served, bridged with the ground of each of its rows."""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pytest
import yaml
from click.testing import CliRunner

from blocklists.download import How, Signature, download, newest_link
from blocklists.errors import VerifyError
from blocklists.fetch import Deadline
from blocklists.importers import formats
from blocklists.issuer.command import issuer
from blocklists.web import Access
from resolver.cli.main import stopsign
from resolver.config.schema import Config
from resolver.lists.fetch import Mirror
from resolver.lists.protected import own
from resolver.policy.explain import explain
from tests.rigs import certificates
from tests.rigs.dns_host import ROOT
from tests.rigs.http_folder import Quiet, served
from tests.rigs.lists_world import Clock, World, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDE = (ROOT / "docs/lists.md").read_text(encoding="utf-8")
REGISTER = """<?xml version="1.0" encoding="utf-8"?>
<register xmlns="urn:example:register">
<entry since="2026-07-01T00:30:00"><domain>casino.example</domain>
<decision number="17/2026" date="2026-06-01" office="Board"/></entry>
<entry since="2026-07-02T00:30:00"><domain>bets.example</domain>
<decision number="18/2026" date="2026-06-02" office="Court"/></entry>
<entry since="2020-07-01T00:30:00"><domain>old.example</domain>
<decision number="1/2020" date="2020-06-01" office="Board"/><deleted>2021-01-01T00:00:00</deleted></entry>
</register>
"""


@contextmanager
def asking_for_certificates(folder: Path, files: certificates.Files) -> Iterator[str]:
    """The folder over HTTPS on loopback, for clients with a certificate of this root."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.root)
    context.verify_mode = ssl.CERT_REQUIRED

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client without a certificate: the test sees its refusal."""

    with Server(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_the_guide_s_register_is_bridged_by_client_certificate_with_the_ground_of_each_row(tmp_path: Path) -> None:
    (found,) = [block for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "client.pem" in block]
    files = certificates.made(tmp_path / "pki", "127.0.0.1")
    web = tmp_path / "web" / "export"
    web.mkdir(parents=True)

    def publish(text: str) -> None:
        (web / "register.xml").write_text(text)
        (web / "register.xml.sha256").write_text(hashlib.sha256(text.encode()).hexdigest() + "  register.xml\n")

    publish(REGISTER)
    for name, path in {
        "register-ca.pem": files.root, "client.pem": files.certificate, "client.key": files.key,
    }.items():  # fmt: skip
        found = found.replace(f"/etc/stopsign/{name}", str(path))
    with asking_for_certificates(tmp_path / "web", files) as base:
        (part,) = yaml.safe_load(found.replace("https://register.example", base))["lists"]
        plain = settings(tmp_path, gambling={})
        plain["lists"] = [{**part, "approve_first": True}]
        config = Config.model_validate(plain, context={"folder": "/"})
        # the command reads the real clock, and what is bridged ends within weeks
        world = World(tmp_path, Clock(time.time()), lists={"gambling": {}}, more={"lists": plain["lists"]})
        mirror = Mirror(config.lists[0], config.places.list("gambling"), dict(own(config)))
        assert world.register.take(mirror.fetch(world.clock())).kind == "active"

        (tmp_path / "stopsign.yaml").write_text(yaml.safe_dump(plain))
        typed = ["explain", "www.casino.example", "--config", str(tmp_path / "stopsign.yaml")]
        told = CliRunner().invoke(stopsign, typed)
        for said in ("stopped", "17/2026", "2026-06-01", "Board", "Gambling Act"):
            assert said in told.stdout, told.output
        casino = explain(config, "www.casino.example", now=world.clock()).entries[0]
        assert tuple(casino.basis[key] for key in ("order", "date", "authority")) == ("17/2026", "2026-06-01", "Board")
        assert (casino.basis["law"], casino.issued) == ("Gambling Act", "2026-06-30T22:30:00Z")
        bets = explain(config, "bets.example", now=world.clock()).entries[0]
        assert (bets.basis["order"], bets.basis["authority"]) == ("18/2026", "Court")
        assert explain(config, "old.example", now=world.clock()).verdict == "not listed"

        (web / "register.xml").write_text(REGISTER.replace("casino", "kasino"))  # not what the checksum says
        held = mirror.fetch(world.clock() + 86400)
        assert held.trouble is not None
        assert (held.trouble.reason, held.entries) == ("hash-mismatch", 2)  # on_expiry: hold
        stranger = How(Access(ca=files.root))
        with pytest.raises(VerifyError) as refused:
            download(f"{base}/export/register.xml", tmp_path / "x", stranger, Deadline(20), most=1 << 20)
        assert refused.value.reason == "unreachable"


class Guarded(Quiet):
    """Asks for a token, redirects, and links to dated files."""

    def do_GET(self) -> None:  # noqa: N802 - the name in the base class
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", unquote(self.path.partition("?")[2]) or "/list_20260101.txt?today=1")
            self.end_headers()
        elif self.headers.get("Authorization") != "Bearer secret":
            self.send_error(401)
        else:
            self.path = self.path.partition("?")[0]
            super().do_GET()


@contextmanager
def guarded(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Guarded, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_token_redirects_and_the_newest_link_of_a_page(tmp_path: Path) -> None:
    web, to, token = tmp_path / "web", tmp_path / "fetched", tmp_path / "token"
    web.mkdir()
    token.write_text("secret\n")
    (web / "list_20260101.txt").write_text("old.example\n")
    (web / "list_20260825.txt").write_text("new.example\n")
    (web / "page.html").write_text(
        '<a href="list_20260825.txt">new</a> <a href="/list_20260101.txt">old</a>'
        '<a href="http://elsewhere.example/list_20270101.txt">no</a> <a href="list.pdf">pdf</a>'
    )
    access = Access(bearer=token)
    with guarded(web) as base:
        newest = How(access, newest=r"list_([0-9]{8})\.txt")
        download(f"{base}/page.html", to, newest, Deadline(20), most=1 << 20)
        assert to.read_text() == "new.example\n"
        download(f"{base}/moved", to, How(access, redirects=1), Deadline(20), most=1 << 20)
        assert to.read_text() == "old.example\n"
        for how, address, reason in (
            (How(access), "moved", "unreachable"),
            (How(), "page.html", "unreachable"),
            (How(Access(bearer=tmp_path / "none")), "page.html", "storage"),
            (How(access, newest="never"), "page.html", "missing"),
            (How(access, checksum=".sha256"), "list_20260101.txt", "missing"),
        ):
            with pytest.raises(VerifyError) as refused:
                download(f"{base}/{address}", to, how, Deadline(20), most=1 << 20)
            assert refused.value.reason == reason
        with pytest.raises(VerifyError) as refused:
            download(f"{base}/list_20260101.txt", to, How(access), Deadline(20), most=5)
        assert refused.value.reason == "too-large"

        old, new = (
            hashlib.sha256((web / f"list_{day}.txt").read_bytes()).hexdigest() for day in ("20260101", "20260825")
        )
        (web / "SHA256SUMS").write_text(f"{old}  list_20260101.txt\n{new}  list_20260825.txt\n")
        summed = How(access, checksum="SHA256SUMS")
        download(f"{base}/list_20260101.txt?today=1", to, summed, Deadline(20), most=1 << 20)
        (web / "list_20260101.txt").write_text("new.example\n")  # another file of the folder, served in its place
        with pytest.raises(VerifyError) as refused:
            download(f"{base}/list_20260101.txt?today=1", to, summed, Deadline(20), most=1 << 20)
        assert refused.value.reason == "hash-mismatch"


@pytest.mark.parametrize("where", ["file://{}", "file:{}", "dns://192.0.2.1{}", "other:{}"])
def test_a_redirect_leads_to_the_web_alone(tmp_path: Path, where: str) -> None:
    (tmp_path / "own").write_text("a file of this host\n")
    to = tmp_path / "fetched"
    with guarded(tmp_path) as base:
        address = f"{base}/moved?{quote(where.format(tmp_path / 'own'))}"
        with pytest.raises(VerifyError) as refused:
            download(address, to, How(redirects=3), Deadline(20), most=1 << 20)
    assert refused.value.reason == "unreachable"
    assert "which is not https or http" in str(refused.value)
    assert to.read_bytes() == b""


def test_a_signature_beside_the_file_is_fetched_and_verified(tmp_path: Path) -> None:
    vectors = ROOT / "tests/vectors/signatures"
    signature = Signature(".minisig", "minisign", vectors / "minisign.pub")
    with served(vectors) as base:
        download(f"{base}/list.csv", tmp_path / "x", How(signature=signature), Deadline(20), most=1 << 20)
        other = Signature("list.csv.legacy.minisig", "minisign", vectors / "signify.pub")
        with pytest.raises(VerifyError, match="another key"):
            download(f"{base}/list.csv", tmp_path / "x", How(signature=other), Deadline(20), most=1 << 20)


def test_the_newest_link_is_the_greatest_by_what_the_expression_takes() -> None:
    page = '<a href="a-2.csv"></a><a href="b-10.csv"></a><a href="a-9.csv"></a>'
    assert newest_link("https://x.example/p/", page, r"a-[0-9]\.csv") == "https://x.example/p/a-9.csv"


def test_the_guide_lists_what_the_command_prints() -> None:
    said = CliRunner().invoke(issuer, ["formats"]).output
    assert said.strip() in GUIDE
    assert set(formats.FORMATS) < {line.split()[0] for line in said.splitlines()}
