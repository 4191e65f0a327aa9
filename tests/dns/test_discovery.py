"""Clients that upgrade by themselves (RFC 9462) land here, and meet the block with its reason, over each transport."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

import dns.exception
import dns.nameserver
import dns.resolver
import pytest

from tests.rigs.blocking_host import BLOCKED, STOP_PAGE, blocking_host
from tests.rigs.certificates import NAME, made
from tests.rigs.command_line import run
from tests.rigs.dns_host import Host, free_port, running, wait_until
from tests.rigs.list_documents import numbered
from tests.rigs.program import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rigs.certificates import Files

HEALTH = "health.stopsign.invalid."


def host(folder: Path, files: Files, tls: list[str], **more: object) -> Host:
    encrypted = {"name": NAME, "certificate": str(files.certificate), "key": str(files.key), "tls": tls, **more}
    contact = {"contact": "block@isp.example"}
    return blocking_host(folder, {"encrypted": encrypted}, {"explain": "json"}, provider=contact)


def upgraded(serving: Host) -> tuple[list[object], str]:
    """The servers after the client has tried, and what it then gets for the blocked name."""
    client = dns.resolver.Resolver(configure=False)
    address, client.port = serving.addresses()[0]
    client.nameservers = [address]
    client.try_ddr(lifetime=20)
    (record,) = client.resolve(BLOCKED, "A", lifetime=20)
    return list(client.nameservers), record.to_text()


@pytest.mark.parametrize("proven", [True, False], ids=["with the address", "without it"])
def test_a_client_upgrades_to_this_resolver_where_the_certificate_has_the_address_it_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proven: bool
) -> None:
    files = made(tmp_path / "tls", NAME, *(["127.0.0.1"] if proven else []))
    monkeypatch.setenv("SSL_CERT_FILE", str(files.root))
    port = free_port()
    with running(host(tmp_path / "host", files, [f"127.0.0.1:{port}"])) as serving:
        servers, answer = upgraded(serving)
        assert answer == STOP_PAGE, serving.log
        (server,) = servers
        if proven:
            assert isinstance(server, dns.nameserver.DoTNameserver)
            assert (server.address, server.port, server.hostname) == ("127.0.0.1", port, NAME)
        else:
            assert server == "127.0.0.1", "RFC 9462, 4.2: what cannot be verified is not used"


@pytest.fixture(scope="module")
def asked_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Files]]:
    folder = tmp_path_factory.mktemp("asked")
    files = made(folder / "tls")
    with running(
        host(folder / "host", files, ["127.0.0.1:0"], https={"listen": ["127.0.0.1:0"]}, quic=["127.0.0.1:0"])
    ) as serving:
        yield serving, files


@pytest.mark.parametrize("over", ["udp", "tcp", "tls", "https", "quic"])
def test_a_support_desk_sees_the_reason_over_each_transport(
    over: str, asked_host: tuple[Host, Files], capsys: pytest.CaptureFixture[str]
) -> None:
    serving, files = asked_host
    address, port = serving.addresses({"tls": "dns_tls", "https": "dns_https", "quic": "dns_quic"}.get(over, "dns"))[0]
    by = ["--ca", files.root, "--server-name", NAME] if over not in ("udp", "tcp") else []
    status, out, said = run(capsys, "ask", BLOCKED, "--over", over, "--server", f"{address}:{port}", *by)
    assert status == 0, said + serving.log
    assert out.splitlines()[1:] == [
        f"A      NOERROR   {STOP_PAGE}",
        "AAAA   NOERROR   -",
        "HTTPS  NOERROR   -",
        "Censored (EDE 16)",
        '  contact: ["mailto:block@isp.example"]',
        "  why: Authority, Gambling Act, 17",
        "  by: 127.0.0.1",
        "  l: en",
        f'  entry: [{{"db": "127.0.0.1", "id": "{numbered(0)}"}}]',
    ]


def stopped(port: int, name: str) -> bool:
    """Whether a client of that program meets the block."""
    client = dns.resolver.Resolver(configure=False)
    client.nameservers, client.port = ["127.0.0.1"], port
    with contextlib.suppress(dns.exception.DNSException):
        return [record.to_text() for record in client.resolve(name, "A", lifetime=2)] == [STOP_PAGE]
    return False


@pytest.mark.needs("unbound")
def test_unbound_asks_over_tls_and_its_clients_meet_the_block(tmp_path: Path, asked_host: tuple[Host, Files]) -> None:
    serving, files = asked_host
    port, over = free_port(), serving.addresses("dns_tls")[0][1]
    (tmp_path / "unbound.conf").write_text(f"""
