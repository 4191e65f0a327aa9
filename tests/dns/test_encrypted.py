"""Encrypted DNS as clients ask for it: real programs, `stopsign run`, certificates that come and go."""

from __future__ import annotations

import base64
import collections
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from dnslib import DNSRecord

from resolver.base import http2
from resolver.base.errors import ResolverError
from resolver.host.service import READY
from resolver.host.sockets import SOCKETS
from tests.conftest import find_program
from tests.rigs.certificates import NAME, Files, made
from tests.rigs.dns_host import ROOT, Host, free_port, running, wait_until
from tests.rigs.plane import PATIENCE, Upstream, answer, query
from tests.rigs.provider import command
from tests.rigs.quic import NO_ERROR, Far, QuicClient
from tests.rigs.resolvers import Outside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEALTH = "health.stopsign.invalid"
MESSAGE = "content-type: application/dns-message"


def program(name: str) -> str:
    found = find_program(name)
    assert found is not None
    return found


def encrypted_host(folder: Path, files: Files, **more: Any) -> Host:
    """`more`: keys of `dns`."""
    encrypted: dict[str, Any] = {
        "name": NAME,
        "certificate": str(files.certificate),
        "key": str(files.key),
        "tls": ["127.0.0.1:0"],
    }
    encrypted |= {"https": {"listen": ["127.0.0.1:0"]}, "quic": ["127.0.0.1:0"]}
    return Host(folder, [f"127.0.0.1:{free_port()}"], workers=2, more={"dns": {"encrypted": encrypted, **more}})


