"""The certificate and key of encrypted DNS: what can be wrong with the files, and that `check-config` says it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from resolver.config.certificate import CertificateError, certificate_of
from resolver.config.preflight.host import trial
from resolver.config.schema import ConfigError, Endpoint, accept
from resolver.config.schema_dns import Encrypted
from tests.rigs.certificates import NAME, Files, made, pem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resolver.config.finding import Finding


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


def about(folder: Path, files: Files, more: str = ', tls: ["127.0.0.1:0"]') -> list[Finding]:
    """What `check-config` says of encrypted DNS."""
    file = config(folder, files, more)
    found = trial(accept(file).config, file, lambda _: set())
    return [one for one in found if one.key.startswith("dns.encrypted")]


def test_check_config_says_it_with_the_key_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(files: Files) -> list[tuple[str, bool]]:
        monkeypatch.setenv("SSL_CERT_FILE", str(files.root))
        return [(one.key, one.fatal) for one in about(tmp_path, files)]

    assert said(made(tmp_path)) == []
    assert said(made(tmp_path, days=13)) == [("dns.encrypted.certificate", False)]
    assert said(_spoil("another key", made(tmp_path), tmp_path)) == [("dns.encrypted.key", True)]


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def chain(folder: Path, *usage: x509.ObjectIdentifier, alone: bool = False) -> tuple[Files, bytes, bytes]:
    """Files whose certificate has an intermediate between it and its root, or signed itself; both certificates."""
    now, files = datetime.now(UTC), made(folder)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("leaf", "middle", "root")}

    def signed(subject: str, issuer: str, *extensions: x509.ExtensionType) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(named(subject)).issuer_name(named(issuer))
        builder = builder.public_key(keys[subject].public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=90))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(keys[issuer], hashes.SHA256())

    own = [x509.SubjectAlternativeName([x509.DNSName(NAME)]), *([x509.ExtendedKeyUsage(usage)] if usage else [])]
    leaf = signed("leaf", "leaf" if alone else "middle", *own).public_bytes(Encoding.PEM)
    middle = signed("middle", "root", x509.BasicConstraints(ca=True, path_length=None)).public_bytes(Encoding.PEM)
    files.key.write_bytes(pem(keys["leaf"]))
    return files, leaf, middle


def test_a_certificate_whose_issuer_nobody_knows_is_a_warning(tmp_path: Path) -> None:
    files, leaf, middle = chain(tmp_path)
    files.certificate.write_bytes(leaf)
    (found,) = about(tmp_path, files)
    assert not found.fatal
    assert found.message == (
        f"{files.certificate} lacks the certificate of its issuer, CN=middle: clients that do not know it refuse; "
        "ACME's fullchain.pem has it"
    )
    files.certificate.write_bytes(leaf + middle)
    assert about(tmp_path, files) == []


def test_roots_of_the_system_are_known_from_a_file_and_from_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = made(tmp_path)
    folder = tmp_path / "roots"
    folder.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    assert [one.fatal for one in about(tmp_path, files)] == [False]
    (folder / "0a1b2c3d.0").write_bytes(files.root.read_bytes())
    assert about(tmp_path, files) == []


def test_a_self_signed_certificate_is_a_warning(tmp_path: Path) -> None:
    files, leaf, _ = chain(tmp_path, alone=True)
    files.certificate.write_bytes(leaf)
    (found,) = about(tmp_path, files)
    assert (found.fatal, found.message) == (
        False,
        f"{files.certificate} is self-signed: only clients that were given it believe it",
    )


@pytest.mark.parametrize(
    ("usage", "warned"),
    [
        ([ExtendedKeyUsageOID.CLIENT_AUTH], True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH], False),
        ([], False),
    ],
)
def test_a_certificate_that_is_not_for_servers_is_a_warning(
    tmp_path: Path, usage: list[x509.ObjectIdentifier], warned: bool
) -> None:
    files, leaf, middle = chain(tmp_path, *usage)
    files.certificate.write_bytes(leaf + middle)
    assert ["lacks serverAuth" in one.message for one in about(tmp_path, files)] == [True] * warned


def test_a_file_that_begins_with_another_certificate_is_named(tmp_path: Path) -> None:
    files, leaf, middle = chain(tmp_path)
    files.certificate.write_bytes(middle + leaf)
    with pytest.raises(CertificateError, match="begins with another certificate than that for the server") as raised:
        certificate_of(encrypted(files))
    assert raised.value.of == "certificate"


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_key_that_everybody_may_read_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, warned: bool
) -> None:
    files = made(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(files.root))
    files.key.chmod(mode)
    assert [(one.key, one.fatal) for one in about(tmp_path, files)] == [("dns.encrypted.key", False)] * warned


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ('tls: ["0.0.0.0:8853"]', True),
        ('tls: ["0.0.0.0:8853"], addresses: [127.0.0.1]', False),
        ('tls: ["127.0.0.1:0"]', False),
    ],
)
def test_designations_without_an_address_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, warned: bool
) -> None:
    files = made(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(files.root))
    found = about(tmp_path, files, f", {more}")
    assert [(one.key, one.fatal) for one in found] == [("dns.encrypted.addresses", False)] * warned


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "listens nowhere"),
        (', tls: ["127.0.0.1:853"], https: {listen: ["127.0.0.1:853"]}', "already taken by dns.encrypted.tls"),
        (', quic: ["127.0.0.1:853", "127.0.0.1:853"]', "already taken by dns.encrypted.quic"),
        (', quic: ["127.0.0.1:5353"]', "already taken by dns.listen"),
        (', https: {listen: ["127.0.0.1:443"], path: dns-query}', "is not a path"),
        (", https: {listen: []}", "https"),
        (', https: ["127.0.0.1:28443"]', r'https: is not .*; {listen: \["127.0.0.1:28443"\]} would be right'),
        (f", https: [{'a' * 81}]", r"https: is not .*; {listen: \[…\]} would be right"),
        (", https: [2026-01-01]", "https: is not .*; {listen: …} would be right"),
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
