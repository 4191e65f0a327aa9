"""Clients that upgrade by themselves (RFC 9462) land here, and meet the block (the client: dnspython)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.nameserver
import dns.resolver
import pytest

from tests.rigs.certificates import NAME, made
from tests.rigs.dns_host import Host, free_port, running
from tests.rigs.plane import compiled

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rigs.certificates import Files

BLOCKED, STOP_PAGE = "bet.example", "192.0.2.66"


def host(folder: Path, files: Files, tls: list[str]) -> Host:
    encrypted = {"name": NAME, "certificate": str(files.certificate), "key": str(files.key), "tls": tls}
    made_here = Host(folder, [f"127.0.0.1:{free_port()}"], more={"dns": {"encrypted": encrypted}})
    made_here.run_dir.mkdir(parents=True)
    compiled(folder, [BLOCKED])
    (folder / "1-stop-page-subtree-trim.list").rename(made_here.run_dir / "current.list")
    return made_here


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