def kdig(host: Host, files: Files, *options: str, use: str = "dns_tls") -> str:
    address, port = host.addresses(use)[0]
    # The transport comes last: "+tls-ca" after "+quic" asks over TLS.
    command = [program("kdig"), f"@{address}", "-p", str(port), f"+tls-ca={files.root}", f"+tls-hostname={NAME}"]
    command += [*options, "+time=5", "+retry=2", HEALTH, "TXT"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


@pytest.mark.needs("kdig")
def test_kdig_over_tls_and_a_certificate_that_is_renewed_while_it_runs(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    with running(encrypted_host(tmp_path / "host", files)) as host:
        said = kdig(host, files, "+tls", "+padding", "+ednsopt=11")
        assert "NOERROR" in said, said + host.log
        assert "TLS1.3" in said
        assert "PADDING" in said, "RFC 8467"
        renewed = made(tmp_path / "renewed")
        files.key.write_bytes(renewed.key.read_bytes())
        files.certificate.write_bytes(renewed.certificate.read_bytes())
        wait_until(lambda: "NOERROR" in kdig(host, renewed, "+tls"), "the new certificate is used without a command")
        wait_until(lambda: "NOERROR" not in kdig(host, files, "+tls"), "by each worker, and the old one by none")


@pytest.mark.needs("kdig")
def test_kdig_over_quic_and_over_https_by_get_and_post(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    with running(encrypted_host(tmp_path / "host", files)) as host:
        for option, use, spoken in (
            ("+quic", "dns_quic", "QUICv1"), ("+https", "dns_https", "HTTP/2"), ("+https-get", "dns_https", "HTTP/2"),
        ):  # fmt: skip
            said = kdig(host, files, option, "+padding", use=use)
            assert "NOERROR" in said, said + host.log
            assert spoken in said
            assert "PADDING" in said


def test_what_a_client_of_quic_meets_when_its_worker_is_replaced(tmp_path: Path) -> None:
    files, upstream = made(tmp_path / "tls"), Upstream()
    host = encrypted_host(tmp_path, files, limits={"patience": "20s", "tcp_idle": "60s"})
    host.upstreams = [upstream.address]
    host.write_config()
    with contextlib.ExitStack() as ending:
        ending.callback(upstream.socket.close)
        shared = ending.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        shared.bind(("127.0.0.1", 0))
        far = ending.enter_context(contextlib.closing(Far(shared.getsockname())))
        old = ending.enter_context(worker(host, shared))
        idle, busy = QuicClient(far, files), QuicClient(far, files)
        for client in (idle, busy):
            client.shake_hands(4 * PATIENCE)
        ending.enter_context(worker(host, shared))
        stream = busy.ask(query("one.example"))
        asked, source = busy.until(lambda: (found := upstream.waiting()) and found[0])
        old.terminate()
        assert idle.ended() == NO_ERROR
        new = QuicClient(far, files)
        new.step()
        assert old.poll() is None
        upstream.say(answer(asked), source)
        assert busy.receive(stream).header.rcode == 0, "what was asked is answered"
        assert busy.ended() == NO_ERROR
        # Its first packet was the predecessor's to read, or waits in the socket for the successor.
        assert new.shake_hands(4 * PATIENCE).answers(query(HEALTH, "TXT")).header.rcode == 0


@contextlib.contextmanager
def worker(host: Host, quic: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """One that serves that socket, or waits for it; it was ready before the first line of the caller."""
    ready, says = os.pipe()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), SOCKETS: json.dumps({"dns_quic": [quic.fileno()]})}
    command = [sys.executable, "-P", "-m", "resolver.dns.worker", "--config", str(host.config), "--index", "0"]
    with (
        os.fdopen(ready, "rb") as hears,
        subprocess.Popen(command, env=environment | {READY: str(says)}, pass_fds=[quic.fileno(), says]) as process,
    ):
        os.close(says)
        try:
            assert hears.read() == b"1"
            yield process
        finally:
            process.kill()


# As curl's options: what is asked -> the status.
REQUESTS = {
    "the question in the body": (["--data-binary", "@question", "-H", MESSAGE], "200 2 application/dns-message"),
    "another media type": (["--data-binary", "@question", "-H", "content-type: text/plain"], "415 2 "),
    "no media type": (["--data-binary", "@question", "-H", "content-type:"], "415 2 "),
    "no question": (["--data-binary", "hello", "-H", MESSAGE], "400 2 "),
    "a body beyond the longest message": (["--data-binary", "@long", "-H", MESSAGE], "413 2 "),
    "another method": (["-X", "DELETE"], "405 2 "),
    "HTTP/1.1": (["--http1.1", "--data-binary", "@question", "-H", MESSAGE], "505 1.1 "),
}


@pytest.mark.needs("curl")
def test_what_curl_asks_and_which_status_it_gets(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    question = query(HEALTH, "TXT")
    (tmp_path / "question").write_bytes(bytes(question.pack()))
    (tmp_path / "long").write_bytes(bytes(65_536))
    with running(encrypted_host(tmp_path / "host", files)) as host:
        address, port = host.addresses("dns_https")[0]
        command = [program("curl"), "-sS", "--http2", "--cacert", str(files.root), "-o", "answer"]
        command += ["--resolve", f"{NAME}:{port}:{address}", "-w", "%{http_code} %{http_version} %{content_type}"]
        url = f"https://{NAME}:{port}/dns-query"
        for what, (options, wanted) in REQUESTS.items():
            done = subprocess.run(
                [*command, *options, url], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
            )
            assert done.stdout == wanted, (what, done.stderr)
        subprocess.run(
            [*command, "-D", "head", *REQUESTS["the question in the body"][0], url], cwd=tmp_path, check=True
        )
        assert "cache-control: max-age=0" in (tmp_path / "head").read_text().lower()
        reply = DNSRecord.parse((tmp_path / "answer").read_bytes())
        assert (reply.header.id, reply.header.rcode) == (question.header.id, 0)


@pytest.mark.needs("curl")
def test_curl_finds_an_address_by_it(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    outside = Outside(socket.inet_aton("127.0.0.1"))
    with contextlib.closing(outside), socket.create_server(("127.0.0.1", 0)) as web:
        host = encrypted_host(tmp_path / "host", files)
        host.upstreams = [f"127.0.0.1:{outside.port}"]
        with running(host):
            address, port = host.addresses("dns_https")[0]
            command = [program("curl"), "-sS", "--max-time", "30", "--doh-insecure"]
            command += ["--doh-url", f"https://{address}:{port}/dns-query"]
            command += [f"http://found.example:{web.getsockname()[1]}/"]
            web.settimeout(30)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
                connection, _ = web.accept()
                assert b"Host: found.example" in connection.recv(4096)
                connection.close()


@pytest.mark.needs("dnsperf")
def test_many_questions_of_dnsperf_all_have_their_answers(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    questions = tmp_path / "questions"
    questions.write_text(f"{HEALTH} TXT\n")
    with running(encrypted_host(tmp_path / "host", files)) as host:
        for mode, use in (("tcp", "dns"), ("dot", "dns_tls"), ("doh", "dns_https")):
            address, port = host.addresses(use)[0]
            command = [program("dnsperf"), "-m", mode, "-s", address, "-p", str(port), "-d", str(questions)]
            command += ["-c", "10", "-q", "100", "-n", "2000", "-t", "60"]
            if mode == "doh":
                command += ["-O", f"doh-uri=https://{address}:{port}/dns-query"]
            said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout
            assert "Queries completed:    2000 (100.00%)" in said, said
            assert "NOERROR 2000 (100.00%)" in said, said


class Clients:
    """Clients that each ask on a fresh connection, over and over; what any of them did not get."""

    def __init__(self, host: Host, files: Files) -> None:
        self.context = ssl.create_default_context(cafile=str(files.root))
        self.context.set_alpn_protocols(["h2", "dot"])
        self.addresses = {use: host.addresses(use)[0] for use in ("dns_tls", "dns_https")}
        self.asked = bytes(query(HEALTH, "TXT").pack())
        self.answered: collections.Counter[str] = collections.Counter()
        self.lost: list[str] = []
        self.over = threading.Event()

    def ask(self, use: str) -> None:
        while not self.over.wait(0.005):
            try:
                plain = socket.create_connection(self.addresses[use], 30)
                with self.context.wrap_socket(plain, server_hostname=NAME) as link:
                    reply = getattr(self, use)(link)
            except (OSError, ResolverError) as wrong:
                self.lost.append(f"{use}: {wrong!r}")
                continue
            self.answered[use] += 1
            if reply[:2] != self.asked[:2]:
                self.lost.append(f"{use}: {reply!r}")

    def go_on(self) -> bool:
        """Whether each kind has had 20 more answers since the last call that said so."""
        if min(self.answered[use] for use in self.addresses) < 20:
            return False
        self.answered.clear()
        return True

    def dns_tls(self, link: ssl.SSLSocket) -> bytes:
        link.sendall(len(self.asked).to_bytes(2) + self.asked)
        with link.makefile("rb") as answers:
            return answers.read(int.from_bytes(answers.read(2)))

    def session(self, before: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        """Whether a connection resumed that session, and its own; tickets come before the answer to a question."""
        plain = socket.create_connection(self.addresses["dns_tls"], 30)
        with self.context.wrap_socket(plain, server_hostname=NAME, session=before) as link:
            assert self.dns_tls(link)[:2] == self.asked[:2]
            return bool(link.session_reused), link.session

    def dns_https(self, link: ssl.SSLSocket) -> bytes:
        asked = base64.urlsafe_b64encode(self.asked).rstrip(b"=").decode()
        return http2.get(link, NAME, f"/dns-query?dns={asked}", "application/dns-message")


def test_a_session_is_resumed_at_each_worker_and_by_the_program_after_a_restart(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    with running(encrypted_host(tmp_path / "host", files)) as host:
        clients = Clients(host, files)
        reused, session = clients.session(None)
        assert not reused
        workers = {one["pid"] for one in host.said()}
        for _ in range(10):  # the kernel deals them out to two workers
            assert clients.session(session)[0]
        done = command(host, "restart", "--no-trial")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: workers.isdisjoint(one["pid"] for one in host.said()), "other workers")
        for _ in range(10):
            assert clients.session(session)[0], host.log


def test_no_client_loses_a_question_by_a_reload_and_a_restart(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    one = encrypted_host(tmp_path / "host", files)
    one.workers = 1
    with running(one) as host:
        clients = Clients(host, files)
        threads = [threading.Thread(target=clients.ask, args=(use,)) for use in clients.addresses]
        for thread in threads:
            thread.start()
        try:
            for word in ("reload", "restart"):  # new workers, and a new program of the supervisor
                wait_until(clients.go_on, "they ask")
                host.more["stop_page"] = {"ipv6": "2001:db8::66"}
                host.write_config()
                done = command(host, word, "--no-trial")
                assert done.returncode == 0, done.stderr
                clients.answered.clear()
            wait_until(clients.go_on, "they go on asking")
        finally:
            clients.over.set()
            for thread in threads:
                thread.join()
        assert clients.lost == [], host.log
