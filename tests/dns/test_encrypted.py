"""Encrypted DNS as clients ask for it: real programs, `stopsign run`, certificates that come and go."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import find_program
from tests.rigs.certificates import NAME, Files, made
from tests.rigs.dns_host import Host, free_port, running, wait_until

if TYPE_CHECKING:
    from pathlib import Path

HEALTH = "health.stopsign.invalid"


def program(name: str) -> str:
    found = find_program(name)
    assert found is not None
    return found


def encrypted_host(folder: Path, files: Files, **more: Any) -> Host:
    encrypted = {"name": NAME, "certificate": str(files.certificate), "key": str(files.key), "tls": ["127.0.0.1:0"]}
    return Host(folder, [f"127.0.0.1:{free_port()}"], workers=2, more={"dns": {"encrypted": encrypted | more}})


def kdig(host: Host, files: Files, *options: str, use: str = "dns_tls") -> str:
    address, port = host.addresses(use)[0]
    command = [program("kdig"), f"@{address}", "-p", str(port), *options, f"+tls-ca={files.root}"]
    command += [f"+tls-hostname={NAME}", "+time=5", "+retry=2", HEALTH, "TXT"]
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


@pytest.mark.needs("dnsperf")
def test_many_questions_of_dnsperf_over_tls_all_have_their_answers(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    questions = tmp_path / "questions"
    questions.write_text(f"{HEALTH} TXT\n")
    with running(encrypted_host(tmp_path / "host", files)) as host:
        address, port = host.addresses("dns_tls")[0]
        command = [program("dnsperf"), "-m", "dot", "-s", address, "-p", str(port), "-d", str(questions)]
        command += ["-c", "10", "-q", "100", "-n", "2000"]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout
        assert "Queries completed:    2000 (100.00%)" in said, said
        assert "NOERROR 2000 (100.00%)" in said, said
