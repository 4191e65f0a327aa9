"""The certificate and key of encrypted DNS: what can be wrong with the files, and that `check-config` says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from resolver.config.certificate import CertificateError, certificate_of
from resolver.config.preflight.host import trial
from resolver.config.schema import ConfigError, Endpoint, accept
from resolver.config.schema_dns import Encrypted
from tests.rigs.certificates import NAME, Files, made, pem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def encrypted(files: Files, **more: Any) -> Encrypted:
    return Encrypted(name=NAME, certificate=files.certificate, key=files.key, tls=[Endpoint("127.0.0.1", 0)], **more)


@pytest.mark.parametrize("names", [(NAME,), ("other.example", NAME), ("*.isp.example",)])
@pytest.mark.parametrize(
    "key",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
)
def test_a_certificate_for_the_name_with_its_key_is_read(
    tmp_path: Path, names: tuple[str, ...], key: Callable[[], Any]
) -> None:
    files = made(tmp_path, *names, key=key())
    read = certificate_of(encrypted(files))
    assert (read.chain, read.key) == (files.certificate.read_bytes(), files.key.read_bytes())


OTHER = ec.generate_private_key(ec.SECP256R1())


def _spoil(what: str, files: Files, folder: Path) -> Files:
    match what:
        case "no certificate":
            files.certificate.write_text("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n")
        case "empty":
            files.certificate.write_bytes(b"")
        case "gone":
            files.certificate.unlink()
        case "key gone":
            files.key.unlink()
        case "no key":
            files.key.write_bytes(files.certificate.read_bytes())
        case "passphrase":
            files.key.write_bytes(pem(OTHER, b"secret"))
        case "another key":
            files.key.write_bytes(pem(OTHER))
        case "another kind of key":
            files.key.write_bytes(pem(dsa.generate_private_key(2048)))
        case "another name":
            return made(folder / "new", "dns.other.example")
        case "two labels for a wildcard":
            return made(folder / "new", "*.example")
        case "ended":
            return made(folder / "new", days=-0.5)
        case "not begun":
            return made(folder / "new", begins=5)
    return files


@pytest.mark.parametrize(
    ("what", "of", "said"),
    [
        ("no certificate", "certificate", "holds no certificate in PEM"),
        ("empty", "certificate", "holds no certificate in PEM"),
        ("gone", "certificate", "cannot be read"),
        ("key gone", "key", "cannot be read"),
        ("no key", "key", "holds no private key in PEM"),
        ("passphrase", "key", "has a passphrase"),
        ("another key", "key", "is not the key of"),
        ("another kind of key", "key", "is of another kind"),
        ("another name", "certificate", f"is not for {NAME} \\(its names: dns.other.example\\)"),
        ("two labels for a wildcard", "certificate", f"is not for {NAME}"),
        ("ended", "certificate", "ended on"),
        ("not begun", "certificate", "begins on"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_it_is_wrong_in(tmp_path: Path, what: str, of: str, said: str) -> None:
    files = _spoil(what, made(tmp_path), tmp_path)
    with pytest.raises(CertificateError, match=said) as raised:
        certificate_of(encrypted(files))
    assert raised.value.of == of


CONFIG = """
state_dir: state
run_dir: run
portal: {{url: "http://127.0.0.1"}}
dns:
  listen: ["127.0.0.1:{port}"]
  upstreams: ["127.0.0.1:1"]
  allow_clients: []
  encrypted: {{name: dns.isp.example, certificate: {certificate}, key: {key}{more}}}
"""


def config(folder: Path, files: Files, more: str = ', tls: ["127.0.0.1:0"]', port: int = 0) -> Path:
    file = folder / "stopsign.yaml"
    file.write_text(CONFIG.format(certificate=files.certificate, key=files.key, more=more, port=port))
    return file


def test_check_config_says_it_with_the_key_of_the_configuration(tmp_path: Path) -> None:
    def said(files: Files) -> list[tuple[str, bool]]:
        file = config(tmp_path, files)
        found = trial(accept(file).config, file, lambda _: set())
        return [(one.key, one.fatal) for one in found if one.key.startswith("dns.encrypted")]

    assert said(made(tmp_path)) == []
    assert said(made(tmp_path, days=13)) == [("dns.encrypted.certificate", False)]
    assert said(_spoil("another key", made(tmp_path), tmp_path)) == [("dns.encrypted.key", True)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "listens nowhere"),
        (', tls: ["127.0.0.1:853"], https: {listen: ["127.0.0.1:853"]}', "already taken by dns.encrypted.tls"),
        (', quic: ["127.0.0.1:853", "127.0.0.1:853"]', "already taken by dns.encrypted.quic"),
        (', quic: ["127.0.0.1:5353"]', "already taken by dns.listen"),
        (', https: {listen: ["127.0.0.1:443"], path: dns-query}', "is not a path"),
        (", https: {listen: []}", "https"),
    ],
)
def test_contradictions_are_found_without_a_trial(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        accept(config(tmp_path, made(tmp_path), more, port=5353))


def test_one_port_is_two_for_tcp_and_udp(tmp_path: Path) -> None:
    more = ', tls: ["127.0.0.1:853"], quic: ["127.0.0.1:853"]'
    found = accept(config(tmp_path, made(tmp_path), more)).config
    assert found.dns_tls_listen == found.dns_quic_listen


@pytest.mark.parametrize(
    ("listen", "said"),
    [("192.0.2.66:443", 1), ("0.0.0.0:443", 1), ("[::]:443", 0), ("192.0.2.67:443", 0), ("192.0.2.66:8443", 0)],
)
def test_https_at_the_address_of_the_stop_page_keeps_browsers_from_the_page(
    tmp_path: Path, listen: str, said: int
) -> None:
    file = config(tmp_path, made(tmp_path), f', https: {{listen: ["{listen}"]}}')
    file.write_text(file.read_text() + "stop_page: {ipv4: 192.0.2.66}\n")
    found = [one for one in trial(accept(file).config, file, lambda _: {listen}) if "browsers must" in str(one)]
    assert [(one.key, one.fatal) for one in found] == [("dns.encrypted.https.listen[0]", False)] * said