server:
    interface: 127.0.0.1@{port}
    do-not-query-localhost: no
    tls-cert-bundle: "{files.root}"
    module-config: "iterator"
    username: ""
    chroot: ""
    directory: "{tmp_path}"
    pidfile: ""
    use-syslog: no
forward-zone:
    name: "."
    forward-tls-upstream: yes
    forward-addr: 127.0.0.1@{over}#{NAME}
remote-control:
    control-enable: no
""")
    before = serving.counters()["queries_tls"]
    with program(tmp_path, "unbound", "-d", "-c", tmp_path / "unbound.conf"):
        wait_until(lambda: stopped(port, BLOCKED), "Unbound's clients meet the block")
    wait_until(lambda: serving.counters()["queries_tls"] > before, "it was asked over TLS")


@pytest.mark.needs("dnsdist")
def test_dnsdist_asks_over_tls_and_https_and_its_clients_meet_the_block(
    tmp_path: Path, asked_host: tuple[Host, Files]
) -> None:
    serving, files = asked_host
    ports = {pool: free_port() for pool in ("tls", "https")}
    listens = "\n".join(f'addLocal("127.0.0.1:{port}")' for port in ports.values())
    pools = "\n".join(f'addAction(DSTPortRule({port}), PoolAction("{pool}"))' for pool, port in ports.items())
    tls, https = (serving.addresses(use)[0][1] for use in ("dns_tls", "dns_https"))
    proven = f'tls="openssl", subjectName="{NAME}", caStore="{files.root}", validateCertificates=true'
    (tmp_path / "dnsdist.conf").write_text(f"""
setLocal("127.0.0.1:{free_port()}")
{listens}
{pools}
setSecurityPollSuffix("")
newServer{{address="127.0.0.1:{tls}", {proven}, pool="tls", checkName="{HEALTH}"}}
newServer{{address="127.0.0.1:{https}", {proven}, dohPath="/dns-query", pool="https", checkName="{HEALTH}"}}
""")
    asked = sum(serving.counters()[f"queries_{kind}"] for kind in ("udp4", "tcp"))
    with program(tmp_path, "dnsdist", "--supervised", "--disable-syslog", "-C", tmp_path / "dnsdist.conf"):
        for pool, port in ports.items():
            wait_until(partial(stopped, port, BLOCKED), f"clients meet the block by {pool}")
    assert sum(serving.counters()[f"queries_{kind}"] for kind in ("udp4", "tcp")) == asked, "nothing in clear"


def test_over_quic_the_server_has_to_prove_its_name(
    asked_host: tuple[Host, Files], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving, files = asked_host
    address, port = serving.addresses("dns_quic")[0]
    at = ["ask", BLOCKED, "--over", "quic", "--server", f"{address}:{port}"]
    for by in (
        ["--ca", files.root, "--server-name", "other.example"],
        ["--ca", made(tmp_path).root, "--server-name", NAME],
        ["--server-name", NAME],
    ):
        status, out, said = run(capsys, *at, *by)
        assert (status, out) == (2, "")
        assert "invalid peer certificate" in said
    status, out, said = run(capsys, *at[:-1], f"127.0.0.1:{free_port()}", "--server-name", NAME)
    assert (status, out) == (2, "")
    assert "no answer from 127.0.0.1" in said
